//! LiteRT's C API, against a small library that speaks it (`litert/runtime.c`), compiled here. Skipped where there is no C
//! compiler.
//!
//! Whether the real library computes what it should is its own business; the gate holds its outputs against the processor's.
#![cfg(feature = "litert")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;

use glassd_inference::{
    Accelerator, DatumType, Delegate, InferenceError, LoadError, Signature, Source, Tensor, survey,
};
use prost::Message as _;
use tract_onnx::pb;

const PLAIN: Accelerator = Accelerator::LiteRt { delegate: Delegate::None };
const DELEGATED: Accelerator = Accelerator::LiteRt { delegate: Delegate::External };

/// Runs one of the ignored tests below in a process of its own, whose environment names the libraries.
fn alone(test: &str, variables: &[(&str, &Path)]) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--ignored", "--nocapture"]);
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("1 passed"), "{told}");
}

fn built(folder: &Path, name: &str) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/litert/{name}.c"));
    let library = folder.join(format!("lib{name}.so"));
    let compiler = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    match compiler {
        Ok(status) => {
            assert!(status.success(), "{name}.c does not compile");
            Some(library)
        }
        Err(error) => {
            eprintln!("skipped: no C compiler, cc: {error}");
            None
        }
    }
}

#[test]
fn a_model_runs_with_and_without_a_delegate() {
    let folder = tempfile::tempdir().unwrap();
    let Some(runtime) = built(folder.path(), "runtime") else { return };
    let delegate = built(folder.path(), "delegate").unwrap();
    alone("runs_plainly", &[("GLASSD_LITERT_LIBRARY", &runtime)]);
    alone("is_held_against_the_processor", &[("GLASSD_LITERT_LIBRARY", &runtime)]);
    let both = [("GLASSD_LITERT_LIBRARY", runtime.as_path()), ("GLASSD_LITERT_DELEGATE", &delegate)];
    alone("runs_delegated", &both);
    // A library that is no delegate, and one that is no runtime.
    let wrong = [("GLASSD_LITERT_LIBRARY", runtime.as_path()), ("GLASSD_LITERT_DELEGATE", &runtime)];
    alone("tells_of_a_delegate_that_is_none", &wrong);
    alone("tells_of_a_library_that_is_none", &[("GLASSD_LITERT_LIBRARY", &delegate)]);
}

fn model(factor: u8) -> Vec<u8> {
    let mut bytes = b"\0\0\0\0TFL3".to_vec();
    bytes.push(factor);
    bytes
}

fn input(values: [u8; 4]) -> Tensor {
    Tensor::from_shape(&[1, 4], &values).unwrap()
}

fn ran(accelerator: Accelerator) -> Vec<u8> {
    let prepared = accelerator.prepare(&model(2)).unwrap();
    assert_eq!(prepared.inputs(), [Signature { datum: DatumType::U8, shape: vec![1, 4] }]);
    let outputs = prepared.open().unwrap().run([input([1, 2, 3, 4])]).unwrap();
    outputs[0].as_bytes().to_vec()
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn runs_plainly() {
    assert_eq!(ran(PLAIN), [2, 4, 6, 8]);
    let mut session = PLAIN.prepare(&model(2)).unwrap().open().unwrap();
    assert!(matches!(session.run([input([99, 0, 0, 0])]), Err(InferenceError::Failed(_))));
    assert!(matches!(session.run([]), Err(InferenceError::Input(_))));
    for bad in [&model(255), &model(254), &b"\0\0\0\0TFL3".to_vec(), &b"no model at all".to_vec()] {
        assert!(matches!(PLAIN.prepare(bad), Err(LoadError::Unusable(_))), "{bad:?}");
    }
    let survey = survey();
    let present = survey.present.iter().find(|one| one.accelerator == PLAIN).unwrap();
    assert_eq!(present.version, "test 1");
    let absent = survey.absent.iter().find(|one| one.accelerator == DELEGATED).unwrap();
    assert!(absent.why.contains("GLASSD_LITERT_DELEGATE"), "{}", absent.why);
}

/// Gives four levels back as they are.
fn identity() -> Vec<u8> {
    let side = |side| pb::tensor_shape_proto::Dimension {
        value: Some(pb::tensor_shape_proto::dimension::Value::DimValue(side)),
        ..Default::default()
    };
    let shape = Some(pb::TensorShapeProto { dim: vec![side(1), side(4)] });
    let tensor = pb::type_proto::Tensor { elem_type: pb::tensor_proto::DataType::Uint8 as i32, shape };
    let kind = pb::TypeProto { value: Some(pb::type_proto::Value::TensorType(tensor)), ..Default::default() };
    let value = |name: &str| pb::ValueInfoProto {
        name: name.into(),
        r#type: Some(kind.clone()),
        ..Default::default()
    };
    let node = pb::NodeProto {
        op_type: "Identity".into(),
        input: vec!["x".into()],
        output: vec!["y".into()],
        ..Default::default()
    };
    let graph = pb::GraphProto {
        node: vec![node],
        input: vec![value("x")],
        output: vec![value("y")],
        ..Default::default()
    };
    let opset = pb::OperatorSetIdProto { domain: String::new(), version: 13 };
    let model =
        pb::ModelProto { ir_version: 8, opset_import: vec![opset], graph: Some(graph), ..Default::default() };
    model.encode_to_vec()
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn is_held_against_the_processor() {
    let onnx = identity();
    let placed = |factor, samples: &[Vec<Tensor>]| {
        PLAIN.place(Source { onnx: &onnx, tflite: Some(&model(factor)) }, samples, None).unwrap()
    };
    let sample = [vec![input([1, 2, 3, 40])]];
    // What doubles is not what gives back.
    let wrong = placed(2, &sample);
    assert_eq!(wrong.accelerator(), Accelerator::Cpu);
    let why = wrong.placement().why.clone().unwrap();
    assert!(why.contains("differs from the processor's by up to 40 levels"), "{why}");
    // What fails on the sample does not serve, although it would fall back.
    let failing = placed(1, &[vec![input([99, 0, 0, 0])]]);
    assert_eq!(failing.accelerator(), Accelerator::Cpu);
    assert!(failing.placement().why.is_some());

    let right = placed(1, &sample);
    assert_eq!((right.accelerator(), right.placement().agreement.unwrap().samples), (PLAIN, 1));
    // It fails in the middle of its work: the processor takes over, and says so.
    let mut session = right.open().unwrap();
    for levels in [[5, 6, 7, 8], [99, 6, 7, 8], [9, 9, 9, 9]] {
        let outputs = session.run([input(levels)]).unwrap();
        assert_eq!(outputs[0].as_bytes(), levels);
    }
    let placement = session.placement();
    assert_eq!((placement.asked, placement.serves), (PLAIN, Accelerator::Cpu));
    assert!(placement.why.is_some());
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn runs_delegated() {
    assert_eq!(ran(DELEGATED), [5, 7, 9, 11]);
    assert_eq!(ran(PLAIN), [2, 4, 6, 8]);
    assert!(survey().present.iter().any(|one| one.accelerator == DELEGATED));
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn tells_of_a_delegate_that_is_none() {
    let error = DELEGATED.prepare(&model(2)).unwrap_err();
    assert!(error.to_string().contains("tflite_plugin_create_delegate"), "{error}");
    assert_eq!(ran(PLAIN), [2, 4, 6, 8]);
}

#[test]
#[ignore = "run by the test above, in a process of its own"]
fn tells_of_a_library_that_is_none() {
    let error = PLAIN.prepare(&model(2)).unwrap_err();
    assert!(error.to_string().contains("TfLiteVersion"), "{error}");
}
