//! The link to one pair of glasses: found, connected, subscribed to, talked to until it is lost, and again.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use btleplug::api::{CharPropFlags, Characteristic as Gatt, Peripheral as _, ValueNotification, WriteType};
use btleplug::platform::{Adapter, Peripheral};
use futures_util::{Stream, StreamExt as _};
use glassd_core::GlassesId;
use glassd_core::gateway::Input;
use glassd_core::link::{Characteristic, Profile, Write, omi, uuid as places};
use glassd_policies::Backoff;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Radio;
use super::bus::News;
use super::search::{Taken, Wanted};
use crate::clock::Clock;
use crate::config::GlassesConfig;
use crate::event_loop::Event;

/// BlueZ connects and reads the whole GATT table in under a second where the glasses answer; its own limit is 30 s.
const CONNECT: Duration = Duration::from_secs(12);
/// What a read or a write may take; a hung firmware lets BlueZ wait for 30 s.
const REQUEST: Duration = Duration::from_secs(5);
/// Glasses that say nothing for so long are asked for something.
const SILENCE: Duration = Duration::from_secs(6);
/// More notifications in a second than a connection interval of 7.5 ms can carry.
const FLOOD: u32 = 2_000;
/// Soon at first, for most links heal within seconds.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(500), max: Duration::from_secs(20) };

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the glasses are not found: {0}")]
    NotFound(btleplug::Error),
    #[error("{0} failed: {1}")]
    Failed(&'static str, btleplug::Error),
    #[error("{0} was not answered within {1:?}")]
    Unanswered(&'static str, Duration),
    #[error("the glasses have not the service {0}")]
    NoService(Uuid),
    #[error("the link was lost")]
    Disconnected,
    #[error("the adapter has no power")]
    PoweredOff,
    #[error("bluetoothd is gone")]
    DaemonGone,
    #[error("the glasses sent over {FLOOD} notifications in a second")]
    Flood,
    #[error("the daemon ends")]
    Stopped,
}

type Notifications = Pin<Box<dyn Stream<Item = ValueNotification> + Send>>;

/// A link to one pair of glasses.
pub(super) struct Device {
    id: GlassesId,
    wanted: Wanted,
    radio: Radio,
    events: mpsc::Sender<Event>,
    clock: Clock,
}

/// A link that is up.
struct Connected<'a> {
    device: &'a Device,
    peripheral: &'a Peripheral,
    /// What there is in the GATT table, of what the profile knows.
    places: BTreeMap<Characteristic, Gatt>,
    notifications: Notifications,
    heard_at: Instant,
    second: (Instant, u32),
}

impl Device {
    pub(super) fn new(
        config: &GlassesConfig,
        radio: Radio,
        events: mpsc::Sender<Event>,
        clock: Clock,
    ) -> Self {
        let wanted = Wanted { service: Uuid::from_u128(places::OMI_SERVICE), address: config.address.parse().ok() };
        Self { id: config.name.clone(), wanted, radio, events, clock }
    }

    pub(super) async fn run(self, mut writes: mpsc::Receiver<Write>) {
        let mut failures = 0;
        loop {
            let mut news = self.radio.news.subscribe();
            let started = self.clock.now();
            let (was_up, lost) = self.linked(failures, &mut writes, &mut news).await;
            failures = if was_up { 0 } else { failures + 1 };
            if matches!(lost, Lost::Stopped) {
                return;
            }
            let lasted = self.clock.now().since(started).as_secs();
            tracing::info!(glasses = %self.id, reason = %lost, lasted_s = lasted, "no link");
            let random = crate::random_seed() as f64 / u64::MAX as f64;
            let delay = BACKOFF.delay(failures.saturating_sub(1), random);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                () = back(&mut news) => {}
                () = self.events.closed() => return,
            }
        }
    }

    /// Holds one link from its search to its loss; tells whether it was up.
    async fn linked(
        &self,
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
        let taken = match self.found(&adapter, failures).await {
            Ok(taken) => taken,
            Err(lost) => return (false, lost),
        };
        let peripheral = &taken.peripheral;
        let lost = match self.connected(peripheral).await {
            Ok(mut link) => {
                let lost = link.talk(writes, news).await;
                let gone = Input::GlassesDisconnected { glasses: self.id.clone() };
                // A daemon that has ended is noticed at the next turn.
                let _ = self.events.send(Event::Input(gone)).await;
                (true, lost)
            }
            Err(lost) => (false, lost),
        };
        // BlueZ goes on trying to connect until it is told to stop, and refuses the next attempt until then.
        let _ = timeout(REQUEST, peripheral.disconnect()).await;
        lost
    }

    /// Known glasses first; where that failed they may have to be heard again.
    async fn found(&self, adapter: &Adapter, failures: u32) -> Result<Taken<'_>, Lost> {
        if failures.is_multiple_of(2)
            && let Some(taken) = self.radio.search.known(adapter, &self.wanted).await
        {
            return Ok(taken);
        }
        self.radio.search.heard(adapter, &self.wanted).await.map_err(Lost::NotFound)
    }

    async fn connected<'a>(&'a self, peripheral: &'a Peripheral) -> Result<Connected<'a>, Lost> {
        within(CONNECT, "connecting", peripheral.connect()).await?;
        // Until this has run notifications are dropped, after each reconnection again.
        within(CONNECT, "discovering services", peripheral.discover_services()).await?;
        let table = peripheral.characteristics();
        let places: BTreeMap<Characteristic, Gatt> = omi::CHARACTERISTICS
            .into_iter()
            .filter_map(|one| Some((one, at(&table, places::of(one))?)))
            .collect();
        if !peripheral.services().iter().any(|service| service.uuid == self.wanted.service) {
            return Err(Lost::NoService(self.wanted.service));
        }
        let firmware = match at(&table, places::FIRMWARE_REVISION) {
            Some(place) => within(REQUEST, "reading the firmware's revision", peripheral.read(&place)).await?,
            None => Vec::new(),
        };
        let firmware = omi::Firmware::from_revision(&String::from_utf8_lossy(&firmware));
        // One stream for all of a link's life, always read: each has a queue without bound.
        let notifications = within(REQUEST, "listening", peripheral.notifications()).await?;
        let link = Connected {
            device: self,
            peripheral,
            places,
            notifications,
            heard_at: Instant::now(),
            second: (Instant::now(), 0),
        };
        link.device.tell(Input::GlassesConnected {
            glasses: self.id.clone(),
            profile: Profile::Omi(firmware),
            device_fps_limit: None,
        })
        .await?;
        for (characteristic, place) in &link.places {
            if place.properties.contains(CharPropFlags::NOTIFY) {
                within(REQUEST, "subscribing", peripheral.subscribe(place)).await?;
            }
            let is_fact = matches!(characteristic, Characteristic::Codec | Characteristic::BatteryLevel);
            if is_fact && place.properties.contains(CharPropFlags::READ) {
                let value = within(REQUEST, "reading", peripheral.read(place)).await?;
                link.device.heard(*characteristic, value).await?;
            }
        }
        tracing::info!(glasses = %self.id, address = %peripheral.address(), mtu = peripheral.mtu(), ?firmware, "linked");
        Ok(link)
    }

    async fn heard(&self, characteristic: Characteristic, value: Vec<u8>) -> Result<(), Lost> {
        self.tell(Input::Notification { glasses: self.id.clone(), characteristic, value }).await
    }

    async fn tell(&self, input: Input) -> Result<(), Lost> {
        self.events.send(Event::Input(input)).await.map_err(|_| Lost::Stopped)
    }
}

impl Connected<'_> {
    async fn talk(
        &mut self,
        writes: &mut mpsc::Receiver<Write>,
        news: &mut broadcast::Receiver<News>,
    ) -> Lost {
        loop {
            let turn = tokio::select! {
                notification = self.notifications.next() => match notification {
                    Some(notification) => self.hear(notification).await,
                    None => Err(Lost::Disconnected),
                },
                write = writes.recv() => match write {
                    Some(write) => self.write(&write).await,
                    None => Err(Lost::Stopped),
                },
                one = news.recv() => self.concern(one).await,
                () = tokio::time::sleep_until(self.heard_at + SILENCE) => self.probe().await,
            };
            if let Err(lost) = turn {
                return lost;
            }
        }
    }

    async fn hear(&mut self, notification: ValueNotification) -> Result<(), Lost> {
        let now = Instant::now();
        self.heard_at = now;
        if now.duration_since(self.second.0) >= Duration::from_secs(1) {
            self.second = (now, 0);
        }
        self.second.1 += 1;
        if self.second.1 > FLOOD {
            return Err(Lost::Flood);
        }
        let place = self.places.iter().find(|(_, place)| place.uuid == notification.uuid);
        match place {
            Some((&characteristic, _)) => self.device.heard(characteristic, notification.value).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, write: &Write) -> Result<(), Lost> {
        // Glasses without the characteristic have not that ability.
        let Some(place) = self.places.get(&write.characteristic) else { return Ok(()) };
        let acknowledged = place.properties.contains(CharPropFlags::WRITE);
        let kind = if acknowledged { WriteType::WithResponse } else { WriteType::WithoutResponse };
        within(REQUEST, "writing", self.peripheral.write(place, &write.value, kind)).await
    }

    /// Asks glasses that have been silent for anything: a firmware that hangs is told by nobody.
    async fn probe(&mut self) -> Result<(), Lost> {
        let readable = self.places.values().find(|place| place.properties.contains(CharPropFlags::READ));
        match readable {
            Some(place) => {
                within(REQUEST, "a question to silent glasses", self.peripheral.read(place)).await?;
            }
            None => {
                let is_up = within(REQUEST, "asking for the link", self.peripheral.is_connected()).await?;
                if !is_up {
                    return Err(Lost::Disconnected);
                }
            }
        }
        self.heard_at = Instant::now();
        Ok(())
    }

    async fn concern(&mut self, news: Result<News, broadcast::error::RecvError>) -> Result<(), Lost> {
        match news {
            Ok(News::Disconnected(id)) if id == self.peripheral.id() => Err(Lost::Disconnected),
            Ok(News::PoweredOff) => Err(Lost::PoweredOff),
            Ok(News::DaemonGone) => Err(Lost::DaemonGone),
            Ok(News::Disconnected(_) | News::Back) => Ok(()),
            // What was missed may have been about this link.
            Err(broadcast::error::RecvError::Lagged(_)) => {
                match within(REQUEST, "asking for the link", self.peripheral.is_connected()).await? {
                    true => Ok(()),
                    false => Err(Lost::Disconnected),
                }
            }
            Err(broadcast::error::RecvError::Closed) => Err(Lost::Stopped),
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

async fn within<T>(
    limit: Duration,
    what: &'static str,
    request: impl Future<Output = Result<T, btleplug::Error>>,
) -> Result<T, Lost> {
    match timeout(limit, request).await {
        Ok(answer) => answer.map_err(|error| Lost::Failed(what, error)),
        Err(_) => Err(Lost::Unanswered(what, limit)),
    }
}

fn at(table: &std::collections::BTreeSet<Gatt>, place: u128) -> Option<Gatt> {
    table.iter().find(|gatt| gatt.uuid == Uuid::from_u128(place)).cloned()
}
