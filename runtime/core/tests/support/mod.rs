//! A gateway in virtual time, with everything around it played by the test.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use glassd_core::gateway::{
    Counter, Frame, FrameFailure, Gateway, Input, Notice, Output, Probe, Recording, Settings, Sound, Urgency,
};
use glassd_core::link::answer_text::{self, Kind};
use glassd_core::link::{Characteristic, Orientation, Profile, Write, omi};
use glassd_core::query::{Answered, Source, Stage, StoredQuery};
use glassd_core::wire::{AnswerMessage, Encoding, Outcome, QueryMessage, VERSION};
use glassd_core::{BoundingBox, GlassesId, Object, QueryId, Scene, Timestamp, Vocabulary};
use glassd_policies::calibration::Outcome as CandidateOutcome;

pub const START: Timestamp = Timestamp::from_secs(1_700_000_000);

/// What glasses notify when they are written to.
pub type Device = Box<dyn FnMut(&Write) -> Vec<(Characteristic, Vec<u8>)>>;

/// The world around the gateway.
pub struct World {
    pub gateway: Gateway,
    pub now: Timestamp,
    /// What perception sees on each pair of glasses.
    pub scenes: BTreeMap<GlassesId, Scene>,
    /// What every probe measures.
    pub probe: Result<Probe, FrameFailure>,
    /// Rows of the outbox.
    pub disk: BTreeMap<QueryId, StoredQuery>,
    /// The outbox refuses to write.
    pub disk_full: bool,
    /// Glasses send a photo whenever one is asked for.
    pub cameras_work: bool,
    pub published: Vec<QueryMessage>,
    pub ended: Vec<Answered>,
    pub notices: Vec<Notice>,
    /// What the wearers read: glasses, kind, query, text.
    pub told: Vec<(GlassesId, Kind, QueryId, String)>,
    pub photos_asked: BTreeMap<GlassesId, u32>,
    pub next_query: u64,
    /// How much depended on each perception.
    pub urgencies: Vec<Urgency>,
    /// Frames that were given to models that hang.
    pub looked_at: Vec<Frame>,
    pub models_hang: bool,
    /// Other glasses than Omi's: what they answer to a write, at once.
    pub device: Option<Device>,
    /// All that was written, and when.
    pub writes: Vec<(Timestamp, Write)>,
    pub sounds: Vec<Sound>,
    /// How often a link was to be ended.
    pub hang_ups: u32,
    /// What is on its way to the disk.
    pub recordings: Vec<Recording>,
    /// What became known of candidates.
    pub outcomes: Vec<CandidateOutcome>,
}

pub fn glasses(name: &str) -> GlassesId {
    name.parse().unwrap()
}

pub fn vocabulary() -> Vocabulary {
    let words = |text: &str| text.split(' ').map(str::to_owned).collect();
    Vocabulary { labels: words("ball cube star"), colours: words("red green blue") }
}

pub fn object(colour: &str, label: &str, probability: f32) -> Object {
    Object {
        label: label.to_owned(),
        colour: Some(colour.to_owned()),
        present: probability >= 0.5,
        probability,
        colour_probability: 0.99,
        bounds: BoundingBox { left: 0.1, top: 0.1, right: 0.3, bottom: 0.3 },
    }
}

/// What stands in a frame, as new as the frame.
pub fn scene(objects: &[Object]) -> Scene {
    Scene { seen_at: Timestamp::from_micros(u64::MAX), objects: objects.to_vec(), how: Vec::new() }
}

/// The notifications of one OmiGlass 2.3.2 photo.
pub fn photo(jpeg: &[u8]) -> Vec<Vec<u8>> {
    let mut chunks = jpeg.chunks(199);
    let mut notifications = vec![[&[0, 0, 0], chunks.next().unwrap_or_default()].concat()];
    for (number, chunk) in jpeg.get(199..).unwrap_or_default().chunks(200).enumerate() {
        notifications.push([&u16::try_from(number + 1).unwrap().to_le_bytes(), chunk].concat());
    }
    notifications.push(vec![0xFF, 0xFF]);
    notifications
}

impl World {
    pub fn new(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings { vocabulary: vocabulary(), ..Settings::default() };
        // Chance has no place in tests that are not about it.
        settings.policies.escalation.audit_share = 0.0;
        settings.policies.escalation.cloud_audit_share = 0.0;
        change(&mut settings);
        Self {
            gateway: Gateway::new(settings, START),
            now: START,
            scenes: BTreeMap::new(),
            probe: Ok(Probe { motion: 0.5, sharpness: 1.0, light: 0.5 }),
            disk: BTreeMap::new(),
            disk_full: false,
            cameras_work: true,
            published: Vec::new(),
            ended: Vec::new(),
            notices: Vec::new(),
            told: Vec::new(),
            photos_asked: BTreeMap::new(),
            next_query: 1,
            urgencies: Vec::new(),
            looked_at: Vec::new(),
            models_hang: false,
            device: None,
            writes: Vec::new(),
            sounds: Vec::new(),
            hang_ups: 0,
            recordings: Vec::new(),
            outcomes: Vec::new(),
        }
    }

    pub fn connect(&mut self, name: &str) {
        self.connect_as(name, Profile::Omi(omi::Firmware::from_revision("2.3.2")));
    }

    pub fn connect_as(&mut self, name: &str, profile: Profile) {
        self.handle(Input::GlassesConnected { glasses: glasses(name), profile, device_fps_limit: None });
    }

    pub fn notify(&mut self, name: &str, characteristic: Characteristic, value: &[u8]) {
        self.handle(Input::Notification { glasses: glasses(name), characteristic, value: value.to_vec() });
    }

    pub fn ask(&mut self, name: &str, text: &str) -> QueryId {
        let query = QueryId(self.next_query);
        self.next_query += 1;
        self.handle(Input::Ask {
            query,
            glasses: (!name.is_empty()).then(|| glasses(name)),
            text: text.to_owned(),
            source: Source::Cli,
        });
        query
    }

    pub fn answer(&mut self, query: QueryId, text: &str) {
        self.reply(query, Outcome::Answered, text, false);
    }

    pub fn reply(&mut self, query: QueryId, outcome: Outcome, text: &str, retry: bool) {
        let message = AnswerMessage {
            version: VERSION,
            query,
            outcome,
            text: text.to_owned(),
            retry,
            model: "m".to_owned(),
        };
        self.handle(Input::CloudMessage {
            correlation: query.correlation().to_vec(),
            content_type: Some("application/cbor".to_owned()),
            payload: message.encode(Encoding::Cbor),
        });
    }

    /// Lets virtual time pass; everything due happens at its moment.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some((at, _)) = self.gateway.poll_timeout().filter(|(at, _)| *at <= end) {
            let at = at.max(self.now);
            // A moment that is due again at once would hang the daemon.
            let before = self.gateway.poll_timeout();
            self.now = at;
            self.handle(Input::Timeout);
            assert_ne!(self.gateway.poll_timeout(), before, "the gateway spins at {at:?}");
        }
        self.now = end;
    }

    pub fn handle(&mut self, input: Input) {
        self.gateway.handle(input, self.now);
        while let Some(output) = self.gateway.poll_output() {
            for input in self.perform(output) {
                self.handle(input);
            }
        }
    }

    fn perform(&mut self, output: Output) -> Vec<Input> {
        match output {
            Output::HangUp { .. } => {
                self.hang_ups += 1;
                Vec::new()
            }
            Output::Write { glasses, write } => {
                self.writes.push((self.now, write.clone()));
                match &mut self.device {
                    Some(device) => device(&write)
                        .into_iter()
                        .map(|(characteristic, value)| Input::Notification {
                            glasses: glasses.clone(),
                            characteristic,
                            value,
                        })
                        .collect(),
                    None => self.written(&glasses, write.characteristic, &write.value),
                }
            }
            Output::Probe(frame) => vec![Input::Probed { frame: frame.id, result: self.probe.clone() }],
            Output::Perceive { frame, urgency } => {
                self.urgencies.push(urgency);
                if self.models_hang {
                    self.looked_at.push(frame);
                    return Vec::new();
                }
                let scene = self.scenes.get(&frame.glasses).cloned().unwrap_or_else(|| scene(&[]));
                vec![Input::Perceived { frame: frame.id, result: Ok(scene) }]
            }
            Output::PrepareImage { query, frame, .. } => {
                vec![Input::ImagePrepared { query, result: Ok(frame.jpeg.to_vec()) }]
            }
            Output::Store(row) => {
                let query = row.query;
                self.store(query, |disk| {
                    disk.insert(query, row);
                })
            }
            Output::RecordAnswer { query, text } => self.store(query, |disk| {
                disk.get_mut(&query).expect("a stored row").stage = Stage::Answered(text);
            }),
            Output::Publish { query, message, .. } => {
                // A check of an answer is nobody's question, and has a name of the gateway's choice.
                let is_asked = query.0 < self.next_query;
                assert!(self.disk.contains_key(&query) || !is_asked, "published before it was on disk");
                self.published.push(QueryMessage::decode(&message, Encoding::Cbor).unwrap());
                Vec::new()
            }
            Output::Ended(answered) => {
                self.disk.remove(&answered.query);
                self.ended.push(*answered);
                Vec::new()
            }
            Output::KeepOutcome { outcome, .. } => {
                self.outcomes.push(outcome);
                Vec::new()
            }
            Output::KeepRecording(recording) => {
                self.recordings.push(recording);
                Vec::new()
            }
            Output::Sound(sound) => {
                self.sounds.push(sound);
                Vec::new()
            }
            Output::Notice(notice) => {
                self.notices.push(notice);
                Vec::new()
            }
        }
    }

    fn store(
        &mut self,
        query: QueryId,
        write: impl FnOnce(&mut BTreeMap<QueryId, StoredQuery>),
    ) -> Vec<Input> {
        if self.disk_full {
            return vec![Input::StoreFailed { query, reason: "disk full".to_owned() }];
        }
        write(&mut self.disk);
        vec![Input::Stored { query }]
    }

    fn written(&mut self, id: &GlassesId, characteristic: Characteristic, value: &[u8]) -> Vec<Input> {
        match characteristic {
            Characteristic::PhotoControl if value == [0xFF] => {
                *self.photos_asked.entry(id.clone()).or_default() += 1;
                if !self.cameras_work {
                    return Vec::new();
                }
                photo(&[7; 450])
                    .into_iter()
                    .map(|value| Input::Notification {
                        glasses: id.clone(),
                        characteristic: Characteristic::PhotoData,
                        value,
                    })
                    .collect()
            }
            Characteristic::AnswerText => {
                let (kind, query, text) = answer_text::decode(value).unwrap();
                self.told.push((id.clone(), kind, query, text.to_owned()));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    pub fn ended(&self, query: QueryId) -> &Answered {
        let ended: Vec<_> = self.ended.iter().filter(|answered| answered.query == query).collect();
        assert_eq!(ended.len(), 1, "{query} ended {} times", ended.len());
        ended[0]
    }

    pub fn count(&self, counter: Counter) -> u64 {
        self.gateway.counters().get(counter)
    }
}

/// A frame that came without a link.
pub fn frame(name: &str) -> Input {
    Input::Frame { glasses: glasses(name), jpeg: vec![7; 450], orientation: Orientation::Upright }
}
