//! An ONNX graph taken apart, so that it can be rewritten.

use std::collections::BTreeMap;

use prost::Message;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto};

use super::QuantiseError;
use super::proto::{f32_tensor, f32_values, sides};
use crate::soundness::{self, label};

/// A graph whose nodes stand in the order of computation, and whose constants are known by name.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// Everything but the graph's content.
    pub(super) shell: ModelProto,
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: BTreeMap<String, TensorProto>,
    pub(super) inputs: Vec<ValueInfoProto>,
    pub(super) outputs: Vec<ValueInfoProto>,
}

impl Graph {
    /// Reads a model; refuses what is no graph, what lies elsewhere, and what is quantised already.
    pub(super) fn read(onnx: &[u8]) -> Result<Self, QuantiseError> {
        let malformed = |why: &str| QuantiseError::Malformed(why.to_owned());
        let mut shell = ModelProto::decode(onnx).map_err(|error| malformed(&error.to_string()))?;
        let graph = shell.graph.take().ok_or_else(|| malformed("it has no graph"))?;
        if graph.node.is_empty() || graph.output.is_empty() {
            return Err(malformed("its graph computes nothing"));
        }
        if !graph.sparse_initializer.is_empty() {
            return Err(malformed("it holds sparse weights, which nothing here reads"));
        }
        soundness::check_order(&graph).map_err(QuantiseError::Malformed)?;
        let constants: BTreeMap<String, TensorProto> =
            graph.initializer.into_iter().map(|tensor| (tensor.name.clone(), tensor)).collect();
        // Before IR 4 the constants were listed among the inputs too.
        let inputs = graph.input.into_iter().filter(|input| !constants.contains_key(&input.name)).collect();
        let read = Self { shell, nodes: graph.node, constants, inputs, outputs: graph.output };
        read.check_values()?;
        read.check_operations()?;
        Ok(read)
    }

    fn check_values(&self) -> Result<(), QuantiseError> {
        for tensor in self.constants.values() {
            if tensor.data_location == Some(DataLocation::External as i32) {
                let location = tensor.external_data.iter().find(|pair| pair.key == "location");
                let location = location.map_or_else(String::new, |pair| pair.value.clone());
                return Err(QuantiseError::ExternalData { tensor: tensor.name.clone(), location });
            }
            if sides(tensor).is_none() {
                let why = format!("tensor {:?} has the shape {:?}", tensor.name, tensor.dims);
                return Err(QuantiseError::Malformed(why));
            }
        }
        Ok(())
    }

    fn check_operations(&self) -> Result<(), QuantiseError> {
        let known = tract_onnx::onnx().op_register;
        for node in &self.nodes {
            let op = node.op_type.as_str();
            let is_integer = op.contains("QuantizeLinear")
                || op.starts_with("QLinear")
                || op.starts_with("QGemm")
                || op.starts_with("FakeQuant")
                || ["ConvInteger", "MatMulInteger"].contains(&op);
            if is_integer {
                return Err(QuantiseError::AlreadyQuantised { node: label(node), op: op.to_owned() });
            }
            let is_standard = ["", "ai.onnx"].contains(&node.domain.as_str());
            if !is_standard || !known.0.contains_key(op) {
                let op = if is_standard { op.to_owned() } else { format!("{}.{op}", node.domain) };
                return Err(QuantiseError::UnknownOp { node: label(node), op });
            }
            if node.attribute.iter().any(|attribute| attribute.g.is_some() || !attribute.graphs.is_empty()) {
                let why = format!("a {op} holds a graph of its own, and those are not quantised");
                return Err(QuantiseError::Unsupported { node: label(node), why });
            }
        }
        Ok(())
    }

    /// Puts the model together.
    pub(super) fn model(&self) -> ModelProto {
        let graph = GraphProto {
            name: "quantised".to_owned(),
            node: self.nodes.clone(),
            initializer: self.constants.values().cloned().collect(),
            input: self.inputs.clone(),
            output: self.outputs.clone(),
            ..Default::default()
        };
        ModelProto { graph: Some(graph), ..self.shell.clone() }
    }

    /// Returns the version of the standard operations.
    pub(super) fn opset(&self) -> i64 {
        let standard = |domain: &str| ["", "ai.onnx"].contains(&domain);
        let set = self.shell.opset_import.iter().find(|set| standard(&set.domain));
        set.map_or(1, |set| set.version)
    }

    /// Returns the shape and the values of an f32 constant.
    pub(super) fn floats(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let tensor = self.constants.get(name)?;
        Some((sides(tensor)?, f32_values(tensor)?))
    }

    /// Gives an f32 constant other values.
    pub(super) fn set_floats(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.constants.insert(name.to_owned(), f32_tensor(name, shape, values));
    }

    /// Returns which nodes read a tensor.
    pub(super) fn readers(&self) -> BTreeMap<String, Vec<usize>> {
        let mut readers: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (at, node) in self.nodes.iter().enumerate() {
            for input in node.input.iter().filter(|name| !name.is_empty()) {
                readers.entry(input.clone()).or_default().push(at);
            }
        }
        readers
    }

    /// Returns which node makes a tensor.
    pub(super) fn makers(&self) -> BTreeMap<String, usize> {
        let made = |(at, node): (usize, &NodeProto)| {
            let outputs = node.output.iter().filter(|name| !name.is_empty()).cloned();
            outputs.map(|output| (output, at)).collect::<Vec<_>>()
        };
        self.nodes.iter().enumerate().flat_map(made).collect()
    }

    /// Tells whether a tensor is one of the model's outputs.
    pub(super) fn is_output(&self, name: &str) -> bool {
        self.outputs.iter().any(|output| output.name == name)
    }

    /// Returns a name that nothing has yet.
    pub(super) fn free_name(&self, wanted: &str) -> String {
        let is_taken = |name: &str| {
            self.constants.contains_key(name)
                || self.inputs.iter().any(|input| input.name == name)
                || self.nodes.iter().any(|node| node.output.iter().any(|output| output == name))
        };
        let numbered = (1..).map(|number| format!("{wanted}_{number}"));
        let mut names = std::iter::once(wanted.to_owned()).chain(numbered);
        names.find(|name| !is_taken(name)).unwrap_or_default()
    }

    /// Gives every constant that several nodes read as weights a copy of its own, so that one can change.
    pub(super) fn own_constant(&mut self, node: usize, input: usize) {
        let Some(name) = self.nodes[node].input.get(input).cloned() else { return };
        let uses = self.nodes.iter().flat_map(|node| &node.input).filter(|read| **read == name).count();
        if uses > 1
            && let Some(tensor) = self.constants.get(&name).cloned()
        {
            let copy = self.free_name(&format!("{name}_of_{node}"));
            self.constants.insert(copy.clone(), TensorProto { name: copy.clone(), ..tensor });
            self.nodes[node].input[input] = copy;
        }
    }
}
