//! Where a model runs, and why there.

use prost::Message;
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::Tensor;

use super::gate::{Agreement, Rounding, compared};
use super::{Accelerator, CompilationCache, LoadError, PreparedModel};

/// Where a model runs, and why there.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// The accelerator that was asked for.
    pub asked: Accelerator,
    /// The one that serves: the processor where the other failed.
    pub serves: Accelerator,
    /// Why the one asked for does not serve, in one sentence.
    pub why: Option<String>,
    /// How near its outputs came to the processor's, if they were compared.
    pub agreement: Option<Agreement>,
}

impl Placement {
    /// The accelerator serves as it was asked to, unchecked.
    pub(super) const fn on(accelerator: Accelerator) -> Self {
        Self { asked: accelerator, serves: accelerator, why: None, agreement: None }
    }

    /// The processor takes over.
    pub(super) fn fallen_back(&self, why: String) -> Self {
        Self { serves: Accelerator::Cpu, why: Some(why), ..*self }
    }
}

/// Where the models of a store run.
#[derive(Clone, Debug)]
pub struct Site {
    /// The accelerator, if its outputs agree with the processor's on a model's check sample.
    pub accelerator: Accelerator,
    /// Where compiled models are kept; nowhere without it.
    pub cache: Option<CompilationCache>,
}

impl Default for Site {
    fn default() -> Self {
        Self { accelerator: Accelerator::Cpu, cache: None }
    }
}

/// The files of one model: the same weights in the forms that accelerators take.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// ONNX: what the processor runs, and most others.
    pub onnx: &'a [u8],
    /// TensorFlow Lite: what LiteRT runs.
    pub tflite: Option<&'a [u8]>,
}

impl Accelerator {
    /// Compiles a model for this accelerator and lets it serve only if its outputs agree with the processor's on
    /// every sample; else the processor serves, and [`PreparedModel::placement`] tells why. Refused is only what
    /// the processor cannot run either.
    pub fn place(
        self,
        source: Source<'_>,
        samples: &[Vec<Tensor>],
        cache: Option<&CompilationCache>,
    ) -> Result<PreparedModel, LoadError> {
        let reference = Self::Cpu.prepare_cached(source.onnx, cache)?;
        if self == Self::Cpu {
            return Ok(reference);
        }
        match self.checked(source, &reference, samples, cache) {
            Ok(prepared) => Ok(prepared),
            Err(why) => Ok(reference.placed(Placement::on(self).fallen_back(why))),
        }
    }

    fn checked(
        self,
        source: Source<'_>,
        reference: &PreparedModel,
        samples: &[Vec<Tensor>],
        cache: Option<&CompilationCache>,
    ) -> Result<PreparedModel, String> {
        let model = match self {
            Self::LiteRt { .. } => source.tflite.ok_or("it runs .tflite files, and the model has none")?,
            Self::Cpu | Self::Vulkan { .. } | Self::OnnxRuntime { .. } => source.onnx,
        };
        let prepared = self.prepare_cached(model, cache).map_err(|error| error.to_string())?;
        if prepared.inputs() != reference.inputs() {
            let list = |model: &PreparedModel| {
                model.inputs().iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
            };
            return Err(format!("it takes {}, and the processor {}", list(&prepared), list(reference)));
        }
        if samples.is_empty() {
            return Err("there is no sample to check it on".to_owned());
        }
        let rounding = self.rounding(source.onnx);
        let mut agreement: Option<Agreement> = None;
        // A run that fails here must not fall back: the processor would agree with itself.
        let mut tried = prepared.open_strictly().map_err(|error| error.to_string())?;
        let mut right = reference.open().map_err(|error| error.to_string())?;
        for sample in samples {
            let expected = right.run(sample.iter().cloned()).map_err(|error| error.to_string())?;
            let outputs = tried.run(sample.iter().cloned()).map_err(|error| error.to_string())?;
            let one = compared(&expected, &outputs, rounding)?;
            agreement = Some(agreement.map_or(one, |all| all.and(one)));
        }
        let bytes = reference.activation_bytes().map_err(|error| error.to_string())?;
        let prepared = prepared.with_fallback(source.onnx, bytes);
        Ok(prepared.placed(Placement { agreement, ..Placement::on(self) }))
    }

    /// Returns where this accelerator rounds on the way through a model.
    fn rounding(self, onnx: &[u8]) -> Rounding {
        use super::Provider::{Acl, Cpu, Nnapi, Qnn, Xnnpack};
        let graph = ModelProto::decode(onnx).ok().and_then(|model| model.graph);
        let is_quantised = graph.is_some_and(|graph| crate::int8::is_quantised(&graph));
        match (self, is_quantised) {
            (Self::Vulkan { .. }, true) => Rounding::Int8InFloats,
            (_, true) => Rounding::Int8,
            // NPUs compute floats in 16 bits; an external delegate may.
            (Self::OnnxRuntime { provider: Qnn | Nnapi } | Self::LiteRt { .. }, false) => Rounding::Fp16,
            (
                Self::OnnxRuntime { provider: Cpu | Xnnpack | Acl } | Self::Cpu | Self::Vulkan { .. },
                false,
            ) => Rounding::Fp32,
        }
    }
}
