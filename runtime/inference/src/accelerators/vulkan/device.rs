//! Adapters and the devices opened on them.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use wgpu::{
    Adapter, AdapterInfo, Backends, Device, DeviceDescriptor, DeviceType, Features, Instance,
    InstanceDescriptor, Limits, Queue,
};

/// A device that is open.
#[derive(Debug)]
pub(super) struct Gpu {
    pub(super) device: Device,
    pub(super) queue: Queue,
    pub(super) info: AdapterInfo,
    /// What the driver complained of and nobody fetched yet.
    complaint: Arc<Mutex<Option<String>>>,
}

/// Lists the machine's adapters in the driver's order.
pub(super) fn adapters() -> Vec<Adapter> {
    static INSTANCE: OnceLock<Instance> = OnceLock::new();
    let instance = INSTANCE.get_or_init(|| {
        Instance::new(InstanceDescriptor {
            backends: Backends::VULKAN,
            flags: wgpu::InstanceFlags::empty(),
            ..InstanceDescriptor::new_without_display_handle()
        })
    });
    ready(instance.enumerate_adapters(Backends::VULKAN))
}

/// Whether an adapter is software that runs on the processor, as Mesa's lavapipe does.
pub(super) fn is_software(info: &AdapterInfo) -> bool {
    info.device_type == DeviceType::Cpu
}

/// Opens an adapter's device, or returns the one that is open: a process needs one.
pub(super) fn gpu(adapter: u8) -> Result<Arc<Gpu>, String> {
    static OPEN: Mutex<BTreeMap<u8, Arc<Gpu>>> = Mutex::new(BTreeMap::new());
    let mut open = locked(&OPEN);
    // A device that was lost is opened anew.
    if let Some(gpu) = open.get(&adapter).filter(|gpu| gpu.complained().is_none()) {
        return Ok(Arc::clone(gpu));
    }
    let mut adapters = adapters();
    let count = adapters.len();
    if usize::from(adapter) >= count {
        return Err(match count {
            0 => NO_ADAPTER.to_owned(),
            _ => format!("there are {count} adapters, counted from 0"),
        });
    }
    let gpu = Arc::new(opened(&adapters.swap_remove(adapter.into()))?);
    open.insert(adapter, Arc::clone(&gpu));
    Ok(gpu)
}

/// What to tell where Vulkan finds nothing.
pub(super) const NO_ADAPTER: &str =
    "no Vulkan driver answers; install the GPU's, or mesa-vulkan-drivers for one in software";

fn opened(adapter: &Adapter) -> Result<Gpu, String> {
    let info = adapter.get_info();
    let has = adapter.limits();
    let descriptor = DeviceDescriptor {
        label: Some("glassd"),
        required_features: adapter.features() & Features::PIPELINE_CACHE,
        required_limits: Limits {
            max_buffer_size: has.max_buffer_size,
            max_storage_buffer_binding_size: has.max_storage_buffer_binding_size,
            ..Limits::downlevel_defaults()
        }
        .or_worse_values_from(&has),
        ..DeviceDescriptor::default()
    };
    let descriptor = DeviceDescriptor {
        // Five buffers a shader: parameters, output, input, weights, bias.
        required_limits: Limits { max_storage_buffers_per_shader_stage: 5, ..descriptor.required_limits },
        ..descriptor
    };
    let (device, queue) = ready(adapter.request_device(&descriptor))
        .map_err(|error| format!("{} does not open: {error}", info.name))?;
    let complaint = Arc::new(Mutex::new(None));
    let (errors, losses) = (Arc::clone(&complaint), Arc::clone(&complaint));
    // Without a handler wgpu panics.
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        locked(&errors).get_or_insert_with(|| error.to_string());
    }));
    device.set_device_lost_callback(move |_, message| {
        locked(&losses).get_or_insert_with(|| format!("the device was lost: {message}"));
    });
    Ok(Gpu { device, queue, info, complaint })
}

impl Gpu {
    /// Returns the first thing that the driver complained of; a device that complained is not used again.
    pub(super) fn complained(&self) -> Option<String> {
        locked(&self.complaint).clone()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is behind these locks is replaced whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes what a future of wgpu holds: away from browsers they are done when they are made.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::hint::spin_loop(),
        }
    }
}
