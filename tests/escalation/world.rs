//! Questions about rendered rooms: what the device would answer, what the cloud would, and what is right.

use std::time::Instant;

use glassd_core::skills::{self, Context};
use glassd_core::{BoundingBox, Object, Scene, Timestamp, Vocabulary};
use glassd_inference::Detector;
use glassd_inference::serving::Sighting;
use glassd_media::{Image, Turn, decode, encode, shrink_jpeg};
use glassd_policies::{CompressionFacts, CompressionPolicy};
use glassd_sim::cloud::Oracle;
use glassd_sim::questions::Question;
use glassd_sim::world::{Camera, Room};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Questions about each room.
const OF_A_ROOM: usize = 2;
/// Share of questions that no local skill answers.
const HARD: f64 = 0.4;
/// Bytes of a message around its picture.
const AROUND: u64 = 200;
/// How bright it is where the light has gone.
const DARKNESS: f32 = 0.2;

/// How bright it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Light {
    /// As the rooms have it.
    AsItIs,
    /// A fifth of that.
    Gone,
}

/// One question and what would come of it.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What it was understood as.
    pub(crate) kind: String,
    /// What the device could answer; `None` where no skill understands.
    pub(crate) candidate: Option<Local>,
    /// Whether the cloud would be right.
    pub(crate) cloud_is_right: bool,
    /// What asking it sends.
    pub(crate) bytes: u64,
    /// How long the detector looked.
    pub(crate) look_s: f64,
}

/// What the device could answer.
#[derive(Clone, Debug)]
pub(crate) struct Local {
    /// The skill's own opinion, 0 to 1.
    pub(crate) score: f32,
    /// The truth about it.
    pub(crate) is_right: bool,
    /// Whether the cloud says the same, where that can be told.
    pub(crate) agreed: Option<bool>,
}

/// Asks so many questions about rooms from this seed on, on all cores.
pub(crate) fn ask(first: u64, count: usize, light: Light, cloud_error: f64) -> Vec<Asked> {
    let rooms = count.div_ceil(OF_A_ROOM);
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(rooms);
    let mut asked = Vec::with_capacity(count);
    std::thread::scope(|scope| {
        let work = |worker: usize| {
            let mine = rooms * worker / workers..rooms * (worker + 1) / workers;
            scope.spawn(move || {
                let mut detector = glassd_inference::embedded().expect("the embedded detector");
                let vocabulary = vocabulary(&detector);
                mine.flat_map(|room| {
                    about(first + room as u64, light, cloud_error, &mut detector, &vocabulary)
                })
                .collect::<Vec<Asked>>()
            })
        };
        let workers: Vec<_> = (0..workers).map(work).collect();
        workers.into_iter().for_each(|worker| asked.extend(worker.join().expect("no question panics")));
    });
    asked.truncate(count);
    asked
}

fn about(
    seed: u64,
    light: Light,
    cloud_error: f64,
    detector: &mut Detector,
    vocabulary: &Vocabulary,
) -> Vec<Asked> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x6573_6361_6c61);
    let room = Room::random(seed);
    let mut within = |reach: f32| rng.random_range(-reach..reach);
    let camera =
        Camera { pan: [within(0.06), within(0.06)], zoom: 1.0 + within(0.1), shake: [within(2.0), 0.0] };
    let mut picture = room.render(640, 480, camera);
    // The cloud's model sees in the dark: what it is wrong about is drawn by lot.
    let lit = encode(&picture, 75);
    if light == Light::Gone {
        picture.pixels_mut().iter_mut().for_each(|byte| *byte = (f32::from(*byte) * DARKNESS) as u8);
    }
    let jpeg = encode(&picture, rng.random_range(40..=90));
    let seen: Image = decode(&jpeg).expect("a JPEG of our own");
    let began = Instant::now();
    let sightings = detector.sightings(&seen).expect("a run");
    let look_s = began.elapsed().as_secs_f64();
    let scene = scene(sightings);
    let bytes = compressed(&jpeg) + AROUND;
    let oracle = Oracle::new([(&room, camera)]);
    let mut one = || {
        let seed = rng.random();
        let question = if rng.random_bool(HARD) {
            Question::hard(&room, camera, seed)
        } else {
            Question::local(&room, camera, seed)
        };
        // What the cloud is wrong about it says of something else: of the same question about another room.
        let cloud = if rng.random_bool(cloud_error) {
            let (other, still) = (Room::random(seed ^ 1), Camera::default());
            let photo = encode(&other.render(320, 240, still), 75);
            Oracle::new([(&other, still)]).answer(Some(&photo), &question.text)
        } else {
            oracle.answer(Some(&lit), &question.text)
        };
        let cloud = cloud.unwrap_or_default();
        let intent = skills::understand(&question.text, vocabulary);
        let context = Context {
            now: Timestamp::from_secs(0),
            utc_offset_minutes: 0,
            scene: Some(&scene),
            vocabulary,
            glasses_battery: None,
            gateway_battery: None,
            last_answer: None,
        };
        let candidate = skills::answer(&intent, &context).map(|candidate| Local {
            score: candidate.score,
            is_right: question.judge(&candidate.text),
            agreed: skills::agree(&intent, &candidate.text, &cloud, vocabulary),
        });
        let cloud_is_right = question.judge(&cloud);
        Asked { kind: intent.name().to_owned(), candidate, cloud_is_right, bytes, look_s }
    };
    (0..OF_A_ROOM).map(|_| one()).collect()
}

/// Returns how large the picture is that the cloud would get.
fn compressed(jpeg: &[u8]) -> u64 {
    let facts = CompressionFacts {
        battery: 60,
        emergency: false,
        uplink_bytes_per_second: None,
        budget_left_bytes: None,
    };
    let compression = CompressionPolicy::default().decide(&facts).value;
    let small = shrink_jpeg(jpeg, Turn::None, compression.longest_side, compression.quality);
    small.expect("a JPEG of our own").len() as u64
}

fn vocabulary(detector: &Detector) -> Vocabulary {
    Vocabulary { labels: detector.labels().to_vec(), colours: detector.colours().to_vec() }
}

fn scene(sightings: Vec<Sighting>) -> Scene {
    let object = |sighting: Sighting| {
        let [left, top, right, bottom] = sighting.bounds;
        let (colour, colour_probability) = sighting.colour.unzip();
        Object {
            label: sighting.label,
            colour,
            present: sighting.is_present,
            probability: sighting.probability,
            colour_probability: colour_probability.unwrap_or(1.0),
            bounds: BoundingBox { left, top, right, bottom },
        }
    };
    Scene { objects: sightings.into_iter().map(object).collect(), ..Scene::default() }
}
