//! Small nets, built by hand.

use prost::Message;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::type_proto::{self, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, attribute_proto::AttributeType,
};
use tract_onnx::prelude::Tensor;

use super::super::proto::{f32_tensor, integer, node};

/// A net while it is built.
#[derive(Clone, Debug)]
pub(super) struct Net {
    pub(super) nodes: Vec<NodeProto>,
    pub(super) constants: Vec<TensorProto>,
    pub(super) opset: i64,
    pub(super) input: Vec<i64>,
    noise: Noise,
}

/// Reproducible numbers: Knuth's linear congruential generator.
#[derive(Clone, Debug)]
pub(super) struct Noise(u64);

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2).wrapping_add(1))
    }

    /// Returns the next number, −1 to 1.
    pub(super) fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
    }

    pub(super) fn values(&mut self, count: usize) -> Vec<f32> {
        (0..count).map(|_| self.next()).collect()
    }
}

impl Net {
    /// Starts a net that takes `x` of this shape.
    pub(super) fn new(input: &[i64]) -> Self {
        Self { nodes: vec![], constants: vec![], opset: 13, input: input.to_vec(), noise: Noise::new(7) }
    }

    pub(super) fn constant(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        self.constants.push(f32_tensor(name, shape, values));
    }

    pub(super) fn node(&mut self, op: &str, inputs: &[&str], output: &str) -> &mut NodeProto {
        self.nodes.push(node(op, inputs, output));
        let last = self.nodes.len() - 1;
        &mut self.nodes[last]
    }

    /// Adds a 3 × 3 convolution with a bias, whose channels differ a hundredfold in what they reach.
    pub(super) fn conv(&mut self, input: &str, output: &str, [outputs, inputs]: [usize; 2], group: usize) {
        let inner = inputs / group * 9;
        let spread = |at: usize| 10_f32.powf(at as f32 / (outputs.max(2) - 1) as f32 * 2.0 - 1.0);
        let values = self.noise.values(outputs * inner);
        let weights: Vec<f32> = values.iter().enumerate().map(|(at, v)| v * spread(at / inner)).collect();
        let biases = self.noise.values(outputs);
        let (weight, bias) = (format!("{output}.weight"), format!("{output}.bias"));
        self.constant(&weight, &[outputs, inputs / group, 3, 3], &weights);
        self.constant(&bias, &[outputs], &biases);
        let conv = self.node("Conv", &[input, &weight, &bias], output);
        conv.attribute = vec![integer("group", group as i64), integers("pads", &[1; 4])];
    }

    /// Puts the model together; `output` is what it gives.
    pub(super) fn model(&self, output: &str) -> Vec<u8> {
        let graph = GraphProto {
            name: "net".to_owned(),
            node: self.nodes.clone(),
            initializer: self.constants.clone(),
            input: vec![info("x", &self.input)],
            output: vec![ValueInfoProto { name: output.to_owned(), ..Default::default() }],
            ..Default::default()
        };
        let opset = OperatorSetIdProto { domain: String::new(), version: self.opset };
        let model =
            ModelProto { ir_version: 7, opset_import: vec![opset], graph: Some(graph), ..Default::default() };
        model.encode_to_vec()
    }

    /// Returns samples for the input, −1 to 1.
    pub(super) fn samples(&self, count: u64) -> Vec<Vec<Tensor>> {
        let shape: Vec<usize> = self.input.iter().map(|&side| side.max(1) as usize).collect();
        let sample = |seed| {
            let values = Noise::new(1000 + seed).values(shape.iter().product());
            vec![Tensor::from_shape(&shape, &values).unwrap()]
        };
        (0..count).map(sample).collect()
    }
}

pub(super) fn integers(name: &str, values: &[i64]) -> AttributeProto {
    let (name, ints) = (name.to_owned(), values.to_vec());
    AttributeProto { name, r#type: AttributeType::Ints as i32, ints, ..Default::default() }
}

fn info(name: &str, shape: &[i64]) -> ValueInfoProto {
    let side =
        |&side: &i64| Dimension { value: Some(dimension::Value::DimValue(side)), ..Default::default() };
    let shape = TensorShapeProto { dim: shape.iter().map(side).collect() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let r#type = TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
}

/// A net with one of almost everything: convolutions, a depthwise one, SiLU, Add, Concat, pooling, Gemm.
pub(super) fn mixed() -> Net {
    let mut net = Net::new(&[1, 3, 16, 16]);
    net.conv("x", "c1", [8, 3], 1);
    net.node("Sigmoid", &["c1"], "s1");
    net.node("Mul", &["c1", "s1"], "a1");
    net.conv("a1", "c2", [8, 8], 8);
    net.node("Relu", &["c2"], "a2");
    net.node("Add", &["a1", "a2"], "sum");
    net.node("MaxPool", &["sum"], "pooled").attribute =
        vec![integers("kernel_shape", &[2, 2]), integers("strides", &[2, 2])];
    net.conv("pooled", "c3", [4, 8], 1);
    net.node("Concat", &["pooled", "c3"], "joined").attribute = vec![integer("axis", 1)];
    net.node("GlobalAveragePool", &["joined"], "mean");
    net.node("Flatten", &["mean"], "flat");
    let weights = net.noise.values(12 * 5);
    net.constant("w", &[12, 5], &weights);
    net.constant("b", &[5], &[0.5, -0.5, 0.0, 1.0, -1.0]);
    net.node("Gemm", &["flat", "w", "b"], "logits");
    net.node("Softmax", &["logits"], "y").attribute = vec![integer("axis", 1)];
    net
}
