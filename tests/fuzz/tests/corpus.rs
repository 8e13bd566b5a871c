//! Every target over its corpus and mutations of it.

use glassd_fuzz::{Campaign, TARGETS, Target, corpus, target};

const SEED: u64 = 1;
const MUTATIONS: usize = 20_000;

/// Runs a target; it must also tell enough outcomes apart for the mutations to have reached the parser.
fn check(name: &str, least_outcomes: usize) {
    check_for(name, least_outcomes, MUTATIONS);
}

fn check_for(name: &str, least_outcomes: usize, mutations: usize) {
    let target = target(name).expect("it is a target");
    let inputs: Vec<_> =
        corpus(target).expect("it has a corpus").into_iter().map(|(_, bytes)| bytes).collect();
    assert!(inputs.len() >= 3, "{name} has a corpus of {}", inputs.len());
    let failed = |failure: glassd_fuzz::Failure| -> ! {
        panic!("{name}, seed {SEED}: {}: {:02x?}", failure.what, failure.input)
    };
    let mut campaign = Campaign::new(target, inputs, SEED).unwrap_or_else(|failure| failed(failure));
    for _ in 0..mutations {
        campaign.step().unwrap_or_else(|failure| failed(failure));
    }
    let outcomes = campaign.outcomes();
    println!("{name}: {outcomes} outcomes, slowest {:?}", campaign.slowest());
    assert!(outcomes >= least_outcomes, "{name}: {outcomes} outcomes");
}

#[test]
fn omi() {
    check("omi", 100);
}

#[test]
fn frame() {
    check("frame", 100);
}

#[test]
fn even() {
    check("even", 50);
}

#[test]
fn omi_storage() {
    check("omi-storage", 20);
}

#[test]
fn open() {
    check("open", 20);
}

#[test]
fn mentra() {
    check("mentra", 20);
}

#[test]
fn capture() {
    check("capture", 10);
}

#[test]
fn wire_cbor() {
    check("wire-cbor", 50);
}

#[test]
fn wire_json() {
    check("wire-json", 20);
}

#[test]
fn answer_text() {
    check("answer-text", 4);
}

#[test]
fn policy_file() {
    check("policy-file", 20);
}

#[test]
fn jpeg() {
    check("jpeg", 20);
}

#[test]
fn onnx() {
    // A model takes a hundred times as long as a message.
    check_for("onnx", 15, MUTATIONS / 20);
}

#[test]
fn tokenizer() {
    check("tokenizer", 15);
}

#[test]
fn every_target_has_its_test() {
    let tested = [
        "omi",
        "frame",
        "even",
        "omi-storage",
        "open",
        "mentra",
        "capture",
        "wire-cbor",
        "wire-json",
        "answer-text",
        "policy-file",
        "jpeg",
        "onnx",
        "tokenizer",
    ];
    assert_eq!(TARGETS.map(|target| target.name), tested);
}

#[test]
fn what_fails_is_found_and_handed_back() {
    let strict = Target {
        name: "strict",
        run: |bytes| {
            assert!(!bytes.contains(&0xFF), "found it");
            0
        },
    };
    let mut campaign = Campaign::new(&strict, vec![vec![0; 100]], SEED).expect("the input has none");
    let failure = (0..1000).find_map(|_| campaign.step().err()).expect("a mutation has it");
    assert!(failure.input.contains(&0xFF));
    assert_eq!(failure.what, "found it");
}
