//! What was done to a model, and what it cost.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::measure::Agreement;
use super::range::Method;

/// What was done to a model, and what it cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Size of the FP32 file.
    pub bytes_before: usize,
    /// Size of the INT8 file.
    pub bytes_after: usize,
    /// Samples it was calibrated on.
    pub samples: usize,
    /// How the ranges were chosen: one method for all activations, or nothing for each the best.
    pub method: Option<Method>,
    /// Tensors by the method that chose their range.
    pub methods: BTreeMap<Method, usize>,
    /// Pairs of convolutions that were equalised; 0 where that was left out.
    pub equalised: usize,
    /// Layers whose bias was corrected; 0 where that was left out.
    pub corrected: usize,
    /// What was tried, in its order.
    pub trials: Vec<Trial>,
    /// Every layer that could be quantised, in the order of computation.
    pub layers: Vec<Layer>,
    /// Share of the multiply-adds with constant weights that are done on integers, 0 to 1.
    pub int8_share: f64,
    /// What was asked for, as [`Agreement::heads_db`].
    pub budget_db: f64,
    /// The INT8 model against FP32, on the calibration samples.
    pub agreement: Agreement,
}

/// One way to quantise, and how it fared on all samples.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was tried.
    pub what: String,
    /// Whether it was kept.
    pub kept: bool,
    /// How far it is from FP32.
    pub agreement: Agreement,
}

/// One layer: an operation with the activation function behind it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Layer {
    /// Its node's name.
    pub name: String,
    /// Its operation.
    pub op: String,
    /// Signal to noise of its output with it alone quantised, in dB; of layers with weights.
    pub output_db: Option<f64>,
    /// Signal to noise of the last weighted layers with it alone quantised, in dB; where it was measured.
    pub model_db: Option<f64>,
    /// Why it stays in floats.
    pub left: Option<String>,
}

impl Report {
    /// Tells whether the model is within the error budget.
    pub fn is_within_budget(&self) -> bool {
        self.agreement.heads_db >= self.budget_db
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.map_or("best of each tensor", Method::name);
        writeln!(
            f,
            "size        {:.2} MB to {:.2} MB",
            self.bytes_before as f64 / 1e6,
            self.bytes_after as f64 / 1e6
        )?;
        writeln!(f, "calibrated  on {} samples, ranges: {method}", self.samples)?;
        writeln!(f, "integers    {:.1} % of the multiply-adds", 100.0 * self.int8_share)?;
        writeln!(f, "equalised   {} pairs; bias corrected in {} layers", self.equalised, self.corrected)?;
        let Agreement { sqnr_db, heads_db, cosine, max_error, top1 } = self.agreement;
        write!(
            f,
            "agreement   outputs {sqnr_db:.1} dB, cosine {cosine:.5}, largest difference {max_error:.4}"
        )?;
        if let Some(top1) = top1 {
            write!(f, ", same top-1 {:.1} %", 100.0 * top1)?;
        }
        let verdict = if self.is_within_budget() { "within" } else { "MISSES" };
        writeln!(f, "\nbudget      last layers {heads_db:.1} dB: {verdict} {:.1} dB", self.budget_db)?;
        writeln!(f, "\ntried                                outputs dB  last layers dB   cosine")?;
        for Trial { what, kept, agreement } in &self.trials {
            let mark = if *kept { '*' } else { ' ' };
            let Agreement { sqnr_db, heads_db, cosine, .. } = agreement;
            writeln!(f, "{mark} {what:34} {sqnr_db:>10.1} {heads_db:>15.1} {cosine:>8.5}")?;
        }
        writeln!(f, "\nlayer                                    op            own dB  model dB")?;
        let decibels = |db: Option<f64>| db.map_or_else(|| "-".to_owned(), |db| format!("{db:.1}"));
        for Layer { name, op, output_db, model_db, left } in &self.layers {
            // The end of a name tells more than its start.
            let skipped = name.chars().count().saturating_sub(40);
            let name: String = name.chars().skip(skipped).collect();
            write!(f, "{name:40} {op:12} {:>7} {:>9}", decibels(*output_db), decibels(*model_db))?;
            match left {
                Some(why) => writeln!(f, "  left in floats: {why}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
