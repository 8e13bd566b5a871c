//! The messages to and from the cloud, and the text to the glasses: round trips, and foreign bytes.

use glassd_core::ids::QueryId;
use glassd_core::link::Characteristic;
use glassd_core::link::answer_text::{self, Kind, MAX_TEXT};
use glassd_core::wire::{self, AnswerMessage, DecodeError, Encoding, Outcome, QueryMessage};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

fn config(seed: u64) -> ProptestConfig {
    ProptestConfig { rng_seed: RngSeed::Fixed(seed), failure_persistence: None, ..ProptestConfig::default() }
}

fn text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 0..200).prop_map(String::from_iter)
}

fn encoding() -> impl Strategy<Value = Encoding> {
    proptest::sample::select(vec![Encoding::Cbor, Encoding::Json])
}

prop_compose! {
    fn query()(query: u64, glasses in option::of("[a-z0-9_-]{1,32}"), text in text(), language in text(),
               image in option::of(vec(any::<u8>(), 0..2000)), hint in option::of(text()), asked_at_ms: u64)
        -> QueryMessage {
        let glasses = glasses.map(|name| name.parse().expect("the pattern gives legal names"));
        QueryMessage { version: wire::VERSION, query: QueryId(query), glasses, text, language, image, hint, asked_at_ms }
    }
}

prop_compose! {
    fn answer()(query: u64, failed: bool, text in text(), retry: bool, model in text()) -> AnswerMessage {
        let outcome = if failed { Outcome::Failed } else { Outcome::Answered };
        AnswerMessage { version: wire::VERSION, query: QueryId(query), outcome, text, retry, model }
    }
}

proptest! {
    #![proptest_config(config(21))]

    #[test]
    fn a_query_comes_out_as_it_went_in(message in query(), encoding in encoding()) {
        let bytes = message.encode(encoding);
        prop_assert_eq!(QueryMessage::decode(&bytes, encoding).expect("our own message"), message);
    }

    #[test]
    fn an_answer_comes_out_as_it_went_in(message in answer(), encoding in encoding()) {
        let bytes = message.encode(encoding);
        prop_assert_eq!(AnswerMessage::decode(&bytes, encoding).expect("our own message"), message);
    }

    #[test]
    fn any_bytes_are_a_message_or_an_error(bytes in vec(any::<u8>(), 0..500), encoding in encoding()) {
        let _ = QueryMessage::decode(&bytes, encoding);
        let _ = AnswerMessage::decode(&bytes, encoding);
    }

    #[test]
    fn a_damaged_message_is_a_message_or_an_error(
        message in query(), encoding in encoding(), damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        kept in any::<proptest::sample::Index>(),
    ) {
        let mut bytes = message.encode(encoding);
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = QueryMessage::decode(&bytes, encoding);
        let _ = AnswerMessage::decode(&bytes, encoding);
        bytes.truncate(kept.index(bytes.len()));
        let _ = QueryMessage::decode(&bytes, encoding);
    }

    #[test]
    fn a_text_for_the_glasses_comes_out_as_it_went_in(query: u64, answer: bool, text in text()) {
        let kind = if answer { Kind::Answer } else { Kind::Notice };
        let write = answer_text::encode(kind, QueryId(query), &text);
        prop_assert_eq!(write.characteristic, Characteristic::AnswerText);
        prop_assert!(write.value.len() <= 512);
        let (kind_read, query_read, text_read) = answer_text::decode(&write.value).expect("our own text");
        prop_assert_eq!((kind_read, query_read), (kind, QueryId(query)));
        // Cut between characters, and no shorter than needed.
        prop_assert!(text.starts_with(text_read));
        prop_assert!(text_read.len() == text.len() || text_read.len() > MAX_TEXT - 4);
    }

    #[test]
    fn any_bytes_are_a_text_for_the_glasses_or_none(bytes in vec(any::<u8>(), 0..600)) {
        if let Some((kind, query, text)) = answer_text::decode(&bytes) {
            prop_assert_eq!(answer_text::encode(kind, query, text).value, bytes);
        }
    }
}

/// RFC 8949 by hand: if this fails do not change the test, workers of other versions read these bytes.
#[test]
fn query_bytes() {
    let message = QueryMessage {
        version: 1,
        query: QueryId(0x0123_4567_89AB_CDEF),
        glasses: None,
        text: "hi".to_owned(),
        language: "en".to_owned(),
        image: Some(vec![0xFF, 0xD8]),
        hint: None,
        asked_at_ms: 5,
    };
    let cbor = [
        b"\xA6\x67version\x01\x65query\x70".as_slice(),
        b"0123456789abcdef",
        b"\x64text\x62hi\x68language\x62en\x65image\x42\xFF\xD8\x6Basked_at_ms\x05",
    ]
    .concat();
    assert_eq!(message.encode(Encoding::Cbor), cbor);
    let json = r#"{"version":1,"query":"0123456789abcdef","text":"hi","language":"en","image":"/9g=","asked_at_ms":5}"#;
    assert_eq!(String::from_utf8(message.encode(Encoding::Json)).as_deref(), Ok(json));
}

/// If this fails do not change the test: glasses read these bytes.
#[test]
fn answer_text_bytes() {
    let header = [0x01, 0x23, 0x45, 0x67, 0x89, 0xAB, 0xCD, 0xEF];
    let question = QueryId(0x0123_4567_89AB_CDEF);
    for (kind, number) in [(Kind::Answer, 0), (Kind::Notice, 1)] {
        let value = [&[1, number], &header[..], b"Three."].concat();
        assert_eq!(answer_text::encode(kind, question, "Three.").value, value);
        assert_eq!(answer_text::decode(&value), Some((kind, question, "Three.")));
    }
}

#[test]
fn messages_that_are_none() {
    let json = |text: &str| QueryMessage::decode(text.as_bytes(), Encoding::Json);
    let whole = r#""query":"0123456789abcdef","text":"hi","language":"en","asked_at_ms":5"#;
    assert!(json(&format!(r#"{{"version":1,{whole}}}"#)).is_ok());
    assert!(matches!(json(&format!(r#"{{"version":2,{whole}}}"#)), Err(DecodeError::Version(2))));
    assert!(matches!(json(&format!(r#"{{"version":1,"more":1,{whole}}}"#)), Err(DecodeError::Malformed(_))));
    assert!(matches!(json(&format!(r#"{{{whole}}}"#)), Err(DecodeError::Malformed(_))));
    assert!(matches!(json(""), Err(DecodeError::Malformed(_))));
    let long = whole.replace("hi", &"x".repeat(wire::MAX_TEXT + 1));
    let too_long = json(&format!(r#"{{"version":1,{long}}}"#));
    assert!(matches!(too_long, Err(DecodeError::TextTooLong(bytes)) if bytes == wire::MAX_TEXT + 1));
    let huge = vec![b' '; wire::MAX_MESSAGE + 1];
    assert!(matches!(AnswerMessage::decode(&huge, Encoding::Json), Err(DecodeError::TooLong(_))));
}

/// Arrays in arrays and lengths that nothing follows: neither the stack nor memory may go with them.
#[test]
fn messages_that_promise_too_much() {
    for bytes in [
        vec![0x81; 100_000],
        vec![0x9F; 100_000],
        [&[0xA1, 0x65][..], b"image", &[0x5B, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]].concat(),
        [&[0xA1, 0x64][..], b"text", &[0x7B, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]].concat(),
        vec![0xBB, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
    ] {
        assert!(matches!(QueryMessage::decode(&bytes, Encoding::Cbor), Err(DecodeError::Malformed(_))));
        assert!(matches!(AnswerMessage::decode(&bytes, Encoding::Cbor), Err(DecodeError::Malformed(_))));
    }
    let nested = "[".repeat(100_000);
    assert!(matches!(
        QueryMessage::decode(nested.as_bytes(), Encoding::Json),
        Err(DecodeError::Malformed(_))
    ));
}

#[test]
fn texts_for_the_glasses_that_are_none() {
    let value = |version: u8, kind: u8, text: &[u8]| [&[version, kind], &[0; 8][..], text].concat();
    let is_text = |value: &[u8]| answer_text::decode(value).is_some();
    assert!(is_text(&value(1, 0, &[b'x'; MAX_TEXT])));
    assert!(!is_text(&value(1, 0, &[b'x'; MAX_TEXT + 1])));
    assert!(!is_text(&value(2, 0, b"x")));
    assert!(!is_text(&value(1, 2, b"x")));
    assert!(!is_text(&value(1, 0, &[0xC3])));
    assert!(!is_text(&[1, 0, 0, 0, 0, 0, 0, 0, 0]));
}
