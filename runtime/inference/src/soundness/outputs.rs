//! What a model says of its outputs, and what it computes.

use tract_onnx::pb::GraphProto;
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Side;
use tract_onnx::pb::type_proto::Value as Kind;

use super::shortened;
use crate::accelerators::Signature;

/// What a model says of one output.
pub(crate) struct Declared {
    name: String,
    /// Its sides, none for an open one; none of them where it says nothing.
    sides: Option<Vec<Option<i64>>>,
}

/// Lists what a model says of its outputs.
pub(crate) fn declared(graph: &GraphProto) -> Vec<Declared> {
    let sides = |output: &tract_onnx::pb::ValueInfoProto| {
        let Kind::TensorType(tensor) = output.r#type.as_ref()?.value.as_ref()?;
        let side = |side: &tract_onnx::pb::tensor_shape_proto::Dimension| match side.value {
            // 0 and -1 are what some exporters write for an open side.
            Some(Side::DimValue(side)) => (side > 0).then_some(side),
            _ => None,
        };
        Some(tensor.shape.as_ref()?.dim.iter().map(side).collect())
    };
    graph.output.iter().map(|output| Declared { name: output.name.clone(), sides: sides(output) }).collect()
}

impl Declared {
    /// Leaves only that there is such an output.
    pub(crate) fn forget_sides(&mut self) {
        self.sides = None;
    }

    /// Refuses what the model computes where that is something else, or nothing.
    pub(crate) fn check(&self, computed: &Signature) -> Result<(), String> {
        let name = shortened(&self.name);
        if computed.shape.contains(&0) {
            return Err(format!("it answers with nothing: its output {name:?} is {computed}"));
        }
        let Some(sides) = &self.sides else { return Ok(()) };
        let fits = |(told, is): (&Option<i64>, &usize)| told.is_none_or(|told| told == *is as i64);
        if sides.len() == computed.shape.len() && sides.iter().zip(&computed.shape).all(fits) {
            return Ok(());
        }
        let told = sides.iter().map(|side| side.map_or("?".to_owned(), |side| side.to_string()));
        let told = told.collect::<Vec<_>>().join("x");
        let is = computed.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
        Err(format!("it says that its output {name:?} is {told}, and computes {is}"))
    }
}
