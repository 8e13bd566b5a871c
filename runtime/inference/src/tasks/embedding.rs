//! What a text or a picture means, as a direction.

/// A vector of length 1 whose direction is what something means.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedding(Vec<f32>);

impl Embedding {
    /// Brings a vector to length 1; one of length 0, or with what is no number in it, becomes all zeros.
    pub fn new(values: &[f32]) -> Self {
        let length = values.iter().map(|value| value * value).sum::<f32>().sqrt();
        let is_direction = length.is_finite() && length > 0.0;
        Self(values.iter().map(|value| if is_direction { value / length } else { 0.0 }).collect())
    }

    /// Returns the direction between several, as near to each as it can be.
    pub fn mean<'a>(all: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut sum: Vec<f32> = Vec::new();
        for Self(values) in all {
            sum.resize(values.len().max(sum.len()), 0.0);
            sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        }
        Self::new(&sum)
    }

    /// Returns the cosine between two directions, -1 (opposite) to 1 (the same).
    pub fn cosine(&self, other: &Self) -> f32 {
        self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum::<f32>().clamp(-1.0, 1.0)
    }

    /// Returns the numbers.
    pub fn values(&self) -> &[f32] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_compared_whatever_their_length() {
        let [a, b] = [Embedding::new(&[3.0, 0.0]), Embedding::new(&[0.5, 0.5])];
        assert!((a.cosine(&b) - 0.5_f32.sqrt()).abs() < 1e-6);
        assert!((Embedding::mean([&a, &b]).cosine(&a) - 22.5_f32.to_radians().cos()).abs() < 1e-6);
        assert_eq!(Embedding::new(&[0.0, f32::NAN]).values(), [0.0, 0.0]);
        assert_eq!(Embedding::mean([]).values(), [0.0; 0]);
    }
}
