//! The search for a quantisation within an error budget.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::prelude::Tensor;

use super::emit::{Form, Weighting, emit};
use super::equalise::equalise;
use super::graph::Graph;
use super::measure::{Agreement, Local, Reference, local};
use super::observe::{Activations, observe};
use super::placement::{Plan, Ranges, chosen, units};
use super::range::Method;
use super::report::Trial;
use super::weights::Clipping;
use super::{Choice, Composite, Progress, QuantiseError, Settings, Stage};

/// A layer must bring the model this much nearer to FP32 to be left in floats, in dB.
const WORTH_LEAVING: f64 = 0.1;

/// One way to quantise a model.
#[derive(Clone)]
pub(super) struct Fit {
    pub(super) graph: Graph,
    pub(super) activations: Activations,
    pub(super) plan: Plan,
    pub(super) weighting: Weighting,
    pub(super) method: Option<Method>,
    composite: Composite,
    /// Pairs of convolutions that were equalised.
    pub(super) equalised: usize,
    /// What quantising each weighted node does to its output.
    pub(super) locals: BTreeMap<usize, Local>,
}

impl Fit {
    fn new(graph: Graph, activations: Activations, settings: &Settings) -> Self {
        let quantised = chosen(&graph, &activations, &BTreeSet::new());
        let composite = settings.composite;
        let plan = Plan::new(&graph, &activations, quantised, settings.method, composite, &Ranges::new());
        let weighting = Weighting::default();
        let (method, locals) = (settings.method, BTreeMap::new());
        Self { graph, activations, plan, weighting, method, composite, equalised: 0, locals }
    }

    /// Plans anew, by this method and without these nodes.
    fn replanned(&self, method: Option<Method>, left: &BTreeSet<usize>) -> Self {
        let quantised = chosen(&self.graph, &self.activations, left);
        let none = Ranges::new();
        let known = if method == self.method { &self.plan.ranges } else { &none };
        let plan = Plan::new(&self.graph, &self.activations, quantised, method, self.composite, known);
        Self { plan, method, ..self.clone() }
    }

    /// Returns the FP32 model that computes what the INT8 model does.
    fn simulated(&self) -> Graph {
        emit(&self.graph, &self.plan, &self.weighting, Form::Simulated)
    }

    /// Returns the INT8 model.
    pub(super) fn integers(&self) -> Graph {
        emit(&self.graph, &self.plan, &self.weighting, Form::Integers)
    }
}

/// The best way found so far, and what was learnt on the way.
pub(super) struct Search<'a> {
    samples: &'a [Vec<Tensor>],
    settings: &'a Settings,
    reference: Reference,
    pub(super) fit: Fit,
    pub(super) agreement: Agreement,
    pub(super) trials: Vec<Trial>,
    pub(super) units: Vec<Vec<usize>>,
    /// Multiply-adds of each node with weights.
    pub(super) work: BTreeMap<usize, f64>,
    /// From a unit to the agreement with it alone quantised.
    pub(super) alone: BTreeMap<usize, Agreement>,
    /// From a unit that stays in floats to what that brings, in dB.
    pub(super) left: BTreeMap<usize, f64>,
}

impl<'a> Search<'a> {
    /// Starts from the method of the settings, or else from each tensor's best.
    pub(super) fn new(
        graph: Graph,
        (heads, work): (&[String], BTreeMap<usize, f64>),
        samples: &'a [Vec<Tensor>],
        settings: &'a Settings,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, QuantiseError> {
        let reference = Reference::new(&graph, heads, samples)?;
        let activations = observe(&graph, samples, progress)?;
        let units = units(&graph, &activations);
        let fit = Fit::new(graph, activations, settings);
        let (alone, left) = (BTreeMap::new(), BTreeMap::new());
        let agreement = reference.compare(&fit.simulated(), samples, samples.len())?;
        let what = settings.method.map_or("best of each tensor", Method::name).to_owned();
        let trials = vec![Trial { what, kept: true, agreement }];
        let mut search =
            Self { samples, settings, reference, fit, agreement, trials, units, work, alone, left };
        search.try_correction(progress)?;
        Ok(search)
    }

    /// Corrects the biases where that is wanted, or helps.
    fn try_correction(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), QuantiseError> {
        progress(Progress { stage: Stage::Biases, done: 0, of: 1 });
        let measured = self.measured(self.fit.clone())?;
        self.fit.locals.clone_from(&measured.locals);
        if self.settings.correct_bias != Choice::Off {
            let corrected = corrected(measured);
            self.attempt("bias correction", corrected, self.settings.correct_bias)?;
        }
        Ok(())
    }

    /// Tries each method for all tensors alike.
    pub(super) fn try_methods(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), QuantiseError> {
        if self.settings.method.is_some() {
            return Ok(());
        }
        for (done, method) in Method::ALL.into_iter().enumerate() {
            progress(Progress { stage: Stage::Ranges, done, of: Method::ALL.len() });
            let fit = self.as_corrected(self.fit.replanned(Some(method), &BTreeSet::new()))?;
            self.attempt(method.name(), fit, Choice::Auto)?;
        }
        Ok(())
    }

    /// Equalises the convolutions where that is wanted, or helps.
    pub(super) fn try_equalisation(
        &mut self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), QuantiseError> {
        let mut graph = self.fit.graph.clone();
        if self.settings.equalise == Choice::Off {
            return Ok(());
        }
        let equalised = equalise(&mut graph);
        if equalised == 0 {
            return Ok(());
        }
        let activations = observe(&graph, self.samples, progress)?;
        // Its activations have other ranges.
        let plan = Plan::default();
        let fit = Fit { graph, activations, plan, equalised, ..self.fit.clone() };
        let fit = self.as_corrected(fit.replanned(self.fit.method, &BTreeSet::new()))?;
        self.attempt("cross-layer equalisation", fit, self.settings.equalise)
    }

    /// Cuts off the greatest weights where that is wanted, or helps.
    pub(super) fn try_clipping(&mut self) -> Result<(), QuantiseError> {
        if self.settings.clip_weights == Choice::Off {
            return Ok(());
        }
        let mut fit = self.fit.clone();
        fit.weighting.clipping = Clipping::Mse;
        let fit = self.as_corrected(fit)?;
        self.attempt("clipped weights", fit, self.settings.clip_weights)
    }

    /// Measures each layer alone, then leaves the most harmful ones in floats until the model is within its
    /// budget, or as many are left as may be.
    pub(super) fn leave_harmful(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), QuantiseError> {
        self.measure_alone(progress)?;
        let mut harmful: Vec<usize> = self.alone.keys().copied().collect();
        harmful.sort_by(|a, b| self.alone[a].heads_db.total_cmp(&self.alone[b].heads_db));
        // Half of what is tried may turn out not to help.
        for unit in harmful.into_iter().take(2 * self.settings.most_left) {
            if self.agreement.heads_db >= self.settings.budget_db
                || self.left.len() == self.settings.most_left
            {
                break;
            }
            if self.left_work(unit) > self.settings.most_work {
                continue;
            }
            progress(Progress { stage: Stage::Leaving, done: self.left.len(), of: self.settings.most_left });
            let units = self.left.keys().copied().chain([unit]);
            let nodes: BTreeSet<usize> = units.flat_map(|unit| self.units[unit].iter().copied()).collect();
            // What a layer adds in the mean hardly depends on which others are quantised.
            let fit = self.fit.replanned(self.fit.method, &nodes);
            let agreement = self.reference.compare(&fit.simulated(), self.samples, self.samples.len())?;
            let gain = agreement.heads_db - self.agreement.heads_db;
            if gain >= WORTH_LEAVING {
                self.left.insert(unit, gain);
                (self.fit, self.agreement) = (fit, agreement);
            }
        }
        if self.left.is_empty() || self.fit.weighting.corrections.is_empty() {
            return Ok(());
        }
        let again = self.as_corrected(self.fit.clone())?;
        self.attempt("bias correction, of what is left", again, Choice::Auto)
    }

    /// Returns the share of the multiply-adds that would be left in floats with this unit too.
    fn left_work(&self, unit: usize) -> f64 {
        let nodes = self.left.keys().chain([&unit]).flat_map(|&unit| &self.units[unit]);
        let left: f64 = nodes.filter_map(|node| self.work.get(node)).sum();
        left / self.work.values().sum::<f64>().max(1.0)
    }

    fn measure_alone(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), QuantiseError> {
        if self.settings.probes == 0 {
            return Ok(());
        }
        for unit in 0..self.units.len() {
            progress(Progress { stage: Stage::Layers, done: unit, of: self.units.len() });
            let nodes = self.units[unit].iter().copied().filter(|at| self.fit.plan.quantised.contains(at));
            let fit = Fit { plan: self.fit.plan.only(nodes.collect()), ..self.fit.clone() };
            if !fit.plan.quantised.is_empty() {
                let probed = self.reference.compare(&fit.simulated(), self.samples, self.settings.probes)?;
                self.alone.insert(unit, probed);
            }
        }
        Ok(())
    }

    /// Compares the file that is written, once more and in integers.
    pub(super) fn confirm(&mut self, written: &Graph) -> Result<(), QuantiseError> {
        self.agreement = self.reference.compare(written, self.samples, self.samples.len())?;
        Ok(())
    }

    /// Takes a fit if it is better than the best, or wanted in any case.
    fn attempt(&mut self, what: &str, fit: Fit, choice: Choice) -> Result<(), QuantiseError> {
        let agreement = self.reference.compare(&fit.simulated(), self.samples, self.samples.len())?;
        let kept = choice == Choice::On || agreement.heads_db > self.agreement.heads_db;
        self.trials.push(Trial { what: what.to_owned(), kept, agreement });
        if kept {
            (self.fit, self.agreement) = (fit, agreement);
        }
        Ok(())
    }

    fn measured(&self, mut fit: Fit) -> Result<Fit, QuantiseError> {
        fit.weighting.corrections.clear();
        fit.locals = local(&fit.graph, &fit.plan, &fit.weighting, self.samples)?;
        Ok(fit)
    }

    /// Corrects the biases of a fit if those of the best one are.
    fn as_corrected(&self, fit: Fit) -> Result<Fit, QuantiseError> {
        let measured = self.measured(fit)?;
        Ok(if self.fit.weighting.corrections.is_empty() { measured } else { corrected(measured) })
    }
}

/// Takes out of every bias what quantising the layer adds to its output in the mean.
fn corrected(mut fit: Fit) -> Fit {
    let shifts = fit.locals.iter().map(|(node, local)| (*node, local.shift.clone()));
    fit.weighting.corrections = shifts.collect();
    fit
}
