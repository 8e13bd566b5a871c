//! Models that read tokens and answer with one vector.

use prost::Message;
use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::prelude::Tensor;

use crate::accelerators::{Accelerator, DynamicModel, InferenceError, LoadError, floats};
use crate::int8::Threads;
use crate::tasks::embedding::Embedding;

/// A language model without a head: tokens in, one vector out.
#[derive(Debug)]
pub(crate) struct TextModel {
    model: DynamicModel,
    inputs: Vec<(Role, Width)>,
    /// Numbers of the vector.
    pub(crate) size: usize,
}

/// What an input tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The tokens.
    Tokens,
    /// 1 for a token, 0 for padding.
    Mask,
    /// Which sentence a token belongs to: there is one here.
    Sentence,
}

/// The integers of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    I32,
    I64,
}

impl TextModel {
    /// Prepares a model for texts of `length` tokens; at most `most` lengths are kept compiled.
    pub(crate) fn new(onnx: &[u8], length: usize, most: usize) -> Result<Self, LoadError> {
        let inputs = inputs(onnx)?;
        let mut model = DynamicModel::new(Accelerator::Cpu, onnx, most);
        let outputs = model.prepare(&vec![vec![1, length]; inputs.len()])?;
        match outputs[..] {
            [ref only] if matches!(only[..], [1, _]) => Ok(Self { model, inputs, size: only[1] }),
            _ => Err(LoadError::Mismatch {
                what: "output",
                expected: "one vector, as 1xN".into(),
                actual: format!("{outputs:?}"),
            }),
        }
    }

    /// Returns the vector of a text, padded with 0 to `length` tokens.
    pub(crate) fn run(&mut self, tokens: &[u32], length: usize) -> Result<Embedding, InferenceError> {
        let outputs = self.model.run(self.inputs_of(tokens, length))?;
        Ok(Embedding::new(floats(&outputs)?))
    }

    /// Tells whether it takes texts of `length` tokens, such as `token`: positions may be fewer than what is asked for,
    /// which shows where it runs.
    pub(crate) fn takes(&self, length: usize, token: u32) -> bool {
        let inputs = self.inputs_of(&vec![token; length], length);
        let outputs = self.model.run_once(inputs);
        outputs.is_ok_and(|outputs| floats(&outputs).is_ok_and(|vector| vector.len() == self.size))
    }

    /// Returns the inputs that a text becomes, padded with 0 to `length` tokens.
    pub(crate) fn inputs_of(&self, tokens: &[u32], length: usize) -> Vec<Tensor> {
        let value = |role: Role, at: usize| match role {
            Role::Tokens => tokens.get(at).map_or(0, |token| i64::from(*token)),
            Role::Mask => i64::from(at < tokens.len()),
            Role::Sentence => 0,
        };
        let input = |&(role, width): &(Role, Width)| {
            let values = (0..length).map(|at| value(role, at));
            let tensor = match width {
                Width::I64 => Tensor::from_shape(&[1, length], &values.collect::<Vec<i64>>()),
                Width::I32 => Tensor::from_shape(&[1, length], &values.map(|v| v as i32).collect::<Vec<_>>()),
            };
            tensor.expect("as many values as the shape holds")
        };
        self.inputs.iter().map(input).collect()
    }

    pub(crate) fn divide_between(&mut self, threads: &Threads) {
        self.model.divide_between(threads);
    }
}

/// Reads from a model what it wants to be told.
fn inputs(onnx: &[u8]) -> Result<Vec<(Role, Width)>, LoadError> {
    let unusable = |why: String| LoadError::Unusable(why);
    let model = ModelProto::decode(onnx).map_err(|error| unusable(crate::soundness::undecoded(&error)))?;
    let graph = model.graph.ok_or_else(|| unusable("it has no graph".into()))?;
    let is_weight = |name: &str| graph.initializer.iter().any(|tensor| tensor.name == name);
    let asked = graph.input.iter().filter(|input| !is_weight(&input.name));
    let inputs: Result<Vec<_>, LoadError> = asked
        .map(|input| {
            let role = match input.name.as_str() {
                "input_ids" => Role::Tokens,
                "attention_mask" => Role::Mask,
                "token_type_ids" => Role::Sentence,
                other => {
                    return Err(unusable(format!(
                        "its input {other:?} is none of input_ids, attention_mask and token_type_ids"
                    )));
                }
            };
            let Some(Value::TensorType(tensor)) = input.r#type.as_ref().and_then(|it| it.value.as_ref())
            else {
                return Err(unusable(format!("its input {:?} is no tensor", input.name)));
            };
            match DataType::try_from(tensor.elem_type) {
                Ok(DataType::Int64) => Ok((role, Width::I64)),
                Ok(DataType::Int32) => Ok((role, Width::I32)),
                _ => Err(unusable(format!("its input {:?} takes no integers", input.name))),
            }
        })
        .collect();
    let inputs = inputs?;
    if !inputs.iter().any(|(role, _)| *role == Role::Tokens) {
        return Err(unusable("it has no input input_ids".into()));
    }
    Ok(inputs)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tract_onnx::pb;

    use super::*;

    fn node(op: &str, inputs: &[&str], output: &str) -> pb::NodeProto {
        pb::NodeProto {
            op_type: op.into(),
            input: inputs.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            ..Default::default()
        }
    }

    fn integers(name: &str, dims: &[i64], values: &[i64]) -> pb::TensorProto {
        pb::TensorProto {
            name: name.into(),
            dims: dims.to_vec(),
            data_type: DataType::Int64 as i32,
            int64_data: values.to_vec(),
            ..Default::default()
        }
    }

    /// The mean of as many positions, of 40, as the text has tokens.
    fn of_40_positions() -> Vec<u8> {
        let side = |side| pb::tensor_shape_proto::Dimension { value: Some(side), ..Default::default() };
        use pb::tensor_shape_proto::dimension::Value::{DimParam, DimValue};
        let shape = pb::TensorShapeProto { dim: vec![side(DimValue(1)), side(DimParam("length".into()))] };
        let tensor = pb::type_proto::Tensor { elem_type: DataType::Int64 as i32, shape: Some(shape) };
        let kind = pb::TypeProto { value: Some(Value::TensorType(tensor)), ..Default::default() };
        let value =
            |name: &str, kind| pb::ValueInfoProto { name: name.into(), r#type: kind, ..Default::default() };
        let table = pb::TensorProto {
            name: "positions".into(),
            dims: vec![40, 2],
            data_type: DataType::Float as i32,
            float_data: vec![0.5; 80],
            ..Default::default()
        };
        let ints = pb::AttributeProto { name: "axes".into(), ints: vec![0], r#type: 7, ..Default::default() };
        let mut mean = node("ReduceMean", &["rows"], "mean");
        mean.attribute = vec![ints];
        let graph = pb::GraphProto {
            input: vec![value("input_ids", Some(kind))],
            output: vec![value("mean", None)],
            initializer: vec![table, integers("zero", &[], &[0]), integers("one", &[], &[1])],
            node: vec![
                node("Shape", &["input_ids"], "shape"),
                node("Gather", &["shape", "one"], "length"),
                node("Range", &["zero", "length", "one"], "order"),
                node("Gather", &["positions", "order"], "rows"),
                mean,
            ],
            ..Default::default()
        };
        let opset = pb::OperatorSetIdProto { domain: String::new(), version: 13 };
        let model =
            ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() };
        model.encode_to_vec()
    }

    #[test]
    fn texts_longer_than_the_positions_are_not_taken() {
        let model = TextModel::new(&of_40_positions(), 32, 2).unwrap();
        assert_eq!(model.size, 2);
        assert!(model.takes(40, 7));
        assert!(!model.takes(41, 7));
        assert!(!model.takes(512, 7));
    }
}
