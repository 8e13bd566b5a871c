//! Model files that are scored.

use std::path::Path;

use glassd_inference::{Accelerator, DatumType, PreparedModel, Tensor};

/// A model file, read and prepared.
pub(crate) struct Candidate {
    pub(crate) onnx: Vec<u8>,
    pub(crate) prepared: PreparedModel,
}

impl Candidate {
    pub(crate) fn load(path: &Path) -> Result<Self, String> {
        let onnx = std::fs::read(path).map_err(|error| error.to_string())?;
        let prepared = Accelerator::Cpu.prepare(&onnx).map_err(|error| error.to_string())?;
        Ok(Self { onnx, prepared })
    }

    /// Returns the sides of its only input and of its only output.
    pub(crate) fn shapes(&self) -> Option<(&[usize], &[usize])> {
        match (self.prepared.inputs(), self.prepared.outputs()) {
            ([input], [output]) => Some((&input.shape, &output.shape)),
            _ => None,
        }
    }
}

/// Returns the values of the only output, quantised or not; they may be compared with each other.
pub(crate) fn values(outputs: &[Tensor]) -> Result<Vec<f32>, String> {
    let [output] = outputs else { return Err(format!("{} outputs instead of 1", outputs.len())) };
    let bytes = output.as_bytes();
    match output.datum_type() {
        DatumType::F32 => Ok(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()),
        DatumType::U8 => Ok(bytes.iter().map(|&level| f32::from(level)).collect()),
        DatumType::I8 => Ok(bytes.iter().map(|&level| f32::from(level.cast_signed())).collect()),
        other => Err(format!("its output is of type {other:?}")),
    }
}
