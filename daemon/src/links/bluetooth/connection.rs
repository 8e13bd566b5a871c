//! One link that is up: set up, listened to, written to, watched.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::Pin;
use std::time::Duration;

use btleplug::api::{CharPropFlags, Characteristic as Gatt, Peripheral as _, ValueNotification, WriteType};
use btleplug::platform::Peripheral;
use futures_util::stream::{SelectAll, select_all};
use futures_util::{Stream, StreamExt as _};
use glassd_core::GlassesId;
use glassd_core::gateway::Input;
use glassd_core::link::{Characteristic, Part, Profile, Write, omi, uuid as places};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::Radio;
use super::bluez::BluezError;
use super::bus::News;
use super::search::Taken;
use crate::event_loop::Event;

/// BlueZ connects and reads the whole GATT table in under a second where the glasses answer; its own limit is 30 s.
const CONNECT: Duration = Duration::from_secs(12);
/// What a read or a write may take; a hung firmware lets BlueZ wait for 30 s.
pub(super) const REQUEST: Duration = Duration::from_secs(8);
/// BlueZ' words for a link that came to be and could not be encrypted; other losses have others.
const REFUSED: &str = "le-connection-abort-by-local";
/// BlueZ' word for a request that needs a bond (`gatt-client.c`).
const NOT_PAIRED: &str = "Not paired";
/// How long BlueZ is given to pair by itself.
const BY_ITSELF: Duration = Duration::from_secs(10);
/// What the first of them may take: it may have to wait until keys are exchanged.
const FIRST_REQUEST: Duration = Duration::from_secs(20);
/// Glasses that say nothing for so long are asked for something.
const SILENCE: Duration = Duration::from_secs(6);
/// So many silences in a row of glasses that answer: they may have forgotten what was subscribed to.
const FORGETFUL: u32 = 5;
/// More notifications in a second than a connection interval of 7.5 ms can carry.
const FLOOD: u32 = 2_000;

/// Why a link ended, or did not come to be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Lost {
    #[error("not heard within {0:?}; are the glasses on, and connected to no phone?")]
    NotHeard(Duration),
    #[error("{0} failed: {1}")]
    Failed(&'static str, btleplug::Error),
    #[error("connecting failed: {0}")]
    Refused(btleplug::Error),
    #[error("pairing failed: {0}")]
    PairingFailed(BluezError),
    #[error("{0} was not answered within {1:?}")]
    Unanswered(&'static str, Duration),
    #[error("the device has not the service {0}: is its kind right?")]
    NoService(Uuid),
    #[error("the glasses are not paired, and are to be paired by hand: `glassd pair {0}`")]
    NotPaired(GlassesId),
    #[error(transparent)]
    Bluez(BluezError),
    #[error("the glasses refuse the keys of their bond: `glassd pair {0}` makes a new one")]
    BondForgotten(GlassesId),
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

impl Lost {
    /// Tells whether the link came to be and could not be encrypted.
    pub(super) fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(error) if error.to_string().contains(REFUSED))
    }

    /// Tells whether what went wrong may be that BlueZ looks in the wrong places of the GATT table.
    pub(super) fn is_of_the_table(&self) -> bool {
        matches!(self, Self::Failed(..) | Self::Unanswered(..))
    }
}

/// Which part sent a notification, and what.
type Notifications = SelectAll<Pin<Box<dyn Stream<Item = (usize, ValueNotification)> + Send>>>;

/// Where a characteristic is: in which part, and there.
struct Place<'a> {
    part: usize,
    peripheral: &'a Peripheral,
    gatt: Gatt,
}

/// A link that is up.
pub(super) struct Connection<'a> {
    glasses: &'a GlassesId,
    events: &'a mpsc::Sender<Event>,
    taken: &'a [Taken<'a>],
    /// What there is in the GATT tables, of what the profile knows.
    places: BTreeMap<Characteristic, Place<'a>>,
    notifications: Notifications,
    heard_at: Instant,
    /// Questions in a row that were answered without a notification between them.
    silences: u32,
    /// A second that began then, and how many notifications it had.
    second: (Instant, u32),
}

impl<'a> Connection<'a> {
    /// Connects to each part and subscribes to all that it notifies.
    pub(super) async fn open(
        glasses: &'a GlassesId,
        profile: Profile,
        radio: &Radio,
        taken: &'a [Taken<'a>],
        events: &'a mpsc::Sender<Event>,
    ) -> Result<Self, Lost> {
        let mut places = BTreeMap::new();
        let mut streams = Vec::new();
        for (index, (part, one)) in std::iter::zip(profile.parts(), taken).enumerate() {
            let peripheral = &one.peripheral;
            places.extend(found(index, part, peripheral).await?);
            // One stream for all of a link's life, always read: each has a queue without bound.
            let stream = within(REQUEST, "listening", peripheral.notifications()).await?;
            streams.push(stream.map(move |notification| (index, notification)).boxed());
        }
        let profile = match profile {
            Profile::Omi(_) => Profile::Omi(firmware(radio, taken).await?),
            other => other,
        };
        let now = Instant::now();
        let notifications = select_all(streams);
        let mut link = Self {
            glasses,
            events,
            taken,
            places,
            notifications,
            heard_at: now,
            silences: 0,
            second: (now, 0),
        };
        let mut refused = None;
        let mut count = 0;
        for (characteristic, place) in notifying(&link.places) {
            let subscribe = || place.peripheral.subscribe(&place.gatt);
            match paired(radio, "subscribing", place.peripheral, subscribe).await {
                Ok(()) => count += 1,
                Err(Lost::Failed(what, error)) => {
                    tracing::warn!(%glasses, ?characteristic, %error, "the glasses refuse a subscription");
                    refused = Some(Lost::Failed(what, error));
                }
                Err(lost) => return Err(lost),
            }
        }
        // One that they refuse is an ability less; all of them are no glasses.
        if let (0, Some(lost)) = (count, refused) {
            return Err(lost);
        }
        let connected = Input::GlassesConnected { glasses: glasses.clone(), profile, device_fps_limit: None };
        tell(events, connected).await?;
        let facts: Vec<_> = link
            .places
            .iter()
            .filter(|(one, place)| one.is_fact() && place.gatt.properties.contains(CharPropFlags::READ))
            .map(|(one, place)| (*one, place.peripheral, place.gatt.clone()))
            .collect();
        for (characteristic, peripheral, gatt) in facts {
            match paired(radio, "reading", peripheral, || peripheral.read(&gatt)).await {
                Ok(value) => link.hand_on(characteristic, value).await?,
                Err(Lost::Failed(_, error)) => {
                    tracing::warn!(%glasses, ?characteristic, %error, "the glasses refuse to be read");
                }
                Err(lost) => return Err(lost),
            }
        }
        tracing::info!(%glasses, mtu = link.mtu(), ?profile, "linked");
        Ok(link)
    }

    /// Returns the least MTU of the parts, in bytes.
    pub(super) fn mtu(&self) -> u16 {
        self.taken.iter().map(|one| one.peripheral.mtu()).min().unwrap_or(btleplug::api::DEFAULT_MTU_SIZE)
    }

    /// Carries notifications and writes until the link is lost.
    pub(super) async fn talk(
        &mut self,
        writes: &mut mpsc::Receiver<Write>,
        news: &mut broadcast::Receiver<News>,
    ) -> Lost {
        loop {
            let turn = tokio::select! {
                notification = self.notifications.next() => match notification {
                    Some((part, notification)) => self.hear(part, notification).await,
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
                return cause(news).unwrap_or(lost);
            }
        }
    }

    async fn hear(&mut self, part: usize, notification: ValueNotification) -> Result<(), Lost> {
        let now = Instant::now();
        self.heard_at = now;
        self.silences = 0;
        if now.duration_since(self.second.0) >= Duration::from_secs(1) {
            self.second = (now, 0);
        }
        self.second.1 += 1;
        if self.second.1 > FLOOD {
            return Err(Lost::Flood);
        }
        let is_its = |place: &Place<'_>| place.part == part && place.gatt.uuid == notification.uuid;
        match self.places.iter().find(|(_, place)| is_its(place)) {
            Some((&characteristic, _)) => self.hand_on(characteristic, notification.value).await,
            None => Ok(()),
        }
    }

    async fn write(&mut self, write: &Write) -> Result<(), Lost> {
        // Glasses without the characteristic have not that ability.
        let Some(place) = self.places.get(&write.characteristic) else { return Ok(()) };
        let acknowledged = place.gatt.properties.contains(CharPropFlags::WRITE);
        let kind = if acknowledged { WriteType::WithResponse } else { WriteType::WithoutResponse };
        match within(REQUEST, "writing", place.peripheral.write(&place.gatt, &write.value, kind)).await {
            // What they refuse once they may take another time; a link that is lost is told by others.
            Err(Lost::Failed(_, error)) => {
                let (glasses, characteristic) = (self.glasses, write.characteristic);
                tracing::warn!(%glasses, ?characteristic, %error, "the glasses refuse what is written");
                require_links(self.taken).await
            }
            other => other,
        }
    }

    /// Asks glasses that have been silent for anything: a firmware that hangs is told by nobody.
    async fn probe(&mut self) -> Result<(), Lost> {
        let readable = |place: &&Place<'_>| place.gatt.properties.contains(CharPropFlags::READ);
        match self.places.values().find(readable) {
            Some(place) => {
                let question = place.peripheral.read(&place.gatt);
                within(REQUEST, "a question to silent glasses", question).await?;
            }
            None => require_links(self.taken).await?,
        }
        self.silences += 1;
        if self.silences.is_multiple_of(FORGETFUL) {
            subscribe_again(&self.places).await?;
        }
        self.heard_at = Instant::now();
        Ok(())
    }

    async fn concern(&mut self, news: Result<News, broadcast::error::RecvError>) -> Result<(), Lost> {
        match news {
            Ok(News::Disconnected(id)) if self.taken.iter().any(|one| one.peripheral.id() == id) => {
                Err(Lost::Disconnected)
            }
            Ok(one) => ends_all(&one).map_or(Ok(()), Err),
            // What was missed may have been about this link.
            Err(broadcast::error::RecvError::Lagged(_)) => require_links(self.taken).await,
            Err(broadcast::error::RecvError::Closed) => Err(Lost::Stopped),
        }
    }

    async fn hand_on(&mut self, characteristic: Characteristic, value: Vec<u8>) -> Result<(), Lost> {
        let glasses = self.glasses.clone();
        tell(self.events, Input::Notification { glasses, characteristic, value }).await
    }
}

async fn tell(events: &mpsc::Sender<Event>, input: Input) -> Result<(), Lost> {
    events.send(Event::Input(input)).await.map_err(|_| Lost::Stopped)
}

/// Returns what the glasses can notify.
fn notifying<'a, 'b>(
    places: &'a BTreeMap<Characteristic, Place<'b>>,
) -> impl Iterator<Item = (Characteristic, &'a Place<'b>)> {
    let notifies = |place: &Place<'_>| place.gatt.properties.contains(CharPropFlags::NOTIFY);
    places.iter().filter(move |(_, place)| notifies(place)).map(|(one, place)| (*one, place))
}

/// Subscribes anew: glasses that forget subscriptions answer everything and send nothing.
async fn subscribe_again(places: &BTreeMap<Characteristic, Place<'_>>) -> Result<(), Lost> {
    for (_, place) in notifying(places) {
        // BlueZ believes in the subscription and would not write it again otherwise.
        let _ = within(REQUEST, "unsubscribing", place.peripheral.unsubscribe(&place.gatt)).await;
        match within(REQUEST, "subscribing", place.peripheral.subscribe(&place.gatt)).await {
            Ok(()) | Err(Lost::Failed(..)) => {}
            Err(lost) => return Err(lost),
        }
    }
    Ok(())
}

async fn require_links(taken: &[Taken<'_>]) -> Result<(), Lost> {
    for one in taken {
        if !within(REQUEST, "asking for the link", one.peripheral.is_connected()).await? {
            return Err(Lost::Disconnected);
        }
    }
    Ok(())
}

/// What ends every link there is.
fn ends_all(news: &News) -> Option<Lost> {
    match news {
        News::PoweredOff => Some(Lost::PoweredOff),
        News::DaemonGone => Some(Lost::DaemonGone),
        News::Disconnected(_) | News::Back => None,
    }
}

/// A request that failed may have failed for a reason that is not looked at yet.
fn cause(news: &mut broadcast::Receiver<News>) -> Option<Lost> {
    std::iter::from_fn(|| news.try_recv().ok()).find_map(|one| ends_all(&one))
}

/// Connects to one part and finds what it has.
async fn found<'a>(
    index: usize,
    part: &Part,
    peripheral: &'a Peripheral,
) -> Result<Vec<(Characteristic, Place<'a>)>, Lost> {
    match timeout(CONNECT, peripheral.connect()).await {
        Ok(connected) => connected.map_err(Lost::Refused)?,
        Err(_) => return Err(Lost::Unanswered("connecting", CONNECT)),
    }
    // Until this has run notifications are dropped, after each reconnection again.
    within(CONNECT, "discovering services", peripheral.discover_services()).await?;
    let service = Uuid::from_u128(part.service);
    if !peripheral.services().iter().any(|one| one.uuid == service) {
        return Err(Lost::NoService(service));
    }
    let table = peripheral.characteristics();
    let place = |&one: &Characteristic| {
        Some((one, Place { part: index, peripheral, gatt: at(&table, places::of(one))? }))
    };
    Ok(part.characteristics.iter().filter_map(place).collect())
}

async fn firmware(radio: &Radio, taken: &[Taken<'_>]) -> Result<omi::Firmware, Lost> {
    let Some(one) = taken.first() else { return Ok(omi::Firmware::Unknown) };
    let Some(place) = at(&one.peripheral.characteristics(), places::FIRMWARE_REVISION) else {
        return Ok(omi::Firmware::Unknown);
    };
    let revision =
        paired(radio, "reading the firmware's revision", &one.peripheral, || one.peripheral.read(&place))
            .await?;
    Ok(omi::Firmware::from_revision(&String::from_utf8_lossy(&revision)))
}

/// Makes the first requests of a link: glasses that want a bond refuse them until there is one. BlueZ begins to pair
/// by itself then, and may refuse the request before it is through.
async fn paired<T, R: Future<Output = Result<T, btleplug::Error>>>(
    radio: &Radio,
    what: &'static str,
    peripheral: &Peripheral,
    request: impl Fn() -> R,
) -> Result<T, Lost> {
    match within(FIRST_REQUEST, what, request()).await {
        Err(Lost::Failed(_, error)) if error.to_string().contains(NOT_PAIRED) => {}
        answer => return answer,
    }
    let bond = async {
        let bluez = radio.bluez().await?;
        match bluez.find(peripheral.address()).await? {
            Some(device) => match bluez.until_paired(device.address, BY_ITSELF).await {
                Err(BluezError::Unanswered(..)) => bluez.pair(&device, FIRST_REQUEST).await,
                other => other,
            },
            None => Ok(()),
        }
    };
    bond.await.map_err(Lost::PairingFailed)?;
    within(FIRST_REQUEST, what, request()).await
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

fn at(table: &BTreeSet<Gatt>, place: u128) -> Option<Gatt> {
    table.iter().find(|gatt| gatt.uuid == Uuid::from_u128(place)).cloned()
}
