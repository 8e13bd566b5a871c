//! ONNX Runtime, loaded at run time, with whatever execution providers its library was built with.
//!
//! The library is `GLASSD_ONNXRUNTIME_LIBRARY`, or `libonnxruntime.so.1` or `libonnxruntime.so` where the dynamic
//! linker finds it. It is loaded once and stays: which one cannot be changed in a running process.
//!
//! A session computes on one thread, the caller's, as the processor's own does.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ort::environment::Environment;
use ort::ep::{self, ExecutionProvider, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{Session, SessionInputValue};
use ort::value::{DynValue, Outlet, TensorElementType, ValueType};
use tract_onnx::prelude::{DatumType, Tensor};

use super::cache::{CacheKey, CompilationCache};
use super::survey::{Absence, Capability, ModelForm, Power};
use super::{Accelerator, InferenceError, LoadError, Precision, Provider, Signature, failed};
use crate::int8::Isa;
use crate::store::sha256;

/// Names the library's file.
const LIBRARY: &str = "GLASSD_ONNXRUNTIME_LIBRARY";

/// A model compiled by ONNX Runtime.
pub(super) struct Model {
    /// One run at a time: the library would take several, but on the same processor.
    session: Mutex<Session>,
    pub(super) inputs: Vec<Signature>,
    pub(super) outputs: Vec<Signature>,
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("inputs", &self.inputs).field("outputs", &self.outputs).finish()
    }
}

/// Lists the providers of the library; those that it lacks, and the library itself if it is missing, with the
/// reason.
pub(super) fn surveyed() -> (Vec<Capability>, Vec<Absence>) {
    let absent = |provider, why| Absence { accelerator: Accelerator::OnnxRuntime { provider }, why };
    let version = match environment() {
        Ok(_) => version(),
        Err(why) => return (Vec::new(), vec![absent(Provider::Cpu, why)]),
    };
    let (present, lacking): (Vec<_>, Vec<_>) = Provider::ALL.into_iter().partition(|one| is_built_in(*one));
    let capability = |provider| Capability {
        accelerator: Accelerator::OnnxRuntime { provider },
        device: device(provider),
        version: version.clone(),
        precisions: precisions(provider).to_vec(),
        forms: vec![ModelForm::Onnx],
        power: match provider {
            Provider::Cpu | Provider::Xnnpack | Provider::Acl => Power::Shared,
            Provider::Qnn | Provider::Nnapi => Power::Own,
        },
    };
    let lacks = |provider| absent(provider, format!("the library ({version}) was built without it"));
    (present.into_iter().map(capability).collect(), lacking.into_iter().map(lacks).collect())
}

/// Compiles a model, or takes what was compiled before from the cache.
pub(super) fn compiled(
    onnx: &[u8],
    provider: Provider,
    cache: Option<&CompilationCache>,
) -> Result<Model, LoadError> {
    let accelerator = Accelerator::OnnxRuntime { provider };
    let environment = environment().map_err(|why| LoadError::Absent { accelerator, why })?;
    if !is_built_in(provider) {
        let why = format!("the library ({}) was built without it", version());
        return Err(LoadError::Absent { accelerator, why });
    }
    let unusable = |error: ort::Error| LoadError::Unusable(error.message().to_owned());
    let builder = || builder(&environment, provider);
    let (model, device, version) = (sha256(onnx), device(provider), version());
    let key = CacheKey { model: &model, device: &format!("{accelerator} {device}"), version: &version };
    let known = cache.and_then(|cache| Some((cache, cache.get(&key)?)));
    if let Some((cache, compiled)) = known {
        let loaded = builder().and_then(|builder| {
            // It was optimised when it was written.
            let mut builder = builder.with_optimization_level(GraphOptimizationLevel::Disable)?;
            builder.commit_from_memory(&compiled)
        });
        match loaded {
            Ok(session) => return Model::of(session),
            Err(_) => cache.throw_away(&key),
        }
    }
    let scratch = cache.and_then(|cache| Some((cache, cache.scratch(&key).ok()?)));
    let Some((cache, file)) = scratch else {
        return Model::of(
            builder().and_then(|mut builder| builder.commit_from_memory(onnx)).map_err(unusable)?,
        );
    };
    let written = builder().and_then(|builder| writing(builder, provider, &file)?.commit_from_memory(onnx));
    let session = match written {
        Ok(session) => session,
        // Some providers compile what cannot be written down: they run without a cache.
        Err(_) => builder().and_then(|mut builder| builder.commit_from_memory(onnx)).map_err(unusable)?,
    };
    if let Ok(compiled) = std::fs::read(&file) {
        cache.put(&key, &compiled);
    }
    drop(std::fs::remove_file(&file));
    Model::of(session)
}

/// Has the builder write what it compiles: the graph as optimised, or for QNN the graph that holds its binary.
fn writing(builder: SessionBuilder, provider: Provider, file: &Path) -> ort::Result<SessionBuilder> {
    if provider == Provider::Qnn {
        let path = file.to_string_lossy();
        let builder = builder.with_config_entry("ep.context_enable", "1")?;
        let builder = builder.with_config_entry("ep.context_embed_mode", "1")?;
        return Ok(builder.with_config_entry("ep.context_file_path", path)?);
    }
    let builder = builder.with_optimized_model_path(file)?;
    Ok(builder.with_config_entry("session.save_model_format", "ORT")?)
}

fn builder(environment: &Environment, provider: Provider) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(environment)?.with_intra_threads(1)?.with_inter_threads(1)?;
    let provider: ExecutionProviderDispatch = match provider {
        Provider::Cpu => ep::CPU::default().build(),
        Provider::Xnnpack => ep::XNNPACK::default().build(),
        Provider::Acl => ep::ACL::default().build(),
        Provider::Qnn => ep::QNN::default().build(),
        Provider::Nnapi => ep::NNAPI::default().build(),
    };
    Ok(builder.with_execution_providers([provider.error_on_failure()])?)
}

fn is_built_in(provider: Provider) -> bool {
    let found = match provider {
        Provider::Cpu => ep::CPU::is_available(),
        Provider::Xnnpack => ep::XNNPACK::is_available(),
        Provider::Acl => ep::ACL::is_available(),
        Provider::Qnn => ep::QNN::is_available(),
        Provider::Nnapi => ep::NNAPI::is_available(),
    };
    found.unwrap_or(false)
}

const fn precisions(provider: Provider) -> &'static [Precision] {
    match provider {
        Provider::Cpu | Provider::Xnnpack => &[Precision::Fp32, Precision::Int8],
        Provider::Acl => &[Precision::Fp32],
        Provider::Qnn | Provider::Nnapi => &[Precision::Fp16, Precision::Int8],
    }
}

fn device(provider: Provider) -> String {
    match provider {
        Provider::Cpu | Provider::Xnnpack | Provider::Acl => {
            format!("{} with {}", std::env::consts::ARCH, Isa::best().name())
        }
        Provider::Qnn => "Hexagon NPU".to_owned(),
        Provider::Nnapi => "Android's choice".to_owned(),
    }
}

/// Branch and commit of the library's build.
fn version() -> String {
    let info = ort::info();
    let part = |name: &str| info.split(", ").find_map(|part| part.split_once(name)).map(|(_, value)| value);
    let branch = part("git-branch=").unwrap_or("unknown");
    match part("git-commit-id=") {
        Some(commit) => format!("{branch} {commit}"),
        None => branch.to_owned(),
    }
}

/// The library's state, of which a process has one.
fn environment() -> Result<Environment, String> {
    static LOADED: Mutex<Option<Environment>> = Mutex::new(None);
    let mut loaded = locked(&LOADED);
    if let Some(environment) = &*loaded {
        return Ok(environment.clone());
    }
    let named = std::env::var_os(LIBRARY);
    let names = match &named {
        Some(file) => vec![Path::new(file)],
        None => vec![Path::new("libonnxruntime.so.1"), Path::new("libonnxruntime.so")],
    };
    let mut refusals = Vec::new();
    for name in names {
        let built = ort::init_from(name).map_err(|error| error.to_string()).and_then(|builder| {
            builder
                .with_name("glassd")
                .with_telemetry(false)
                .build()
                .map_err(|error| error.message().to_owned())
        });
        match built {
            Ok(environment) => {
                // Warnings about every model go to standard error otherwise.
                environment.set_log_level(LogLevel::Error);
                return Ok(loaded.insert(environment).clone());
            }
            Err(why) => refusals.push(why),
        }
    }
    let why = refusals.pop().unwrap_or_default();
    Err(format!("its library does not load ({why}); install it, or name its file in {LIBRARY}"))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What a panic left behind is a session or nothing: both are whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Model {
    fn of(session: Session) -> Result<Self, LoadError> {
        let signatures = |outlets: &[Outlet]| outlets.iter().map(signature).collect::<Result<Vec<_>, _>>();
        let (inputs, outputs) = (signatures(session.inputs())?, signatures(session.outputs())?);
        Ok(Self { session: Mutex::new(session), inputs, outputs })
    }

    /// Runs the model on inputs that fit its signature.
    pub(super) fn run(self: &Arc<Self>, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferenceError> {
        let values: Vec<SessionInputValue<'_>> =
            inputs.iter().map(|input| value(input).map(Into::into)).collect::<Result<_, _>>()?;
        let mut session = locked(&self.session);
        let outputs = session.run(values.as_slice()).map_err(|error| failed(error.message()))?;
        outputs.values().map(|value| tensor(&value)).collect()
    }
}

/// An open batch dimension is 1; no other may be open.
fn signature(outlet: &Outlet) -> Result<Signature, LoadError> {
    let unusable = |why: String| LoadError::Unusable(format!("tensor {:?} {why}", outlet.name()));
    let ValueType::Tensor { ty, shape, .. } = outlet.dtype() else {
        return Err(unusable("is no tensor".to_owned()));
    };
    let datum = datum(*ty).ok_or_else(|| unusable(format!("is of type {ty}, which is not passed on")))?;
    let side = |(at, &side): (usize, &i64)| match usize::try_from(side) {
        Ok(side) => Ok(side),
        Err(_) if at == 0 => Ok(1),
        Err(_) => Err(unusable(format!("has the open shape {shape:?}"))),
    };
    let shape = shape.iter().enumerate().map(side).collect::<Result<_, _>>()?;
    Ok(Signature { datum, shape })
}

const fn datum(element: TensorElementType) -> Option<DatumType> {
    match element {
        TensorElementType::Float32 => Some(DatumType::F32),
        TensorElementType::Uint8 => Some(DatumType::U8),
        TensorElementType::Int8 => Some(DatumType::I8),
        TensorElementType::Int32 => Some(DatumType::I32),
        TensorElementType::Int64 => Some(DatumType::I64),
        _ => None,
    }
}

fn value(tensor: &Tensor) -> Result<DynValue, InferenceError> {
    fn made<T>(tensor: &Tensor) -> Result<DynValue, InferenceError>
    where
        T: tract_onnx::prelude::Datum
            + ort::value::PrimitiveTensorElementType
            + Clone
            + std::fmt::Debug
            + 'static,
    {
        let values = tensor.try_as_plain_ram().and_then(|plain| plain.as_slice::<T>()).map_err(failed)?;
        let made = ort::value::Tensor::from_array((tensor.shape().to_vec(), values.to_vec()));
        Ok(made.map_err(|error| failed(error.message()))?.into_dyn())
    }
    match tensor.datum_type().unquantized() {
        DatumType::F32 => made::<f32>(tensor),
        DatumType::U8 => made::<u8>(tensor),
        DatumType::I8 => made::<i8>(tensor),
        DatumType::I32 => made::<i32>(tensor),
        DatumType::I64 => made::<i64>(tensor),
        other => Err(InferenceError::Input(format!("{other:?} is not passed on to ONNX Runtime"))),
    }
}

fn tensor(value: &DynValue) -> Result<Tensor, InferenceError> {
    fn read<T>(value: &DynValue) -> Result<Tensor, InferenceError>
    where
        T: tract_onnx::prelude::Datum + ort::value::PrimitiveTensorElementType + Copy,
    {
        let (shape, values) = value.try_extract_tensor::<T>().map_err(|error| failed(error.message()))?;
        let shape: Vec<usize> = shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
        Tensor::from_shape(&shape, values).map_err(failed)
    }
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(failed("an output is no tensor"));
    };
    match ty {
        TensorElementType::Float32 => read::<f32>(value),
        TensorElementType::Uint8 => read::<u8>(value),
        TensorElementType::Int8 => read::<i8>(value),
        TensorElementType::Int32 => read::<i32>(value),
        TensorElementType::Int64 => read::<i64>(value),
        other => Err(failed(format!("an output is of type {other}, which is not passed on"))),
    }
}
