//! Windows that move over a tensor, and the order of its axes.

use std::collections::BTreeMap;

use tract_onnx::pb::{NodeProto, TensorProto};

use super::{MAX_MARGIN, MAX_STEP, shortened};
use crate::attributes::Attributes;

/// Kernels, strides, dilations and margins: as many as there are sides, and none absurd.
pub(super) fn check_window(node: &NodeProto, constants: &BTreeMap<&str, &TensorProto>) -> Result<(), String> {
    let weights = match node.op_type.as_str() {
        "Conv" | "ConvInteger" | "ConvTranspose" => Some(1),
        "QLinearConv" => Some(3),
        "MaxPool" | "AveragePool" | "LpPool" => None,
        _ => return Ok(()),
    };
    let weights = weights.and_then(|at| constants.get(node.input.get(at)?.as_str()).copied());
    let kernel = weights.and_then(|weights| weights.dims.get(2..));
    let attributes = Attributes(node);
    let told = attributes.integers("kernel_shape");
    if let (Some(told), Some(kernel)) = (&told, kernel)
        && told != kernel
    {
        return Err(format!("its kernel_shape {told:?} is not that of its weights, {kernel:?}"));
    }
    let kernel = told.or_else(|| Some(kernel?.to_vec()));
    check_groups(node, weights)?;
    let padding = attributes.text("auto_pad");
    if !["", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"].contains(&padding) {
        return Err(format!("its auto_pad {:?} is no way to pad", shortened(padding)));
    }
    let check = |name: &str, given: Option<Vec<i64>>, count: Option<usize>, least: i64, most: i64| {
        let Some(given) = given else { return Ok(()) };
        let count = count.unwrap_or(given.len());
        if given.len() == count && given.iter().all(|value| (least..=most).contains(value)) {
            return Ok(());
        }
        Err(format!("its {name} {given:?} are not {count} numbers from {least} to {most}"))
    };
    let sides = kernel.as_ref().map(Vec::len);
    check("kernel sides", kernel, None, 1, MAX_STEP)?;
    check("strides", attributes.integers("strides"), sides, 1, MAX_STEP)?;
    check("dilations", attributes.integers("dilations"), sides, 1, MAX_STEP)?;
    check("pads", attributes.integers("pads"), sides.map(|sides| 2 * sides), 0, MAX_MARGIN)
}

/// A whole number of filters for each group.
fn check_groups(node: &NodeProto, weights: Option<&TensorProto>) -> Result<(), String> {
    let groups = Attributes(node).int("group", 1);
    let least = weights.and_then(|weights| weights.dims.first().copied());
    let (count, of) = match least {
        // The filters of a transposed convolution are its second axis, and the channels that it divides its first.
        Some(count) if node.op_type == "ConvTranspose" => (count, "channels"),
        Some(count) => (count, "filters"),
        None => (groups.max(1), "filters"),
    };
    if groups >= 1 && count % groups == 0 {
        return Ok(());
    }
    Err(format!("its group {groups} does not divide its {count} {of}"))
}

/// A transposition names each axis once.
pub(super) fn check_permutation(node: &NodeProto) -> Result<(), String> {
    let Some(order) = Attributes(node).integers("perm").filter(|_| node.op_type == "Transpose") else {
        return Ok(());
    };
    let mut sorted = order.to_vec();
    sorted.sort_unstable();
    match sorted.iter().zip(0..).all(|(axis, expected)| *axis == expected) {
        true => Ok(()),
        false => Err(format!("its perm {order:?} does not name each axis once")),
    }
}
