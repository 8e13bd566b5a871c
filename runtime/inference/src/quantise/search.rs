//! The search for a quantisation within an error budget.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::prelude::Tensor;

use super::emit::{Form, Weighting, emit};
use super::equalise::equalise;
use super::graph::Graph;
use super::measure::{Agreement, Local, Reference, local};
use super::observe::{Activations, observe};
use super::placement::{Plan, chosen, units};
use super::range::Method;
use super::report::Trial;
use super::{Choice, Progress, QuantiseError, Settings, Stage};

/// A layer must bring the model this much nearer to FP32 to be left in floats, in dB.
const WORTH_LEAVING: f64 = 0.1;

/// A way to quantise a graph, and what is known about it.
pub(super) struct Search<'a> {
    samples: &'a [Vec<Tensor>],
    settings: &'a Settings,
    reference: Reference,
    pub(super) graph: Graph,
    pub(super) activations: Activations,
    pub(super) plan: Plan,
    pub(super) weighting: Weighting,
    pub(super) method: Option<Method>,
    pub(super) equalised: usize,
    pub(super) agreement: Agreement,
    pub(super) trials: Vec<Trial>,
    pub(super) locals: BTreeMap<usize, Local>,
    pub(super) units: Vec<Vec<usize>>,
    /// From a unit to the agreement with it alone quantised.
    pub(super) alone: BTreeMap<usize, Agreement>,
    /// From a unit that stays in floats to what that brings, in dB.
    pub(super) left: BTreeMap<usize, f64>,
}

impl<'a> Search<'a> {
    /// Starts from every tensor by its best method.
    pub(super) fn new(
        graph: Graph,
        heads: &[String],
        samples: &'a [Vec<Tensor>],
        settings: &'a Settings,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Self, QuantiseError> {
        let reference = Reference::new(&graph, heads, samples)?;
        let activations = observe(&graph, samples, progress)?;
        let quantised = chosen(&graph, &activations, &BTreeSet::new());
        let plan = Plan::new(&graph, &activations, quantised, settings.method);
        let weighting = Weighting { clipping: settings.clipping, ..Weighting::default() };
        let simulated = emit(&graph, &plan, &weighting, Form::Simulated);
        let agreement = reference.compare(&simulated, samples, samples.len())?;
        let what = settings.method.map_or("best of each tensor", Method::name).to_owned();
        let trials = vec![Trial { what, kept: true, agreement }];
        let units = units(&graph, &activations);
        Ok(Self {
            samples,
            settings,
            reference,
            graph,
            activations,
            plan,
            weighting,
            method: settings.method,
            equalised: 0,
            agreement,
            trials,
            locals: BTreeMap::new(),
            units,
            alone: BTreeMap::new(),
            left: BTreeMap::new(),
        })
    }

    /// Tries each method for all tensors alike.
    pub(super) fn try_methods(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), QuantiseError> {
        if self.settings.method.is_some() {
            return Ok(());
        }
        for (done, method) in Method::ALL.into_iter().enumerate() {
            progress(Progress { stage: Stage::Ranges, done, of: Method::ALL.len() });
            let plan = Plan::new(&self.graph, &self.activations, self.plan.quantised.clone(), Some(method));
            let agreement = self.agreement_of(&self.graph, &plan, &self.weighting)?;
            if self.tried(method.name(), agreement, Choice::Auto) {
                (self.plan, self.method) = (plan, Some(method));
            }
        }
        Ok(())
    }

    /// Equalises the convolutions where that is wanted, or helps.
    pub(super) fn try_equalisation(
        &mut self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), QuantiseError> {
        if self.settings.equalise == Choice::Off {
            return Ok(());
        }
        let mut graph = self.graph.clone();
        let pairs = equalise(&mut graph);
        if pairs == 0 {
            return Ok(());
        }
        let activations = observe(&graph, self.samples, progress)?;
        let plan = Plan::new(&graph, &activations, self.plan.quantised.clone(), self.method);
        let agreement = self.agreement_of(&graph, &plan, &self.weighting)?;
        if self.tried("cross-layer equalisation", agreement, self.settings.equalise) {
            (self.graph, self.activations, self.plan, self.equalised) = (graph, activations, plan, pairs);
        }
        Ok(())
    }

    /// Corrects the biases where that is wanted, or helps.
    pub(super) fn try_correction(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), QuantiseError> {
        progress(Progress { stage: Stage::Biases, done: 0, of: 1 });
        self.locals = local(&self.graph, &self.plan, &self.weighting, self.samples)?;
        if self.settings.correct_bias == Choice::Off {
            return Ok(());
        }
        let shifts = self.locals.iter().map(|(node, local)| (*node, local.shift.clone()));
        let weighting = Weighting { corrections: shifts.collect(), ..self.weighting.clone() };
        let agreement = self.agreement_of(&self.graph, &self.plan, &weighting)?;
        if self.tried("bias correction", agreement, self.settings.correct_bias) {
            self.weighting = weighting;
        }
        Ok(())
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
            progress(Progress { stage: Stage::Leaving, done: self.left.len(), of: self.settings.most_left });
            let units = self.left.keys().copied().chain([unit]);
            let nodes: BTreeSet<usize> = units.flat_map(|unit| self.units[unit].iter().copied()).collect();
            let quantised = chosen(&self.graph, &self.activations, &nodes);
            let plan = Plan::new(&self.graph, &self.activations, quantised, self.method);
            let agreement = self.agreement_of(&self.graph, &plan, &self.weighting)?;
            let gain = agreement.heads_db - self.agreement.heads_db;
            if gain >= WORTH_LEAVING {
                self.left.insert(unit, gain);
                (self.plan, self.agreement) = (plan, agreement);
            }
        }
        Ok(())
    }

    fn measure_alone(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), QuantiseError> {
        if self.settings.probes == 0 {
            return Ok(());
        }
        for unit in 0..self.units.len() {
            progress(Progress { stage: Stage::Layers, done: unit, of: self.units.len() });
            let nodes = self.units[unit].iter().copied().filter(|at| self.plan.quantised.contains(at));
            let plan = self.plan.only(nodes.collect());
            if plan.quantised.is_empty() {
                continue;
            }
            let simulated = emit(&self.graph, &plan, &self.weighting, Form::Simulated);
            let agreement = self.reference.compare(&simulated, self.samples, self.settings.probes)?;
            self.alone.insert(unit, agreement);
        }
        Ok(())
    }

    fn agreement_of(
        &self,
        graph: &Graph,
        plan: &Plan,
        weighting: &Weighting,
    ) -> Result<Agreement, QuantiseError> {
        let simulated = emit(graph, plan, weighting, Form::Simulated);
        self.reference.compare(&simulated, self.samples, self.samples.len())
    }

    /// Notes a trial; tells whether it is kept.
    fn tried(&mut self, what: &str, agreement: Agreement, choice: Choice) -> bool {
        let kept = choice == Choice::On || agreement.heads_db > self.agreement.heads_db;
        self.trials.push(Trial { what: what.to_owned(), kept, agreement });
        if kept {
            self.agreement = agreement;
        }
        kept
    }

    /// Compares the file that is written, once more and in integers.
    pub(super) fn confirm(&mut self, written: &Graph) -> Result<(), QuantiseError> {
        self.agreement = self.reference.compare(written, self.samples, self.samples.len())?;
        Ok(())
    }
}
