//! What accelerators are called in configuration, reports and on the command line.

use std::fmt;
use std::str::FromStr;

/// Something that runs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accelerator {
    /// The processor: INT8 layers of our own, the rest through tract, on the calling thread alone.
    Cpu,
    /// A GPU through Vulkan, with shaders of our own. Feature `vulkan`.
    Vulkan {
        /// Which of the machine's Vulkan devices, from 0, in the order in which the driver lists them.
        adapter: u8,
    },
    /// ONNX Runtime, from a library found at run time. Feature `onnxruntime`.
    OnnxRuntime {
        /// What computes inside it.
        provider: Provider,
    },
    /// LiteRT (TensorFlow Lite), from a library found at run time; runs `.tflite` files. Feature `litert`.
    LiteRt {
        /// What computes inside it.
        delegate: Delegate,
    },
}

/// An execution provider of ONNX Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Provider {
    /// ONNX Runtime's own kernels for the processor.
    Cpu,
    /// Google's XNNPACK, on the processor.
    Xnnpack,
    /// ARM's Compute Library, on the processor.
    Acl,
    /// Qualcomm's AI Engine, on the Hexagon NPU.
    Qnn,
    /// Android's Neural Networks API.
    Nnapi,
}

/// What computes inside LiteRT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Delegate {
    /// LiteRT's own kernels for the processor.
    None,
    /// The external delegate that `GLASSD_LITERT_DELEGATE` names: Mesa's Teflon, or one of an NPU's vendor.
    External,
}

impl Provider {
    /// All providers, in the order in which they are listed.
    pub const ALL: [Self; 5] = [Self::Cpu, Self::Xnnpack, Self::Acl, Self::Qnn, Self::Nnapi];

    /// Returns the name that configuration and reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Xnnpack => "xnnpack",
            Self::Acl => "acl",
            Self::Qnn => "qnn",
            Self::Nnapi => "nnapi",
        }
    }
}

impl Accelerator {
    /// Returns the name that reports use: the part before the colon.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Vulkan { .. } => "vulkan",
            Self::OnnxRuntime { .. } => "onnxruntime",
            Self::LiteRt { .. } => "litert",
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Vulkan { adapter } => write!(f, "vulkan:{adapter}"),
            Self::OnnxRuntime { provider } => write!(f, "onnxruntime:{}", provider.name()),
            Self::LiteRt { delegate: Delegate::None } => f.write_str("litert:cpu"),
            Self::LiteRt { delegate: Delegate::External } => f.write_str("litert:delegate"),
        }
    }
}

/// Why a text names no accelerator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no accelerator: cpu, vulkan[:ADAPTER], onnxruntime[:PROVIDER] or litert[:cpu|:delegate]")]
pub struct InvalidAccelerator(String);

impl FromStr for Accelerator {
    type Err = InvalidAccelerator;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, part) = match text.split_once(':') {
            Some((kind, part)) => (kind, Some(part)),
            None => (text, None),
        };
        let parsed = match kind {
            "cpu" => part.is_none().then_some(Self::Cpu),
            "vulkan" => {
                let adapter = part.map_or(Some(0), |part| part.parse().ok());
                adapter.map(|adapter| Self::Vulkan { adapter })
            }
            "onnxruntime" => {
                let named = |part| Provider::ALL.into_iter().find(|provider| provider.name() == part);
                part.map_or(Some(Provider::Cpu), named).map(|provider| Self::OnnxRuntime { provider })
            }
            "litert" => match part {
                None | Some("cpu") => Some(Self::LiteRt { delegate: Delegate::None }),
                Some("delegate") => Some(Self::LiteRt { delegate: Delegate::External }),
                Some(_) => None,
            },
            _ => None,
        };
        parsed.ok_or_else(|| InvalidAccelerator(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        let mut all = vec![Accelerator::Cpu, Accelerator::Vulkan { adapter: 3 }];
        all.extend(Provider::ALL.map(|provider| Accelerator::OnnxRuntime { provider }));
        all.extend([Delegate::None, Delegate::External].map(|delegate| Accelerator::LiteRt { delegate }));
        for accelerator in all {
            assert_eq!(accelerator.to_string().parse(), Ok(accelerator));
        }
    }

    #[test]
    fn short_names_mean_the_first() {
        let check = |text: &str, expected| assert_eq!(text.parse(), Ok(expected));
        check("vulkan", Accelerator::Vulkan { adapter: 0 });
        check("onnxruntime", Accelerator::OnnxRuntime { provider: Provider::Cpu });
        check("litert", Accelerator::LiteRt { delegate: Delegate::None });
    }

    #[test]
    fn other_names_are_refused() {
        for text in ["", "gpu", "cpu:0", "vulkan:256", "vulkan:", "onnxruntime:cuda", "litert:npu", "CPU"] {
            assert!(text.parse::<Accelerator>().is_err(), "{text}");
        }
    }
}
