//! Everything in a room that is not to be found: walls, floor, furniture, and things that only look alike.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, Figure, Rgb, Vec2, grown, mix, scaled, smooth};
use super::solid::Colour;

/// What a room is for, told by its furniture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RoomKind {
    /// With a sofa.
    LivingRoom,
    /// With a desk and a screen.
    Office,
    /// With cupboards and a fridge.
    Kitchen,
    /// With a bed.
    Bedroom,
}

impl RoomKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::LivingRoom, Self::Office, Self::Kitchen, Self::Bedroom];

    /// Returns the words for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LivingRoom => "living room",
            Self::Office => "office",
            Self::Kitchen => "kitchen",
            Self::Bedroom => "bedroom",
        }
    }
}

/// How a wall or a floor looks.
#[derive(Clone, Copy, Debug)]
enum Pattern {
    Plain,
    Stripes(f32),
    Tiles(f32),
    Bricks(f32),
}

/// Wall and floor.
#[derive(Clone, Debug)]
pub(crate) struct Backdrop {
    /// Height of the floor's far edge, in pixels of the room.
    pub(crate) horizon: f32,
    wall: [Rgb; 2],
    wall_pattern: Pattern,
    floor: [Rgb; 2],
    floor_pattern: Pattern,
    contrast: f32,
    skirting: Rgb,
    /// 64×64 values of −1 to 1, repeated over the room.
    grain: Vec<f32>,
    grain_share: f32,
    grain_size: f32,
}

/// One painted figure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    figure: Figure,
    /// The colours at its top and bottom.
    colours: [Rgb; 2],
    opacity: f32,
}

const GRAIN: usize = 64;

impl Backdrop {
    pub(crate) fn random(rng: &mut ChaCha8Rng) -> Self {
        let wall = muted(rng, 0.35..0.9);
        let floor = muted(rng, 0.2..0.65);
        let pattern = |rng: &mut ChaCha8Rng| match rng.random_range(0..5) {
            0 => Pattern::Stripes(rng.random_range(18.0..70.0)),
            1 => Pattern::Tiles(rng.random_range(28.0..80.0)),
            2 => Pattern::Bricks(rng.random_range(16.0..36.0)),
            _ => Pattern::Plain,
        };
        Self {
            horizon: rng.random_range(200.0..320.0),
            wall: [scaled(wall, rng.random_range(0.75..1.0)), wall],
            wall_pattern: pattern(rng),
            floor: [scaled(floor, rng.random_range(0.7..0.95)), floor],
            floor_pattern: pattern(rng),
            contrast: rng.random_range(0.05..0.22),
            skirting: if rng.random_bool(0.7) { scaled(wall, 1.15) } else { scaled(wall, 0.5) },
            grain: (0..GRAIN * GRAIN).map(|_| rng.random_range(-1.0..1.0)).collect(),
            grain_share: rng.random_range(0.0..0.09),
            grain_size: rng.random_range(1.5..9.0),
        }
    }

    pub(crate) fn paint(&self, canvas: &mut Canvas) {
        canvas.cover(|at| {
            let flat = if at[1] < self.horizon - 8.0 {
                let t = (at[1] / self.horizon).clamp(0.0, 1.0);
                scaled(mix(self.wall[0], self.wall[1], t), 1.0 - self.contrast * self.wall_line(at))
            } else if at[1] < self.horizon {
                self.skirting
            } else {
                let t = ((at[1] - self.horizon) / (480.0 - self.horizon)).clamp(0.0, 1.0);
                scaled(mix(self.floor[0], self.floor[1], t), 1.0 - self.contrast * self.floor_line(at))
            };
            scaled(flat, 1.0 + self.grain_share * self.grain_at(at))
        });
    }

    fn wall_line(&self, at: Vec2) -> f32 {
        line(self.wall_pattern, at, 2.5)
    }

    /// The pattern in perspective, vanishing at the middle of the horizon.
    fn floor_line(&self, at: Vec2) -> f32 {
        let depth = 150.0 / (at[1] - self.horizon + 30.0);
        let far = smooth(4.0, 1.5, depth);
        line(self.floor_pattern, [(at[0] - 320.0) * depth, depth * 260.0], 2.5 * depth) * far
    }

    fn grain_at(&self, at: Vec2) -> f32 {
        let (x, y) = (at[0] / self.grain_size + 4096.0, at[1] / self.grain_size + 4096.0);
        let (i, j) = (x as usize, y as usize);
        let (u, v) = (x - i as f32, y - j as f32);
        let value = |i: usize, j: usize| self.grain[(j % GRAIN) * GRAIN + i % GRAIN];
        let top = value(i, j) * (1.0 - u) + value(i + 1, j) * u;
        let bottom = value(i, j + 1) * (1.0 - u) + value(i + 1, j + 1) * u;
        top * (1.0 - v) + bottom * v
    }
}

/// 1 on a line of the pattern, 0 between lines, with soft edges.
fn line(pattern: Pattern, at: Vec2, width: f32) -> f32 {
    let comb = |v: f32, step: f32| {
        let near = (v.rem_euclid(step) - step / 2.0).abs();
        smooth(width, width * 0.4, near)
    };
    match pattern {
        Pattern::Plain => 0.0,
        Pattern::Stripes(step) => smooth(step * 0.2, step * 0.3, (at[0].rem_euclid(step) - step / 2.0).abs()),
        Pattern::Tiles(step) => comb(at[0], step).max(comb(at[1], step)),
        Pattern::Bricks(step) => {
            let odd = (at[1] / step + 0.5).floor().rem_euclid(2.0);
            comb(at[0] + odd * step, step * 2.0).max(comb(at[1], step))
        }
    }
}

impl Mark {
    fn plain(figure: Figure, colour: Rgb) -> Self {
        Self { figure, colours: [colour, scaled(colour, 0.88)], opacity: 1.0 }
    }

    /// Returns a soft dark spot on the ground.
    pub(crate) fn shadow(centre: Vec2, radii: Vec2, opacity: f32) -> Self {
        Self { figure: Figure::Ellipse { centre, radii }, colours: [[0.0; 3]; 2], opacity: -opacity }
    }

    pub(crate) fn paint(&self, canvas: &mut Canvas) {
        let bounds = self.figure.bounds();
        if self.opacity < 0.0 {
            // A shadow fades from its middle to its edge.
            canvas.paint(bounds, |at| {
                let depth = -self.figure.distance(at) / (bounds[3] - bounds[1]);
                (-1.0, [0.0; 3], -self.opacity * smooth(0.0, 0.5, depth))
            });
            return;
        }
        let height = (bounds[3] - bounds[1]).max(1.0);
        canvas.paint(grown(bounds, 0.5), |at| {
            let t = ((at[1] - bounds[1]) / height).clamp(0.0, 1.0);
            (self.figure.distance(at), mix(self.colours[0], self.colours[1], t), self.opacity)
        });
    }
}

/// Furnishes a room: what stands behind the objects, back to front.
pub(crate) fn furnish(rng: &mut ChaCha8Rng, kind: RoomKind, horizon: f32) -> Vec<Mark> {
    let mut marks = Vec::new();
    for _ in 0..rng.random_range(0..3) {
        match rng.random_range(0..4) {
            0 => window(rng, &mut marks, horizon),
            1 => poster(rng, &mut marks, horizon),
            2 => shelf_of_books(rng, &mut marks, horizon),
            _ => picture(rng, &mut marks, horizon),
        }
    }
    furniture(rng, kind, &mut marks, horizon);
    if rng.random_bool(0.4) {
        let (centre, radii) = (
            [rng.random_range(100.0..540.0), rng.random_range(horizon + 60.0..450.0)],
            [rng.random_range(90.0..220.0), rng.random_range(20.0..50.0)],
        );
        let rug = any_colour(rng);
        marks.push(Mark::plain(Figure::Ellipse { centre, radii }, rug));
        let inner = [radii[0] * 0.8, radii[1] * 0.75];
        marks.push(Mark::plain(Figure::Ellipse { centre, radii: inner }, muted(rng, 0.3..0.9)));
    }
    for _ in 0..rng.random_range(2..9) {
        decoy(rng, &mut marks, horizon);
    }
    for _ in 0..rng.random_range(0..4) {
        let from = [rng.random_range(0.0..640.0), rng.random_range(0.0..480.0)];
        let to = [from[0] + rng.random_range(-200.0..200.0), from[1] + rng.random_range(-150.0..150.0)];
        let figure = Figure::Line { from, to, width: rng.random_range(1.5..5.0) };
        marks.push(Mark::plain(figure, any_colour(rng)));
    }
    marks
}

fn furniture(rng: &mut ChaCha8Rng, kind: RoomKind, marks: &mut Vec<Mark>, horizon: f32) {
    let x = rng.random_range(130.0..510.0);
    let foot = horizon + rng.random_range(10.0..60.0);
    let colour = any_colour(rng);
    let dark = scaled(colour, 0.7);
    let wood = [rng.random_range(0.35..0.6), rng.random_range(0.22..0.4), rng.random_range(0.12..0.25)];
    let mut block = |cx: f32, cy: f32, w: f32, h: f32, colour: Rgb| {
        let figure = Figure::Box { centre: [cx, cy], half: [w / 2.0, h / 2.0], turn: 0.0 };
        marks.push(Mark::plain(figure, colour));
    };
    match kind {
        RoomKind::LivingRoom => {
            block(x, foot - 75.0, 240.0, 90.0, colour);
            block(x, foot - 30.0, 250.0, 50.0, dark);
            for side in [-1.0, 1.0] {
                block(x + side * 130.0, foot - 45.0, 30.0, 85.0, scaled(colour, 0.85));
                block(x + side * 60.0, foot - 55.0, 112.0, 14.0, scaled(colour, 1.1));
            }
        }
        RoomKind::Office => {
            block(x, foot - 78.0, 270.0, 12.0, wood);
            for side in [-1.0, 1.0] {
                block(x + side * 120.0, foot - 36.0, 12.0, 75.0, scaled(wood, 0.8));
            }
            block(x + 80.0, foot - 45.0, 70.0, 55.0, scaled(wood, 0.9));
            block(x - 20.0, foot - 140.0, 120.0, 72.0, [0.08; 3]);
            let glow = [rng.random_range(0.2..0.9), rng.random_range(0.3..0.9), rng.random_range(0.4..0.95)];
            block(x - 20.0, foot - 140.0, 110.0, 62.0, glow);
            block(x - 20.0, foot - 94.0, 14.0, 22.0, [0.1; 3]);
        }
        RoomKind::Kitchen => {
            for i in 0..5 {
                let cx = x - 150.0 + i as f32 * 60.0;
                block(cx, foot - 45.0, 57.0, 88.0, colour);
                block(cx + 20.0, foot - 75.0, 4.0, 16.0, [0.75; 3]);
                if i < 4 {
                    block(cx, foot - 190.0, 57.0, 60.0, scaled(colour, 1.05));
                }
            }
            block(x - 30.0, foot - 93.0, 310.0, 10.0, wood);
            block(x + 165.0, foot - 95.0, 70.0, 190.0, [0.85, 0.87, 0.88]);
            block(x + 165.0, foot - 125.0, 70.0, 2.5, [0.4; 3]);
            block(x + 138.0, foot - 150.0, 4.0, 30.0, [0.5; 3]);
        }
        RoomKind::Bedroom => {
            block(x, foot - 80.0, 300.0, 110.0, wood);
            block(x, foot - 25.0, 290.0, 60.0, [0.88, 0.87, 0.84]);
            block(x, foot - 2.0, 294.0, 62.0, colour);
            for side in [-1.0, 1.0] {
                block(x + side * 70.0, foot - 60.0, 100.0, 32.0, [0.95, 0.94, 0.9]);
            }
        }
    }
}

/// A board for an object to stand on: between `span`, its top at `y`.
pub(crate) fn board(rng: &mut ChaCha8Rng, span: [f32; 2], y: f32) -> Mark {
    let centre = [(span[0] + span[1]) / 2.0, y + 4.0];
    let half = [(span[1] - span[0]) / 2.0 + rng.random_range(6.0..30.0), 5.0];
    Mark::plain(Figure::Box { centre, half, turn: 0.0 }, muted(rng, 0.15..0.8))
}

fn window(rng: &mut ChaCha8Rng, marks: &mut Vec<Mark>, horizon: f32) {
    let half = [rng.random_range(40.0..90.0), rng.random_range(40.0..75.0)];
    let centre = [rng.random_range(60.0..580.0), rng.random_range(0.25..0.5) * horizon];
    let frame = muted(rng, 0.3..0.95);
    marks.push(Mark::plain(Figure::Box { centre, half: [half[0] + 7.0, half[1] + 7.0], turn: 0.0 }, frame));
    let sky = [rng.random_range(0.5..0.8), rng.random_range(0.65..0.9), 0.95];
    marks.push(Mark {
        figure: Figure::Box { centre, half, turn: 0.0 },
        colours: [sky, [0.9, 0.93, 0.95]],
        opacity: 1.0,
    });
    marks.push(Mark::plain(Figure::Box { centre, half: [3.0, half[1]], turn: 0.0 }, frame));
    marks.push(Mark::plain(Figure::Box { centre, half: [half[0], 3.0], turn: 0.0 }, frame));
}

fn picture(rng: &mut ChaCha8Rng, marks: &mut Vec<Mark>, horizon: f32) {
    let half = [rng.random_range(20.0..60.0), rng.random_range(20.0..55.0)];
    let centre = [rng.random_range(40.0..600.0), rng.random_range(0.2..0.6) * horizon];
    marks.push(Mark::plain(
        Figure::Box { centre, half: [half[0] + 6.0, half[1] + 6.0], turn: 0.0 },
        muted(rng, 0.1..0.5),
    ));
    marks.push(Mark {
        figure: Figure::Box { centre, half, turn: 0.0 },
        colours: [any_colour(rng), any_colour(rng)],
        opacity: 1.0,
    });
    let hill = [half[0] * rng.random_range(0.4..0.95), half[1] * 0.45];
    marks.push(Mark::plain(
        Figure::Ellipse { centre: [centre[0], centre[1] + half[1] * 0.5], radii: hill },
        any_colour(rng),
    ));
}

/// Rows of dashes, as writing looks from afar.
fn poster(rng: &mut ChaCha8Rng, marks: &mut Vec<Mark>, horizon: f32) {
    let half = [rng.random_range(30.0..70.0), rng.random_range(30.0..70.0)];
    let centre: Vec2 = [rng.random_range(50.0..590.0), rng.random_range(0.25..0.6) * horizon];
    let (paper, ink) = (muted(rng, 0.75..0.98), any_colour(rng));
    marks.push(Mark::plain(Figure::Box { centre, half, turn: 0.0 }, paper));
    let mut y = centre[1] - half[1] + 10.0;
    while y < centre[1] + half[1] - 6.0 {
        let mut x = centre[0] - half[0] + 8.0;
        while x < centre[0] + half[0] - 16.0 {
            let width = rng.random_range(4.0..16.0f32);
            let word = Figure::Box { centre: [x + width / 2.0, y], half: [width / 2.0, 1.8], turn: 0.0 };
            marks.push(Mark::plain(word, ink));
            x += width + 4.0;
        }
        y += 9.0;
    }
}

fn shelf_of_books(rng: &mut ChaCha8Rng, marks: &mut Vec<Mark>, horizon: f32) {
    let (left, width) = (rng.random_range(0.0..460.0f32), rng.random_range(90.0..180.0f32));
    let y = rng.random_range(0.35..0.7) * horizon;
    let board =
        Figure::Box { centre: [left + width / 2.0, y + 4.0], half: [width / 2.0 + 6.0, 4.0], turn: 0.0 };
    marks.push(Mark::plain(board, [0.4, 0.28, 0.18]));
    let mut x = left;
    while x < left + width - 8.0 {
        let (thick, tall) = (rng.random_range(6.0..15.0f32), rng.random_range(28.0..58.0f32));
        let centre = [x + thick / 2.0, y - tall / 2.0];
        let book = Figure::Box { centre, half: [thick / 2.0 - 0.5, tall / 2.0], turn: 0.0 };
        marks.push(Mark::plain(book, any_colour(rng)));
        x += thick;
    }
}

/// Things in an object's colour that are none of the five: mugs, sheets, pennants, plates, pills, leaves.
fn decoy(rng: &mut ChaCha8Rng, marks: &mut Vec<Mark>, horizon: f32) {
    let at: Vec2 = [rng.random_range(20.0..620.0), rng.random_range(60.0..460.0)];
    let size = rng.random_range(22.0..80.0f32);
    let colour = any_colour(rng);
    let turn = rng.random_range(-0.7..0.7);
    if at[1] > horizon {
        marks.push(Mark::shadow([at[0], at[1] + size * 0.5], [size * 0.6, size * 0.12], 0.4));
    }
    match rng.random_range(0..6) {
        0 => {
            // A mug: a body, the ellipse of its mouth, a handle.
            let (w, h) = (size * 0.36, size * 0.45);
            let handle = Figure::Line {
                from: [at[0] + w, at[1] - h * 0.4],
                to: [at[0] + w * 1.5, at[1]],
                width: size * 0.09,
            };
            marks.push(Mark::plain(handle, colour));
            marks.push(Mark::plain(Figure::Box { centre: at, half: [w, h], turn: 0.0 }, colour));
            let mouth = Figure::Ellipse { centre: [at[0], at[1] - h], radii: [w, w * 0.3] };
            marks.push(Mark::plain(mouth, scaled(colour, 0.55)));
        }
        1 => {
            let half = [size * rng.random_range(0.25..0.55), size * rng.random_range(0.2..0.6)];
            marks.push(Mark::plain(Figure::Box { centre: at, half, turn }, colour));
        }
        2 => {
            // A pennant hangs with its point down.
            let (w, h) = (size * 0.4, size * 0.9);
            let corners = [[at[0] - w, at[1]], [at[0] + w, at[1]], [at[0], at[1] + h]];
            marks.push(Mark::plain(Figure::Triangle { corners }, colour));
        }
        3 => {
            let radii = [size * 0.7, size * rng.random_range(0.12..0.28)];
            marks.push(Mark::plain(Figure::Ellipse { centre: at, radii }, colour));
        }
        4 => {
            let to = [at[0] + size * turn.cos(), at[1] + size * turn.sin()];
            marks.push(Mark::plain(Figure::Line { from: at, to, width: size * 0.35 }, colour));
        }
        _ => {
            for i in 0..5 {
                let lean = (i as f32 - 2.0) * 0.45;
                let to = [at[0] + size * lean.sin(), at[1] - size * lean.cos()];
                let leaf = Figure::Line { from: at, to, width: size * 0.14 };
                marks.push(Mark::plain(leaf, scaled(colour, 0.6 + 0.1 * i as f32)));
            }
        }
    }
}

fn muted(rng: &mut ChaCha8Rng, light: std::ops::Range<f32>) -> Rgb {
    let grey: f32 = rng.random_range(light);
    std::array::from_fn(|_| (grey + rng.random_range(-0.1..0.1f32)).clamp(0.03, 1.0))
}

/// A colour that an object could have, as often as one that it could not.
fn any_colour(rng: &mut ChaCha8Rng) -> Rgb {
    if rng.random_bool(0.5) {
        let paint = Colour::ALL.choose(rng).expect("six colours").paint();
        paint.map(|v| (v + rng.random_range(-0.08..0.08f32)).clamp(0.02, 1.0))
    } else {
        muted(rng, 0.12..0.9)
    }
}
