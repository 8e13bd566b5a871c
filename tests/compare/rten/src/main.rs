//! Measures one model on rten, speaking what `../measure.rs` speaks (its table of lines is there).
//!
//! ```sh
//! measure-rten --threads N --inputs FOLDER MODEL.onnx
//! ```

use std::io::BufRead;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value};
use rten_tensor::{AsView, Layout};

/// A model with its inputs, which it borrows at each run.
struct Work {
    model: Model,
    inputs: Vec<(NodeId, Value)>,
    options: RunOptions,
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let option = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        arguments[at.unwrap_or_else(|| panic!("{name} is missing")) + 1].as_str()
    };
    let path = PathBuf::from(arguments.last().expect("MODEL"));
    let threads = option("--threads").parse().expect("--threads N");
    let base = memory("VmRSS:");
    let started = Instant::now();
    let loaded = ModelOptions::with_all_ops().prepack_weights(true).load_file(&path);
    let model = match loaded {
        Ok(model) => model,
        Err(error) => return println!("refused {}", error.to_string().replace('\n', " ")),
    };
    let load_ms = milliseconds(started.elapsed());
    let inputs = inputs(&model, Path::new(option("--inputs")));
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    let work = Work { model, inputs, options: RunOptions::default().with_thread_pool(Some(pool)) };
    if let Err(error) = work.run() {
        return println!("refused {}", error.replace('\n', " "));
    }
    println!("ready {load_ms:.3} {base}");
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("lines of text");
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("run", seconds) => {
                let times = times(&work, Duration::from_secs_f64(seconds.parse().expect("seconds")));
                let [best, median] = [times[0], times[times.len() / 2]].map(milliseconds);
                println!("ran {} {median:.6} {best:.6}", times.len());
            }
            ("memory", _) => println!("peak {}", memory("VmHWM:")),
            ("outputs", folder) => println!("outputs {}", work.written(Path::new(folder))),
            _ => panic!("{line}: not run, memory or outputs"),
        }
    }
}

impl Work {
    fn run(&self) -> Result<Vec<Value>, String> {
        let inputs = self.inputs.iter().map(|(id, value)| (*id, value.as_view().into())).collect();
        let outputs = self.model.run(inputs, self.model.output_ids(), Some(self.options.clone()));
        outputs.map_err(|error| error.to_string())
    }

    /// Writes the bytes of each output to a file and returns their types and sides; what it takes for `i32` is
    /// `i64` in the file.
    fn written(&self, folder: &Path) -> String {
        let outputs = self.run().expect("it ran before");
        let write = |(at, output): (usize, &Value)| {
            let (datum, bytes, sides): (&str, Vec<u8>, &[usize]) = match output {
                Value::FloatTensor(values) => {
                    ("f32", values.iter().flat_map(|value| value.to_le_bytes()).collect(), values.shape())
                }
                Value::Int32Tensor(values) => {
                    let wide = values.iter().flat_map(|value| i64::from(*value).to_le_bytes());
                    ("i64", wide.collect(), values.shape())
                }
                Value::UInt8Tensor(values) => ("u8", values.iter().copied().collect(), values.shape()),
                Value::Int8Tensor(values) => {
                    ("i8", values.iter().map(|value| value.cast_unsigned()).collect(), values.shape())
                }
                _ => panic!("output {at} is no tensor"),
            };
            std::fs::write(folder.join(format!("{at}.bin")), bytes).expect("a folder to write to");
            let sides: Vec<String> = sides.iter().map(usize::to_string).collect();
            format!("{datum}:{}", sides.join("x"))
        };
        outputs.iter().enumerate().map(write).collect::<Vec<_>>().join(" ")
    }
}

/// Runs for at least this long and at least once; returns the times, the shortest first.
fn times(work: &Work, least: Duration) -> Vec<Duration> {
    let started = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || started.elapsed() < least {
        let started = Instant::now();
        work.run().expect("it ran before");
        times.push(started.elapsed());
    }
    times.sort();
    times
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// Reads a line of `/proc/self/status`, in KiB.
fn memory(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().next().and_then(|word| word.parse().ok()).expect("a number of kB")
}

fn inputs(model: &Model, folder: &Path) -> Vec<(NodeId, Value)> {
    let list = std::fs::read_to_string(folder.join("inputs.txt")).expect("inputs.txt");
    let input = |((at, line), id): ((usize, &str), &NodeId)| {
        let (datum, sides) = line.split_once(' ').expect("TYPE SIDES");
        let sides: Vec<usize> = sides.split('x').filter_map(|side| side.parse().ok()).collect();
        let bytes = std::fs::read(folder.join(format!("{at}.bin"))).expect("the bytes of an input");
        (*id, value(datum, &sides, &bytes))
    };
    list.lines().enumerate().zip(model.input_ids()).map(input).collect()
}

/// Reads a tensor in little-endian order.
fn value(datum: &str, sides: &[usize], bytes: &[u8]) -> Value {
    let whole = "as many values as the shape holds";
    match datum {
        "f32" => {
            let values = bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
            Value::from_shape(sides, values.collect::<Vec<f32>>()).expect(whole)
        }
        "i64" => {
            let values = bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as i32);
            Value::from_shape(sides, values.collect::<Vec<i32>>()).expect(whole)
        }
        "u8" => Value::from_shape(sides, bytes.to_vec()).expect(whole),
        "i8" => {
            let values = bytes.iter().map(|byte| byte.cast_signed());
            Value::from_shape(sides, values.collect::<Vec<i8>>()).expect(whole)
        }
        other => panic!("{other}: not f32, i64, u8 or i8"),
    }
}
