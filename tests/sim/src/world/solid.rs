//! The five things that the detector learns: their outlines, and how light falls on them.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::canvas::{
    Canvas, Rgb, Vec2, dot, ellipse_distance, hull, length, mix, polygon_distance, scaled, sub, turned,
};

/// What a thing is. The order is that of the detector's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shape {
    /// A shaded sphere.
    Ball,
    /// A box seen from a corner.
    Cube,
    /// A cone standing on its base.
    Cone,
    /// A star of five points, in relief.
    Star,
    /// A torus seen from the front or aslant.
    Ring,
}

impl Shape {
    /// All shapes, in the order of the detector's classes.
    pub const ALL: [Self; 5] = [Self::Ball, Self::Cube, Self::Cone, Self::Star, Self::Ring];

    /// Returns the word for it, singular.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Ball => "ball",
            Self::Cube => "cube",
            Self::Cone => "cone",
            Self::Star => "star",
            Self::Ring => "ring",
        }
    }
}

/// What colour a thing is. The order is that of the detector's classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Colour {
    /// About hue 0°.
    Red,
    /// About hue 135°.
    Green,
    /// About hue 217°.
    Blue,
    /// About hue 51°.
    Yellow,
    /// About hue 280°.
    Purple,
    /// About hue 26°.
    Orange,
}

impl Colour {
    /// All colours, in the order of the detector's classes.
    pub const ALL: [Self; 6] = [Self::Red, Self::Green, Self::Blue, Self::Yellow, Self::Purple, Self::Orange];

    /// Returns the word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Red => "red",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Yellow => "yellow",
            Self::Purple => "purple",
            Self::Orange => "orange",
        }
    }

    /// The paint in white light.
    pub(crate) const fn paint(self) -> Rgb {
        match self {
            Self::Red => [0.82, 0.10, 0.13],
            Self::Green => [0.13, 0.62, 0.27],
            Self::Blue => [0.13, 0.35, 0.85],
            Self::Yellow => [0.95, 0.82, 0.12],
            Self::Purple => [0.54, 0.20, 0.68],
            Self::Orange => [0.96, 0.47, 0.08],
        }
    }
}

/// Where the light comes from, a unit vector: to the right, downwards, towards the camera.
pub(crate) type LightFrom = [f32; 3];

/// One thing, ready to be painted.
#[derive(Clone, Debug)]
pub(crate) struct Solid {
    pub(crate) shape: Shape,
    pub(crate) colour: Colour,
    paint: Rgb,
    /// The middle of its bounding box.
    centre: Vec2,
    form: Form,
    bounds: [f32; 4],
}

/// The geometry about the origin, in pixels of the room.
#[derive(Clone, Debug)]
enum Form {
    Ball { radius: f32 },
    Cube { faces: [[Vec2; 4]; 3], normals: [[f32; 3]; 3], outline: Vec<Vec2> },
    Cone { half_width: f32, apex: f32, base: f32, base_height: f32 },
    Star { radius: f32, inner: f32, turn: f32 },
    Ring { middle: f32, tube: f32, squash: f32, turn: f32 },
}

impl Solid {
    /// Makes a thing whose longer side is `size`, with its box about the origin.
    pub(crate) fn random(rng: &mut ChaCha8Rng, shape: Shape, colour: Colour, size: f32) -> Self {
        let paint = colour.paint().map(|v| (v + rng.random_range(-0.05..0.05f32)).clamp(0.02, 1.0));
        let form = match shape {
            Shape::Ball => Form::Ball { radius: size / 2.0 },
            Shape::Cube => cube(size, rng.random_range(0.32..1.25), rng.random_range(0.28..0.62)),
            Shape::Cone => {
                let (height, width) = (size, size * rng.random_range(0.62..0.95f32));
                let base_height = width / 2.0 * rng.random_range(0.22..0.36f32);
                let base = height / 2.0 - base_height;
                Form::Cone { half_width: width / 2.0, apex: -height / 2.0, base, base_height }
            }
            Shape::Star => Form::Star {
                radius: size / 2.0,
                inner: rng.random_range(0.42..0.52),
                turn: rng.random_range(-0.6..0.6),
            },
            Shape::Ring => {
                let tube = size * rng.random_range(0.09..0.14f32);
                Form::Ring {
                    middle: size / 2.0 - tube,
                    tube,
                    squash: rng.random_range(0.62..1.0),
                    turn: rng.random_range(-0.5..0.5),
                }
            }
        };
        let bounds = hull(&form.outline());
        let mut solid = Self { shape, colour, paint, centre: [0.0, 0.0], form, bounds };
        // Every form is centred on its box, so that `move_to` means the box.
        solid.centre = [-(bounds[0] + bounds[2]) / 2.0, -(bounds[1] + bounds[3]) / 2.0];
        solid.bounds = shifted(bounds, solid.centre);
        solid
    }

    /// Moves the thing so that its box is centred on a point.
    pub(crate) fn move_to(&mut self, point: Vec2) {
        let by =
            sub(point, [(self.bounds[0] + self.bounds[2]) / 2.0, (self.bounds[1] + self.bounds[3]) / 2.0]);
        self.centre = [self.centre[0] + by[0], self.centre[1] + by[1]];
        self.bounds = shifted(self.bounds, by);
    }

    /// Returns left, top, right and bottom in the room.
    pub(crate) fn bounds(&self) -> [f32; 4] {
        self.bounds
    }

    /// Says whether a point of the room is on it.
    pub(crate) fn covers(&self, at: Vec2) -> bool {
        self.form.distance(sub(at, self.centre)) < 0.0
    }

    /// Paints it in the light.
    pub(crate) fn paint(&self, canvas: &mut Canvas, light: LightFrom) {
        let (centre, base) = (self.centre, self.paint);
        canvas.paint(self.bounds, |at| {
            let p = sub(at, centre);
            let distance = self.form.distance(p);
            let colour = if distance < 1.5 { self.form.lit(p, base, light) } else { base };
            (distance, colour, 1.0)
        });
    }
}

impl Form {
    fn distance(&self, p: Vec2) -> f32 {
        match *self {
            Self::Ball { radius } => length(p) - radius,
            Self::Cube { ref outline, .. } => polygon_distance(outline, p),
            Self::Cone { half_width, apex, base, base_height } => {
                let sides = polygon_distance(&[[0.0, apex], [half_width, base], [-half_width, base]], p);
                sides.min(ellipse_distance([p[0], p[1] - base], [half_width, base_height]))
            }
            Self::Star { radius, inner, turn } => star(turned(p, -turn), radius, inner).0,
            Self::Ring { middle, tube, squash, turn } => {
                let q = turned(p, -turn);
                let out = length([q[0], q[1] / squash]);
                // A radial step is shorter on the screen where the ring is squashed.
                let shrink = if out < 1e-3 { 1.0 } else { length(q) / out };
                ((out - middle).abs() - tube) * shrink
            }
        }
    }

    fn lit(&self, p: Vec2, base: Rgb, light: LightFrom) -> Rgb {
        match *self {
            Self::Ball { radius } => {
                let (x, y) = (p[0] / radius, p[1] / radius);
                glossy(base, [x, y, (1.0 - x * x - y * y).max(0.0).sqrt()], light, 0.55)
            }
            Self::Cube { ref faces, ref normals, .. } => {
                let nearest = (0..3)
                    .map(|i| (polygon_distance(&faces[i], p), i))
                    .min_by(|a, b| a.0.total_cmp(&b.0))
                    .expect("three faces");
                let colour = glossy(base, normals[nearest.1], light, 0.0);
                // A worn edge catches the light.
                let edge = (1.0 + nearest.0 / 2.0).clamp(0.0, 1.0);
                mix(colour, mix(colour, [1.0; 3], 0.35), edge * 0.5)
            }
            Self::Cone { half_width, apex, base: foot, .. } => {
                let here = half_width * ((p[1] - apex) / (foot - apex)).clamp(0.02, 1.0);
                let x = (p[0] / here).clamp(-1.0, 1.0);
                glossy(base, [x * 0.95, -0.3, (1.0 - x * x).sqrt()], light, 0.3)
            }
            Self::Star { radius, inner, turn } => {
                let q = turned(p, -turn);
                let (_, side) = star(q, radius, inner);
                let radial = length(q).max(1e-3);
                let slope = [-q[1] / radial * side * 0.5, q[0] / radial * side * 0.5];
                let normal = turned(slope, turn);
                glossy(base, [normal[0], normal[1], 0.87], light, 0.1)
            }
            Self::Ring { middle, tube, squash, turn } => {
                let q = turned(p, -turn);
                let out = length([q[0], q[1] / squash]).max(1e-3);
                let t = ((out - middle) / tube).clamp(-1.0, 1.0);
                let radial = turned([q[0] / out * t, q[1] / (squash * out) * t], turn);
                glossy(base, [radial[0], radial[1], (1.0 - t * t).sqrt()], light, 0.5)
            }
        }
    }

    /// Points of the edge, enough for its bounding box.
    fn outline(&self) -> Vec<Vec2> {
        let circle = |f: &dyn Fn(Vec2) -> Vec2| {
            (0..128)
                .map(|i| {
                    let (s, c) = (i as f32 * std::f32::consts::TAU / 128.0).sin_cos();
                    f([c, s])
                })
                .collect::<Vec<_>>()
        };
        match *self {
            Self::Ball { radius } => circle(&|u| scaled2(u, radius)),
            Self::Cube { ref outline, .. } => outline.clone(),
            Self::Cone { half_width, apex, base, base_height } => {
                let mut points = circle(&|u| [u[0] * half_width, base + u[1] * base_height]);
                points.push([0.0, apex]);
                points
            }
            Self::Star { radius, turn, .. } => (0..5)
                .map(|i| {
                    let (s, c) = (i as f32 * std::f32::consts::TAU / 5.0).sin_cos();
                    turned([radius * s, -radius * c], turn)
                })
                .collect(),
            Self::Ring { middle, tube, squash, turn } => {
                circle(&|u| turned([u[0] * (middle + tube), u[1] * (middle + tube) * squash], turn))
            }
        }
    }
}

/// Lambert's law, some ambient light, and a highlight of strength `gloss`.
fn glossy(base: Rgb, normal: [f32; 3], light: LightFrom, gloss: f32) -> Rgb {
    let norm = (normal.iter().map(|v| v * v).sum::<f32>()).sqrt().max(1e-6);
    let facing: f32 = normal.iter().zip(light).map(|(n, l)| n * l).sum::<f32>() / norm;
    let lit = scaled(base, 0.42 + 0.68 * facing.max(0.0));
    // The half vector between light and camera, which looks along -z.
    let half = [light[0], light[1], light[2] + 1.0];
    let half_norm = (half.iter().map(|v| v * v).sum::<f32>()).sqrt();
    let mirror: f32 = normal.iter().zip(half).map(|(n, h)| n * h).sum::<f32>() / (norm * half_norm);
    let m = mirror.max(0.0);
    let highlight = gloss * m.powi(32);
    mix(lit, [1.0; 3], highlight)
}

/// Distance to a five-pointed star, and on which flank of its point one is (−1 or 1).
/// After Inigo Quilez, "2D distance functions", star of five points.
fn star(p: Vec2, radius: f32, inner: f32) -> (f32, f32) {
    const K1: Vec2 = [0.809_017, -0.587_785_25];
    const K2: Vec2 = [-K1[0], K1[1]];
    let mut flank = 1.0;
    let mut q = [p[0], -p[1]];
    if q[0] < 0.0 {
        (q[0], flank) = (-q[0], -flank);
    }
    for k in [K1, K2] {
        let over = dot(k, q);
        if over > 0.0 {
            q = [q[0] - 2.0 * over * k[0], q[1] - 2.0 * over * k[1]];
            flank = -flank;
        }
    }
    if q[0] < 0.0 {
        (q[0], flank) = (-q[0], -flank);
    }
    q[1] -= radius;
    let edge = [-K1[1] * inner, K1[0] * inner - 1.0];
    let along = (dot(q, edge) / dot(edge, edge)).clamp(0.0, radius);
    let away = length([q[0] - edge[0] * along, q[1] - edge[1] * along]);
    let side = q[1] * edge[0] - q[0] * edge[1];
    (away * side.signum(), flank)
}

/// A cube of which three faces are seen: turned by `yaw` about the upright axis, tipped by `pitch`.
fn cube(size: f32, yaw: f32, pitch: f32) -> Form {
    let seen = |v: [f32; 3]| {
        let (s, c) = yaw.sin_cos();
        let v = [v[0] * c + v[2] * s, v[1], -v[0] * s + v[2] * c];
        let (s, c) = pitch.sin_cos();
        [v[0], v[1] * c - v[2] * -s, v[1] * -s + v[2] * c]
    };
    // Up is negative on the screen; z points to the camera.
    let normals = [[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]];
    let face = |n: [f32; 3]| {
        let (a, b): ([f32; 3], [f32; 3]) = match n {
            [_, -1.0, _] => ([1.0, 0.0, 0.0], [0.0, 0.0, 1.0]),
            [-1.0, ..] => ([0.0, 0.0, 1.0], [0.0, 1.0, 0.0]),
            _ => ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
        };
        let corner = |i: f32, j: f32| {
            let v = seen(std::array::from_fn(|k| n[k] + i * a[k] + j * b[k]));
            [v[0], v[1]]
        };
        let mut corners = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
        let (d, e) = (sub(corners[1], corners[0]), sub(corners[2], corners[1]));
        if d[0] * e[1] < d[1] * e[0] {
            corners.reverse();
        }
        corners
    };
    let mut faces = normals.map(face);
    let b = hull(faces.as_flattened());
    let factor = size / (b[2] - b[0]).max(b[3] - b[1]);
    for corner in faces.as_flattened_mut() {
        *corner = scaled2(*corner, factor);
    }
    Form::Cube { faces, normals: normals.map(seen), outline: convex_hull(faces.as_flattened()) }
}

/// Andrew's monotone chain, clockwise on a screen whose y grows downwards.
fn convex_hull(points: &[Vec2]) -> Vec<Vec2> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    let chain = |points: &mut dyn Iterator<Item = Vec2>| {
        let mut chain: Vec<Vec2> = Vec::new();
        for p in points {
            while let [.., a, b] = chain[..] {
                let (d, e) = (sub(b, a), sub(p, b));
                if d[0] * e[1] - d[1] * e[0] > 1e-4 {
                    break;
                }
                chain.pop();
            }
            chain.push(p);
        }
        chain.pop();
        chain
    };
    let mut outline = chain(&mut sorted.iter().copied());
    outline.extend(chain(&mut sorted.iter().rev().copied()));
    outline
}

fn scaled2(p: Vec2, by: f32) -> Vec2 {
    [p[0] * by, p[1] * by]
}

fn shifted(b: [f32; 4], by: Vec2) -> [f32; 4] {
    [b[0] + by[0], b[1] + by[1], b[2] + by[0], b[3] + by[1]]
}
