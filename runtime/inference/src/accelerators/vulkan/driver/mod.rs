//! The one `unsafe` call of the Vulkan accelerator: handing a driver what it compiled before.

#![allow(unsafe_code, reason = "wgpu cannot check what a driver is handed")]

use wgpu::{Device, PipelineCache, PipelineCacheDescriptor};

/// Makes a cache of pipelines from what one gave before, or an empty one.
pub(super) fn pipeline_cache(device: &Device, data: Option<&[u8]>) -> PipelineCache {
    // SAFETY: wgpu asks that the data came from `PipelineCache::get_data`. It is read from a cache entry whose
    // SHA-256 was found right, under a key that holds the adapter's name and driver and is written nowhere else;
    // wgpu checks its own header before the driver sees it, and falls back to an empty cache.
    unsafe { device.create_pipeline_cache(&PipelineCacheDescriptor { label: None, data, fallback: true }) }
}
