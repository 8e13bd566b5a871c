//! GPUs, through Vulkan: our own shaders on a graph with fixed shapes.
//!
//! ```text
//! ONNX ─graph.rs, node by node─► Plan: steps on tensors of f32 ─► shaders (WGSL, with wgpu) ─► one submission a run
//! ```
//!
//! - Functions of one value (activations, QuantizeLinear, DequantizeLinear) are kept until somebody wants their
//!   numbers and become the end of the shader before them ([`expression`]).
//! - A quantised graph is computed in FP32 on the numbers that its levels stand for: INT8 saves no time here.
//! - Tensors share buffers ([`plan::Plan::places`]); weights are on the device once for all sessions.
//! - Pipelines are kept by the driver's own means, in the compilation cache; shaders take their constants and sizes as
//!   parameters, so that a model has some twenty.
//! - What has no shader is refused by node and operation.

mod device;
mod driver;
mod expression;
mod graph;
mod plan;
mod stream;

use std::collections::BTreeMap;
use std::sync::Arc;

use wgpu::util::{BufferInitDescriptor, DeviceExt};
use wgpu::{
    Buffer, BufferUsages, ComputePipeline, ComputePipelineDescriptor, PipelineCache, ShaderModuleDescriptor,
    ShaderSource,
};

use self::device::{Gpu, adapters, gpu, is_software};
use self::plan::{Plan, Shader, TensorId};
pub(super) use self::stream::Stream;
use super::cache::{CacheKey, CompilationCache};
use super::survey::{Absence, Capability, ModelForm, Power};
use super::{Accelerator, LoadError, Precision, Signature};
use crate::store::sha256;

/// A model on a device.
#[derive(Debug)]
pub(super) struct Model {
    gpu: Arc<Gpu>,
    plan: Plan,
    /// The pipeline of each step.
    pipelines: Vec<Arc<ComputePipeline>>,
    /// Each step's parameters and the constants of its expression, in one buffer, where each begins.
    parameters: Buffer,
    places: Vec<(u64, u64)>,
    constants: BTreeMap<TensorId, Buffer>,
    pub(super) inputs: Vec<Signature>,
    pub(super) outputs: Vec<Signature>,
}

/// Lists the adapters, or tells that there is none.
pub(super) fn surveyed() -> (Vec<Capability>, Vec<Absence>) {
    let capability = |(at, adapter): (usize, &wgpu::Adapter)| {
        let info = adapter.get_info();
        Capability {
            accelerator: Accelerator::Vulkan { adapter: u8::try_from(at).unwrap_or(u8::MAX) },
            power: if is_software(&info) { Power::Shared } else { Power::Own },
            version: format!("{} {}", info.driver, info.driver_info),
            device: info.name,
            precisions: vec![Precision::Fp32],
            forms: vec![ModelForm::OnnxPart],
        }
    };
    let present: Vec<_> = adapters().iter().enumerate().map(capability).collect();
    if !present.is_empty() {
        return (present, Vec::new());
    }
    let accelerator = Accelerator::Vulkan { adapter: 0 };
    (present, vec![Absence { accelerator, why: device::NO_ADAPTER.to_owned() }])
}

/// Compiles a model; the driver's part of it comes from the cache where it is known.
pub(super) fn compiled(
    onnx: &[u8],
    adapter: u8,
    cache: Option<&CompilationCache>,
) -> Result<Model, LoadError> {
    let accelerator = Accelerator::Vulkan { adapter };
    let gpu = gpu(adapter).map_err(|why| LoadError::Absent { accelerator, why })?;
    let graph::Read { plan, inputs, outputs } = graph::read(onnx)?;
    let limit = gpu.device.limits().max_storage_buffer_binding_size;
    if let Some(length) = plan.lengths.iter().find(|&&length| length as u64 * 4 > limit) {
        let why = format!("a tensor of {length} values, and {} holds {limit} bytes in one", gpu.info.name);
        return Err(LoadError::Unusable(why));
    }
    let device = format!("{accelerator} {} {} {}", gpu.info.name, gpu.info.vendor, gpu.info.device);
    let version = format!("{} {}", gpu.info.driver, gpu.info.driver_info);
    let model = sha256(onnx);
    let key = CacheKey { model: &model, device: &device, version: &version };
    let kept = cache.and_then(|cache| cache.get(&key));
    let has_cache = gpu.device.features().contains(wgpu::Features::PIPELINE_CACHE);
    let pipeline_cache = has_cache.then(|| driver::pipeline_cache(&gpu.device, kept.as_deref()));
    let (pipelines, words, places) = pipelines(&gpu, &plan, pipeline_cache.as_ref());
    if let Some(why) = gpu.complained() {
        return Err(LoadError::Unusable(format!("{} refuses it: {why}", gpu.info.name)));
    }
    if let (Some(cache), None) = (cache, &kept) {
        let data = pipeline_cache.and_then(|pipelines| pipelines.get_data());
        cache.put(&key, &data.unwrap_or_default());
    }
    let filled = |contents: &[u8]| {
        let usage = BufferUsages::STORAGE;
        gpu.device.create_buffer_init(&BufferInitDescriptor { label: None, contents, usage })
    };
    let parameters = filled(&words);
    let constants = plan.constants.iter().map(|(id, values)| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        (*id, filled(&bytes))
    });
    let constants = constants.collect();
    // The weights are on the device now.
    let emptied = plan.constants.iter().map(|(id, _)| (*id, Vec::new())).collect();
    let plan = Plan { constants: emptied, ..plan };
    Ok(Model { gpu, plan, pipelines, parameters, places, constants, inputs, outputs })
}

type Pipelines = (Vec<Arc<ComputePipeline>>, Vec<u8>, Vec<(u64, u64)>);

/// Makes the pipelines, each kind once, and lays all parameters out.
fn pipelines(gpu: &Gpu, plan: &Plan, cache: Option<&PipelineCache>) -> Pipelines {
    let alignment = u64::from(gpu.device.limits().min_storage_buffer_offset_alignment);
    let mut known: BTreeMap<(Shader, usize, String), Arc<ComputePipeline>> = BTreeMap::new();
    let (mut all, mut words, mut places) = (Vec::new(), Vec::new(), Vec::new());
    for step in &plan.steps {
        let mut constants = Vec::new();
        let expression = step.finish.wgsl(&mut constants);
        let source = || step.shader.source(step.parameters.len(), &expression);
        let key = (step.shader, step.parameters.len(), expression.clone());
        let pipeline = known.entry(key).or_insert_with(|| Arc::new(pipeline(gpu, source(), cache)));
        all.push(Arc::clone(pipeline));
        words.resize((words.len() as u64).next_multiple_of(alignment) as usize, 0);
        let constants = constants.iter().map(|constant| constant.to_bits());
        let start = words.len() as u64;
        words.extend(step.parameters.iter().copied().chain(constants).flat_map(u32::to_le_bytes));
        places.push((start, words.len() as u64 - start));
    }
    (all, words, places)
}

fn pipeline(gpu: &Gpu, source: String, cache: Option<&PipelineCache>) -> ComputePipeline {
    let source = ShaderSource::Wgsl(source.into());
    let module = gpu.device.create_shader_module(ShaderModuleDescriptor { label: None, source });
    gpu.device.create_compute_pipeline(&ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache,
    })
}

impl Shader {
    /// Writes the whole shader, with what is put on top of its values.
    fn source(self, parameters: usize, expression: &str) -> String {
        let preamble = include_str!("shaders/preamble.wgsl").replace("EXPRESSION", expression);
        let body = match self {
            Self::Map => include_str!("shaders/map.wgsl"),
            Self::Binary(_) => include_str!("shaders/binary.wgsl"),
            Self::Copy => include_str!("shaders/copy.wgsl"),
            Self::Fill => include_str!("shaders/fill.wgsl"),
            Self::Convolve => include_str!("shaders/convolve.wgsl"),
            Self::Pointwise => include_str!("shaders/pointwise.wgsl"),
            Self::Grouped => include_str!("shaders/grouped.wgsl"),
            Self::Transposed => include_str!("shaders/transposed.wgsl"),
            Self::Pool => include_str!("shaders/pool.wgsl"),
            Self::Softmax => include_str!("shaders/softmax.wgsl"),
            Self::Mean => include_str!("shaders/mean.wgsl"),
            Self::Product => include_str!("shaders/product.wgsl"),
        };
        let operator = if let Self::Binary(operator) = self { operator } else { "" };
        let body = body.replace("OPERATOR", operator);
        format!("const CONSTANTS = {parameters}u;\n{preamble}\n{body}")
    }
}
