//! No accelerator serves before its outputs agreed with the processor's.
//!
//! What two right implementations may differ by depends on where they round:
//!
//! | outputs | may differ by | because |
//! |---|---|---|
//! | integer levels, computed in integers | 4 levels, and more than 1 in 1 % of them | a sum that lies half-way is rounded up by one and down by the other; such a level changes those after it by about itself, and a softmax makes several of one where the model is unsure: 3 between onnxruntime's kernels and ours on MobileNetV2 |
//! | integer levels, computed in floats | 16 levels, and more than 1 in 1 % of them | more sums fall on the other side: onnxruntime's own float arithmetic differs from its integer kernels by up to 13 levels of MobileNetV2 on 12 pictures |
//! | floats of a model that quantises within | 2 % (root mean square) | one level of 255 where the signal spans a quarter of the range is 0.3 to 0.5 %, some ten layers in sequence |
//! | floats of a model in floats, computed in FP32 | 0.1 % (greatest) | the order of a sum of 10 000 terms costs √10 000 · 2⁻²⁴, and 100 layers add up to under 0.06 % |
//! | floats of a model in floats, computed in FP16 | 2 % (greatest) | 2⁻¹¹ a rounding, and √(100 layers · 10) of them |
//!
//! Shares are of the greatest value of the reference, or of its root mean square.

use tract_onnx::prelude::{DatumType, Tensor};

/// How a model's numbers are rounded on their way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Precision {
    /// 32-bit floats.
    Fp32,
    /// 16-bit floats.
    Fp16,
    /// 8-bit levels.
    Int8,
}

impl Precision {
    /// Returns the name that reports use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fp32 => "fp32",
            Self::Fp16 => "fp16",
            Self::Int8 => "int8",
        }
    }
}

/// Where an accelerator rounds on the way through a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    /// In 32-bit floats.
    Fp32,
    /// In 16-bit floats.
    Fp16,
    /// To levels, with integer sums between them.
    Int8,
    /// To levels, with sums in floats between them.
    Int8InFloats,
}

impl Rounding {
    /// Greatest difference between levels.
    const fn most_levels(self) -> u32 {
        match self {
            Self::Fp32 | Self::Fp16 | Self::Int8 => 4,
            Self::Int8InFloats => 16,
        }
    }
}

/// How near an accelerator's outputs came to the processor's, in the worst output of the worst sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Agreement {
    /// Samples that were compared.
    pub samples: usize,
    /// Greatest difference of integer outputs, in levels.
    pub levels: u32,
    /// Greatest difference of float outputs, as a share of the greatest value of the reference.
    pub greatest: f32,
    /// Root mean square of the differences of float outputs, as a share of the reference's.
    pub root_mean_square: f32,
}

/// Share of the levels that may be more than one apart.
const BEYOND_ONE_LEVEL: f32 = 0.01;

/// Compares one sample's outputs with the reference's; returns in one sentence what is wrong with them.
pub(crate) fn compared(
    reference: &[Tensor],
    outputs: &[Tensor],
    rounding: Rounding,
) -> Result<Agreement, String> {
    if reference.len() != outputs.len() {
        return Err(format!("it gives {} outputs, and the processor {}", outputs.len(), reference.len()));
    }
    let mut worst = Agreement { samples: 1, ..Agreement::default() };
    for (at, (reference, output)) in reference.iter().zip(outputs).enumerate() {
        let (theirs, ours) = (reference.datum_type().unquantized(), output.datum_type().unquantized());
        if theirs != ours || reference.shape() != output.shape() {
            let kinds = format!("{ours:?} {:?}, and the processor's {theirs:?}", output.shape());
            return Err(format!("its output {at} is {kinds} {:?}", reference.shape()));
        }
        let one = if ours == DatumType::F32 {
            floats(values(reference)?, values(output)?, rounding)
        } else {
            levels(reference, output, rounding.most_levels())
        };
        worst = worst.or_worse(one.map_err(|why| format!("its output {at} {why}"))?);
    }
    Ok(worst)
}

impl Agreement {
    /// Returns the worse of each figure, and the sum of the samples.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { samples: self.samples + other.samples, ..self.or_worse(other) }
    }

    fn or_worse(self, other: Self) -> Self {
        Self {
            samples: self.samples,
            levels: self.levels.max(other.levels),
            greatest: self.greatest.max(other.greatest),
            root_mean_square: self.root_mean_square.max(other.root_mean_square),
        }
    }
}

fn values(tensor: &Tensor) -> Result<&[f32], String> {
    tensor.try_as_plain_ram().and_then(|plain| plain.as_slice()).map_err(|error| format!("{error:#}"))
}

fn floats(reference: &[f32], output: &[f32], rounding: Rounding) -> Result<Agreement, String> {
    if !output.iter().all(|value| value.is_finite()) {
        return Err("is not finite".to_owned());
    }
    let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v) * f64::from(v)).sum();
    let highest = |values: &mut dyn Iterator<Item = f32>| values.fold(0.0_f32, |most, v| most.max(v.abs()));
    let mut apart = reference.iter().zip(output).map(|(a, b)| a - b);
    let energy: f64 = square(&mut apart.clone());
    let of: f64 = square(&mut reference.iter().copied());
    let share = |part: f64, whole: f64| if part == 0.0 { 0.0 } else { (part / whole) as f32 };
    let agreement = Agreement {
        greatest: share(highest(&mut apart).into(), highest(&mut reference.iter().copied()).into()),
        root_mean_square: share(energy.sqrt(), of.sqrt()),
        ..Agreement::default()
    };
    let (figure, limit, what) = match rounding {
        Rounding::Fp32 => (agreement.greatest, 0.001, "in the greatest difference"),
        Rounding::Fp16 => (agreement.greatest, 0.02, "in the greatest difference"),
        Rounding::Int8 | Rounding::Int8InFloats => (agreement.root_mean_square, 0.02, "in the mean"),
    };
    if figure <= limit {
        return Ok(agreement);
    }
    let (figure, limit) = (figure * 100.0, limit * 100.0);
    Err(format!("differs from the processor's by {figure:.3} % {what}, and {limit} % are allowed"))
}

fn levels(reference: &Tensor, output: &Tensor, allowed: u32) -> Result<Agreement, String> {
    let widened = |tensor: &Tensor| -> Result<Vec<i64>, String> {
        let tensor = tensor.cast_to::<i64>().map_err(|error| format!("{error:#}"))?;
        let plain = tensor.try_as_plain_ram().map_err(|error| format!("{error:#}"))?;
        Ok(plain.as_slice::<i64>().map_err(|error| format!("{error:#}"))?.to_vec())
    };
    let (reference, output) = (widened(reference)?, widened(output)?);
    let apart = reference.iter().zip(&output).map(|(a, b)| a.abs_diff(*b));
    let most = u32::try_from(apart.clone().max().unwrap_or(0)).unwrap_or(u32::MAX);
    let beyond = apart.filter(|levels| *levels > 1).count() as f32 / reference.len().max(1) as f32;
    if most <= allowed && beyond <= BEYOND_ONE_LEVEL {
        return Ok(Agreement { levels: most, ..Agreement::default() });
    }
    let beyond = beyond * 100.0;
    Err(format!(
        "differs from the processor's by up to {most} levels, by more than one in {beyond:.2} % of them; \
         {allowed} levels and 1 % are allowed"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use tract_onnx::prelude::tensor1;

    use super::*;

    fn check(reference: &Tensor, output: &Tensor, precision: Rounding) -> Result<Agreement, String> {
        compared(std::slice::from_ref(reference), std::slice::from_ref(output), precision)
    }

    #[test]
    fn floats_agree_within_what_their_precision_costs() {
        let reference = tensor1(&[0.0_f32, 10.0, -5.0]);
        let near = tensor1(&[0.005_f32, 10.0, -5.0]);
        let agreement = check(&reference, &near, Rounding::Fp32).unwrap();
        assert!((agreement.greatest - 0.0005).abs() < 1e-6);
        let apart = tensor1(&[0.1_f32, 10.0, -5.0]);
        assert!(check(&reference, &apart, Rounding::Fp32).is_err());
        assert!(check(&reference, &apart, Rounding::Fp16).is_ok());
        assert!(check(&reference, &apart, Rounding::Int8).is_ok());
        let wrong = tensor1(&[1.0_f32, 10.0, -5.0]);
        assert!(check(&reference, &wrong, Rounding::Fp16).is_err());
        assert!(check(&reference, &wrong, Rounding::Int8).is_err());
    }

    #[test]
    fn all_zero_is_no_agreement_and_neither_is_what_is_no_number() {
        let reference = tensor1(&[0.5_f32, 0.25]);
        for precision in [Rounding::Fp32, Rounding::Fp16, Rounding::Int8, Rounding::Int8InFloats] {
            assert!(check(&reference, &tensor1(&[0.0_f32, 0.0]), precision).is_err());
            assert!(check(&reference, &tensor1(&[0.5_f32, f32::NAN]), precision).is_err());
        }
        let zero = tensor1(&[0.0_f32, 0.0]);
        assert!(check(&zero, &zero, Rounding::Fp32).is_ok());
        assert!(check(&zero, &reference, Rounding::Fp32).is_err());
    }

    #[test]
    fn levels_agree_to_one_and_rarely_more() {
        let reference = Tensor::from_shape(&[200], &[100_u8; 200]).unwrap();
        let with = |changes: &[(usize, u8)]| {
            let mut levels = [101_u8; 200];
            changes.iter().for_each(|&(at, level)| levels[at] = level);
            Tensor::from_shape(&[200], &levels).unwrap()
        };
        let agree = |changes: &[(usize, u8)]| check(&reference, &with(changes), Rounding::Int8);
        assert_eq!(agree(&[]).unwrap().levels, 1);
        assert_eq!(agree(&[(0, 102), (1, 98)]).unwrap().levels, 2);
        assert!(agree(&[(0, 102), (1, 98), (2, 102)]).is_err(), "more than 1 % beyond one level");
        assert_eq!(agree(&[(0, 104)]).unwrap().levels, 4);
        assert!(agree(&[(0, 105)]).is_err(), "five levels");
        let in_floats = |level| check(&reference, &with(&[(0, level)]), Rounding::Int8InFloats);
        assert_eq!(in_floats(116).unwrap().levels, 16);
        assert!(in_floats(117).is_err());
    }

    #[test]
    fn other_shapes_and_types_do_not_agree() {
        let reference = tensor1(&[1.0_f32, 2.0]);
        let error = check(&reference, &tensor1(&[1.0_f32]), Rounding::Fp32).unwrap_err();
        assert!(error.starts_with("its output 0 is F32 [1]"), "{error}");
        assert!(check(&reference, &tensor1(&[1_u8, 2]), Rounding::Int8).is_err());
        assert!(compared(&[reference], &[], Rounding::Fp32).is_err());
    }
}
