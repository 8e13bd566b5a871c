//! Boxes of faces between the stages: overlapping ones dropped, corrected, made square.

use crate::tasks::detect::intersection_over_union;

/// What a stage believes to be a face: left, top, right and bottom in pixels of the frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Candidate {
    pub(super) bounds: [f32; 4],
    pub(super) score: f32,
    /// The stage's correction of each edge, in shares of the box.
    pub(super) correction: [f32; 4],
    /// Eyes, nose and corners of the mouth (x, y) in pixels of the frame; of the last stage.
    pub(super) landmarks: [[f32; 2]; 5],
}

/// What the shared area of two boxes is set against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overlap {
    /// The area of both together.
    Union,
    /// The area of the smaller one: a box within a box is gone.
    Smaller,
}

/// Candidates compared with each other at most, so that no frame makes the wait unbounded.
const MOST: usize = 1000;

/// Keeps the candidates that no better one overlaps by more than `most`, the best first.
pub(super) fn suppressed(mut candidates: Vec<Candidate>, most: f32, overlap: Overlap) -> Vec<Candidate> {
    candidates.retain(|candidate| candidate.score.is_finite());
    candidates.sort_by(|a, b| b.score.total_cmp(&a.score));
    candidates.truncate(MOST);
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        if !kept.iter().any(|better| overlap.share(better.bounds, candidate.bounds) > most) {
            kept.push(candidate);
        }
    }
    kept
}

impl Overlap {
    fn share(self, a: [f32; 4], b: [f32; 4]) -> f32 {
        if self == Self::Union {
            return intersection_over_union(a, b);
        }
        let area = |[left, top, right, bottom]: [f32; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
        let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
        let smaller = area(a).min(area(b));
        if smaller > 0.0 { shared / smaller } else { 0.0 }
    }
}

impl Candidate {
    /// Moves each edge by the stage's correction; `extra` is what boxes count for beyond their edges, in pixels.
    pub(super) fn corrected(self, extra: f32) -> Self {
        let [left, top, right, bottom] = self.bounds;
        let (width, height) = (right - left + extra, bottom - top + extra);
        let sides = [width, height, width, height];
        let bounds = std::array::from_fn(|at| self.bounds[at] + self.correction[at] * sides[at]);
        Self { bounds, ..self }
    }

    /// Widens the shorter side to the longer one, around the same middle.
    pub(super) fn squared(self) -> Self {
        let [left, top, right, bottom] = self.bounds;
        let half = (right - left).max(bottom - top) / 2.0;
        let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
        Self { bounds: [x - half, y - half, x + half, y + half], ..self }
    }

    /// Returns where the last stage sees eyes, nose and mouth, told in shares of the box: all x, then all y.
    pub(super) fn landmarks_at(&self, shares: &[f32; 10]) -> [[f32; 2]; 5] {
        let [left, top, right, bottom] = self.bounds;
        let (width, height) = (right - left + 1.0, bottom - top + 1.0);
        std::array::from_fn(|at| [left + shares[at] * width - 1.0, top + shares[at + 5] * height - 1.0])
    }

    /// Returns the pixels of a frame that the box covers, or nothing if it lies outside. Boxes count pixels from
    /// 1, as the networks were trained.
    pub(super) fn window(&self, width: u32, height: u32) -> Option<[u32; 4]> {
        let [left, top, right, bottom] = self.bounds.map(|edge| edge.trunc());
        let first = |edge: f32| edge.max(1.0) as u32 - 1;
        let last = |edge: f32, side: u32| edge.clamp(0.0, side as f32) as u32;
        let window = [first(left), first(top), last(right, width), last(bottom, height)];
        (window[0] < window[2] && window[1] < window[3]).then_some(window)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(score: f32, bounds: [f32; 4]) -> Candidate {
        Candidate { bounds, score, correction: [0.1, 0.0, -0.1, 0.2], landmarks: [[0.0; 2]; 5] }
    }

    #[test]
    fn a_box_within_a_box_goes_by_the_smaller_area() {
        let boxes = vec![candidate(0.8, [2.0, 2.0, 6.0, 6.0]), candidate(0.9, [0.0, 0.0, 10.0, 10.0])];
        assert_eq!(suppressed(boxes.clone(), 0.7, Overlap::Union).len(), 2);
        let kept = suppressed(boxes, 0.7, Overlap::Smaller);
        assert_eq!(kept.iter().map(|kept| kept.score).collect::<Vec<_>>(), [0.9]);
        assert!(suppressed(vec![candidate(f32::NAN, [0.0; 4])], 0.7, Overlap::Union).is_empty());
    }

    #[test]
    fn boxes_are_corrected_and_made_square() {
        let corrected = candidate(0.9, [10.0, 10.0, 29.0, 49.0]).corrected(1.0);
        assert_eq!(corrected.bounds, [12.0, 10.0, 27.0, 57.0]);
        let squared = corrected.squared();
        assert_eq!(squared.bounds, [-4.0, 10.0, 43.0, 57.0]);
        assert_eq!(squared.window(40, 50), Some([0, 9, 40, 50]));
        assert_eq!(candidate(0.9, [50.0, 0.0, 60.0, 9.0]).window(40, 50), None);
        assert_eq!(candidate(0.9, [f32::NAN; 4]).window(40, 50), None);
    }
}
