//! What the numbers of a detector's output mean.

mod nanodet;
mod ssd;

use super::Candidate;
use crate::calibration::{sigmoid, softmax_peak};
use crate::manifest::{Classes, DetectHead, InputContract};

/// The strides of YOLOX and YOLOv8, in input pixels a cell.
const STRIDES: [usize; 3] = [8, 16, 32];
/// The stride of the embedded detector.
const CENTRE_STRIDE: usize = 8;

/// An output layout with its sizes.
#[derive(Clone, Debug)]
pub(super) struct Head {
    kind: DetectHead,
    classes: Classes,
    width: usize,
    height: usize,
    labels: usize,
    colours: usize,
    anchors: Vec<ssd::Anchor>,
}

impl Head {
    pub(super) fn new(
        kind: DetectHead,
        classes: Classes,
        input: &InputContract,
        labels: usize,
        colours: usize,
    ) -> Self {
        let (width, height) = (input.width as usize, input.height as usize);
        let anchors = if kind == DetectHead::Ssd { ssd::anchors(width, height) } else { Vec::new() };
        Self { kind, classes, width, height, labels, colours, anchors }
    }

    /// Returns the same layout for another number of labels.
    pub(super) fn of(&self, labels: usize) -> Self {
        Self { labels, ..self.clone() }
    }

    /// Returns the shapes that the model's outputs must have, in any order; `boxes` is how many a model says it
    /// gives, which matters where nothing else tells.
    pub(super) fn shapes(&self, boxes: usize) -> Vec<Vec<usize>> {
        let cells = |strides: &[usize]| -> usize {
            strides.iter().map(|stride| self.width.div_ceil(*stride) * self.height.div_ceil(*stride)).sum()
        };
        match self.kind {
            DetectHead::Yolox => vec![vec![1, cells(&STRIDES), 5 + self.labels]],
            DetectHead::Yolov8 => vec![vec![1, 4 + self.labels, cells(&STRIDES)]],
            DetectHead::Nanodet => {
                vec![vec![1, cells(&nanodet::STRIDES), self.labels + 4 * nanodet::STEPS]]
            }
            DetectHead::Ssd => {
                let boxes = self.anchors.len();
                vec![vec![1, boxes, 4], vec![1, boxes, 1 + self.labels]]
            }
            DetectHead::SsdDecoded => vec![vec![1, boxes, 4], vec![1, boxes, 1 + self.labels]],
            DetectHead::Centre => {
                let (rows, columns) = (self.height / CENTRE_STRIDE, self.width / CENTRE_STRIDE);
                vec![vec![1, 5 + self.labels + self.colours, rows, columns]]
            }
        }
    }

    /// Reads every candidate from `floor` upwards from outputs of [`Head::shapes`].
    pub(super) fn candidates(&self, outputs: &[&[f32]], floor: f32) -> Vec<Candidate> {
        match (self.kind, outputs) {
            (DetectHead::Yolox, [output]) => self.yolox(output, floor),
            (DetectHead::Yolov8, [output]) => self.yolov8(output, floor),
            (DetectHead::Nanodet, [output]) => self.nanodet(output, floor),
            (DetectHead::Centre, [output]) => self.centre(output, floor),
            (DetectHead::Ssd | DetectHead::SsdDecoded, [boxes, scores]) => self.ssd(boxes, scores, floor),
            (_, _) => Vec::new(),
        }
    }

    /// Picks the objectness and class scores (or their logits) out of the outputs.
    pub(super) fn scores(&self, outputs: &[&[f32]]) -> Vec<f32> {
        let Some(output) = outputs.last() else { return Vec::new() };
        match self.kind {
            DetectHead::Yolox => {
                output.chunks_exact(5 + self.labels).flat_map(|cell| &cell[4..]).copied().collect()
            }
            DetectHead::Yolov8 => output[4 * (output.len() / (4 + self.labels))..].to_vec(),
            DetectHead::Nanodet => {
                let cells = output.chunks_exact(self.labels + 4 * nanodet::STEPS);
                cells.flat_map(|cell| &cell[..self.labels]).copied().collect()
            }
            DetectHead::Ssd | DetectHead::SsdDecoded => output.to_vec(),
            DetectHead::Centre => {
                output[..output.len() / (5 + self.labels + self.colours) * (1 + self.labels)].to_vec()
            }
        }
    }

    /// Returns the labels that a place is told for, with their scores: its best, or all from the floor upwards.
    fn told(&self, scores: impl Iterator<Item = f32>, floor: f32) -> Vec<(usize, f32)> {
        let seen = scores.enumerate().filter(|(_, score)| *score >= floor);
        match self.classes {
            Classes::All => seen.collect(),
            Classes::Best => seen.max_by(|a, b| a.1.total_cmp(&b.1)).into_iter().collect(),
        }
    }

    fn yolox(&self, output: &[f32], floor: f32) -> Vec<Candidate> {
        let mut found = Vec::new();
        let mut cells = output.chunks_exact(5 + self.labels);
        for stride in STRIDES {
            let columns = self.width.div_ceil(stride);
            let level = cells.by_ref().take(columns * self.height.div_ceil(stride));
            for (index, cell) in level.enumerate().filter(|(_, cell)| cell[4] >= floor) {
                let stride = stride as f32;
                let x = (cell[0] + (index % columns) as f32) * stride;
                let y = (cell[1] + (index / columns) as f32) * stride;
                let bounds = around(x, y, cell[2].exp() * stride, cell[3].exp() * stride);
                let told = self.told(cell[5..].iter().map(|class| class * cell[4]), floor).into_iter();
                found.extend(told.map(|(label, score)| Candidate { label, score, colour: None, bounds }));
            }
        }
        found
    }

    fn yolov8(&self, output: &[f32], floor: f32) -> Vec<Candidate> {
        let cells = output.len() / (4 + self.labels);
        let row = |index: usize| &output[index * cells..(index + 1) * cells];
        let candidate = |cell: usize, label: usize, score: f32| {
            let [x, y, width, height] = std::array::from_fn(|index| row(index)[cell]);
            Candidate { label, score, colour: None, bounds: around(x, y, width, height) }
        };
        // Row by row, which is how the scores lie.
        if self.classes == Classes::All {
            let rows = (0..self.labels).flat_map(|label| {
                row(4 + label).iter().enumerate().map(move |(cell, &score)| (cell, label, score))
            });
            let seen = rows.filter(|(_, _, score)| *score >= floor);
            return seen.map(|(cell, label, score)| candidate(cell, label, score)).collect();
        }
        let mut best = vec![(0, f32::NEG_INFINITY); cells];
        for label in 0..self.labels {
            for (best, &score) in best.iter_mut().zip(row(4 + label)) {
                if score > best.1 {
                    *best = (label, score);
                }
            }
        }
        let seen = best.iter().enumerate().filter(|(_, (_, score))| *score >= floor);
        seen.map(|(cell, &(label, score))| candidate(cell, label, score)).collect()
    }

    fn nanodet(&self, output: &[f32], floor: f32) -> Vec<Candidate> {
        let mut found = Vec::new();
        let mut cells = output.chunks_exact(self.labels + 4 * nanodet::STEPS);
        for stride in nanodet::STRIDES {
            let columns = self.width.div_ceil(stride);
            let level = cells.by_ref().take(columns * self.height.div_ceil(stride));
            for (index, cell) in level.enumerate() {
                let (scores, distributions) = cell.split_at(self.labels);
                let told = self.told(scores.iter().copied(), floor);
                if told.is_empty() {
                    continue;
                }
                let distances = distributions.as_chunks().0.iter().map(nanodet::distance);
                let distances: Vec<f32> = distances.map(|distance| distance * stride as f32).collect();
                let (x, y) = ((index % columns * stride) as f32, (index / columns * stride) as f32);
                let bounds = [x - distances[0], y - distances[1], x + distances[2], y + distances[3]];
                let told = told.into_iter();
                found.extend(told.map(|(label, score)| Candidate { label, score, colour: None, bounds }));
            }
        }
        found
    }

    /// Class 0 is "nothing".
    fn ssd(&self, boxes: &[f32], scores: &[f32], floor: f32) -> Vec<Candidate> {
        let is_raw = self.kind == DetectHead::Ssd;
        let mut found = Vec::new();
        let places = boxes.as_chunks::<4>().0.iter().zip(scores.chunks_exact(1 + self.labels));
        for (at, (place, scores)) in places.enumerate() {
            let scores = scores[1..].iter().map(|&score| if is_raw { sigmoid(score) } else { score });
            let told = self.told(scores, floor);
            if told.is_empty() {
                continue;
            }
            let shares = if is_raw { ssd::decoded(self.anchors[at], place) } else { *place };
            let sides = [self.width, self.height, self.width, self.height];
            let bounds = std::array::from_fn(|edge| shares[edge] * sides[edge] as f32);
            let told = told.into_iter();
            found.extend(told.map(|(label, score)| Candidate { label, score, colour: None, bounds }));
        }
        found
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
        telling(kind, Classes::Best, labels, colours)
    }

    fn telling(kind: DetectHead, classes: Classes, labels: usize, colours: usize) -> Head {
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
        Head::new(kind, classes, &input, labels, colours)
    }

    fn close(actual: [f32; 4], expected: [f32; 4]) {
        let near = actual.iter().zip(expected).all(|(actual, expected)| (actual - expected).abs() < 1e-3);
        assert!(near, "{actual:?} is not {expected:?}");
    }

    #[test]
    fn yolox_cells_are_counted_through_the_strides() {
        let head = head(DetectHead::Yolox, 2, 0);
        assert_eq!(head.shapes(0), [[1, 8 * 4 + 4 * 2 + 2, 7]]);
        let mut output = vec![0.0; 42 * 7];
        // The second cell of the second row at stride 16.
        let cell = 8 * 4 + 4 + 1;
        output[cell * 7..][..7].copy_from_slice(&[0.5, 0.25, 0.0, 2_f32.ln(), 0.8, 0.1, 0.5]);
        let found = head.candidates(&[&output], 0.3);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label, found[0].score), (1, 0.4));
        close(found[0].bounds, [16.0, 4.0, 32.0, 36.0]);
    }

    #[test]
    fn yolov8_takes_the_best_class_of_a_cell() {
        let head = head(DetectHead::Yolov8, 3, 0);
        assert_eq!(head.shapes(0), [[1, 7, 42]]);
        let mut output = vec![0.0; 7 * 42];
        for (row, value) in [20.0, 10.0, 8.0, 4.0, 0.2, 0.7, 0.6].into_iter().enumerate() {
            output[row * 42 + 5] = value;
        }
        let found = head.candidates(&[&output], 0.5);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label, found[0].score), (1, 0.7));
        close(found[0].bounds, [16.0, 8.0, 24.0, 12.0]);
    }

    #[test]
    fn centre_reads_peaks_with_label_and_colour() {
        let head = head(DetectHead::Centre, 2, 3);
        assert_eq!(head.shapes(0), [[1, 10, 4, 8]]);
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
        let found = head.candidates(&[&output], 0.1);
        assert_eq!(found.len(), 1);
        let expected = sigmoid(2.0) * sigmoid(4.0);
        assert!((found[0].score - expected).abs() < 1e-6);
        assert_eq!((found[0].label, found[0].colour.unwrap().0), (1, 2));
        assert!((found[0].colour.unwrap().1 - 0.9867).abs() < 1e-3);
        close(found[0].bounds, [24.0, 4.0, 32.0, 20.0]);
    }

    #[test]
    fn all_classes_of_a_place_can_be_told() {
        let mut yolov8 = vec![0.0; 7 * 42];
        for (row, value) in [20.0, 10.0, 8.0, 4.0, 0.2, 0.7, 0.6].into_iter().enumerate() {
            yolov8[row * 42 + 5] = value;
        }
        let mut yolox = vec![0.0; 42 * 8];
        yolox[..8].copy_from_slice(&[0.0, 0.0, 0.0, 0.0, 1.0, 0.2, 0.7, 0.6]);
        for (kind, output) in [(DetectHead::Yolov8, yolov8), (DetectHead::Yolox, yolox)] {
            let found = telling(kind, Classes::All, 3, 0).candidates(&[&output], 0.5);
            let told: Vec<(usize, f32)> = found.iter().map(|found| (found.label, found.score)).collect();
            assert_eq!(told, [(1, 0.7), (2, 0.6)], "{kind:?}");
            assert_eq!(found[0].bounds, found[1].bounds);
        }
    }

    #[test]
    fn nanodet_measures_from_a_cells_corner() {
        let head = head(DetectHead::Nanodet, 2, 0);
        assert_eq!(head.shapes(0), [[1, 8 * 4 + 4 * 2 + 2 + 1, 2 + 32]]);
        let mut output = vec![0.0; 43 * 34];
        // The second cell of the second row at stride 16; distances of 1, 0, 2 and 3.5 cells.
        let cell = &mut output[(8 * 4 + 4 + 1) * 34..][..34];
        cell[..2].copy_from_slice(&[0.3, 0.8]);
        [1, 8, 18].into_iter().for_each(|at| cell[2 + at] = 100.0);
        let found = head.candidates(&[&output], 0.5);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].label, found[0].score), (1, 0.8));
        close(found[0].bounds, [0.0, 16.0, 48.0, 72.0]);
    }

    #[test]
    fn ssd_boxes_come_raw_or_decoded() {
        let raw = head(DetectHead::Ssd, 2, 0);
        let [boxes, scores] = &raw.shapes(0)[..] else { panic!("two outputs") };
        // 4 × 2 cells with 3 anchors, then 2 × 1 and four times 1 × 1 with 6.
        assert_eq!((boxes[1], &scores[..]), (8 * 3 + 2 * 6 + 4 * 6, &[1, 60, 3][..]));
        let (changes, mut logits) = (vec![0.0; 60 * 4], vec![-9.0; 60 * 3]);
        // The background is sure of every place; the sixth anchor's second class is seen.
        logits.iter_mut().step_by(3).for_each(|logit| *logit = 9.0);
        logits[5 * 3 + 2] = 0.0;
        let found = raw.candidates(&[&changes, &logits], 0.4);
        assert_eq!(found.iter().map(|it| (it.label, it.score)).collect::<Vec<_>>(), [(1, 0.5)]);
        // The second cell's third anchor: half as wide as high, of scale 0.2.
        let (width, height) = (64.0 * 0.2 * 0.5_f32.sqrt(), 32.0 * 0.2 / 0.5_f32.sqrt());
        close(found[0].bounds, around(64.0 * 1.5 / 4.0, 32.0 * 0.5 / 2.0, width, height));

        let decoded = head(DetectHead::SsdDecoded, 1, 0);
        assert_eq!(decoded.shapes(2), [[1, 2, 4], [1, 2, 2]]);
        let found =
            decoded.candidates(&[&[0.0, 0.0, 1.0, 1.0, 0.25, 0.5, 0.5, 1.0], &[0.9, 0.1, 0.2, 0.8]], 0.5);
        assert_eq!(found.len(), 1);
        close(found[0].bounds, [16.0, 16.0, 32.0, 32.0]);
    }

    #[test]
    fn numbers_that_are_none_are_no_candidates() {
        let kinds = [
            DetectHead::Yolox,
            DetectHead::Yolov8,
            DetectHead::Centre,
            DetectHead::Nanodet,
            DetectHead::Ssd,
            DetectHead::SsdDecoded,
        ];
        for (kind, classes) in
            kinds.into_iter().flat_map(|kind| [(kind, Classes::Best), (kind, Classes::All)])
        {
            let head = telling(kind, classes, 2, 0);
            let outputs: Vec<Vec<f32>> =
                head.shapes(3).iter().map(|shape| vec![f32::NAN; shape.iter().product()]).collect();
            let outputs: Vec<&[f32]> = outputs.iter().map(Vec::as_slice).collect();
            assert_eq!(head.candidates(&outputs, 0.1), []);
        }
    }
}
