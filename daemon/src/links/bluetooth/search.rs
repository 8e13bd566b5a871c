//! Finding glasses: those that BlueZ knows at once, others by what they advertise.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use btleplug::api::{BDAddr, Central as _, Peripheral as _, ScanFilter};
use btleplug::platform::{Adapter, Peripheral};
use glassd_core::link::Part;

use super::bluez::{Bluez, Known};
use super::connection::Lost;
use crate::config::Pairing;

/// A search that finds nothing ends: so long is one round of BlueZ (10.24 s), and a scan that was begun anew hears
/// devices that an old one passes over.
const SCAN: Duration = Duration::from_secs(12);
/// A controller's word for a strength that it did not measure (Core 5.4, Vol 4, Part E, 7.7.65.2).
pub const NO_RSSI: i16 = 127;
/// How often the devices heard of are looked through.
const LOOK: Duration = Duration::from_millis(100);

/// What is looked for: one Bluetooth device of a pair of glasses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    /// What it is.
    pub(super) part: Part,
    /// Its address; none takes the first that no other link has.
    pub(super) address: Option<BDAddr>,
    /// Who may pair it.
    pub(super) pairing: Pairing,
}

impl Wanted {
    /// Tells whether a device is it. Devices that BlueZ remembers are told as if they were heard: these have no
    /// signal strength.
    fn is(&self, device: &Known) -> bool {
        device.rssi.is_some()
            && match self.address {
                Some(address) => address == device.address,
                None => device.is_part(&self.part),
            }
    }
}

/// The scan that all searches share, and which devices are taken.
#[derive(Default)]
pub(super) struct Search {
    /// Searches that go on.
    scanning: Arc<tokio::sync::Mutex<usize>>,
    taken: Mutex<BTreeMap<BDAddr, Pairing>>,
}

/// A device that no other link will take while this lives.
pub(super) struct Taken<'a> {
    pub(super) peripheral: Peripheral,
    /// Signal strength in dBm, where it was heard.
    pub(super) rssi: Option<i16>,
    search: &'a Search,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.search.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.peripheral.address());
    }
}

/// A search that goes on; the scan ends with the last of them.
struct Scanning {
    count: Arc<tokio::sync::Mutex<usize>>,
    adapter: Adapter,
}

impl Drop for Scanning {
    fn drop(&mut self) {
        let (count, adapter) = (Arc::clone(&self.count), self.adapter.clone());
        tokio::spawn(async move {
            let mut scanning = count.lock().await;
            *scanning -= 1;
            if *scanning == 0 {
                // That it has ended by itself is no error.
                let _ = adapter.stop_scan().await;
            }
        });
    }
}

impl Search {
    /// Tells whether a device may be paired without anybody looking at it.
    pub(super) fn may_pair(&self, device: BDAddr) -> bool {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.get(&device) == Some(&Pairing::Automatic)
    }

    /// Returns a device that BlueZ remembers by its address: connecting needs no scan then.
    pub(super) async fn known(&self, adapter: &Adapter, wanted: &Wanted) -> Option<Taken<'_>> {
        let address = wanted.address?;
        let device = peripheral(adapter, address).await?;
        let rssi = device.properties().await.ok().flatten().and_then(|properties| properties.rssi);
        self.take(device, wanted, rssi)
    }

    /// Scans for a device.
    pub(super) async fn heard(
        &self,
        bluez: &Bluez,
        adapter: &Adapter,
        wanted: &Wanted,
    ) -> Result<Taken<'_>, Lost> {
        let _scanning = self.scan(adapter).await.map_err(|error| Lost::Failed("scanning", error))?;
        let found = tokio::time::timeout(SCAN, self.look(bluez, adapter, wanted)).await;
        found.unwrap_or(Err(Lost::NotHeard(SCAN)))
    }

    async fn scan(&self, adapter: &Adapter) -> Result<Scanning, btleplug::Error> {
        let mut scanning = self.scanning.lock().await;
        // Without a filter: names and services are looked at here, and BlueZ merges the filters of all programs.
        if *scanning == 0 {
            adapter.start_scan(ScanFilter::default()).await?;
        }
        *scanning += 1;
        Ok(Scanning { count: Arc::clone(&self.scanning), adapter: adapter.clone() })
    }

    async fn look(&self, bluez: &Bluez, adapter: &Adapter, wanted: &Wanted) -> Result<Taken<'_>, Lost> {
        loop {
            let heard = bluez.devices().await.map_err(Lost::Bluez)?;
            for device in heard.iter().filter(|device| wanted.is(device)) {
                if let Some(peripheral) = peripheral(adapter, device.address).await
                    && let Some(taken) = self.take(peripheral, wanted, device.rssi)
                {
                    return Ok(taken);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn take(&self, peripheral: Peripheral, wanted: &Wanted, rssi: Option<i16>) -> Option<Taken<'_>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let address = peripheral.address();
        if taken.contains_key(&address) {
            return None;
        }
        taken.insert(address, wanted.pairing);
        Some(Taken { peripheral, rssi: rssi.filter(|rssi| *rssi != NO_RSSI), search: self })
    }
}

async fn peripheral(adapter: &Adapter, address: BDAddr) -> Option<Peripheral> {
    adapter.peripherals().await.ok()?.into_iter().find(|device| device.address() == address)
}
