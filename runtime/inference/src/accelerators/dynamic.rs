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
