//! What moves values and computes nothing.

use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::Tensor;

use super::elementwise::SIDES;
use super::{Planned, Value, Walk, constant, input, optional, output, strides, word};
use crate::accelerators::vulkan::expression::Expression;
use crate::accelerators::vulkan::plan::{Shader, Step, TensorId};
use crate::attributes::Attributes;

/// One side of what is copied.
#[derive(Clone, Copy)]
struct Side {
    length: usize,
    from: i64,
    to: usize,
    /// How often each value is repeated.
    repeats: usize,
}

impl Walk {
    fn copy(
        &mut self,
        (source, first): (TensorId, usize),
        (target, place): (TensorId, usize),
        sides: &[Side],
    ) -> Planned<()> {
        let missing = SIDES.checked_sub(sides.len());
        let missing =
            missing.ok_or_else(|| format!("{} sides, and at most {SIDES} have a shader", sides.len()))?;
        let count = sides.iter().map(|side| side.length).product();
        let mut parameters = vec![word(count)?, word(first)?, word(place)?];
        let single = Side { length: 1, from: 0, to: 0, repeats: 1 };
        for side in std::iter::repeat_n(&single, missing).chain(sides) {
            let from =
                i32::try_from(side.from).map_err(|_| "a stride beyond what a shader counts".to_owned())?;
            parameters.extend([
                word(side.length)?,
                from.cast_unsigned(),
                word(side.to)?,
                word(side.repeats)?,
            ]);
        }
        let finish = Expression::X;
        let step = Step { shader: Shader::Copy, parameters, reads: vec![source], writes: target, finish };
        self.plan.steps.push(step);
        Ok(())
    }

    fn made(&mut self, name: &str, shape: Vec<usize>) -> Planned<TensorId> {
        let id = self.tensor(&shape)?;
        self.set(name, Value::Lazy { id, shape, function: Expression::X });
        Ok(id)
    }

    pub(super) fn given(&mut self, node: &NodeProto) -> Planned<()> {
        let attribute = node.attribute.first().ok_or("it holds nothing")?;
        let made = match attribute.name.as_str() {
            "value" => constant(attribute.t.as_ref().ok_or("it holds no tensor")?)?,
            "value_float" => Tensor::from(attribute.f),
            "value_int" => Tensor::from(attribute.i),
            "value_floats" => tract_onnx::prelude::tensor1(&attribute.floats),
            "value_ints" => tract_onnx::prelude::tensor1(&attribute.ints),
            other => return Err(format!("{other} is not read")),
        };
        self.set(output(node)?, Value::Constant(made));
        Ok(())
    }

    /// The same values in another shape.
    pub(super) fn view(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let name = input(node, 0)?;
        let shape = self.shape(name)?;
        let axes = |walk: &Self| match optional(node, 1) {
            Some(axes) => walk.constant_integers(axes).map(Some),
            None => Ok(attributes.integers("axes")),
        };
        let new = match node.op_type.as_str() {
            "Reshape" => reshaped(&shape, &self.constant_integers(input(node, 1)?)?)?,
            "Flatten" => {
                let axis = attributes.int("axis", 1);
                let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
                let axis =
                    usize::try_from(axis).ok().filter(|axis| *axis <= shape.len()).ok_or("its axis")?;
                vec![shape[..axis].iter().product(), shape[axis..].iter().product()]
            }
            "Squeeze" => squeezed(&shape, axes(self)?)?,
            "Unsqueeze" => unsqueezed(&shape, axes(self)?.ok_or("no axes")?)?,
            _ => shape.clone(),
        };
        if new.iter().product::<usize>() != shape.iter().product::<usize>() {
            return Err(format!("{shape:?} does not become {new:?}"));
        }
        let value = match self.value(name)?.clone() {
            Value::Constant(tensor) => {
                Value::Constant(tensor.into_shape(&new).map_err(|error| format!("{error:#}"))?)
            }
            Value::Lazy { .. } => {
                let (id, _) = self.computed(name)?;
                Value::Lazy { id, shape: new, function: Expression::X }
            }
        };
        self.set(output(node)?, value);
        Ok(())
    }

    pub(super) fn transpose(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let (source, shape) = self.computed(input(node, 0)?)?;
        let order = attributes.sizes("perm").unwrap_or_else(|| (0..shape.len()).rev().collect());
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted != (0..shape.len()).collect::<Vec<_>>() {
            return Err(format!("the order {order:?} for {shape:?}"));
        }
        let made: Vec<usize> = order.iter().map(|&side| shape[side]).collect();
        let (from, to) = (strides(&shape), strides(&made));
        let side =
            |at: usize| Side { length: made[at], from: from[order[at]] as i64, to: to[at], repeats: 1 };
        let sides: Vec<Side> = (0..made.len()).map(side).collect();
        let target = self.made(output(node)?, made)?;
        self.copy((source, 0), (target, 0), &sides)
    }

    pub(super) fn concatenation(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let parts: Vec<(TensorId, Vec<usize>)> =
            node.input.iter().map(|name| self.computed(name)).collect::<Planned<_>>()?;
        let mut shape = parts.first().ok_or("nothing to join")?.1.clone();
        let axis = attributes.axis("axis", 0, shape.len()).ok_or("its axis is out of range")?;
        let fits = |other: &[usize]| {
            other.len() == shape.len()
                && (0..shape.len()).all(|side| side == axis || other[side] == shape[side])
        };
        if !parts.iter().all(|(_, other)| fits(other)) {
            return Err("parts that do not fit each other".to_owned());
        }
        shape[axis] = parts.iter().map(|(_, part)| part[axis]).sum();
        let to = strides(&shape);
        let target = self.made(output(node)?, shape)?;
        let mut place = 0;
        for (source, part) in parts {
            let from = strides(&part);
            let side = |at: usize| Side { length: part[at], from: from[at] as i64, to: to[at], repeats: 1 };
            let sides: Vec<Side> = (0..part.len()).map(side).collect();
            self.copy((source, 0), (target, place * to[axis]), &sides)?;
            place += part[axis];
        }
        Ok(())
    }

    pub(super) fn split(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let (source, shape) = self.computed(input(node, 0)?)?;
        let axis = attributes.axis("axis", 0, shape.len()).ok_or("its axis is out of range")?;
        let given = match optional(node, 1) {
            Some(name) => Some(self.constant_integers(name)?),
            None => attributes.integers("split"),
        };
        let count = node.output.len().max(1);
        let lengths: Vec<usize> = match given {
            Some(lengths) => lengths.iter().map(|&length| usize::try_from(length).unwrap_or(0)).collect(),
            None => {
                let each = shape[axis].div_ceil(count);
                (0..count).map(|part| each.min(shape[axis].saturating_sub(part * each))).collect()
            }
        };
        if lengths.len() != node.output.len() || lengths.iter().sum::<usize>() != shape[axis] {
            return Err(format!("{shape:?} in parts of {lengths:?}"));
        }
        let from = strides(&shape);
        let mut first = 0;
        for (name, length) in node.output.iter().zip(lengths) {
            let mut part = shape.clone();
            part[axis] = length;
            let to = strides(&part);
            let side = |at: usize| Side { length: part[at], from: from[at] as i64, to: to[at], repeats: 1 };
            let sides: Vec<Side> = (0..part.len()).map(side).collect();
            let target = self.made(name, part)?;
            self.copy((source, first * from[axis]), (target, 0), &sides)?;
            first += length;
        }
        Ok(())
    }

    pub(super) fn slice(&mut self, node: &NodeProto) -> Planned<()> {
        let (source, shape) = self.computed(input(node, 0)?)?;
        let attributes = Attributes(node);
        let list = |walk: &Self, at: usize, name: &str| match optional(node, at) {
            Some(input) => walk.constant_integers(input).map(Some),
            None => Ok(attributes.integers(name)),
        };
        let starts = list(self, 1, "starts")?.ok_or("no starts")?;
        let ends = list(self, 2, "ends")?.ok_or("no ends")?;
        let axes = list(self, 3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = list(self, 4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("starts, ends, axes and steps of different lengths".to_owned());
        }
        let from = strides(&shape);
        let (mut made, mut first, mut stride) = (shape.clone(), 0, vec![1_i64; shape.len()]);
        for (at, &axis) in axes.iter().enumerate() {
            let axis = if axis < 0 { axis + shape.len() as i64 } else { axis };
            let axis =
                usize::try_from(axis).ok().filter(|axis| *axis < shape.len()).ok_or("axes out of range")?;
            let (length, step) = (shape[axis] as i64, steps[at]);
            let counted = |place: i64| if place < 0 { place.saturating_add(length) } else { place };
            let (start, count) = match step {
                1.. => {
                    let (start, end) =
                        (counted(starts[at]).clamp(0, length), counted(ends[at]).clamp(0, length));
                    (
                        start,
                        (end - start).max(0).div_euclid(step) + i64::from((end - start).max(0) % step != 0),
                    )
                }
                ..0 => {
                    let start = counted(starts[at]).clamp(0, length - 1);
                    // An end before the first place stays there, however far it is.
                    let end = counted(ends[at]).clamp(-1, length - 1);
                    let span = (start - end).max(0);
                    (start, span / -step + i64::from(span % -step != 0))
                }
                0 => return Err("a step of 0".to_owned()),
            };
            made[axis] = usize::try_from(count).unwrap_or(0);
            first += usize::try_from(start).unwrap_or(0) * from[axis];
            stride[axis] = step;
        }
        let to = strides(&made);
        let side =
            |at: usize| Side { length: made[at], from: from[at] as i64 * stride[at], to: to[at], repeats: 1 };
        let sides: Vec<Side> = (0..made.len()).map(side).collect();
        let target = self.made(output(node)?, made)?;
        self.copy((source, first), (target, 0), &sides)
    }

    /// Whole factors, each value repeated.
    pub(super) fn enlarged(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let (source, shape) = self.computed(input(node, 0)?)?;
        if !["", "nearest"].contains(&attributes.text("mode")) {
            return Err(format!("the mode {:?} has no shader", attributes.text("mode")));
        }
        // Of the nearest places, these pairs repeat each value evenly under a whole factor.
        let (place, rounding) =
            (attributes.text("coordinate_transformation_mode"), attributes.text("nearest_mode"));
        let is_even = matches!(
            (place, rounding),
            ("asymmetric", "floor") | ("" | "half_pixel", "" | "round_prefer_floor" | "round_prefer_ceil")
        ) || node.op_type == "Upsample"
            || self.opset < 11;
        if !is_even {
            return Err(format!("places {place:?} with rounding {rounding:?} have no shader"));
        }
        let scales_at = if self.opset < 11 { 1 } else { 2 };
        let scales = match (optional(node, scales_at), optional(node, 3)) {
            (Some(name), _) if !self.constant_floats(name)?.is_empty() => self.constant_floats(name)?,
            (_, Some(name)) => {
                let sizes = self.constant_integers(name)?;
                sizes.iter().zip(&shape).map(|(&size, &side)| size as f32 / side as f32).collect()
            }
            _ => return Err("neither scales nor sizes".to_owned()),
        };
        let is_whole = |scale: &f32| (1.0..=64.0).contains(scale) && scale.fract() == 0.0;
        if scales.len() != shape.len() || !scales.iter().all(is_whole) {
            return Err(format!("the factors {scales:?} have no shader; whole ones have"));
        }
        let factors: Vec<usize> = scales.iter().map(|&scale| scale as usize).collect();
        let made: Vec<usize> = shape.iter().zip(&factors).map(|(side, factor)| side * factor).collect();
        let (from, to) = (strides(&shape), strides(&made));
        let side =
            |at: usize| Side { length: made[at], from: from[at] as i64, to: to[at], repeats: factors[at] };
        let sides: Vec<Side> = (0..made.len()).map(side).collect();
        let target = self.made(output(node)?, made)?;
        self.copy((source, 0), (target, 0), &sides)
    }

    pub(super) fn padded(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let (source, shape) = self.computed(input(node, 0)?)?;
        if !["", "constant"].contains(&attributes.text("mode")) {
            return Err(format!("the mode {:?} has no shader", attributes.text("mode")));
        }
        let pads = match optional(node, 1) {
            Some(name) => self.constant_integers(name)?,
            None => attributes.integers("pads").ok_or("no padding")?,
        };
        let value = match optional(node, 2) {
            Some(name) => self.constant_floats(name)?.first().copied().unwrap_or(0.0),
            None => attributes.float("value", 0.0),
        };
        let rank = shape.len();
        let pads: Vec<usize> = pads.iter().filter_map(|&pad| usize::try_from(pad).ok()).collect();
        if pads.len() != 2 * rank {
            return Err("padding that is negative, or not two a side".to_owned());
        }
        let made: Vec<usize> = (0..rank).map(|side| pads[side] + shape[side] + pads[side + rank]).collect();
        let (from, to) = (strides(&shape), strides(&made));
        let place = (0..rank).map(|side| pads[side] * to[side]).sum();
        let side = |at: usize| Side { length: shape[at], from: from[at] as i64, to: to[at], repeats: 1 };
        let sides: Vec<Side> = (0..rank).map(side).collect();
        let count = word(made.iter().product())?;
        let target = self.made(output(node)?, made)?;
        let finish = Expression::Constant(value);
        let fill =
            Step { shader: Shader::Fill, parameters: vec![count], reads: vec![], writes: target, finish };
        self.plan.steps.push(fill);
        self.copy((source, 0), (target, place), &sides)
    }
}

/// 0 keeps a side, -1 is what remains.
fn reshaped(shape: &[usize], wanted: &[i64]) -> Planned<Vec<usize>> {
    let kept = |(at, &side): (usize, &i64)| match side {
        0 => shape.get(at).copied(),
        -1 => Some(1),
        side => usize::try_from(side).ok(),
    };
    let wrong = || format!("{shape:?} does not become {wanted:?}");
    let mut new: Vec<usize> = wanted.iter().enumerate().map(kept).collect::<Option<_>>().ok_or_else(wrong)?;
    if let Some(open) = wanted.iter().position(|side| *side == -1) {
        let rest = new.iter().try_fold(1_usize, |product, &side| product.checked_mul(side));
        let rest = rest.filter(|rest| *rest > 0).ok_or_else(wrong)?;
        new[open] = shape.iter().product::<usize>() / rest;
    }
    Ok(new)
}

fn squeezed(shape: &[usize], axes: Option<Vec<i64>>) -> Planned<Vec<usize>> {
    let rank = shape.len() as i64;
    let axes = axes
        .map(|axes| axes.iter().map(|&axis| if axis < 0 { axis + rank } else { axis }).collect::<Vec<_>>());
    let goes = |at: usize| axes.as_ref().map_or(shape[at] == 1, |axes| axes.contains(&(at as i64)));
    Ok((0..shape.len()).filter(|&at| !goes(at)).map(|at| shape[at]).collect())
}

fn unsqueezed(shape: &[usize], mut axes: Vec<i64>) -> Planned<Vec<usize>> {
    let rank = (shape.len() + axes.len()) as i64;
    axes.iter_mut().for_each(|axis| *axis += if *axis < 0 { rank } else { 0 });
    axes.sort_unstable();
    let mut new = shape.to_vec();
    for axis in axes {
        let at = usize::try_from(axis).ok().filter(|at| *at <= new.len()).ok_or("axes out of range")?;
        new.insert(at, 1);
    }
    Ok(new)
}
