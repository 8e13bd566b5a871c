//! Layers that look at each value by itself.

use tract_onnx::tract_core::internal::{DatumType, TDim, TValue, TVec, Tensor, TractResult, bail, ensure};

use super::super::kernels::{self, Addition, Combination, Combine, Isa, Rounding, unwritten};
use super::super::pool::{MOVED, for_parts, for_pictures, for_rows, parts};
use super::layout::transpose;
use super::{Layer, dims, floats, levels, sides};

/// Values that are spread at a time.
const PIECE: usize = 4096;

/// Levels through a table.
#[derive(Clone, Debug)]
pub(crate) struct LookUp {
    pub(crate) table: Box<[u8; 256]>,
}

impl Layer for LookUp {
    fn name(&self) -> &'static str {
        "Int8LookUp"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        Ok((DatumType::U8, inputs[0].1.clone()))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let mut output = unwritten::<u8>(inputs[0].shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        let part = view.as_slice_mut::<u8>()?;
        let input = levels(&inputs[0])?;
        for_rows(input.len(), part, input.len() as u64, |range, part| {
            kernels::look_up(Isa::best(), &self.table, &input[range], part);
        });
        Ok(output)
    }
}

/// Levels become numbers, by a table; channels that were last become second.
#[derive(Clone, Debug)]
pub(crate) struct Dequantise {
    pub(crate) table: Box<[f32; 256]>,
    pub(crate) spread: Spread,
}

/// What happens to channels on the way between levels and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// They stay where they are.
    Same,
    /// Last here, second there.
    Channels,
}

fn channels_second(shape: &[TDim]) -> TVec<TDim> {
    let mut shape: TVec<TDim> = shape.into();
    if let Some(channels) = shape.pop() {
        shape.insert(1, channels);
    }
    shape
}

fn channels_last(shape: &[TDim]) -> TVec<TDim> {
    let mut shape: TVec<TDim> = shape.into();
    let channels = shape.remove(1);
    shape.push(channels);
    shape
}

impl Layer for Dequantise {
    fn name(&self) -> &'static str {
        "Int8Dequantise"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        let shape = match self.spread {
            Spread::Same => inputs[0].1.clone(),
            Spread::Channels => channels_second(&inputs[0].1),
        };
        Ok((DatumType::F32, shape))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = levels(&inputs[0])?;
        let shape = sides(&self.output(&[(DatumType::U8, dims(inputs[0].shape()))])?.1)?;
        let mut output = unwritten::<f32>(&shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        let values = view.as_slice_mut::<f32>()?;
        match self.spread {
            Spread::Same => {
                for (value, &level) in values.iter_mut().zip(input) {
                    *value = self.table[usize::from(level)];
                }
            }
            Spread::Channels => {
                let channels = shape[1].max(1);
                let mut turned = vec![0; input.len()];
                for_pictures(shape[0], input, &mut turned, |input, turned| {
                    transpose(input, input.len() / channels, channels, turned);
                });
                for (value, level) in values.iter_mut().zip(turned) {
                    *value = self.table[usize::from(level)];
                }
            }
        }
        Ok(output)
    }
}

/// Constant weights become numbers: inputs are levels, scales and zero points.
#[derive(Clone, Debug)]
pub(crate) struct DequantiseWeights {
    /// Which axis scales and zero points go along, where they are several.
    pub(crate) axis: usize,
}

impl Layer for DequantiseWeights {
    fn name(&self) -> &'static str {
        "DequantiseWeights"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        Ok((DatumType::F32, inputs[0].1.clone()))
    }

    fn is_deferred(&self) -> bool {
        true
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let shape = inputs[0].shape();
        let inner: usize = shape.get(self.axis + 1..).map_or(1, |rest| rest.iter().product());
        let levels = inputs[0].cast_to::<f32>()?;
        let scales = inputs[1].cast_to::<f32>()?;
        let zero_points = inputs.get(2).map(|zero_points| zero_points.cast_to::<f32>()).transpose()?;
        let scales = scales.try_as_plain_ram()?.as_slice::<f32>()?;
        let zero_points = match &zero_points {
            Some(zero_points) => zero_points.try_as_plain_ram()?.as_slice::<f32>()?,
            None => &[0.0],
        };
        let along = shape.get(self.axis).copied().unwrap_or(1);
        let fits = |count: usize| count == 1 || count == along;
        ensure!(fits(scales.len()) && fits(zero_points.len()), "{} scales for {shape:?}", scales.len());
        let of = |values: &[f32], at: usize| values[at / inner.max(1) % values.len()];
        let numbers: Vec<f32> = levels
            .try_as_plain_ram()?
            .as_slice::<f32>()?
            .iter()
            .enumerate()
            .map(|(at, level)| (level - of(zero_points, at)) * of(scales, at))
            .collect();
        Tensor::from_shape(shape, &numbers)
    }
}

/// Numbers become levels; channels that were second become last.
#[derive(Clone, Debug)]
pub(crate) struct Quantise {
    pub(crate) scale: f32,
    pub(crate) rounding: Rounding,
    pub(crate) spread: Spread,
}

impl Layer for Quantise {
    fn name(&self) -> &'static str {
        "Int8Quantise"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        ensure!(inputs[0].0 == DatumType::F32, "quantisation of {:?}", inputs[0].0);
        let shape = match self.spread {
            Spread::Same => inputs[0].1.clone(),
            Spread::Channels => channels_last(&inputs[0].1),
        };
        Ok((DatumType::U8, shape))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        quantised(floats(&inputs[0])?, inputs[0].shape(), self.scale, self.rounding, self.spread)
    }
}

fn quantised(
    input: &[f32],
    shape: &[usize],
    scale: f32,
    rounding: Rounding,
    spread: Spread,
) -> TractResult<Tensor> {
    let isa = Isa::best();
    match spread {
        Spread::Same => {
            let mut output = unwritten::<u8>(shape)?;
            let mut view = output.try_as_plain_ram_mut()?;
            let part = view.as_slice_mut::<u8>()?;
            for_rows(input.len(), part, input.len() as u64 * MOVED, |range, part| {
                kernels::quantise(isa, scale, rounding, &input[range], part);
            });
            Ok(output)
        }
        Spread::Channels => {
            let mut output = unwritten::<u8>(&sides(&channels_last(&dims(shape)))?)?;
            let (channels, pixels) = (shape[1], shape[2..].iter().product::<usize>());
            let mut view = output.try_as_plain_ram_mut()?;
            for_pictures(shape[0], input, view.as_slice_mut::<u8>()?, |input, output| {
                for_rows(pixels, output, input.len() as u64 * MOVED, |rows, part| {
                    let mut line = [0; PIECE];
                    // A piece of each channel at a time: quantised side by side, then spread while in the cache.
                    for start in rows.clone().step_by(PIECE) {
                        let length = (rows.end - start).min(PIECE);
                        for channel in 0..channels {
                            let from = &input[channel * pixels + start..][..length];
                            kernels::quantise(isa, scale, rounding, from, &mut line[..length]);
                            let to = part[(start - rows.start) * channels + channel..].iter_mut();
                            to.step_by(channels).zip(&line[..length]).for_each(|(to, &level)| *to = level);
                        }
                    }
                });
            });
            Ok(output)
        }
    }
}

/// Scale and zero point (as numbers) that take in all of the input and 0: ONNX's DynamicQuantizeLinear.
#[derive(Clone, Debug)]
pub(crate) struct Spanned;

impl Layer for Spanned {
    fn name(&self) -> &'static str {
        "Int8Range"
    }

    fn output(&self, _: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        Ok((DatumType::F32, dims(&[2])))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let values = floats(&inputs[0])?;
        let parts = parts(values.len() as u64 * MOVED);
        let spans = for_parts(parts, |part| {
            let at = |part: usize| values.len() * part / parts;
            kernels::span(Isa::best(), &values[at(part)..at(part + 1)])
        });
        let wider = |a: (f32, f32), b: (f32, f32)| (a.0.min(b.0), a.1.max(b.1));
        let (low, high) = spans.into_iter().fold((0.0, 0.0), wider);
        let scale = (high - low) / 255.0;
        let scale = if scale > 0.0 { scale } else { 1.0 };
        let zero_point = (-low / scale).round_ties_even().clamp(0.0, 255.0);
        Tensor::from_shape(&[2], &[scale, zero_point])
    }
}

/// Quantises by a scale and a zero point that come as a second input.
#[derive(Clone, Debug)]
pub(crate) struct QuantiseDynamic {
    pub(crate) spread: Spread,
}

impl QuantiseDynamic {
    /// The layer that finds the second input.
    pub(crate) const RANGE: Spanned = Spanned;
}

impl Layer for QuantiseDynamic {
    fn name(&self) -> &'static str {
        "Int8QuantiseDynamic"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        let shape = match self.spread {
            Spread::Same => inputs[0].1.clone(),
            Spread::Channels => channels_last(&inputs[0].1),
        };
        Ok((DatumType::U8, shape))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let &[scale, zero_point] = floats(&inputs[1])? else { bail!("scale and zero point are missing") };
        let rounding = Rounding { zero_point: zero_point as i32, low: 0, high: 255 };
        quantised(floats(&inputs[0])?, inputs[0].shape(), scale, rounding, self.spread)
    }
}

/// The sum of two tensors of levels, rounded once.
#[derive(Clone, Debug)]
pub(crate) struct AddLevels {
    pub(crate) addition: Addition,
}

impl Layer for AddLevels {
    fn name(&self) -> &'static str {
        "Int8Add"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        ensure!(inputs[0].1 == inputs[1].1, "a sum of {:?} and {:?}", inputs[0].1, inputs[1].1);
        Ok((DatumType::U8, inputs[0].1.clone()))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let mut output = unwritten::<u8>(inputs[0].shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        let part = view.as_slice_mut::<u8>()?;
        let (a, b) = (levels(&inputs[0])?, levels(&inputs[1])?);
        for_rows(a.len(), part, a.len() as u64 * MOVED, |range, part| {
            kernels::add(Isa::best(), &self.addition, [&a[range.clone()], &b[range]], part);
        });
        Ok(output)
    }
}

/// Two tensors of levels, each read through a table of its own, combined and rounded once.
#[derive(Clone, Debug)]
pub(crate) struct CombineTables {
    pub(crate) combination: Combination,
}

impl Layer for CombineTables {
    fn name(&self) -> &'static str {
        match self.combination.combine {
            Combine::Sum => "Int8AddTables",
            Combine::Product => "Int8MulTables",
        }
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        ensure!(inputs[0].1 == inputs[1].1, "{:?} with {:?}", inputs[0].1, inputs[1].1);
        Ok((DatumType::U8, inputs[0].1.clone()))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let (a, b) = (levels(&inputs[0])?, levels(&inputs[1])?);
        let mut output = unwritten::<u8>(inputs[0].shape())?;
        let mut view = output.try_as_plain_ram_mut()?;
        let part = view.as_slice_mut::<u8>()?;
        for_rows(a.len(), part, a.len() as u64 * MOVED, |range, part| {
            kernels::combine(Isa::best(), &self.combination, [&a[range.clone()], &b[range]], part);
        });
        Ok(output)
    }
}
