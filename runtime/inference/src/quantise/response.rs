//! What an activation function makes of a tensor, so that its range is chosen by what matters behind it: of
//! what lies far below 0, a SiLU makes nothing.

use tract_onnx::pb::NodeProto;

use super::graph::Graph;
use super::proto::float_of;

/// What the readers of a tensor make of a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Response {
    /// Anything.
    Identity,
    /// Its sigmoid.
    Sigmoid,
    /// It times its sigmoid.
    Silu,
    /// It times its hard sigmoid of sixths.
    HardSwish,
    /// A line, cut off at 0 and 1.
    HardSigmoid {
        /// The line's slope.
        alpha: f32,
        /// Where it crosses.
        beta: f32,
    },
}

impl Response {
    /// Returns what is made of a value.
    pub(super) fn of(self, x: f64) -> f64 {
        let hard = |alpha: f64, beta: f64| (alpha * x + beta).clamp(0.0, 1.0);
        match self {
            Self::Identity => x,
            Self::Sigmoid => sigmoid(x),
            Self::Silu => x * sigmoid(x),
            Self::HardSwish => x * hard(1.0 / 6.0, 0.5),
            Self::HardSigmoid { alpha, beta } => hard(f64::from(alpha), f64::from(beta)),
        }
    }

    /// Tells what the readers of a tensor, if there are no others, make of it.
    pub(super) fn to(graph: &Graph, tensor: &str, readers: &[usize]) -> Self {
        if graph.is_output(tensor) {
            return Self::Identity;
        }
        let nodes: Vec<&NodeProto> = readers.iter().map(|&at| &graph.nodes[at]).collect();
        match nodes[..] {
            [only] => match only.op_type.as_str() {
                "Sigmoid" => Self::Sigmoid,
                "HardSwish" => Self::HardSwish,
                "HardSigmoid" => {
                    let (alpha, beta) = (float_of(only, "alpha", 0.2), float_of(only, "beta", 0.5));
                    Self::HardSigmoid { alpha, beta }
                }
                _ => Self::Identity,
            },
            [a, b] => {
                let is_silu = |sigmoid: &NodeProto, product: &NodeProto| {
                    sigmoid.op_type == "Sigmoid"
                        && product.op_type == "Mul"
                        && product.input.iter().all(|name| name == tensor || *name == sigmoid.output[0])
                };
                if is_silu(a, b) || is_silu(b, a) { Self::Silu } else { Self::Identity }
            }
            _ => Self::Identity,
        }
    }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}
