//! What the model folder may hold, and how a bad file is refused.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use glassd_inference::{
    Accelerator, Labels, LoadError, Manifest, ModelEntry, ModelStore, Problem, Task, Tensor, embedded, sha256,
};
use glassd_media::Image;
use proptest::prelude::*;
use tract_onnx::pb;

const ONNX: &[u8] = include_bytes!("../models/scene.onnx");

/// The embedded detector's entry, for other bytes.
fn entry(onnx: &[u8]) -> ModelEntry {
    let entry = ModelEntry::parse(include_str!("../models/scene.toml")).unwrap();
    ModelEntry { sha256: sha256(onnx), ..entry }
}

/// Verifies `onnx` under `entry` in a folder of its own.
fn verified(entry: &ModelEntry, onnx: &[u8]) -> Result<(), (String, Problem)> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(&entry.file), onnx).unwrap();
    let store =
        ModelStore::open(Manifest { models: vec![entry.clone()], ..Manifest::default() }, folder.path());
    store.verify(entry).map_err(|error| (error.to_string(), error.problem))
}

/// Changes a model's graph.
fn changed(change: impl Fn(&mut pb::GraphProto)) -> Vec<u8> {
    use tract_onnx::prelude::Framework;
    let mut proto = tract_onnx::onnx().proto_model_for_read(&mut &*ONNX).unwrap();
    change(proto.graph.as_mut().unwrap());
    prost::Message::encode_to_vec(&proto)
}

#[test]
fn a_sound_model_is_accepted() {
    verified(&entry(ONNX), ONNX).unwrap();
}

#[test]
fn a_file_that_is_another_one_is_refused_before_it_is_parsed() {
    let (message, problem) = verified(&entry(ONNX), b"something else").unwrap_err();
    let Problem::Hash { expected, actual } = problem else { panic!("{message}") };
    assert_eq!((expected, actual), (sha256(ONNX), sha256(b"something else")));
    assert!(message.starts_with("model scene (scene.onnx): its SHA-256 is "), "{message}");
}

#[test]
fn a_missing_file_or_name_is_told() {
    let store =
        ModelStore::open(Manifest { models: vec![entry(ONNX)], ..Manifest::default() }, "no-such-folder");
    let message = |name: &str| store.detector(name).unwrap_err().to_string();
    assert_eq!(message("scene"), "model scene (scene.onnx): no such file in no-such-folder");
    assert_eq!(message("other"), "model other (no file): not in the manifest");
}

#[test]
fn a_model_that_does_not_fit_its_entry_is_refused() {
    let check = |from: &str, to: &str, expected: &str| {
        let text = include_str!("../models/scene.toml");
        assert!(text.contains(from), "{from} is not in the entry");
        let entry = ModelEntry::parse(&text.replace(from, to)).unwrap();
        let (message, _) = verified(&entry, ONNX).unwrap_err();
        assert!(message.contains(expected), "{message}");
    };
    check(
        "width = 192",
        "width = 200",
        "its input is F32 1x3x144x192, and the manifest asks for F32 1x3x144x200",
    );
    check("\"nchw\"", "\"nhwc\"", "asks for F32 1x144x192x3");
    check("\"ball\"", "\"ball\", \"rod\"", "it has 5 classes, and 6 labels are given");
}

#[test]
fn a_file_of_labels_is_the_one_that_is_meant_and_has_a_line_for_each_class() {
    let words = "ball\ncube\ncone\nstar\nring\n";
    let verify = |file: &str, sha256: Option<String>| {
        let mut entry = entry(ONNX);
        let Task::Detect { labels, .. } = &mut entry.task else { panic!("a detector") };
        *labels = Labels::File { file: "words.txt".into(), sha256 };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("scene.onnx"), ONNX).unwrap();
        std::fs::write(folder.path().join("words.txt"), file).unwrap();
        let manifest = Manifest { models: vec![entry.clone()], ..Manifest::default() };
        ModelStore::open(manifest, folder.path()).verify(&entry).map_err(|error| error.to_string())
    };
    verify(words, None).unwrap();
    verify(words, Some(sha256(words.as_bytes()))).unwrap();
    let why = verify(words, Some(sha256(b"other"))).unwrap_err();
    assert!(why.contains("its part words.txt: its SHA-256 is "), "{why}");
    let why = verify("ball\ncube\n", None).unwrap_err();
    assert!(why.ends_with("its labels: words.txt has 2 lines, and the model has 5 classes"), "{why}");
}

#[test]
fn weights_outside_the_file_are_refused() {
    let onnx = changed(|graph| {
        let weights = &mut graph.initializer[0];
        weights.data_location = Some(pb::tensor_proto::DataLocation::External as i32);
        weights.external_data =
            vec![pb::StringStringEntryProto { key: "location".into(), value: "../../etc/hostname".into() }];
    });
    let (message, problem) = verified(&entry(&onnx), &onnx).unwrap_err();
    assert!(matches!(problem, Problem::Load(LoadError::ExternalData(_))), "{message}");
    assert!(
        message.ends_with(
            "its weights lie in another file, \"../../etc/hostname\"; put them into the model first"
        ),
        "{message}"
    );
}

#[test]
fn an_unknown_operation_is_told() {
    let onnx = changed(|graph| graph.node[0].op_type = "Frobnicate".into());
    let (message, problem) = verified(&entry(&onnx), &onnx).unwrap_err();
    assert!(matches!(problem, Problem::Load(LoadError::Unusable(_))), "{message}");
}

/// Sentences of a file that cannot run: with the node, and without words of whatever found it out.
#[test]
fn what_does_not_fit_is_told_with_its_node() {
    let told = |change: fn(&mut pb::GraphProto)| {
        let why = Accelerator::Cpu.prepare(&changed(change)).unwrap_err().to_string();
        why.strip_prefix("not a model that can run here: ").unwrap_or(&why).to_owned()
    };
    fn last(graph: &mut pb::GraphProto) -> &mut pb::NodeProto {
        graph.node.last_mut().unwrap()
    }
    let why = told(|graph| last(graph).input.clear());
    assert!(why.starts_with("node \"") && why.ends_with(" takes inputs, and it has none"), "{why}");
    let why = told(|graph| {
        let wide = pb::TensorProto { dims: vec![1, 5, 7, 3], data_type: 1, ..Default::default() };
        let values = pb::TensorProto { name: "wide".into(), float_data: vec![0.0; 105], ..wide };
        graph.initializer.push(values);
        let (output, name) = (graph.output[0].name.clone(), "end".to_owned());
        let input = vec![output, "wide".to_owned()];
        let output = vec!["sum".to_owned()];
        graph.node.push(pb::NodeProto { op_type: "Conv".into(), name, input, output, ..Default::default() });
        graph.output[0].name = "sum".into();
        graph.output[0].r#type = None;
    });
    assert_eq!(why, "node \"end\": Conv does not take 1x16x18x24 and 1x5x7x3");
    assert_eq!(
        Accelerator::Cpu.prepare(&ONNX[..ONNX.len() / 2]).unwrap_err().to_string(),
        "not a model that can run here: it is no ONNX file, or one that was cut off"
    );
    assert!(
        Accelerator::Cpu
            .prepare(&[])
            .unwrap_err()
            .to_string()
            .ends_with("it has no graph, and is no ONNX file")
    );
}

#[test]
fn an_output_that_is_not_what_the_file_says_is_refused() {
    fn dims(graph: &mut pb::GraphProto) -> &mut Vec<pb::tensor_shape_proto::Dimension> {
        let kind = graph.output[0].r#type.as_mut().unwrap().value.as_mut().unwrap();
        let pb::type_proto::Value::TensorType(tensor) = kind;
        &mut tensor.shape.as_mut().unwrap().dim
    }
    use pb::tensor_shape_proto::dimension::Value::{DimParam, DimValue};
    let told = |change: fn(&mut Vec<pb::tensor_shape_proto::Dimension>)| {
        Accelerator::Cpu
            .prepare(&changed(|graph| change(dims(graph))))
            .map(drop)
            .map_err(|why| why.to_string())
    };
    told(|dims| dims[1].value = Some(DimParam("classes".into()))).unwrap();
    told(|dims| dims[1].value = None).unwrap();
    let why = told(|dims| dims[1].value = Some(DimValue(17))).unwrap_err();
    assert!(
        why.contains("it says that its output \"") && why.ends_with("is 1x17x18x24, and computes 1x16x18x24"),
        "{why}"
    );
    let why = told(|dims| drop(dims.pop())).unwrap_err();
    assert!(why.ends_with("is 1x16x18, and computes 1x16x18x24"), "{why}");
}

#[test]
fn weights_outside_the_file_are_refused_within_a_branch_too() {
    let onnx = changed(|graph| {
        let outside = pb::TensorProto {
            data_location: Some(pb::tensor_proto::DataLocation::External as i32),
            external_data: vec![pb::StringStringEntryProto { key: "location".into(), value: "w.bin".into() }],
            ..Default::default()
        };
        let branch = pb::GraphProto { initializer: vec![outside], ..Default::default() };
        let attribute =
            pb::AttributeProto { name: "then_branch".into(), g: Some(branch), ..Default::default() };
        graph.node[0].attribute.push(attribute);
    });
    let why = Accelerator::Cpu.prepare(&onnx).unwrap_err();
    assert_eq!(why, LoadError::ExternalData("w.bin".into()));
}

#[test]
fn a_check_image_that_is_none_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let mut entry = entry(ONNX);
    entry.check.image = Some("sample.jpg".into());
    let store =
        ModelStore::open(Manifest { models: vec![entry.clone()], ..Manifest::default() }, folder.path());
    let message = || store.verify(&entry).unwrap_err().to_string();
    std::fs::write(folder.path().join("scene.onnx"), ONNX).unwrap();
    assert!(message().contains("no such file"), "{}", message());
    std::fs::write(folder.path().join("sample.jpg"), b"GIF89a").unwrap();
    assert_eq!(message(), "model scene (scene.onnx): its check image: not a JPEG");
}

#[test]
fn accelerators_name_themselves() {
    let names: Vec<String> = Accelerator::available().iter().map(Accelerator::to_string).collect();
    assert_eq!(names[0], "cpu");
    assert!(names.iter().all(|name| name.parse::<Accelerator>().is_ok()), "{names:?}");
}

#[test]
fn pictures_of_any_shape_are_taken() {
    let mut detector = embedded().unwrap();
    for (width, height) in [(1, 1), (1, 900), (900, 1), (4096, 3), (144, 192)] {
        let picture = Image::new(width, height, vec![77; (width * height * 3) as usize]).unwrap();
        for detection in detector.detect(&picture).unwrap() {
            assert!(detection.bounds.iter().all(|side| (0.0..=1.0).contains(side)));
        }
    }
}

/// Makes a model of u8 [1, `levels`] → dequantise → softmax → quantise → u8, as quantisers leave classifiers.
fn quantised_softmax(levels: i64) -> Vec<u8> {
    use pb::tensor_proto::DataType;
    let scalar = |name: &str, kind: DataType, raw: Vec<u8>| pb::TensorProto {
        name: name.into(),
        data_type: kind as i32,
        raw_data: raw,
        ..Default::default()
    };
    let tensor = |name: &str| {
        let side = |size| pb::tensor_shape_proto::Dimension {
            value: Some(pb::tensor_shape_proto::dimension::Value::DimValue(size)),
            ..Default::default()
        };
        let shape = pb::TensorShapeProto { dim: vec![side(1), side(levels)] };
        let kind = pb::type_proto::Tensor { elem_type: DataType::Uint8 as i32, shape: Some(shape) };
        let kind =
            pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(kind)), ..Default::default() };
        pb::ValueInfoProto { name: name.into(), r#type: Some(kind), ..Default::default() }
    };
    let node = |op: &str, input: &[&str], output: &str| pb::NodeProto {
        op_type: op.into(),
        input: input.iter().map(|&name| name.into()).collect(),
        output: vec![output.into()],
        ..Default::default()
    };
    let graph = pb::GraphProto {
        name: "softmax".into(),
        node: vec![
            node("DequantizeLinear", &["in", "tenth", "zero"], "logits"),
            node("Softmax", &["logits"], "shares"),
            node("QuantizeLinear", &["shares", "fine", "zero"], "out"),
        ],
        initializer: vec![
            scalar("tenth", DataType::Float, 0.1_f32.to_le_bytes().to_vec()),
            scalar("fine", DataType::Float, (1.0_f32 / 256.0).to_le_bytes().to_vec()),
            scalar("zero", DataType::Uint8, vec![0]),
        ],
        input: vec![tensor("in")],
        output: vec![tensor("out")],
        ..Default::default()
    };
    let opset = pb::OperatorSetIdProto { domain: String::new(), version: 13 };
    let model =
        pb::ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() };
    prost::Message::encode_to_vec(&model)
}

#[test]
fn a_softmax_between_quantisations_is_over_all_classes() {
    let mut session = Accelerator::Cpu.prepare(&quantised_softmax(4)).unwrap().open().unwrap();
    let input = Tensor::from_shape(&[1, 4], &[10_u8, 20, 0, 10]).unwrap();
    let output = session.run([input]).unwrap().remove(0);
    // 256 · e^x / Σ e^x for x = 1, 2, 0, 1.
    assert_eq!(output.as_bytes(), [50, 137, 19, 50]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_bytes_are_an_error_or_a_model(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let mut onnx = ONNX.to_vec();
        for (at, byte) in changes {
            let at = at.index(onnx.len());
            onnx[at] = byte;
        }
        if cut {
            onnx.truncate(end.index(onnx.len()));
        }
        let _ = Accelerator::Cpu.prepare(&onnx);
    }
}

#[test]
fn a_real_model_of_another_task_is_refused() {
    let Some(data) = support::data() else { return };
    let store = support::store(&data, "tasks");
    assert!(store.detector("mobilenet-v2-int8").unwrap_err().to_string().ends_with("it is no detector"));
    assert!(store.classifier("yolox-nano").unwrap_err().to_string().ends_with("it is no classifier"));
}
