//! Rooms made from a seed, and what is in them.
//!
//! A room is laid out in pixels of a 640×480 frame that a camera at rest sees; see [`Camera`].

mod canvas;
mod clutter;
mod sensor;
mod solid;

use glassd_core::scene::BoundingBox;
use glassd_media::Image;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use canvas::{Canvas, length, sub};
use clutter::{Backdrop, Mark};
use sensor::Sensor;
use solid::Solid;

pub use clutter::RoomKind;
pub use solid::{Colour, Shape};

/// The size that a room is laid out for, in pixels.
const FRAME: [f32; 2] = [640.0, 480.0];
/// Most objects in a room.
pub const MOST_OBJECTS: usize = 7;
/// Smallest and largest object: its longer side, in pixels of a 640×480 frame.
pub const OBJECT_SIZE: [f32; 2] = [48.0, 170.0];
/// How much of an object at least is not hidden by another.
pub const LEAST_VISIBLE: f32 = 0.7;
/// How far the middles of two objects are apart at least, in pixels of a 640×480 frame.
pub const LEAST_APART: f32 = 56.0;

/// Where the camera looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Camera {
    /// How far it is turned to the right and down, as shares of the frame.
    pub pan: [f32; 2],
    /// 1 sees the whole room, 2 its middle half.
    pub zoom: f32,
    /// How far it moved during the exposure to the right and down, in pixels of a 640×480 frame.
    pub shake: [f32; 2],
}

impl Default for Camera {
    fn default() -> Self {
        Self { pan: [0.0; 2], zoom: 1.0, shake: [0.0; 2] }
    }
}

/// One object that is truly in the picture.
#[derive(Clone, Debug, PartialEq)]
pub struct TruthObject {
    /// What it is.
    pub shape: Shape,
    /// Its colour.
    pub colour: Colour,
    /// The part of its box inside the frame.
    pub bounds: BoundingBox,
    /// How much of its box is inside the frame, 0 to 1.
    pub inside: f32,
}

impl TruthObject {
    /// Returns what it is, in a word.
    pub fn label(&self) -> &'static str {
        self.shape.label()
    }
}

/// A cluttered room with 0 to [`MOST_OBJECTS`] objects.
#[derive(Clone, Debug)]
pub struct Room {
    seed: u64,
    kind: RoomKind,
    backdrop: Backdrop,
    clutter: Vec<Mark>,
    /// Back to front.
    objects: Vec<Solid>,
    shadows: Vec<Mark>,
    sensor: Sensor,
}

impl Room {
    /// Makes the room of this seed: always the same.
    pub fn random(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let kind = *RoomKind::ALL.choose(&mut rng).expect("four kinds");
        let backdrop = Backdrop::random(&mut rng);
        let mut clutter = clutter::furnish(&mut rng, kind, backdrop.horizon);
        let sensor = Sensor::random(&mut rng);
        let objects = arrange(&mut rng, backdrop.horizon, &mut clutter);
        let shadows = objects.iter().map(|solid| cast(solid, backdrop.horizon, sensor.light[0])).collect();
        Self { seed, kind, backdrop, clutter, objects, shadows, sensor }
    }

    /// Returns the seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Returns what the room is for.
    pub fn kind(&self) -> RoomKind {
        self.kind
    }

    /// Takes a picture of `width` × `height` pixels (at least 8 a side).
    pub fn render(&self, width: u32, height: u32, camera: Camera) -> Image {
        let (width, height) = (width.max(8), height.max(8));
        let scale = width as f32 / FRAME[0] * camera.zoom.max(0.1);
        let half = [width as f32 / scale / 2.0, height as f32 / scale / 2.0];
        let middle = self.middle(camera);
        let origin = [middle[0] - half[0], middle[1] - half[1]];
        let mut canvas = Canvas::new(width as usize, height as usize, scale, origin);
        self.backdrop.paint(&mut canvas);
        self.clutter.iter().for_each(|mark| mark.paint(&mut canvas));
        for (solid, shadow) in self.objects.iter().zip(&self.shadows) {
            shadow.paint(&mut canvas);
            solid.paint(&mut canvas, self.sensor.light);
        }
        let exposure = camera.pan.map(f32::to_bits).iter().fold(self.seed, |hash, &bits| {
            (hash ^ u64::from(bits)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
        });
        let pixels = self.sensor.develop(canvas, camera.shake, exposure);
        Image::new(width, height, pixels).expect("a canvas has its size")
    }

    /// Returns the objects in a picture of shape 4:3, back to front: those with at least half their box in it.
    pub fn truth(&self, camera: Camera) -> Vec<TruthObject> {
        self.in_frame(camera).into_iter().filter(|object| object.inside >= 0.5).collect()
    }

    /// Returns the objects of which anything is in the picture, back to front.
    pub fn in_frame(&self, camera: Camera) -> Vec<TruthObject> {
        let middle = self.middle(camera);
        let zoom = camera.zoom.max(0.1);
        let share = |v: f32, axis: usize| (v - middle[axis]) * zoom / FRAME[axis] + 0.5;
        let objects = self.objects.iter().map(|solid| {
            let [left, top, right, bottom] = solid.bounds();
            let whole = BoundingBox {
                left: share(left, 0),
                top: share(top, 1),
                right: share(right, 0),
                bottom: share(bottom, 1),
            };
            let bounds = BoundingBox {
                left: whole.left.clamp(0.0, 1.0),
                top: whole.top.clamp(0.0, 1.0),
                right: whole.right.clamp(0.0, 1.0),
                bottom: whole.bottom.clamp(0.0, 1.0),
            };
            let inside = bounds.area() / whole.area();
            TruthObject { shape: solid.shape, colour: solid.colour, bounds, inside }
        });
        objects.filter(|object| object.inside > 0.0).collect()
    }

    fn middle(&self, camera: Camera) -> [f32; 2] {
        std::array::from_fn(|axis| FRAME[axis] * (0.5 + camera.pan[axis]))
    }
}

/// Places the objects: on the floor, on boards on the wall, or hung up.
fn arrange(rng: &mut ChaCha8Rng, horizon: f32, clutter: &mut Vec<Mark>) -> Vec<Solid> {
    let wanted = rng.random_range(0..=MOST_OBJECTS);
    // Some rooms are set with few kinds, so that counts above one are common.
    let mut shapes = Shape::ALL.to_vec();
    shapes.shuffle(rng);
    if rng.random_bool(0.5) {
        shapes.truncate(2);
    }
    let mut placed: Vec<Solid> = Vec::new();
    for _ in 0..wanted * 8 {
        if placed.len() == wanted {
            break;
        }
        let shape = *shapes.choose(rng).expect("at least two");
        let colour = *Colour::ALL.choose(rng).expect("six colours");
        // Small ones are as common per octave as large ones.
        let octaves = (OBJECT_SIZE[1] / OBJECT_SIZE[0]).log2();
        let size = OBJECT_SIZE[0] * rng.random_range(0.0..octaves).exp2();
        let mut solid = Solid::random(rng, shape, colour, size);
        let [left, top, right, bottom] = solid.bounds();
        let half = [(right - left) / 2.0, (bottom - top) / 2.0];
        let x = rng.random_range(half[0] + 8.0..FRAME[0] - half[0] - 8.0);
        let foot = if rng.random_bool(0.6) {
            rng.random_range((horizon + 20.0).max(2.0 * half[1] + 8.0)..472.0)
        } else {
            rng.random_range(2.0 * half[1] + 8.0..(horizon - 10.0).max(2.0 * half[1] + 9.0))
        };
        solid.move_to([x, foot - half[1]]);
        if fits(&placed, &solid) {
            placed.push(solid);
        }
    }
    // What stands nearer stands lower, and hides what is behind it.
    placed.sort_by(|a, b| a.bounds()[3].total_cmp(&b.bounds()[3]));
    for solid in &placed {
        let [left, _, right, bottom] = solid.bounds();
        if bottom < horizon && rng.random_bool(0.7) {
            clutter.push(clutter::board(rng, [left, right], bottom));
        }
    }
    placed
}

/// Says whether every object would still be visible enough, and apart enough to be counted.
fn fits(placed: &[Solid], new: &Solid) -> bool {
    let middle = |solid: &Solid| {
        let [left, top, right, bottom] = solid.bounds();
        [(left + right) / 2.0, (top + bottom) / 2.0]
    };
    if placed.iter().any(|old| length(sub(middle(old), middle(new))) < LEAST_APART) {
        return false;
    }
    let mut all: Vec<&Solid> = placed.iter().chain([new]).collect();
    all.sort_by(|a, b| a.bounds()[3].total_cmp(&b.bounds()[3]));
    (0..all.len()).all(|i| visible(all[i], &all[i + 1..]) >= LEAST_VISIBLE)
}

fn visible(solid: &Solid, before: &[&Solid]) -> f32 {
    const STEPS: usize = 20;
    let [left, top, right, bottom] = solid.bounds();
    let (mut own, mut seen) = (0, 0);
    for i in 0..STEPS * STEPS {
        let share = |n: usize| (n as f32 + 0.5) / STEPS as f32;
        let at = [left + (right - left) * share(i % STEPS), top + (bottom - top) * share(i / STEPS)];
        if solid.covers(at) {
            own += 1;
            seen += u32::from(!before.iter().any(|other| other.covers(at)));
        }
    }
    seen as f32 / own.max(1) as f32
}

fn cast(solid: &Solid, horizon: f32, light_from_right: f32) -> Mark {
    let [left, top, right, bottom] = solid.bounds();
    let width = right - left;
    let away = -light_from_right * width * 0.2;
    if bottom > horizon {
        Mark::shadow([(left + right) / 2.0 + away, bottom - width * 0.03], [width * 0.62, width * 0.16], 0.6)
    } else {
        let centre = [(left + right) / 2.0 + away * 0.6, (top + bottom) / 2.0 + width * 0.08];
        Mark::shadow(centre, [width * 0.58, (bottom - top) * 0.58], 0.3)
    }
}
