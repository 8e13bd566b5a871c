//! Measures one model on our engine. `tests/compare/inference` starts it and talks to it in lines.
//!
//! ```sh
//! measure --threads N --inputs FOLDER MODEL.onnx                          # the model alone
//! measure --threads N --image FILE --manifest FILE --entry NAME MODEL.onnx   # from decoded image to boxes
//! ```
//!
//! | it reads | it answers |
//! |---|---|
//! | (when started) | `ready LOAD_MS BASE_KIB`, or `refused REASON` and ends |
//! | `run SECONDS` | `ran COUNT MEDIAN_MS BEST_MS` |
//! | `memory` | `peak KIB` |
//! | `outputs FOLDER` | `outputs TYPE:SIDES …`, and FOLDER holds `0.bin`, `1.bin`, … |
//!
//! `FOLDER/inputs.txt` has a line `TYPE SIDES` for each `0.bin`, `1.bin`, …: `f32 1x3x224x224`. The peers in
//! `peers.py` speak the same.
#![allow(clippy::unwrap_used, reason = "a tool for developers ends by panicking")]

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use glassd_inference::{Accelerator, DatumType, Detector, FileError, Manifest, Session, Tensor, Threads};
use glassd_media::{Image, decode};

/// What one iteration does.
enum Work {
    Model { session: Box<Session>, inputs: Vec<Tensor> },
    Detect { detector: Box<Detector>, image: Image },
}

fn main() {
    let arguments = Arguments(std::env::args().skip(1).collect());
    let threads: usize = arguments.option("--threads").expect("--threads N").parse().unwrap();
    let model = PathBuf::from(arguments.0.last().expect("MODEL"));
    let base = memory("VmRSS:");
    let started = Instant::now();
    let mut work = match loaded(&arguments, &model, threads) {
        Ok(work) => work,
        Err(error) => return println!("refused {}", error.to_string().replace('\n', " ")),
    };
    println!("ready {:.3} {base}", milliseconds(started.elapsed()));
    for line in std::io::stdin().lock().lines() {
        let line = line.unwrap();
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("run", seconds) => {
                let times = times(&mut work, Duration::from_secs_f64(seconds.parse().unwrap()));
                let [best, median] = [times[0], times[times.len() / 2]].map(milliseconds);
                println!("ran {} {median:.6} {best:.6}", times.len());
            }
            ("memory", _) => println!("peak {}", memory("VmHWM:")),
            ("outputs", folder) => println!("outputs {}", written(&work.outputs(), Path::new(folder))),
            _ => panic!("{line}: not run, memory or outputs"),
        }
    }
}

struct Arguments(Vec<String>);

impl Arguments {
    fn option(&self, name: &str) -> Option<&str> {
        let at = self.0.iter().position(|argument| argument == name)?;
        self.0.get(at + 1).map(String::as_str)
    }
}

/// Loads what the arguments ask for. Reading the inputs is not part of what is measured, but far quicker
/// than what is.
fn loaded(arguments: &Arguments, model: &Path, threads: usize) -> Result<Work, FileError> {
    let threads = (threads > 1).then(|| Threads::new(threads).expect("threads start"));
    if let Some(entry) = arguments.option("--entry") {
        let manifest = std::fs::read_to_string(arguments.option("--manifest").unwrap()).unwrap();
        let models = Manifest::parse(&manifest).unwrap().models;
        let entry = models.into_iter().find(|model| model.name == entry).expect("an entry of that name");
        let mut detector = Box::new(Detector::from_bytes(&entry, &std::fs::read(model).unwrap())?);
        threads.iter().for_each(|threads| detector.divide_between(threads));
        let image = std::fs::read(arguments.option("--image").unwrap()).unwrap();
        return Ok(Work::Detect { detector, image: decode(&image).unwrap() });
    }
    let mut session = Accelerator::Cpu.prepare_file(model, None)?.open().expect("a prepared model opens");
    threads.iter().for_each(|threads| session.divide_between(threads));
    Ok(Work::Model {
        session: Box::new(session),
        inputs: inputs(Path::new(arguments.option("--inputs").unwrap())),
    })
}

impl Work {
    /// Runs once and tells how long that took. The copy of the inputs is not in it: a peer reads them where
    /// they lie.
    fn timed(&mut self) -> Duration {
        match self {
            Self::Model { session, inputs } => {
                let inputs = inputs.clone();
                let started = Instant::now();
                let outputs = session.run(inputs).unwrap();
                let took = started.elapsed();
                drop(outputs);
                took
            }
            Self::Detect { detector, image } => {
                let started = Instant::now();
                detector.detect(image).unwrap();
                started.elapsed()
            }
        }
    }

    /// Runs once and returns the outputs; detections as rows of label, score, left, top, right, bottom.
    fn outputs(&mut self) -> Vec<Tensor> {
        match self {
            Self::Model { session, inputs } => session.run(inputs.clone()).unwrap(),
            Self::Detect { detector, image } => {
                let found = detector.detect(image).unwrap();
                let rows: Vec<f32> = found
                    .iter()
                    .flat_map(|one| [one.label as f32, one.score].into_iter().chain(one.bounds))
                    .collect();
                vec![Tensor::from_shape(&[found.len(), 6], &rows).unwrap()]
            }
        }
    }
}

/// Runs for at least this long and at least once; returns the times, the shortest first.
fn times(work: &mut Work, least: Duration) -> Vec<Duration> {
    let started = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || started.elapsed() < least {
        times.push(work.timed());
    }
    times.sort();
    times
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Reads a line of `/proc/self/status`, in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn inputs(folder: &Path) -> Vec<Tensor> {
    let list = std::fs::read_to_string(folder.join("inputs.txt")).unwrap();
    let input = |(at, line): (usize, &str)| {
        let (datum, sides) = line.split_once(' ').unwrap();
        let sides: Vec<usize> = sides.split('x').filter_map(|side| side.parse().ok()).collect();
        tensor(datum, &sides, &std::fs::read(folder.join(format!("{at}.bin"))).unwrap())
    };
    list.lines().enumerate().map(input).collect()
}

/// Reads a tensor in little-endian order.
fn tensor(datum: &str, sides: &[usize], bytes: &[u8]) -> Tensor {
    let made = match datum {
        "f32" => {
            let values = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            Tensor::from_shape(sides, &values.collect::<Vec<f32>>())
        }
        "i64" => {
            let values = bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
            Tensor::from_shape(sides, &values.collect::<Vec<i64>>())
        }
        "u8" => Tensor::from_shape(sides, bytes),
        "i8" => Tensor::from_shape(sides, &bytes.iter().map(|&byte| byte.cast_signed()).collect::<Vec<i8>>()),
        other => panic!("{other}: not f32, i64, u8 or i8"),
    };
    made.unwrap()
}

/// Writes the bytes of each output to a file and returns their types and sides.
fn written(outputs: &[Tensor], folder: &Path) -> String {
    let write = |(at, output): (usize, &Tensor)| {
        std::fs::write(folder.join(format!("{at}.bin")), output.as_bytes()).unwrap();
        let datum = match output.datum_type() {
            DatumType::F32 => "f32",
            DatumType::I64 => "i64",
            DatumType::U8 => "u8",
            DatumType::I8 => "i8",
            other => panic!("{other:?}: not f32, i64, u8 or i8"),
        };
        let sides: Vec<String> = output.shape().iter().map(usize::to_string).collect();
        format!("{datum}:{}", sides.join("x"))
    };
    outputs.iter().enumerate().map(write).collect::<Vec<_>>().join(" ")
}
