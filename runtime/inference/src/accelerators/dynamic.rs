//! Models whose inputs leave sides open.

use tract_onnx::prelude::Tensor;

use super::{Accelerator, InferenceError, LoadError, Session, failed};
use crate::int8::Threads;

/// A model with open sides, compiled for the shapes that come: each set of shapes when it first comes.
///
/// A compiled form holds the weights once more, and so only the latest used ones are kept. Whoever runs it rounds
/// sizes so that few shapes come.
#[derive(Debug)]
pub(crate) struct DynamicModel {
    onnx: Vec<u8>,
    accelerator: Accelerator,
    threads: Option<Threads>,
    /// The least recently used first.
    sessions: Vec<(Shapes, Session)>,
    most: usize,
}

/// The sides of each input.
type Shapes = Vec<Vec<usize>>;

impl DynamicModel {
    /// Takes a model of which at most `most` compiled forms are kept; nothing is compiled yet.
    pub(crate) fn new(accelerator: Accelerator, onnx: &[u8], most: usize) -> Self {
        Self { onnx: onnx.to_vec(), accelerator, threads: None, sessions: Vec::new(), most: most.max(1) }
    }

    /// Compiles it for inputs of these shapes, and returns the shapes of its outputs.
    pub(crate) fn prepare(&mut self, shapes: &[Vec<usize>]) -> Result<Shapes, LoadError> {
        let prepared = self.accelerator.prepare_for(&self.onnx, shapes)?;
        let mut session = prepared.open().map_err(|error| LoadError::Unusable(error.to_string()))?;
        if let Some(threads) = &self.threads {
            session.divide_between(threads);
        }
        self.sessions.retain(|(kept, _)| kept != shapes);
        if self.sessions.len() >= self.most {
            self.sessions.remove(0);
        }
        self.sessions.push((shapes.to_vec(), session));
        Ok(prepared.outputs().iter().map(|output| output.shape.clone()).collect())
    }

    /// Runs the model once on inputs that need not come again: what is compiled for them is not kept.
    pub(crate) fn run_once(&self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, InferenceError> {
        let shapes: Shapes = inputs.iter().map(|input| input.shape().to_vec()).collect();
        self.accelerator.prepare_for(&self.onnx, &shapes).map_err(failed)?.open()?.run(inputs)
    }

    /// Runs the model on inputs of any shapes that it takes.
    pub(crate) fn run(&mut self, inputs: Vec<Tensor>) -> Result<Vec<Tensor>, InferenceError> {
        let shapes: Shapes = inputs.iter().map(|input| input.shape().to_vec()).collect();
        match self.sessions.iter().position(|(kept, _)| *kept == shapes) {
            Some(at) => self.sessions[at..].rotate_left(1),
            None => drop(self.prepare(&shapes).map_err(failed)?),
        }
        let (_, session) = self.sessions.last_mut().expect("found or prepared just now");
        session.run(inputs)
    }

    /// Divides large layers between threads from now on.
    pub(crate) fn divide_between(&mut self, threads: &Threads) {
        self.threads = Some(threads.clone());
        for (_, session) in &mut self.sessions {
            session.divide_between(threads);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
pub(super) mod tests {
    use prost::Message;
    use tract_onnx::pb;

    use super::*;

    /// Relu on one row of any length.
    pub(in crate::accelerators) fn open_model() -> Vec<u8> {
        let side = |side: Option<i64>| pb::tensor_shape_proto::Dimension {
            value: side.map(pb::tensor_shape_proto::dimension::Value::DimValue),
            ..Default::default()
        };
        let shape = pb::TensorShapeProto { dim: vec![side(Some(1)), side(None)] };
        let tensor = pb::type_proto::Tensor {
            elem_type: pb::tensor_proto::DataType::Float as i32,
            shape: Some(shape),
        };
        let kind =
            pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
        let value = |name: &str, kind: Option<pb::TypeProto>| pb::ValueInfoProto {
            name: name.into(),
            r#type: kind,
            ..Default::default()
        };
        let relu = pb::NodeProto {
            op_type: "Relu".into(),
            input: vec!["x".into()],
            output: vec!["y".into()],
            ..Default::default()
        };
        let graph = pb::GraphProto {
            node: vec![relu],
            input: vec![value("x", Some(kind))],
            output: vec![value("y", None)],
            ..Default::default()
        };
        let opset = pb::OperatorSetIdProto { domain: String::new(), version: 13 };
        let model = pb::ModelProto {
            ir_version: 8,
            opset_import: vec![opset],
            graph: Some(graph),
            ..Default::default()
        };
        model.encode_to_vec()
    }

    #[test]
    fn the_latest_shapes_are_kept() {
        let mut model = DynamicModel::new(Accelerator::Cpu, &open_model(), 2);
        for length in [3, 5, 3, 7] {
            let outputs = model.run(vec![Tensor::zero::<f32>(&[1, length]).unwrap()]).unwrap();
            assert_eq!(outputs[0].shape(), [1, length]);
        }
        let kept: Vec<usize> = model.sessions.iter().map(|(shapes, _)| shapes[0][1]).collect();
        assert_eq!(kept, [3, 7]);
    }

    #[test]
    fn shapes_that_do_not_fit_are_refused() {
        let mut model = DynamicModel::new(Accelerator::Cpu, &open_model(), 2);
        let mut refused = |shapes: &[Vec<usize>]| model.prepare(shapes).unwrap_err().to_string();
        for shape in [vec![2, 5], vec![1, 5, 1]] {
            let why = refused(std::slice::from_ref(&shape));
            assert!(why.contains("does not fit"), "{shape:?}: {why}");
        }
        let why = refused(&[vec![1, 3], vec![1, 3]]);
        assert!(why.contains("it takes 1 inputs, and 2 are given"), "{why}");
    }
}
