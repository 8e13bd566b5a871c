//! Pictures to learn from and to be examined on: rooms from seeds, seen as the gateway sees them.

use glassd_media::{decode, encode};
use glassd_sim::world::{Camera, Room, TruthObject};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::net::INPUT;

/// First seeds of the sets. They do not meet, and stay clear of the small seeds that demos and tests use.
pub(crate) const TRAINING: u64 = 10_000_000;
/// See [`TRAINING`].
pub(crate) const VALIDATION: u64 = 20_000_000;
/// See [`TRAINING`].
pub(crate) const CALIBRATION: u64 = 30_000_000;
/// See [`TRAINING`].
pub(crate) const EXAMINATION: u64 = 40_000_000;

/// A picture at the network's size, and what is in it.
pub(crate) struct Scene {
    /// Red, green and blue bytes, row-major.
    pub(crate) pixels: Vec<u8>,
    pub(crate) objects: Vec<TruthObject>,
}

/// How the camera behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum View {
    /// At rest, as rooms are laid out.
    Rest,
    /// Turned, zoomed and shaken a little.
    Wandering,
}

/// Returns the JPEG that glasses would send of a room, and what is in it.
pub(crate) fn photo(seed: u64, view: View) -> (Vec<u8>, Vec<TruthObject>) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x7068_6f74_6f73);
    let room = Room::random(seed);
    let camera = match view {
        View::Rest => Camera::default(),
        View::Wandering => Camera {
            pan: [rng.random_range(-0.06..0.06), rng.random_range(-0.06..0.06)],
            zoom: rng.random_range(0.9..1.15),
            shake: [rng.random_range(-2.0..2.0), rng.random_range(-2.0..2.0)],
        },
    };
    let (width, height) = if rng.random_bool(0.5) { (640, 480) } else { (320, 240) };
    let jpeg = encode(&room.render(width, height, camera), rng.random_range(40..=90));
    (jpeg, room.in_frame(camera))
}

/// Renders scenes `first..first + count` on all cores.
pub(crate) fn render(first: u64, count: usize, view: View) -> Vec<Scene> {
    let scene = |seed| {
        let (jpeg, objects) = photo(seed, view);
        let picture = decode(&jpeg).expect("a JPEG of our own");
        let picture = picture.resized(INPUT[1] as u32, INPUT[0] as u32);
        Scene { pixels: picture.pixels().to_vec(), objects }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(count.max(1));
    let mut scenes = Vec::with_capacity(count);
    std::thread::scope(|scope| {
        let handles: Vec<_> = (0..workers)
            .map(|worker| {
                let (from, to) = (count * worker / workers, count * (worker + 1) / workers);
                scope.spawn(move || (from..to).map(|i| scene(first + i as u64)).collect::<Vec<_>>())
            })
            .collect();
        for handle in handles {
            scenes.extend(handle.join().expect("rendering does not panic"));
        }
    });
    scenes
}

/// Writes a picture into a batch as [3, height, width] of 0 to 1, mirrored or not.
pub(crate) fn append(batch: &mut Vec<f32>, scene: &Scene, mirror: bool) {
    let [height, width] = INPUT;
    for channel in 0..3 {
        for row in 0..height {
            let at = |column: usize| f32::from(scene.pixels[(row * width + column) * 3 + channel]) / 255.0;
            if mirror {
                batch.extend((0..width).rev().map(at));
            } else {
                batch.extend((0..width).map(at));
            }
        }
    }
}

/// Returns the objects of the mirrored picture.
pub(crate) fn mirrored(objects: &[TruthObject]) -> Vec<TruthObject> {
    let mirror = |object: &TruthObject| {
        let mut object = object.clone();
        (object.bounds.left, object.bounds.right) = (1.0 - object.bounds.right, 1.0 - object.bounds.left);
        object
    };
    objects.iter().map(mirror).collect()
}
