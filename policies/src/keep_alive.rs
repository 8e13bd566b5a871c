//! Keep-alive: how long a quiet connection is left alone before the broker is asked whether it is still there.
//!
//! Each question wakes the radio, which stays awake for seconds after it (LTE: 11.6 s; Huang et al. 2012, "A Close Examination of
//! Performance and Power Characteristics of 4G LTE Networks"). Seldom questions notice a broken line late; what is published
//! and not acknowledged tells of it anyway, so only commands from outside wait longer.

use std::time::Duration;

use crate::{Decision, Reason};

/// What the gateway lives on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Power {
    /// Charge in percent; `None` without a battery, or with one that tells nothing.
    pub battery: Option<u8>,
    /// It is plugged in.
    pub charging: bool,
}

/// Time that costs nobody anything, on mains.
const MAINS: Duration = Duration::from_secs(15);
/// Charge in percent up to which the time beside it holds, and the rule's name.
const BATTERY: [(u8, Duration, &str); 3] = [
    (20, Duration::from_secs(240), "battery-low"),
    (50, Duration::from_secs(120), "battery-half"),
    (100, Duration::from_secs(60), "battery"),
];

/// Decides for a connection that begins now.
pub fn keep_alive(power: Power) -> Decision<Duration> {
    let because = |value, rule, fact, actual: String, bound| Decision {
        value,
        reasons: vec![Reason::new(rule, fact, actual, bound)],
    };
    let Some(battery) = power.battery else {
        return because(MAINS, "mains", "battery", "none".to_owned(), String::new());
    };
    if power.charging {
        return because(MAINS, "mains", "power", "plugged in".to_owned(), String::new());
    }
    let (bound, value, rule) =
        BATTERY.into_iter().find(|(bound, ..)| battery <= *bound).unwrap_or(BATTERY[BATTERY.len() - 1]);
    because(value, rule, "battery", format!("{battery} %"), format!("≤ {bound} %"))
}

#[cfg(test)]
mod tests {
    use super::{Power, keep_alive};

    #[test]
    fn the_emptier_the_battery_the_fewer_questions() {
        let check = |battery, charging, seconds, why: &str| {
            let decision = keep_alive(Power { battery, charging });
            assert_eq!(decision.value.as_secs(), seconds, "{battery:?} {charging}");
            assert_eq!(decision.reasons[0].to_string(), why);
        };
        check(None, false, 15, "battery none: mains");
        check(Some(5), true, 15, "power plugged in: mains");
        check(Some(100), false, 60, "battery 100 % ≤ 100 %: battery");
        check(Some(255), false, 60, "battery 255 % ≤ 100 %: battery");
        check(Some(50), false, 120, "battery 50 % ≤ 50 %: battery-half");
        check(Some(20), false, 240, "battery 20 % ≤ 20 %: battery-low");
        check(Some(0), false, 240, "battery 0 % ≤ 20 %: battery-low");
    }
}
