//! Frame rate: how many frames a second the glasses should send.

use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Reason};
use crate::range::{OutOfRange, Ranges};

/// No limit makes the rate lower than this: one frame a minute.
const SLOWEST_FPS: f32 = 1.0 / 60.0;

/// What the frame rate depends on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRateFacts {
    /// Battery of the glasses in percent, 0 to 100.
    pub battery: u8,
    /// The wearer did something in the last ten seconds.
    pub user_active: bool,
    /// Motion score, 0 to 1; NaN counts as none.
    pub motion: f32,
    /// Highest rate that heat allows, in frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thermal_fps_limit: Option<f32>,
    /// Highest rate that the glasses can take photos at, in frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_fps_limit: Option<f32>,
    /// Highest rate that the link can carry, in frames per second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_fps_limit: Option<f32>,
}

/// A named rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FrameRateMode {
    /// 1 fps.
    Minimal,
    /// 5 fps.
    Low,
    /// 10 fps.
    Medium,
    /// 30 fps: in no cell of the published table; for policy files that want it.
    High,
}

/// A row of the table: how much battery is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatteryBand {
    /// Under 15 %.
    Critical,
    /// From 15 to 30 %.
    Low,
    /// Above 30, to 60 %.
    Middle,
    /// Above 60 %.
    Plenty,
}

/// Whether the picture moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MotionLevel {
    /// Little.
    Low,
    /// A lot.
    High,
}

/// The rate that was decided, and the cell of the table it stands in (which the next decision leans on).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Frames per second after all limits, 1/60 to 60.
    pub fps: f32,
    /// The mode before the raise for motion and before the limits.
    pub mode: FrameRateMode,
    /// The battery's row, with hysteresis.
    pub band: BatteryBand,
    /// The motion's column, with hysteresis.
    pub motion: MotionLevel,
}

/// The policy's parameters.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameRatePolicy {
    /// What the modes mean.
    pub modes: FrameRateModes,
    /// Where the battery's rows begin.
    pub battery: BatteryBounds,
    /// Where motion is high, and what it does.
    pub motion: MotionBounds,
    /// Which mode where.
    pub table: FrameRateTable,
}

/// Frames per second of each mode, 0.1 to 60.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameRateModes {
    /// Of [`FrameRateMode::High`].
    pub high: f32,
    /// Of [`FrameRateMode::Medium`].
    pub medium: f32,
    /// Of [`FrameRateMode::Low`].
    pub low: f32,
    /// Of [`FrameRateMode::Minimal`].
    pub minimal: f32,
}

/// Bounds of the battery's rows, in percent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatteryBounds {
    /// Above it there is plenty.
    pub plenty_above: u8,
    /// Above it, the middle.
    pub middle_above: u8,
    /// Below it, critical.
    pub critical_below: u8,
    /// A higher row is entered only with so much more than its bound.
    pub hysteresis: u8,
}

/// Bounds of the motion's columns, as scores from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MotionBounds {
    /// Above it motion is high.
    pub high_above: f32,
    /// High motion ends only so far under its bound.
    pub hysteresis: f32,
    /// What a mode's rate is multiplied with where the table says `raise`.
    pub factor: f32,
}

/// The modes by battery and activity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FrameRateTable {
    /// Plenty, wearer active.
    pub plenty_active: FrameRateCell,
    /// Plenty, wearer inactive.
    pub plenty_inactive: FrameRateCell,
    /// Middle, wearer active.
    pub middle_active: FrameRateCell,
    /// Middle, wearer inactive.
    pub middle_inactive: FrameRateCell,
    /// Low, whatever the wearer does.
    pub low: FrameRateCell,
    /// Critical, whatever the wearer does.
    pub critical: FrameRateCell,
}

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrameRateCell {
    /// The mode at low motion.
    pub mode: FrameRateMode,
    /// What high motion does.
    pub high_motion: HighMotion,
}

/// What high motion does to the rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HighMotion {
    /// Nothing.
    Keep,
    /// Multiplies it with [`MotionBounds::factor`].
    Raise,
    /// Makes it [`FrameRateMode::Medium`].
    Medium,
    /// Makes it [`FrameRateMode::High`].
    High,
}

impl Default for FrameRateModes {
    fn default() -> Self {
        Self { high: 30.0, medium: 10.0, low: 5.0, minimal: 1.0 }
    }
}

impl Default for BatteryBounds {
    fn default() -> Self {
        Self { plenty_above: 60, middle_above: 30, critical_below: 15, hysteresis: 2 }
    }
}

impl Default for MotionBounds {
    fn default() -> Self {
        Self { high_above: 0.3, hysteresis: 0.05, factor: 1.5 }
    }
}

impl Default for FrameRateTable {
    fn default() -> Self {
        use FrameRateMode::{Low, Medium, Minimal};
        let cell = |mode, high_motion| FrameRateCell { mode, high_motion };
        Self {
            plenty_active: cell(Medium, HighMotion::Raise),
            plenty_inactive: cell(Low, HighMotion::Raise),
            middle_active: cell(Low, HighMotion::Medium),
            middle_inactive: cell(Low, HighMotion::Raise),
            low: cell(Low, HighMotion::Keep),
            critical: cell(Minimal, HighMotion::Keep),
        }
    }
}

impl FrameRatePolicy {
    /// Decides on the rate; `previous` is what was decided last, so that the rate does not flap between
    /// two cells when a fact hovers at their bound.
    pub fn decide(&self, facts: &FrameRateFacts, previous: Option<FrameRate>) -> Decision<FrameRate> {
        let band = self.band(facts.battery, previous);
        let cell = self.cell(band, facts.user_active);
        let activity = if facts.user_active { "active" } else { "inactive" };
        let mut reasons = vec![Reason::new(
            &format!("{activity}-{}", cell.mode.name()),
            "battery",
            percent(facts.battery),
            self.bound_of(band, facts.battery),
        )];
        let motion = self.motion_level(facts.motion, previous, &mut reasons);
        let (mode, wanted) = self.rate(cell, motion);
        let fps = limited(wanted, facts, &mut reasons);
        Decision { value: FrameRate { fps, mode, band, motion }, reasons }
    }

    /// Returns the parameters that are out of range.
    pub fn problems(&self) -> Vec<OutOfRange> {
        let mut ranges = Ranges::default();
        let modes = &self.modes;
        for (key, fps) in [
            ("modes.high", modes.high),
            ("modes.medium", modes.medium),
            ("modes.low", modes.low),
            ("modes.minimal", modes.minimal),
        ] {
            ranges.number(key, fps, 0.1..=60.0);
        }
        for (key, lower, upper) in [
            ("modes.minimal", modes.minimal, modes.low),
            ("modes.low", modes.low, modes.medium),
            ("modes.medium", modes.medium, modes.high),
        ] {
            ranges.demand(lower <= upper, key, &lower, format!("at most {upper}, the next mode"));
        }
        let battery = &self.battery;
        let reachable = 99_u8.saturating_sub(battery.hysteresis);
        ranges.whole("battery.hysteresis", battery.hysteresis.into(), 0..=20);
        ranges.whole("battery.plenty_above", battery.plenty_above.into(), 0..=reachable.into());
        ranges.whole("battery.middle_above", battery.middle_above.into(), 0..=battery.plenty_above.into());
        ranges.whole(
            "battery.critical_below",
            battery.critical_below.into(),
            0..=battery.middle_above.into(),
        );
        let motion = &self.motion;
        ranges.number("motion.high_above", motion.high_above, 0.0..=1.0);
        ranges.number("motion.hysteresis", motion.hysteresis, 0.0..=motion.high_above.max(0.0));
        ranges.number("motion.factor", motion.factor, 1.0..=4.0);
        ranges.into_problems()
    }

    /// Returns the battery's row; a higher row than the last one needs the hysteresis on top.
    fn band(&self, battery: u8, previous: Option<FrameRate>) -> BatteryBand {
        let now = self.plain_band(battery);
        match previous {
            Some(previous) if previous.band < now => {
                self.plain_band(battery.saturating_sub(self.battery.hysteresis)).max(previous.band)
            }
            _ => now,
        }
    }

    fn plain_band(&self, battery: u8) -> BatteryBand {
        let bounds = &self.battery;
        match battery {
            _ if battery > bounds.plenty_above => BatteryBand::Plenty,
            _ if battery > bounds.middle_above => BatteryBand::Middle,
            _ if battery >= bounds.critical_below => BatteryBand::Low,
            _ => BatteryBand::Critical,
        }
    }

    /// Returns the bound that puts a battery level into a row, with the hysteresis where that is what does.
    fn bound_of(&self, band: BatteryBand, battery: u8) -> String {
        let bounds = &self.battery;
        let held = if band < self.plain_band(battery) {
            format!(" + {} %", bounds.hysteresis)
        } else {
            String::new()
        };
        match band {
            BatteryBand::Plenty => format!("> {} %", bounds.plenty_above),
            BatteryBand::Middle => format!("≤ {} %{held}", bounds.plenty_above),
            BatteryBand::Low => format!("≤ {} %{held}", bounds.middle_above),
            BatteryBand::Critical => format!("< {} %{held}", bounds.critical_below),
        }
    }

    fn cell(&self, band: BatteryBand, active: bool) -> FrameRateCell {
        let table = &self.table;
        match (band, active) {
            (BatteryBand::Plenty, true) => table.plenty_active,
            (BatteryBand::Plenty, false) => table.plenty_inactive,
            (BatteryBand::Middle, true) => table.middle_active,
            (BatteryBand::Middle, false) => table.middle_inactive,
            (BatteryBand::Low, _) => table.low,
            (BatteryBand::Critical, _) => table.critical,
        }
    }

    fn motion_level(
        &self,
        score: f32,
        previous: Option<FrameRate>,
        reasons: &mut Vec<Reason>,
    ) -> MotionLevel {
        let bounds = &self.motion;
        let was_high = previous.is_some_and(|previous| previous.motion == MotionLevel::High);
        let (level, rule, bound) = if score > bounds.high_above {
            (MotionLevel::High, "high-motion", format!("> {}", bounds.high_above))
        } else if was_high && score > bounds.high_above - bounds.hysteresis {
            let bound = format!("> {} - {}", bounds.high_above, bounds.hysteresis);
            (MotionLevel::High, "motion-hysteresis", bound)
        } else {
            (MotionLevel::Low, "low-motion", format!("≤ {}", bounds.high_above))
        };
        reasons.push(Reason::new(rule, "motion", format!("{score:.2}"), bound));
        level
    }

    fn rate(&self, cell: FrameRateCell, motion: MotionLevel) -> (FrameRateMode, f32) {
        let plain = (cell.mode, self.fps_of(cell.mode));
        match (motion, cell.high_motion) {
            (MotionLevel::Low, _) | (MotionLevel::High, HighMotion::Keep) => plain,
            (MotionLevel::High, HighMotion::Raise) => (plain.0, plain.1 * self.motion.factor),
            (MotionLevel::High, HighMotion::Medium) => (FrameRateMode::Medium, self.modes.medium),
            (MotionLevel::High, HighMotion::High) => (FrameRateMode::High, self.modes.high),
        }
    }

    fn fps_of(&self, mode: FrameRateMode) -> f32 {
        match mode {
            FrameRateMode::High => self.modes.high,
            FrameRateMode::Medium => self.modes.medium,
            FrameRateMode::Low => self.modes.low,
            FrameRateMode::Minimal => self.modes.minimal,
        }
    }
}

impl FrameRateMode {
    /// Returns the mode's name, as in policy files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Medium => "medium",
            Self::Low => "low",
            Self::Minimal => "minimal",
        }
    }
}

/// Returns the rate under all limits; a limit that is no number is none.
fn limited(wanted: f32, facts: &FrameRateFacts, reasons: &mut Vec<Reason>) -> f32 {
    let limits = [
        ("thermal-limit", "heat", facts.thermal_fps_limit),
        ("device-limit", "glasses", facts.device_fps_limit),
        ("link-limit", "link", facts.link_fps_limit),
    ];
    let mut fps = wanted;
    for (rule, fact, limit) in limits {
        let Some(limit) = limit.filter(|limit| *limit < fps) else { continue };
        reasons.push(Reason::new(rule, fact, format!("{limit:.1} fps"), format!("< {fps:.1} fps")));
        fps = limit;
    }
    fps.max(SLOWEST_FPS)
}

fn percent(battery: u8) -> String {
    format!("{battery} %")
}
