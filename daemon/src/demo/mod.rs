//! `glassd demo`: the whole path on simulated glasses, every answer checked against the truth.
//!
//! Two wearers look around simulated rooms and ask. Everything between is real: the vendor's
//! protocol over a simulated radio, the decoder, the policies, the INT8 detector, the outbox, an
//! MQTT 5 broker, the cloud worker, HTTP to a model. Only the glasses, their world and the cloud
//! model are simulated.

mod live;
mod model_server;
mod remote;
mod summary;
mod wearer;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use glassd_cloud::{Backend, DEFAULT_PROMPT, OpenAi, OpenAiSettings, Worker, WorkerConfig};
use glassd_core::GlassesId;
use glassd_core::gateway::Notice;
use glassd_core::query::Answered;
use glassd_policies::Route;
use glassd_sim::cloud::Oracle;
use glassd_sim::questions::Question;
use glassd_sim::radio::RadioSettings;
use glassd_sim::world::{Camera, Room};
use tokio::sync::{mpsc, oneshot};

use self::live::Live;
use self::model_server::Temper;
use self::remote::Remote;
use self::summary::{BUDGET_KB_PER_MIN, Samples};
pub use self::summary::{Stage, Summary};
use self::wearer::{Outcome, Task, Way, Wearer, reconcile};
use crate::cli::{BrokenPart, DemoArgs};
use crate::config::{Config, GlassesConfig, GlassesKind, Pairing};
use crate::daemon::{Daemon, Extras};
use crate::io::Observation;
use crate::links::simulated::Direction;
use crate::telemetry::resident_bytes;

const WEARERS: [&str; 2] = ["amber", "birch"];
/// Observations that wait for the screen. Full-queue rule: see [`crate::io::Io::observer`].
const MAX_OBSERVATIONS: usize = 4096;
/// How long the last answer may be on its way over the radio.
const LAST_WORD: Duration = Duration::from_secs(3);

/// Runs the demo and returns its summary, judged.
pub async fn run(args: &DemoArgs) -> anyhow::Result<Summary> {
    let live = Live::start();
    let state = tempfile::tempdir().context("cannot create a folder for the demo's state")?;
    let config = config(args, state.path().to_owned());
    let plan = plan(args);
    let oracle = Oracle::new(plan.iter().map(|task| (&task.room, Camera::default())));
    let temper = if args.broken == Some(BrokenPart::Cloud) { Temper::Nonsense } else { Temper::Honest };
    let (model, model_task) = model_server::spawn(oracle, temper).await?;

    let (observer, observations) = mpsc::channel(MAX_OBSERVATIONS);
    let daemon = Daemon::start(&config, Extras { observer: Some(observer) }).await?;
    let worker = match args.broken {
        Some(BrokenPart::Worker) => None,
        Some(BrokenPart::Cloud | BrokenPart::Camera) | None => Some(worker(&daemon, &config, model)?),
    };
    println!(
        "glassd {}: 2 simulated pairs of glasses, broker {}, metrics on {}, {} questions\n",
        env!("CARGO_PKG_VERSION"),
        daemon.broker,
        daemon.http.map_or("no port".to_owned(), |address| format!("http://{address}/metrics")),
        args.questions
    );
    let remote = Remote::connect(&daemon.broker, &config.mqtt.topic_prefix, &config.gateway.name);
    let mut ended = BTreeMap::new();
    let mut wearers = Vec::new();
    let mut directions = Vec::new();
    for (index, (id, direct)) in daemon.directions.clone().into_iter().enumerate() {
        if args.broken == Some(BrokenPart::Camera) {
            let _ = direct.send(Direction::BreakCamera).await;
        }
        directions.push(direct.clone());
        let (tell, told) = mpsc::channel(16);
        ended.insert(id.clone(), tell);
        let wearer = Wearer {
            glasses: id,
            directions: direct,
            events: daemon.events.clone(),
            remote: remote.clone(),
            ended: told,
            live: live.clone(),
            patience: Duration::from_secs(args.patience),
        };
        let tasks = plan.iter().skip(index).step_by(WEARERS.len()).cloned().collect();
        wearers.push(tokio::spawn(wearer.wear(tasks)));
    }
    let watcher = tokio::spawn(watch(observations, ended, live.clone()));
    let started = live.elapsed();
    let mut outcomes = Vec::new();
    for wearer in wearers {
        outcomes.extend(wearer.await.context("a wearer ended early")?);
    }
    let elapsed = live.elapsed().saturating_sub(started);
    let told = heard(&directions, &outcomes).await;
    let rss_mb = resident_bytes().unwrap_or_default() as f64 / 1e6;
    if let Some(worker) = worker {
        worker.stop().await;
    }
    daemon.stop().await?;
    model_task.abort();
    let seen = watcher.await.context("the watcher ended early")?;
    Ok(summarise(&outcomes, &told, &seen, elapsed, rss_mb))
}

/// The demo's own configuration: everything on loopback, on free ports, in a folder that goes away.
fn config(args: &DemoArgs, state_dir: PathBuf) -> Config {
    let mut config = Config::default();
    config.gateway.name = "demo".to_owned();
    config.gateway.control_socket = state_dir.join("control.sock");
    config.gateway.state_dir = state_dir;
    config.mqtt.broker = args.broker.clone().unwrap_or_default();
    config.mqtt.local_port = 0;
    config.http.listen = "127.0.0.1:0".to_owned();
    let glasses = |(index, name): (usize, &&str)| GlassesConfig {
        name: name.parse().expect("a legal name"),
        kind: GlassesKind::Simulated,
        address: String::new(),
        right_address: String::new(),
        pairing: Pairing::default(),
        seed: args.seed + index as u64,
        goodput_bytes_per_s: RadioSettings::default().goodput,
        microphone: false,
        offline_audio: false,
        offline_audio_mb: 1,
    };
    config.glasses = WEARERS.iter().enumerate().map(glasses).collect();
    config.uplink.kilobytes_per_minute = BUDGET_KB_PER_MIN;
    config.queries.answer_timeout_s = 5;
    config
}

/// Which rooms are looked at, and what is asked about them: two easy questions, then a hard one.
fn plan(args: &DemoArgs) -> Vec<Task> {
    (0..u64::from(args.questions))
        .map(|index| {
            // Far from the seeds of training and calibration.
            let seed = (args.seed << 32) + 0x5eed_0000 + index;
            let room = Room::random(seed);
            let camera = Camera::default();
            let question = match index % 3 {
                2 => Question::hard(&room, camera, seed),
                _ => Question::local(&room, camera, seed),
            };
            let way = match index % 8 {
                5 => Way::Mqtt,
                _ if question.text == Config::default().gateway.button_question => Way::Button,
                _ => Way::Control,
            };
            Task { room, question, way }
        })
        .collect()
}

/// What the watcher gathered.
struct Seen {
    samples: Samples,
    uplink_bytes: usize,
}

async fn watch(
    mut observations: mpsc::Receiver<Observation>,
    ended: BTreeMap<GlassesId, mpsc::Sender<Answered>>,
    live: Live,
) -> Seen {
    let mut seen = Seen { samples: Samples::default(), uplink_bytes: 0 };
    while let Some(observation) = observations.recv().await {
        match observation {
            Observation::Stage(stage, duration) => seen.samples.add(stage, duration),
            Observation::Frame(_) => {}
            Observation::Sound(_) => {}
            Observation::Notice(notice) => {
                if let Notice::Forwarded { bytes, .. } = &notice {
                    seen.uplink_bytes += bytes;
                }
                live.notice(&notice);
            }
            Observation::Ended(answered) => {
                let wearer = answered.glasses.as_ref().and_then(|glasses| ended.get(glasses));
                if let Some(wearer) = wearer {
                    // A wearer who gave up is gone.
                    let _ = wearer.send(*answered).await;
                }
            }
        }
    }
    seen
}

/// Asks the glasses what they were told. The answer to the last question may still be on its way over the radio when the
/// gateway has done its part.
async fn heard(
    directions: &[mpsc::Sender<Direction>],
    outcomes: &[Outcome],
) -> Vec<(glassd_core::QueryId, String)> {
    let unanswered = outcomes.iter().filter(|outcome| outcome.answered.is_none()).count();
    let asked = tokio::time::Instant::now();
    loop {
        let mut told = Vec::new();
        for direct in directions {
            told.extend(answers(direct).await);
        }
        if reconcile(outcomes, &told).0 <= unanswered || asked.elapsed() > LAST_WORD {
            return told;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn answers(direct: &mpsc::Sender<Direction>) -> Vec<(glassd_core::QueryId, String)> {
    let (reply, told) = oneshot::channel();
    let _ = direct.send(Direction::Answers(reply)).await;
    told.await.unwrap_or_default()
}

fn summarise(
    outcomes: &[Outcome],
    told: &[(glassd_core::QueryId, String)],
    seen: &Seen,
    elapsed: Duration,
    rss_mb: f64,
) -> Summary {
    let (lost, duplicated) = reconcile(outcomes, told);
    let by_route = |route: Route| {
        let taken = |outcome: &&Outcome| outcome.answered.as_ref().is_some_and(|a| a.route == Some(route));
        outcomes.iter().filter(taken).count()
    };
    let right = outcomes.iter().filter(|outcome| outcome.right).count();
    let minutes = (elapsed.as_secs_f64() / 60.0).max(1.0 / 60.0);
    let mut summary = Summary {
        queries: outcomes.len(),
        right,
        wrong: outcomes.len() - right,
        local: by_route(Route::Local),
        cloud: by_route(Route::Cloud),
        lost,
        duplicated,
        kb_per_min: seen.uplink_bytes as f64 / 1024.0 / minutes,
        rss_mb,
        stages: seen.samples.stages(),
        failures: Vec::new(),
    };
    summary.judge();
    summary
}

/// A cloud worker in a task of its own.
struct RunningWorker {
    shutdown: oneshot::Sender<()>,
    task: tokio::task::JoinHandle<glassd_cloud::Counts>,
}

impl RunningWorker {
    async fn stop(self) {
        drop(self.shutdown);
        // It ends with what it was doing, or is left behind with the process.
        let _ = tokio::time::timeout(Duration::from_secs(2), self.task).await;
    }
}

fn worker(daemon: &Daemon, config: &Config, model: std::net::SocketAddr) -> anyhow::Result<RunningWorker> {
    let broker = daemon.broker.to_string().parse().context("the worker's broker")?;
    let backend = OpenAi::new(OpenAiSettings {
        base_url: format!("http://{model}/v1"),
        model: model_server::MODEL.to_owned(),
        key: None,
        prompt: DEFAULT_PROMPT.to_owned(),
    })?;
    let mut settings = WorkerConfig::new(broker, Backend::OpenAi(backend));
    settings.topic_prefix.clone_from(&config.mqtt.topic_prefix);
    let (shutdown, stop) = oneshot::channel::<()>();
    let task = tokio::spawn(Worker::run(settings, async {
        // Dropping the sender is the signal.
        let _ = stop.await;
    }));
    Ok(RunningWorker { shutdown, task })
}
