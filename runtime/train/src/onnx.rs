//! The detector as ONNX: in f32, as it was trained, and in INT8.
//!
//! INT8 is written in QDQ form (opset 13): every tensor that is 8 bits wide stands behind a QuantizeLinear and a
//! DequantizeLinear, and a runtime fuses them into integer operators. Weights are s8 with a scale a channel and zero
//! point 0, activations u8 with zero point 0 (they come out of a ReLU), biases i32 in units of activation × weight.
//! The head's output stays f32: its channels are logits and logarithms of very different ranges.

use anyhow::{Context, ensure};
use prost::Message;
use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::{self, Value};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto,
    TypeProto, ValueInfoProto, tensor_shape_proto,
};

use crate::net::{CHANNELS, GRID, INPUT, LAYERS, Layer, Weights};
use crate::quantise::Quantised;

/// Per-axis DequantizeLinear came with 13.
const OPSET: i64 = 13;
/// What belongs to opset 13.
const IR_VERSION: i64 = 7;
const INPUT_NAME: &str = "picture";
const OUTPUT_NAME: &str = "cells";

/// Writes the network in f32.
pub(crate) fn write_f32(weights: &[Weights]) -> Vec<u8> {
    let mut graph = Graph::default();
    let mut at = INPUT_NAME.to_owned();
    for (index, (layer, weights)) in LAYERS.iter().zip(weights).enumerate() {
        let kernel =
            graph.constant(format!("kernel{index}"), &shape(layer), DataType::Float, f32s(&weights.kernel));
        let bias =
            graph.constant(format!("bias{index}"), &[layer.outputs], DataType::Float, f32s(&weights.bias));
        at = graph.convolution(index, layer, &[at, kernel, bias]);
    }
    graph.model()
}

/// Reads weights that [`write_f32`] wrote.
pub(crate) fn read_f32(onnx: &[u8]) -> anyhow::Result<Vec<Weights>> {
    let graph =
        ModelProto::decode(onnx).context("not an ONNX file")?.graph.context("a model without a graph")?;
    let tensor = |name: String, length: usize| {
        let found = graph.initializer.iter().find(|tensor| tensor.name == name);
        let bytes = &found.with_context(|| format!("no tensor {name}"))?.raw_data;
        ensure!(bytes.len() == 4 * length, "{name} has {} bytes, not {}", bytes.len(), 4 * length);
        let (values, _) = bytes.as_chunks::<4>();
        Ok(values.iter().map(|&value| f32::from_le_bytes(value)).collect())
    };
    let layer = |(index, layer): (usize, &Layer)| {
        let kernel = tensor(format!("kernel{index}"), shape(layer).iter().product())?;
        Ok(Weights { kernel, bias: tensor(format!("bias{index}"), layer.outputs)? })
    };
    LAYERS.iter().enumerate().map(layer).collect()
}

/// Writes the network in INT8; `inputs` are the steps of what goes into every layer, of which the first is the
/// picture's.
pub(crate) fn write_int8(layers: &[Quantised], inputs: &[f32]) -> Vec<u8> {
    let mut graph = Graph::default();
    let mut at = INPUT_NAME.to_owned();
    for (index, (layer, quantised)) in LAYERS.iter().zip(layers).enumerate() {
        let step = inputs[index];
        let scale = graph.constant(format!("step{index}"), &[], DataType::Float, f32s(&[step]));
        let zero = graph.constant(format!("zero{index}"), &[], DataType::Uint8, vec![0]);
        at = graph.node("QuantizeLinear", &[&at, &scale, &zero], format!("quantised{index}"), vec![]);
        at = graph.node("DequantizeLinear", &[&at, &scale, &zero], format!("seen{index}"), vec![]);

        let bytes = quantised.kernel.iter().map(|&value| value.to_le_bytes()[0]).collect();
        let kernel = graph.channels(index, "kernel", &shape(layer), DataType::Int8, bytes, &quantised.steps);
        let bias_steps: Vec<f32> = quantised.steps.iter().map(|channel| channel * step).collect();
        let bytes = quantised.bias.iter().flat_map(|value| value.to_le_bytes()).collect();
        let bias = graph.channels(index, "bias", &[layer.outputs], DataType::Int32, bytes, &bias_steps);
        at = graph.convolution(index, layer, &[at, kernel, bias]);
    }
    graph.model()
}

fn shape(layer: &Layer) -> [usize; 4] {
    [layer.outputs, layer.inputs, layer.kernel, layer.kernel]
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A graph while it is built.
#[derive(Default)]
struct Graph {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Graph {
    fn constant(&mut self, name: String, shape: &[usize], data_type: DataType, raw_data: Vec<u8>) -> String {
        let dims = shape.iter().map(|&side| side as i64).collect();
        let data_type = data_type as i32;
        self.constants.push(TensorProto {
            name: name.clone(),
            dims,
            data_type,
            raw_data,
            ..Default::default()
        });
        name
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: String, attribute: Vec<AttributeProto>) -> String {
        self.nodes.push(NodeProto {
            name: output.clone(),
            op_type: op.to_owned(),
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: vec![output.clone()],
            attribute,
            ..Default::default()
        });
        output
    }

    /// A constant in integers with a step a channel, and its way back to f32.
    fn channels(
        &mut self,
        index: usize,
        what: &str,
        shape: &[usize],
        data_type: DataType,
        bytes: Vec<u8>,
        steps: &[f32],
    ) -> String {
        let channels = steps.len();
        let zeros = vec![0; bytes.len() / shape.iter().product::<usize>() * channels];
        let values = self.constant(format!("{what}{index}.q"), shape, data_type, bytes);
        let scale = self.constant(format!("{what}{index}.step"), &[channels], DataType::Float, f32s(steps));
        let zero = self.constant(format!("{what}{index}.zero"), &[channels], data_type, zeros);
        let axis = vec![integer("axis", 0)];
        self.node("DequantizeLinear", &[&values, &scale, &zero], format!("{what}{index}"), axis)
    }

    /// A convolution, and its ReLU where there is one.
    fn convolution(&mut self, index: usize, layer: &Layer, inputs: &[String; 3]) -> String {
        let (kernel, stride, pad) = (layer.kernel as i64, layer.stride as i64, (layer.kernel / 2) as i64);
        let attributes = vec![
            integers("dilations", &[1, 1]),
            integer("group", 1),
            integers("kernel_shape", &[kernel, kernel]),
            integers("pads", &[pad; 4]),
            integers("strides", &[stride, stride]),
        ];
        let is_last = index + 1 == LAYERS.len();
        let name = if is_last { OUTPUT_NAME.to_owned() } else { format!("convolved{index}") };
        let convolved = self.node("Conv", &inputs.each_ref().map(String::as_str), name, attributes);
        if is_last {
            convolved
        } else {
            self.node("Relu", &[&convolved], format!("rectified{index}"), vec![])
        }
    }

    fn model(self) -> Vec<u8> {
        let graph = GraphProto {
            name: "scene".to_owned(),
            node: self.nodes,
            initializer: self.constants,
            input: vec![tensor_info(INPUT_NAME, &[1, 3, INPUT[0], INPUT[1]])],
            output: vec![tensor_info(OUTPUT_NAME, &[1, CHANNELS, GRID[0], GRID[1]])],
            ..Default::default()
        };
        let model = ModelProto {
            ir_version: IR_VERSION,
            opset_import: vec![OperatorSetIdProto { domain: String::new(), version: OPSET }],
            producer_name: "glassd-train".to_owned(),
            graph: Some(graph),
            ..Default::default()
        };
        model.encode_to_vec()
    }
}

fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

fn integers(name: &str, values: &[i64]) -> AttributeProto {
    let (name, ints) = (name.to_owned(), values.to_vec());
    AttributeProto { name, r#type: AttributeType::Ints as i32, ints, ..Default::default() }
}

fn tensor_info(name: &str, shape: &[usize]) -> ValueInfoProto {
    let side = |&side: &usize| tensor_shape_proto::Dimension {
        value: Some(tensor_shape_proto::dimension::Value::DimValue(side as i64)),
        ..Default::default()
    };
    let tensor = type_proto::Tensor {
        elem_type: DataType::Float as i32,
        shape: Some(TensorShapeProto { dim: shape.iter().map(side).collect() }),
    };
    let r#type = TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() };
    ValueInfoProto { name: name.to_owned(), r#type: Some(r#type), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let weights: Vec<Weights> = LAYERS
            .iter()
            .map(|layer| Weights {
                kernel: (0..shape(layer).iter().product()).map(|i: usize| i as f32 * 0.5).collect(),
                bias: vec![-1.25; layer.outputs],
            })
            .collect();
        assert_eq!(read_f32(&write_f32(&weights)).unwrap(), weights);
        assert!(read_f32(b"not a model").is_err());
    }
}
