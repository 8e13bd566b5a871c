//! Tensors of a file: their sides, and as many values as these hold.

use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Side;
use tract_onnx::pb::type_proto::Value as Kind;
use tract_onnx::pb::{TensorProto, ValueInfoProto};

use super::{MAX_VALUES, shortened, values};

pub(super) fn check_values(tensor: &TensorProto) -> Result<(), String> {
    let name = shortened(&tensor.name);
    let Some(count) = values(tensor.dims.iter().copied()) else {
        let sides = &tensor.dims;
        return Err(format!(
            "tensor {name:?} has the shape {sides:?}: a side below 0, or more than {MAX_VALUES} values"
        ));
    };
    check_count(tensor, count)?;
    let is_float = tensor.data_type == DataType::Float as i32;
    let is_nan = |bytes: &[u8; 4]| f32::from_le_bytes(*bytes).is_nan();
    let raw = is_float && tensor.raw_data.as_chunks().0.iter().any(is_nan);
    if raw || tensor.float_data.iter().any(|value| value.is_nan()) {
        return Err(format!("tensor {name:?} holds values that are no numbers"));
    }
    Ok(())
}

/// As many values as the shape holds, of a type that there is. What a sparse or an external tensor holds is told
/// elsewhere.
fn check_count(tensor: &TensorProto, count: i64) -> Result<(), String> {
    let name = shortened(&tensor.name);
    let Ok(kind) = DataType::try_from(tensor.data_type) else {
        return Err(format!("tensor {name:?} has values of a type that there is not, {}", tensor.data_type));
    };
    let is_external = tensor.data_location.is_some_and(|location| location != 0);
    let bytes = match kind {
        DataType::Float | DataType::Int32 | DataType::Uint32 => 4,
        DataType::Uint8 | DataType::Int8 | DataType::Bool => 1,
        DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16 => 2,
        DataType::Int64 | DataType::Double | DataType::Uint64 => 8,
        // Several values in a byte, pairs, or of no fixed length.
        _ => return Ok(()),
    };
    let listed = [
        tensor.float_data.len(),
        tensor.int32_data.len(),
        tensor.int64_data.len(),
        tensor.double_data.len(),
        tensor.uint64_data.len(),
    ];
    let given = if tensor.raw_data.is_empty() { listed.iter().sum() } else { tensor.raw_data.len() / bytes };
    let is_whole = tensor.raw_data.len().is_multiple_of(bytes);
    if is_external || given as i64 == count && is_whole {
        return Ok(());
    }
    let sides = &tensor.dims;
    Err(format!("tensor {name:?} has {given} values, and its shape {sides:?} holds {count}"))
}

pub(super) fn check_input(input: &ValueInfoProto) -> Result<(), String> {
    let Some(Kind::TensorType(tensor)) = input.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Ok(());
    };
    let sides = tensor.shape.iter().flat_map(|shape| &shape.dim).filter_map(|side| match side.value {
        // 0 and -1 are what some exporters write for an open side.
        Some(Side::DimValue(side)) if ![0, -1].contains(&side) => Some(side),
        _ => None,
    });
    let sides: Vec<i64> = sides.collect();
    match values(sides.iter().copied()) {
        Some(_) => Ok(()),
        None => Err(format!(
            "its input {:?} has the sides {sides:?}: one below 0, or more than {MAX_VALUES} values",
            shortened(&input.name)
        )),
    }
}
