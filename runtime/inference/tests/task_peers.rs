//! Tasks against implementations that nobody here wrote. Skipped where Python has not their packages.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/peer.rs"]
mod peer;

use glassd_inference::{Detector, ModelEntry, ZeroShot, ZeroShotModels, sha256};
use glassd_media::Image;
use serde_json::json;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

/// Reproducible numbers, from -3 to 3: Knuth's linear congruential generator.
fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1_u64 << 24) as f32 * 6.0 - 3.0
    };
    (0..count).map(|_| next()).collect()
}

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> pb::TensorProto {
    pb::TensorProto {
        name: name.to_owned(),
        dims: shape.iter().map(|&side| side as i64).collect(),
        data_type: DataType::Float as i32,
        float_data: values.to_vec(),
        ..Default::default()
    }
}

fn node(op: &str, inputs: &[&str], output: &str) -> pb::NodeProto {
    pb::NodeProto {
        op_type: op.to_owned(),
        input: inputs.iter().map(|&name| name.to_owned()).collect(),
        output: vec![output.to_owned()],
        ..Default::default()
    }
}

fn value(name: &str, shape: &[usize]) -> pb::ValueInfoProto {
    use pb::tensor_shape_proto::{Dimension, dimension};
    let side = |&side: &usize| Dimension {
        value: Some(dimension::Value::DimValue(side as i64)),
        ..Default::default()
    };
    let shape = pb::TensorShapeProto { dim: shape.iter().map(side).collect() };
    let tensor = pb::type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    let kind = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    pb::ValueInfoProto { name: name.to_owned(), r#type: Some(kind), ..Default::default() }
}

/// A model that answers every picture with the same outputs.
fn answering(size: [usize; 2], outputs: &[(Vec<usize>, Vec<f32>)]) -> Vec<u8> {
    let mut sum = node("ReduceSum", &["image"], "sum");
    sum.attribute.push(pb::AttributeProto {
        name: "keepdims".into(),
        r#type: pb::attribute_proto::AttributeType::Int as i32,
        i: 0,
        ..Default::default()
    });
    let mut graph = pb::GraphProto {
        name: "answering".into(),
        node: vec![sum, node("Mul", &["sum", "zero"], "nothing")],
        initializer: vec![tensor("zero", &[], &[0.0])],
        input: vec![value("image", &[1, 3, size[1], size[0]])],
        ..Default::default()
    };
    for (at, (shape, values)) in outputs.iter().enumerate() {
        let (constant, output) = (format!("constant{at}"), format!("output{at}"));
        graph.node.push(node("Add", &[&constant, "nothing"], &output));
        graph.initializer.push(tensor(&constant, shape, values));
        graph.output.push(value(&output, shape));
    }
    let opset = pb::OperatorSetIdProto { domain: String::new(), version: 13 };
    let model =
        pb::ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() };
    prost::Message::encode_to_vec(&model)
}

fn entry(task: &str, [width, height]: [usize; 2], onnx: &[u8]) -> ModelEntry {
    let text = format!(
        r#"name = "peer"
file = "peer.onnx"
sha256 = "{}"
licence = "MIT"
source = "a test"
task = {task}
input = {{ width = {width}, height = {height}, layout = "nchw", type = "f32", order = "rgb", fit = "stretch", scale = 0.003921569 }}
thresholds = {{ floor = 0.3, decision = 0.5, overlap = 1.0 }}"#,
        sha256(onnx)
    );
    ModelEntry::parse(&text).unwrap()
}

#[test]
fn ssd_and_nanodet_outputs_are_read_as_published() {
    let labels = 5;
    let words: Vec<String> = (0..labels).map(|label| format!("label {label}")).collect();
    let cases = [
        ("nanodet", [96, 64], vec![vec![1, 12 * 8 + 6 * 4 + 3 * 2 + 2, labels + 32]]),
        ("ssd", [96, 64], vec![vec![1, 24 * 3 + 6 * 6 + 2 * 6 + 18, 4], vec![1, 138, labels + 1]]),
    ];
    for (seed, (head, size, shapes)) in (1..).zip(cases) {
        let outputs: Vec<(Vec<usize>, Vec<f32>)> =
            shapes.into_iter().map(|shape| (shape.clone(), numbers(seed, shape.iter().product()))).collect();
        let onnx = answering(size, &outputs);
        let task = format!(r#"{{ kind = "detect", head = "{head}", classes = "all", labels = {words:?} }}"#);
        let mut detector = Detector::from_bytes(&entry(&task, size, &onnx), &onnx).unwrap();
        let image = Image::from_fn(size[0] as u32, size[1] as u32, |_, _| [90, 90, 90]).unwrap();
        let ours = detector.detect(&image).unwrap();
        let values: Vec<&Vec<f32>> = outputs.iter().map(|(_, values)| values).collect();
        let request = json!({
            "head": head, "width": size[0], "height": size[1], "labels": labels, "floor": 0.3, "outputs": values,
        });
        let Some(answer) = peer::ask("heads", "numpy", &request) else { return };
        let theirs = answer["found"].as_array().unwrap();
        let seen = |it: &serde_json::Value, at: usize| it[at].as_f64().unwrap() as f32;
        // What lies wholly outside the picture is no detection of ours.
        let visible: Vec<_> =
            theirs.iter().filter(|it| seen(it, 2) < seen(it, 4) && seen(it, 3) < seen(it, 5)).collect();
        println!("{head}: {} boxes", visible.len());
        assert!(visible.len() > 100);
        assert_eq!(ours.len(), visible.len(), "{head}");
        for it in visible {
            let is_it = |found: &&glassd_inference::Detection| {
                found.label as u64 == it[0].as_u64().unwrap()
                    && (found.score - seen(it, 1)).abs() < 1e-5
                    && (0..4).all(|at| (found.bounds[at] - seen(it, at + 2)).abs() < 1e-4)
            };
            assert_eq!(ours.iter().filter(is_it).count(), 1, "{head}: {it}");
        }
    }
}

#[test]
fn a_small_clip_names_as_onnxruntime_says() {
    let folder = tempfile::tempdir().unwrap();
    let labels = ["dog", "a red bus", "Wearer's glasses", "42 cafés"];
    let prompts = ["a photo of a {}.", "{} in the rain"];
    let colour = [200, 40, 90];
    let request = json!({
        "seed": 7, "folder": folder.path(), "labels": labels, "prompts": prompts, "length": 16, "scale": 5.0,
        "colour": colour,
    });
    let Some(answer) = peer::ask("clip", "onnx onnxruntime tokenizers open_clip", &request) else { return };
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let (image, text, tokenizer) = (read("image.onnx"), read("text.onnx"), read("tokenizer.json"));
    let part = |bytes: &[u8]| format!(r#"{{ file = "x", sha256 = "{}" }}"#, sha256(bytes));
    let task = format!(
        r#"{{ kind = "zero-shot", text = {}, tokenizer = {}, tokens = 16, scale = 5.0, prompts = {prompts:?} }}"#,
        part(&text),
        part(&tokenizer)
    );
    let models = ZeroShotModels { image: &image, text: &text, tokenizer: &tokenizer };
    let mut classifier = ZeroShot::from_bytes(&entry(&task, [32, 32], &image), models).unwrap();
    let picture = Image::from_fn(32, 32, |_, _| colour).unwrap();
    let theirs: Vec<f32> = serde_json::from_value(answer["probabilities"].clone()).unwrap();
    // The second time the labels' meanings are known.
    for _ in 0..2 {
        let ours = classifier.classify(&picture, &labels).unwrap();
        println!("{ours:.4?} and {theirs:.4?}");
        assert!(ours.iter().zip(&theirs).all(|(a, b)| (a - b).abs() < 1e-4), "{ours:?} {theirs:?}");
    }
    assert!(theirs.iter().any(|share| (share - 0.25).abs() > 0.02), "the labels do not differ");
    assert!(classifier.classify(&picture, &[]).unwrap().is_empty());
}
