//! Puts the daemon together: every task and thread starts here, and ends with [`Daemon::stop`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use glassd_core::gateway::{Gateway, Input, Settings};
use glassd_core::link::Write;
use glassd_core::{GlassesId, Timestamp, Vocabulary};
use glassd_policies::Policies;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::accelerators;
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::{Config, GlassesKind};
use crate::control::{self, Control};
use crate::event_loop::{self, Event, MAX_EVENTS, Sources};
use crate::io::{BrokerReach, Io, IoState, Observation};
use crate::mqtt::{BrokerAddress, Device, KeepAlive, Publication, Topics, Uplink, UplinkSettings};
use crate::outbox::{Outbox, OutboxSettings};
use crate::recordings::Recordings;
use crate::systemd::ServiceManager;
use crate::telemetry::Metrics;
use crate::vision::Vision;

/// Writes that wait for a link. Full-queue rule: see [`Io::links`].
pub const MAX_WRITES: usize = 32;

/// What the caller adds to the configuration.
#[derive(Default)]
pub struct Extras {
    /// Whoever watches.
    pub observer: Option<mpsc::Sender<Observation>>,
}

/// A running daemon.
pub struct Daemon {
    /// Where events go.
    pub events: mpsc::Sender<Event>,
    /// The daemon's clock.
    pub clock: Clock,
    /// Where metrics are served.
    pub http: Option<SocketAddr>,
    /// Where the broker is.
    pub broker: BrokerAddress,
    /// Takes stage directions for the simulated glasses.
    #[cfg(feature = "demo")]
    pub directions: BTreeMap<GlassesId, mpsc::Sender<crate::links::simulated::Direction>>,
    event_loop: JoinHandle<()>,
    tasks: Vec<JoinHandle<()>>,
    control: Option<Control>,
}

impl Daemon {
    /// Starts everything that the configuration names.
    pub async fn start(config: &Config, extras: Extras) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let cache = accelerators::cache(config);
        let (perception, mut models) = crate::models::perception(config, Some(&cache))?;
        let vocabulary = crate::models::admitted(&mut models, &config.models.detector)?;
        let policies = load_policies(config)?;
        let privacy = crate::privacy::at_start(config);
        let (events, loop_events) = mpsc::channel(MAX_EVENTS);
        let recordings = Recordings::open(&config.gateway.state_dir, &config.glasses, events.clone())?;
        let (recordings, kept) = recordings.map(|opened| (opened.recordings, opened.kept)).unzip();
        let calibrated = crate::calibration::read(&config.gateway.state_dir)?;
        let (outbox_events, outbox_done) = mpsc::channel(MAX_EVENTS);
        let outbox_settings = OutboxSettings {
            history_lifetime: (config.queries.history_days > 0)
                .then(|| Duration::from_secs(config.queries.history_days * 24 * 60 * 60)),
            known_outcome: calibrated.as_ref().map_or(0, |found| found.newest_outcome),
            ..OutboxSettings::new(config.outbox_path())
        };
        let opened = Outbox::open(&outbox_settings, outbox_events)
            .with_context(|| format!("gateway.state_dir = {}", config.gateway.state_dir.display()))?;
        if let Some(aside) = &opened.set_aside {
            tracing::error!(path = %aside.path.display(), reason = aside.reason, "the outbox was damaged and is set aside");
        }
        let settings = Settings {
            calibration: calibrated.map(|found| found.calibration),
            drift: opened.drift,
            offline_audio: kept.unwrap_or_default(),
            microphones: config
                .glasses
                .iter()
                .filter(|one| one.microphone)
                .map(|one| one.name.clone())
                .collect(),
            ..settings(config, vocabulary, policies, clock.now())
        };
        let mut gateway = Gateway::new(settings, clock.now());

        let (uplink_events, uplink_done) = mpsc::channel(MAX_EVENTS);
        let metrics = Arc::new(Metrics::default());
        let serving = Arc::clone(&metrics.serving);
        let vision = Vision::spawn(perception, models, clock, serving, events.clone())?;
        let (broker, reach) = broker(config)?;
        let discovery = discovery(config);
        let uplink = Uplink::spawn(uplink_settings(config, &broker)?, uplink_events);

        let mut tasks = Vec::new();
        let http = if config.http.listen.is_empty() {
            None
        } else {
            let (address, task) =
                crate::http::spawn(&config.http.listen, events.clone(), Arc::clone(&metrics)).await?;
            tasks.push(task);
            Some(address)
        };
        let control = if config.gateway.control_socket.as_os_str().is_empty() {
            None
        } else {
            Some(control::spawn(&config.gateway.control_socket, events.clone())?)
        };
        #[cfg_attr(
            not(any(feature = "bluetooth", feature = "demo")),
            expect(unused_mut, reason = "the kinds of links that are built in fill it")
        )]
        let mut links: BTreeMap<GlassesId, mpsc::Sender<Write>> = BTreeMap::new();
        #[cfg_attr(not(feature = "bluetooth"), expect(unused_mut, reason = "only radios are paused"))]
        let mut pauses = BTreeMap::new();
        let simulated: Vec<_> =
            config.glasses.iter().filter(|glasses| glasses.kind == GlassesKind::Simulated).collect();
        let real: Vec<_> = config
            .glasses
            .iter()
            .filter_map(|glasses| Some((glasses.clone(), glasses.kind.profile()?)))
            .collect();
        #[cfg(feature = "demo")]
        let mut directions = BTreeMap::new();
        #[cfg(feature = "demo")]
        for &glasses in &simulated {
            let link = crate::links::simulated::spawn(glasses, events.clone(), clock);
            links.insert(glasses.name.clone(), link.writes);
            directions.insert(glasses.name.clone(), link.directions);
            tasks.push(link.task);
        }
        #[cfg(not(feature = "demo"))]
        anyhow::ensure!(simulated.is_empty(), "this glassd was built without simulated glasses");
        #[cfg(feature = "bluetooth")]
        {
            let bluetooth = crate::links::bluetooth::spawn(&config.bluetooth, &real, &events);
            links.extend(bluetooth.writes);
            pauses.extend(bluetooth.pauses);
            tasks.extend(bluetooth.tasks);
        }
        #[cfg(not(feature = "bluetooth"))]
        anyhow::ensure!(real.is_empty(), "this glassd was built without Bluetooth");

        if !opened.queries.is_empty() {
            tracing::info!(count = opened.queries.len(), "queries of the last run are taken up again");
        }
        // Their outputs wait in the gateway until the loop drains them with its first input.
        for row in opened.queries {
            gateway.handle(Input::Restored(row), clock.now());
        }
        let io = Io {
            links,
            pauses,
            vision,
            outbox: opened.outbox,
            recordings,
            uplink,
            metrics,
            observer: extras.observer,
            broker: reach,
            privacy,
            now: clock.now(),
            state_dir: config.gateway.state_dir.clone(),
            discovery,
            state: IoState::default(),
        };
        let manager = ServiceManager::new();
        manager.ready();
        let sources = Sources { events: loop_events, outbox: outbox_done, uplink: uplink_done };
        let event_loop = tokio::spawn(event_loop::run(gateway, io, sources, clock, manager));
        // The first turn drains what the restored queries made.
        let _ = events.try_send(Event::Input(Input::Timeout));
        Ok(Self {
            events,
            clock,
            http,
            broker,
            #[cfg(feature = "demo")]
            directions,
            event_loop,
            tasks,
            control,
        })
    }

    /// Runs until the loop ends by itself, which it does only when it panicked.
    pub async fn ended(&mut self) -> anyhow::Result<()> {
        (&mut self.event_loop).await.context("the event loop has ended")
    }

    /// Stops everything; what is in the outbox stays there.
    pub async fn stop(self) -> anyhow::Result<()> {
        drop(self.control);
        for task in &self.tasks {
            task.abort();
        }
        // A loop that is already gone takes no event.
        let _ = self.events.send(Event::Shutdown).await;
        self.event_loop.await.context("the event loop did not end well")
    }
}

/// Loads the built-in policies and the files that replace some of them.
pub fn load_policies(config: &Config) -> anyhow::Result<Policies> {
    let mut policies = Policies::default();
    for path in &config.policies.files {
        policies.replace(load_policy(path)?);
    }
    Ok(policies)
}

fn load_policy(path: &Path) -> anyhow::Result<glassd_policies::PolicyFile> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the policy {}", path.display()))?;
    glassd_policies::PolicyFile::parse(&text).with_context(|| format!("in the policy {}", path.display()))
}

fn settings(config: &Config, vocabulary: Vocabulary, policies: Policies, now: Timestamp) -> Settings {
    Settings {
        policies,
        vocabulary,
        utc_offset_minutes: utc_offset_minutes(now),
        privacy: crate::privacy::at_start(config),
        button_question: config.gateway.button_question.clone(),
        language: config.gateway.language.clone(),
        encoding: config.mqtt.encoding,
        query_lifetime: Duration::from_secs(config.queries.lifetime_s),
        frame_wait: Duration::from_millis(config.queries.frame_wait_ms),
        frame_freshness: Duration::from_millis(config.queries.frame_freshness_ms),
        answer_timeout: Duration::from_secs(config.queries.answer_timeout_s),
        in_flight: config.uplink.in_flight,
        uplink_bytes_per_minute: config.uplink.kilobytes_per_minute * 1024,
        seed: crate::random_seed(),
        ..Settings::default()
    }
}

/// Minutes that the system's time zone is ahead of UTC now.
fn utc_offset_minutes(now: Timestamp) -> i32 {
    let seconds = i64::try_from(now.as_secs()).unwrap_or_default();
    let zone = jiff::tz::TimeZone::system();
    jiff::Timestamp::from_second(seconds).map_or(0, |at| zone.to_offset(at).seconds() / 60)
}

/// The configured broker, or one in process.
fn broker(config: &Config) -> anyhow::Result<(BrokerAddress, BrokerReach)> {
    if config.mqtt.broker.is_empty() {
        let running = Broker::spawn(config.mqtt.local_port)
            .with_context(|| format!("mqtt.local_port = {}", config.mqtt.local_port))?;
        return Ok((BrokerAddress::from(running.addr), BrokerReach::Local));
    }
    let address: BrokerAddress = config.mqtt.broker.parse().context("mqtt.broker")?;
    let reach = if address.is_loopback() { BrokerReach::Local } else { BrokerReach::Remote };
    Ok((address, reach))
}

/// What Home Assistant is told, where it is.
fn discovery(config: &Config) -> Vec<Publication> {
    let mqtt = &config.mqtt;
    if !mqtt.home_assistant {
        return Vec::new();
    }
    let topics = Topics::new(&mqtt.topic_prefix, &config.gateway.name);
    let glasses = config.glasses.iter().map(|glasses| &glasses.name);
    let told = |Device { path, config }| {
        let topic = format!("{}/device/{path}/config", mqtt.home_assistant_prefix);
        Publication::Discovery { topic, config }
    };
    crate::mqtt::devices(&topics, &config.gateway.name, glasses).into_iter().map(told).collect()
}

fn uplink_settings(config: &Config, broker: &BrokerAddress) -> anyhow::Result<UplinkSettings> {
    let mqtt = &config.mqtt;
    let topics = Topics::new(&mqtt.topic_prefix, &config.gateway.name);
    let client_id = format!("glassd-{}", config.gateway.name);
    let mut settings = UplinkSettings::new(broker.clone(), client_id, topics);
    settings.encoding = mqtt.encoding;
    settings.version = mqtt.version;
    settings.home_assistant = mqtt.home_assistant.then(|| mqtt.home_assistant_prefix.clone());
    if mqtt.keep_alive_s != 0 {
        settings.keep_alive = KeepAlive::Fixed(Duration::from_secs(mqtt.keep_alive_s.into()));
    }
    settings.access = crate::secrets::mqtt_access(config)?;
    // What is wrong with the files is said now; later, when they are read anew, it would be said at every connection.
    settings.access.read(broker).context("secrets and certificates of [mqtt]")?;
    Ok(settings)
}
