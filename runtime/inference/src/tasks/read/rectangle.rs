//! Rectangles at any angle, around points and grown.

use crate::tasks::sampling::Corners;

/// A rectangle at any angle, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rectangle {
    /// Its middle.
    pub(super) centre: [f32; 2],
    /// The direction of its first side, of length 1.
    pub(super) axis: [f32; 2],
    /// Its sides: along the axis, and across.
    pub(super) sides: [f32; 2],
}

impl Rectangle {
    /// Returns the smallest rectangle around points, or nothing of no points.
    pub(super) fn around(points: &[[f32; 2]]) -> Option<Self> {
        let hull = hull(points.to_vec());
        let edges = hull.iter().zip(hull.iter().cycle().skip(1));
        // One side of the smallest rectangle lies on a side of the hull (Freeman and Shapira 1975).
        let axes = edges.filter_map(|(a, b)| {
            let length = (b[0] - a[0]).hypot(b[1] - a[1]);
            (length > 0.0).then(|| [(b[0] - a[0]) / length, (b[1] - a[1]) / length])
        });
        let along = axes.map(|axis| Self::along(axis, &hull));
        let area = |rectangle: &Self| rectangle.sides[0] * rectangle.sides[1];
        let smallest = along.min_by(|a, b| area(a).total_cmp(&area(b)));
        smallest.or_else(|| hull.first().map(|&centre| Self { centre, axis: [1.0, 0.0], sides: [0.0; 2] }))
    }

    fn along(axis: [f32; 2], hull: &[[f32; 2]]) -> Self {
        let normal = [-axis[1], axis[0]];
        let reach = |direction: [f32; 2]| {
            let places = hull.iter().map(|point| point[0] * direction[0] + point[1] * direction[1]);
            places.fold((f32::MAX, f32::MIN), |(least, most), at| (least.min(at), most.max(at)))
        };
        let (a, b) = (reach(axis), reach(normal));
        let (u, v) = ((a.0 + a.1) / 2.0, (b.0 + b.1) / 2.0);
        let centre = [axis[0] * u + normal[0] * v, axis[1] * u + normal[1] * v];
        Self { centre, axis, sides: [a.1 - a.0, b.1 - b.0] }
    }

    /// Returns the rectangle with each side moved outwards by `distance`.
    pub(super) fn grown(self, distance: f32) -> Self {
        Self { sides: self.sides.map(|side| side + 2.0 * distance), ..self }
    }

    /// Returns the shorter side.
    pub(super) fn shorter(&self) -> f32 {
        self.sides[0].min(self.sides[1])
    }

    /// Returns the corners clockwise, from the one nearest to the top left, as text is read: the first two are
    /// the ends of its upper edge (PaddleOCR's `get_mini_boxes`).
    pub(super) fn corners(&self) -> Corners {
        let [x, y] = self.centre;
        let [u, v] = self.axis;
        let [along, across] = self.sides.map(|side| side / 2.0);
        let corner =
            |a: f32, b: f32| [x + u * a * along - v * b * across, y + v * a * along + u * b * across];
        let mut corners = [corner(-1.0, -1.0), corner(1.0, -1.0), corner(1.0, 1.0), corner(-1.0, 1.0)];
        corners.sort_by(|a, b| a[0].total_cmp(&b[0]));
        let [a, b, c, d] = corners;
        let (top_left, bottom_left) = if b[1] > a[1] { (a, b) } else { (b, a) };
        let (top_right, bottom_right) = if d[1] > c[1] { (c, d) } else { (d, c) };
        [top_left, top_right, bottom_right, bottom_left]
    }
}

/// Returns the corners of the convex hull (Andrew's monotone chain).
fn hull(mut points: Vec<[f32; 2]>) -> Vec<[f32; 2]> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let turn =
        |a: [f32; 2], b: [f32; 2], c: [f32; 2]| (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]);
    let chain = |points: &mut dyn Iterator<Item = [f32; 2]>| {
        let mut chain: Vec<[f32; 2]> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..] {
                if turn(a, b, point) > 0.0 {
                    break;
                }
                chain.pop();
            }
            chain.push(point);
        }
        // The last one is the first of the other chain.
        chain.pop();
        chain
    };
    let mut hull = chain(&mut points.iter().copied());
    hull.extend(chain(&mut points.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_rectangle_is_found_at_any_angle() {
        for degrees in [0.0_f32, 10.0, 37.0, 80.0, 135.0] {
            let (sin, cos) = degrees.to_radians().sin_cos();
            let turned = |x: f32, y: f32| [50.0 + x * cos - y * sin, 60.0 + x * sin + y * cos];
            let points: Vec<[f32; 2]> = (0..=40)
                .flat_map(|x| (0..=8).map(move |y| turned(x as f32 - 20.0, y as f32 - 4.0)))
                .collect();
            let found = Rectangle::around(&points).expect("there are points");
            let mut sides = found.sides;
            sides.sort_by(f32::total_cmp);
            assert!((sides[0] - 8.0).abs() < 1e-2 && (sides[1] - 40.0).abs() < 1e-2, "{degrees}: {found:?}");
            assert!((found.centre[0] - 50.0).abs() < 1e-2 && (found.centre[1] - 60.0).abs() < 1e-2);
            assert!((found.grown(3.0).shorter() - 14.0).abs() < 1e-2);
        }
    }

    #[test]
    fn few_points_have_a_rectangle_without_area() {
        assert_eq!(Rectangle::around(&[]), None);
        assert_eq!(Rectangle::around(&[[3.0, 4.0]]).expect("a point").sides, [0.0, 0.0]);
        let line = Rectangle::around(&[[0.0, 0.0], [3.0, 4.0], [1.5, 2.0]]).expect("a line");
        assert!((line.sides[0] - 5.0).abs() < 1e-5 && line.shorter() < 1e-5, "{line:?}");
    }

    #[test]
    fn corners_run_clockwise_from_the_top_left() {
        let check = |axis: [f32; 2], sides: [f32; 2], expected: Corners| {
            assert_eq!(Rectangle { centre: [10.0, 10.0], axis, sides }.corners(), expected);
        };
        let wide = [[6.0, 9.0], [14.0, 9.0], [14.0, 11.0], [6.0, 11.0]];
        check([1.0, 0.0], [8.0, 2.0], wide);
        check([0.0, 1.0], [2.0, 8.0], wide);
        check([-1.0, 0.0], [8.0, 2.0], wide);
    }
}
