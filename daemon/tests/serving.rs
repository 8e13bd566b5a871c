//! Several models behind one name, newer frames before older, results that stand for pictures like theirs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use glassd::clock::Clock;
use glassd::event_loop::Event;
use glassd::telemetry::{Metrics, Snapshot};
use glassd::vision::{Job, JobResult, Perception, Vision};
use glassd_core::gateway::{Frame, FrameFailure, Urgency};
use glassd_core::link::Orientation;
use glassd_core::{FrameId, QueryId, Scene};
use glassd_inference::serving::{Models, ResultCacheSettings};
use glassd_inference::{Manifest, ModelStore};
use glassd_media::Image;
use glassd_policies::Compression;
use support::{Gateway, wait_until};
use tokio::sync::mpsc;

/// The embedded detector under two names, each with 3 MB to its name, and what is built on them.
fn manifest() -> String {
    let entry = include_str!("../../runtime/inference/models/scene.toml");
    let model = |name: &str| {
        let entry = entry.replace("name = \"scene\"", &format!("name = {name:?}\nmemory_mb = 3"));
        format!("[[model]]\n{entry}\n")
    };
    let rest = r#"
        [[ensemble]]
        name = "both"
        members = [{ model = "one" }, { model = "two" }]
        thresholds = { floor = 0.05, decision = 0.45 }
        [[variant]]
        name = "seeing"
        arms = [{ model = "one", weight = 0 }, { model = "both", weight = 1 }]
    "#;
    format!("{}{}{rest}", model("one"), model("two"))
}

/// The value of a metric whose line starts so.
fn metric(page: &str, start: &str) -> f64 {
    let line = page.lines().find(|line| line.starts_with(start));
    line.and_then(|line| line.rsplit(' ').next()).map_or(0.0, |value| value.parse().unwrap())
}

/// Asks until it is answered here; returns the explanation.
fn answered(gateway: &Gateway) -> String {
    wait_until("a question is answered here", || {
        gateway.glassd(&["ask", "what do you see?"]).status.success()
    });
    String::from_utf8_lossy(&gateway.glassd(&["why", "last"]).stdout).into_owned()
}

#[test]
fn two_models_and_an_ensemble_serve_in_the_room_of_one() {
    const GLASSES: &str = "[[glasses]]\nname = \"amber\"\nkind = \"simulated\"\nseed = 3\n";
    for (detector, told) in [("both", "one, two: ensemble"), ("seeing", "both of seeing: variant")] {
        let models = format!(
            "[models]\naccelerator = \"cpu\"\ndetector = {detector:?}\nmanifest = \"MODELS/models.toml\"\nmemory_mb = 4\n"
        );
        let mut gateway = Gateway::configure("", "local-only", "");
        let folder = gateway.folder.path().join("models");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join("models.toml"), manifest()).unwrap();
        let onnx = support::root().join("runtime/inference/models/scene.onnx");
        std::fs::copy(onnx, folder.join("scene.onnx")).unwrap();
        let config = std::fs::read_to_string(gateway.config()).unwrap()
            + &models.replace("MODELS", folder.to_str().unwrap())
            + GLASSES;
        std::fs::write(gateway.config(), config).unwrap();
        let verified = gateway.glassd(&["models", "verify", "seeing"]);
        let said = String::from_utf8_lossy(&verified.stdout).into_owned();
        assert!(verified.status.success() && said == "ok    one\nok    two\n", "{said}");
        let listed = String::from_utf8_lossy(&gateway.glassd(&["models", "list"]).stdout).into_owned();
        assert!(listed.contains("all of   one × 1, two × 1") && listed.contains("both 100 %"), "{listed}");

        gateway.start();
        let why = answered(&gateway);
        assert!(why.contains(told), "{why}");
        let page = gateway.get("/metrics").1;
        // Each look needs both, and there is room for one: it is loaded anew for each.
        for model in ["one", "two"] {
            let label = format!("{{model={model:?}}}");
            assert!(metric(&page, &format!("glassd_model_loads_total{label}")) >= 2.0, "{page}");
            assert!(metric(&page, &format!("glassd_model_unloads_total{label}")) >= 1.0, "{page}");
        }
        assert_eq!(metric(&page, "glassd_models_bytes{accelerator=\"cpu\"}"), 3e6, "{page}");
        assert!(metric(&page, "glassd_perceive_seconds_count{model=\"both\"}") >= 1.0, "{page}");
    }
}

#[test]
fn what_does_not_fit_is_told_before_anything_starts() {
    let gateway = Gateway::configure(
        "",
        "local-only",
        "[models]\nmemory_mb = 1\ndetector = \"one\"\nmanifest = \"M\"\n",
    );
    let path = gateway.folder.path().join("models.toml");
    std::fs::write(&path, manifest()).unwrap();
    let onnx = support::root().join("runtime/inference/models/scene.onnx");
    std::fs::copy(onnx, gateway.folder.path().join("scene.onnx")).unwrap();
    let config = std::fs::read_to_string(gateway.config()).unwrap();
    std::fs::write(gateway.config(), config.replace("\"M\"", &format!("{path:?}"))).unwrap();
    let refused = gateway.glassd(&["run"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success());
    assert!(said.contains("model one: it needs 3 MB, and all models together may have 1 MB"), "{said}");
}

/// The threads on the embedded detector, without a daemon around them.
struct Threads {
    vision: Vision,
    events: mpsc::Receiver<Event>,
    metrics: Arc<Metrics>,
    clock: Clock,
}

impl Threads {
    fn start(cache: ResultCacheSettings) -> Self {
        Self::look_with("embedded", Manifest::default(), Models::new(None, u64::MAX), cache)
    }

    fn look_with(target: &str, manifest: Manifest, models: Models, cache: ResultCacheSettings) -> Self {
        let (sender, events) = mpsc::channel(1024);
        let (metrics, clock) = (Arc::new(Metrics::default()), Clock::start());
        let perception = Perception { target: target.into(), manifest, gateway: "test".into(), cache };
        let vision = Vision::spawn(perception, models, clock, Arc::clone(&metrics.serving), sender).unwrap();
        Self { vision, events, metrics, clock }
    }

    /// The next result of a thread.
    fn next(&mut self) -> JobResult {
        match self.events.blocking_recv().unwrap() {
            Event::Vision(done) => done.result,
            other => panic!("{other:?}"),
        }
    }

    fn page(&self) -> String {
        self.metrics.render(Snapshot::default()).unwrap()
    }
}

const OFF: ResultCacheSettings = ResultCacheSettings { lifetime: Duration::ZERO, distance: 0, most: 0 };

/// A ball on a wall that gets lighter to one side.
fn jpeg(ball: f64) -> Arc<[u8]> {
    let picture = Image::from_fn(640, 480, |x, y| {
        let is_ball = (f64::from(x) - ball).hypot(f64::from(y) - 240.0) < 80.0;
        let wall = 60 + (x / 8) as u8 + (y / 16) as u8;
        if is_ball { [200, 30, 30] } else { [wall, wall, wall] }
    });
    glassd_media::encode(&picture.unwrap(), 85).into()
}

fn frame(id: u64, jpeg: &Arc<[u8]>) -> Frame {
    Frame {
        id: FrameId(id),
        glasses: "amber".parse().unwrap(),
        jpeg: Arc::clone(jpeg),
        orientation: Orientation::Upright,
        taken_at: glassd_core::Timestamp::default(),
        transfer: Duration::ZERO,
    }
}

#[test]
fn under_load_the_newest_frame_is_seen_and_no_question_is_lost() {
    const FRAMES: u64 = 200;
    let mut threads = Threads::start(OFF);
    let jpeg = jpeg(320.0);
    let compression = Compression { longest_side: 64, quality: 60 };
    let until = threads.clock.now() + Duration::from_secs(60);
    let (mut superseded, mut seen, mut images) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut expected = BTreeSet::new();
    for id in 1..=FRAMES {
        // Every 20th is what a question waits for; every 10th is to be sent.
        let urgency = if id % 20 == 0 { Urgency::Awaited { until } } else { Urgency::Routine };
        match threads.vision.submit(Job::Perceive { frame: frame(id, &jpeg), urgency }) {
            Some(JobResult::Perceived(older, Err(FrameFailure::Superseded))) => superseded.push(older.0),
            None => {}
            Some(other) => panic!("{other:?}"),
        }
        if id % 10 == 0 {
            let query = QueryId(id);
            expected.insert(query);
            let job = Job::Prepare { query, frame: frame(id, &jpeg), compression };
            assert!(threads.vision.submit(job).is_none());
        }
    }
    while (seen.len() + superseded.len()) < FRAMES as usize || images.len() < expected.len() {
        match threads.next() {
            JobResult::Perceived(frame, result) => {
                assert!(!result.unwrap().objects.is_empty());
                seen.push(frame.0);
            }
            JobResult::Prepared(query, image) => {
                assert!(!image.unwrap().is_empty() && images.insert(query), "{query} twice");
            }
            JobResult::Probed(..) => panic!("nothing was probed"),
        }
    }
    assert_eq!(images, expected);
    assert!((20..=FRAMES).step_by(20).all(|asked| seen.contains(&asked)), "{seen:?}");
    assert!(seen.contains(&(FRAMES - 1)), "the newest frame of those that replace each other: {seen:?}");
    assert!(superseded.len() > 100, "{} were superseded", superseded.len());
    let all: BTreeSet<u64> = seen.iter().chain(&superseded).copied().collect();
    assert_eq!(all, (1..=FRAMES).collect());
    assert_eq!(threads.vision.depth(), 0);
}

#[test]
fn frames_of_several_glasses_share_a_turn_and_a_broken_one_costs_only_itself() {
    let batched = "thresholds = { floor = 0.05, decision = 0.45 }\nbatch = { largest = 3, wait_ms = 1000 }";
    let text = manifest().replace(
        "thresholds = { floor = 0.05, decision = 0.45 }\n        [[variant]]",
        &format!("{batched}\n[[variant]]"),
    );
    let manifest = Manifest::parse(&text).unwrap();
    let folder = support::root().join("runtime/inference/models");
    let models = Models::new(Some(ModelStore::open(manifest.clone(), folder)), 4_000_000);
    let mut threads = Threads::look_with("both", manifest, models, OFF);
    let (whole, broken) = (jpeg(320.0), Arc::from(&b"no picture"[..]));
    for (id, glasses, jpeg) in [(1, "amber", &whole), (2, "blue", &broken), (3, "green", &whole)] {
        let frame = Frame { glasses: glasses.parse().unwrap(), ..frame(id, jpeg) };
        assert!(threads.vision.submit(Job::Perceive { frame, urgency: Urgency::Routine }).is_none());
    }
    let mut seen: Vec<(u64, bool)> = (0..3)
        .map(|_| match threads.next() {
            JobResult::Perceived(frame, Ok(scene)) => (frame.0, !scene.objects.is_empty()),
            JobResult::Perceived(frame, Err(FrameFailure::Undecodable { .. })) => (frame.0, false),
            other => panic!("{other:?}"),
        })
        .collect();
    seen.sort_unstable();
    assert_eq!(seen, [(1, true), (2, false), (3, true)]);
    // Each member was loaded once for all.
    wait_until("the turn is counted", || {
        metric(&threads.page(), "glassd_model_loads_total{model=\"two\"}") == 1.0
    });
    let page = threads.page();
    assert_eq!(metric(&page, "glassd_batch_frames_count{accelerator=\"cpu\"}"), 1.0, "{page}");
    assert_eq!(metric(&page, "glassd_batch_frames_sum{accelerator=\"cpu\"}"), 2.0, "{page}");
    assert_eq!(metric(&page, "glassd_model_loads_total{model=\"one\"}"), 1.0, "{page}");
}

#[test]
fn what_comes_too_late_for_its_question_is_given_back() {
    let mut threads = Threads::start(OFF);
    let jpeg = jpeg(320.0);
    let until = threads.clock.now();
    std::thread::sleep(Duration::from_millis(5));
    let job = Job::Perceive { frame: frame(1, &jpeg), urgency: Urgency::Awaited { until } };
    assert!(threads.vision.submit(job).is_none());
    let result = threads.next();
    assert!(matches!(result, JobResult::Perceived(FrameId(1), Err(FrameFailure::Expired))), "{result:?}");
}

#[test]
fn a_picture_like_the_last_is_not_looked_at_again() {
    let lifetime = Duration::from_secs(60);
    let mut threads = Threads::start(ResultCacheSettings { lifetime, distance: 2, most: 8 });
    let (here, there) = (jpeg(320.0), jpeg(120.0));
    // Probes, then perceives; returns what was seen, and whether it was there at once.
    let mut look = |id: u64, jpeg: &Arc<[u8]>, urgency: Urgency| -> (Scene, bool) {
        assert!(threads.vision.submit(Job::Probe(frame(id, jpeg))).is_none());
        assert!(matches!(threads.next(), JobResult::Probed(_, Ok(_))));
        let at_once = threads.vision.submit(Job::Perceive { frame: frame(id, jpeg), urgency });
        let is_at_once = at_once.is_some();
        match at_once.unwrap_or_else(|| threads.next()) {
            JobResult::Perceived(frame, Ok(scene)) if frame.0 == id => (scene, is_at_once),
            other => panic!("{other:?}"),
        }
    };
    let (first, at_once) = look(1, &here, Urgency::Routine);
    assert!(!at_once && first.objects.len() == 1 && first.how.is_empty(), "{first:?}");
    let (again, at_once) = look(2, &here, Urgency::Active);
    assert!(at_once && again.objects == first.objects && again.how[0].rule == "seen-before", "{again:?}");
    let (other, at_once) = look(3, &there, Urgency::Routine);
    assert!(!at_once && other.objects != first.objects, "{other:?}");
    // A question is not answered by resemblance.
    let until = Clock::start().now() + Duration::from_secs(60);
    let (asked, at_once) = look(4, &here, Urgency::Awaited { until });
    assert!(!at_once && asked.how.is_empty(), "{asked:?}");
    let page = threads.page();
    assert_eq!(metric(&page, "glassd_result_cache_hits_total"), 1.0, "{page}");
    assert_eq!(metric(&page, "glassd_result_cache_misses_total"), 2.0, "{page}");
    assert_eq!(metric(&page, "glassd_batch_frames_count{accelerator=\"cpu\"}"), 3.0, "{page}");
}
