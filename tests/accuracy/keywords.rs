//! Scores what hears words, on a folder of labelled clips.
//!
//! ```sh
//! tests/accuracy/keywords --data DIR [--json FILE] [--model FILE]…
//! ```
//!
//! Without `--model` it scores every model of a known shape in `DIR/keywords/models`: spelling nets (64 mels ×
//! 128 frames) on `keywords/clips/WORD/*.wav`, DS-CNN (10 MFCCs × 49 frames) on
//! `keywords/speech_commands_samples/test_WORD.wav`. It fails if one cannot be scored; a part of the data that
//! is not there is skipped, and it says so.

mod candidate;
mod features;
mod report;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use glassd_inference::{DatumType, Tensor};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::Framework;

use candidate::{Candidate, values};
use features::Clip;
use report::{Arguments, Report, entries};

/// The classes of MLPerf Tiny's keyword model, in the order of its outputs.
const COMMANDS: [&str; 12] =
    ["down", "go", "left", "no", "off", "on", "right", "stop", "up", "yes", "_silence_", "_unknown_"];

/// A clip and the index of the word in it.
type Labelled = (Clip, usize);

fn main() -> ExitCode {
    let arguments = Arguments::from_env();
    let Some(data) = arguments.path("--data") else {
        eprintln!("keywords --data DIR [--json FILE] [--model FILE]...");
        return ExitCode::from(2);
    };
    let folder = data.join("keywords");
    let mut report = Report::default();
    let named = arguments.all("--model");
    let spelling = report.read("spelling", &folder.join("clips"), |clips| spelling(clips, &folder));
    let commands = report.read("commands", &folder.join("speech_commands_samples"), commands);
    for path in report.models("keywords", &named, &folder.join("models")) {
        match Candidate::load(&path) {
            Err(reason) => report.add("keywords", &path, Err(reason)),
            Ok(model) => match (model.shapes(), &spelling, &commands) {
                (Some((&[1, 1, 64, 128], &[1, _])), Some(clips), _) => {
                    let input = |clip: &Clip| floats(&[1, 1, 64, 128], &clip.log_mel());
                    report.add("spelling", &path, scored(&model, clips, input));
                }
                (Some((&[1, 49, 10, 1], &[1, 12])), _, Some(clips)) => {
                    let scores = levels(&model).and_then(|levels| {
                        scored(&model, clips, |clip| match levels {
                            Some(levels) => quantised(&[1, 49, 10, 1], &clip.mfcc(), levels),
                            None => floats(&[1, 49, 10, 1], &clip.mfcc()),
                        })
                    });
                    report.add("commands", &path, scores);
                }
                _ => {}
            },
        }
    }
    report.require(&named);
    report.finish(arguments.path("--json").as_deref())
}

/// Reads `clips/WORD/*.wav`, where the words are those of the model's own list.
fn spelling(clips: &Path, folder: &Path) -> Result<Vec<Labelled>, String> {
    let meta = folder.join("models/spelling_cnn_meta.json");
    let text = std::fs::read_to_string(&meta).map_err(|error| format!("{}: {error}", meta.display()))?;
    let meta: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    let classes: Vec<&str> =
        meta["classes"].as_array().into_iter().flatten().filter_map(|class| class.as_str()).collect();
    let mut labelled = Vec::new();
    for word in entries(clips) {
        let name = word.file_name().unwrap_or_default().to_string_lossy();
        let class = classes.iter().position(|class| *class == name);
        let class = class.ok_or_else(|| format!("{name}: no class of the model"))?;
        for file in entries(&word) {
            labelled.push((Clip::read(&file)?, class));
        }
    }
    if labelled.is_empty() { Err("no clips".into()) } else { Ok(labelled) }
}

fn commands(folder: &Path) -> Result<Vec<Labelled>, String> {
    let clip = |(class, word): (usize, &&str)| {
        let file: PathBuf = folder.join(format!("test_{word}.wav"));
        Ok((Clip::read(&file)?, class))
    };
    COMMANDS.iter().enumerate().map(clip).collect()
}

fn scored(
    model: &Candidate,
    clips: &[Labelled],
    input: impl Fn(&Clip) -> Tensor,
) -> Result<Vec<(&'static str, f64)>, String> {
    let mut session = model.prepared.open().map_err(|error| error.to_string())?;
    let mut right = 0;
    for (clip, class) in clips {
        let outputs = session.run([input(clip)]).map_err(|error| error.to_string())?;
        let values = values(&outputs)?;
        if let Some(bad) = values.iter().find(|value| !value.is_finite()) {
            return Err(format!("it answers {bad}"));
        }
        let best = (0..values.len()).rev().max_by(|&a, &b| values[a].total_cmp(&values[b]));
        right += usize::from(best == Some(*class));
    }
    let all = clips.len() as f64;
    Ok(vec![("right", right as f64), ("clips", all), ("accuracy", right as f64 / all)])
}

fn floats(sides: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_shape(sides, values).expect("features of the shape that was matched")
}

fn quantised(sides: &[usize], values: &[f32], (scale, zero): (f32, i8)) -> Tensor {
    let level = |value: &f32| ((value / scale).round() + f32::from(zero)) as i8;
    let levels: Vec<i8> = values.iter().map(level).collect();
    Tensor::from_shape(sides, &levels).expect("features of the shape that was matched")
}

/// Returns scale and zero point of a model's 8-bit input, which stand in the node that dequantises it.
fn levels(model: &Candidate) -> Result<Option<(f32, i8)>, String> {
    if model.prepared.inputs()[0].datum != DatumType::I8 {
        return Ok(None);
    }
    let proto =
        tract_onnx::onnx().proto_model_for_read(&mut &*model.onnx).map_err(|error| error.to_string())?;
    input_levels(&proto).map(Some).ok_or_else(|| "nothing dequantises its input".to_owned())
}

fn input_levels(proto: &ModelProto) -> Option<(f32, i8)> {
    let graph = proto.graph.as_ref()?;
    let weight = |name: &String| graph.initializer.iter().find(|tensor| tensor.name == *name);
    let input = graph.input.iter().find(|input| weight(&input.name).is_none())?;
    let reader = |name: &String| graph.node.iter().find(|node| node.input.first() == Some(name));
    // tf2onnx changes the shape first.
    let mut node = reader(&input.name)?;
    while node.op_type != "DequantizeLinear" {
        node = reader(node.output.first()?)?;
    }
    let [_, scale, zero] = node.input.as_slice() else { return None };
    let scale = weight(scale)?;
    let packed = scale.raw_data.first_chunk().map(|bytes| f32::from_le_bytes(*bytes));
    let zero = weight(zero)?;
    let packed_zero = zero.raw_data.first().map(|byte| byte.cast_signed());
    let scale = packed.or_else(|| scale.float_data.first().copied())?;
    Some((scale, packed_zero.or_else(|| i8::try_from(*zero.int32_data.first()?).ok())?))
}
