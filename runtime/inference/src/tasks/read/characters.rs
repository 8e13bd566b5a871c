//! From what a recogniser says of each step along a line to its text.

use prost::Message;
use tract_onnx::pb::ModelProto;

/// The key of a PaddleOCR recogniser's metadata under which its characters stand, one a line.
const KEY: &str = "character";

/// The characters of a recogniser, in the order of its classes; class 0 is "nothing new".
#[derive(Clone, Debug)]
pub(super) struct Characters(Vec<String>);

impl Characters {
    /// Reads the characters from a model's metadata; after the listed ones comes the space.
    pub(super) fn of(onnx: &[u8]) -> Option<Self> {
        let model = ModelProto::decode(onnx).ok()?;
        let listed = model.metadata_props.into_iter().find(|pair| pair.key == KEY)?.value;
        let characters = listed.lines().map(str::to_owned).chain([" ".to_owned()]);
        Some(Self(characters.collect()))
    }

    /// Returns the number of classes that a model with these characters has.
    pub(super) fn classes(&self) -> usize {
        self.0.len() + 1
    }

    /// Reads the most probable class of each step (connectionist temporal classification, Graves et al. 2006,
    /// best path): repetitions are one character, and class 0 parts them. Returns the text and the mean
    /// probability of its characters; 0 where there are none.
    pub(super) fn decode(&self, steps: &[f32]) -> (String, f32) {
        let mut text = String::new();
        let (mut sum, mut count, mut last) = (0.0, 0_u32, 0);
        for step in steps.chunks_exact(self.classes()) {
            let best = step.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let Some((class, probability)) = best else { continue };
            if class != 0 && class != last {
                text.push_str(&self.0[class - 1]);
                sum += probability;
                count += 1;
            }
            last = class;
        }
        (text, if count > 0 { sum / count as f32 } else { 0.0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repetitions_are_one_character_unless_parted() {
        let characters = Characters(["a", "b", " "].map(str::to_owned).to_vec());
        let steps: Vec<f32> = [0, 1, 1, 0, 1, 2, 3, 3, 2]
            .into_iter()
            .flat_map(|class| (0..4).map(move |at| if at == class { 0.8 } else { 0.1 }))
            .collect();
        let (text, score) = characters.decode(&steps);
        assert_eq!(text, "aab b");
        assert!((score - 0.8).abs() < 1e-6);
        assert_eq!(characters.decode(&[0.9, 0.0, 0.1, 0.0]), (String::new(), 0.0));
        assert_eq!(characters.decode(&[]), (String::new(), 0.0));
    }
}
