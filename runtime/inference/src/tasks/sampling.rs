//! Parts of a frame, straight into a model's input: no picture lies between.

use glassd_media::Image;

use crate::manifest::{InputContract, Order};

/// A part of a frame whose four corners become those of an input, in pixels of the frame; clockwise from the one
/// that becomes the top left.
pub(crate) type Corners = [[f32; 2]; 4];

/// Most samples along each side of an input's pixel, however much a part is shrunk.
const MOST_TAPS: usize = 4;

/// One picture of an input in NCHW: three planes of rows.
pub(crate) struct Planes<'a> {
    values: &'a mut [f32],
    width: usize,
    height: usize,
    scale: f32,
    offset: f32,
    order: Order,
}

impl<'a> Planes<'a> {
    /// Takes three planes of `height` rows of `width` values.
    pub(crate) fn new(
        values: &'a mut [f32],
        (width, height): (usize, usize),
        contract: &InputContract,
    ) -> Self {
        assert_eq!(values.len(), 3 * width * height, "three planes of {width}x{height}");
        let InputContract { scale, offset, order, .. } = *contract;
        Self { values, width, height, scale, offset, order }
    }

    /// Fills the left `columns` columns with the part of the frame between `corners`, in perspective. Where the
    /// part is shrunk each value is the mean of a grid of samples, where it is enlarged it is interpolated.
    pub(crate) fn warp(&mut self, frame: &Image, corners: &Corners, columns: usize) {
        let columns = columns.min(self.width);
        let projection = Projection::new(corners, columns as f32, self.height as f32);
        let taps = projection.shrinking(corners, columns, self.height).clamp(1, MOST_TAPS);
        let step = 1.0 / taps as f32;
        for y in 0..self.height {
            for x in 0..columns {
                let mut sum = [0.0; 3];
                for tap in 0..taps * taps {
                    let u = x as f32 + (0.5 + (tap % taps) as f32) * step;
                    let v = y as f32 + (0.5 + (tap / taps) as f32) * step;
                    let [u, v] = projection.at(u, v);
                    let sample = interpolated(frame, u - 0.5, v - 0.5);
                    sum = std::array::from_fn(|channel| sum[channel] + sample[channel]);
                }
                self.put(x, y, sum.map(|sum| sum * step * step));
            }
        }
    }

    /// Fills everything with the mean of the frame's pixels that each value covers (torch's
    /// `adaptive_avg_pool2d`, which "area" interpolation is) of a window [left, top, right, bottom].
    pub(crate) fn area(&mut self, frame: &Image, window: [u32; 4]) {
        let [left, top, right, bottom] = window.map(|edge| edge as usize);
        let (pitch, pixels) = (frame.width() as usize * 3, frame.pixels());
        let covered = |at: usize, of: usize, from: usize, to: usize| {
            let length = to - from;
            from + at * length / of..from + ((at + 1) * length).div_ceil(of)
        };
        for y in 0..self.height {
            let rows = covered(y, self.height, top, bottom);
            for x in 0..self.width {
                let columns = covered(x, self.width, left, right);
                let mut sum = [0_u32; 3];
                for row in rows.clone() {
                    let run = &pixels[row * pitch + columns.start * 3..row * pitch + columns.end * 3];
                    for pixel in run.as_chunks::<3>().0 {
                        sum = std::array::from_fn(|channel| sum[channel] + u32::from(pixel[channel]));
                    }
                }
                let count = (rows.len() * columns.len()) as f32;
                self.put(x, y, sum.map(|sum| sum as f32 / count));
            }
        }
    }

    fn put(&mut self, x: usize, y: usize, levels: [f32; 3]) {
        for (channel, level) in levels.into_iter().enumerate() {
            let plane = match self.order {
                Order::Rgb => channel,
                Order::Bgr => 2 - channel,
            };
            self.values[(plane * self.height + y) * self.width + x] = level * self.scale + self.offset;
        }
    }
}

/// From places in an input to places in a frame: a projective map of the plane.
#[derive(Clone, Copy, Debug)]
struct Projection([f32; 9]);

impl Projection {
    /// Returns the map that takes the rectangle from (0, 0) to (width, height) to four corners (Heckbert 1989,
    /// §2.2.3, "square to quadrilateral").
    fn new(corners: &Corners, width: f32, height: f32) -> Self {
        let [[x0, y0], [x1, y1], [x2, y2], [x3, y3]] = *corners;
        let (sx, sy) = (x0 - x1 + x2 - x3, y0 - y1 + y2 - y3);
        let (dx1, dy1, dx2, dy2) = (x1 - x2, y1 - y2, x3 - x2, y3 - y2);
        let determinant = dx1 * dy2 - dx2 * dy1;
        let is_flat = determinant.abs() < f32::EPSILON;
        // Three corners in a line: nothing sensible can be shown, and a parallelogram is as good as any.
        let (g, h) = if is_flat {
            (0.0, 0.0)
        } else {
            ((sx * dy2 - dx2 * sy) / determinant, (dx1 * sy - sx * dy1) / determinant)
        };
        let rows =
            [x1 - x0 + g * x1, x3 - x0 + h * x3, x0, y1 - y0 + g * y1, y3 - y0 + h * y3, y0, g, h, 1.0];
        let sides = [width, height, 1.0];
        Self(std::array::from_fn(|at| rows[at] / sides[at % 3]))
    }

    fn at(&self, x: f32, y: f32) -> [f32; 2] {
        let [a, b, c, d, e, f, g, h, i] = self.0;
        let w = g * x + h * y + i;
        [(a * x + b * y + c) / w, (d * x + e * y + f) / w]
    }

    /// Returns how many of the frame's pixels fall on one of the input along its more shrunk side, rounded.
    fn shrinking(&self, corners: &Corners, columns: usize, rows: usize) -> usize {
        let [across, down] = sides(corners);
        (across / columns as f32).max(down / rows as f32).round() as usize
    }
}

/// Returns the longer of the two sides that run across, and of those that run down.
pub(crate) fn sides(corners: &Corners) -> [f32; 2] {
    let length = |a: usize, b: usize| {
        let [from, to] = [corners[a], corners[b]];
        (to[0] - from[0]).hypot(to[1] - from[1])
    };
    [length(0, 1).max(length(3, 2)), length(0, 3).max(length(1, 2))]
}

/// Returns the levels between four pixels; the frame's edge goes on beyond it. `x` and `y` count from the middle
/// of the first pixel.
fn interpolated(frame: &Image, x: f32, y: f32) -> [f32; 3] {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    // What is no number becomes 0.
    let place = |place: f32, side: usize| {
        let place = place.clamp(0.0, (side - 1) as f32);
        let first = place as usize;
        (first, (first + 1).min(side - 1), place - first as f32)
    };
    let (left, right, u) = place(x, width);
    let (top, bottom, v) = place(y, height);
    let pixels = frame.pixels();
    let level = |x: usize, y: usize, channel: usize| f32::from(pixels[(y * width + x) * 3 + channel]);
    std::array::from_fn(|channel| {
        let above = level(left, top, channel) * (1.0 - u) + level(right, top, channel) * u;
        let below = level(left, bottom, channel) * (1.0 - u) + level(right, bottom, channel) * u;
        above * (1.0 - v) + below * v
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Fit, Layout, Level};

    fn contract(order: Order) -> InputContract {
        InputContract {
            width: 8,
            height: 8,
            layout: Layout::Nchw,
            level: Level::F32,
            order,
            scale: 2.0,
            offset: -1.0,
            fit: Fit::Stretch,
            pad: 0,
            keep: 1.0,
        }
    }

    /// Red tells the column, green the row.
    fn ramp() -> Image {
        Image::from_fn(40, 30, |x, y| [x as u8 * 5, y as u8 * 5, 7]).expect("a small image")
    }

    fn warped(corners: Corners, size: (usize, usize)) -> Vec<f32> {
        let mut values = vec![0.0; 3 * size.0 * size.1];
        Planes::new(&mut values, size, &contract(Order::Rgb)).warp(&ramp(), &corners, size.0);
        values
    }

    #[test]
    fn a_part_of_the_same_size_is_copied() {
        let values = warped([[10.0, 5.0], [14.0, 5.0], [14.0, 8.0], [10.0, 8.0]], (4, 3));
        for y in 0..3 {
            for x in 0..4 {
                let [red, green] = [0, 1].map(|plane| values[plane * 12 + y * 4 + x]);
                assert!((red - ((10 + x) as f32 * 10.0 - 1.0)).abs() < 1e-3, "{x} {y}: {red}");
                assert!((green - ((5 + y) as f32 * 10.0 - 1.0)).abs() < 1e-3, "{x} {y}: {green}");
            }
        }
    }

    #[test]
    fn a_turned_part_stands_upright() {
        // The corner that becomes the top left is the part's bottom right.
        let values = warped([[14.0, 8.0], [10.0, 8.0], [10.0, 5.0], [14.0, 5.0]], (4, 3));
        assert!((values[0] - (13.0 * 10.0 - 1.0)).abs() < 1e-3);
        assert!((values[12] - (7.0 * 10.0 - 1.0)).abs() < 1e-3);
    }

    #[test]
    fn perspective_meets_the_corners() {
        let corners: Corners = [[3.0, 4.0], [30.0, 6.0], [36.0, 28.0], [1.0, 20.0]];
        let projection = Projection::new(&corners, 64.0, 16.0);
        let places = [[0.0, 0.0], [64.0, 0.0], [64.0, 16.0], [0.0, 16.0]];
        for ([x, y], corner) in places.into_iter().zip(corners) {
            let [u, v] = projection.at(x, y);
            assert!((u - corner[0]).abs() < 1e-3 && (v - corner[1]).abs() < 1e-3, "{u} {v}: {corner:?}");
        }
        // The diagonals of a projected square cross where its own cross.
        let [u, v] = projection.at(32.0, 8.0);
        let cross = |a: [f32; 2], b: [f32; 2]| (b[0] - a[0]) * (v - a[1]) - (b[1] - a[1]) * (u - a[0]);
        assert!(cross(corners[0], corners[2]).abs() < 0.05 && cross(corners[1], corners[3]).abs() < 0.05);
    }

    #[test]
    fn area_is_the_mean_of_what_is_covered() {
        let mut values = vec![0.0; 3 * 2 * 2];
        Planes::new(&mut values, (2, 2), &contract(Order::Bgr)).area(&ramp(), [2, 1, 7, 4]);
        // Columns 2, 3, 4 and 4, 5, 6; rows 1, 2 and 2, 3; red is the last plane.
        let expected = [3.0, 5.0, 3.0, 5.0].map(|column: f32| column * 10.0 - 1.0);
        assert!(values[8..].iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-3), "{values:?}");
        assert!((values[4] - (1.5 * 10.0 - 1.0)).abs() < 1e-3);
        assert!((values[0] - 13.0).abs() < 1e-3);
    }

    #[test]
    fn corners_that_are_none_do_not_panic() {
        warped([[f32::NAN; 2]; 4], (4, 3));
        warped([[1e30, 0.0], [0.0, -1e30], [5.0, 5.0], [f32::INFINITY, 1.0]], (4, 3));
        warped([[1.0, 1.0]; 4], (4, 3));
    }
}
