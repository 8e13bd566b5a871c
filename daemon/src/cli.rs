//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use glassd_core::{GlassesId, QueryId};
use glassd_inference::{Accelerator, InputShape, Preference};

/// The gateway between smart glasses and everything else.
#[derive(Debug, Parser)]
#[command(name = "glassd", version, arg_required_else_help = true)]
pub struct Cli {
    /// Configuration file (default: /etc/glassd/glassd.toml, if it is there).
    #[arg(long, global = true, value_name = "FILE", env = "GLASSD_CONFIG")]
    pub config: Option<PathBuf>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the gateway until it is told to stop.
    Run,
    /// Shows the whole path at work on simulated glasses, and checks every answer.
    #[cfg(feature = "demo")]
    Demo(DemoArgs),
    /// Runs the same path on pictures or on what was recorded over the air, and answers questions about them.
    Replay(ReplayArgs),
    /// Checks configuration and environment; reports every problem at once.
    Check,
    /// Asks the running gateway a question.
    Ask {
        /// The question.
        text: String,
        /// Whose glasses; needed when there is more than one pair.
        #[arg(long)]
        glasses: Option<GlassesId>,
        /// Print the whole explanation as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Tells how the running gateway is doing.
    Status {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Explains how a query was answered, and why that way.
    Why {
        /// The query's name: 16 hex digits, or `last`.
        #[arg(value_parser = parse_query)]
        query: WhichQuery,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Bluetooth devices: what is heard and known, pairing and forgetting.
    #[cfg(feature = "bluetooth")]
    Devices {
        /// What to do.
        #[command(subcommand)]
        command: DevicesCommand,
    },
    /// Pairs with glasses that want a bond; the same as `devices pair`.
    #[cfg(feature = "bluetooth")]
    Pair(PairArgs),
    /// Writes what comes over the air to a file, which `replay --capture` plays.
    Record(RecordArgs),
    /// Lists, searches, exports and purges what was asked and answered.
    History(HistoryArgs),
    /// Finds from which probability on local answers keep the promised risk.
    Calibrate {
        /// Take outcomes from this file, a JSON object a line, instead of those of this gateway.
        #[arg(long, value_name = "FILE")]
        outcomes: Option<PathBuf>,
        /// Tell, and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Models: what is there, and whether it can be trusted.
    Models {
        /// What to do.
        #[command(subcommand)]
        command: ModelsCommand,
    },
    /// Accelerators: what can run models here, and how fast.
    Accel {
        /// What to do.
        #[command(subcommand)]
        command: AccelCommand,
    },
    /// Policies: run the cases of a policy file.
    Policy {
        /// What to do.
        #[command(subcommand)]
        command: PolicyCommand,
    },
    /// Configuration: the annotated reference.
    Config {
        /// What to do.
        #[command(subcommand)]
        command: ConfigCommand,
    },
}

/// What of the history.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Words that all stand in the question or the answer; a beginning ends in `*`.
    pub words: Vec<String>,
    /// How many, the newest.
    #[arg(long, short = 'n', default_value_t = 20)]
    pub count: u32,
    /// Print whole explanations as JSON, one a line.
    #[arg(long)]
    pub json: bool,
    /// Write the whole history to a new file, JSON lines.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["words", "purge"])]
    pub export: Option<PathBuf>,
    /// Forget what ended so many days ago or earlier; 0 forgets everything.
    #[arg(long, value_name = "DAYS", conflicts_with = "words")]
    pub purge: Option<u32>,
}

/// How the demo runs.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Write the summary to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Questions to ask.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub questions: u32,
    /// Seed of the simulated world and of the questions.
    #[arg(long, default_value_t = 7)]
    pub seed: u64,
    /// Seconds that a wearer waits for an answer before taking it for lost.
    #[arg(long, default_value_t = 15, value_name = "SECONDS")]
    pub patience: u64,
    /// Use this broker (mqtt://host:port) in place of one in process.
    #[arg(long, value_name = "URL")]
    pub broker: Option<String>,
    /// Break a part on purpose, to see the demo notice it.
    #[arg(long = "break", value_name = "PART")]
    pub broken: Option<BrokenPart>,
}

/// A part of the path that the demo can break.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BrokenPart {
    /// The cloud model answers nonsense.
    Cloud,
    /// The cloud worker is not started.
    Worker,
    /// The glasses send photos that do not decode.
    Camera,
}

/// What replay plays.
#[derive(Clone, Debug, Args)]
pub struct ReplayArgs {
    /// A JPEG, or a folder of JPEGs, played in the order of their names.
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "capture")]
    pub frames: Option<PathBuf>,
    /// What `glassd record` wrote: every notification again, in its order and at its pace.
    #[arg(long, value_name = "FILE", conflicts_with = "frames")]
    pub capture: Option<PathBuf>,
    /// Play a capture without its pauses.
    #[arg(long, requires = "capture")]
    pub fast: bool,
    /// Sound that belongs to the frames. Decoding it is not built yet: the file is only checked for.
    #[arg(long, value_name = "FILE")]
    pub audio: Option<PathBuf>,
    /// A question about the frames; may be given more than once.
    #[arg(long, value_name = "TEXT")]
    pub ask: Vec<String>,
    /// Frames a second.
    #[arg(long, default_value_t = 5.0, value_parser = parse_fps)]
    pub fps: f32,
    /// Write what happened to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// What is recorded.
#[derive(Clone, Debug, Args)]
pub struct RecordArgs {
    /// The file to write: one JSON object a line. It holds photos and voices of people; treat it so.
    #[arg(long, value_name = "FILE")]
    pub output: PathBuf,
    /// Whose link; all of them without it.
    #[arg(long)]
    pub glasses: Option<GlassesId>,
    /// Seconds to record; until Ctrl-C without it.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    pub seconds: Option<f64>,
}

/// What to do with Bluetooth devices.
#[cfg(feature = "bluetooth")]
#[derive(Debug, Subcommand)]
pub enum DevicesCommand {
    /// Listens for glasses and lists what is heard.
    Scan {
        /// Seconds to listen.
        #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=300))]
        seconds: u64,
        /// List every device, not only what may be glasses.
        #[arg(long)]
        all: bool,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Lists the glasses that BlueZ remembers and those of the configuration.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Pairs with glasses that want a bond.
    Pair(PairArgs),
    /// Forgets a device, and the keys of its bond.
    Forget {
        /// A name of the configuration, or an address.
        device: String,
    },
}

/// Whom to pair with.
#[cfg(feature = "bluetooth")]
#[derive(Clone, Debug, Args)]
pub struct PairArgs {
    /// A name of the configuration, or an address.
    pub device: String,
    /// The number that the glasses show, for when nobody is there to type it.
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=999_999))]
    pub passkey: Option<u32>,
    /// Take it for granted that both sides show the same number.
    #[arg(long)]
    pub yes: bool,
}

/// What to do with models.
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// Lists the models of the manifest and the embedded ones.
    List,
    /// Checks digests, shapes and outputs on the check samples.
    Verify {
        /// Only this model.
        name: Option<String>,
    },
    /// Runs a model on made-up inputs and shows, node by node, what ran where and its share of the time.
    Explain {
        /// `embedded`, a name of the manifest, `NAME:PART` for one of a model's further files, or an ONNX file.
        model: String,
        /// The shape of an input, for a model that leaves sides open; without the name for the only input.
        #[arg(long = "shape", value_name = "NAME=1,3,224,224")]
        shapes: Vec<InputShape>,
        /// Print JSON, a line for each node.
        #[arg(long)]
        json: bool,
        /// For how long to run, in seconds.
        #[arg(long, default_value_t = 1.0, value_parser = parse_seconds)]
        seconds: f64,
    },
    /// Brings an FP32 ONNX model to INT8, and tells what that cost.
    Quantize(QuantizeArgs),
}

/// What to do with accelerators.
#[derive(Debug, Subcommand)]
pub enum AccelCommand {
    /// Lists what can run models here, and why the rest cannot.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measures a model on each accelerator whose outputs agree with the processor's, and tells which one would be
    /// chosen.
    Bench(BenchArgs),
}

/// What is measured.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// `embedded`, a name of the manifest, `NAME:PART` for one of a model's further files, or an ONNX file; LiteRT takes
    /// the `.tflite` file of the same name beside it.
    #[arg(default_value = "embedded")]
    pub model: String,
    /// The shape of an input, for a model that leaves sides open; without the name for the only input.
    #[arg(long, value_name = "NAME=1,3,224,224")]
    pub shape: Vec<InputShape>,
    /// What the choice is for: low-power, fast-single-answer or sustained-speed (default: models.preference).
    #[arg(long)]
    pub preference: Option<Preference>,
    /// For how long to run in a row on each, in seconds.
    #[arg(long, default_value_t = 2.0, value_parser = parse_seconds)]
    pub seconds: f64,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
    /// Measure this accelerator here and print its row.
    #[arg(long, hide = true)]
    pub only: Option<Accelerator>,
    /// The bytes of the inputs to measure on.
    #[arg(long, hide = true)]
    pub sample: Option<PathBuf>,
}

/// How a model is quantised.
#[derive(Clone, Debug, Args)]
pub struct QuantizeArgs {
    /// The FP32 model, an ONNX file.
    pub model: PathBuf,
    /// A folder of JPEGs like those that the model will see; best not those that it is scored on.
    #[arg(long, value_name = "DIR")]
    pub calibrate: PathBuf,
    /// How pictures become the input, where no entry of the manifest has this file's SHA-256: the keys of
    /// `[model.input]`, separated by commas.
    #[arg(long, value_name = "KEYS")]
    pub input: Option<String>,
    /// The form that is written.
    #[arg(long, value_enum, default_value_t = QuantizedFormat::Qdq)]
    pub format: QuantizedFormat,
    /// The INT8 model (default: beside the model, with `_int8` in its name).
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write the report to this file too, as JSON.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Pictures to calibrate on at most, spread over the folder.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub images: u32,
    /// How the ranges of activations are chosen.
    #[arg(long, value_enum, default_value_t = RangeMethod::Auto)]
    pub method: RangeMethod,
    /// Cut off a channel's greatest weights where that lowers its squared error; `auto` keeps what brings the
    /// outputs nearer to FP32.
    #[arg(long, value_enum, default_value_t = Switch::Auto)]
    pub clip_weights: Switch,
    /// How SiLU, x times the sigmoid of x, is quantised.
    #[arg(long, value_enum, default_value_t = SiluForm::Whole)]
    pub silu: SiluForm,
    /// Equalise consecutive convolutions; `auto` keeps what brings the outputs nearer to FP32.
    #[arg(long, value_enum, default_value_t = Switch::Auto)]
    pub equalise: Switch,
    /// Correct biases by what quantising adds in the mean; `auto` keeps what brings the outputs nearer to FP32.
    #[arg(long, value_enum, default_value_t = Switch::Auto)]
    pub correct_bias: Switch,
    /// Signal to noise ratio in dB that the last layers must reach; the most harmful layers stay in floats
    /// until they do.
    #[arg(long, default_value_t = 25.0, value_name = "DB")]
    pub budget: f64,
    /// Layers that may stay in floats at most.
    #[arg(long, default_value_t = 8, value_name = "LAYERS")]
    pub leave: usize,
    /// Share of the multiply-adds that may stay in floats at most, 0 to 1.
    #[arg(long, default_value_t = 0.04, value_name = "SHARE", value_parser = parse_share)]
    pub leave_work: f64,
    /// Pictures that each layer is measured alone on; 0 leaves that out, and then no layer stays in floats.
    #[arg(long, default_value_t = 2, value_name = "PICTURES")]
    pub probes: usize,
}

/// In which form a quantised model is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum QuantizedFormat {
    /// `QuantizeLinear` and `DequantizeLinear` around the operations, of opset 13.
    Qdq,
}

/// How the ranges of activations are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum RangeMethod {
    /// Whatever brings the outputs nearest to FP32.
    Auto,
    /// From the least value to the greatest.
    MinMax,
    /// What holds all but one value in 10 000 on either side.
    Percentile,
    /// Least divergence of the distribution.
    Entropy,
    /// Least squared error.
    Mse,
}

/// How a SiLU is quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum SiluForm {
    /// As one function, nothing rounded within.
    Whole,
    /// As a sigmoid and a product, each rounded: what onnxruntime has kernels for.
    Split,
}

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    /// If it helps.
    Auto,
    /// In any case.
    On,
    /// Not at all.
    Off,
}

/// What to do with policies.
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Runs the cases of a policy file.
    Test {
        /// The policy file.
        file: PathBuf,
    },
}

/// What to do with the configuration.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Prints every key with its meaning, range and default.
    Reference,
}

/// A query by name, or the last one that ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhichQuery {
    /// The last one that ended.
    Last,
    /// By name.
    Named(QueryId),
}

fn parse_fps(text: &str) -> Result<f32, String> {
    let fps = text.parse::<f32>().map_err(|error| error.to_string())?;
    if (0.1..=60.0).contains(&fps) { Ok(fps) } else { Err("frames a second are 0.1 to 60".to_owned()) }
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("a share is 0 to 1".to_owned()) }
}

fn parse_query(text: &str) -> Result<WhichQuery, glassd_core::ids::InvalidQueryId> {
    if text == "last" { Ok(WhichQuery::Last) } else { text.parse().map(WhichQuery::Named) }
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("seconds are 0 to 3600".to_owned()) }
}
