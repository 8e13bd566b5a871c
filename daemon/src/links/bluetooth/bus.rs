//! News of the radio, and the one that only the bus tells: that bluetoothd is gone.

use std::sync::Arc;

use btleplug::api::{BDAddr, CentralEvent, CentralState};
use btleplug::platform::PeripheralId;
use futures_util::StreamExt as _;
use tokio::sync::broadcast;

use super::agent::{self, Answers};
use super::search::Search;

/// What happens to all links, or to one.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// The link to a device is lost.
    Disconnected(PeripheralId),
    /// The adapter has no power.
    PoweredOff,
    /// bluetoothd has ended; after SIGKILL nothing else tells.
    DaemonGone,
    /// Trying again pays: the adapter has power again, or bluetoothd is back.
    Back,
}

impl News {
    pub(super) fn of(event: &CentralEvent) -> Option<Self> {
        match event {
            CentralEvent::DeviceDisconnected(id) => Some(Self::Disconnected(id.clone())),
            CentralEvent::StateUpdate(CentralState::PoweredOff) => Some(Self::PoweredOff),
            CentralEvent::StateUpdate(CentralState::PoweredOn) => Some(Self::Back),
            _ => None,
        }
    }
}

/// Watches who owns `org.bluez` on the system bus, and has an agent with whoever it is.
pub(super) async fn watch(news: broadcast::Sender<News>, search: Arc<Search>) {
    if let Err(reason) = watched(&news, &search).await {
        tracing::warn!(%reason, "the system bus: a bluetoothd that is killed will be noticed late, and nothing can pair");
    }
}

async fn watched(news: &broadcast::Sender<News>, search: &Arc<Search>) -> zbus::Result<()> {
    let bus = zbus::Connection::system().await?;
    let daemon = zbus::fdo::DBusProxy::new(&bus).await?;
    let mut changes = daemon.receive_name_owner_changed_with_args(&[(0, "org.bluez")]).await?;
    let register = async || {
        if let Err(reason) = agent::register(&bus, Configured(Arc::clone(search))).await {
            tracing::warn!(%reason, "no agent with bluetoothd: glasses that want to be paired cannot be");
        }
    };
    if daemon.name_has_owner("org.bluez".try_into()?).await? {
        register().await;
    }
    while let Some(change) = changes.next().await {
        let Ok(arguments) = change.args() else { continue };
        let one = if arguments.new_owner().is_none() {
            News::DaemonGone
        } else {
            register().await;
            News::Back
        };
        tracing::info!(news = ?one, "bluetoothd");
        // Without a link nobody listens.
        let _ = news.send(one);
    }
    Ok(())
}

/// What the service answers while nobody looks: glasses that it holds a link to, and that may pair so, may.
struct Configured(Arc<Search>);

impl Answers for Configured {
    const CAPABILITY: &'static str = "NoInputNoOutput";

    async fn allows(&self, device: BDAddr) -> bool {
        let is_ours = self.0.may_pair(device);
        tracing::info!(%device, is_ours, "a device wants to be paired");
        is_ours
    }

    async fn compares(&self, _device: BDAddr, _number: u32) -> bool {
        false
    }

    async fn passkey(&self, _device: BDAddr) -> Option<u32> {
        None
    }

    async fn show(&self, _device: BDAddr, _number: u32) {}
}
