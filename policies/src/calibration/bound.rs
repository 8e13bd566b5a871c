//! The lowest bound on a probability that keeps the share of wrong answers above it under a risk.
//!
//! One half of the outcomes says where proof is easiest; on the other half an exact binomial test is made there, then at
//! each lower bound, until one does not reject "the risk is higher". Where the search begins and goes does not depend on
//! what the second half says, so no test needs a part of the allowed error (fixed sequence testing: Angelopoulos et al.
//! 2021, "Learn then Test").

use serde::{Deserialize, Serialize};

use super::Risk;

/// A bound, and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiskBound {
    /// From this probability on a candidate is the answer.
    pub probability: f32,
    /// What is promised of them.
    pub risk: Risk,
    /// Outcomes at or above the bound.
    pub outcomes: u32,
    /// How many of them were wrong.
    pub wrong: u32,
}

/// Searches among the probabilities of `held`, beginning where `known` says; `None` where no bound keeps the promise, or
/// there are too few outcomes to prove it.
pub(super) fn lowest(known: &[(f32, bool)], held: &[(f32, bool)], risk: Risk) -> Option<RiskBound> {
    let (share, error) = (f64::from(risk.share), f64::from(1.0 - risk.confidence));
    let doubt = |step: &Step| at_most(step.wrong, step.outcomes, share);
    let easiest = steps(known).into_iter().min_by(|a, b| doubt(a).total_cmp(&doubt(b)))?;
    let from = |step: &Step| step.probability <= easiest.probability;
    let proven = steps(held).into_iter().filter(from).take_while(|step| doubt(step) <= error).last();
    let Step { probability, outcomes, wrong } = proven?;
    Some(RiskBound { probability, risk, outcomes, wrong })
}

/// One bound that can be tried: what lies at or above it.
struct Step {
    probability: f32,
    outcomes: u32,
    wrong: u32,
}

/// From the highest probability down; outcomes of the same one come in together.
fn steps(judged: &[(f32, bool)]) -> Vec<Step> {
    let mut sorted = judged.to_vec();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut steps: Vec<Step> = Vec::new();
    let (mut outcomes, mut wrong) = (0, 0);
    for (probability, right) in sorted {
        outcomes += 1;
        wrong += u32::from(!right);
        let step = Step { probability, outcomes, wrong };
        match steps.last_mut() {
            Some(last) if last.probability == probability => *last = step,
            _ => steps.push(step),
        }
    }
    steps
}

/// Returns the share of wrong ones that is not exceeded with this confidence (Clopper and Pearson 1934).
pub fn upper_risk(wrong: u32, outcomes: u32, confidence: f32) -> f32 {
    if wrong >= outcomes {
        return 1.0;
    }
    let error = f64::from(1.0 - confidence);
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if at_most(wrong, outcomes, middle) > error { low = middle } else { high = middle }
    }
    high as f32
}

/// Probability of at most so many wrong among the outcomes, each wrong with this probability.
fn at_most(wrong: u32, outcomes: u32, share: f64) -> f64 {
    if share <= 0.0 {
        return 1.0;
    }
    if share >= 1.0 {
        return f64::from(u8::from(wrong >= outcomes));
    }
    // In logarithms: of thousands of outcomes none wrong has no room in a number.
    let odds = share.ln() - (1.0 - share).ln();
    let mut term = f64::from(outcomes) * (1.0 - share).ln();
    let mut sum = term.exp();
    for k in 1..=wrong.min(outcomes) {
        term += (f64::from(outcomes - k + 1) / f64::from(k)).ln() + odds;
        sum += term.exp();
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::{at_most, upper_risk};

    #[test]
    fn the_binomial_is_that_of_the_tables() {
        // Of 20 with 0.3 each: at most 5, from any table.
        assert!((at_most(5, 20, 0.3) - 0.4164).abs() < 1e-4);
        assert!((at_most(0, 59, 0.05) - 0.95_f64.powi(59)).abs() < 1e-12);
        assert!((at_most(20, 20, 0.3) - 1.0).abs() < 1e-12);
        assert!(at_most(0, 1_000_000, 0.5) < 1e-300);
    }

    #[test]
    fn the_upper_bound_is_that_of_the_rule_of_three() {
        // None wrong of 100: 1 − 0.05^(1/100).
        assert!((upper_risk(0, 100, 0.95) - 0.029_513).abs() < 1e-5);
        // Two of ten, one-sided 95 %: 0.5069 in the tables of Clopper and Pearson.
        assert!((upper_risk(2, 10, 0.95) - 0.5069).abs() < 1e-3);
        assert_eq!(upper_risk(3, 3, 0.95), 1.0);
    }
}
