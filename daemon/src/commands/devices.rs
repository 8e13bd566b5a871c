//! `glassd devices` and `glassd pair`: the Bluetooth devices, and their bonds.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use btleplug::api::BDAddr;
use glassd_core::GlassesId;
use glassd_core::link::Part;
use serde_json::json;

use crate::cli::{DevicesCommand, PairArgs};
use crate::config::{Config, GlassesConfig, GlassesKind};
use crate::control::{Request, request};
use crate::links::bluetooth::NO_RSSI;
use crate::links::bluetooth::agent::{self, Answers};
use crate::links::bluetooth::bluez::{Bluez, BluezError, Known};

/// How long glasses are listened for before it is said that they are not there.
const HEAR: Duration = Duration::from_secs(30);
/// How long pairing may take: somebody types six digits.
const PAIR: Duration = Duration::from_secs(90);
/// How often the devices heard are looked through.
const LOOK: Duration = Duration::from_millis(200);

pub(super) async fn run(config: &Config, command: DevicesCommand) -> anyhow::Result<ExitCode> {
    match command {
        DevicesCommand::Scan { seconds, all, json } => {
            scan(config, Duration::from_secs(seconds), all, json).await
        }
        DevicesCommand::List { json } => {
            let devices = Bluez::open(&config.bluetooth.adapter).await?.devices().await?;
            let ours = |device: &Known| device.is_paired || named(config, device.address).is_some();
            print(config, &devices.into_iter().filter(ours).collect::<Vec<_>>(), json);
            Ok(ExitCode::SUCCESS)
        }
        DevicesCommand::Pair(args) => pair(config, &args).await,
        DevicesCommand::Forget { device } => forget(config, &device).await,
    }
}

async fn scan(config: &Config, duration: Duration, all: bool, json: bool) -> anyhow::Result<ExitCode> {
    let bluez = Bluez::open(&config.bluetooth.adapter).await?;
    eprintln!("listening for {} s", duration.as_secs());
    bluez.start_scan().await?;
    tokio::time::sleep(duration).await;
    let devices = bluez.devices().await?;
    bluez.stop_scan().await;
    // What BlueZ only remembers has no signal strength.
    let is_here = |device: &Known| device.rssi.is_some() || device.is_connected;
    let is_wanted =
        |device: &Known| all || kind_of(device).is_some() || named(config, device.address).is_some();
    let heard: Vec<Known> =
        devices.into_iter().filter(|device| is_here(device) && is_wanted(device)).collect();
    if heard.is_empty() {
        eprintln!("no glasses are heard: are they on, and connected to no phone? `--all` lists every device");
    }
    print(config, &heard, json);
    Ok(ExitCode::SUCCESS)
}

fn print(config: &Config, devices: &[Known], json: bool) {
    let rows = devices.iter().map(|device| {
        json!({
            "address": device.address.to_string(),
            "name": device.name,
            "kind": kind_of(device),
            "glasses": named(config, device.address).map(|glasses| &glasses.name),
            "rssi_dbm": device.rssi.filter(|rssi| *rssi != NO_RSSI),
            "paired": device.is_paired,
            "connected": device.is_connected,
        })
    });
    if json {
        println!("{}", serde_json::to_string_pretty(&rows.collect::<Vec<_>>()).expect("rows are JSON"));
        return;
    }
    if devices.is_empty() {
        return;
    }
    println!("{:17}  {:9}  {:12}  {:>8}  {:16}  name", "address", "kind", "glasses", "signal", "state");
    for row in rows {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        let signal = row["rssi_dbm"].as_i64().map_or("-".to_owned(), |rssi| format!("{rssi} dBm"));
        let state: Vec<&str> = ["paired", "connected"].into_iter().filter(|key| row[*key] == true).collect();
        let state = if state.is_empty() { "-".to_owned() } else { state.join(", ") };
        let [address, kind, glasses, name] = ["address", "kind", "glasses", "name"].map(text);
        println!("{address:17}  {kind:9}  {glasses:12}  {signal:>8}  {state:16}  {name}");
    }
}

/// Pairs anew with each device of a pair of glasses.
pub(super) async fn pair(config: &Config, args: &PairArgs) -> anyhow::Result<ExitCode> {
    let bluez = Bluez::open(&config.bluetooth.adapter).await?;
    let targets = Target::read(config, &args.device)?;
    let link = targets.iter().find_map(|target| target.glasses.clone());
    // A daemon that holds a link to them would be in the way; without one that is no matter.
    pause(config, link.as_ref(), (HEAR + PAIR) * targets.len() as u32).await;
    let answers = AtTerminal { passkey: args.passkey, yes: args.yes };
    let result = async {
        agent::register_own(bluez.bus(), answers).await.context("bluetoothd takes no agent")?;
        bluez.start_scan().await?;
        for target in &targets {
            pair_one(&bluez, target).await?;
        }
        anyhow::Ok(())
    }
    .await;
    bluez.stop_scan().await;
    pause(config, link.as_ref(), Duration::ZERO).await;
    result.map(|()| ExitCode::SUCCESS)
}

async fn pair_one(bluez: &Bluez, target: &Target) -> anyhow::Result<()> {
    let mut device = target.hear(bluez).await?;
    if device.is_paired {
        eprintln!("{} has a bond already, which is replaced", device.address);
        bluez.forget(&device).await?;
        device = target.hear(bluez).await?;
    }
    eprintln!("pairing with {} {}", device.address, device.name);
    // Which numbers were compared is over with the link.
    let paired = bluez.pair(&device, PAIR).await;
    bluez.disconnect(&device).await;
    paired.map_err(|error| anyhow::anyhow!("{}", explained(&error)))?;
    println!("{} is paired", device.address);
    Ok(())
}

/// BlueZ' words for what happens most, with what to do.
fn explained(error: &BluezError) -> String {
    let text = error.to_string();
    let advice = [
        ("AuthenticationRejected", "the glasses or you said no"),
        ("AuthenticationFailed", "the numbers were not the same, or the glasses are not ready to be paired"),
        ("AuthenticationCanceled", "the glasses gave up; are they ready to be paired?"),
        ("ConnectionAttemptFailed", "the glasses did not answer; are they on, and connected to no phone?"),
    ];
    let found = advice.into_iter().find(|(name, _)| text.contains(name));
    found.map_or(text.clone(), |(_, advice)| format!("{text}: {advice}"))
}

async fn forget(config: &Config, device: &str) -> anyhow::Result<ExitCode> {
    let bluez = Bluez::open(&config.bluetooth.adapter).await?;
    for target in Target::read(config, device)? {
        let address = target.address.with_context(|| {
            format!(
                "{device} have no address in the configuration; `glassd devices list` shows the addresses"
            )
        })?;
        let known = bluez.find(address).await?;
        let known = known.with_context(|| format!("BlueZ knows no device {address}"))?;
        bluez.forget(&known).await?;
        println!("{address} is forgotten");
    }
    Ok(ExitCode::SUCCESS)
}

/// One device that somebody named.
#[derive(Debug)]
struct Target {
    glasses: Option<GlassesId>,
    address: Option<BDAddr>,
    part: Option<Part>,
}

impl Target {
    /// Reads a name of the configuration or an address: glasses are one device or two.
    fn read(config: &Config, device: &str) -> anyhow::Result<Vec<Self>> {
        if let Ok(address) = device.parse::<BDAddr>() {
            let glasses = named(config, address).map(|glasses| glasses.name.clone());
            return Ok(vec![Self { glasses, address: Some(address), part: None }]);
        }
        let names: Vec<&str> = config.glasses.iter().map(|glasses| glasses.name.as_str()).collect();
        let found = config.glasses.iter().find(|glasses| glasses.name.as_str() == device);
        let found = found.with_context(|| {
            format!(
                "{device:?} is no address, and no glasses of the configuration; there are: {}",
                names.join(", ")
            )
        })?;
        let profile = found.kind.profile().with_context(|| format!("{device} are simulated"))?;
        let target = |(part, address): (&Part, &String)| Self {
            glasses: Some(found.name.clone()),
            address: address.parse().ok(),
            part: Some(*part),
        };
        Ok(profile.parts().iter().zip([&found.address, &found.right_address]).map(target).collect())
    }

    fn is(&self, device: &Known) -> bool {
        match (self.address, self.part) {
            (Some(address), _) => device.address == address,
            (None, Some(part)) => device.is_part(&part),
            (None, None) => false,
        }
    }

    /// Waits until the device is there, and linked to nobody: a link that ends would take the pairing along.
    async fn hear(&self, bluez: &Bluez) -> anyhow::Result<Known> {
        let look = async {
            loop {
                for device in bluez.devices().await?.into_iter().filter(|device| self.is(device)) {
                    if device.is_connected {
                        bluez.disconnect(&device).await;
                    } else if device.rssi.is_some() {
                        return Ok::<_, BluezError>(device);
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        let what = self.address.map_or("such glasses".to_owned(), |address| address.to_string());
        let heard = tokio::time::timeout(HEAR, look).await;
        Ok(heard.with_context(|| {
            format!(
                "{what} are not heard within {} s; are they on, and connected to no phone?",
                HEAR.as_secs()
            )
        })??)
    }
}

/// Asks a daemon that runs to leave the glasses alone for so long.
async fn pause(config: &Config, glasses: Option<&GlassesId>, duration: Duration) {
    let Some(glasses) = glasses else { return };
    let seconds = u16::try_from(duration.as_secs()).unwrap_or(u16::MAX);
    let asked = Request::Pause { glasses: glasses.clone(), seconds };
    // That none runs is no error.
    let _ = request(&config.gateway.control_socket, &asked, |_| {}).await;
}

fn kind_of(device: &Known) -> Option<GlassesKind> {
    let is_it = |kind: &GlassesKind| {
        kind.profile().is_some_and(|profile| profile.parts().iter().any(|part| device.is_part(part)))
    };
    GlassesKind::REAL.into_iter().find(is_it)
}

fn named(config: &Config, address: BDAddr) -> Option<&GlassesConfig> {
    let is_its = |text: &String| text.parse() == Ok(address);
    config.glasses.iter().find(|glasses| is_its(&glasses.address) || is_its(&glasses.right_address))
}

/// The person who pairs.
struct AtTerminal {
    passkey: Option<u32>,
    yes: bool,
}

impl Answers for AtTerminal {
    const CAPABILITY: &'static str = "KeyboardDisplay";

    /// Whoever runs `pair` wants it.
    async fn allows(&self, _device: BDAddr) -> bool {
        true
    }

    async fn compares(&self, _device: BDAddr, number: u32) -> bool {
        if self.yes {
            eprintln!("both sides are taken to show {number:06}");
            return true;
        }
        let answer = prompt(format!("Do the glasses show {number:06}? [y/n] ")).await;
        matches!(answer.as_str(), "y" | "Y" | "yes")
    }

    async fn passkey(&self, _device: BDAddr) -> Option<u32> {
        match self.passkey {
            Some(passkey) => Some(passkey),
            None => prompt("The number that the glasses show: ".to_owned()).await.parse().ok(),
        }
    }

    async fn show(&self, _device: BDAddr, number: u32) {
        eprintln!("Type this on the glasses: {number:06}");
    }
}

/// Asks for a line; at the end of input it is empty.
async fn prompt(question: String) -> String {
    let read = move || {
        let mut line = String::new();
        eprint!("{question}");
        let _ = std::io::stderr().flush();
        let _ = std::io::stdin().read_line(&mut line);
        line.trim().to_owned()
    };
    tokio::task::spawn_blocking(read).await.unwrap_or_default()
}
