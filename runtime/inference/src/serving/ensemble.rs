//! Ensembles: several models look at one image, and their words are weighed.
//!
//! Members may know different words. A member that does not know a word has no say on it: it neither votes for the word
//! nor counts as one that did not see it.

use super::sighting::Sighting;
use crate::manifest::Thresholds;
use crate::tasks::detect::intersection_over_union;

/// What one member says, and what its word weighs.
#[derive(Clone, Copy, Debug)]
pub struct Ballot<'a, T> {
    /// Its weight, above 0.
    pub weight: f32,
    /// The labels it knows.
    pub labels: &'a [String],
    /// What it saw.
    pub seen: &'a [T],
}

impl<T> Ballot<'_, T> {
    fn knows(&self, label: &str) -> bool {
        self.labels.iter().any(|known| known == label)
    }
}

/// A box of one member, on its way into a cluster.
#[derive(Clone, Copy)]
struct Vote<'a> {
    sighting: &'a Sighting,
    /// Probability times the member's weight.
    confidence: f32,
}

/// Boxes of one label that are one object.
struct Cluster<'a> {
    votes: Vec<Vote<'a>>,
    bounds: [f32; 4],
}

/// Returns the objects that the members see together, the most probable first, by weighted boxes fusion (Solovyev, Wang
/// and Gabruseva 2021).
///
/// Boxes of a label that overlap by more than `thresholds.overlap` become one, its sides the mean of theirs by
/// confidence (probability × weight). Its probability is the mean confidence of its boxes × min(boxes, members) ÷ the
/// sum of the weights, over the members that know the label: what few of them see is doubted. Under the floor nothing is
/// told; from `thresholds.decision` on it is present.
pub fn fused(ballots: &[Ballot<'_, Sighting>], thresholds: &Thresholds) -> Vec<Sighting> {
    let mut labels: Vec<&str> = ballots
        .iter()
        .flat_map(|ballot| ballot.seen.iter().map(|sighting| sighting.label.as_str()))
        .collect();
    labels.sort_unstable();
    labels.dedup();
    let mut objects: Vec<Sighting> =
        labels.iter().flat_map(|label| fused_label(ballots, label, thresholds)).collect();
    objects.sort_by(|a, b| b.probability.total_cmp(&a.probability));
    objects
}

fn fused_label(ballots: &[Ballot<'_, Sighting>], label: &str, thresholds: &Thresholds) -> Vec<Sighting> {
    let voters: Vec<_> = ballots.iter().filter(|ballot| ballot.knows(label)).collect();
    let weights: f32 = voters.iter().map(|ballot| ballot.weight).sum();
    let mut votes: Vec<Vote<'_>> = voters
        .iter()
        .flat_map(|ballot| {
            let named = ballot.seen.iter().filter(|sighting| sighting.label == label);
            named.map(|sighting| Vote { sighting, confidence: sighting.probability * ballot.weight })
        })
        .filter(|vote| vote.confidence > 0.0)
        .collect();
    votes.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    let mut clusters: Vec<Cluster<'_>> = Vec::new();
    for vote in votes {
        match best(&mut clusters, vote.sighting.bounds, thresholds.overlap) {
            Some(cluster) => cluster.add(vote),
            None => clusters.push(Cluster { bounds: vote.sighting.bounds, votes: vec![vote] }),
        }
    }
    let objects = clusters.iter().map(|cluster| cluster.object(label, voters.len(), weights, thresholds));
    objects.filter(|object| object.probability >= thresholds.floor).collect()
}

/// The cluster that a box overlaps the most, if by more than `least`; the first of equals.
fn best<'c, 'a>(
    clusters: &'c mut [Cluster<'a>],
    bounds: [f32; 4],
    least: f32,
) -> Option<&'c mut Cluster<'a>> {
    let mut found: Option<(f32, &mut Cluster<'a>)> = None;
    for cluster in clusters {
        let overlap = intersection_over_union(cluster.bounds, bounds);
        if overlap > found.as_ref().map_or(least, |(most, _)| *most) {
            found = Some((overlap, cluster));
        }
    }
    found.map(|(_, cluster)| cluster)
}

impl<'a> Cluster<'a> {
    fn add(&mut self, vote: Vote<'a>) {
        self.votes.push(vote);
        let sum = self.confidence();
        self.bounds = std::array::from_fn(|side| {
            let weighed = self.votes.iter().map(|vote| vote.confidence * vote.sighting.bounds[side]);
            weighed.sum::<f32>() / sum
        });
    }

    fn confidence(&self) -> f32 {
        self.votes.iter().map(|vote| vote.confidence).sum()
    }

    fn object(&self, label: &str, voters: usize, weights: f32, thresholds: &Thresholds) -> Sighting {
        let boxes = self.votes.len();
        let probability = self.confidence() / boxes as f32 * boxes.min(voters) as f32 / weights;
        let probability = probability.min(1.0);
        Sighting {
            label: label.to_owned(),
            colour: self.colour(),
            is_present: probability >= thresholds.decision,
            probability,
            bounds: self.bounds,
        }
    }

    /// The colour that most confidence stands for, with its share of the confidence of those that tell colours.
    fn colour(&self) -> Option<(String, f32)> {
        let told =
            self.votes.iter().filter_map(|vote| Some((vote.confidence, vote.sighting.colour.as_ref()?)));
        let told: Vec<(f32, &(String, f32))> = told.collect();
        let all: f32 = told.iter().map(|(confidence, _)| confidence).sum();
        let support = |colour: &str| {
            let same = told.iter().filter(|(_, (word, _))| word == colour);
            same.map(|(confidence, (_, probability))| confidence * probability).sum::<f32>()
        };
        let words = told.iter().map(|(_, (word, _))| (word, support(word)));
        let (word, most) = words.max_by(|a, b| a.1.total_cmp(&b.1))?;
        Some((word.clone(), most / all))
    }
}

/// Returns the names for an image that the members agree on, (label, probability), the most probable first: for each
/// label the mean of its probabilities by weight, over the members that know it. Under `floor` nothing is told.
pub fn voted(ballots: &[Ballot<'_, (String, f32)>], floor: f32) -> Vec<(String, f32)> {
    let mut labels: Vec<&str> =
        ballots.iter().flat_map(|ballot| ballot.seen.iter().map(|(label, _)| label.as_str())).collect();
    labels.sort_unstable();
    labels.dedup();
    let probability = |label: &str| {
        let voters = || ballots.iter().filter(|ballot| ballot.knows(label));
        let weights: f32 = voters().map(|ballot| ballot.weight).sum();
        let votes = voters().flat_map(|ballot| {
            let named = ballot.seen.iter().filter(|(named, _)| named == label);
            named.map(|(_, probability)| probability * ballot.weight)
        });
        votes.sum::<f32>() / weights
    };
    let mut named: Vec<(String, f32)> =
        labels.into_iter().map(|label| (label.to_owned(), probability(label))).collect();
    named.retain(|(_, probability)| *probability >= floor);
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    named
}
