//! `glassd-train`: trains, quantises and examines the detector that is embedded in the gateway.
//!
//! It is a tool of the repository: nothing of it is in the gateway but the two files that it writes.

mod calibrate;
mod exam;
mod fit;
mod model;
mod net;
mod onnx;
mod quantise;
mod scenes;
mod target;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use clap::{Parser, Subcommand};

use fit::Plan;
use net::Weights;
use scenes::View;

/// Trains, quantises and examines the embedded detector. Without a subcommand: all three.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    step: Option<Step>,
    /// Rooms to train on.
    #[arg(long, default_value_t = 8_000)]
    rooms: usize,
    /// How often each room is seen.
    #[arg(long, default_value_t = 10)]
    epochs: usize,
    /// Seed of the weights and of the order of the rooms.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rooms to examine on.
    #[arg(long, default_value_t = 1000, global = true)]
    exam_rooms: usize,
    /// Folder of the trained weights in f32.
    #[arg(long, default_value = "target/train", global = true)]
    work: PathBuf,
    /// Folder of scene.onnx and scene.toml.
    #[arg(long, default_value = "runtime/inference/models", global = true)]
    models: PathBuf,
}

#[derive(Subcommand, Clone, Copy)]
enum Step {
    /// Only quantises weights that were trained before.
    Quantise,
    /// Only examines the model files.
    Evaluate,
}

const WEIGHTS: &str = "scene-f32.onnx";
/// Scenes for the ranges of the activations, and for the calibration of the scores.
const RANGE_ROOMS: usize = 200;
const CALIBRATION_ROOMS: usize = 1500;

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if arguments.step.is_none() {
        train(&arguments)?;
    }
    if !matches!(arguments.step, Some(Step::Evaluate)) {
        quantise(&arguments)?;
    }
    evaluate(&arguments)
}

fn train(arguments: &Arguments) -> anyhow::Result<()> {
    let start = Instant::now();
    std::fs::create_dir_all(&arguments.work).context("cannot make the work folder")?;
    let scenes = scenes::render(scenes::TRAINING, arguments.rooms, View::Wandering);
    println!("{} rooms rendered in {:.0} s", scenes.len(), start.elapsed().as_secs_f64());
    let plan = Plan { epochs: arguments.epochs, batch: 16, rate: 2e-3, seed: arguments.seed };
    let path = arguments.work.join(WEIGHTS);
    let mut saved = Ok(());
    let save = |weights: &[Weights]| saved = write(&path, &onnx::write_f32(weights));
    let (_, losses) = fit::train(plan, &scenes, save);
    println!("loss by epoch {losses:.3?}, {:.0} s in all", start.elapsed().as_secs_f64());
    saved
}

fn quantise(arguments: &Arguments) -> anyhow::Result<()> {
    let path = arguments.work.join(WEIGHTS);
    let f32_model = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let weights = onnx::read_f32(&f32_model)?;
    let scenes = scenes::render(scenes::VALIDATION, RANGE_ROOMS, View::Rest);
    let steps = quantise::input_steps(&weights, &scenes);
    let int8_model = onnx::write_int8(&quantise::quantise(&weights, &steps), &steps);
    let entry = model::calibrated(&int8_model, CALIBRATION_ROOMS)?;
    std::fs::create_dir_all(&arguments.models).context("cannot make the models folder")?;
    write(&arguments.models.join(model::ONNX), &int8_model)?;
    write(&arguments.models.join(model::ENTRY), entry.as_bytes())?;

    let rooms = arguments.exam_rooms;
    let [one, other] = [&f32_model, &int8_model].map(|model| {
        let mut detector = model::uncalibrated(model)?;
        let start = Instant::now();
        let sights = exam::look(&mut detector, scenes::EXAMINATION, rooms)?;
        println!("looked at {rooms} rooms in {:.1} s", start.elapsed().as_secs_f64());
        anyhow::Ok(sights)
    });
    exam::agreement(&one?, &other?, model::read(&arguments.models)?.thresholds().decision);
    Ok(())
}

fn evaluate(arguments: &Arguments) -> anyhow::Result<()> {
    let mut detector = model::read(&arguments.models)?;
    let sights = exam::look(&mut detector, scenes::EXAMINATION, arguments.exam_rooms)?;
    exam::report(&detector, &sights);
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}
