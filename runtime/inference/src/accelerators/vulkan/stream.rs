//! One stream through a model on a device: its buffers, and a run.

use std::sync::Arc;
use std::time::Duration;

use tract_onnx::prelude::{DatumType, Tensor};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferDescriptor,
    BufferUsages, CommandEncoderDescriptor, ComputePassDescriptor, MapMode, PollType,
};

use super::Model;
use crate::accelerators::{InferenceError, Signature, failed};

/// A run that takes longer than this failed: no model of a gateway does, and a GPU that hangs never ends.
const MOST_TIME: Duration = Duration::from_secs(20);

/// Invocations of a workgroup, as all shaders have it.
const WORKGROUP: u32 = 64;
/// Workgroups along one dimension that every device takes.
const MOST_GROUPS: u32 = 65_535;

/// The buffers of one stream.
#[derive(Debug)]
pub(in crate::accelerators) struct Stream {
    model: Arc<Model>,
    groups: Vec<BindGroup>,
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    staging: Buffer,
}

impl Stream {
    pub(in crate::accelerators) fn open(model: &Arc<Model>) -> Result<Self, InferenceError> {
        let (device, plan) = (&model.gpu.device, &model.plan);
        let (places, lengths) = plan.places();
        let buffer = |size: usize, usage| {
            let descriptor =
                BufferDescriptor { label: None, size: size as u64 * 4, usage, mapped_at_creation: false };
            device.create_buffer(&descriptor)
        };
        let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
        let buffers: Vec<Buffer> = lengths.iter().map(|&length| buffer(length, usage)).collect();
        let of = |tensor: usize| {
            let place = places[tensor].map(|place| &buffers[place]);
            place.or_else(|| model.constants.get(&tensor)).ok_or_else(|| failed("a tensor without a buffer"))
        };
        let mut groups = Vec::new();
        for (at, step) in plan.steps.iter().enumerate() {
            let (offset, size) = model.places[at];
            let parameters = BufferBinding { buffer: &model.parameters, offset, size: size.try_into().ok() };
            let mut entries = vec![
                BindGroupEntry { binding: 0, resource: BindingResource::Buffer(parameters) },
                BindGroupEntry { binding: 1, resource: of(step.writes)?.as_entire_binding() },
            ];
            for (binding, &read) in (2..).zip(&step.reads) {
                entries.push(BindGroupEntry { binding, resource: of(read)?.as_entire_binding() });
            }
            let layout = &model.pipelines[at].get_bind_group_layout(0);
            groups.push(device.create_bind_group(&BindGroupDescriptor {
                label: None,
                layout,
                entries: &entries,
            }));
        }
        let list =
            |tensors: &[usize]| tensors.iter().map(|&id| of(id).cloned()).collect::<Result<Vec<_>, _>>();
        let (inputs, outputs) = (list(&plan.inputs)?, list(&plan.outputs)?);
        let total = plan.outputs.iter().map(|&output| plan.lengths[output]).sum();
        let staging = buffer(total, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let stream = Self { model: Arc::clone(model), groups, inputs, outputs, staging };
        stream.complained().map(|()| stream)
    }

    /// Runs the model on inputs that fit its signature.
    pub(in crate::accelerators) fn run(&mut self, inputs: &[Tensor]) -> Result<Vec<Tensor>, InferenceError> {
        let (gpu, plan) = (&self.model.gpu, &self.model.plan);
        for (buffer, input) in self.inputs.iter().zip(inputs) {
            gpu.queue.write_buffer(buffer, 0, &bytes(input)?);
        }
        let mut encoder = gpu.device.create_command_encoder(&CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
            for ((step, pipeline), group) in plan.steps.iter().zip(&self.model.pipelines).zip(&self.groups) {
                pass.set_pipeline(pipeline);
                pass.set_bind_group(0, group, &[]);
                let count = step.parameters[0].div_ceil(WORKGROUP).max(1);
                let wide = count.min(MOST_GROUPS);
                pass.dispatch_workgroups(wide, count.div_ceil(wide), 1);
            }
        }
        let mut place = 0;
        for (buffer, &output) in self.outputs.iter().zip(&plan.outputs) {
            let size = plan.lengths[output] as u64 * 4;
            encoder.copy_buffer_to_buffer(buffer, 0, &self.staging, place, size);
            place += size;
        }
        gpu.queue.submit([encoder.finish()]);
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        self.staging.map_async(MapMode::Read, .., move |mapped| drop(tell.try_send(mapped)));
        let waited = gpu.device.poll(PollType::Wait { submission_index: None, timeout: Some(MOST_TIME) });
        self.complained()?;
        waited.map_err(failed)?;
        // Another stream's thread that polls the same device may be the one that tells, a moment later.
        told.recv_timeout(MOST_TIME).map_err(failed)?.map_err(failed)?;
        let outputs = self.read();
        self.staging.unmap();
        outputs
    }

    fn complained(&self) -> Result<(), InferenceError> {
        self.model.gpu.complained().map_or(Ok(()), |why| Err(failed(why)))
    }

    fn read(&self) -> Result<Vec<Tensor>, InferenceError> {
        let view = self.staging.get_mapped_range(..).map_err(failed)?;
        let (words, _) = view.as_chunks::<4>();
        let mut rest = words;
        let mut outputs = Vec::new();
        for signature in &self.model.outputs {
            let (these, others) = rest.split_at(signature.shape.iter().product());
            rest = others;
            let values: Vec<f32> = these.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
            outputs.push(tensor(&values, signature)?);
        }
        Ok(outputs)
    }
}

/// Returns a tensor's values as the shaders read them.
fn bytes(tensor: &Tensor) -> Result<Vec<u8>, InferenceError> {
    if tensor.datum_type() == DatumType::F32 {
        return Ok(tensor.as_bytes().to_vec());
    }
    let tensor = tensor.cast_to::<f32>().map_err(failed)?;
    Ok(tensor.as_bytes().to_vec())
}

fn tensor(values: &[f32], signature: &Signature) -> Result<Tensor, InferenceError> {
    let tensor = Tensor::from_shape(&signature.shape, values).map_err(failed)?;
    if signature.datum == DatumType::F32 {
        return Ok(tensor);
    }
    Ok(tensor.cast_to_dt(signature.datum).map_err(failed)?.into_owned())
}
