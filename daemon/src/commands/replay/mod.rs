//! `glassd replay`: the same path, on pictures from disk or on what was [recorded over the air](air).

mod air;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use glassd_core::gateway::{Counter, Input, Notice};
use glassd_core::link::Orientation;
use glassd_core::query::{Answered, Ending};
use glassd_core::{GlassesId, Scene};
use glassd_policies::Privacy;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::cli::ReplayArgs;
use crate::config::Config;
use crate::control::{Ask, Reply, Request};
use crate::daemon::{Daemon, Extras};
use crate::event_loop::Event;
use crate::io::Observation;

/// How long a question may take before replay gives up on it: a large model on a slow device.
const PATIENCE: Duration = Duration::from_secs(60);

/// What replay saw.
#[derive(Debug, Default, Serialize)]
struct Report {
    frames: usize,
    /// What came over the air, of a capture.
    #[serde(skip_serializing_if = "Option::is_none")]
    air: Option<air::Air>,
    #[serde(skip)]
    glasses: Option<GlassesId>,
    #[serde(skip)]
    last_frame: Option<Arc<[u8]>>,
    perceived: usize,
    last_scene: Option<Scene>,
    answers: Vec<Answered>,
}

/// Plays the frames at their pace, then asks about the last of them.
pub(super) async fn run(mut config: Config, args: ReplayArgs) -> anyhow::Result<ExitCode> {
    let frames = args.frames.as_deref().map(frames).transpose()?.unwrap_or_default();
    let capture = args.capture.as_deref().map(air::open).transpose()?;
    if let Some(audio) = &args.audio {
        anyhow::ensure!(audio.is_file(), "--audio {} is no file", audio.display());
        eprintln!("glassd: sound is not heard yet; {} is ignored", audio.display());
    }
    // Replay leaves nothing behind and disturbs no running glassd.
    let state = tempfile::tempdir().context("cannot create a folder for the replay's state")?;
    config.gateway.state_dir = state.path().to_owned();
    config.gateway.control_socket = PathBuf::new();
    config.http.listen = String::new();
    config.mqtt.local_port = 0;
    // A broker keeps one client of each name: the gateway that runs must not be thrown off, nor get our answers.
    config.gateway.name = format!("{}-replay", config.gateway.name);
    config.glasses = Vec::new();
    if config.mqtt.broker.is_empty() {
        // There is no cloud to ask: say what is seen here, and how sure that is.
        config.gateway.privacy = Privacy::LocalOnly;
    }

    let (observer, mut observations) = mpsc::channel(4096);
    let daemon = Daemon::start(&config, Extras { observer: Some(observer) }).await?;
    let glasses: GlassesId = "replay".parse().expect("a legal name");
    let mut report = Report::default();
    let pace = Duration::from_secs_f32(1.0 / args.fps);
    for path in &frames {
        let jpeg = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        play(&daemon, &glasses, jpeg).await?;
        report.frames += 1;
        tokio::time::sleep(pace).await;
        drain(&mut observations, &mut report);
    }
    if let Some(capture) = capture {
        air::play(&daemon, capture, args.fast, &mut observations, &mut report).await?;
    }
    let glasses = report.glasses.clone().unwrap_or(glasses);
    let last = match (frames.last(), report.last_frame.clone()) {
        (Some(path), _) => std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
        (None, Some(jpeg)) => jpeg.to_vec(),
        (None, None) => Vec::new(),
    };
    for text in &args.ask {
        let answered = ask(&daemon, &glasses, text, &last, pace).await?;
        println!("{text}\n  {}", answered.answer);
        for line in explanation(&answered) {
            println!("    {line}");
        }
        report.answers.push(answered);
    }
    // A frame that nobody had to wait for still deserves its look.
    wait_for_scene(&daemon, &mut observations, &mut report).await;
    drain(&mut observations, &mut report);
    daemon.stop().await?;
    println!("{} frames played, {} seen by the model", report.frames, report.perceived);
    if let Some(air) = &report.air {
        println!("{air}");
    }
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report).context("the report cannot be written as JSON")?;
        std::fs::write(path, json).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let answered = report.answers.iter().all(|answered| answered.ending == Ending::Answered);
    let seen = report.perceived > 0;
    if !seen {
        eprintln!("glassd: no frame could be seen; are they JPEG?");
    }
    Ok(if answered && seen { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A file, or the JPEGs of a folder by name.
fn frames(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if path.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let entries =
        std::fs::read_dir(path).with_context(|| format!("cannot read the frames in {}", path.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|file| {
            let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            extension.eq_ignore_ascii_case("jpg") || extension.eq_ignore_ascii_case("jpeg")
        })
        .collect();
    files.sort();
    anyhow::ensure!(!files.is_empty(), "no .jpg or .jpeg in {}", path.display());
    Ok(files)
}

async fn play(daemon: &Daemon, glasses: &GlassesId, jpeg: Vec<u8>) -> anyhow::Result<()> {
    let input = Input::Frame { glasses: glasses.clone(), jpeg, orientation: Orientation::Upright };
    daemon.events.send(Event::Input(input)).await.ok().context("the daemon has ended")
}

/// Asks while the last picture goes on playing: the wearer keeps looking at it.
async fn ask(
    daemon: &Daemon,
    glasses: &GlassesId,
    text: &str,
    last: &[u8],
    pace: Duration,
) -> anyhow::Result<Answered> {
    let (replies, mut answers) = mpsc::channel(8);
    let request = Request::Ask(Ask { text: text.to_owned(), glasses: Some(glasses.clone()), query: None });
    daemon.events.send(Event::Control { request, replies }).await.ok().context("the daemon has ended")?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        tokio::select! {
            reply = answers.recv() => match reply {
                Some(Reply::Ended(answered)) => return Ok(*answered),
                Some(Reply::Deferred(_)) => anyhow::bail!(
                    "{text:?} is too hard for the models here, and no cloud worker is connected: \
                     configure mqtt.broker, or a better models.detector"
                ),
                Some(_) => {}
                None => anyhow::bail!("the daemon gave no answer to {text:?}"),
            },
            () = tokio::time::sleep(pace) => play(daemon, glasses, last.to_vec()).await?,
            () = tokio::time::sleep_until(deadline) => anyhow::bail!("no answer to {text:?} within {PATIENCE:?}"),
        }
    }
}

fn drain(observations: &mut mpsc::Receiver<Observation>, report: &mut Report) {
    while let Ok(observation) = observations.try_recv() {
        note(observation, report);
    }
}

/// Waits until a frame was seen, or every one of them was dropped.
async fn wait_for_scene(
    daemon: &Daemon,
    observations: &mut mpsc::Receiver<Observation>,
    report: &mut Report,
) {
    let started = tokio::time::Instant::now();
    while report.perceived == 0 && started.elapsed() < PATIENCE {
        let (reply, answer) = oneshot::channel();
        if daemon.events.send(Event::Snapshot(reply)).await.is_err() {
            return;
        }
        let Ok(snapshot) = answer.await else { return };
        let dropped = |(counter, count): (Counter, u64)| match counter {
            Counter::FramesDropped(_) | Counter::FramesSkipped(_) => count,
            _ => 0,
        };
        let gone: u64 = snapshot.counters.iter().map(dropped).sum();
        drain(observations, report);
        if gone >= report.frames as u64 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn note(observation: Observation, report: &mut Report) {
    match observation {
        Observation::Notice(Notice::Scene { scene, .. }) => {
            report.perceived += 1;
            report.last_scene = Some(scene);
        }
        Observation::Frame(frame) => {
            if let Some(air) = &mut report.air {
                air.handle_frame(&frame);
                report.frames += 1;
            }
            report.glasses = Some(frame.glasses);
            report.last_frame = Some(frame.jpeg);
        }
        _ => {}
    }
}

fn explanation(answered: &Answered) -> Vec<String> {
    let route = answered.route.map_or("no route".to_owned(), |route| format!("{route:?}").to_lowercase());
    let mut lines = vec![format!("{route}, {:.0} ms", answered.total_ms())];
    lines.extend(answered.evidence.iter().map(|evidence| format!("saw {evidence}")));
    lines.extend(answered.reasons.iter().map(|reason| format!("because {reason}")));
    lines
}
