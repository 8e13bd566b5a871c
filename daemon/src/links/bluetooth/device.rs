//! The link to one pair of glasses over its life: found, connected, talked to until it is lost, and again.

use std::time::Duration;

use btleplug::api::{BDAddr, Central as _, CentralState, Peripheral as _};
use btleplug::platform::Adapter;
use glassd_core::GlassesId;
use glassd_core::gateway::Input;
use glassd_core::link::{Profile, Write};
use glassd_policies::Backoff;
use tokio::sync::{broadcast, mpsc};
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
/// So many failures in a row of glasses that are near: they are not what BlueZ remembers of them.
const CHANGED: u32 = 2;

/// How it has gone with a link so far.
#[derive(Default)]
struct Course {
    /// Failures in a row.
    failures: u32,
    /// The reason that was told last: the same one again is not told.
    told: String,
}

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

    pub(super) async fn run(mut self, mut writes: mpsc::Receiver<Write>, mut pauses: mpsc::Receiver<Pause>) {
        let mut course = Course::default();
        loop {
            tokio::select! {
                // A pause that is asked for comes before the next attempt.
                biased;
                pause = begin(&mut pauses) => {
                    course = Course::default();
                    match pause {
                        Some(pause) => self.stand_back(pause, &mut pauses).await,
                        None => return,
                    }
                }
                goes_on = self.turn(&mut course, &mut writes) => if !goes_on { return },
            }
        }
    }

    /// Has a link until it is lost, and waits until the next attempt pays; tells whether there will be one.
    async fn turn(&mut self, course: &mut Course, writes: &mut mpsc::Receiver<Write>) -> bool {
        let mut news = self.radio.news.subscribe();
        let (was_up, lost) = self.linked(course.failures, writes, &mut news).await;
        if matches!(lost, Lost::Stopped) {
            return false;
        }
        let delay = match lost {
            // News will tell; should it get lost, a look is cheap.
            Lost::PoweredOff | Lost::DaemonGone => {
                course.failures = 0;
                NO_RADIO
            }
            _ => {
                // Glasses that flood are not worth the same haste again.
                course.failures =
                    if was_up && !matches!(lost, Lost::Flood) { 0 } else { course.failures + 1 };
                let spread = crate::random_seed() as f64 / u64::MAX as f64;
                BACKOFF.delay(course.failures.saturating_sub(1), spread)
            }
        };
        let reason = lost.to_string();
        if reason != course.told || was_up {
            tracing::info!(glasses = %self.id, reason, "no link");
            course.told.clone_from(&reason);
        }
        self.tell(Stage::Waiting { reason }).await;
        tokio::select! {
            () = tokio::time::sleep(delay) => true,
            () = back(&mut news) => true,
            () = self.events.closed() => false,
        }
    }

    /// Leaves the glasses to others until the pause is over.
    async fn stand_back(&self, mut pause: Pause, pauses: &mut mpsc::Receiver<Pause>) {
        self.let_go().await;
        loop {
            if pause.until > Instant::now() {
                let reason = format!("the glasses are left alone: {}", pause.reason);
                tracing::info!(glasses = %self.id, reason, "no link");
                self.tell(Stage::Waiting { reason }).await;
            }
            // Whoever asked may have gone.
            let _ = pause.begun.send(());
            tokio::select! {
                biased;
                next = pauses.recv() => match next {
                    Some(next) => pause = next,
                    None => return,
                },
                () = tokio::time::sleep_until(pause.until) => return,
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
        for one in &taken {
            if let Some(lost) = self.require_bond(one.peripheral.address()).await {
                return (false, lost);
            }
        }
        self.tell(Stage::Connecting).await;
        // What was meant for a link that is gone means nothing to the next one.
        while writes.try_recv().is_ok() {}
        let (was_up, lost) = match Connection::open(&self.id, self.profile, &radio, &taken, &self.events)
            .await
        {
            Ok(mut link) => {
                // Who only passed for them by name would be taken for them for ever.
                for (wanted, one) in std::iter::zip(&mut self.wanted, &taken) {
                    let address = one.peripheral.address();
                    if wanted.address.replace(address).is_none() {
                        tracing::info!(glasses = %self.id, %address, "found; with this address in the configuration no others are taken for them");
                    }
                }
                let rssi = taken.iter().filter_map(|one| one.rssi).min();
                self.tell(Stage::Up { address: addresses(&taken), mtu: link.mtu(), rssi }).await;
                (true, link.talk(writes, news).await)
            }
            Err(lost) => (false, lost),
        };
        let gone = Input::GlassesDisconnected { glasses: self.id.clone() };
        // A daemon that has ended is noticed at the next turn.
        let _ = self.events.send(Event::Input(gone)).await;
        let mut mended = None;
        for one in taken.iter().filter(|_| !was_up) {
            mended = self.mend(one.peripheral.address(), &lost, failures + 1).await.or(mended);
        }
        // BlueZ goes on trying to connect until it is told to stop, and refuses the next attempt until then.
        for one in &taken {
            let _ = timeout(REQUEST, one.peripheral.disconnect()).await;
        }
        (was_up, mended.unwrap_or(lost))
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
            Err(error) => Some(Lost::Bluez(error)),
        }
    }

    /// Has BlueZ forget what it remembers of glasses that are others now. Glasses that were reset have lost our keys,
    /// which BlueZ goes on offering, and each link is refused at once. A new firmware has another GATT table, which
    /// BlueZ looks for where the old one was until it gives up.
    async fn mend(&self, address: BDAddr, lost: &Lost, failures: u32) -> Option<Lost> {
        let (has_lost_keys, is_stale) = (lost.is_refused(), lost.is_of_the_table());
        if !(has_lost_keys && failures >= CHANGED || is_stale && failures.is_multiple_of(CHANGED)) {
            return None;
        }
        let bluez = self.radio.bluez().await.ok()?;
        let device = bluez.find(address).await.ok()??;
        let (is_it, why) = if has_lost_keys {
            (device.is_paired, "the glasses refuse our keys")
        } else {
            // Of glasses that are not near nothing is known.
            (device.is_connected, "the glasses' GATT table cannot be read")
        };
        if !is_it {
            return None;
        }
        if device.is_paired && self.wanted.iter().any(|wanted| wanted.pairing == Pairing::ByHand) {
            // A person's bond is not thrown away for a table that may only be hard to read.
            return has_lost_keys.then(|| Lost::BondForgotten(self.id.clone()));
        }
        let id = &self.id;
        match bluez.forget(&device).await {
            Ok(()) => tracing::warn!(glasses = %id, %address, why, "BlueZ forgets them: they begin anew"),
            Err(error) => tracing::warn!(glasses = %id, %address, why, %error, "they cannot be forgotten"),
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
    radio.search.heard(&radio.bluez().await.map_err(Lost::Bluez)?, adapter, wanted).await
}

fn addresses(taken: &[Taken<'_>]) -> String {
    let all: Vec<String> = taken.iter().map(|one| one.peripheral.address().to_string()).collect();
    all.join(" and ")
}

/// Returns a pause that begins; one that is over changes nothing.
async fn begin(pauses: &mut mpsc::Receiver<Pause>) -> Option<Pause> {
    loop {
        let pause = pauses.recv().await?;
        if pause.until > Instant::now() {
            return Some(pause);
        }
        // Whoever asked may have gone.
        let _ = pause.begun.send(());
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
