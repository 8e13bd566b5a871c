//! The tasks beyond detection and classification, on public models and real data. Skipped where the shared data
//! is missing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "../../../tests/accuracy/spearman.rs"]
mod spearman;
mod support;

use glassd_media::Turn;
use support::{data, picture, store};

/// Returns a text without its spaces, which the recogniser loses.
fn letters(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn signs_are_read_the_right_way_up_and_on_their_heads() {
    let Some(data) = data() else { return };
    let mut reader = store(&data, "signs").reader("pp-ocr-v4").unwrap();
    let expected = ["EXIT 12 NORTH", "Platform 4 to Zurich", "Soup of the day 7.50", "Do not enter"];
    let sign = picture(&data, "ocr/signs.jpg");
    for turn in [Turn::None, Turn::Half] {
        let lines = reader.read(&sign.clone().turned(turn)).unwrap();
        for line in &lines {
            println!("{turn:?}: {:?} {:.3} at {:.2?}", line.text, line.score, line.corners);
        }
        let mut read: Vec<String> = lines.iter().map(|line| letters(&line.text)).collect();
        if turn == Turn::Half {
            // Seen from below, the last line is the first.
            read.reverse();
        }
        assert_eq!(read, expected.map(letters));
        assert!(lines.iter().all(|line| line.score > 0.9));
    }
}

#[test]
fn sentences_that_mean_the_same_are_near() {
    let Some(data) = data() else { return };
    let mut encoder = store(&data, "sentences").text_encoder("minilm-l6-int8").unwrap();
    let table = std::fs::read_to_string(data.join("text/stsb-en-dev.csv")).unwrap();
    // The figure for all 1500 pairs is for `tests/accuracy/text`.
    let pairs = spearman::pairs(&table).unwrap().into_iter().step_by(10);
    let (ours, people): (Vec<f64>, Vec<f64>) = pairs
        .map(|(a, b, score)| {
            let [a, b] = [a, b].map(|sentence| encoder.embed(&sentence).unwrap());
            (f64::from(a.cosine(&b)), score)
        })
        .unzip();
    let correlation = spearman::spearman(&ours, &people);
    println!("Spearman {correlation:.4} on {} pairs", ours.len());
    assert!(correlation > 0.82, "{correlation}");
}

#[test]
fn faces_are_found_where_the_reference_finds_them() {
    let Some(data) = data() else { return };
    let mut finder = store(&data, "faces").face_finder("mtcnn").unwrap();
    // facenet-pytorch 2.6.0 on the same pictures.
    let expected = [[918.0, 99.0, 1046.0, 282.0], [560.0, 262.0, 671.0, 431.0]];
    let image = picture(&data, "detection/images/zidane.jpg");
    let faces = finder.find(&image).unwrap();
    let (width, height) = (image.width() as f32, image.height() as f32);
    for face in &faces {
        let [left, top, right, bottom] = face.bounds;
        println!("{:.3} at {:.0?}", face.score, [left * width, top * height, right * width, bottom * height]);
        let is_inside = |[x, y]: &[f32; 2]| (left..right).contains(x) && (top..bottom).contains(y);
        assert!(face.landmarks.iter().all(is_inside), "{face:?}");
        let [eye, other, nose, _, mouth] = face.landmarks;
        assert!(eye[0] < other[0] && eye[1] < nose[1] && nose[1] < mouth[1], "{face:?}");
    }
    assert_eq!(faces.len(), 2);
    for bounds in expected {
        let near = |face: &glassd_inference::Face| {
            let sides = [width, height, width, height];
            (0..4).all(|at| (face.bounds[at] * sides[at] - bounds[at]).abs() < 4.0)
        };
        assert_eq!(faces.iter().filter(|face| near(face)).count(), 1, "{bounds:?}");
    }
    assert_eq!(finder.find(&picture(&data, "detection/images/bus.jpg")).unwrap().len(), 2);
}

#[test]
fn persons_are_noticed() {
    let Some(data) = data() else { return };
    let mut detector = store(&data, "persons").presence_detector("person-or-none-int8").unwrap();
    for image in ["detection/images/bus.jpg", "detection/images/zidane.jpg"] {
        let presence = detector.look(&picture(&data, image)).unwrap();
        println!("{image}: {:.3}", presence.score);
        assert!(presence.score > 0.5);
    }
    let sign = detector.look(&picture(&data, "ocr/signs.jpg")).unwrap();
    assert!(sign.score < 0.5, "{sign:?}");
}
