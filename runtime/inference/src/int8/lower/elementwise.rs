//! Operations on each value by itself: a function of one tensor's levels becomes another function of them.

use std::sync::Arc;

use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::TractResult;

use super::super::kernels::{Combine, erf, sigmoid};
use super::Lowering;
use super::value::{Levels, Pair, Value};
use super::weights::numbers;
use crate::attributes::Attributes;

impl Lowering<'_> {
    /// An operation on one tensor.
    pub(super) fn unary(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> TractResult<bool> {
        let Some(input) = node.input.first() else { return Ok(false) };
        let Some(value) = self.values.get(input).cloned() else { return Ok(false) };
        let bounds = match &*node.op_type {
            "Relu" => Some([0.0, f32::INFINITY]),
            "Clip" => match self.clip_bounds(node, attributes) {
                Some(bounds) => Some(bounds),
                None => return Ok(false),
            },
            _ => None,
        };
        let tighter =
            |old: [f32; 2], new: [f32; 2]| [old[0].max(new[0]).min(new[1]), old[1].min(new[1]).max(new[0])];
        let output = node.output[0].clone();
        match (value, bounds) {
            (Value::Sums(mut sums), Some(bounds)) => {
                sums.bounds = tighter(sums.bounds, bounds);
                self.take_sums(node, *sums)
            }
            (Value::Pair(mut pair), Some(bounds)) if self.is_only_rounded(&output) => {
                pair.bounds = tighter(pair.bounds, bounds);
                self.values.insert(output, Value::Pair(pair));
                Ok(true)
            }
            (Value::Levels(levels), bounds) => {
                let function: Box<dyn Fn(f32) -> f32> = match bounds {
                    Some([low, high]) => Box::new(move |x: f32| x.max(low).min(high)),
                    None => match function(&node.op_type, attributes) {
                        Some(function) => function,
                        None => return Ok(false),
                    },
                };
                let table = Arc::new(levels.table.map(function));
                self.values.insert(output, Value::Levels(Levels { table, ..levels }));
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn clip_bounds(&self, node: &NodeProto, attributes: Attributes<'_>) -> Option<[f32; 2]> {
        let bound =
            |at: usize, name: &str, default: f32| match node.input.get(at).filter(|name| !name.is_empty()) {
                None => Some(attributes.float(name, default)),
                Some(name) => self.constant(name)?.cast_to_scalar::<f32>().ok(),
            };
        let bounds = [bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?];
        (bounds[0] <= bounds[1]).then_some(bounds)
    }

    /// An operation on two tensors, or on a tensor and a constant.
    pub(super) fn binary(&mut self, node: &NodeProto) -> TractResult<bool> {
        let Some(operation) = operation(&node.op_type).filter(|_| node.input.len() == 2) else {
            return Ok(false);
        };
        let output = node.output[0].clone();
        let [a, b] = [&node.input[0], &node.input[1]];
        if node.op_type == "Mul"
            && let Some(done) = self.scaled(node)?
        {
            return Ok(done);
        }
        if self.activated(node)? || self.normalised(node)? {
            return Ok(true);
        }
        if let Some(done) = self.add_bias(node, [a, b])? {
            return Ok(done);
        }
        let scalar = |name: &str| {
            self.constant(name)
                .filter(|tensor| tensor.len() == 1)
                .and_then(|tensor| numbers(&tensor))
                .map(|it| it[0])
        };
        let table = match (self.levels(a), self.levels(b)) {
            (Some(levels), None) => {
                let Some(b) = scalar(b) else { return Ok(false) };
                Some((levels.table.map(|a| operation(a, b)), levels.stored))
            }
            (None, Some(levels)) => {
                let Some(a) = scalar(a) else { return Ok(false) };
                Some((levels.table.map(|b| operation(a, b)), levels.stored))
            }
            (Some(a), Some(b)) if a.stored.outlet == b.stored.outlet && a.stored.shape == b.stored.shape => {
                Some((a.table.zip(&b.table, operation), a.stored))
            }
            _ => None,
        };
        if let Some((table, stored)) = table {
            if self.shape(&output).is_some_and(|shape| shape != stored.shape) {
                return Ok(false);
            }
            self.values.insert(output, Value::Levels(Levels { stored, table: Arc::new(table) }));
            return Ok(true);
        }
        let (Some(a), Some(b)) = (self.levels(a), self.levels(b)) else { return Ok(false) };
        let combine = match &*node.op_type {
            "Add" => Combine::Sum,
            "Mul" => Combine::Product,
            _ => return Ok(false),
        };
        if a.stored.shape != b.stored.shape || !self.is_only_rounded(&output) {
            return Ok(false);
        }
        let pair = Pair { combine, parts: [a, b], bounds: [f32::NEG_INFINITY, f32::INFINITY] };
        self.values.insert(output, Value::Pair(pair));
        Ok(true)
    }

    /// Takes a constant that is added to a layer into its bias; none where that is not what the node does.
    fn add_bias(&mut self, node: &NodeProto, inputs: [&String; 2]) -> TractResult<Option<bool>> {
        let sums = inputs.iter().position(|name| matches!(self.values.get(*name), Some(Value::Sums(_))));
        let Some(at) = sums.filter(|_| node.op_type == "Add") else { return Ok(None) };
        let Some(Value::Sums(mut sums)) = self.values.get(inputs[at]).cloned() else { return Ok(None) };
        let channel_axis = if sums.shape.len() == 4 { 1 } else { sums.shape.len() - 1 };
        let added = self.constant(inputs[1 - at]).filter(|added| {
            let from = sums.shape.len().checked_sub(added.rank());
            from.is_some_and(|from| {
                added.shape().iter().enumerate().all(|(axis, &side)| side == 1 || axis + from == channel_axis)
            })
        });
        let unbounded = sums.bounds == [f32::NEG_INFINITY, f32::INFINITY];
        let Some(added) = added.filter(|_| unbounded).and_then(|added| numbers(&added)) else {
            return Ok(Some(false));
        };
        if added.len() != 1 && added.len() != sums.bias.len() {
            return Ok(Some(false));
        }
        sums.bias.iter_mut().zip(added.iter().cycle()).for_each(|(bias, added)| *bias += added);
        self.take_sums(node, *sums).map(Some)
    }
}

fn operation(name: &str) -> Option<fn(f32, f32) -> f32> {
    Some(match name {
        "Add" => |a, b| a + b,
        "Mul" => |a, b| a * b,
        "Sub" => |a, b| a - b,
        "Div" => |a, b| a / b,
        "Max" => f32::max,
        "Min" => f32::min,
        _ => return None,
    })
}

/// Returns what an ONNX operation does to each value.
fn function(name: &str, attributes: Attributes<'_>) -> Option<Box<dyn Fn(f32) -> f32>> {
    let alpha = |default| attributes.float("alpha", default);
    Some(match name {
        "Sigmoid" => Box::new(sigmoid),
        "Tanh" => Box::new(f32::tanh),
        "LeakyRelu" => {
            let alpha = alpha(0.01);
            Box::new(move |x| if x < 0.0 { alpha * x } else { x })
        }
        "Elu" => {
            let alpha = alpha(1.0);
            Box::new(move |x| if x < 0.0 { alpha * x.exp_m1() } else { x })
        }
        "HardSigmoid" => {
            let (alpha, beta) = (alpha(0.2), attributes.float("beta", 0.5));
            Box::new(move |x| (alpha * x + beta).clamp(0.0, 1.0))
        }
        "HardSwish" => Box::new(|x| x * (x / 6.0 + 0.5).clamp(0.0, 1.0)),
        "Softplus" => Box::new(|x: f32| x.max(0.0) + (-x.abs()).exp().ln_1p()),
        "Exp" => Box::new(f32::exp),
        "Sqrt" => Box::new(f32::sqrt),
        "Abs" => Box::new(f32::abs),
        "Neg" => Box::new(|x: f32| -x),
        "Erf" => Box::new(erf),
        "Gelu" if attributes.text("approximate") != "tanh" => {
            Box::new(|x| 0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2)))
        }
        _ => return None,
    })
}
