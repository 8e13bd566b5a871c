//! Camera: how large and how fine the glasses take their photos, where they can be told.
//!
//! What is not sent costs nothing: the radio drains the glasses. Whether the uplink is metered is no fact here, for no
//! photo goes further than the gateway before [`crate::CompressionPolicy`] has shrunk it.

use serde::{Deserialize, Serialize};

use crate::compression::{CompressionTier, SIDE_STEP, bytes_of, side_within};
use crate::decision::{Decision, Reason};
use crate::range::{OutOfRange, Ranges};

/// What the camera's settings depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraFacts {
    /// Battery of the glasses in percent, 0 to 100.
    pub battery: u8,
    /// The wearer did something in the last ten seconds.
    pub user_active: bool,
    /// What the link to the glasses was measured to carry, in bytes a second; `None` where not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link_bytes_per_second: Option<u64>,
}

/// How much battery is left for photos.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CameraTier {
    /// Little.
    Low,
    /// Between the bounds.
    Saving,
    /// Enough.
    Full,
}

/// How photos are taken, and what that was decided in (which the next decision leans on).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraSettings {
    /// Longest side in pixels; the camera takes the nearest that it has.
    pub longest_side: u16,
    /// JPEG quality, 1 to 100; the camera takes the nearest that it has.
    pub quality: u8,
    /// The battery's tier, with hysteresis.
    pub tier: CameraTier,
    /// The wearer did something in the last ten seconds.
    pub user_active: bool,
}

/// The policy's parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraPolicy {
    /// Battery in percent above which quality is full.
    pub full_above: u8,
    /// Battery in percent under which quality is low.
    pub low_below: u8,
    /// A finer tier is entered only with so much more battery, in percent, than its bound.
    pub battery_hysteresis: u8,
    /// The size grows only when the link carries so many times what the larger photo takes, 1 to 4.
    pub grow_with: f32,
    /// How long a photo may be on its way.
    pub arrive_within_ms: ArriveWithin,
    /// Bounds of the size.
    pub size: PhotoSize,
    /// The qualities.
    pub tiers: CameraTiers,
}

/// How long a photo may be on its way, 50 to 60,000 ms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ArriveWithin {
    /// While the wearer does something: detail is worth a wait, up to the age at which a picture answers no question.
    pub active: u32,
    /// Otherwise: enough to see what changes.
    pub idle: u32,
}

/// Bounds of a photo's longest side in pixels, 32 to 4096.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhotoSize {
    /// The size where nothing speaks against it.
    pub largest: u16,
    /// The size under which a picture says too little.
    pub smallest: u16,
}

/// The qualities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CameraTiers {
    /// With battery enough.
    pub full: CompressionTier,
    /// Between the bounds.
    pub saving: CompressionTier,
    /// With little battery, and where even the smallest size is too much for the link.
    pub low: CompressionTier,
}

impl Default for CameraPolicy {
    fn default() -> Self {
        Self {
            full_above: 50,
            low_below: 20,
            battery_hysteresis: 2,
            grow_with: 1.25,
            arrive_within_ms: ArriveWithin::default(),
            size: PhotoSize::default(),
            tiers: CameraTiers::default(),
        }
    }
}

impl Default for ArriveWithin {
    fn default() -> Self {
        Self { active: 1000, idle: 500 }
    }
}

impl Default for PhotoSize {
    fn default() -> Self {
        // Nothing larger goes to the cloud, nor to a detector.
        Self { largest: 512, smallest: 192 }
    }
}

impl Default for CameraTiers {
    fn default() -> Self {
        let tier = |quality, bytes_per_pixel| CompressionTier { quality, bytes_per_pixel };
        // As compression's, which were measured.
        Self { full: tier(85, 0.35), saving: tier(75, 0.26), low: tier(60, 0.2) }
    }
}

impl CameraPolicy {
    /// Decides on size and quality; `previous` is what was decided last, so that the camera is not told something else
    /// whenever a fact hovers at its bound.
    pub fn decide(&self, facts: &CameraFacts, previous: Option<CameraSettings>) -> Decision<CameraSettings> {
        let (tier, reason) = self.tier(facts, previous);
        let mut reasons = vec![reason];
        let (longest_side, quality) = self.size(tier, facts, previous, &mut reasons);
        let value = CameraSettings { longest_side, quality, tier, user_active: facts.user_active };
        Decision { value, reasons }
    }

    /// Returns the parameters that are out of range.
    pub fn problems(&self) -> Vec<OutOfRange> {
        let mut ranges = Ranges::default();
        let reachable = 99_u8.saturating_sub(self.battery_hysteresis);
        ranges.whole("full_above", self.full_above.into(), 0..=reachable.into());
        ranges.whole("low_below", self.low_below.into(), 0..=self.full_above.into());
        ranges.whole("battery_hysteresis", self.battery_hysteresis.into(), 0..=20);
        ranges.number("grow_with", self.grow_with, 1.0..=4.0);
        ranges.whole("arrive_within_ms.active", self.arrive_within_ms.active.into(), 50..=60_000);
        ranges.whole("arrive_within_ms.idle", self.arrive_within_ms.idle.into(), 50..=60_000);
        ranges.whole("size.largest", self.size.largest.into(), 32..=4096);
        ranges.whole("size.smallest", self.size.smallest.into(), 32..=self.size.largest.max(32).into());
        let tiers = &self.tiers;
        for (name, tier) in [("full", &tiers.full), ("saving", &tiers.saving), ("low", &tiers.low)] {
            tier.check(&format!("tiers.{name}"), &mut ranges);
        }
        ranges.into_problems()
    }

    /// Returns the battery's tier; a finer one than the last one's needs the hysteresis on top.
    fn tier(&self, facts: &CameraFacts, previous: Option<CameraSettings>) -> (CameraTier, Reason) {
        let now = self.plain_tier(facts.battery);
        let tier = match previous {
            Some(previous) if previous.tier < now => {
                self.plain_tier(facts.battery.saturating_sub(self.battery_hysteresis)).max(previous.tier)
            }
            _ => now,
        };
        let held = if tier < now { format!(" + {} %", self.battery_hysteresis) } else { String::new() };
        let (rule, bound) = match tier {
            CameraTier::Full => ("full-quality", format!("> {} %", self.full_above)),
            CameraTier::Saving => ("saving-quality", format!("≤ {} %{held}", self.full_above)),
            CameraTier::Low => ("low-quality", format!("< {} %{held}", self.low_below)),
        };
        (tier, Reason::new(rule, "battery", format!("{} %", facts.battery), bound))
    }

    fn plain_tier(&self, battery: u8) -> CameraTier {
        match battery {
            _ if battery > self.full_above => CameraTier::Full,
            _ if battery >= self.low_below => CameraTier::Saving,
            _ => CameraTier::Low,
        }
    }

    fn parameters_of(&self, tier: CameraTier) -> CompressionTier {
        match tier {
            CameraTier::Full => self.tiers.full,
            CameraTier::Saving => self.tiers.saving,
            CameraTier::Low => self.tiers.low,
        }
    }

    /// Returns longest side and quality with which a photo arrives in time.
    fn size(
        &self,
        tier: CameraTier,
        facts: &CameraFacts,
        previous: Option<CameraSettings>,
        reasons: &mut Vec<Reason>,
    ) -> (u16, u8) {
        let parameters = self.parameters_of(tier);
        let (largest, smallest) = (u32::from(self.size.largest), u32::from(self.size.smallest));
        let (within, wearer) = match facts.user_active {
            true => (self.arrive_within_ms.active, "active"),
            false => (self.arrive_within_ms.idle, "idle"),
        };
        let Some(rate) = facts.link_bytes_per_second else { return (self.size.largest, parameters.quality) };
        let allowed = rate.saturating_mul(within.into()) / 1000;
        let side = self.held(
            side_within(parameters, allowed),
            parameters,
            allowed,
            previous.filter(|previous| previous.tier == tier && previous.user_active == facts.user_active),
        );
        if side >= largest {
            return (self.size.largest, parameters.quality);
        }
        let wanted = bytes_of(largest, parameters);
        let bytes = format!("{allowed} bytes in {within} ms");
        reasons.push(Reason::new("slow-link", "link", &*bytes, format!("< {wanted:.0} bytes")));
        reasons.push(Reason::new(&format!("{wearer}-wearer"), "wearer", wearer, ""));
        if side >= smallest {
            return (u16::try_from(side).unwrap_or(self.size.largest), parameters.quality);
        }
        let least = bytes_of(smallest, parameters);
        reasons.push(Reason::new("smallest", "link", bytes, format!("< {least:.0} bytes")));
        (self.size.smallest, self.tiers.low.quality)
    }

    /// Returns the side that stands, where `side` would do now: a larger one than the last needs room to spare.
    fn held(&self, side: u32, tier: CompressionTier, allowed: u64, previous: Option<CameraSettings>) -> u32 {
        let Some(previous) = previous else { return side };
        // What went at the smallest size in a lower quality was smaller than the smallest.
        let crowded = previous.quality != tier.quality;
        let before = if crowded { 0 } else { u32::from(previous.longest_side) };
        if side <= before {
            return side;
        }
        side_within(tier, (allowed as f32 / self.grow_with) as u64).max(before / SIDE_STEP * SIDE_STEP)
    }
}
