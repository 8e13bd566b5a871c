//! Building and reading the parts of an ONNX file.

use tract_onnx::pb::attribute_proto::AttributeType;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::{AttributeProto, NodeProto, TensorProto};

/// Returns a tensor from little-endian bytes.
pub(super) fn tensor(name: &str, shape: &[usize], data_type: DataType, raw_data: Vec<u8>) -> TensorProto {
    TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|&side| side as i64).collect(),
        data_type: data_type as i32,
        raw_data,
        ..Default::default()
    }
}

/// Returns a tensor of f32.
pub(super) fn f32_tensor(name: &str, shape: &[usize], values: &[f32]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, shape, DataType::Float, bytes)
}

/// Returns a list of i64.
pub(super) fn i64_tensor(name: &str, values: &[i64]) -> TensorProto {
    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, &[values.len()], DataType::Int64, bytes)
}

/// Returns a node of one output, which is also its name.
pub(super) fn node(op: &str, inputs: &[&str], output: &str) -> NodeProto {
    NodeProto {
        name: output.to_owned(),
        op_type: op.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

/// Returns an integer attribute.
pub(super) fn integer(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), r#type: AttributeType::Int as i32, i, ..Default::default() }
}

/// Returns a text attribute.
pub(super) fn text(name: &str, value: &str) -> AttributeProto {
    let (name, s) = (name.to_owned(), value.as_bytes().to_vec());
    AttributeProto { name, r#type: AttributeType::String as i32, s, ..Default::default() }
}

/// Returns an attribute of a node.
pub(super) fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

/// Returns an integer attribute, or its default.
pub(super) fn integer_of(node: &NodeProto, name: &str, default: i64) -> i64 {
    attribute(node, name).map_or(default, |attribute| attribute.i)
}

/// Returns a float attribute, or its default.
pub(super) fn float_of(node: &NodeProto, name: &str, default: f32) -> f32 {
    attribute(node, name).map_or(default, |attribute| attribute.f)
}

/// Takes an attribute off a node.
pub(super) fn taken(node: &mut NodeProto, name: &str) -> Option<AttributeProto> {
    let at = node.attribute.iter().position(|attribute| attribute.name == name)?;
    Some(node.attribute.remove(at))
}

/// Returns the sides of a tensor if they are sides and their product is a size that memory could hold.
pub(super) fn sides(tensor: &TensorProto) -> Option<Vec<usize>> {
    let sides: Option<Vec<usize>> = tensor.dims.iter().map(|&side| usize::try_from(side).ok()).collect();
    let sides = sides?;
    let count = sides.iter().try_fold(1_usize, |count, &side| count.checked_mul(side))?;
    (count <= isize::MAX as usize / 8).then_some(sides)
}

/// Returns the values of an f32 tensor; nothing of another type, or where values and shape disagree.
pub(super) fn f32_values(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    let count: usize = sides(tensor)?.iter().product();
    let values = if tensor.raw_data.is_empty() {
        tensor.float_data.clone()
    } else {
        let (values, rest) = tensor.raw_data.as_chunks::<4>();
        rest.is_empty().then(|| values.iter().map(|&value| f32::from_le_bytes(value)).collect())?
    };
    (values.len() == count).then_some(values)
}
