//! From ONNX to a plan: shapes are fixed, constants computed, functions of one value kept as such.

mod elementwise;
mod layout;
mod window;

use std::collections::BTreeMap;

use prost::Message;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{ModelProto, NodeProto, ValueInfoProto};
use tract_onnx::prelude::{DatumType, Tensor};

use super::expression::Expression;
use super::plan::{Plan, Shader, Step, TensorId};
use crate::accelerators::{LoadError, Signature};
use crate::attributes::Attributes;

/// Largest tensor, in values: what a storage buffer of 128 MiB holds, the least that every Vulkan device takes.
const MAX_VALUES: usize = 1 << 25;

/// What a name in the graph stands for.
#[derive(Clone, Debug)]
enum Value {
    /// Known beforehand.
    Constant(Tensor),
    /// A function of a tensor on the device.
    Lazy { id: TensorId, shape: Vec<usize>, function: Expression },
}

/// Why a node cannot be planned; the caller adds which one it is.
type Planned<T> = Result<T, String>;

/// The state of the walk.
struct Walk {
    plan: Plan,
    values: BTreeMap<String, Value>,
    opset: i64,
}

/// A plan with the signatures that its callers see.
pub(super) struct Read {
    pub(super) plan: Plan,
    pub(super) inputs: Vec<Signature>,
    pub(super) outputs: Vec<Signature>,
}

/// Reads a model; refuses, by node and operation, what has no shader.
pub(super) fn read(onnx: &[u8]) -> Result<Read, LoadError> {
    let unusable = |why: String| LoadError::Unusable(why);
    let model = ModelProto::decode(onnx).map_err(|error| unusable(error.to_string()))?;
    let opset = model.opset_import.iter().find(|set| set.domain.is_empty()).map_or(0, |set| set.version);
    let graph = model.graph.ok_or_else(|| unusable("it has no graph".to_owned()))?;
    let mut walk = Walk { plan: Plan::default(), values: BTreeMap::new(), opset };
    for tensor in &graph.initializer {
        if tensor.data_location == Some(DataLocation::External as i32) {
            let location = tensor.external_data.iter().find(|pair| pair.key == "location");
            return Err(LoadError::ExternalData(
                location.map_or_else(String::new, |pair| pair.value.clone()),
            ));
        }
        let value = constant(tensor).map_err(|why| unusable(format!("tensor {:?}: {why}", tensor.name)))?;
        walk.values.insert(tensor.name.clone(), Value::Constant(value));
    }
    let mut inputs = Vec::new();
    // Before IR 4 the constants were listed among the inputs too.
    for input in graph.input.iter().filter(|input| !graph.initializer.iter().any(|c| c.name == input.name)) {
        let signature = signature(input).map_err(|why| unusable(format!("input {:?} {why}", input.name)))?;
        let id = walk.tensor(&signature.shape).map_err(unusable)?;
        walk.plan.inputs.push(id);
        let lazy = Value::Lazy { id, shape: signature.shape.clone(), function: Expression::X };
        walk.values.insert(input.name.clone(), lazy);
        inputs.push(signature);
    }
    for node in &graph.node {
        let refused = |why: String| {
            let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
            unusable(format!("node {:?}: {}: {why}", name.map_or("", String::as_str), node.op_type))
        };
        walk.node(node).map_err(refused)?;
    }
    let mut outputs = Vec::new();
    for output in &graph.output {
        let refused = |why: String| unusable(format!("output {:?} {why}", output.name));
        let datum = datum(output).ok_or_else(|| refused("is not of f32, u8 or i8".to_owned()))?;
        let (id, shape) = walk.computed(&output.name).map_err(refused)?;
        walk.plan.outputs.push(id);
        outputs.push(Signature { datum, shape });
    }
    walk.plan.fuse();
    Ok(Read { plan: walk.plan, inputs, outputs })
}

fn constant(tensor: &tract_onnx::pb::TensorProto) -> Planned<Tensor> {
    tract_onnx::tensor::load_tensor(&*tract_onnx::data_resolver::default(), tensor, None)
        .map_err(|error| format!("{error:#}"))
}

fn datum(value: &ValueInfoProto) -> Option<DatumType> {
    use tract_onnx::pb::tensor_proto::DataType;
    let TypeValue::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    match DataType::try_from(tensor.elem_type).ok()? {
        DataType::Float => Some(DatumType::F32),
        DataType::Uint8 => Some(DatumType::U8),
        DataType::Int8 => Some(DatumType::I8),
        _ => None,
    }
}

/// Returns the sides that a value declares, as far as they are fixed.
fn sides(value: &ValueInfoProto) -> Option<Vec<Option<usize>>> {
    use tract_onnx::pb::tensor_shape_proto::dimension::Value as Side;
    let TypeValue::TensorType(tensor) = value.r#type.as_ref()?.value.as_ref()?;
    let side = |side: &tract_onnx::pb::tensor_shape_proto::Dimension| match side.value {
        Some(Side::DimValue(side)) => usize::try_from(side).ok().filter(|side| *side > 0),
        _ => None,
    };
    Some(tensor.shape.as_ref()?.dim.iter().map(side).collect())
}

/// An open batch dimension is 1; no other may be open.
fn signature(value: &ValueInfoProto) -> Planned<Signature> {
    let datum = datum(value).ok_or("is not of f32, u8 or i8")?;
    let sides = sides(value).ok_or("has no shape")?;
    let side = |(at, side): (usize, &Option<usize>)| side.or((at == 0).then_some(1));
    let shape: Option<Vec<usize>> = sides.iter().enumerate().map(side).collect();
    Ok(Signature { datum, shape: shape.ok_or("has an open shape, and only a batch may be open")? })
}

impl Walk {
    fn node(&mut self, node: &NodeProto) -> Planned<()> {
        if node.output.iter().filter(|name| !name.is_empty()).count() > 1 && node.op_type != "Split" {
            return Err("more than one output has no shader".to_owned());
        }
        let attributes = Attributes(node);
        match node.op_type.as_str() {
            "Conv" => self.convolution(node, attributes),
            "ConvTranspose" => self.transposed_convolution(node, attributes),
            "MaxPool" | "AveragePool" => self.pool(node, attributes),
            "GlobalAveragePool" | "ReduceMean" => self.mean(node, attributes),
            "Softmax" => self.softmax(node, attributes),
            "MatMul" => self.product(node),
            "Gemm" => self.gemm(node, attributes),
            "Constant" => self.given(node),
            "Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Identity" | "Dropout" => {
                self.view(node, attributes)
            }
            "Transpose" => self.transpose(node, attributes),
            "Concat" => self.concatenation(node, attributes),
            "Split" => self.split(node, attributes),
            "Slice" => self.slice(node),
            "Resize" | "Upsample" => self.enlarged(node, attributes),
            "Pad" => self.padded(node, attributes),
            "Add" => self.binary(node, '+', "l + r"),
            "Sub" => self.binary(node, '-', "l - r"),
            "Mul" => self.binary(node, '*', "l * r"),
            "Div" => self.binary(node, '/', "l / r"),
            "PRelu" => self.prelu(node),
            "BatchNormalization" => self.normalisation(node, attributes),
            "QuantizeLinear" | "DequantizeLinear" => self.levels(node),
            _ => self.function(node, attributes),
        }
    }

    fn tensor(&mut self, shape: &[usize]) -> Planned<TensorId> {
        let count = shape.iter().try_fold(1_usize, |count, &side| count.checked_mul(side));
        match count.filter(|count| (1..=MAX_VALUES).contains(count)) {
            Some(count) => Ok(self.plan.tensor(count)),
            None => Err(format!("a tensor of {shape:?}, and 1 to {MAX_VALUES} values are taken")),
        }
    }

    fn value(&self, name: &str) -> Planned<&Value> {
        self.values.get(name).ok_or_else(|| format!("reads {name:?}, which nothing before it makes"))
    }

    fn shape(&self, name: &str) -> Planned<Vec<usize>> {
        Ok(match self.value(name)? {
            Value::Constant(tensor) => tensor.shape().to_vec(),
            Value::Lazy { shape, .. } => shape.clone(),
        })
    }

    /// Returns a tensor on the device that holds the value, which is computed now at the latest.
    fn computed(&mut self, name: &str) -> Planned<(TensorId, Vec<usize>)> {
        let (id, shape) = match self.value(name)?.clone() {
            Value::Constant(tensor) => (self.plan.constant(floats(&tensor)?), tensor.shape().to_vec()),
            Value::Lazy { id, shape, function } if function.is_x() => return Ok((id, shape)),
            Value::Lazy { id, shape, function } => {
                let made = self.tensor(&shape)?;
                let parameters = vec![word(self.plan.lengths[made])?];
                let step =
                    Step { shader: Shader::Map, parameters, reads: vec![id], writes: made, finish: function };
                self.plan.steps.push(step);
                (made, shape)
            }
        };
        let lazy = Value::Lazy { id, shape: shape.clone(), function: Expression::X };
        self.values.insert(name.to_owned(), lazy);
        Ok((id, shape))
    }

    /// Adds a step that makes the node's only output.
    fn step(
        &mut self,
        node: &NodeProto,
        shader: Shader,
        parameters: Vec<u32>,
        reads: Vec<TensorId>,
        shape: &[usize],
    ) -> Planned<()> {
        let writes = self.tensor(shape)?;
        self.plan.steps.push(Step { shader, parameters, reads, writes, finish: Expression::X });
        self.set(output(node)?, Value::Lazy { id: writes, shape: shape.to_vec(), function: Expression::X });
        Ok(())
    }

    fn set(&mut self, name: &str, value: Value) {
        self.values.insert(name.to_owned(), value);
    }

    fn constant_floats(&self, name: &str) -> Planned<Vec<f32>> {
        match self.value(name)? {
            Value::Constant(tensor) => floats(tensor),
            Value::Lazy { .. } => Err(format!("{name:?} must be known beforehand")),
        }
    }

    fn constant_integers(&self, name: &str) -> Planned<Vec<i64>> {
        match self.value(name)? {
            Value::Constant(tensor) => integers(tensor),
            Value::Lazy { .. } => Err(format!("{name:?} must be known beforehand")),
        }
    }
}

/// Returns the name of an input that must be there.
fn input(node: &NodeProto, at: usize) -> Planned<&str> {
    let name = node.input.get(at).map(String::as_str).filter(|name| !name.is_empty());
    name.ok_or_else(|| format!("input {at} is missing"))
}

/// Returns the name of an input that may be left out.
fn optional(node: &NodeProto, at: usize) -> Option<&str> {
    node.input.get(at).map(String::as_str).filter(|name| !name.is_empty())
}

fn output(node: &NodeProto) -> Planned<&str> {
    node.output.first().map(String::as_str).ok_or_else(|| "it makes nothing".to_owned())
}

fn floats(tensor: &Tensor) -> Planned<Vec<f32>> {
    let cast = tensor.cast_to::<f32>().map_err(|error| format!("{error:#}"))?;
    let plain = cast.try_as_plain_ram().map_err(|error| format!("{error:#}"))?;
    Ok(plain.as_slice::<f32>().map_err(|error| format!("{error:#}"))?.to_vec())
}

fn integers(tensor: &Tensor) -> Planned<Vec<i64>> {
    let cast = tensor.cast_to::<i64>().map_err(|error| format!("{error:#}"))?;
    let plain = cast.try_as_plain_ram().map_err(|error| format!("{error:#}"))?;
    Ok(plain.as_slice::<i64>().map_err(|error| format!("{error:#}"))?.to_vec())
}

/// Returns a number as shaders read it.
fn word(number: usize) -> Planned<u32> {
    u32::try_from(number).map_err(|_| format!("{number} is more than a shader counts"))
}

fn words(numbers: impl IntoIterator<Item = usize>) -> Planned<Vec<u32>> {
    numbers.into_iter().map(word).collect()
}

/// Returns how far apart neighbours along each side lie.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for side in (1..shape.len()).rev() {
        strides[side - 1] = strides[side] * shape[side];
    }
    strides
}
