//! From a map of probabilities to the places of lines: differentiable binarisation (Liao et al. 2020), with the
//! constants of PP-OCR as RapidOCR 1.4 sets them.

use super::rectangle::Rectangle;
use crate::tasks::sampling::Corners;

/// From here on a place of the map belongs to text.
const THRESHOLD: f32 = 0.3;
/// The mean of the map in a line's rectangle must be this at least.
const LEAST_SCORE: f32 = 0.5;
/// What a rectangle is grown by, as a multiple of its area over its circumference: the map shows lines shrunk.
const UNCLIP: f32 = 1.6;
/// Shorter side of a rectangle at least, in places of the map, before and after it is grown.
const LEAST_SIDE: f32 = 3.0;
const LEAST_GROWN: f32 = 5.0;
/// Lines at most, so that no map makes the wait unbounded.
const MOST_LINES: usize = 1000;

/// A map of probabilities that a place belongs to text, row by row.
pub(super) struct Map<'a> {
    pub(super) values: &'a [f32],
    pub(super) width: usize,
}

impl Map<'_> {
    /// Returns where lines are, in places of the map.
    pub(super) fn lines(&self) -> Vec<Corners> {
        let found = self.components().into_iter().filter_map(|edges| {
            let rectangle = Rectangle::around(&edges)?;
            let is_line = rectangle.shorter() >= LEAST_SIDE && self.mean(&rectangle) >= LEAST_SCORE;
            let [along, across] = rectangle.sides;
            let grown = rectangle.grown(along * across * UNCLIP / (2.0 * (along + across)));
            (is_line && grown.shorter() >= LEAST_GROWN).then(|| grown.corners())
        });
        found.take(MOST_LINES).collect()
    }

    fn height(&self) -> usize {
        self.values.len() / self.width
    }

    /// Returns the outermost places of each row of each connected component (with diagonals). Every place
    /// counts for its neighbours right and below too, as the 2 × 2 dilation of the reference makes them.
    fn components(&self) -> Vec<Vec<[f32; 2]>> {
        let (width, height) = (self.width, self.height());
        let is_text = |x: usize, y: usize| self.values[y * width + x] > THRESHOLD;
        let dilated = |x: usize, y: usize| {
            let rows = y.saturating_sub(1)..=y;
            rows.into_iter().any(|y| is_text(x, y) || x > 0 && is_text(x - 1, y))
        };
        let mut open: Vec<bool> = (0..width * height).map(|at| dilated(at % width, at / width)).collect();
        let mut components = Vec::new();
        let mut border = Vec::new();
        for start in 0..open.len() {
            if !std::mem::take(&mut open[start]) {
                continue;
            }
            border.push(start);
            let top = start / width;
            let mut rows: Vec<(usize, usize)> = Vec::new();
            while let Some(at) = border.pop() {
                let (x, y) = (at % width, at / width);
                if rows.len() <= y - top {
                    rows.resize(y - top + 1, (usize::MAX, 0));
                }
                let row = &mut rows[y - top];
                *row = (row.0.min(x), row.1.max(x));
                for y in y.saturating_sub(1)..(y + 2).min(height) {
                    for x in x.saturating_sub(1)..(x + 2).min(width) {
                        if std::mem::take(&mut open[y * width + x]) {
                            border.push(y * width + x);
                        }
                    }
                }
            }
            let ends = rows.iter().enumerate();
            components.push(
                ends.flat_map(|(row, &(left, right))| {
                    [left, right].map(|column| [column as f32, (top + row) as f32])
                })
                .collect(),
            );
        }
        components
    }

    /// Returns the mean of the map within a rectangle.
    fn mean(&self, rectangle: &Rectangle) -> f32 {
        let Rectangle { centre, axis, sides } = *rectangle;
        let corners = rectangle.corners();
        let reach = |axis: usize, most: usize| {
            let places = corners.map(|corner| corner[axis]);
            let least = places.iter().copied().fold(f32::MAX, f32::min).max(0.0);
            let most = places.iter().copied().fold(0.0, f32::max).min((most - 1) as f32);
            least.floor() as usize..=most.ceil() as usize
        };
        let (mut sum, mut count) = (0.0, 0_u32);
        let (rows, columns) = (reach(1, self.height()), reach(0, self.width));
        for y in rows {
            for x in columns.clone() {
                let [dx, dy] = [x as f32 - centre[0], y as f32 - centre[1]];
                let along = (dx * axis[0] + dy * axis[1]).abs();
                let across = (dy * axis[0] - dx * axis[1]).abs();
                if along <= sides[0] / 2.0 + 1e-3 && across <= sides[1] / 2.0 + 1e-3 {
                    sum += self.values[y * self.width + x];
                    count += 1;
                }
            }
        }
        if count > 0 { sum / count as f32 } else { 0.0 }
    }
}

/// Returns the order in which lines are read: rows from the top, and in a row from the left. A line belongs to the
/// row of the one before it if their middles lie within half the lower one's height.
pub(super) fn reading_order(lines: &[Corners]) -> Vec<usize> {
    let middle = |line: &Corners| line.iter().map(|corner| corner[1]).sum::<f32>() / 4.0;
    let height = |line: &Corners| crate::tasks::sampling::sides(line)[1];
    let left = |at: &usize| lines[*at].iter().map(|corner| corner[0]).fold(f32::MAX, f32::min);
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|a, b| middle(&lines[*a]).total_cmp(&middle(&lines[*b])));
    let is_same_row = |a: &usize, b: &usize| {
        let (a, b) = (&lines[*a], &lines[*b]);
        (middle(b) - middle(a)).abs() < 0.5 * height(a).min(height(b))
    };
    for row in order.chunk_by_mut(is_same_row) {
        row.sort_by(|a, b| left(a).total_cmp(&left(b)));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A map with bars of one probability: left, top, right, bottom, all inside.
    fn map(width: usize, height: usize, bars: &[([usize; 4], f32)]) -> Vec<f32> {
        let mut values = vec![0.01; width * height];
        for &([left, top, right, bottom], value) in bars {
            for y in top..=bottom {
                values[y * width + left..=y * width + right].fill(value);
            }
        }
        values
    }

    #[test]
    fn bars_become_grown_rectangles() {
        let values =
            map(120, 60, &[([20, 10, 59, 17], 0.9), ([20, 30, 59, 37], 0.4), ([80, 50, 80, 51], 0.9)]);
        let lines = Map { values: &values, width: 120 }.lines();
        // The second is too doubtful, the third too small.
        assert_eq!(lines.len(), 1, "{lines:?}");
        // With the dilation the bar is 40 by 8 places, from 20 and 10 to 60 and 18.
        let distance = 40.0 * 8.0 * 1.6 / 96.0;
        let expected = [[20.0 - distance, 10.0 - distance], [60.0 + distance, 18.0 + distance]];
        for (corner, expected) in [lines[0][0], lines[0][2]].iter().zip(expected) {
            assert!(corner.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-2), "{lines:?}");
        }
    }

    #[test]
    fn touching_bars_are_one_line_and_gaps_part_them() {
        let parted = map(100, 30, &[([10, 10, 40, 17], 0.9), ([43, 10, 80, 17], 0.9)]);
        assert_eq!(Map { values: &parted, width: 100 }.lines().len(), 2);
        let joined = map(100, 30, &[([10, 10, 40, 17], 0.9), ([42, 10, 80, 17], 0.9)]);
        assert_eq!(Map { values: &joined, width: 100 }.lines().len(), 1);
    }

    #[test]
    fn maps_of_any_numbers_are_read() {
        for value in [f32::NAN, f32::INFINITY, -1.0, 1.0] {
            let values = vec![value; 64 * 32];
            assert!(Map { values: &values, width: 64 }.lines().len() <= 1);
        }
    }

    #[test]
    fn lines_are_read_from_the_top_and_from_the_left() {
        let line = |left: f32, top: f32| {
            [[left, top], [left + 40.0, top], [left + 40.0, top + 10.0], [left, top + 10.0]]
        };
        let lines = [line(60.0, 41.0), line(0.0, 80.0), line(5.0, 44.0), line(30.0, 0.0)];
        assert_eq!(reading_order(&lines), [3, 2, 0, 1]);
    }
}
