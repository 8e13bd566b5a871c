//! Links over Bluetooth Low Energy, through BlueZ: [finding](search) glasses, [talking](connection) to them until the
//! link is lost, and [beginning again](device).
//!
//! What BlueZ and btleplug do not say is watched for here: streams that do not end when the link does, a bluetoothd
//! that was killed, firmware that hangs, and connects that go on in the background after they have failed.

pub mod agent;
pub mod bluez;
mod bus;
mod connection;
mod device;
mod search;

use std::collections::BTreeMap;
use std::sync::Arc;

use btleplug::api::{Central as _, CentralState, Manager as _};
use btleplug::platform::{Adapter, Manager};
use futures_util::StreamExt as _;
use glassd_core::GlassesId;
use glassd_core::link::{Profile, Write};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinHandle;

use self::bluez::{Bluez, BluezError};
use self::bus::News;
use self::device::Device;
pub use self::search::NO_RSSI;
use self::search::Search;
use crate::config::{BluetoothConfig, GlassesConfig};
use crate::daemon::MAX_WRITES;
use crate::event_loop::Event;
use crate::links::Pause;

/// News of the radio that wait for a link. Full-queue rule: the oldest goes, and the link looks for itself.
const MAX_NEWS: usize = 64;
/// Pauses that wait for a link. Full-queue rule: one more is refused.
const MAX_PAUSES: usize = 4;
/// How long to wait before asking again for an adapter that is not there.
const NO_ADAPTER: std::time::Duration = std::time::Duration::from_secs(2);

/// What all links share.
#[derive(Clone)]
struct Radio {
    adapter: watch::Receiver<Option<Adapter>>,
    news: broadcast::Sender<News>,
    search: Arc<Search>,
    /// Name of the adapter that is wanted; empty for any.
    wanted: String,
}

impl Radio {
    /// Returns what of BlueZ btleplug does not offer.
    async fn bluez(&self) -> Result<Bluez, BluezError> {
        Bluez::open(&self.wanted).await
    }
}

/// Running links.
pub struct Links {
    /// Takes GATT writes for each pair of glasses.
    pub writes: BTreeMap<GlassesId, mpsc::Sender<Write>>,
    /// Has each link leave its glasses alone.
    pub pauses: BTreeMap<GlassesId, mpsc::Sender<Pause>>,
    /// End when the daemon's loop does.
    pub tasks: Vec<JoinHandle<()>>,
}

/// Starts a link for each pair of glasses.
pub fn spawn(
    config: &BluetoothConfig,
    glasses: &[(GlassesConfig, Profile)],
    events: &mpsc::Sender<Event>,
) -> Links {
    let mut links = Links { writes: BTreeMap::new(), pauses: BTreeMap::new(), tasks: Vec::new() };
    if glasses.is_empty() {
        return links;
    }
    let (adapter, current) = watch::channel(None);
    let (news, _) = broadcast::channel(MAX_NEWS);
    let radio = Radio {
        adapter: current,
        news: news.clone(),
        search: Arc::new(Search::default()),
        wanted: config.adapter.clone(),
    };
    links.tasks.push(tokio::spawn(bus::watch(news.clone(), Arc::clone(&radio.search))));
    links.tasks.push(tokio::spawn(keep_adapter(config.adapter.clone(), adapter, news)));
    for (pair, profile) in glasses {
        let (writes, writes_in) = mpsc::channel(MAX_WRITES);
        let (pause, pauses) = mpsc::channel(MAX_PAUSES);
        links.pauses.insert(pair.name.clone(), pause);
        let device = Device::new(pair, *profile, radio.clone(), events.clone());
        links.writes.insert(pair.name.clone(), writes);
        links.tasks.push(tokio::spawn(device.run(writes_in, pauses)));
    }
    links
}

/// Waits for an adapter, which outlives restarts of bluetoothd, and tells its news: its stream is read by one task
/// only, for each reader has a queue of its own that grows without bound.
async fn keep_adapter(
    wanted: String,
    current: watch::Sender<Option<Adapter>>,
    news: broadcast::Sender<News>,
) {
    let mut told = false;
    loop {
        match adapter(&wanted).await {
            Ok(adapter) => {
                if let Ok(mut events) = adapter.events().await {
                    let name = name(&adapter).await;
                    tracing::info!(adapter = %name, "Bluetooth is there");
                    current.send_replace(Some(adapter));
                    told = false;
                    while let Some(event) = events.next().await {
                        if let Some(one) = News::of(&event) {
                            // Without a link nobody listens.
                            let _ = news.send(one);
                        }
                    }
                    current.send_replace(None);
                }
            }
            Err(reason) if !told => {
                tracing::warn!(%reason, "no Bluetooth: glasses wait until there is an adapter");
                told = true;
            }
            Err(_) => {}
        }
        tokio::time::sleep(NO_ADAPTER).await;
    }
}

/// Finds the adapter that is wanted; else the first that has power, else the first.
async fn adapter(wanted: &str) -> Result<Adapter, String> {
    let manager = Manager::new().await.map_err(|error| format!("no system bus: {error}"))?;
    let adapters =
        manager.adapters().await.map_err(|error| format!("bluetoothd does not answer: {error}"))?;
    let mut candidates = Vec::new();
    for adapter in adapters {
        let name = name(&adapter).await;
        let has_power = adapter.adapter_state().await.is_ok_and(|state| state == CentralState::PoweredOn);
        if wanted.is_empty() || name.split(' ').next() == Some(wanted) {
            candidates.push((!has_power, name, adapter));
        }
    }
    let first = candidates.into_iter().min_by(|(a, b, _), (c, d, _)| (a, b).cmp(&(c, d)));
    first.map(|(_, _, adapter)| adapter).ok_or_else(|| match wanted {
        "" => "bluetoothd knows no adapter".to_owned(),
        _ => format!("bluetoothd knows no adapter {wanted}"),
    })
}

async fn name(adapter: &Adapter) -> String {
    adapter.adapter_info().await.unwrap_or_else(|_| "without a name".to_owned())
}
