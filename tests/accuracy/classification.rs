//! Naming pictures: MobileNetV2 on ImageNet's classes, and whether a person is there.

use std::path::{Path, PathBuf};

use glassd_inference::{
    Classifier, ClassifyHead, DatumType, Fit, InputContract, Labels, Layout, Level, ModelEntry, Order,
    PresenceDetector, Task, Tensor, Thresholds,
};
use glassd_media::{Image, decode};

use crate::candidate::Candidate;
use crate::report::{Arguments, Report, entries, models};

/// The share of a picture from which on a person in it counts (Visual Wake Words, Chowdhery et al. 2019).
const PERSON_AREA: f32 = 0.005;

/// Each picture's best labels, the most probable first.
type Answers = Vec<Vec<usize>>;

pub(crate) fn score(arguments: &Arguments, data: &Path, report: &mut Report) {
    let named = arguments.all("--model");
    let share = |right: usize, all: usize| right as f64 / all as f64;
    if let Some(pictures) = report.read("classification", &data.join("classification/imagenet"), labelled) {
        let answers = |candidate: &Candidate| {
            imagenet_entry(candidate).map(|entry| classified(&entry, candidate, &pictures))
        };
        let scores = |answers: &Answers| {
            let within = |most: usize| {
                let judged = answers.iter().zip(&pictures);
                let right =
                    judged.filter(|(answer, (_, truth))| answer.iter().take(most).any(|one| one == truth));
                share(right.count(), pictures.len())
            };
            vec![("top-1", within(1)), ("top-5", within(5))]
        };
        let folder = data.join("classification/models");
        compared("classification", &named, &folder, report, answers, scores);
    }
    if let Some(pictures) = report.read("person", &data.join("detection/coco_val"), people) {
        let answers =
            |candidate: &Candidate| is_person_model(candidate).then(|| people_seen(candidate, &pictures));
        let scores = |answers: &Answers| {
            let right = answers.iter().zip(&pictures).filter(|(answer, (_, truth))| answer[0] == *truth);
            vec![("accuracy", share(right.count(), pictures.len()))]
        };
        let parts = arguments.path("--parts");
        if let (Some(folder), true) = (&parts, arguments.has("--quantise"))
            && let Err(reason) = quantise_person(data, folder)
        {
            report.add("person", folder, Err(reason));
        }
        let folder = data.join("classification/vww");
        compared("person", &named, &folder, report, answers, scores);
        let made = parts.map_or_else(Vec::new, |folder| models(&folder));
        let made: Vec<PathBuf> =
            made.into_iter().filter(|path| path.to_string_lossy().contains("vww")).collect();
        if !made.is_empty() {
            compared("person", &made, &folder, report, answers, scores);
        }
    }
}

/// Scores models, and how often their first answer is that of the FP32 model of the folder.
fn compared(
    task: &'static str,
    named: &[PathBuf],
    folder: &Path,
    report: &mut Report,
    answers: impl Fn(&Candidate) -> Option<Result<Answers, String>>,
    scores: impl Fn(&Answers) -> Vec<(&'static str, f64)>,
) {
    let answers =
        |path: &PathBuf| Candidate::load(path).and_then(|candidate| answers(&candidate).transpose());
    let is_float = |path: &&PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains("fp32") || name.contains("float")
    };
    let present = models(folder);
    let reference = present.iter().find(is_float);
    let expected = reference.map(answers);
    for path in &report.models(task, named, folder) {
        let given = if Some(path) == reference { expected.clone() } else { None };
        let given = given.unwrap_or_else(|| answers(path));
        let row = given.map(|given| {
            let given = given?;
            let mut row = scores(&given);
            if let Some(Ok(Some(expected))) = expected.as_ref().filter(|_| Some(path) != reference) {
                let same = given.iter().zip(expected).filter(|(a, b)| a[0] == b[0]).count();
                row.push(("agreement with FP32", same as f64 / given.len() as f64));
            }
            Some(row)
        });
        if let Some(row) = row.transpose() {
            report.add(task, path, row);
        }
    }
}

fn labelled(folder: &Path) -> Result<Vec<(Image, usize)>, String> {
    let list = folder.join("labels.tsv");
    let text = std::fs::read_to_string(&list).map_err(|error| format!("{}: {error}", list.display()))?;
    let picture = |line: &str| {
        let (name, class) = line.split_once('\t').ok_or("not NAME and CLASS")?;
        let class: usize = class.trim().parse().map_err(|_| "its class is no number")?;
        // The models' index 0 is "background".
        Ok((opened(&folder.join("images").join(name))?, class + 1))
    };
    let read: Result<_, String> = text.lines().map(picture).collect();
    read.map_err(|error| format!("{}: {error}", list.display()))
}

/// Reads pictures and whether a person is in each; labels as those of detectors.
fn people(folder: &Path) -> Result<Vec<(Image, usize)>, String> {
    let files = entries(&folder.join("labels"));
    if files.is_empty() {
        return Err(format!("no labels in {}", folder.display()));
    }
    let picture = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
        let is_person = |line: &str| {
            let numbers: Vec<f32> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            matches!(numbers[..], [0.0, _, _, width, height] if width * height >= PERSON_AREA)
        };
        let name = file.file_stem().unwrap_or_default();
        let image = opened(&folder.join("images").join(name).with_extension("jpg"))?;
        Ok((image, usize::from(text.lines().any(is_person))))
    };
    files.iter().map(picture).collect()
}

fn opened(path: &Path) -> Result<Image, String> {
    let jpeg = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    decode(&jpeg).map_err(|error| format!("{}: {error}", path.display()))
}

/// MobileNetV2 as TensorFlow exports it: levels as they are, or from -1 to 1.
fn imagenet_entry(candidate: &Candidate) -> Option<ModelEntry> {
    let (&[1, 224, 224, 3], &[1, classes @ 1001]) = candidate.shapes()? else { return None };
    let level = match candidate.prepared.inputs()[0].datum {
        DatumType::U8 => Level::U8,
        _ => Level::F32,
    };
    let input = InputContract {
        width: 224,
        height: 224,
        layout: Layout::Nhwc,
        level,
        order: Order::Rgb,
        scale: 1.0 / 128.0,
        offset: -1.0,
        fit: Fit::Crop,
        pad: 0,
        keep: 0.875,
    };
    let labels = Labels::Listed((0..classes).map(|class| class.to_string()).collect());
    let task = Task::Classify { head: ClassifyHead::Mobilenet, labels };
    Some(crate::unnamed(task, input, Thresholds { floor: 0.0, decision: 0.5, overlap: 0.5 }))
}

fn classified(
    entry: &ModelEntry,
    candidate: &Candidate,
    pictures: &[(Image, usize)],
) -> Result<Answers, String> {
    let mut classifier = Classifier::from_bytes(entry, &candidate.onnx).map_err(|error| error.to_string())?;
    let answer = |(image, _): &(Image, usize)| {
        let named = classifier.classify(image).map_err(|error| error.to_string())?;
        if named.is_empty() {
            Err("it names nothing".into())
        } else {
            Ok(named.iter().map(|one| one.0).collect())
        }
    };
    pictures.iter().map(answer).collect()
}

/// MLPerf Tiny's Visual Wake Words: 96 × 96 RGB from 0 to 1, or in 255ths from -128; no person, person.
fn is_person_model(candidate: &Candidate) -> bool {
    matches!(candidate.shapes(), Some((&[1, 96, 96, 3], &[1, 2])))
}

fn people_seen(candidate: &Candidate, pictures: &[(Image, usize)]) -> Result<Answers, String> {
    let level = match candidate.prepared.inputs()[0].datum {
        DatumType::I8 => Level::I8,
        _ => Level::F32,
    };
    let mut detector = PresenceDetector::from_bytes(&person_entry(level), &candidate.onnx)
        .map_err(|error| error.to_string())?;
    let answer = |(image, _): &(Image, usize)| {
        let presence = detector.look(image).map_err(|error| error.to_string())?;
        Ok(vec![usize::from(presence.score > 0.5)])
    };
    pictures.iter().map(answer).collect()
}

fn person_entry(level: Level) -> ModelEntry {
    let scale = if level == Level::F32 { 1.0 / 255.0 } else { 1.0 };
    let input = InputContract {
        width: 96,
        height: 96,
        layout: Layout::Nhwc,
        level,
        order: Order::Rgb,
        scale,
        offset: 0.0,
        fit: Fit::Stretch,
        pad: 0,
        keep: 1.0,
    };
    let task = Task::Presence { of: "person".into() };
    crate::unnamed(task, input, Thresholds { floor: 0.0, decision: 0.5, overlap: 0.5 })
}

/// Brings the FP32 model of persons to INT8, on pictures that it is not judged on.
fn quantise_person(data: &Path, folder: &Path) -> Result<(), String> {
    let present = models(&data.join("classification/vww"));
    let Some(path) = present.iter().find(|path| path.to_string_lossy().contains("float")) else {
        return Ok(());
    };
    let onnx = std::fs::read(path).map_err(|error| error.to_string())?;
    let Some(input) = person_entry(Level::F32).input else { return Ok(()) };
    let pictures = crate::parts::pictures(&[data.join(crate::quantised::PICTURES)])?;
    let inputs: Vec<Tensor> = pictures.iter().map(|(_, image)| input.sample(image)).collect();
    crate::quantised::written(path, &onnx, &inputs, folder).map(drop)
}
