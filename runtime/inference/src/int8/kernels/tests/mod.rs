//! Every kernel against the reference, and the reference against sums written out.

mod floats;

use proptest::prelude::*;

use super::super::conv::{Convolution, RowsOut, Scaling};
use super::super::depthwise::Depthwise;
use super::super::weights::{Levels, Values};
use super::super::window::Window;
use super::*;

/// A convolution, its input, and how it rounds.
#[derive(Clone, Debug)]
struct Case {
    window: Window,
    groups: usize,
    /// Of a group.
    channels: [usize; 2],
    size: [usize; 2],
    input: Vec<u8>,
    levels: Vec<i16>,
    bias: Vec<i32>,
    multiplier: Vec<f32>,
    fill: u8,
    rounding: Rounding,
}

fn window() -> impl Strategy<Value = Window> {
    let side = || (1..=6usize, 1..=3usize, 1..=2usize, 0..=3usize, 0..=3usize);
    (side(), side()).prop_map(|(y, x)| Window {
        size: [y.0, x.0],
        stride: [y.1, x.1],
        dilation: [y.2, x.2],
        before: [y.3, x.3],
        after: [y.4, x.4],
    })
}

fn rounding() -> impl Strategy<Value = Rounding> {
    (0..=255, any::<u8>(), any::<u8>()).prop_map(|(zero_point, a, b)| Rounding {
        zero_point,
        low: a.min(b),
        high: a.max(b),
    })
}

prop_compose! {
    fn case(depthwise: bool)(
        window in prop_oneof![Just(Window::point()), window()],
        groups in if depthwise { (1..=150usize).boxed() } else { prop_oneof![Just(1usize), 2..=3usize].boxed() },
        channels in if depthwise { Just([1, 1]).boxed() } else { (1..=20usize, prop_oneof![1..=20usize, 60..=140usize]).prop_map(|(i, o)| [i, o]).boxed() },
        size in (1..=9usize, 1..=24usize),
        widest in prop_oneof![Just(127i16), Just(255i16)],
        fill in any::<u8>(),
        rounding in rounding(),
        seed in any::<u64>(),
    ) -> Case {
        let reach = |at: usize| (window.size[at] - 1) * window.dilation[at] + 1;
        let size = [size.0.max(reach(0)), size.1.max(reach(1))];
        let mut state = seed | 1;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u32
        };
        let outputs = channels[1] * groups;
        Case {
            input: (0..size[0] * size[1] * channels[0] * groups).map(|_| random() as u8).collect(),
            levels: (0..outputs * channels[0] * window.taps())
                .map(|_| (random() % (2 * widest as u32 + 1)) as i16 - widest)
                .collect(),
            bias: (0..outputs).map(|_| (random() % 20_000) as i32 - 10_000).collect(),
            multiplier: (0..outputs).map(|_| (random() % 1000) as f32 * 1e-5).collect(),
            window, groups, channels, size, fill, rounding,
        }
    }
}

impl Case {
    /// The sum that every output stands for, times its multiplier.
    fn expected(&self) -> Vec<f32> {
        let [rows, columns] = self.window.output(self.size).unwrap();
        let [inputs, outputs] = self.channels;
        let all = inputs * self.groups;
        let mut expected = Vec::new();
        for place in 0..rows * columns {
            for output in 0..outputs * self.groups {
                let mut sum = self.bias[output];
                for input in 0..inputs {
                    for tap in 0..self.window.taps() {
                        let tap_at = [tap / self.window.size[1], tap % self.window.size[1]];
                        let at = |side: usize, place: usize| {
                            (place * self.window.stride[side] + tap_at[side] * self.window.dilation[side])
                                .checked_sub(self.window.before[side])
                                .filter(|at| *at < self.size[side])
                        };
                        let level = match (at(0, place / columns), at(1, place % columns)) {
                            (Some(y), Some(x)) => {
                                self.input[(y * self.size[1] + x) * all + output / outputs * inputs + input]
                            }
                            _ => self.fill,
                        };
                        let weight = self.levels[(output * inputs + input) * self.window.taps() + tap];
                        sum += i32::from(level) * i32::from(weight);
                    }
                }
                expected.push(sum as f32 * self.multiplier[output]);
            }
        }
        expected
    }
}

/// Weights as a model stores them: in bytes where they are in the range of s8.
fn stored<'a>(levels: &[i16], flip: u8, bytes: &'a mut Vec<u8>) -> Values<'a> {
    let narrow: Option<Vec<u8>> =
        levels.iter().map(|&level| i8::try_from(level).ok().map(|level| level as u8 ^ flip)).collect();
    match narrow {
        Some(narrow) => {
            *bytes = narrow;
            Values::Narrow { bytes, flip }
        }
        None => Values::Wide(levels.to_vec()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn convolutions_are_the_sums_they_stand_for(case in case(false), split in 0.0..1.0f32) {
        let flip = if !(0.25..=0.75).contains(&split) { 128 } else { 0 };
        let mut bytes = Vec::new();
        let levels = Levels {
            values: stored(&case.levels, flip, &mut bytes),
            output_channels: case.channels[1] * case.groups,
            input_channels: case.channels[0],
            groups: case.groups,
            inputs_first: false,
        };
        let mut turned_bytes = Vec::new();
        let levels = if case.window.is_point() && case.groups == 1 && split < 0.5 {
            // The same matrix, inputs first.
            let [inputs, outputs] = case.channels;
            let turned: Vec<i16> = (0..inputs * outputs).map(|at| case.levels[at % outputs * inputs + at / outputs]).collect();
            let sums = levels.sums();
            let values = stored(&turned, flip, &mut turned_bytes);
            let turned = Levels { values, inputs_first: true, ..levels };
            prop_assert_eq!(sums, turned.sums());
            turned
        } else {
            levels
        };
        let convolution = Convolution::new(&levels, case.window.clone());
        let scaling = Scaling {
            bias: convolution.spread(&case.bias),
            multiplier: convolution.spread(&case.multiplier),
            fill: case.fill,
        };
        let expected = case.expected();
        let [rows, columns] = case.window.output(case.size).unwrap();
        let middle = (rows as f32 * split) as usize;
        let each = columns * levels.output_channels;
        let quantised: Vec<u8> = expected.iter().map(|&value| case.rounding.quantised(value)).collect();
        let addend = convolution.spread(&case.multiplier);
        for isa in Isa::available() {
            let mut output = vec![0; rows * each];
            let (first, second) = output.split_at_mut(middle * each);
            for (rows, part) in [(0..middle, first), (middle..rows, second)] {
                let out = RowsOut::Quantised(part, case.rounding);
                convolution.run(isa, &case.input, case.size, &scaling, rows, out);
            }
            prop_assert_eq!(&output, &quantised, "{}", isa.name());
            let mut output = vec![0.0; rows * each];
            let out = RowsOut::Float(&mut output, &addend, None);
            convolution.run(isa, &case.input, case.size, &scaling, 0..rows, out);
            let added: Vec<f32> = expected.iter().zip(case.multiplier.iter().cycle()).map(|(a, b)| a + b).collect();
            prop_assert_eq!(&output, &added, "{}", isa.name());
        }
    }

    #[test]
    fn depthwise_convolutions_are_the_sums_they_stand_for(case in case(true), split in 0.0..1.0f32) {
        let [rows, columns] = case.window.output(case.size).unwrap();
        let quantised: Vec<u8> = case.expected().iter().map(|&value| case.rounding.quantised(value)).collect();
        let middle = (rows as f32 * split) as usize;
        for isa in Isa::available() {
            let depthwise = Depthwise::new(isa, &case.levels, case.groups, case.window.clone());
            let scaling = Scaling {
                bias: depthwise.spread(&case.bias),
                multiplier: depthwise.spread(&case.multiplier),
                fill: case.fill,
            };
            let mut output = vec![0; quantised.len()];
            let (first, second) = output.split_at_mut(middle * columns * case.groups);
            depthwise.run(&case.input, case.size, &scaling, case.rounding, 0..middle, first);
            depthwise.run(&case.input, case.size, &scaling, case.rounding, middle..rows, second);
            prop_assert_eq!(&output, &quantised, "{}", isa.name());
        }
    }

    #[test]
    fn tables_are_looked_up(table in any::<[u8; 32]>(), input in prop::collection::vec(any::<u8>(), 0..300)) {
        let table: [u8; 256] = std::array::from_fn(|at| table[at % 32].wrapping_add(at as u8));
        let expected: Vec<u8> = input.iter().map(|&level| table[usize::from(level)]).collect();
        for isa in Isa::available() {
            let mut output = vec![0; input.len()];
            look_up(isa, &table, &input, &mut output);
            prop_assert_eq!(&output, &expected);
            output.copy_from_slice(&input);
            look_up_in_place(isa, &table, &mut output);
            prop_assert_eq!(&output, &expected);
        }
    }

    #[test]
    fn quantising_is_the_same_everywhere(
        input in prop::collection::vec(prop_oneof![-300.0..300.0f32, Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(0.5), Just(1.5), Just(3e38)], 0..100),
        rounding in rounding(),
        scale in prop_oneof![Just(1.0_f32), Just(0.1), Just(2.0 / 255.0)],
        ties in prop::collection::vec(-300..300i32, 0..40),
    ) {
        let ties = ties.into_iter().map(|level| (level as f32 + 0.5) * scale);
        let input: Vec<f32> = input.into_iter().chain(ties).collect();
        let mut expected = vec![0; input.len()];
        scalar::quantise(scale, rounding, &input, &mut expected);
        for isa in Isa::available() {
            let mut output = vec![0; input.len()];
            quantise(isa, scale, rounding, &input, &mut output);
            prop_assert_eq!(&output, &expected);
        }
    }

    #[test]
    fn adding_is_the_same_everywhere(
        pairs in prop::collection::vec(any::<(u8, u8)>(), 0..100),
        scales in any::<[u8; 2]>(),
        offset in -50.0..50.0f32,
        rounding in rounding(),
    ) {
        let (a, b): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
        let addition = Addition { scales: scales.map(|scale| f32::from(scale) / 97.0), offset, rounding };
        let mut expected = vec![0; a.len()];
        scalar::add(&addition, [&a, &b], &mut expected);
        for isa in Isa::available() {
            let mut output = vec![0; a.len()];
            add(isa, &addition, [&a, &b], &mut output);
            prop_assert_eq!(&output, &expected);
        }
    }

    #[test]
    fn lines_are_copied_to_their_places(
        length in 1..150usize,
        lines in 1..5usize,
        gaps in any::<[bool; 2]>(),
        table in any::<Option<[u8; 32]>>(),
    ) {
        let table = table.map(|table| -> [u8; 256] { std::array::from_fn(|at| table[at % 32] ^ at as u8) });
        let strides = gaps.map(|gap| length + usize::from(gap) * 13);
        let input: Vec<u8> = (0..lines * strides[0]).map(|at| (at * 37) as u8).collect();
        let job = Lines {
            table: table.as_ref(),
            length,
            input_stride: strides[0],
            output_stride: strides[1],
            lines,
        };
        let mut expected = vec![7; lines * strides[1]];
        scalar::copy_lines(&job, &input, &mut expected);
        for isa in Isa::available() {
            let mut output = vec![7; lines * strides[1]];
            copy_lines(isa, &job, &input, &mut output);
            prop_assert_eq!(&output, &expected);
        }
    }

    #[test]
    fn combining_is_the_same_everywhere(
        pairs in prop::collection::vec(any::<(u8, u8)>(), 0..100),
        values in any::<[u8; 32]>(),
        odd in prop_oneof![Just(f32::NAN), Just(f32::INFINITY), Just(f32::NEG_INFINITY), Just(0.5), Just(-1e30)],
        rounding in rounding(),
    ) {
        let (a, b): (Vec<u8>, Vec<u8>) = pairs.into_iter().unzip();
        let table = |shift: usize| -> [f32; 256] {
            std::array::from_fn(|at| match values[(at + shift) % 32] {
                0..=9 => odd,
                value => f32::from(value) / 4.0 - 20.0 + at as f32 / 32.0,
            })
        };
        for combine_by in [Combine::Sum, Combine::Product] {
            let tables = Box::new([table(0), table(7)]);
            let combination = Combination { combine: combine_by, tables, rounding };
            let mut expected = vec![0; a.len()];
            scalar::combine(&combination, [&a, &b], &mut expected);
            for isa in Isa::available() {
                let mut output = vec![0; a.len()];
                combine(isa, &combination, [&a, &b], &mut output);
                prop_assert_eq!(&output, &expected, "{}", isa.name());
            }
        }
    }
}

/// What `--nocapture` shows tells on which processor the tests above ran.
#[test]
fn the_reference_comes_last() {
    let available = Isa::available();
    println!("instruction sets: {}", available.iter().map(|isa| isa.name()).collect::<Vec<_>>().join(" "));
    assert_eq!(available.last(), Some(&Isa::Scalar));
    assert_eq!(available.first(), Some(&Isa::best()));
}

/// Every channel has the same weights here, so that the order of packing is no matter.
#[test]
fn depthwise_rows_may_end_with_their_last_channel() {
    let (width, height, pixels) = (3, 5, 6);
    let rounding = Rounding { zero_point: 3, low: 0, high: 255 };
    let weight = |row: usize, column: usize| (row * 31 + column * 57) as i8;
    for isa in Isa::available() {
        let block = LANES * isa.depth_lanes();
        for channels in 1..=2 * block {
            let rows: Vec<Vec<u8>> = (0..height)
                .map(|row| {
                    (0..(pixels + width - 1) * channels).map(|at| (at * 37 + row * 101) as u8).collect()
                })
                .collect();
            let blocks = channels.div_ceil(block);
            let quad = |at: usize| -> Vec<i8> {
                let (column, quad) = (at / 2 % width, at % 2);
                let row = |row: usize| {
                    if quad * QUAD + row < height { weight(quad * QUAD + row, column) } else { 0 }
                };
                (0..block * QUAD).map(|at| row(at % QUAD)).collect()
            };
            let sum: i32 = (0..width * height).map(|at| i32::from(weight(at / width, at % width))).sum();
            let mut output = vec![0; pixels * channels];
            let rows_of: Vec<&[u8]> = rows.iter().map(Vec::as_slice).collect();
            let mut strip = DepthStrip {
                rows: &rows_of,
                channels,
                width,
                dilation: 1,
                stride: 1,
                pixels,
                weights: &(0..blocks * width * 2).flat_map(quad).collect::<Vec<_>>(),
                terms: 1,
                sums: &vec![sum; blocks * block],
                bias: &vec![17; blocks * block],
                multiplier: &vec![0.002; blocks * block],
                rounding,
                output: &mut output,
            };
            convolve_depthwise(isa, &mut strip);
            for (at, &level) in output.iter().enumerate() {
                let sum: i32 = (0..width * height)
                    .map(|tap| (tap / width, tap % width))
                    .map(|(row, column)| {
                        i32::from(rows[row][at + column * channels]) * i32::from(weight(row, column))
                    })
                    .sum();
                assert_eq!(level, rounding.quantised((sum + 17) as f32 * 0.002), "{} {at}", isa.name());
            }
        }
    }
}

/// 255 times this scale is no f32: with the offset it is just below 1.5, but 1.5 if the product is rounded first.
#[test]
fn sums_are_rounded_once() {
    let scale = 1.0 + f32::EPSILON;
    let rounding = Rounding { zero_point: 0, low: 0, high: 255 };
    let addition = Addition { scales: [scale; 2], offset: 1.5 - 255.0 * scale, rounding };
    let (all, none) = ([255; 40], [0; 40]);
    for isa in Isa::available() {
        for inputs in [[&all[..], &none[..]], [&none[..], &all[..]]] {
            let mut output = [0; 40];
            add(isa, &addition, inputs, &mut output);
            assert_eq!(output, [1; 40], "{}", isa.name());
        }
    }
}
