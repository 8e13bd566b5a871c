//! The link to one pair of glasses over its life: found, connected, talked to until it is lost, and again.

use std::time::Duration;

use btleplug::api::{BDAddr, Central as _, CentralState, Peripheral as _};
use btleplug::platform::Adapter;
use glassd_core::GlassesId;
use glassd_core::gateway::Input;
use glassd_core::link::{Profile, Write};
use glassd_policies::Backoff;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::time::{Instant, timeout};

use super::Radio;
use super::bus::News;
use super::connection::{Connection, Lost, REQUEST};
use super::search::{Taken, Wanted};
use crate::config::{GlassesConfig, Pairing};
use crate::event_loop::Event;
use crate::links::{Pause, Stage};

/// Soon at first, for most links heal within seconds.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(20) };
/// How often an adapter without power, or a bluetoothd that is gone, is looked for.
const NO_RADIO: Duration = Duration::from_secs(5);
/// So many failures in a row of glasses that BlueZ knows before they are looked for by a scan; then every other time.
const KNOWN_FIRST: u32 = 2;
/// BlueZ' words for a link that came to be and could not be encrypted; other losses have others.
const REFUSED: &str = "le-connection-abort-by-local";
/// So many failures in a row of glasses that are near and have our keys: they have lost theirs.
const FORGOTTEN: u32 = 2;

/// A link to one pair of glasses.
pub(super) struct Device {
    id: GlassesId,
    profile: Profile,
    /// Each Bluetooth device that the glasses are; an address that was found is kept.
    wanted: Vec<Wanted>,
    radio: Radio,
    events: mpsc::Sender<Event>,
}

impl Device {
    pub(super) fn new(
        config: &GlassesConfig,
        profile: Profile,
        radio: Radio,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let addresses = [&config.address, &config.right_address];
        let wanted = std::iter::zip(profile.parts(), addresses)
            .map(|(&part, address)| Wanted { part, address: address.parse().ok(), pairing: config.pairing })
            .collect();
        Self { id: config.name.clone(), profile, wanted, radio, events }
    }

    pub(super) async fn run(
        mut self,
        mut writes: mpsc::Receiver<Write>,
        mut paused: watch::Receiver<Option<Pause>>,
    ) {
        let mut failures = 0;
        let mut told = String::new();
        loop {
            let mut news = self.radio.news.subscribe();
            let (was_up, lost) = tokio::select! {
                ended = self.linked(failures, &mut writes, &mut news) => ended,
                reason = pauses(&mut paused) => (false, Lost::Paused(reason)),
            };
            if matches!(lost, Lost::Stopped) {
                return;
            }
            let delay = match lost {
                // News will tell; should it get lost, a look is cheap.
                Lost::PoweredOff | Lost::DaemonGone => {
                    failures = 0;
                    NO_RADIO
                }
                Lost::Paused(_) => {
                    failures = 0;
                    self.let_go().await;
                    Duration::ZERO
                }
                _ => {
                    // Glasses that flood are not worth the same haste again.
                    failures = if was_up && !matches!(lost, Lost::Flood) { 0 } else { failures + 1 };
                    BACKOFF.delay(failures.saturating_sub(1), crate::random_seed() as f64 / u64::MAX as f64)
                }
            };
            let reason = lost.to_string();
            if reason != told || was_up {
                tracing::info!(glasses = %self.id, reason, "no link");
                told.clone_from(&reason);
            }
            self.tell(Stage::Waiting { reason }).await;
            resumes(&mut paused).await;
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = back(&mut news) => {}
                () = self.events.closed() => return,
            }
        }
    }

    /// Holds one link from its search to its loss; tells whether it was up.
    async fn linked(
        &mut self,
        failures: u32,
        writes: &mut mpsc::Receiver<Write>,
        news: &mut broadcast::Receiver<News>,
    ) -> (bool, Lost) {
        let mut current = self.radio.adapter.clone();
        let adapter = match current.wait_for(Option::is_some).await {
            Ok(adapter) => adapter.clone(),
            Err(_) => return (false, Lost::Stopped),
        };
        let Some(adapter) = adapter else { return (false, Lost::Stopped) };
        // Scanning would turn the adapter on that somebody has turned off.
        match timeout(REQUEST, adapter.adapter_state()).await {
            Ok(Ok(CentralState::PoweredOn)) => {}
            Ok(Ok(_)) => return (false, Lost::PoweredOff),
            _ => return (false, Lost::DaemonGone),
        }
        self.tell(Stage::Searching).await;
        let radio = self.radio.clone();
        let mut taken = Vec::new();
        for wanted in &self.wanted {
            match found(&radio, &adapter, wanted, failures).await {
                Ok(one) => taken.push(one),
                Err(lost) => return (false, lost),
            }
        }
        for (wanted, taken) in std::iter::zip(&mut self.wanted, &taken) {
            if wanted.address.replace(taken.peripheral.address()).is_none() {
                let address = taken.peripheral.address();
                tracing::info!(glasses = %self.id, %address, "found; with this address in the configuration no others are taken for them");
            }
        }
        for one in &taken {
            if let Some(lost) = self.require_bond(one.peripheral.address()).await {
                return (false, lost);
            }
        }
        self.tell(Stage::Connecting).await;
        let (was_up, lost) =
            match Connection::open(&self.id, self.profile, &radio, &taken, &self.events).await {
                Ok(mut link) => {
                    let rssi = taken.iter().filter_map(|one| one.rssi).min();
                    self.tell(Stage::Up { address: addresses(&taken), mtu: link.mtu(), rssi }).await;
                    (true, link.talk(writes, news).await)
                }
                Err(lost) => (false, lost),
            };
        let gone = Input::GlassesDisconnected { glasses: self.id.clone() };
        // A daemon that has ended is noticed at the next turn.
        let _ = self.events.send(Event::Input(gone)).await;
        // BlueZ goes on trying to connect until it is told to stop, and refuses the next attempt until then.
        for one in &taken {
            let _ = timeout(REQUEST, one.peripheral.disconnect()).await;
        }
        let is_refused = matches!(&lost, Lost::Refused(error) if error.to_string().contains(REFUSED));
        if is_refused && failures + 1 >= FORGOTTEN {
            for one in &taken {
                if let Some(lost) = self.mend_bond(one.peripheral.address()).await {
                    return (false, lost);
                }
            }
        }
        (was_up, lost)
    }

    /// Glasses that a person pairs have no link without a bond: who passes for them would be taken for them.
    async fn require_bond(&self, address: BDAddr) -> Option<Lost> {
        if self.wanted.iter().all(|wanted| wanted.pairing == Pairing::Automatic) {
            return None;
        }
        let found = async { self.radio.bluez().await?.find(address).await };
        match found.await {
            Ok(Some(device)) if device.is_paired => None,
            Ok(_) => Some(Lost::NotPaired(self.id.clone())),
            Err(error) => Some(Lost::Unknown(error)),
        }
    }

    /// Glasses that were reset have forgotten our keys: BlueZ goes on offering them, and each link is refused at once.
    async fn mend_bond(&self, address: BDAddr) -> Option<Lost> {
        let bluez = self.radio.bluez().await.ok()?;
        let device = bluez.find(address).await.ok()??;
        if !device.is_paired {
            return None;
        }
        if self.wanted.iter().any(|wanted| wanted.pairing == Pairing::ByHand) {
            return Some(Lost::BondForgotten(self.id.clone()));
        }
        if let Err(error) = bluez.forget(&device).await {
            tracing::warn!(glasses = %self.id, %address, %error, "keys that the glasses refuse stay");
        } else {
            tracing::warn!(glasses = %self.id, %address, "the glasses refuse our keys: they are paired anew");
        }
        None
    }

    /// Ends the link for whoever wants the glasses.
    async fn let_go(&self) {
        let gone = Input::GlassesDisconnected { glasses: self.id.clone() };
        // A daemon that has ended is noticed at the next turn.
        let _ = self.events.send(Event::Input(gone)).await;
        let Some(adapter) = self.radio.adapter.borrow().clone() else { return };
        let devices = adapter.peripherals().await.unwrap_or_default();
        let is_ours = |device: BDAddr| self.wanted.iter().any(|wanted| wanted.address == Some(device));
        for device in devices.iter().filter(|device| is_ours(device.address())) {
            let _ = timeout(REQUEST, device.disconnect()).await;
        }
    }

    async fn tell(&self, stage: Stage) {
        // A daemon that has ended is noticed at the next turn.
        let _ = self.events.send(Event::Link { glasses: self.id.clone(), stage }).await;
    }
}

/// Known glasses first; where that failed they may have to be heard again.
async fn found<'a>(
    radio: &'a Radio,
    adapter: &Adapter,
    wanted: &Wanted,
    failures: u32,
) -> Result<Taken<'a>, Lost> {
    if (failures < KNOWN_FIRST || failures.is_multiple_of(2))
        && let Some(taken) = radio.search.known(adapter, wanted).await
    {
        return Ok(taken);
    }
    radio.search.heard(adapter, wanted).await.map_err(Lost::NotFound)
}

fn addresses(taken: &[Taken<'_>]) -> String {
    let all: Vec<String> = taken.iter().map(|one| one.peripheral.address().to_string()).collect();
    all.join(" and ")
}

/// Returns why the glasses are to be left alone, when they are.
async fn pauses(paused: &mut watch::Receiver<Option<Pause>>) -> &'static str {
    let begins = |pause: &Option<Pause>| pause.is_some_and(|pause| pause.until > Instant::now());
    let reason = paused.wait_for(begins).await.ok().and_then(|pause| pause.map(|pause| pause.reason));
    match reason {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

/// Returns when they need not be left alone any more.
async fn resumes(paused: &mut watch::Receiver<Option<Pause>>) {
    loop {
        let pause = *paused.borrow_and_update();
        let Some(pause) = pause.filter(|pause| pause.until > Instant::now()) else { return };
        tokio::select! {
            () = tokio::time::sleep_until(pause.until) => {}
            changed = paused.changed() => if changed.is_err() { return },
        }
    }
}

/// Returns when trying again pays.
async fn back(news: &mut broadcast::Receiver<News>) {
    loop {
        match news.recv().await {
            Ok(News::Back) => return,
            Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
