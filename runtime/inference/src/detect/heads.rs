//! What the numbers of a detector's output mean.

use super::Candidate;
use crate::calibration::{sigmoid, softmax_peak};
use crate::manifest::{DetectHead, InputContract};

/// The strides of YOLOX and YOLOv8, in input pixels a cell.
const STRIDES: [usize; 3] = [8, 16, 32];
/// The stride of the embedded detector.
const CENTRE_STRIDE: usize = 8;

/// An output layout with its sizes.
#[derive(Clone, Debug)]
pub(super) struct Head {
    kind: DetectHead,
    width: usize,
    height: usize,
    labels: usize,
    colours: usize,
}

impl Head {
    pub(super) fn new(kind: DetectHead, input: &InputContract, labels: usize, colours: usize) -> Self {
        Self { kind, width: input.width as usize, height: input.height as usize, labels, colours }
    }

    /// Returns the shape that the model's output must have.
    pub(super) fn shape(&self) -> Vec<usize> {
        let cells: usize = STRIDES.iter().map(|stride| (self.width / stride) * (self.height / stride)).sum();
        match self.kind {
            DetectHead::Yolox => vec![1, cells, 5 + self.labels],
            DetectHead::Yolov8 => vec![1, 4 + self.labels, cells],
            DetectHead::Centre => {
                let (rows, columns) = (self.height / CENTRE_STRIDE, self.width / CENTRE_STRIDE);
                vec![1, 5 + self.labels + self.colours, rows, columns]
            }
        }
    }

    /// Reads every candidate from `floor` upwards from an output of [`Head::shape`].
    pub(super) fn candidates(&self, output: &[f32], floor: f32) -> Vec<Candidate> {
        match self.kind {
            DetectHead::Yolox => self.yolox(output, floor),
            DetectHead::Yolov8 => self.yolov8(output, floor),
            DetectHead::Centre => self.centre(output, floor),
        }
    }

    /// Picks the objectness and class scores (or their logits) out of an output.
    pub(super) fn scores(&self, output: &[f32]) -> Vec<f32> {
        match self.kind {
            DetectHead::Yolox => {
                output.chunks_exact(5 + self.labels).flat_map(|cell| &cell[4..]).copied().collect()
            }
            DetectHead::Yolov8 => output[4 * (output.len() / (4 + self.labels))..].to_vec(),
            DetectHead::Centre => {
                output[..output.len() / (5 + self.labels + self.colours) * (1 + self.labels)].to_vec()
            }
        }
    }

    fn yolox(&self, output: &[f32], floor: f32) -> Vec<Candidate> {
        let mut found = Vec::new();
        let mut cells = output.chunks_exact(5 + self.labels);
        for stride in STRIDES {
            let columns = self.width / stride;
            let level = cells.by_ref().take(columns * (self.height / stride));
            for (index, cell) in level.enumerate() {
                let best = cell[5..].iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
                let Some((label, class)) = best else { continue };
                let score = cell[4] * class;
                if score >= floor {
                    let stride = stride as f32;
                    let x = (cell[0] + (index % columns) as f32) * stride;
                    let y = (cell[1] + (index / columns) as f32) * stride;
                    let bounds = around(x, y, cell[2].exp() * stride, cell[3].exp() * stride);
                    found.push(Candidate { label, score, colour: None, bounds });
                }
            }
        }
        found
    }

    fn yolov8(&self, output: &[f32], floor: f32) -> Vec<Candidate> {
        let cells = output.len() / (4 + self.labels);
        let row = |index: usize| &output[index * cells..(index + 1) * cells];
        let mut best = vec![(0, f32::NEG_INFINITY); cells];
        for label in 0..self.labels {
            for (best, &score) in best.iter_mut().zip(row(4 + label)) {
                if score > best.1 {
                    *best = (label, score);
                }
            }
        }
        let seen = best.iter().enumerate().filter(|(_, (_, score))| *score >= floor);
        seen.map(|(cell, &(label, score))| {
            let [x, y, width, height] = std::array::from_fn(|index| row(index)[cell]);
            Candidate { label, score, colour: None, bounds: around(x, y, width, height) }
        })
        .collect()
    }

    fn centre(&self, output: &[f32], floor: f32) -> Vec<Candidate> {
        let (rows, columns) = (self.height / CENTRE_STRIDE, self.width / CENTRE_STRIDE);
        let cells = rows * columns;
        let value = |channel: usize, cell: usize| output[channel * cells + cell];
        let place = 1 + self.labels + self.colours;
        let stride = CENTRE_STRIDE as f32;
        let mut found = Vec::new();
        for cell in (0..cells).filter(|&cell| is_peak(&output[..cells], columns, cell)) {
            let labels = (1..=self.labels).map(|channel| value(channel, cell));
            let Some((label, share)) = softmax_peak(labels) else { continue };
            let score = sigmoid(value(0, cell)) * share;
            if score >= floor {
                let colours = (1 + self.labels..place).map(|channel| value(channel, cell));
                let x = ((cell % columns) as f32 + sigmoid(value(place, cell))) * stride;
                let y = ((cell / columns) as f32 + sigmoid(value(place + 1, cell))) * stride;
                let [width, height] =
                    [place + 2, place + 3].map(|channel| value(channel, cell).exp() * stride);
                let colour = softmax_peak(colours);
                found.push(Candidate { label, score, colour, bounds: around(x, y, width, height) });
            }
        }
        found
    }
}

fn around(x: f32, y: f32, width: f32, height: f32) -> [f32; 4] {
    [x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0]
}

/// Tells whether no neighbour is higher; of equals the first is the peak.
fn is_peak(map: &[f32], columns: usize, cell: usize) -> bool {
    let (row, column) = (cell / columns, cell % columns);
    let rows = row.saturating_sub(1)..(row + 2).min(map.len() / columns);
    let near = column.saturating_sub(1)..(column + 2).min(columns);
    let mut neighbours = rows.flat_map(|row| near.clone().map(move |column| row * columns + column));
    neighbours.all(|other| if other < cell { map[other] < map[cell] } else { map[other] <= map[cell] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Fit, Layout, Level, Order};

    fn head(kind: DetectHead, labels: usize, colours: usize) -> Head {
        let input = InputContract {
            width: 64,
            height: 32,
            layout: Layout::Nchw,
            level: Level::F32,
            order: Order::Rgb,
            scale: 1.0,
            offset: 0.0,
            fit: Fit::Stretch,
            pad: 0,
            keep: 1.0,
        };
        Head::new(kind, &input, labels, colours)
    }

    fn close(actual: [f32; 4], expected: [f32; 4]) {
        let near = actual.iter().zip(expected).all(|(actual, expected)| (actual - expected).abs() < 1e-3);
        assert!(near, "{actual:?} is not {expected:?}");
    }

    #[test]
    fn yolox_cells_are_counted_through_the_strides() {
        let head = head(DetectHead::Yolox, 2, 0);
        assert_eq!(head.shape(), [1, 8 * 4 + 4 * 2 + 2, 7]);
        let mut output = vec![0.0; 42 * 7];
        // The second cell of the second row at stride 16.
        let cell = 8 * 4 + 4 + 1;
        output[cell * 7..][..7].copy_from_slice(&[0.5, 0.25, 0.0, 2_f32.ln(), 0.8, 0.1, 0.5]);
        let found = head.candidates(&output, 0.3);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label, found[0].score), (1, 0.4));
        close(found[0].bounds, [16.0, 4.0, 32.0, 36.0]);
    }

    #[test]
    fn yolov8_takes_the_best_class_of_a_cell() {
        let head = head(DetectHead::Yolov8, 3, 0);
        assert_eq!(head.shape(), [1, 7, 42]);
        let mut output = vec![0.0; 7 * 42];
        for (row, value) in [20.0, 10.0, 8.0, 4.0, 0.2, 0.7, 0.6].into_iter().enumerate() {
            output[row * 42 + 5] = value;
        }
        let found = head.candidates(&output, 0.5);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label, found[0].score), (1, 0.7));
        close(found[0].bounds, [16.0, 8.0, 24.0, 12.0]);
    }

    #[test]
    fn centre_reads_peaks_with_label_and_colour() {
        let head = head(DetectHead::Centre, 2, 3);
        assert_eq!(head.shape(), [1, 10, 4, 8]);
        let mut output = vec![0.0; 10 * 32];
        output[..32].fill(-9.0);
        let mut put = |cell: usize, values: [f32; 10]| {
            for (channel, value) in values.into_iter().enumerate() {
                output[channel * 32 + cell] = value;
            }
        };
        let cell = 8 + 3;
        put(cell, [2.0, 0.0, 4.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 2_f32.ln()]);
        // Its neighbour is nearly as sure of the same object, and is no peak.
        put(cell + 1, [1.9, 0.0, 4.0, 0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
        let found = head.candidates(&output, 0.1);
        assert_eq!(found.len(), 1);
        let expected = sigmoid(2.0) * sigmoid(4.0);
        assert!((found[0].score - expected).abs() < 1e-6);
        assert_eq!((found[0].label, found[0].colour.unwrap().0), (1, 2));
        assert!((found[0].colour.unwrap().1 - 0.9867).abs() < 1e-3);
        close(found[0].bounds, [24.0, 4.0, 32.0, 20.0]);
    }

    #[test]
    fn numbers_that_are_none_are_no_candidates() {
        for kind in [DetectHead::Yolox, DetectHead::Yolov8, DetectHead::Centre] {
            let head = head(kind, 2, 0);
            let output = vec![f32::NAN; head.shape().iter().product()];
            assert_eq!(head.candidates(&output, 0.1), []);
        }
    }
}
