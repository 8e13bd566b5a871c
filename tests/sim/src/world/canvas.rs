//! A small anti-aliased rasteriser: figures by their signed distance, over a buffer of linear floats.

/// A point or a vector in the room, in pixels of a 640×480 frame seen with the camera at rest.
pub(crate) type Vec2 = [f32; 2];
/// Red, green and blue, 0 to 1.
pub(crate) type Rgb = [f32; 3];

/// A figure that can tell how far a point is from its edge: negative inside.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// A box with its centre, half its sides, and its turn in radians.
    Box { centre: Vec2, half: Vec2, turn: f32 },
    /// An ellipse with its centre and radii.
    Ellipse { centre: Vec2, radii: Vec2 },
    /// A line of some width.
    Line { from: Vec2, to: Vec2, width: f32 },
    /// A triangle, its corners clockwise.
    Triangle { corners: [Vec2; 3] },
}

impl Figure {
    /// Returns the distance of a point to the edge.
    pub(crate) fn distance(&self, at: Vec2) -> f32 {
        match *self {
            Self::Box { centre, half, turn } => {
                let p = turned(sub(at, centre), -turn);
                let q = [p[0].abs() - half[0], p[1].abs() - half[1]];
                length([q[0].max(0.0), q[1].max(0.0)]) + q[0].max(q[1]).min(0.0)
            }
            Self::Ellipse { centre, radii } => ellipse_distance(sub(at, centre), radii),
            Self::Line { from, to, width } => {
                let (p, d) = (sub(at, from), sub(to, from));
                let along = (dot(p, d) / dot(d, d).max(1e-6)).clamp(0.0, 1.0);
                length(sub(p, [d[0] * along, d[1] * along])) - width / 2.0
            }
            Self::Triangle { corners } => polygon_distance(&corners, at),
        }
    }

    /// Returns the box around the figure: left, top, right, bottom.
    pub(crate) fn bounds(&self) -> [f32; 4] {
        match *self {
            Self::Box { centre, half, turn } => {
                let (s, c) = (turn.sin().abs(), turn.cos().abs());
                around(centre, [half[0] * c + half[1] * s, half[0] * s + half[1] * c])
            }
            Self::Ellipse { centre, radii } => around(centre, radii),
            Self::Line { from, to, width } => grown(hull(&[from, to]), width / 2.0),
            Self::Triangle { corners } => hull(&corners),
        }
    }
}

/// A picture while it is painted.
pub(crate) struct Canvas {
    pub(crate) width: usize,
    pub(crate) height: usize,
    /// Pixels of the picture per pixel of the room.
    pub(crate) scale: f32,
    /// The room's point at the picture's top left corner.
    pub(crate) origin: Vec2,
    pub(crate) pixels: Vec<Rgb>,
}

impl Canvas {
    /// Makes a black picture.
    pub(crate) fn new(width: usize, height: usize, scale: f32, origin: Vec2) -> Self {
        Self { width, height, scale, origin, pixels: vec![[0.0; 3]; width * height] }
    }

    /// Colours every pixel.
    pub(crate) fn cover(&mut self, colour: impl Fn(Vec2) -> Rgb) {
        for (y, row) in self.pixels.chunks_exact_mut(self.width).enumerate() {
            let v = (y as f32 + 0.5) / self.scale + self.origin[1];
            for (x, pixel) in row.iter_mut().enumerate() {
                *pixel = colour([(x as f32 + 0.5) / self.scale + self.origin[0], v]);
            }
        }
    }

    /// Paints within `bounds`: `shade` tells of a point the distance to the edge, the colour and the opacity.
    pub(crate) fn paint(&mut self, bounds: [f32; 4], shade: impl Fn(Vec2) -> (f32, Rgb, f32)) {
        let columns = self.span(bounds[0], bounds[2], 0, self.width);
        for y in self.span(bounds[1], bounds[3], 1, self.height) {
            let v = (y as f32 + 0.5) / self.scale + self.origin[1];
            let row = &mut self.pixels[y * self.width..][columns.clone()];
            for (x, pixel) in columns.clone().zip(row) {
                let (distance, colour, opacity) = shade([(x as f32 + 0.5) / self.scale + self.origin[0], v]);
                let share = (0.5 - distance * self.scale).clamp(0.0, 1.0) * opacity;
                if share > 0.0 {
                    *pixel = mix(*pixel, colour, share);
                }
            }
        }
    }

    /// The pixels between two coordinates of the room, and one more on either side.
    fn span(&self, from: f32, to: f32, axis: usize, end: usize) -> std::ops::Range<usize> {
        let pixel = |v: f32| (v - self.origin[axis]) * self.scale;
        // A negative float becomes 0.
        let first = ((pixel(from) - 1.0) as usize).min(end);
        let last = ((pixel(to) + 2.0) as usize).min(end);
        first..last.max(first)
    }
}

pub(crate) fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share)
}

pub(crate) fn scaled(colour: Rgb, by: f32) -> Rgb {
    colour.map(|v| v * by)
}

pub(crate) fn sub(a: Vec2, b: Vec2) -> Vec2 {
    [a[0] - b[0], a[1] - b[1]]
}

pub(crate) fn dot(a: Vec2, b: Vec2) -> f32 {
    a[0] * b[0] + a[1] * b[1]
}

pub(crate) fn length(a: Vec2) -> f32 {
    dot(a, a).sqrt()
}

pub(crate) fn turned(p: Vec2, by: f32) -> Vec2 {
    let (s, c) = by.sin_cos();
    [p[0] * c - p[1] * s, p[0] * s + p[1] * c]
}

pub(crate) fn smooth(from: f32, to: f32, at: f32) -> f32 {
    let t = ((at - from) / (to - from)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// Near the edge, where it matters, exact to second order.
pub(crate) fn ellipse_distance(p: Vec2, radii: Vec2) -> f32 {
    let k = length([p[0] / radii[0], p[1] / radii[1]]);
    let gradient = length([p[0] / (radii[0] * radii[0]), p[1] / (radii[1] * radii[1])]);
    if gradient < 1e-6 { -radii[0].min(radii[1]) } else { k * (k - 1.0) / gradient }
}

/// A convex polygon, its corners clockwise on the screen (y grows downwards).
pub(crate) fn polygon_distance(corners: &[Vec2], at: Vec2) -> f32 {
    let mut distance = f32::MIN;
    for (i, &a) in corners.iter().enumerate() {
        let d = sub(corners[(i + 1) % corners.len()], a);
        let p = sub(at, a);
        distance = distance.max((d[1] * p[0] - d[0] * p[1]) / length(d).max(1e-6));
    }
    distance
}

pub(crate) fn around(centre: Vec2, half: Vec2) -> [f32; 4] {
    [centre[0] - half[0], centre[1] - half[1], centre[0] + half[0], centre[1] + half[1]]
}

pub(crate) fn hull(points: &[Vec2]) -> [f32; 4] {
    let start = [f32::MAX, f32::MAX, f32::MIN, f32::MIN];
    points.iter().fold(start, |b, p| [b[0].min(p[0]), b[1].min(p[1]), b[2].max(p[0]), b[3].max(p[1])])
}

pub(crate) fn grown(b: [f32; 4], by: f32) -> [f32; 4] {
    [b[0] - by, b[1] - by, b[2] + by, b[3] + by]
}
