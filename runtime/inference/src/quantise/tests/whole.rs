//! Whole nets from FP32 to a file that is loaded like any other.

use prost::Message;
use tract_onnx::pb::ModelProto;
use tract_onnx::pb::tensor_proto::DataType;

use super::super::{Choice, Settings, quantise};
use super::net::mixed;
use crate::Accelerator;
use crate::accelerators::floats;

fn ops(model: &ModelProto) -> Vec<&str> {
    model.graph.as_ref().unwrap().node.iter().map(|node| node.op_type.as_str()).collect()
}

#[test]
fn a_net_is_quantised_and_agrees() {
    let net = mixed();
    let (onnx, samples) = (net.model("y"), net.samples(8));
    let mut stages = Vec::new();
    let (file, report) =
        quantise(&onnx, &samples, &Settings::default(), &mut |progress| stages.push(progress.stage)).unwrap();
    assert!(report.agreement.cosine > 0.999, "{report}");
    assert!(report.is_within_budget(), "{report}");
    assert_eq!(report.int8_share, 1.0, "{report}");
    assert!(report.bytes_after < report.bytes_before + 8192);
    stages.dedup();
    assert!(stages.len() >= 4);

    let model = ModelProto::decode(file.as_slice()).unwrap();
    let graph = model.graph.as_ref().unwrap();
    // The functions behind the last weights stay in floats.
    let ops = ops(&model);
    assert_eq!(ops.last(), Some(&"Softmax"));
    assert_eq!(ops[ops.len() - 2], "Gemm");
    let levels = graph.initializer.iter().find(|tensor| tensor.name == "c2.weight_quantized").unwrap();
    assert_eq!((levels.data_type, levels.dims.as_slice()), (DataType::Int8 as i32, &[8, 1, 3, 3][..]));
    let steps = graph.initializer.iter().find(|tensor| tensor.name == "c2.weight_scale").unwrap();
    assert_eq!(steps.dims, [8]);
    let bias = graph.initializer.iter().find(|tensor| tensor.name == "c2.bias_quantized").unwrap();
    assert_eq!(bias.data_type, DataType::Int32 as i32);

    let mut fp32 = Accelerator::Cpu.prepare(&onnx).unwrap().open().unwrap();
    let mut int8 = Accelerator::Cpu.prepare(&file).unwrap().open().unwrap();
    for sample in &samples {
        let expected = fp32.run(sample.clone()).unwrap();
        let actual = int8.run(sample.clone()).unwrap();
        let (expected, actual) = (floats(&expected).unwrap(), floats(&actual).unwrap());
        let far = expected.iter().zip(actual).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(far < 0.05, "{expected:?} became {actual:?}");
    }
    let again = quantise(&file, &samples, &Settings::default(), &mut |_| {});
    assert!(again.unwrap_err().to_string().starts_with("already quantised"));
}

#[test]
fn a_budget_out_of_reach_leaves_the_most_harmful_layers() {
    let net = mixed();
    let settings = Settings { budget_db: 150.0, most_left: 2, ..Settings::default() };
    let (_, report) = quantise(&net.model("y"), &net.samples(4), &settings, &mut |_| {}).unwrap();
    assert!(!report.is_within_budget());
    let left =
        report.layers.iter().filter(|layer| layer.left.as_ref().is_some_and(|why| why.contains("brings")));
    assert!((1..=2).contains(&left.count()), "{report}");
    assert!(report.int8_share < 1.0, "{report}");
}

#[test]
fn what_is_switched_off_is_not_tried() {
    let net = mixed();
    let off = Settings { equalise: Choice::Off, correct_bias: Choice::Off, probes: 0, ..Settings::default() };
    let (_, report) = quantise(&net.model("y"), &net.samples(2), &off, &mut |_| {}).unwrap();
    assert_eq!((report.equalised, report.corrected), (0, 0));
    assert!(report.trials.iter().all(|trial| !trial.what.contains("correction")));
    assert!(report.layers.iter().all(|layer| layer.model_db.is_none()));
}
