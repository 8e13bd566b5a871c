//! What stands in f32 between INT8 layers: the same on every set, but for rounding.

use proptest::prelude::*;

use super::super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn softmax_gives_shares(
        length in 1..70usize,
        values in prop::collection::vec(prop_oneof![-100.0..100.0f32, Just(-3e38), Just(0.0)], 70..280),
    ) {
        let count = values.len() / length * length;
        let mut expected = values[..count].to_vec();
        softmax(Isa::Scalar, &mut expected, length);
        for isa in Isa::available() {
            let mut output = values[..count].to_vec();
            softmax(isa, &mut output, length);
            for (output, expected) in output.iter().zip(&expected) {
                prop_assert!((output - expected).abs() <= 1e-6 + 2e-6 * expected, "{output} {expected}");
            }
            // The same, down the columns.
            let rows = count / length;
            let turn = |from: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..from.len()).map(|at| from[at % rows * columns + at / rows]).collect()
            };
            let mut output = turn(&values[..count], rows, length);
            softmax_columns(isa, &mut output, length, rows);
            for (output, expected) in turn(&output, length, rows).iter().zip(&expected) {
                prop_assert!((output - expected).abs() <= 1e-6 + 2e-6 * expected, "{output} {expected}");
            }
        }
    }

    #[test]
    fn the_span_takes_in_all_numbers_and_zero(
        values in prop::collection::vec(prop_oneof![-9.0..9.0f32, Just(f32::NAN)], 0..200),
    ) {
        let expected = scalar::span(&values);
        for isa in Isa::available() {
            prop_assert_eq!(span(isa, &values), expected);
        }
    }

    #[test]
    fn matrices_are_multiplied(
        sides in [1..20usize, 1..40usize, 1..150usize],
        seed in prop::collection::vec(-2.0..2.0f32, 64),
    ) {
        let [rows, depth, columns] = sides;
        let values = |count: usize| -> Vec<f32> { seed.iter().copied().cycle().step_by(7).take(count).collect() };
        let (left, right) = (values(rows * depth), values(depth * columns));
        let mut expected = vec![0.0; rows * columns];
        let strides = [depth, columns, columns];
        let product = |output: &mut [f32], isa: Option<Isa>| {
            let mut product = FloatProduct { sides, strides, left: &left, right: &right, output };
            match isa {
                Some(isa) => multiply_floats(isa, &mut product),
                None => scalar::multiply_floats(&mut product),
            }
        };
        product(&mut expected, None);
        for isa in Isa::available() {
            let mut output = vec![f32::NAN; rows * columns];
            product(&mut output, Some(isa));
            for (output, expected) in output.iter().zip(&expected) {
                prop_assert!((output - expected).abs() < 1e-3, "{output} {expected}");
            }
            // A row of the left one with each column of the right one.
            let mut output = vec![f32::NAN; columns];
            let mut turned = vec![0.0; depth * columns];
            for (at, value) in right.iter().enumerate() {
                turned[at % columns * depth + at / columns] = *value;
            }
            dots(isa, &left[..depth], &turned, depth, &mut output);
            for (output, expected) in output.iter().zip(&expected) {
                prop_assert!((output - expected).abs() < 1e-3, "{output} {expected}");
            }
        }
    }

    #[test]
    fn activations_are_the_reference(values in prop::collection::vec(-30.0..30.0f32, 0..200), steepness in 0.1..4.0f32) {
        for activation in [Activation::Gelu, Activation::Silu(steepness)] {
            let mut expected = values.clone();
            scalar::activate(activation, &mut expected);
            for isa in Isa::available() {
                let mut output = values.clone();
                activate(isa, activation, &mut output);
                for (output, expected) in output.iter().zip(&expected) {
                    let apart = (output - expected).abs();
                    prop_assert!(apart <= 4e-6 + 2e-6 * expected.abs(), "{activation:?} {output} {expected}");
                }
            }
        }
    }

    #[test]
    fn rows_are_normalised(
        length in 1..80usize,
        rows in 1..5usize,
        seed in prop::collection::vec(-4.0..4.0f32, 64),
        shifted in -3.0..3.0f32,
    ) {
        let values = |count: usize, step: usize| -> Vec<f32> {
            seed.iter().copied().cycle().step_by(step).take(count).collect()
        };
        let input: Vec<f32> = values(rows * length, 7).into_iter().map(|value| value + shifted).collect();
        let (scale, shift) = (values(length, 3), values(length, 5));
        let normalisation = Normalisation { scale: &scale, shift: &shift, epsilon: 1e-5 };
        let mut expected = vec![0.0; rows * length];
        scalar::normalise(&normalisation, &input, &mut expected);
        for isa in Isa::available() {
            let mut output = vec![f32::NAN; rows * length];
            normalise(isa, &normalisation, &input, &mut output);
            for (at, (output, expected)) in output.iter().zip(&expected).enumerate() {
                // What is all the same has no variance: the last bits of the mean are brought up by 1/√epsilon.
                prop_assert!((output - expected).abs() < 2e-3, "{at}: {output} {expected}");
            }
        }
    }
}

#[test]
fn activations_at_the_ends() {
    for isa in Isa::available() {
        let mut values = [-1e30, -200.0, -0.0, 0.0, 200.0, 1e30, f32::NAN];
        activate(isa, Activation::Silu(1.702), &mut values);
        assert_eq!(values[4..6], [200.0, 1e30], "{}", isa.name());
        assert!(values[..4].iter().all(|value| value.abs() < 1e-7), "{} {values:?}", isa.name());
        assert!(values[6].is_nan());
        let mut values = [-1e10, -200.0, -0.0, 0.0, 200.0, 1e10, f32::NAN];
        activate(isa, Activation::Gelu, &mut values);
        assert_eq!(values[..6], [0.0, 0.0, 0.0, 0.0, 200.0, 1e10], "{}", isa.name());
        assert!(values[6].is_nan());
    }
}
