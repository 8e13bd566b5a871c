//! Accelerator → prepared model → session.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::prelude::{
    DatumType, Framework, InferenceModelExt, IntoRunnable, Tensor, TractResult, TypedFact,
    TypedRunnableModel, TypedSimpleState,
};
use tract_onnx::tract_hir::infer::{DimFact, Factoid};
use tract_onnx::tract_hir::internal::{TDim, ensure};

use crate::int8::Threads;
use crate::{exact_softmax, int8};

/// Something that runs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Accelerator {
    /// The processor, through tract, on the calling thread alone.
    Cpu,
}

/// Why bytes are not a model that can run here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// Not ONNX, or an operation or shape that the accelerator cannot run.
    #[error("not a model that can run here: {0}")]
    Unusable(String),
    /// Weights in another file: the manifest's hash would not cover them.
    #[error("its weights lie in another file, {0:?}")]
    ExternalData(String),
    /// A tensor is not what the manifest says.
    #[error("its {what} is {actual}, and the manifest asks for {expected}")]
    Mismatch {
        /// "input" or "output".
        what: &'static str,
        /// Type and shape by the manifest.
        expected: String,
        /// Type and shape in the model.
        actual: String,
    },
    /// The manifest gives the model another task.
    #[error("it is no {0}")]
    Task(&'static str),
    /// The labels cannot be read.
    #[error("its labels: {0}")]
    Labels(String),
}

/// Why one run of a prepared model failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the model failed to run: {0}")]
pub struct InferenceError(String);

/// A model compiled for an accelerator: immutable, cheap to clone, shared between threads.
#[derive(Clone, Debug)]
pub struct PreparedModel {
    plan: Arc<TypedRunnableModel>,
    accelerator: Accelerator,
    inputs: Vec<Signature>,
    outputs: Vec<Signature>,
}

/// Type and shape of one tensor of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Type of an element.
    pub datum: DatumType,
    /// Sides, the outermost first.
    pub shape: Vec<usize>,
}

impl Signature {
    /// Refuses anything but exactly one tensor of this type and shape.
    pub(crate) fn expect_only(&self, tensors: &[Self], what: &'static str) -> Result<(), LoadError> {
        if tensors == std::slice::from_ref(self) {
            return Ok(());
        }
        let actual: Vec<String> = tensors.iter().map(Self::to_string).collect();
        Err(LoadError::Mismatch { what, expected: self.to_string(), actual: actual.join(" and ") })
    }
}

impl std::fmt::Display for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sides: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        write!(f, "{:?} {}", self.datum, sides.join("x"))
    }
}

/// The state of one stream through a model.
#[derive(Debug)]
pub struct Session {
    state: TypedSimpleState,
    threads: Option<Threads>,
    is_large: bool,
}

impl Accelerator {
    /// Lists the accelerators of this machine, the preferred one first.
    pub fn available() -> Vec<Self> {
        vec![Self::Cpu]
    }

    /// Returns the name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
        }
    }

    /// Compiles an ONNX model (FP32, or INT8 as QDQ or integer operators); a batch dimension left open
    /// becomes 1.
    pub fn prepare(self, onnx: &[u8]) -> Result<PreparedModel, LoadError> {
        // tract's parser indexes and unwraps on what a hostile file controls.
        let compiled = catch_unwind(AssertUnwindSafe(|| self.compile(onnx)));
        compiled.unwrap_or_else(|_| Err(LoadError::Unusable("the parser gave up on it".into())))
    }

    fn compile(self, onnx: &[u8]) -> Result<PreparedModel, LoadError> {
        let unusable = |error| LoadError::Unusable(format!("{error:#}"));
        let decoded = || tract_onnx::onnx().proto_model_for_read(&mut &*onnx).map_err(unusable);
        let proto = decoded()?;
        if let Some(location) = external_data(&proto) {
            return Err(LoadError::ExternalData(location));
        }
        // What cannot be lowered runs as tract runs it; what tract cannot run either is told in its words.
        let plan = match plan(proto, Form::Lowered) {
            Ok(plan) => plan,
            Err(_) => plan(decoded()?, Form::Plain).map_err(unusable)?,
        };
        bounded(plan.model()).map_err(unusable)?;
        let facts = |facts: TractResult<Vec<Signature>>| facts.map_err(unusable);
        let model = plan.model();
        let inputs = facts((0..model.inputs.len()).map(|at| signature(model.input_fact(at)?)).collect())?;
        let outputs = facts((0..model.outputs.len()).map(|at| signature(model.output_fact(at)?)).collect())?;
        Ok(PreparedModel { plan, accelerator: self, inputs, outputs })
    }
}

/// Multiply-adds of a model from which on a second thread saves time: MobileNetV2's 300 million gain a quarter,
/// 10 million lose half.
const WORTH_THREADS: u64 = 50_000_000;

/// Largest tensor of a model, in values: what lies about its shapes must not take the machine's memory.
const MAX_VALUES: i64 = 1 << 27;

/// Refuses a model with a tensor that no model of a gateway has.
fn bounded(model: &tract_onnx::prelude::TypedModel) -> TractResult<()> {
    for node in &model.nodes {
        for output in &node.outputs {
            let values: TDim = output.fact.shape.iter().product();
            let fits = values.to_i64().map_or(true, |values| (0..=MAX_VALUES).contains(&values));
            ensure!(
                fits,
                "{:?} gives a tensor of {values} values, at most {MAX_VALUES} are taken",
                node.name
            );
        }
    }
    Ok(())
}

/// How a quantised graph is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// With INT8 layers.
    Lowered,
    /// As tract reads it.
    Plain,
}

fn plan(mut proto: tract_onnx::pb::ModelProto, form: Form) -> TractResult<Arc<TypedRunnableModel>> {
    let opset = proto.opset_import.iter().find(|import| import.domain.is_empty());
    let opset = opset.map_or(0, |import| import.version);
    if let Some(graph) = &mut proto.graph {
        int8::spelled_out(graph);
    }
    let mut parsed = tract_onnx::onnx().parse(&proto, None)?;
    set_batch(&mut parsed.model)?;
    let graph = proto.graph.filter(|graph| form == Form::Lowered && int8::is_quantised(graph));
    let model = match graph {
        None => parsed.model,
        Some(mut graph) => {
            // tract has its own copies of the weights by now.
            graph.initializer.clear();
            int8::weights_deferred(&graph, &mut parsed);
            parsed.model.analyse(false)?;
            int8::lowered(&graph, parsed, opset)?
        }
    };
    exact_softmax::spelled_out(model.into_typed()?)?.into_optimized()?.into_runnable()
}

/// A batch dimension that the model leaves open is 1.
fn set_batch(model: &mut tract_onnx::prelude::InferenceModel) -> TractResult<()> {
    for input in 0..model.inputs.len() {
        let mut fact = model.input_fact(input)?.clone();
        let is_open = |side: DimFact| side.concretize().is_none_or(|side| side.to_i64().is_err());
        if fact.shape.dim(0).is_some_and(is_open) && fact.shape.set_dim(0, 1.into()) {
            model.set_input_fact(input, fact)?;
        }
    }
    Ok(())
}

fn signature(fact: &TypedFact) -> TractResult<Signature> {
    let shape = fact.shape.as_concrete().map(<[usize]>::to_vec);
    let shape =
        shape.ok_or_else(|| tract_onnx::tract_hir::internal::anyhow!("open shape {:?}", fact.shape))?;
    Ok(Signature { datum: fact.datum_type, shape })
}

fn external_data(proto: &tract_onnx::pb::ModelProto) -> Option<String> {
    let graph = proto.graph.as_ref()?;
    let outside = graph
        .initializer
        .iter()
        .find(|tensor| tensor.data_location == Some(DataLocation::External as i32))?;
    let location = outside.external_data.iter().find(|pair| pair.key == "location");
    Some(location.map_or_else(String::new, |pair| pair.value.clone()))
}

impl PreparedModel {
    /// Returns what the model was compiled for.
    pub fn accelerator(&self) -> Accelerator {
        self.accelerator
    }

    /// Opens a session: the state of one stream.
    pub fn open(&self) -> Result<Session, InferenceError> {
        let is_large = crate::explain::macs(self.plan.model()) >= WORTH_THREADS;
        Ok(Session { state: self.plan.spawn().map_err(failed)?, threads: None, is_large })
    }

    pub(crate) fn plan(&self) -> &Arc<TypedRunnableModel> {
        &self.plan
    }

    /// Returns type and shape of every input, in order.
    pub fn inputs(&self) -> &[Signature] {
        &self.inputs
    }

    /// Returns type and shape of every output, in order.
    pub fn outputs(&self) -> &[Signature] {
        &self.outputs
    }
}

impl Session {
    /// Divides large layers between threads from now on. A model so small that waking a thread costs more than
    /// the thread saves stays on the calling one.
    pub fn divide_between(&mut self, threads: &Threads) {
        self.threads = self.is_large.then(|| threads.clone());
    }

    /// Runs the model on its inputs, in the shapes, types and order that it was made for.
    pub fn run(&mut self, inputs: impl IntoIterator<Item = Tensor>) -> Result<Vec<Tensor>, InferenceError> {
        use tract_onnx::prelude::IntoTensor;
        let inputs: Vec<Tensor> = inputs.into_iter().collect();
        let Self { state, threads, .. } = self;
        // Values are made on the thread that runs: tract's are not for passing between threads.
        let run = || state.run(inputs.into_iter().map(Into::into).collect()).map_err(failed);
        let outputs = match threads {
            Some(threads) => threads.run(run),
            None => run(),
        }?;
        Ok(outputs.into_iter().map(IntoTensor::into_tensor).collect())
    }
}

/// Returns the values of the only output.
pub(crate) fn floats(outputs: &[Tensor]) -> Result<&[f32], InferenceError> {
    let [output] = outputs else {
        return Err(InferenceError(format!("{} outputs instead of 1", outputs.len())));
    };
    output.try_as_plain_ram().and_then(|plain| plain.as_slice()).map_err(failed)
}

pub(crate) fn failed(error: impl std::fmt::Display) -> InferenceError {
    InferenceError(format!("{error:#}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    /// Graphs that hold every form which is lowered; `make_onnx.py` beside them tells what is in them.
    fn graphs() -> Vec<(String, Vec<u8>)> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/onnx");
        let mut graphs: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap())
            })
            .collect();
        graphs.sort();
        assert!(graphs.len() >= 5);
        graphs
    }

    fn decoded(onnx: &[u8]) -> tract_onnx::pb::ModelProto {
        tract_onnx::onnx().proto_model_for_read(&mut &*onnx).unwrap()
    }

    fn ran(plan: &Arc<TypedRunnableModel>, seed: usize) -> Vec<f32> {
        let shape = signature(plan.model().input_fact(0).unwrap()).unwrap().shape;
        let wave = |at: usize| ((at * 7919 + seed * 104_729) % 1000) as f32 / 200.0 - 2.5;
        let values: Vec<f32> = (0..shape.iter().product()).map(wave).collect();
        let input = Tensor::from_shape(&shape, &values).unwrap();
        let output = plan.spawn().unwrap().run([input.into()].into_iter().collect()).unwrap().remove(0);
        output.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
    }

    #[test]
    fn what_is_lowered_computes_what_tract_computes() {
        for (name, onnx) in graphs() {
            let lowered =
                plan(decoded(&onnx), Form::Lowered).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            let plain = plan(decoded(&onnx), Form::Plain).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            let (mut same, mut all) = (0, 0);
            for seed in 0..20 {
                let (ours, theirs) = (ran(&lowered, seed), ran(&plain, seed));
                for (ours, theirs) in ours.iter().zip(&theirs) {
                    // Two levels of 0.05 at most, behind an exponential in places: where a sum lies half-way, its
                    // order decides.
                    let apart = (ours - theirs).abs();
                    assert!(apart <= 0.11 * theirs.abs().max(1.0), "{name}, seed {seed}: {ours} {theirs}");
                    same += usize::from(apart <= 1e-4 * theirs.abs() + 1e-6);
                    all += 1;
                }
            }
            // One level of a logit changes all shares that are made of it.
            assert!(same * 5 >= all * 3, "{name}: {same} of {all} are the same");
        }
    }

    #[test]
    fn all_multiply_adds_are_lowered() {
        for (name, onnx) in graphs() {
            let nodes = Accelerator::Cpu.prepare(&onnx).unwrap().explain(Duration::ZERO).unwrap();
            let (int8, other): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.is_int8);
            assert!(int8.iter().map(|node| node.macs).sum::<u64>() > 0, "{name}");
            let left: Vec<_> =
                other.iter().filter(|node| node.macs > 0 && node.operation.contains("Mat")).collect();
            assert!(left.is_empty(), "{name}: {left:?}");
        }
    }
}
