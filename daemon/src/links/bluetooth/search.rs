//! Finding glasses: those that BlueZ knows at once, others by what they advertise.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use btleplug::api::{BDAddr, Central as _, Peripheral as _, ScanFilter};
use btleplug::platform::{Adapter, Peripheral};
use uuid::Uuid;

/// A scan that finds nothing ends, so that other glasses can be connected to: most controllers do one at a time.
const SCAN: Duration = Duration::from_secs(30);
/// How often the devices heard of are looked through.
const LOOK: Duration = Duration::from_millis(100);

/// What glasses are looked for.
pub(super) struct Wanted {
    /// The service in their advertisement.
    pub(super) service: Uuid,
    /// Theirs alone; none takes the first that no other link has.
    pub(super) address: Option<BDAddr>,
}

/// One search at a time, and which devices are taken.
#[derive(Default)]
pub(super) struct Search {
    scanning: tokio::sync::Mutex<()>,
    taken: Mutex<BTreeSet<BDAddr>>,
}

/// A device that no other link will take while this lives.
pub(super) struct Taken<'a> {
    pub(super) peripheral: Peripheral,
    search: &'a Search,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.search.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.peripheral.address());
    }
}

impl Search {
    /// Returns glasses that BlueZ remembers by their address: connecting needs no scan then.
    pub(super) async fn known(&self, adapter: &Adapter, wanted: &Wanted) -> Option<Taken<'_>> {
        let address = wanted.address?;
        let all = adapter.peripherals().await.ok()?;
        self.taken(all.into_iter().find(|device| device.address() == address)?)
    }

    /// Scans for glasses.
    pub(super) async fn heard(&self, adapter: &Adapter, wanted: &Wanted) -> Result<Taken<'_>, btleplug::Error> {
        let _alone = self.scanning.lock().await;
        adapter.start_scan(ScanFilter { services: vec![wanted.service] }).await?;
        let found = tokio::time::timeout(SCAN, self.look(adapter, wanted)).await;
        // A scan that goes on slows the connection; that it had ended by itself is no error.
        let _ = adapter.stop_scan().await;
        found.unwrap_or(Err(btleplug::Error::DeviceNotFound))
    }

    async fn look(&self, adapter: &Adapter, wanted: &Wanted) -> Result<Taken<'_>, btleplug::Error> {
        loop {
            for device in adapter.peripherals().await? {
                let Ok(Some(properties)) = device.properties().await else { continue };
                // Devices that BlueZ remembers are told as if they were heard: these have no signal strength.
                let is_near = properties.rssi.is_some() && properties.services.contains(&wanted.service);
                if is_near
                    && wanted.address.is_none_or(|address| address == device.address())
                    && let Some(taken) = self.taken(device)
                {
                    return Ok(taken);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn taken(&self, peripheral: Peripheral) -> Option<Taken<'_>> {
        let address = peripheral.address();
        let is_free = self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(address);
        is_free.then(|| Taken { peripheral, search: self })
    }
}
