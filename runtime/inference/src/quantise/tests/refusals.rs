//! What is refused, and in which words.

use proptest::prelude::*;
use tract_onnx::prelude::Tensor;

use super::super::{Method, QuantiseError, Settings, quantise};
use super::net::{Net, mixed};

fn refusal(net: &Net, output: &str) -> String {
    let samples = net.samples(1);
    let refused = quantise(&net.model(output), &samples, &Settings::default(), &mut |_| {});
    refused.map(|(_, report)| report).unwrap_err().to_string()
}

#[test]
fn bad_models_are_refused_by_node() {
    let conv = || {
        let mut net = Net::new(&[1, 3, 8, 8]);
        net.conv("x", "y", [4, 3], 1);
        net
    };
    let mut unknown = conv();
    unknown.node("Frobnicate", &["y"], "z");
    assert_eq!(refusal(&unknown, "z"), "node \"z\": no operation called Frobnicate is known here");

    let mut foreign = conv();
    foreign.node("Relu", &["y"], "z").domain = "com.example".to_owned();
    assert_eq!(refusal(&foreign, "z"), "node \"z\": no operation called com.example.Relu is known here");

    let mut broken = conv();
    broken.constants[0].raw_data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert_eq!(
        refusal(&broken, "y"),
        "node \"y\": its weights \"y.weight\" hold infinities, or values that are no numbers"
    );

    let mut quantised = conv();
    quantised.node("QuantizeLinear", &["y", "y.bias"], "z");
    assert_eq!(refusal(&quantised, "z"), "already quantised: node \"z\" is a QuantizeLinear");

    let mut dangling = conv();
    dangling.node("Relu", &["nothing"], "z");
    assert_eq!(
        refusal(&dangling, "z"),
        "not an ONNX model: node \"z\" reads \"nothing\", which nothing before it makes"
    );

    let mut lying = conv();
    lying.constants[0].dims = vec![i64::MAX, i64::MAX, 3, 3];
    assert!(refusal(&lying, "y").starts_with("not an ONNX model: tensor \"y.weight\" has the shape ["));

    let mut elsewhere = conv();
    elsewhere.constants[0].data_location = Some(1);
    assert!(refusal(&elsewhere, "y").starts_with("the weights of \"y.weight\" lie in another file"));

    let mut weightless = Net::new(&[1, 3, 8, 8]);
    weightless.node("Relu", &["x"], "y");
    assert_eq!(
        refusal(&weightless, "y"),
        "it holds nothing to quantise: no Conv, Gemm or MatMul with constant weights"
    );

    let mut ancient = conv();
    ancient.opset = 6;
    assert!(refusal(&ancient, "y").contains("opset 6 is too old"));

    let mut wide = conv();
    wide.opset = 11;
    wide.node("Softmax", &["y"], "z");
    assert!(refusal(&wide, "z").starts_with("node \"z\": its Softmax works on several axes"));
}

#[test]
fn samples_that_do_not_fit_are_refused() {
    let net = mixed();
    let onnx = net.model("y");
    let refused = |samples: &[Vec<Tensor>]| {
        quantise(&onnx, samples, &Settings::default(), &mut |_| {}).map(|(_, report)| report).unwrap_err()
    };
    assert_eq!(refused(&[]), QuantiseError::NoSamples);
    let small = Tensor::from_shape(&[1, 3, 2, 2], &[0.0_f32; 12]).unwrap();
    assert_eq!(
        refused(&[vec![small]]).to_string(),
        "sample 0: it is F32 [1, 3, 2, 2], and the model takes FLOAT [1, 3, 16, 16] (0 is open)"
    );
    let mut endless = net.samples(2);
    endless[1] = vec![Tensor::from_shape(&[1, 3, 16, 16], &[f32::INFINITY; 768]).unwrap()];
    assert!(matches!(refused(&endless), QuantiseError::ActivationsNotFinite { index: 1, .. }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the bytes of a file, it is quantised or refused.
    #[test]
    fn no_file_makes_it_panic(at in any::<prop::sample::Index>(), bytes in prop::collection::vec(any::<u8>(), 1..9)) {
        let net = mixed();
        let mut onnx = net.model("y");
        let at = at.index(onnx.len() - bytes.len());
        onnx[at..at + bytes.len()].copy_from_slice(&bytes);
        let settings = Settings { method: Some(Method::MinMax), probes: 0, ..Settings::default() };
        let _ = quantise(&onnx, &net.samples(1), &settings, &mut |_| {});
    }
}
