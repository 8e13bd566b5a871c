//! Against Hugging Face's tokenizers, which nobody here wrote.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/support/peer.rs"]
mod peer;

use serde_json::json;

use super::Tokenizer;

/// What is hard in them: case, accents, scripts, punctuation, long words, nothing at all.
const TEXTS: [&str; 14] = [
    "A man is playing a large flute.",
    "It's  the dog's 42nd café; don't (really) \"wait\"!",
    "Zürich Hauptbahnhof, Gleis 4 → Genève-Aéroport",
    "日本語のテキスト and 中文文字。",
    "Привет, мир! Γειά σου Κόσμε",
    "naïve coöperation e\u{301}te\u{301} Å Ångström ﬁne",
    "tabs\tand\nnew lines\r\n and\u{a0}hard\u{2003}spaces",
    "zero\u{200b}width \u{feff}mark and control\u{7}bell",
    "emoji 👩‍👩‍👧 👍🏽 and €100, £5 ½ ²",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa b",
    "''s '' 'll 'LL I'M we'Ve",
    "İstanbul ΣΊΣΥΦΟΣ straße",
    "",
];

fn same(ours: &Tokenizer, texts: &[String], theirs: &serde_json::Value) {
    let theirs: Vec<Vec<u32>> = serde_json::from_value(theirs.clone()).unwrap();
    assert_eq!(theirs.len(), texts.len());
    for (text, theirs) in texts.iter().zip(theirs) {
        let tokens = ours.encode(text, 10_000);
        assert_eq!(tokens[1..tokens.len() - 1], theirs, "{text:?}");
    }
}

#[test]
fn byte_pairs_are_those_of_clip() {
    let texts: Vec<String> = TEXTS.map(str::to_owned).to_vec();
    let request = json!({ "tokenizer": "clip", "texts": texts });
    let Some(answer) = peer::ask("tokens", "tokenizers open_clip", &request) else { return };
    let ours = Tokenizer::parse(answer["tokenizer"].as_str().unwrap().as_bytes()).unwrap();
    same(&ours, &texts, &answer["tokens"]);
    // Published with CLIP: the marks around "a photo of a dog."
    assert_eq!(ours.encode("a photo of a dog.", 77), [49406, 320, 1125, 539, 320, 1929, 269, 49407]);
    assert_eq!(ours.encode("a photo of a dog.", 4), [49406, 320, 1125, 49407]);
}

#[test]
fn pieces_are_those_of_minilm() {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let data = std::env::var("GLASSD_DATA").unwrap_or_else(|_| beside.to_owned());
    let file = std::path::Path::new(&data).join("text/minilm_tokenizer.json");
    let Ok(described) = std::fs::read(&file) else {
        eprintln!("skipped: no shared data beside the repository and no GLASSD_DATA");
        return;
    };
    let mut texts: Vec<String> = TEXTS.map(str::to_owned).to_vec();
    let pairs = std::fs::read_to_string(file.with_file_name("stsb-en-dev.csv")).unwrap();
    texts.extend(pairs.lines().map(str::to_owned));
    let request = json!({ "tokenizer": file, "texts": texts });
    let Some(answer) = peer::ask("tokens", "tokenizers", &request) else { return };
    same(&Tokenizer::parse(&described).unwrap(), &texts, &answer["tokens"]);
}

#[test]
fn what_is_not_known_is_refused() {
    let check = |json: &str, expected: &str| {
        let problem = Tokenizer::parse(json.as_bytes()).unwrap_err().to_string();
        assert!(problem.contains(expected), "{problem}");
    };
    check("", "EOF");
    check(r#"{"model": {"type": "Unigram", "vocab": []}}"#, "unknown variant `Unigram`");
    let pieces = r#""type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "", "max_input_chars_per_word": 9"#;
    check(&format!(r#"{{"model": {{{pieces}, "vocab": {{}}}}}}"#), "no normalizer");
    let bert = r#""normalizer": {"type": "BertNormalizer"}"#;
    check(&format!(r#"{{{bert}, "model": {{{pieces}, "vocab": {{}}}}}}"#), "unknown token");
    check(&format!(r#"{{{bert}, "model": {{{pieces}, "vocab": {{"?": 0}}}}}}"#), "[CLS] is not");
    check(r#"{"model": {"type": "BPE", "vocab": {}, "merges": []}}"#, "end_of_word_suffix");
    check(
        r#"{"model": {"type": "BPE", "vocab": {}, "merges": ["ab"], "end_of_word_suffix": ""}}"#,
        "not two tokens",
    );
}
