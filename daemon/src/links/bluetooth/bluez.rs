//! What of BlueZ's D-Bus interface btleplug does not offer: pairing, and the devices that BlueZ keeps
//! (`org.bluez.Adapter.rst`, `org.bluez.Device.rst`, `org.bluez.AgentManager.rst`).

use std::collections::HashMap;
use std::time::Duration;

use btleplug::api::BDAddr;
use glassd_core::link::Part;
use uuid::Uuid;
use zbus::Connection;
use zbus::fdo::ObjectManagerProxy;
use zbus::names::OwnedInterfaceName;
use zbus::proxy;
use zbus::wire::{OwnedVariant, Variant};
use zbus::{ObjectPath, OwnedObjectPath};

#[proxy(interface = "org.bluez.Adapter1", default_service = "org.bluez")]
trait Adapter1 {
    fn remove_device(&self, device: &ObjectPath<'_>) -> zbus::Result<()>;
    fn set_discovery_filter(&self, filter: HashMap<&str, Variant<'_>>) -> zbus::Result<()>;
    fn start_discovery(&self) -> zbus::Result<()>;
    fn stop_discovery(&self) -> zbus::Result<()>;
    #[zbus(property)]
    fn powered(&self) -> zbus::Result<bool>;
}

#[proxy(interface = "org.bluez.Device1", default_service = "org.bluez")]
trait Device1 {
    fn connect(&self) -> zbus::Result<()>;
    fn disconnect(&self) -> zbus::Result<()>;
    fn pair(&self) -> zbus::Result<()>;
    fn cancel_pairing(&self) -> zbus::Result<()>;
    #[zbus(property)]
    fn set_trusted(&self, is_trusted: bool) -> zbus::Result<()>;
}

#[proxy(interface = "org.bluez.AgentManager1", default_service = "org.bluez", default_path = "/org/bluez")]
trait AgentManager1 {
    fn register_agent(&self, agent: &ObjectPath<'_>, capability: &str) -> zbus::Result<()>;
    fn request_default_agent(&self, agent: &ObjectPath<'_>) -> zbus::Result<()>;
}

/// What BlueZ could not do, in words for people.
#[derive(Debug, thiserror::Error)]
pub enum BluezError {
    /// There is no system bus, or it does not let us in.
    #[error("the system bus cannot be reached: {0}")]
    NoBus(zbus::Error),
    /// Nobody answers to `org.bluez`.
    #[error("bluetoothd does not answer: {0}; is bluetooth.service running?")]
    NoDaemon(zbus::Error),
    /// No controller is there.
    #[error("bluetoothd knows no adapter; `bluetoothctl list` would show one")]
    NoAdapter,
    /// Somebody turned it off.
    #[error("the adapter has no power: `bluetoothctl power on`")]
    NoPower,
    /// A request failed.
    #[error("{what}: {error}")]
    Failed {
        /// What was asked.
        what: &'static str,
        /// The answer.
        error: zbus::Error,
    },
    /// A request was not answered.
    #[error("{0}: no answer within {1:?}")]
    Unanswered(&'static str, Duration),
}

impl BluezError {
    /// Tells whether BlueZ answered with one of its errors, named without its prefix.
    fn is(&self, wanted: &str) -> bool {
        let Self::Failed { error: zbus::Error::MethodError(name, _, _), .. } = self else { return false };
        name.as_str().strip_prefix("org.bluez.Error.") == Some(wanted)
    }
}

/// A device that BlueZ knows: from the air, or from before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its address.
    pub address: BDAddr,
    /// Its name; empty where it tells none.
    pub name: String,
    /// Whether both sides have keys for each other, as far as this one knows.
    pub is_paired: bool,
    /// Whether a link is up.
    pub is_connected: bool,
    /// Signal strength in dBm, while it is heard.
    pub rssi: Option<i16>,
    /// Services that it advertises or had when it was connected.
    pub services: Vec<Uuid>,
    path: OwnedObjectPath,
}

impl Known {
    /// Tells whether this is such a part of a pair of glasses, by what it advertises.
    pub fn is_part(&self, part: &Part) -> bool {
        part.matches(Some(&self.name), |service| self.services.contains(&Uuid::from_u128(service)))
    }
}

/// One adapter of BlueZ'.
#[derive(Clone, Debug)]
pub struct Bluez {
    bus: Connection,
    adapter: OwnedObjectPath,
}

/// All that BlueZ shows on the bus.
type Objects = HashMap<OwnedObjectPath, Interfaces>;
/// The interfaces of one object, with their properties.
type Interfaces = HashMap<OwnedInterfaceName, Properties>;
type Properties = HashMap<String, OwnedVariant>;

impl Bluez {
    /// Finds an adapter by its name; with an empty one the first that has power, else the first.
    pub async fn open(name: &str) -> Result<Self, BluezError> {
        let bus = Connection::system().await.map_err(BluezError::NoBus)?;
        let objects = objects(&bus).await?;
        let adapter = |(path, has): (&OwnedObjectPath, &Interfaces)| {
            let (_, adapter) = has.iter().find(|(name, _)| name.as_str() == "org.bluez.Adapter1")?;
            let is_wanted = name.is_empty() || path.as_str().rsplit('/').next() == Some(name);
            is_wanted
                .then(|| (!get(adapter, "Powered").unwrap_or(false), path.as_str().to_owned(), path.clone()))
        };
        let first = objects.iter().filter_map(adapter).min_by(|(a, b, _), (c, d, _)| (a, b).cmp(&(c, d)));
        let (_, _, adapter) = first.ok_or(BluezError::NoAdapter)?;
        Ok(Self { adapter, bus })
    }

    /// Returns the connection to the bus.
    pub fn bus(&self) -> &Connection {
        &self.bus
    }

    /// Lists the devices of the adapter.
    pub async fn devices(&self) -> Result<Vec<Known>, BluezError> {
        let prefix = format!("{}/", self.adapter.as_str());
        let mut devices: Vec<Known> = objects(&self.bus)
            .await?
            .into_iter()
            .filter(|(path, _)| path.as_str().starts_with(&prefix))
            .filter_map(|(path, has)| {
                let (_, device) = has.into_iter().find(|(name, _)| name.as_str() == "org.bluez.Device1")?;
                known(path, &device)
            })
            .collect();
        devices.sort_by_key(|device| device.address);
        Ok(devices)
    }

    /// Looks for one device.
    pub async fn find(&self, address: BDAddr) -> Result<Option<Known>, BluezError> {
        Ok(self.devices().await?.into_iter().find(|device| device.address == address))
    }

    /// Listens for devices of Low Energy until [`Self::stop_scan`], or this program ends. BlueZ would turn the adapter on
    /// for that, which somebody has turned off.
    pub async fn start_scan(&self) -> Result<(), BluezError> {
        let adapter = self.adapter().await?;
        let failed = |what| move |error| BluezError::Failed { what, error };
        if !adapter.powered().await.map_err(failed("the adapter does not tell whether it has power"))? {
            return Err(BluezError::NoPower);
        }
        let filter = HashMap::from([("Transport", Variant::from("le"))]);
        adapter.set_discovery_filter(filter).await.map_err(failed("the scan cannot be set up"))?;
        match adapter.start_discovery().await.map_err(failed("the scan cannot be started")) {
            // A scan that goes on is as good.
            Err(error) if error.is("InProgress") => Ok(()),
            result => result,
        }
    }

    /// Ends the scan of this program.
    pub async fn stop_scan(&self) {
        if let Ok(adapter) = self.adapter().await {
            // One that has ended by itself is no error.
            let _ = adapter.stop_discovery().await;
        }
    }

    /// Forgets a device: its keys, and its GATT table.
    pub async fn forget(&self, device: &Known) -> Result<(), BluezError> {
        let failed = |error| BluezError::Failed { what: "the device cannot be forgotten", error };
        self.adapter().await?.remove_device(&device.path).await.map_err(failed)
    }

    /// Connects, as far as the link goes.
    pub async fn connect(&self, device: &Known, limit: Duration) -> Result<(), BluezError> {
        let proxy = self.device(device).await?;
        within("connecting", limit, proxy.connect()).await
    }

    /// Ends the link, or the attempt to have one.
    pub async fn disconnect(&self, device: &Known) {
        if let Ok(proxy) = self.device(device).await {
            // One that is not there needs no end.
            let _ = proxy.disconnect().await;
        }
    }

    /// Exchanges keys; the agent that this program registered is asked what has to be asked.
    pub async fn pair(&self, device: &Known, limit: Duration) -> Result<(), BluezError> {
        let proxy = self.device(device).await?;
        let paired = match within("pairing", limit, proxy.pair()).await {
            Err(error) if error.is("AlreadyExists") => Ok(()),
            // BlueZ has begun by itself, for a request that needs it.
            Err(error) if error.is("InProgress") => self.until_paired(device.address, limit).await,
            other => other,
        };
        match &paired {
            Ok(()) => {
                // A device that is trusted may come back by itself.
                let _ = proxy.set_trusted(true).await;
            }
            Err(BluezError::Unanswered(..)) => {
                // Otherwise BlueZ stays in the midst of it.
                let _ = proxy.cancel_pairing().await;
            }
            Err(_) => {}
        }
        paired
    }

    /// Waits until a device is paired.
    pub(super) async fn until_paired(&self, address: BDAddr, limit: Duration) -> Result<(), BluezError> {
        let look = async {
            while !self.find(address).await?.is_some_and(|device| device.is_paired) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok(())
        };
        tokio::time::timeout(limit, look).await.unwrap_or(Err(BluezError::Unanswered("pairing", limit)))
    }

    async fn adapter(&self) -> Result<Adapter1Proxy<'_>, BluezError> {
        let failed = |error| BluezError::Failed { what: "the adapter cannot be reached", error };
        Adapter1Proxy::new(&self.bus, &self.adapter).await.map_err(failed)
    }

    async fn device(&self, device: &Known) -> Result<Device1Proxy<'_>, BluezError> {
        let failed = |error| BluezError::Failed { what: "the device cannot be reached", error };
        Device1Proxy::new(&self.bus, device.path.clone()).await.map_err(failed)
    }
}

pub(super) async fn register_agent(
    bus: &Connection,
    path: &ObjectPath<'_>,
    capability: &str,
) -> zbus::Result<()> {
    AgentManager1Proxy::new(bus).await?.register_agent(path, capability).await
}

pub(super) async fn make_default_agent(bus: &Connection, path: &ObjectPath<'_>) -> zbus::Result<()> {
    AgentManager1Proxy::new(bus).await?.request_default_agent(path).await
}

async fn objects(bus: &Connection) -> Result<Objects, BluezError> {
    let manager = ObjectManagerProxy::new(bus, "org.bluez", "/").await.map_err(BluezError::NoDaemon)?;
    manager.get_managed_objects().await.map_err(|error| BluezError::NoDaemon(error.into()))
}

async fn within(
    what: &'static str,
    limit: Duration,
    request: impl Future<Output = zbus::Result<()>>,
) -> Result<(), BluezError> {
    match tokio::time::timeout(limit, request).await {
        Ok(answer) => answer.map_err(|error| BluezError::Failed { what, error }),
        Err(_) => Err(BluezError::Unanswered(what, limit)),
    }
}

fn get<T: TryFrom<OwnedVariant>>(properties: &Properties, name: &str) -> Option<T> {
    properties.get(name)?.try_clone().ok()?.try_into().ok()
}

fn known(path: OwnedObjectPath, device: &Properties) -> Option<Known> {
    let address: String = get(device, "Address")?;
    let services: Vec<String> = get(device, "UUIDs").unwrap_or_default();
    Some(Known {
        path,
        address: address.parse().ok()?,
        name: get(device, "Name").unwrap_or_default(),
        is_paired: get(device, "Paired").unwrap_or_default(),
        is_connected: get(device, "Connected").unwrap_or_default(),
        rssi: get(device, "RSSI"),
        services: services.iter().filter_map(|uuid| Uuid::parse_str(uuid).ok()).collect(),
    })
}
