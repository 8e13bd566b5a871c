//! One box an object.

use super::Candidate;

/// Keeps, of candidates sorted by falling score, those that no better one of their label overlaps by more
/// than `most` (intersection over union).
pub(super) fn suppressed(candidates: &[Candidate], most: f32) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::new();
    for candidate in candidates {
        let is_same = |better: &Candidate| {
            better.label == candidate.label && intersection_over_union(better.bounds, candidate.bounds) > most
        };
        if !kept.iter().any(is_same) {
            kept.push(*candidate);
        }
    }
    kept
}

/// Returns the shared area of two boxes (left, top, right, bottom) as a share of the area that they cover, 0 to 1.
pub(crate) fn intersection_over_union(a: [f32; 4], b: [f32; 4]) -> f32 {
    let area = |[left, top, right, bottom]: [f32; 4]| (right - left).max(0.0) * (bottom - top).max(0.0);
    let shared = area([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])]);
    let joined = area(a) + area(b) - shared;
    if joined > 0.0 { shared / joined } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate(label: usize, score: f32, bounds: [f32; 4]) -> Candidate {
        Candidate { label, score, colour: None, bounds }
    }

    #[test]
    fn the_better_box_of_a_label_stays() {
        let best = candidate(0, 0.9, [0.0, 0.0, 10.0, 10.0]);
        let check = |other: Candidate, most: f32, kept: usize| {
            assert_eq!(suppressed(&[best, other], most).len(), kept, "{other:?} with {most}");
        };
        check(candidate(0, 0.8, [0.0, 0.0, 10.0, 8.0]), 0.5, 1);
        check(candidate(1, 0.8, [0.0, 0.0, 10.0, 8.0]), 0.5, 2);
        check(candidate(0, 0.8, [0.0, 0.0, 10.0, 8.0]), 0.85, 2);
        check(candidate(0, 0.8, [20.0, 0.0, 30.0, 10.0]), 0.0, 2);
        check(candidate(0, 0.8, [5.0, 5.0, 5.0, 5.0]), 0.5, 2);
    }
}
