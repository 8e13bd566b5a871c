//! Which accelerators there are, and why the others are not.

use super::{Accelerator, Precision};
use crate::int8::Isa;

/// What an accelerator of this machine can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// Which one.
    pub accelerator: Accelerator,
    /// The device that computes, in its driver's words where it has one.
    pub device: String,
    /// Version of the library or driver.
    pub version: String,
    /// Precisions that it computes in; models in INT8 need not run faster for it.
    pub precisions: Vec<Precision>,
    /// Forms of models that it takes.
    pub forms: Vec<ModelForm>,
    /// Whose power it draws.
    pub power: Power,
}

/// The form of a model file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelForm {
    /// ONNX: FP32, or INT8 as QDQ, integer operators or dynamically quantised.
    Onnx,
    /// ONNX in FP32 or QDQ, of the operations that `vulkan/` lists.
    OnnxPart,
    /// TensorFlow Lite.
    TfLite,
}

impl ModelForm {
    /// Returns the name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Onnx => "onnx",
            Self::OnnxPart => "onnx (in part)",
            Self::TfLite => "tflite",
        }
    }
}

/// Whose power an accelerator draws, and whom it slows down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Power {
    /// The processor's: whatever else runs there waits.
    Shared,
    /// Its own.
    Own,
}

/// An accelerator that is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Absence {
    /// Which one.
    pub accelerator: Accelerator,
    /// Why, and what to do about it, in one sentence.
    pub why: String,
}

/// The accelerators of a machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
    /// Those that can be used; the processor is the first.
    pub present: Vec<Capability>,
    /// Those that cannot.
    pub absent: Vec<Absence>,
}

/// Looks for every accelerator: loads libraries and asks drivers, which takes some ten milliseconds.
pub fn survey() -> Survey {
    let mut survey = Survey { present: vec![processor()], absent: Vec::new() };
    for (present, absent) in [vulkan(), onnxruntime(), litert()] {
        survey.present.extend(present);
        survey.absent.extend(absent);
    }
    survey
}

fn processor() -> Capability {
    Capability {
        accelerator: Accelerator::Cpu,
        device: format!("{} with {}", std::env::consts::ARCH, Isa::best().name()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        precisions: vec![Precision::Fp32, Precision::Int8],
        forms: vec![ModelForm::Onnx],
        power: Power::Shared,
    }
}

type Found = (Vec<Capability>, Vec<Absence>);

#[cfg(feature = "vulkan")]
fn vulkan() -> Found {
    super::vulkan::surveyed()
}

#[cfg(not(feature = "vulkan"))]
fn vulkan() -> Found {
    not_built(Accelerator::Vulkan { adapter: 0 })
}

#[cfg(feature = "onnxruntime")]
fn onnxruntime() -> Found {
    super::onnxruntime::surveyed()
}

#[cfg(not(feature = "onnxruntime"))]
fn onnxruntime() -> Found {
    not_built(Accelerator::OnnxRuntime { provider: super::Provider::Cpu })
}

#[cfg(feature = "litert")]
fn litert() -> Found {
    super::litert::surveyed()
}

#[cfg(not(feature = "litert"))]
fn litert() -> Found {
    not_built(Accelerator::LiteRt { delegate: super::Delegate::None })
}

#[cfg(not(all(feature = "vulkan", feature = "onnxruntime", feature = "litert")))]
fn not_built(accelerator: Accelerator) -> Found {
    (Vec::new(), vec![Absence { accelerator, why: without(accelerator) }])
}

/// Returns the environment variables that are set for accelerators which this build is without.
pub fn ignored_variables() -> Vec<&'static str> {
    let variables = [
        (cfg!(feature = "onnxruntime"), "GLASSD_ONNXRUNTIME_LIBRARY"),
        (cfg!(feature = "litert"), "GLASSD_LITERT_LIBRARY"),
        (cfg!(feature = "litert"), "GLASSD_LITERT_DELEGATE"),
    ];
    let is_ignored = |(is_built, name): &(bool, &str)| !is_built && std::env::var_os(name).is_some();
    variables.into_iter().filter(is_ignored).map(|(_, name)| name).collect()
}

/// Returns why an accelerator that was left out of this build is missing.
#[cfg(not(all(feature = "vulkan", feature = "onnxruntime", feature = "litert")))]
pub(super) fn without(accelerator: Accelerator) -> String {
    let name = accelerator.name();
    format!("this build is without it; build with `--features {name}`")
}
