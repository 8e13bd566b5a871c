//! No bytes make the decoder panic.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests read photos from files")]

mod support;

use glassd_media::{JpegError, decode, encode};
use proptest::prelude::*;
use support::painted;

/// Baseline as the glasses send, and progressive with restarts as nobody here does.
fn samples() -> Vec<Vec<u8>> {
    let picture = painted(72, 56);
    let mut progressive = Vec::new();
    let mut encoder = jpeg_encoder::Encoder::new(&mut progressive, 80);
    encoder.set_progressive(true);
    encoder.set_restart_interval(3);
    encoder.encode(picture.pixels(), 72, 56, jpeg_encoder::ColorType::Rgb).unwrap();
    vec![encode(&picture, 75), progressive]
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(decode(&bytes).is_err());
        let _ = decode(&[&[0xff, 0xd8, 0xff], &bytes[..]].concat());
    }

    #[test]
    fn changed_bytes(which in 0..2_usize, changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut jpeg = samples().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(jpeg.len());
            jpeg[at] = byte;
        }
        if let Ok(image) = decode(&jpeg) {
            prop_assert_eq!(image.pixels().len() as u64, u64::from(image.width()) * u64::from(image.height()) * 3);
        }
    }

    #[test]
    fn lost_packets(which in 0..2_usize, start in any::<prop::sample::Index>(), length in 1..400_usize) {
        let mut jpeg = samples().swap_remove(which);
        let start = start.index(jpeg.len());
        let end = (start + length).min(jpeg.len());
        jpeg.drain(start..end);
        let _ = decode(&jpeg);
    }

    #[test]
    fn every_cut_is_an_error(which in 0..2_usize, end in any::<prop::sample::Index>()) {
        let jpeg = samples().swap_remove(which);
        let cut = &jpeg[..end.index(jpeg.len())];
        let expected = if cut.len() < 2 { JpegError::NotJpeg } else { JpegError::Truncated };
        prop_assert_eq!(decode(cut), Err(expected));
    }
}
