//! Compression: how an image is shrunk for the cloud.

use serde::{Deserialize, Serialize};

use crate::decision::{Decision, Reason};
use crate::range::{OutOfRange, Ranges};

/// Sides are multiples of this, the edge of a chroma-subsampled JPEG block.
pub(crate) const SIDE_STEP: u32 = 16;
/// Area of a 4:3 picture (what the cameras of glasses take) with a longest side of one.
const AREA: f32 = 0.75;

/// What compression depends on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompressionFacts {
    /// Battery in percent, 0 to 100, of whoever pays for the transfer with it.
    pub battery: u8,
    /// The answer is wanted at any price in looks.
    pub emergency: bool,
    /// Measured goodput of the uplink in bytes per second; `None` where not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uplink_bytes_per_second: Option<u64>,
    /// What the uplink's budget still allows now; `None` without a budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_left_bytes: Option<u64>,
}

/// How an image is shrunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// Longest side in pixels; a smaller image is not enlarged.
    pub longest_side: u32,
}

/// The policy's parameters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompressionPolicy {
    /// Battery in percent above which quality is full.
    pub full_above: u8,
    /// Battery in percent under which quality is low.
    pub low_below: u8,
    /// An image should be sent within so long, 100 to 60,000 ms.
    pub send_within_ms: u32,
    /// Bounds of the size.
    pub size: ImageSize,
    /// The qualities.
    pub tiers: CompressionTiers,
}

/// Bounds of an image's longest side in pixels, 32 to 4096.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageSize {
    /// The size where nothing speaks against it.
    pub largest: u32,
    /// The size under which a picture says too little.
    pub smallest: u32,
}

/// The qualities.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompressionTiers {
    /// With battery enough.
    pub full: CompressionTier,
    /// Between the bounds.
    pub saving: CompressionTier,
    /// With little battery.
    pub low: CompressionTier,
    /// In an emergency, and where even the smallest size is too much for the uplink.
    pub emergency: CompressionTier,
}

/// One quality and what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CompressionTier {
    /// JPEG quality, 1 to 100.
    pub quality: u8,
    /// Bytes of JPEG a pixel that nine pictures of ten stay under, 0.01 to 3.
    pub bytes_per_pixel: f32,
}

impl Default for CompressionPolicy {
    fn default() -> Self {
        Self {
            full_above: 50,
            low_below: 20,
            send_within_ms: 3000,
            size: ImageSize::default(),
            tiers: CompressionTiers::default(),
        }
    }
}

impl Default for ImageSize {
    fn default() -> Self {
        Self { largest: 512, smallest: 192 }
    }
}

impl Default for CompressionTiers {
    fn default() -> Self {
        // Measured on 128 photos of COCO val2017 at 320 px, 4:2:0, libjpeg: the 90th percentile.
        let tier = |quality, bytes_per_pixel| CompressionTier { quality, bytes_per_pixel };
        Self { full: tier(85, 0.35), saving: tier(75, 0.26), low: tier(60, 0.2), emergency: tier(40, 0.15) }
    }
}

impl CompressionPolicy {
    /// Decides on quality and size.
    pub fn decide(&self, facts: &CompressionFacts) -> Decision<Compression> {
        let (tier, reason) = self.tier(facts);
        let mut reasons = vec![reason];
        let compression =
            |tier: CompressionTier, longest_side| Compression { quality: tier.quality, longest_side };
        let Some((allowed, rule, fact)) = self.allowed_bytes(facts) else {
            return Decision { value: compression(tier, self.size.largest), reasons };
        };
        let side = side_within(tier, allowed);
        if side >= self.size.largest {
            return Decision { value: compression(tier, self.size.largest), reasons };
        }
        let wanted = bytes_of(self.size.largest, tier);
        reasons.push(Reason::new(rule, fact, format!("{allowed} bytes"), format!("< {wanted:.0} bytes")));
        if side >= self.size.smallest {
            return Decision { value: compression(tier, side), reasons };
        }
        let smallest = bytes_of(self.size.smallest, tier);
        reasons.push(Reason::new(
            "smallest",
            fact,
            format!("{allowed} bytes"),
            format!("< {smallest:.0} bytes"),
        ));
        Decision { value: compression(self.tiers.emergency, self.size.smallest), reasons }
    }

    /// Returns the parameters that are out of range.
    pub fn problems(&self) -> Vec<OutOfRange> {
        let mut ranges = Ranges::default();
        ranges.whole("full_above", self.full_above.into(), 0..=100);
        ranges.whole("low_below", self.low_below.into(), 0..=self.full_above.into());
        ranges.whole("send_within_ms", self.send_within_ms.into(), 100..=60_000);
        ranges.whole("size.largest", self.size.largest.into(), 32..=4096);
        ranges.whole("size.smallest", self.size.smallest.into(), 32..=self.size.largest.max(32).into());
        for (name, tier) in [
            ("full", &self.tiers.full),
            ("saving", &self.tiers.saving),
            ("low", &self.tiers.low),
            ("emergency", &self.tiers.emergency),
        ] {
            tier.check(&format!("tiers.{name}"), &mut ranges);
        }
        ranges.into_problems()
    }

    fn tier(&self, facts: &CompressionFacts) -> (CompressionTier, Reason) {
        let battery = format!("{} %", facts.battery);
        let because = |rule, bound| Reason::new(rule, "battery", battery, bound);
        if facts.emergency {
            (self.tiers.emergency, Reason::new("emergency", "mode", "emergency", ""))
        } else if facts.battery > self.full_above {
            (self.tiers.full, because("full-quality", format!("> {} %", self.full_above)))
        } else if facts.battery >= self.low_below {
            (self.tiers.saving, because("saving-quality", format!("≤ {} %", self.full_above)))
        } else {
            (self.tiers.low, because("low-quality", format!("< {} %", self.low_below)))
        }
    }

    /// Returns the lowest limit on the bytes of an image, with the rule and fact it comes from.
    fn allowed_bytes(&self, facts: &CompressionFacts) -> Option<(u64, &'static str, &'static str)> {
        let per_second = facts.uplink_bytes_per_second;
        let sendable = per_second.map(|rate| rate.saturating_mul(self.send_within_ms.into()) / 1000);
        let by_goodput = sendable.map(|bytes| (bytes, "slow-uplink", "uplink in time"));
        let by_budget = facts.budget_left_bytes.map(|bytes| (bytes, "tight-budget", "uplink budget"));
        [by_goodput, by_budget].into_iter().flatten().min_by_key(|(bytes, ..)| *bytes)
    }
}

impl CompressionTier {
    pub(crate) fn check(&self, key: &str, ranges: &mut Ranges) {
        ranges.whole(&format!("{key}.quality"), self.quality.into(), 1..=100);
        ranges.number(&format!("{key}.bytes_per_pixel"), self.bytes_per_pixel, 0.01..=3.0);
    }
}

/// Returns the longest side with which nine pictures of ten stay within so many bytes.
pub(crate) fn side_within(tier: CompressionTier, bytes: u64) -> u32 {
    let side = (bytes as f32 / (AREA * tier.bytes_per_pixel)).sqrt();
    side as u32 / SIDE_STEP * SIDE_STEP
}

/// Returns the bytes that nine pictures of ten stay within.
pub(crate) fn bytes_of(longest_side: u32, tier: CompressionTier) -> f32 {
    let side = longest_side as f32;
    AREA * side * side * tier.bytes_per_pixel
}
