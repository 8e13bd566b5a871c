//! News of the radio, and the one that only the bus tells: that bluetoothd is gone.

use btleplug::api::{CentralEvent, CentralState};
use btleplug::platform::PeripheralId;
use futures_util::StreamExt as _;
use tokio::sync::broadcast;

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

/// Watches who owns `org.bluez` on the system bus.
pub(super) async fn watch(news: broadcast::Sender<News>) {
    if let Err(reason) = watched(&news).await {
        tracing::warn!(%reason, "a bluetoothd that is killed will be noticed late");
    }
}

async fn watched(news: &broadcast::Sender<News>) -> zbus::Result<()> {
    let bus = zbus::Connection::system().await?;
    let daemon = zbus::fdo::DBusProxy::new(&bus).await?;
    let mut changes = daemon.receive_name_owner_changed_with_args(&[(0, "org.bluez")]).await?;
    while let Some(change) = changes.next().await {
        let Ok(arguments) = change.args() else { continue };
        let one = if arguments.new_owner().is_none() { News::DaemonGone } else { News::Back };
        tracing::info!(news = ?one, "bluetoothd");
        // Without a link nobody listens.
        let _ = news.send(one);
    }
    Ok(())
}
