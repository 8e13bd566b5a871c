//! LiteRT (TensorFlow Lite), loaded at run time, with the external delegate of an NPU where one is named.
//!
//! The library is `GLASSD_LITERT_LIBRARY`, or `libtensorflowlite_c.so` where the dynamic linker finds it; any that exports
//! TensorFlow Lite's C API serves. `GLASSD_LITERT_DELEGATE` names an external delegate: Mesa's `libteflon.so` for the
//! NPUs that Mesa knows, or one of an NPU's vendor.

mod foreign;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::{DatumType, Tensor};

use self::foreign::{ExternalDelegate, Interpreter, Runtime, Side, TensorInfo};
use super::survey::{Absence, Capability, ModelForm, Power};
use super::{Accelerator, Delegate, InferenceError, LoadError, Precision, Signature, failed};

/// Names the library's file.
const LIBRARY: &str = "GLASSD_LITERT_LIBRARY";
/// Names the external delegate's file.
const DELEGATE: &str = "GLASSD_LITERT_DELEGATE";

/// A model in LiteRT.
pub(super) struct Model {
    /// An interpreter takes one run at a time.
    interpreter: Mutex<Interpreter>,
    pub(super) inputs: Vec<Signature>,
    pub(super) outputs: Vec<Signature>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("inputs", &self.inputs).field("outputs", &self.outputs).finish()
    }
}

/// Tells whether the library and the delegate are there.
pub(super) fn surveyed() -> (Vec<Capability>, Vec<Absence>) {
    let accelerator = |delegate| Accelerator::LiteRt { delegate };
    let absent = |delegate, why| Absence { accelerator: accelerator(delegate), why };
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(why) => return (Vec::new(), vec![absent(Delegate::None, why)]),
    };
    let capability = |delegate, device: String, power| Capability {
        accelerator: accelerator(delegate),
        device,
        version: runtime.version(),
        precisions: vec![Precision::Fp32, Precision::Int8],
        forms: vec![ModelForm::TfLite],
        power,
    };
    let mut present = vec![capability(Delegate::None, std::env::consts::ARCH.to_owned(), Power::Shared)];
    match delegate() {
        Ok((path, _)) => {
            present.push(capability(Delegate::External, path.display().to_string(), Power::Own));
            (present, Vec::new())
        }
        Err(why) => (present, vec![absent(Delegate::External, why)]),
    }
}

fn runtime() -> Result<Runtime, String> {
    let named = std::env::var_os(LIBRARY).map(PathBuf::from);
    let path = named.as_deref().unwrap_or(Path::new("libtensorflowlite_c.so"));
    Runtime::load(path).map_err(|why| {
        format!("its library does not load ({why}); install it, or name its file in {LIBRARY}")
    })
}

fn delegate() -> Result<(PathBuf, ExternalDelegate), String> {
    let path = std::env::var_os(DELEGATE).map(PathBuf::from);
    let path = path.ok_or_else(|| format!("no delegate is named; {DELEGATE} names its file"))?;
    match ExternalDelegate::load(&path) {
        Ok(delegate) => Ok((path, delegate)),
        Err(why) => Err(format!("the delegate {} does not load: {why}", path.display())),
    }
}

/// Loads a `.tflite` file.
pub(super) fn compiled(tflite: &[u8], delegate: Delegate) -> Result<Model, LoadError> {
    let absent = |why| LoadError::Absent { accelerator: Accelerator::LiteRt { delegate }, why };
    let runtime = runtime().map_err(absent)?;
    let delegate = match delegate {
        Delegate::None => None,
        Delegate::External => Some(self::delegate().map_err(absent)?.1),
    };
    // The fourth to seventh byte of every such file; the library's own check reads further.
    if tflite.get(4..8) != Some(b"TFL3") {
        return Err(LoadError::Unusable("it is no TensorFlow Lite file".to_owned()));
    }
    let interpreter = Interpreter::open(&runtime, tflite.into(), delegate).map_err(LoadError::Unusable)?;
    let signatures = |side| {
        let tensors = interpreter.tensors(side)?;
        tensors.iter().map(signature).collect::<Result<Vec<_>, String>>()
    };
    let inputs = signatures(Side::Input).map_err(LoadError::Unusable)?;
    let outputs = signatures(Side::Output).map_err(LoadError::Unusable)?;
    Ok(Model { interpreter: Mutex::new(interpreter), inputs, outputs })
}

impl Model {
    /// Runs the model on inputs that fit its signature.
    pub(super) fn run(self: &Arc<Self>, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferenceError> {
        // A run that panicked left an interpreter whose inputs are written anew.
        let mut interpreter = self.interpreter.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, input) in (0..).zip(inputs) {
            interpreter.write(at, input.as_bytes()).map_err(failed)?;
        }
        interpreter.invoke().map_err(failed)?;
        let output = |(at, signature): (i32, &Signature)| {
            let Signature { datum, shape } = signature;
            let mut bytes = vec![0; shape.iter().product::<usize>() * datum.size_of()];
            interpreter.read(at, &mut bytes).map_err(failed)?;
            tensor(*datum, shape, &bytes)
        };
        (0..).zip(&self.outputs).map(output).collect()
    }
}

/// Numbers of `TfLiteType`, `tensorflow/lite/core/c/c_api_types.h`.
fn signature(info: &TensorInfo) -> Result<Signature, String> {
    let datum = match info.kind {
        1 => DatumType::F32,
        2 => DatumType::I32,
        3 => DatumType::U8,
        4 => DatumType::I64,
        9 => DatumType::I8,
        other => return Err(format!("a tensor of type {other} is not passed on")),
    };
    let shape: Option<Vec<usize>> = info.sides.iter().map(|&side| usize::try_from(side).ok()).collect();
    let shape = shape.ok_or_else(|| format!("a tensor has the open shape {:?}", info.sides))?;
    let bytes = shape.iter().try_fold(datum.size_of(), |bytes, &side| bytes.checked_mul(side));
    if bytes != Some(info.bytes) {
        return Err(format!("a tensor of {shape:?} has {} bytes", info.bytes));
    }
    Ok(Signature { datum, shape })
}

fn tensor(datum: DatumType, shape: &[usize], bytes: &[u8]) -> Result<Tensor, InferenceError> {
    fn read<T: tract_onnx::prelude::Datum + Copy, const N: usize>(
        shape: &[usize],
        bytes: &[u8],
        value: fn([u8; N]) -> T,
    ) -> Result<Tensor, InferenceError> {
        let values: Vec<T> = bytes.as_chunks::<N>().0.iter().map(|bytes| value(*bytes)).collect();
        Tensor::from_shape(shape, &values).map_err(failed)
    }
    match datum {
        DatumType::F32 => read(shape, bytes, f32::from_ne_bytes),
        DatumType::I32 => read(shape, bytes, i32::from_ne_bytes),
        DatumType::I64 => read(shape, bytes, i64::from_ne_bytes),
        DatumType::U8 => read(shape, bytes, u8::from_ne_bytes),
        DatumType::I8 => read(shape, bytes, i8::from_ne_bytes),
        other => Err(failed(format!("{other:?} is not passed on"))),
    }
}
