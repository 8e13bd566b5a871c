//! Convolutions, linear layers and pooling.

use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::{DatumType, Tensor, TractResult};

use super::super::layers::{ConvolveFloat, MaxPool, Spread, UpsampleNearest, is_wide};
use super::super::window::Window;
use super::Lowering;
use super::value::{Layout, Levels, Mean, Stored, Sums, Value, in_layout};
use super::weights::{Filter, Weights, numbers};
use crate::attributes::Attributes;

impl Lowering<'_> {
    pub(super) fn conv(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let Some(weights) = self.weights(&node.input[1]) else { return self.float_conv(node, attributes) };
        let Some((stored, scale, zero_point)) = self.affine(&node.input[0])? else { return Ok(false) };
        let (Some(window), Some(shape)) =
            (self.window(node, attributes, &stored.shape, &weights.shape[2..]), self.shape(&node.output[0]))
        else {
            return Ok(false);
        };
        let groups = usize::try_from(attributes.int("group", 1)).unwrap_or(0);
        let Some(filter) = filter(weights, groups, stored.shape[1]) else { return Ok(false) };
        let Some(bias) = self.bias(node.input.get(2), filter.outputs()) else { return Ok(false) };
        if window.output([stored.shape[2], stored.shape[3]]) != Some([shape[2], shape[3]]) {
            return Ok(false);
        }
        let input = self.in_layout(&stored, Layout::ChannelsLast)?;
        let sums = Sums {
            input,
            input_scale: scale,
            input_zero_point: zero_point,
            filter: Arc::new(filter),
            window,
            bias,
            bounds: [f32::NEG_INFINITY, f32::INFINITY],
            shape,
            layout: Layout::ChannelsLast,
        };
        self.take_sums(node, sums)
    }

    /// A convolution of numbers by numbers that is large enough to pay for turning its output round; in one direction
    /// too, which counts as one row.
    fn float_conv(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let (Some(memory), Some(shape)) = (self.shape(&node.input[0]), self.shape(&node.output[0])) else {
            return Ok(false);
        };
        let Some(kernel) =
            self.constant(&node.input[1]).filter(|kernel| kernel.datum_type() == DatumType::F32)
        else {
            return Ok(false);
        };
        let plain = attributes.int("group", 1) == 1 && matches!(attributes.text("auto_pad"), "" | "NOTSET");
        let (&[1, channels, ref picture @ ..], [outputs, _, taps @ ..]) = (&memory[..], kernel.shape())
        else {
            return Ok(false);
        };
        let (Some(input), Some(window)) = (in_rows(picture), float_window(attributes, taps)) else {
            return Ok(false);
        };
        let expected = window.output(input).map(|[rows, columns]| rows * columns);
        let work = shape.iter().product::<usize>() * channels * window.taps();
        if !plain || work < LARGE || expected != Some(shape[2..].iter().product()) {
            return Ok(false);
        }
        let (Some(bias), Some(weights)) = (self.bias(node.input.get(2), *outputs), numbers(&kernel)) else {
            return Ok(false);
        };
        let layout = if is_wide(&window) { Layout::Natural } else { Layout::ChannelsLast };
        let (numbers, spread) = self.numbers_for(&node.input[0], layout)?;
        let is_last = layout == Layout::ChannelsLast && spread == Spread::Same;
        let size = [channels, input[0], input[1]];
        let memory = if is_last { in_layout(&memory, layout) } else { memory.clone() };
        let layer = ConvolveFloat::new(&weights, bias, window, size, memory, is_last);
        let output = &node.output[0];
        let outlet = self.emit(output, layer, &[numbers])?;
        let outlet = self.channels_second(outlet, output)?;
        self.floats.insert(output.clone(), outlet);
        Ok(true)
    }

    pub(super) fn mat_mul(&mut self, node: &NodeProto) -> TractResult<bool> {
        let Some(weights) = self.weights(&node.input[1]) else { return Ok(false) };
        self.linear(node, weights, false, None)
    }

    pub(super) fn gemm(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let plain = attributes.float("alpha", 1.0) == 1.0
            && attributes.float("beta", 1.0) == 1.0
            && attributes.int("transA", 0) == 0;
        let Some(weights) = self.weights(&node.input[1]).filter(|_| plain) else { return Ok(false) };
        self.linear(node, weights, attributes.int("transB", 0) != 0, node.input.get(2))
    }

    /// A matrix of weights, `[inputs, outputs]` or the other way round.
    fn linear(
        &mut self,
        node: &NodeProto,
        weights: Weights,
        outputs_first: bool,
        bias: Option<&String>,
    ) -> TractResult<bool> {
        let Some((stored, scale, zero_point)) = self.affine(&node.input[0])? else { return Ok(false) };
        let Some(shape) = self.shape(&node.output[0]) else { return Ok(false) };
        let Some(filter) = linear_filter(weights, outputs_first) else { return Ok(false) };
        let Filter::Whole { input_channels, .. } = filter else { return Ok(false) };
        if stored.shape.last() != Some(&input_channels) || stored.shape.len() == 4 {
            return Ok(false);
        }
        let Some(bias) = self.bias(bias, filter.outputs()) else { return Ok(false) };
        let input = self.in_layout(&stored, Layout::Natural)?;
        let sums = Sums {
            input,
            input_scale: scale,
            input_zero_point: zero_point,
            filter: Arc::new(filter),
            window: Window::point(),
            bias,
            bounds: [f32::NEG_INFINITY, f32::INFINITY],
            shape,
            layout: Layout::Natural,
        };
        self.take_sums(node, sums)
    }

    /// Keeps sums until they are rounded; where several want them, or want the numbers, they are computed now.
    pub(super) fn take_sums(&mut self, node: &NodeProto, sums: Sums) -> TractResult<bool> {
        let output = &node.output[0];
        let waits = self.consumers.get(&**output).is_some_and(|consumers| {
            consumers.len() == 1
                && matches!(&*consumers[0].op_type, "Relu" | "Clip" | "Add" | "QuantizeLinear")
        });
        if waits && !self.graph_outputs.contains(&**output) {
            self.values.insert(output.clone(), Value::Sums(Box::new(sums)));
            return Ok(true);
        }
        let outlet = self.float_sums(&sums, output)?;
        self.floats.insert(output.clone(), outlet);
        self.values.remove(output);
        Ok(true)
    }

    /// Returns evenly spaced levels with their scale and zero point.
    fn affine(&mut self, name: &str) -> TractResult<Option<(Stored, f32, i32)>> {
        let Some(levels) = self.levels(name) else { return Ok(None) };
        let Levels { stored, table } = self.settled(&levels)?;
        Ok(table.affine.map(|(scale, zero_point)| (stored, scale, zero_point)))
    }

    /// Returns a number for each output channel; zeros where there is no bias.
    pub(super) fn bias(&self, name: Option<&String>, outputs: usize) -> Option<Vec<f32>> {
        let Some(name) = name.filter(|name| !name.is_empty()) else { return Some(vec![0.0; outputs]) };
        let by_channel = |bias: &Tensor| bias.len() == 1 || bias.shape().last() == Some(&bias.len());
        let bias = match self.constant(name) {
            Some(bias) => numbers(&*Some(bias).filter(|bias| by_channel(bias))?)?,
            None => {
                let node = self.producers.get(&**name).filter(|node| node.op_type == "DequantizeLinear")?;
                let levels = numbers(&*self.constant(&node.input[0]).filter(|levels| by_channel(levels))?)?;
                let scales = numbers(&*self.constant(&node.input[1])?)?;
                levels.iter().zip(scales.iter().cycle()).map(|(level, scale)| level * scale).collect()
            }
        };
        match bias.len() {
            1 => Some(vec![bias[0]; outputs]),
            count => (count == outputs).then_some(bias),
        }
    }

    /// Returns a window over rows and columns; none for what has other than two sides, or rounds up.
    pub(super) fn window(
        &self,
        node: &NodeProto,
        attributes: Attributes<'_>,
        input: &[usize],
        kernel: &[usize],
    ) -> Option<Window> {
        if input.len() != 4 || attributes.int("ceil_mode", 0) != 0 {
            return None;
        }
        let pair = |name: &str, default: usize| -> Option<[usize; 2]> {
            match attributes.sizes(name) {
                None => Some([default; 2]),
                Some(sizes) => sizes.try_into().ok(),
            }
        };
        let size: [usize; 2] = kernel.try_into().ok()?;
        let (stride, dilation) = (pair("strides", 1)?, pair("dilations", 1)?);
        if size.contains(&0) || stride.contains(&0) || dilation.contains(&0) {
            return None;
        }
        let (before, after) = match attributes.text("auto_pad") {
            "" | "NOTSET" => match attributes.sizes("pads") {
                None => ([0; 2], [0; 2]),
                Some(pads) => {
                    let [top, left, bottom, right] = pads.try_into().ok()?;
                    ([top, left], [bottom, right])
                }
            },
            "VALID" => ([0; 2], [0; 2]),
            same @ ("SAME_UPPER" | "SAME_LOWER") => {
                let output = self.shape(&node.output[0])?;
                let total = [0, 1].map(|side| {
                    let reach = (size[side] - 1) * dilation[side] + 1;
                    ((output[side + 2].max(1) - 1) * stride[side] + reach).saturating_sub(input[side + 2])
                });
                let half = total.map(|total| total / 2);
                let rest = [total[0] - half[0], total[1] - half[1]];
                if same == "SAME_UPPER" { (half, rest) } else { (rest, half) }
            }
            _ => return None,
        };
        Some(Window { size, stride, dilation, before, after })
    }

    pub(super) fn max_pool(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let taken = self.taken(&node.input[0])?;
        let Some((levels, meaning)) = taken else { return Ok(false) };
        let kernel = attributes.sizes("kernel_shape").unwrap_or_default();
        let input = levels.stored.shape.clone();
        let (Some(window), Some(shape)) =
            (self.window(node, attributes, &input, &kernel), self.shape(&node.output[0]))
        else {
            return Ok(false);
        };
        if node.output.len() > 1 || window.output([input[2], input[3]]) != Some([shape[2], shape[3]]) {
            return Ok(false);
        }
        let Some(levels) = self.increasing(&levels)? else { return Ok(false) };
        let stored = self.in_layout(&levels.stored, Layout::ChannelsLast)?;
        let layer = MaxPool { pictures: input[0], window, size: [input[2], input[3]], channels: input[1] };
        let outlet = self.emit(&node.output[0], layer, &[stored.outlet])?;
        let stored = Stored { outlet, shape, layout: Layout::ChannelsLast };
        self.give(&node.output[0], (Levels { stored, ..levels }, meaning));
        Ok(true)
    }

    pub(super) fn mean(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let is_even = |levels: &Levels| levels.table.affine.is_some() || levels.table.rounded.is_some();
        let Some(levels) = self.levels(&node.input[0]).filter(is_even) else { return Ok(false) };
        let input = levels.stored.shape.clone();
        let (Some(shape), 4) = (self.shape(&node.output[0]), input.len()) else { return Ok(false) };
        if !self.is_only_rounded(&node.output[0]) {
            return Ok(false);
        }
        let window = match &*node.op_type {
            "AveragePool" => {
                let kernel = attributes.sizes("kernel_shape").unwrap_or_default();
                let Some(window) = self.window(node, attributes, &input, &kernel) else { return Ok(false) };
                if window.output([input[2], input[3]]) != Some([shape[2], shape[3]]) {
                    return Ok(false);
                }
                window
            }
            "ReduceMean" if !self.reduces_pictures(node, attributes) => return Ok(false),
            _ => Window { size: [input[2], input[3]], ..Window::point() },
        };
        let counts_margin = attributes.int("count_include_pad", 0) != 0;
        let mean = Mean { levels, window, counts_margin, shape };
        self.values.insert(node.output[0].clone(), Value::Mean(mean));
        Ok(true)
    }

    /// Returns whether a reduction is over rows and columns.
    fn reduces_pictures(&self, node: &NodeProto, attributes: Attributes<'_>) -> bool {
        let given = node.input.get(1).and_then(|name| self.constant(name)).and_then(|axes| numbers(&axes));
        let listed = attributes.0.attribute.iter().find(|attribute| attribute.name == "axes");
        let axes = given.or_else(|| Some(listed?.ints.iter().map(|&axis| axis as f32).collect()));
        axes.is_some_and(|axes: Vec<f32>| {
            let mut axes: Vec<i64> = axes.iter().map(|&axis| (axis as i64).rem_euclid(4)).collect();
            axes.sort_unstable();
            axes == [2, 3]
        })
    }

    pub(super) fn resize(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let Some((levels, meaning)) = self.taken(&node.input[0])? else { return Ok(false) };
        let Some(shape) = self.shape(&node.output[0]) else { return Ok(false) };
        let input = levels.stored.shape.clone();
        let mode = attributes.text("mode");
        let rounds = (attributes.text("coordinate_transformation_mode"), attributes.text("nearest_mode"));
        // With whole factors these all take the pixel that the place lies in.
        let takes_the_pixel = matches!(
            rounds,
            ("asymmetric", "floor")
                | ("" | "half_pixel" | "pytorch_half_pixel", "" | "round_prefer_floor" | "round_prefer_ceil")
        ) || node.op_type == "Upsample";
        let whole = input.len() == 4
            && shape.len() == 4
            && input[..2] == shape[..2]
            && [2, 3].iter().all(|&side| input[side] > 0 && shape[side] % input[side] == 0);
        if !(whole && takes_the_pixel && (mode.is_empty() || mode == "nearest")) {
            return Ok(false);
        }
        let factor = [shape[2] / input[2], shape[3] / input[3]];
        // A scale between two whole factors gives the same sides from other pixels.
        let given = node.input.get(if node.op_type == "Upsample" { 1 } else { 2 });
        let scales = given.and_then(|name| self.constant(name)).and_then(|scales| numbers(&scales));
        let is_factor = |scales: &[f32]| scales == [1.0, 1.0, factor[0] as f32, factor[1] as f32];
        let by_sizes = node.op_type == "Resize" && node.input.get(3).is_some_and(|name| !name.is_empty());
        if !(by_sizes || scales.is_some_and(|scales| is_factor(&scales))) {
            return Ok(false);
        }
        let stored = self.in_layout(&levels.stored, Layout::ChannelsLast)?;
        let layer = UpsampleNearest { input: [input[0], input[2], input[3], input[1]], factor };
        let outlet = self.emit(&node.output[0], layer, &[stored.outlet])?;
        let stored = Stored { outlet, shape, layout: Layout::ChannelsLast };
        self.give(&node.output[0], (Levels { stored, ..levels }, meaning));
        Ok(true)
    }
}

/// Multiply-adds from which on a convolution in f32 is ours.
const LARGE: usize = 10_000_000;

/// Rows and columns of a picture, or of a line, which is one row.
fn in_rows(sides: &[usize]) -> Option<[usize; 2]> {
    match *sides {
        [columns] => Some([1, columns]),
        [rows, columns] => Some([rows, columns]),
        _ => None,
    }
}

fn float_window(attributes: Attributes<'_>, taps: &[usize]) -> Option<Window> {
    let of = |name: &str, default: usize| match attributes.sizes(name) {
        None => Some([default; 2]),
        Some(sizes) => match sizes[..] {
            [column] => Some([default, column]),
            [row, column] => Some([row, column]),
            _ => None,
        },
    };
    let (before, after) = match attributes.sizes("pads").as_deref() {
        None => ([0; 2], [0; 2]),
        Some(&[left, right]) => ([0, left], [0, right]),
        Some(&[top, left, bottom, right]) => ([top, left], [bottom, right]),
        Some(_) => return None,
    };
    let (size, stride, dilation) = (in_rows(taps)?, of("strides", 1)?, of("dilations", 1)?);
    let all = [size, stride, dilation].concat();
    (!all.contains(&0)).then_some(Window { size, stride, dilation, before, after })
}

/// Returns the filter of a convolution with weights by output, input, row and column.
pub(super) fn filter(weights: Weights, groups: usize, channels: usize) -> Option<Filter> {
    let [outputs, inputs, height, width] = weights.shape[..] else { return None };
    let by_output = weights.scales.len() == 1 || weights.axis == 0;
    if groups == 0 || inputs * groups != channels || outputs % groups != 0 || !by_output || outputs == 0 {
        return None;
    }
    if height * width == 0 || inputs == 0 {
        return None;
    }
    Some(if inputs == 1 && groups == outputs && groups > 1 {
        Filter::Depthwise { weights, channels: groups }
    } else {
        Filter::Whole {
            weights,
            output_channels: outputs,
            input_channels: inputs,
            groups,
            inputs_first: false,
        }
    })
}

/// Returns the filter of a matrix of weights.
pub(super) fn linear_filter(weights: Weights, outputs_first: bool) -> Option<Filter> {
    let [rows, columns] = weights.shape[..] else { return None };
    let (outputs, inputs) = if outputs_first { (rows, columns) } else { (columns, rows) };
    let by_output = weights.scales.len() == 1 || (weights.axis == 0) == outputs_first;
    if outputs == 0 || inputs == 0 || !by_output {
        return None;
    }
    Some(Filter::Whole {
        weights,
        output_channels: outputs,
        input_channels: inputs,
        groups: 1,
        inputs_first: !outputs_first,
    })
}
