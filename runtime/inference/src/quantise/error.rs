//! Why a model is not quantised.

/// Why a model is not quantised: one sentence that names the node; the caller names the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantiseError {
    /// The bytes are no ONNX model, or one that contradicts itself.
    #[error("not an ONNX model: {0}")]
    Malformed(String),
    /// Weights in another file.
    #[error("the weights of {tensor:?} lie in another file, {location:?}; put them into the model first")]
    ExternalData {
        /// The tensor.
        tensor: String,
        /// Where it says that its values lie.
        location: String,
    },
    /// It holds integer operations or quantisation steps already.
    #[error("already quantised: node {node:?} is a {op}")]
    AlreadyQuantised {
        /// The node.
        node: String,
        /// Its operation.
        op: String,
    },
    /// An operation that nothing here runs.
    #[error("node {node:?}: no operation called {op} is known here")]
    UnknownOp {
        /// The node.
        node: String,
        /// Its operation, with its domain where it has one.
        op: String,
    },
    /// Weights that are no numbers.
    #[error("node {node:?}: its weights {tensor:?} hold infinities, or values that are no numbers")]
    WeightsNotFinite {
        /// The node.
        node: String,
        /// The tensor.
        tensor: String,
    },
    /// A form of an operation that cannot be brought to opset 13, or a graph within the graph.
    #[error("node {node:?}: {why}")]
    Unsupported {
        /// The node.
        node: String,
        /// What stands in the way.
        why: String,
    },
    /// Nothing to calibrate on.
    #[error("no samples to calibrate on")]
    NoSamples,
    /// A sample does not fit the model's inputs.
    #[error("sample {index}: it is {actual}, and the model takes {expected}")]
    Sample {
        /// Its number, from 0.
        index: usize,
        /// Types and shapes of its tensors.
        actual: String,
        /// Types and shapes of the inputs.
        expected: String,
    },
    /// A tensor that was to be quantised is not finite on some sample.
    #[error("tensor {tensor:?}: not finite on sample {index}")]
    ActivationsNotFinite {
        /// The tensor.
        tensor: String,
        /// The sample's number, from 0.
        index: usize,
    },
    /// It does not run here.
    #[error("it does not run here: {0}")]
    Fails(String),
    /// There is no convolution or matrix product with constant weights.
    #[error("it holds nothing to quantise: no Conv, Gemm or MatMul with constant weights")]
    Nothing,
}
