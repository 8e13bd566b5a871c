//! What constant numbers make of a tensor: its size and its steps.

use std::collections::BTreeMap;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::{MAX_MARGIN, MAX_STEP, MAX_VALUES, numbers};
use crate::attributes::Attributes;

/// A step of a quantisation is a number above 0; one of weights that are all 0 may be 0.
pub(super) fn check_scale(node: &NodeProto, constants: &BTreeMap<&str, &TensorProto>) -> Result<(), String> {
    let may_be_zero = match node.op_type.as_str() {
        "QuantizeLinear" => false,
        "DequantizeLinear" => node.input.first().is_some_and(|name| constants.contains_key(name.as_str())),
        _ => return Ok(()),
    };
    let Some(scales) = numbers(node, 1, constants) else { return Ok(()) };
    let is_step = |scale: &f64| scale.is_finite() && (*scale > 0.0 || may_be_zero && *scale == 0.0);
    match scales.iter().find(|scale| !is_step(scale)) {
        Some(scale) => Err(format!("its scale is {scale}, which is no step between levels")),
        None => Ok(()),
    }
}

/// What makes tensors of any size from a few constant numbers.
pub(super) fn check_size(node: &NodeProto, constants: &BTreeMap<&str, &TensorProto>) -> Result<(), String> {
    let product = |numbers: &[f64]| numbers.iter().product::<f64>();
    let count = match node.op_type.as_str() {
        "ConstantOfShape" => numbers(node, 0, constants).map(|sides| product(&sides)),
        "Expand" | "Tile" => numbers(node, 1, constants).map(|sides| product(&sides)),
        "Range" => {
            let ends = [0, 1, 2].map(|at| Some(*numbers(node, at, constants)?.first()?));
            let [Some(start), Some(limit), Some(step)] = ends else { return Ok(()) };
            Some((limit - start) / step)
        }
        "Pad" => {
            // Until opset 10 they are an attribute.
            let listed = Attributes(node).integers("pads");
            let listed = listed.map(|pads| pads.into_iter().map(|pad| pad as f64).collect());
            let pads = numbers(node, 1, constants).or(listed).unwrap_or_default();
            let absurd = pads.into_iter().find(|pad| !(0.0..=MAX_MARGIN as f64).contains(pad));
            return absurd
                .map_or(Ok(()), |pad| Err(format!("it pads by {pad}, 0 to {MAX_MARGIN} are taken")));
        }
        "Resize" | "Upsample" => {
            let scales = numbers(node, if node.op_type == "Resize" { 2 } else { 1 }, constants);
            let absurd = scales.and_then(|scales| {
                scales.into_iter().find(|scale| !(*scale > 0.0 && *scale <= MAX_STEP as f64))
            });
            return absurd.map_or(Ok(()), |scale| Err(format!("it resizes by {scale}")));
        }
        _ => return Ok(()),
    };
    match count.filter(|count| count.is_nan() || *count > MAX_VALUES as f64) {
        Some(count) => Err(format!("it makes a tensor of {count} values, at most {MAX_VALUES} are taken")),
        None => Ok(()),
    }
}
