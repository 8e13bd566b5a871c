//! Ways to route, and what each costs.

use glassd_policies::calibration::{Calibration, Drift};
use glassd_policies::{Bounds, Budget, EscalationFacts, EscalationPolicy, Privacy, Route, Uplink};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::world::Asked;

/// Power of a core that looks, in watts: of the order of what a large ARM core takes.
const CORE_W: f64 = 2.0;
/// Upload in bits a second.
const UPLOAD: f64 = 5e6;

/// A way to route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    AllLocal,
    AllCloud,
    Fixed,
    Uncalibrated,
    Calibrated,
    /// Calibrated, and nothing is checked.
    Unchecked,
}

impl Strategy {
    pub(crate) const IN_THE_LIGHT: [Self; 5] =
        [Self::AllLocal, Self::AllCloud, Self::Fixed, Self::Uncalibrated, Self::Calibrated];
    pub(crate) const IN_THE_DARK: [Self; 4] =
        [Self::AllLocal, Self::Fixed, Self::Unchecked, Self::Calibrated];

    const fn name(self) -> &'static str {
        match self {
            Self::AllLocal => "all local",
            Self::AllCloud => "all cloud",
            Self::Fixed => "fixed 0.5",
            Self::Uncalibrated => "uncalibrated",
            Self::Calibrated => "calibrated",
            Self::Unchecked => "calibrated, no checks",
        }
    }
}

/// What came of all questions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tally {
    pub(crate) strategy: Strategy,
    asked: u64,
    /// Answers that the device gave, and how many of them were wrong.
    local: u64,
    wrong_local: u64,
    /// Questions that got a wrong answer or none.
    wrong: u64,
    checks: u64,
    bytes: u64,
    wifi_j: f64,
    lte_j: f64,
}

/// Goes through the questions in their order.
pub(crate) fn tally(
    asked: &[Asked],
    policy: &EscalationPolicy,
    calibration: &Calibration,
    strategy: Strategy,
    seed: u64,
) -> Tally {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut drift = Drift::default();
    let mut tally = Tally {
        strategy,
        asked: asked.len() as u64,
        local: 0,
        wrong_local: 0,
        wrong: 0,
        checks: 0,
        bytes: 0,
        wifi_j: 0.0,
        lte_j: 0.0,
    };
    for one in asked {
        let is_local = match (strategy, &one.candidate) {
            (Strategy::AllLocal, _) => true,
            (Strategy::AllCloud, _) | (_, None) => false,
            (Strategy::Fixed, Some(candidate)) => candidate.score >= 0.5,
            (Strategy::Uncalibrated, Some(candidate)) => {
                route(policy, Some(candidate.score), Bounds::default(), 0.0) == Route::Local
            }
            (Strategy::Calibrated | Strategy::Unchecked, Some(candidate)) => {
                let probability = calibration.probability(&one.kind, candidate.score);
                let bound = |found: &Option<glassd_policies::calibration::RiskBound>| {
                    found.as_ref().map(|found| found.probability)
                };
                let bounds =
                    Bounds { ordinary: bound(&calibration.ordinary), costly: bound(&calibration.costly) };
                route(policy, Some(probability), bounds, drift.raise()) == Route::Local
            }
        };
        if strategy != Strategy::AllCloud {
            tally.wifi_j += one.look_s * CORE_W;
            tally.lte_j += one.look_s * CORE_W;
        }
        if is_local {
            let is_right = one.candidate.as_ref().is_some_and(|candidate| candidate.is_right);
            tally.local += u64::from(one.candidate.is_some());
            tally.wrong_local += u64::from(one.candidate.is_some() && !is_right);
            tally.wrong += u64::from(!is_right);
            if strategy == Strategy::Calibrated && rng.random::<f32>() < policy.audit_share {
                tally.checks += 1;
                tally.send(one.bytes);
                if let Some(agreed) = one.candidate.as_ref().and_then(|candidate| candidate.agreed) {
                    drift.handle_outcome(agreed, policy.risk);
                }
            }
        } else {
            tally.wrong += u64::from(!one.cloud_is_right);
            tally.send(one.bytes);
        }
    }
    tally
}

fn route(policy: &EscalationPolicy, candidate: Option<f32>, bounds: Bounds, raise: f32) -> Route {
    let facts = EscalationFacts {
        candidate_probability: candidate,
        understood: candidate.is_some(),
        needs_image: true,
        uplink: Uplink::Up,
        privacy: Privacy::Open,
        metered: false,
        budget: Budget::Enough,
        battery: None,
        cloud_ms: None,
        bounds,
        raise,
    };
    policy.decide(&facts).value
}

impl Tally {
    /// Sends a question: power and tails of Huang et al. 2012, table 4.
    fn send(&mut self, bytes: u64) {
        let seconds = bytes as f64 * 8.0 / UPLOAD;
        let mbps = UPLOAD / 1e6;
        self.bytes += bytes;
        self.wifi_j += seconds * (0.132_86 + 0.283_17 * mbps) + 0.238 * 0.119_3;
        self.lte_j += 0.260 * 1.210_7 + seconds * (1.288_04 + 0.438_39 * mbps) + 11.576 * 1.060_04;
    }

    /// Returns the share of wrong ones among the answers that the device gave.
    pub(crate) fn wrong_of_local(&self) -> f64 {
        self.wrong_local as f64 / (self.local as f64).max(1.0)
    }

    /// Returns a row for a file.
    pub(crate) fn row(&self, world: &str) -> serde_json::Value {
        let asked = self.asked as f64;
        json!({
            "world": world,
            "strategy": self.strategy.name(),
            "queries": self.asked,
            "share_local": self.local as f64 / asked,
            "wrong_of_local": self.wrong_of_local(),
            "wrong_or_none": self.wrong as f64 / asked,
            "checks": self.checks,
            "bytes_per_query": self.bytes as f64 / asked,
            "joules_per_query_wifi": self.wifi_j / asked,
            "joules_per_query_lte": self.lte_j / asked,
        })
    }
}

/// Writes tallies for people.
pub(crate) fn table(world: &str, tallies: &[Tally]) -> String {
    let mut text = format!(
        "{world:<22}{:>10}{:>16}{:>16}{:>8}{:>12}{:>12}{:>11}\n",
        "local %", "wrong of local", "wrong or none", "checks", "KB/query", "J, Wi-Fi", "J, LTE"
    );
    for tally in tallies {
        let asked = tally.asked as f64;
        let line = format!(
            "{:<22}{:>10.1}{:>14.2} %{:>14.2} %{:>8}{:>12.1}{:>12.3}{:>11.2}\n",
            tally.strategy.name(),
            tally.local as f64 / asked * 100.0,
            tally.wrong_of_local() * 100.0,
            tally.wrong as f64 / asked * 100.0,
            tally.checks,
            tally.bytes as f64 / asked / 1000.0,
            tally.wifi_j / asked,
            tally.lte_j / asked
        );
        text.push_str(&line);
    }
    text
}
