//! What the network should answer, cell by cell.

use glassd_sim::world::TruthObject;

use crate::net::{COLOURS, GRID, SHAPES};

/// An object this much inside the frame counts, one less than [`IGNORED`] does not; between, either answer is
/// right.
const COUNTED: f32 = 0.6;
const IGNORED: f32 = 0.3;

/// Targets of a batch: planes of 18×24 cells, one after the other, as [batch, channels, row, column].
pub(crate) struct Targets {
    pub(crate) batch: usize,
    /// Objects in the batch.
    pub(crate) objects: f32,
    /// 1 in the cell of each centre.
    pub(crate) peak: Vec<f32>,
    /// How wrong it is to see a centre here, 0 to 1.
    pub(crate) quiet: Vec<f32>,
    /// How much shape, colour and box count here.
    pub(crate) weight: Vec<f32>,
    /// Weighted one-hot planes.
    pub(crate) shape: Vec<f32>,
    /// Weighted one-hot planes.
    pub(crate) colour: Vec<f32>,
    /// Place of the centre in the cell: right, down.
    pub(crate) centre: Vec<f32>,
    /// Logarithm of width and height in cells.
    pub(crate) size: Vec<f32>,
}

const CELLS: usize = GRID[0] * GRID[1];

impl Targets {
    /// Makes the targets of a batch.
    pub(crate) fn new<'a>(pictures: impl ExactSizeIterator<Item = &'a [TruthObject]>) -> Self {
        let batch = pictures.len();
        let zeros = |channels: usize| vec![0.0; batch * channels * CELLS];
        let mut targets = Self {
            batch,
            objects: 0.0,
            peak: zeros(1),
            quiet: vec![1.0; batch * CELLS],
            weight: zeros(1),
            shape: zeros(SHAPES),
            colour: zeros(COLOURS),
            centre: zeros(2),
            size: zeros(2),
        };
        for (index, objects) in pictures.enumerate() {
            for object in objects {
                targets.add(index, object);
            }
        }
        targets
    }

    fn add(&mut self, picture: usize, object: &TruthObject) {
        if object.inside < IGNORED {
            return;
        }
        let [rows, columns] = GRID.map(|n| n as f32);
        let b = object.bounds;
        let centre = [(b.left + b.right) / 2.0 * columns, (b.top + b.bottom) / 2.0 * rows];
        let size = [(b.right - b.left) * columns, (b.bottom - b.top) * rows];
        let counted = object.inside >= COUNTED;
        let home = [centre[0].min(columns - 1e-3) as usize, centre[1].min(rows - 1e-3) as usize];
        if counted {
            self.objects += 1.0;
        }
        for row in 0..GRID[0] {
            for column in 0..GRID[1] {
                let away = [column as f32 + 0.5 - centre[0], row as f32 + 0.5 - centre[1]];
                let spread = size.map(|s| (0.16 * s).max(0.45));
                let near = (-0.5 * ((away[0] / spread[0]).powi(2) + (away[1] / spread[1]).powi(2))).exp();
                let at = picture * CELLS + row * GRID[1] + column;
                let is_home = [column, row] == home;
                let near = if is_home { 1.0 } else { near };
                self.quiet[at] = self.quiet[at].min((1.0 - near).powi(4));
                if !counted {
                    continue;
                }
                if is_home {
                    self.peak[at] = 1.0;
                }
                if near > 0.3 && near > self.weight[at] {
                    self.describe(picture, [row, column], near, object, centre, size);
                }
            }
        }
    }

    /// Writes what the object is and where, as seen from a cell.
    fn describe(
        &mut self,
        picture: usize,
        [row, column]: [usize; 2],
        weight: f32,
        object: &TruthObject,
        centre: [f32; 2],
        size: [f32; 2],
    ) {
        let cell = row * GRID[1] + column;
        let at = |channels: usize, channel: usize| (picture * channels + channel) * CELLS + cell;
        self.weight[at(1, 0)] = weight;
        for class in 0..SHAPES {
            self.shape[at(SHAPES, class)] = if class == object.shape as usize { weight } else { 0.0 };
        }
        for class in 0..COLOURS {
            self.colour[at(COLOURS, class)] = if class == object.colour as usize { weight } else { 0.0 };
        }
        for axis in 0..2 {
            let corner = [column, row][axis] as f32;
            self.centre[at(2, axis)] = (centre[axis] - corner).clamp(0.0, 1.0);
            self.size[at(2, axis)] = size[axis].max(0.1).ln();
        }
    }
}
