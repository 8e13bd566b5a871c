//! The processor: INT8 layers of our own and whatever tract runs.

use std::sync::Arc;

use tract_onnx::data_resolver::MmapDataResolver;
use tract_onnx::model::ParseResult;
use tract_onnx::pb::tensor_proto::DataLocation;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    GraphProto, ModelProto, TensorProto, TensorShapeProto, TypeProto, ValueInfoProto, type_proto,
};
use tract_onnx::prelude::{
    InferenceFact, InferenceModelExt, IntoRunnable, Tensor, TractError, TractResult, TypedFact,
    TypedRunnableModel,
};
use tract_onnx::tensor::load_tensor;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_hir::infer::{DimFact, Factoid};
use tract_onnx::tract_hir::internal::{ensure, format_err};

use super::open_sides::open_inputs;
use super::{Accelerator, Compiled, LoadError, PreparedModel, Signature};
use crate::soundness::{self, Declared};
use crate::{exact_softmax, int8};

/// Compiles an ONNX model: lowered to INT8 layers where it is quantised, else as tract reads it. Shapes of the
/// inputs, if there are any, settle what the model leaves open. `decoded` gives the model, a second time where the
/// first way fails.
pub(super) fn compiled<E: From<LoadError>>(
    decoded: impl Fn() -> Result<ModelProto, E>,
    shapes: &[Vec<usize>],
) -> Result<PreparedModel, E> {
    let unusable = |error| LoadError::Unusable(soundness::on_a_line(&format!("{error:#}")));
    let proto = decoded()?;
    if let Some(location) = proto.graph.as_ref().and_then(external_data) {
        return Err(LoadError::ExternalData(location).into());
    }
    soundness::check_opset(&proto).map_err(LoadError::Unusable)?;
    let mut declared = proto.graph.as_ref().map(soundness::declared).unwrap_or_default();
    let open = proto.graph.as_ref().filter(|_| shapes.is_empty()).map(open_inputs).unwrap_or_default();
    // Some graphs settle by themselves what their inputs leave open; what is told of the others is that.
    let unusable = |error: TractError| match error.downcast_ref() {
        Some(Unsound(why)) => LoadError::Unusable(why.clone()),
        None if open.is_empty() => unusable(error),
        None => LoadError::OpenSides(open.clone()),
    };
    // What cannot be lowered runs as tract runs it; what tract cannot run either is told in its words.
    let plan = match plan(proto, Form::Lowered, shapes) {
        Ok(plan) => plan,
        Err(_) => plan(decoded()?, Form::Plain, shapes).map_err(unusable)?,
    };
    bounded(plan.model()).map_err(unusable)?;
    let facts = |facts: TractResult<Vec<Signature>>| facts.map_err(unusable);
    let model = plan.model();
    let inputs = facts((0..model.inputs.len()).map(|at| signature(model.input_fact(at)?)).collect())?;
    let outputs = facts((0..model.outputs.len()).map(|at| signature(model.output_fact(at)?)).collect())?;
    if !shapes.is_empty() {
        // They may make others of the outputs than the file says.
        declared.iter_mut().for_each(Declared::forget_sides);
    }
    declared.iter().zip(&outputs).try_for_each(|(told, is)| told.check(is)).map_err(LoadError::Unusable)?;
    Ok(PreparedModel::new(Accelerator::Cpu, Compiled::Cpu(plan), inputs, outputs))
}

/// Refuses a model with a tensor that no model of a gateway has.
fn bounded(model: &tract_onnx::prelude::TypedModel) -> TractResult<()> {
    for node in &model.nodes {
        for output in &node.outputs {
            let known = output.fact.shape.iter().filter_map(|side| side.to_i64().ok());
            ensure!(
                soundness::values(known).is_some(),
                "{:?} gives a tensor of the sides {:?}, at most {} values are taken",
                soundness::shortened(&node.name),
                output.fact.shape,
                soundness::MAX_VALUES
            );
        }
    }
    Ok(())
}

/// What the file says is wrong, whatever shapes it is compiled for.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unsound(String);

/// How a quantised graph is compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// With INT8 layers.
    Lowered,
    /// As tract reads it.
    Plain,
}

fn plan(mut proto: ModelProto, form: Form, shapes: &[Vec<usize>]) -> TractResult<Arc<TypedRunnableModel>> {
    let opset = proto.opset_import.iter().find(|import| import.domain.is_empty());
    let opset = opset.map_or(0, |import| import.version);
    let graph = proto.graph.as_mut().ok_or_else(|| format_err!("it has no graph, and is no ONNX file"))?;
    int8::spelled_out(graph, opset);
    let sound = soundness::check(graph).and_then(|()| soundness::check_operations(graph));
    sound.map_err(Unsound)?;
    if !shapes.is_empty() {
        // What it says of tensors within names open sides, which the shapes settle.
        graph.value_info.clear();
        graph.output.iter_mut().for_each(|output| output.r#type = None);
    }
    let large = large_constants(graph)?;
    let parsed = tract_onnx::onnx().parse(&proto, None);
    let mut graph = proto.graph.unwrap_or_default();
    let mut parsed = parsed.map_err(|error| format_err!(soundness::told(&error, &graph, |_| None)))?;
    put_back(&mut parsed, large)?;
    set_shapes(&mut parsed.model, shapes)?;
    set_batch(&mut parsed.model)?;
    let is_lowered = form == Form::Lowered && int8::is_quantised(&graph);
    if is_lowered {
        int8::weights_deferred(&graph, &mut parsed);
    }
    let analysed = parsed.model.analyse(false);
    let shape = |name: &str| known_shape(&parsed, name);
    soundness::check_shapes(&graph, shape).map_err(Unsound)?;
    analysed.map_err(|error| format_err!(soundness::told(&error, &graph, shape)))?;
    let model = if is_lowered { int8::lowered(&graph, parsed, opset) } else { Ok(parsed.model) };
    // From here on only names are needed of it.
    graph.initializer.clear();
    let compiled = model
        .and_then(|model| exact_softmax::spelled_out(model.into_typed()?)?.into_optimized()?.into_runnable());
    compiled.map_err(|error| format_err!(soundness::told(&error, &graph, |_| None)))
}

/// Returns what is known of a tensor's shape.
fn known_shape(parsed: &ParseResult, name: &str) -> soundness::Shape {
    let fact = parsed.model.outlet_fact(*parsed.outlets_by_name.get(name)?).ok()?;
    fact.shape.rank().concretize()?;
    let side = |side: DimFact| side.concretize()?.to_i64().ok();
    Some(fact.shape.dims().map(|fact| side(fact.clone())).collect())
}

/// Settles the sides that the model leaves open; what it fixes itself must be the same.
fn set_shapes(model: &mut tract_onnx::prelude::InferenceModel, shapes: &[Vec<usize>]) -> TractResult<()> {
    ensure!(
        shapes.is_empty() || shapes.len() == model.inputs.len(),
        "it takes {} inputs, and {} are given",
        model.inputs.len(),
        shapes.len()
    );
    for (input, shape) in shapes.iter().enumerate() {
        let fact = model.input_fact(input)?.clone();
        let is_fixed = |(at, &side): (usize, &usize)| {
            let fixed = fact.shape.dim(at).and_then(|fixed| fixed.concretize()?.to_i64().ok());
            fixed.is_some_and(|fixed| fixed != side as i64)
        };
        let is_rank = fact.shape.rank().concretize().is_none_or(|rank| rank == shape.len() as i64);
        ensure!(
            is_rank && !shape.iter().enumerate().any(is_fixed),
            "its input {input} has the shape {:?}, which {shape:?} does not fit",
            fact.shape
        );
        let datum = fact.datum_type.concretize();
        let datum = datum.ok_or_else(|| format_err!("its input {input} has no type"))?;
        model.set_input_fact(input, InferenceFact::dt_shape(datum, shape))?;
    }
    Ok(())
}

/// Bytes from which on a constant is worth the detour of [`large_constants`].
const LARGE: usize = 1 << 14;

/// Takes the large constants out of a graph, each given up as soon as it is read, and leaves inputs in their
/// places: tract would read all of them before any is given up, and weights would be in memory twice.
fn large_constants(graph: &mut GraphProto) -> TractResult<Vec<(String, Tensor)>> {
    let mut large = Vec::new();
    for mut constant in std::mem::take(&mut graph.initializer) {
        if constant.raw_data.len() < LARGE || graph.input.iter().any(|input| input.name == constant.name) {
            graph.initializer.push(constant);
            continue;
        }
        let name = std::mem::take(&mut constant.name);
        let dims = constant.dims.iter().map(|&side| Dimension {
            denotation: String::new(),
            value: Some(dimension::Value::DimValue(side)),
        });
        let shape = Some(TensorShapeProto { dim: dims.collect() });
        let datum = type_proto::Tensor { elem_type: constant.data_type, shape };
        let datum =
            TypeProto { denotation: String::new(), value: Some(type_proto::Value::TensorType(datum)) };
        graph.input.push(ValueInfoProto {
            name: name.clone(),
            r#type: Some(datum),
            doc_string: String::new(),
        });
        let tensor = load_tensor(&MmapDataResolver, &constant, None)
            .map_err(|error| format_err!("the constant {name:?}: {error:#}"))?;
        large.push((name, tensor));
    }
    Ok(large)
}

/// Makes constants of the inputs that [`large_constants`] left.
fn put_back(parsed: &mut ParseResult, large: Vec<(String, Tensor)>) -> TractResult<()> {
    for (name, tensor) in large {
        let outlet = parsed.outlets_by_name[&name];
        let tensor = Arc::new(tensor);
        parsed.model.set_outlet_fact(outlet, InferenceFact::try_from(&tensor)?)?;
        parsed.model.nodes[outlet.node].op = Box::new(Const::new(tensor)?);
        parsed.model.inputs.retain(|input| *input != outlet);
    }
    Ok(())
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
    let shape = shape.ok_or_else(|| format_err!("open shape {:?}", fact.shape))?;
    Ok(Signature { datum: fact.datum_type, shape })
}

/// Where a graph, or one within its nodes, keeps weights outside the file.
fn external_data(graph: &GraphProto) -> Option<String> {
    let attributes = || graph.node.iter().flat_map(|node| &node.attribute);
    let within = attributes().filter_map(|attribute| attribute.t.as_ref());
    let is_outside = |tensor: &&TensorProto| tensor.data_location == Some(DataLocation::External as i32);
    if let Some(outside) = graph.initializer.iter().chain(within).find(is_outside) {
        let location = outside.external_data.iter().find(|pair| pair.key == "location");
        return Some(location.map_or_else(String::new, |pair| pair.value.clone()));
    }
    let graphs = attributes().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
    graphs.into_iter().find_map(external_data)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use prost::Message as _;

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
        ModelProto::decode(onnx).unwrap()
    }

    fn ran(plan: &Arc<TypedRunnableModel>, seed: usize) -> Vec<f32> {
        let shape = signature(plan.model().input_fact(0).unwrap()).unwrap().shape;
        ran_on(plan, &shape, &wave(shape.iter().product(), seed))
    }

    /// Values that do not lie half-way between two levels: tract multiplies with an inverse, ONNX and we divide.
    fn wave(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|at| ((at * 7919 + seed * 104_729) % 1000) as f32 / 199.7 - 2.5).collect()
    }

    fn ran_on(plan: &Arc<TypedRunnableModel>, shape: &[usize], values: &[f32]) -> Vec<f32> {
        let input = Tensor::from_shape(shape, values).unwrap();
        let output = plan.spawn().unwrap().run([input.into()].into_iter().collect()).unwrap().remove(0);
        output.try_as_plain_ram().unwrap().as_slice::<f32>().unwrap().to_vec()
    }

    /// Of a batch each picture is computed as if it were alone, on layers of INT8 too.
    #[test]
    fn pictures_of_a_batch_are_on_their_own() {
        const BATCH: usize = 3;
        for (name, onnx) in graphs().into_iter().filter(|(name, _)| name.starts_with("pictures")) {
            let alone = plan(decoded(&onnx), Form::Lowered, &[]).unwrap();
            let mut shape = signature(alone.model().input_fact(0).unwrap()).unwrap().shape;
            let picture: usize = shape.iter().product();
            let pictures = wave(BATCH * picture, 5);
            let expected: Vec<f32> =
                pictures.chunks_exact(picture).flat_map(|one| ran_on(&alone, &shape, one)).collect();

            let mut batched = decoded(&onnx);
            opened(batched.graph.as_mut().unwrap());
            shape[0] = BATCH;
            let together = plan(batched, Form::Lowered, std::slice::from_ref(&shape)).unwrap();
            let int8 = |plan: &TypedRunnableModel| {
                let is_ours = |name: &str| name.starts_with("Int8Conv") || name.contains("Pool");
                plan.model().nodes().iter().filter(|node| is_ours(&node.op().name())).count()
            };
            assert_eq!(int8(&together), int8(&alone), "{name}");
            assert_eq!(ran_on(&together, &shape, &pictures), expected, "{name}");
        }
    }

    /// Leaves the number of pictures open.
    fn opened(graph: &mut GraphProto) {
        let Some(type_proto::Value::TensorType(tensor)) =
            &mut graph.input[0].r#type.as_mut().unwrap().value.as_mut()
        else {
            panic!("the input is no tensor");
        };
        tensor.shape.as_mut().unwrap().dim[0].value = None;
    }

    #[test]
    fn what_is_lowered_computes_what_tract_computes() {
        for (name, onnx) in graphs() {
            let lowered =
                plan(decoded(&onnx), Form::Lowered, &[]).unwrap_or_else(|error| panic!("{name}: {error:#}"));
            let plain =
                plan(decoded(&onnx), Form::Plain, &[]).unwrap_or_else(|error| panic!("{name}: {error:#}"));
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

    /// However exporters spell them. One activation's numbers are wanted without it too and stay a layer by itself, one
    /// product with a sigmoid is no activation.
    #[test]
    fn normalisations_and_activations_are_layers() {
        for (name, onnx) in graphs().into_iter().filter(|(name, _)| name.starts_with("transformer")) {
            let plan = plan(decoded(&onnx), Form::Lowered, &[]).unwrap();
            let names: Vec<_> =
                plan.model().nodes().iter().map(|node| node.op().name().into_owned()).collect();
            let count = |name: &str| names.iter().filter(|other| *other == name).count();
            assert_eq!(
                [count("LayerNormF32"), count("ActivationF32"), count("Sigmoid")],
                [2, 1, 1],
                "{name}"
            );
            let left = names
                .iter()
                .find(|name| name.contains("Erf") || name.contains("Gelu") || name.contains("Reduce"));
            assert_eq!(left, None, "{name}");
        }
    }

    #[test]
    fn pools_and_shares_are_layers() {
        for (name, layers, left) in [
            ("pictures-pools", ["Int8MaxPool"; 2], "OptMaxPool"),
            ("shares", ["SoftmaxF32", "MoveAxis"], "Softmax"),
        ] {
            let onnx = graphs().into_iter().find(|(graph, _)| graph == name).unwrap().1;
            let plan = plan(decoded(&onnx), Form::Lowered, &[]).unwrap();
            let names: Vec<_> =
                plan.model().nodes().iter().map(|node| node.op().name().into_owned()).collect();
            let ours: Vec<_> = names.iter().filter(|name| layers.contains(&name.as_str())).collect();
            assert_eq!(ours, layers.iter().collect::<Vec<_>>(), "{names:?}");
            assert!(!names.iter().any(|name| name == left), "{names:?}");
        }
    }

    #[test]
    fn all_multiply_adds_are_lowered() {
        for (name, onnx) in graphs() {
            let nodes = Accelerator::Cpu.prepare(&onnx).unwrap().explain(Duration::ZERO).unwrap();
            let (int8, other): (Vec<_>, Vec<_>) = nodes.iter().partition(|node| node.is_int8);
            assert!(int8.iter().map(|node| node.macs).sum::<u64>() > 0, "{name}");
            // Products of two activations are f32 layers of our own.
            let is_left = |operation: &str| operation.contains("Mat") && operation != "MatMulF32";
            let left: Vec<_> =
                other.iter().filter(|node| node.macs > 0 && is_left(&node.operation)).collect();
            assert!(left.is_empty(), "{name}: {left:?}");
        }
    }
}
