//! Which nodes work on integers, and which tensors share their steps.

use std::collections::{BTreeMap, BTreeSet};

use tract_onnx::pb::NodeProto;

use super::Composite;
use super::functions::is_affine;
use super::graph::Graph;
use super::histogram::Histogram;
use super::kinds::{Kind, data_inputs, is_merged, kind};
use super::observe::Activations;
use super::range::{Affine, Method, best, by_method};
use super::response::Response;

/// The nodes that work on integers, by position, and the steps of the tensors between them.
#[derive(Clone, Debug, Default)]
pub(super) struct Plan {
    pub(super) quantised: BTreeSet<usize>,
    pub(super) steps: BTreeMap<String, Affine>,
    /// How the range of each class of tensors was chosen, with how many tensors.
    pub(super) methods: BTreeMap<Method, usize>,
    /// What was chosen for each class, so that the next plan need not choose again.
    pub(super) ranges: Ranges,
}

/// The steps of classes of tensors, and the method that chose them.
pub(super) type Ranges = BTreeMap<Vec<String>, (Method, Affine)>;

/// How much larger the squared error of a tensor may become by sharing the steps of a concatenation, where
/// others read it too.
const SHARING_LOSS: f64 = 1.5;

/// Returns the units that are quantised or left as one: a weighted node with the activation function behind
/// it, or a node that has steps of its own. The first node of each is the one it is called after.
pub(super) fn units(graph: &Graph, activations: &Activations) -> Vec<Vec<usize>> {
    let readers = graph.readers();
    let only_reader = |name: &str| match readers.get(name).map(Vec::as_slice) {
        Some([only]) if !graph.is_output(name) => Some(*only),
        _ => None,
    };
    let mut taken = BTreeSet::new();
    let mut units = Vec::new();
    for (at, node) in graph.nodes.iter().enumerate() {
        if taken.contains(&at) || !can(graph, at, activations) || kind(graph, node) == Kind::Sharing {
            continue;
        }
        let mut unit = vec![at];
        if matches!(kind(graph, node), Kind::Weighted { .. }) {
            let output = &node.output[0];
            let is = |at: usize, op: &str| graph.nodes[at].op_type == op && can(graph, at, activations);
            if let Some(next) = only_reader(output) {
                let is_function = ["Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid"]
                    .iter()
                    .any(|op| is(next, op));
                unit.extend(is_function.then_some(next));
            } else if let Some([a, b]) = readers.get(output).map(Vec::as_slice)
                && let (sigmoid, product) = if is(*a, "Sigmoid") { (*a, *b) } else { (*b, *a) }
                && is(sigmoid, "Sigmoid")
                && is(product, "Mul")
                && only_reader(&graph.nodes[sigmoid].output[0]) == Some(product)
            {
                unit.extend([sigmoid, product]);
            }
        }
        taken.extend(unit.iter().copied());
        units.push(unit);
    }
    units
}

/// Tells whether a node can work on integers: all its activations are floats that were seen.
fn can(graph: &Graph, at: usize, activations: &Activations) -> bool {
    let node = &graph.nodes[at];
    let kind = kind(graph, node);
    let mut inputs = data_inputs(node, kind).map(|at| &node.input[at]).peekable();
    let is_seen = |name: &String| activations.contains_key(name);
    kind != Kind::Float
        && inputs.peek().is_some()
        && inputs.clone().any(is_seen)
        && inputs.all(|name| is_seen(name) || graph.floats(name).is_some())
        && node.output.iter().filter(|name| !name.is_empty()).all(is_seen)
}

/// Chooses the nodes that work on integers: all that can, but for those of `left`, and what would only turn
/// its input into integers to give out floats again.
pub(super) fn chosen(graph: &Graph, activations: &Activations, left: &BTreeSet<usize>) -> BTreeSet<usize> {
    let readers = graph.readers();
    let mut chosen: BTreeSet<usize> =
        (0..graph.nodes.len()).filter(|at| can(graph, *at, activations) && !left.contains(at)).collect();
    // Readers come later, so that one pass from the end is enough.
    for at in (0..graph.nodes.len()).rev() {
        let node = &graph.nodes[at];
        let is_read = node.output.iter().any(|output| {
            readers.get(output).is_some_and(|readers| readers.iter().any(|reader| chosen.contains(reader)))
        });
        if !matches!(kind(graph, node), Kind::Weighted { .. })
            && !is_read
            && !is_behind_weights(graph, at, &chosen)
        {
            chosen.remove(&at);
        }
    }
    chosen
}

/// A ReLU merged into a weighted node stays with it, even where floats come out.
fn is_behind_weights(graph: &Graph, at: usize, chosen: &BTreeSet<usize>) -> bool {
    let node = &graph.nodes[at];
    is_merged(node)
        && graph.makers().get(&node.input[0]).is_some_and(|maker| {
            chosen.contains(maker) && matches!(kind(graph, &graph.nodes[*maker]), Kind::Weighted { .. })
        })
}

impl Plan {
    /// Plans the quantisation of the chosen nodes; without a method the best is taken for each tensor. `known`
    /// are ranges that were chosen by this method on these activations.
    pub(super) fn new(
        graph: &Graph,
        activations: &Activations,
        quantised: BTreeSet<usize>,
        method: Option<Method>,
        composite: Composite,
        known: &Ranges,
    ) -> Self {
        let mut plan = Self { quantised, ..Self::default() };
        let readers = graph.readers();
        for class in classes(graph, activations, &plan.quantised) {
            if let Some(&(method, steps)) = known.get(&class) {
                plan.take(class, method, steps);
                continue;
            }
            let all = Histogram::merged(class.iter().map(|name| &activations[name]));
            let response = match class.as_slice() {
                [only] => Response::to(graph, only, readers.get(only).map_or(&[], Vec::as_slice)),
                _ => Response::Identity,
            };
            let by = |method| (method, by_method(&all, response, method));
            let (method, steps) = method.map_or_else(|| best(&all, response), by);
            plan.take(class, method, steps);
        }
        if composite == Composite::Whole {
            for tensor in scaled(graph, &plan.quantised) {
                plan.steps.remove(tensor);
            }
            for tensor in inner(graph, &plan.quantised) {
                plan.steps.remove(tensor);
            }
        }
        plan
    }

    fn take(&mut self, class: Vec<String>, method: Method, steps: Affine) {
        *self.methods.entry(method).or_default() += class.len();
        self.steps.extend(class.iter().map(|name| (name.clone(), steps)));
        self.ranges.insert(class, (method, steps));
    }

    /// Returns the same plan for these nodes alone.
    pub(super) fn only(&self, quantised: BTreeSet<usize>) -> Self {
        Self { quantised, ..self.clone() }
    }
}

/// Returns what a sigmoid makes for nothing but the product with its own input.
fn inner<'a>(graph: &'a Graph, quantised: &BTreeSet<usize>) -> Vec<&'a String> {
    let readers = graph.readers();
    let is_inner = |sigmoid: &&usize| {
        let node = &graph.nodes[**sigmoid];
        let read = readers.get(&node.output[0]).map(Vec::as_slice);
        node.op_type == "Sigmoid"
            && matches!(read, Some([product]) if quantised.contains(product)
                && graph.nodes[*product].op_type == "Mul"
                && graph.nodes[*product].input.contains(&node.input[0]))
    };
    quantised.iter().filter(is_inner).map(|&sigmoid| &graph.nodes[sigmoid].output[0]).collect()
}

/// Returns what an activation function makes for nothing but a product with a number or a sum with one: together
/// they are one function.
fn scaled<'a>(graph: &'a Graph, quantised: &BTreeSet<usize>) -> Vec<&'a String> {
    let readers = graph.readers();
    let is_function = |node: &NodeProto| {
        is_affine(graph, node)
            || ["Sigmoid", "HardSwish", "HardSigmoid", "LeakyRelu"].contains(&node.op_type.as_str())
    };
    let is_scaled = |at: &&usize| {
        let node = &graph.nodes[**at];
        let read = readers.get(&node.output[0]).map(Vec::as_slice);
        is_function(node)
            && !graph.is_output(&node.output[0])
            && matches!(read, Some([next]) if quantised.contains(next) && is_affine(graph, &graph.nodes[*next]))
    };
    quantised.iter().filter(is_scaled).map(|&at| &graph.nodes[at].output[0]).collect()
}

/// Returns the tensors that share their steps, class by class.
fn classes(graph: &Graph, activations: &Activations, quantised: &BTreeSet<usize>) -> Vec<Vec<String>> {
    let mut classes = Classes::default();
    for &at in quantised {
        let node = &graph.nodes[at];
        let kind = kind(graph, node);
        let inputs = data_inputs(node, kind).map(|at| &node.input[at]);
        for name in inputs.chain(&node.output).filter(|name| activations.contains_key(*name)) {
            classes.of(name);
        }
        if kind == Kind::Sharing {
            for output in node.output.iter().filter(|name| !name.is_empty()) {
                classes.join(&node.input[0], output);
            }
        }
    }
    let readers = graph.readers();
    for &at in quantised.iter().filter(|at| graph.nodes[**at].op_type == "Concat") {
        let node = &graph.nodes[at];
        let joined = &activations[&node.output[0]];
        for input in node.input.iter().filter(|name| activations.contains_key(*name)) {
            // What the concatenation alone reads is rounded to its steps anyway.
            let members = classes.members(input);
            let is_inner = |reader: &usize| {
                *reader == at
                    || kind(graph, &graph.nodes[*reader]) == Kind::Sharing && quantised.contains(reader)
            };
            let is_private = members
                .iter()
                .all(|name| readers.get(name).is_none_or(|readers| readers.iter().all(is_inner)));
            let own = Histogram::merged(members.iter().map(|name| &activations[name]));
            let shared = Histogram::merged([joined, &own].into_iter());
            // From end to end: which range is the best takes long to find, and hardly changes the answer.
            let error = |of: &Histogram| {
                by_method(of, Response::Identity, Method::MinMax).squared_error(&own, Response::Identity)
            };
            let loss = error(&shared);
            let own_error = error(&own);
            if is_private || loss <= SHARING_LOSS * own_error {
                classes.join(input, &node.output[0]);
            }
        }
    }
    classes.all()
}

/// Disjoint sets of tensors.
#[derive(Default)]
struct Classes {
    representative: BTreeMap<String, String>,
}

impl Classes {
    fn of(&mut self, name: &str) -> String {
        self.representative.entry(name.to_owned()).or_insert_with(|| name.to_owned()).clone()
    }

    fn join(&mut self, a: &str, b: &str) {
        let (a, b) = (self.of(a), self.of(b));
        for representative in self.representative.values_mut().filter(|name| **name == a) {
            representative.clone_from(&b);
        }
    }

    fn members(&mut self, name: &str) -> Vec<String> {
        let class = self.of(name);
        self.representative.iter().filter(|(_, of)| **of == class).map(|(name, _)| name.clone()).collect()
    }

    fn all(self) -> Vec<Vec<String>> {
        let mut classes: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, class) in self.representative {
            classes.entry(class).or_default().push(name);
        }
        classes.into_values().collect()
    }
}
