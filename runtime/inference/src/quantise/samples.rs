//! Whether samples fit a model.

use tract_onnx::pb::ValueInfoProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::type_proto::Value;
use tract_onnx::prelude::{DatumType, Tensor};

use super::QuantiseError;
use super::graph::Graph;

/// Refuses samples that the model does not take.
pub(super) fn check(graph: &Graph, samples: &[Vec<Tensor>]) -> Result<(), QuantiseError> {
    if samples.is_empty() {
        return Err(QuantiseError::NoSamples);
    }
    for (index, sample) in samples.iter().enumerate() {
        let fits = sample.len() == graph.inputs.len()
            && sample.iter().zip(&graph.inputs).all(|(tensor, input)| fits(tensor, input))
            && sample.iter().zip(&samples[0]).all(|(tensor, first)| tensor.shape() == first.shape());
        if !fits {
            let actual: Vec<String> = sample
                .iter()
                .map(|tensor| format!("{:?} {:?}", tensor.datum_type(), tensor.shape()))
                .collect();
            let expected: Vec<String> = graph.inputs.iter().map(told).collect();
            let (actual, expected) = (actual.join(" and "), expected.join(" and "));
            return Err(QuantiseError::Sample { index, actual, expected });
        }
    }
    Ok(())
}

/// Returns the type and the sides that a model declares for an input; 0 for what it leaves open.
fn declared(input: &ValueInfoProto) -> Option<(i32, Option<Vec<i64>>)> {
    let Some(Value::TensorType(tensor)) = input.r#type.as_ref()?.value.as_ref() else { return None };
    let side = |value: &Option<dimension::Value>| match value {
        Some(dimension::Value::DimValue(side)) => (*side).max(0),
        _ => 0,
    };
    let shape = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(|dim| side(&dim.value)).collect());
    Some((tensor.elem_type, shape))
}

fn fits(tensor: &Tensor, input: &ValueInfoProto) -> bool {
    let Some((data_type, shape)) = declared(input) else { return false };
    let type_fits = match tensor.datum_type() {
        DatumType::F32 => data_type == DataType::Float as i32,
        DatumType::U8 => data_type == DataType::Uint8 as i32,
        DatumType::I64 => data_type == DataType::Int64 as i32,
        _ => false,
    };
    let side_fits = |(&actual, &declared): (&usize, &i64)| declared == 0 || declared == actual as i64;
    let shape_fits =
        |shape: Vec<i64>| shape.len() == tensor.rank() && tensor.shape().iter().zip(&shape).all(side_fits);
    type_fits && shape.is_none_or(shape_fits)
}

fn told(input: &ValueInfoProto) -> String {
    match declared(input) {
        Some((data_type, shape)) => {
            let name = DataType::try_from(data_type).map_or("?", |data_type| data_type.as_str_name());
            format!("{name} {:?} (0 is open)", shape.unwrap_or_default())
        }
        None => format!("{:?}, no tensor", input.name),
    }
}
