//! How long a quiet connection is left alone: as configured, or by what this device lives on.

use std::path::Path;
use std::time::Duration;

use glassd_policies::Power;

/// Where Linux tells of batteries and chargers (`Documentation/ABI/testing/sysfs-class-power`).
const POWER_SUPPLY: &str = "/sys/class/power_supply";

/// Silence after which the broker is asked whether it is still there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeepAlive {
    /// By the battery, as it is when a connection begins.
    #[default]
    ByBattery,
    /// Always the same.
    Fixed(Duration),
}

impl KeepAlive {
    /// Chooses for a connection that begins now.
    pub(super) fn choose(self) -> Duration {
        match self {
            Self::Fixed(duration) => duration,
            Self::ByBattery => {
                let decision = glassd_policies::keep_alive(power(Path::new(POWER_SUPPLY)));
                tracing::debug!(keep_alive = ?decision.value, why = %decision.reasons[0], "a connection begins");
                decision.value
            }
        }
    }
}

/// Reads the emptiest battery of the system's own; mice and headsets have the scope `Device`.
fn power(folder: &Path) -> Power {
    let mut power = Power::default();
    for supply in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let read = |name: &str| {
            let text = std::fs::read_to_string(supply.path().join(name)).unwrap_or_default();
            text.trim().to_owned()
        };
        if read("scope") == "Device" {
            continue;
        }
        if read("type") == "Battery" {
            let charge = read("capacity").parse::<u8>().ok();
            power.battery = power.battery.into_iter().chain(charge).min();
            power.charging |= matches!(read("status").as_str(), "Charging" | "Full");
        } else {
            power.charging |= read("online") == "1";
        }
    }
    power
}

#[cfg(test)]
mod tests {
    use super::power;
    use glassd_policies::Power;

    #[test]
    fn the_emptiest_battery_of_the_system_counts() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(power(folder.path()), Power::default());
        let supply = |name: &str, files: &[(&str, &str)]| {
            let supply = folder.path().join(name);
            std::fs::create_dir_all(&supply).unwrap();
            for (file, text) in files {
                std::fs::write(supply.join(file), format!("{text}\n")).unwrap();
            }
        };
        supply("hidpp_battery_0", &[("type", "Battery"), ("scope", "Device"), ("capacity", "3")]);
        supply("BAT0", &[("type", "Battery"), ("capacity", "80"), ("status", "Discharging")]);
        supply("BAT1", &[("type", "Battery"), ("capacity", "41"), ("status", "Discharging")]);
        supply("BAT2", &[("type", "Battery"), ("capacity", "nonsense")]);
        supply("AC", &[("type", "Mains"), ("online", "0")]);
        assert_eq!(power(folder.path()), Power { battery: Some(41), charging: false });
        supply("AC", &[("online", "1")]);
        assert_eq!(power(folder.path()), Power { battery: Some(41), charging: true });
    }
}
