//! Functions of one value, and of two.

use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::{DatumType, Tensor};

use super::{Planned, Value, Walk, floats, input, optional, output, strides, words};
use crate::accelerators::vulkan::expression::Expression;
use crate::accelerators::vulkan::plan::Shader;
use crate::attributes::Attributes;

/// Sides that shaders of two tensors take.
pub(super) const SIDES: usize = 6;

impl Walk {
    /// Puts a function on top of a value.
    fn applied(
        &mut self,
        node: &NodeProto,
        name: &str,
        make: impl FnOnce(Expression) -> Expression,
    ) -> Planned<()> {
        let is_large = matches!(self.value(name)?, Value::Lazy { function, .. } if function.is_large());
        if is_large || matches!(self.value(name)?, Value::Constant(_)) {
            self.computed(name)?;
        }
        let Value::Lazy { id, shape, function } = self.value(name)?.clone() else {
            return Err(format!("{name:?} is not on the device"));
        };
        self.set(output(node)?, Value::Lazy { id, shape, function: make(function) });
        Ok(())
    }

    pub(super) fn function(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        use Expression as E;
        let constant = E::Constant;
        let clamp = |x, low, high| E::call("clamp", [x, constant(low), constant(high)]);
        let name = input(node, 0)?;
        match node.op_type.as_str() {
            "Relu" => self.applied(node, name, |x| E::call("max", [x, constant(0.0)])),
            "Clip" => {
                let bound = |at, attribute: &str, default: f32| match optional(node, at) {
                    Some(name) => {
                        self.constant_floats(name)?.first().copied().ok_or("an empty bound".to_owned())
                    }
                    None => Ok(attributes.float(attribute, default)),
                };
                let (low, high) = (bound(1, "min", f32::MIN)?, bound(2, "max", f32::MAX)?);
                self.applied(node, name, |x| clamp(x, low, high))
            }
            "Sigmoid" => self.applied(node, name, |x| E::call("sigmoid", [x])),
            "Tanh" => self.applied(node, name, |x| E::call("tanh", [x])),
            "Exp" => self.applied(node, name, |x| E::call("exp", [x])),
            "Log" => self.applied(node, name, |x| E::call("log", [x])),
            "Sqrt" => self.applied(node, name, |x| E::call("sqrt", [x])),
            "Abs" => self.applied(node, name, |x| E::call("abs", [x])),
            "Neg" => self.applied(node, name, |x| E::infix('-', constant(0.0), x)),
            "LeakyRelu" => {
                let slope = attributes.float("alpha", 0.01);
                self.applied(node, name, |x| E::call("leaky", [x, constant(slope)]))
            }
            "HardSigmoid" => {
                let (slope, shift) = (attributes.float("alpha", 0.2), attributes.float("beta", 0.5));
                let line = |x| E::infix('+', E::infix('*', constant(slope), x), constant(shift));
                self.applied(node, name, |x| clamp(line(x), 0.0, 1.0))
            }
            "HardSwish" => {
                let line = |x| E::infix('+', E::infix('/', x, constant(6.0)), constant(0.5));
                self.applied(node, name, |x| E::infix('*', x.clone(), clamp(line(x), 0.0, 1.0)))
            }
            _ => Err("this operation has no shader".to_owned()),
        }
    }

    /// Levels are kept as floats.
    pub(super) fn levels(&mut self, node: &NodeProto) -> Planned<()> {
        use Expression as E;
        let (name, scales) = (input(node, 0)?, self.constant_floats(input(node, 1)?)?);
        let zeros = match optional(node, 2) {
            Some(zero) => self.constant_floats(zero)?,
            None => vec![0.0; scales.len()],
        };
        if !scales.iter().all(|scale| scale.is_finite() && *scale > 0.0) || zeros.len() != scales.len() {
            return Err("scales must be above 0, each with its zero point".to_owned());
        }
        let is_quantised = node.op_type == "QuantizeLinear";
        if let Value::Constant(tensor) = self.value(name)?
            && !is_quantised
        {
            let axis = Attributes(node).axis("axis", 1, tensor.rank());
            let made = dequantised(tensor, axis, &scales, &zeros)?;
            self.set(output(node)?, Value::Constant(made));
            return Ok(());
        }
        let (&[scale], &[zero]) = (scales.as_slice(), zeros.as_slice()) else {
            return Err("activations with a scale a channel have no shader".to_owned());
        };
        if !is_quantised {
            let moved = |x| if zero == 0.0 { x } else { E::infix('-', x, E::Constant(zero)) };
            return self.applied(node, name, |x| E::infix('*', moved(x), E::Constant(scale)));
        }
        let signed = match optional(node, 2).map(|zero| self.value(zero)).transpose()? {
            Some(Value::Constant(zero)) if zero.datum_type().unquantized() == DatumType::I8 => true,
            Some(Value::Constant(zero)) if zero.datum_type().unquantized() == DatumType::U8 => false,
            None => false,
            Some(_) => return Err("only levels of 8 bits have a shader".to_owned()),
        };
        let (low, high) = if signed { (-128.0, 127.0) } else { (0.0, 255.0) };
        let rest = [scale, zero, low, high].map(E::Constant);
        self.applied(node, name, |x| E::call("level", std::iter::once(x).chain(rest)))
    }

    /// A sum, difference, product or quotient: within one value where both sides are functions of it.
    pub(super) fn binary(&mut self, node: &NodeProto, operator: char, text: &'static str) -> Planned<()> {
        let (left, right) = (input(node, 0)?, input(node, 1)?);
        let single = |value: &Value| match value {
            Value::Constant(tensor) if tensor.len() == 1 => floats(tensor).ok().map(|values| values[0]),
            _ => None,
        };
        let (l, r) = (self.value(left)?.clone(), self.value(right)?.clone());
        match (&l, &r) {
            (Value::Constant(_), Value::Constant(_)) => {}
            (_, constant) if single(constant).is_some() && l.rank() >= r.rank() => {
                let constant = Expression::Constant(single(constant).unwrap_or_default());
                return self.applied(node, left, |x| Expression::infix(operator, x, constant));
            }
            (constant, _) if single(constant).is_some() && r.rank() >= l.rank() => {
                let constant = Expression::Constant(single(constant).unwrap_or_default());
                return self.applied(node, right, |x| Expression::infix(operator, constant, x));
            }
            (
                Value::Lazy { id, shape, function },
                Value::Lazy { id: other, shape: same, function: second },
            ) if id == other && shape == same => {
                let function = Expression::infix(operator, function.clone(), second.clone());
                if !function.is_large() {
                    let value = Value::Lazy { id: *id, shape: shape.clone(), function };
                    self.set(output(node)?, value);
                    return Ok(());
                }
            }
            _ => {}
        }
        self.joined(node, left, right, Shader::Binary(text))
    }

    pub(super) fn prelu(&mut self, node: &NodeProto) -> Planned<()> {
        self.joined(node, input(node, 0)?, input(node, 1)?, Shader::Binary("leaky(l, r)"))
    }

    fn joined(&mut self, node: &NodeProto, left: &str, right: &str, shader: Shader) -> Planned<()> {
        let ((a, left), (b, right)) = (self.computed(left)?, self.computed(right)?);
        let shape = broadcast(&left, &right)?;
        let mut parameters = vec![shape.iter().product()];
        let padded = |shape: &[usize]| [vec![1; SIDES - shape.len()], shape.to_vec()].concat();
        let (sides, left, right) = (padded(&shape), padded(&left), padded(&right));
        let (from_left, from_right) = (strides(&left), strides(&right));
        for side in 0..SIDES {
            let stride = |length: usize, stride: usize| if length == 1 { 0 } else { stride };
            parameters.push(sides[side]);
            parameters.push(stride(left[side], from_left[side]));
            parameters.push(stride(right[side], from_right[side]));
        }
        self.step(node, shader, words(parameters)?, vec![a, b], &shape)
    }

    /// A factor and a summand a channel.
    pub(super) fn normalisation(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let read = |at| self.constant_floats(input(node, at)?);
        let (scale, shift, mean, variance) = (read(1)?, read(2)?, read(3)?, read(4)?);
        let shape = self.shape(input(node, 0)?)?;
        let channels = *shape.get(1).ok_or("an input without channels")?;
        if [&scale, &shift, &mean, &variance].iter().any(|values| values.len() != channels) {
            return Err(format!("statistics of {} values for {channels} channels", scale.len()));
        }
        let epsilon = attributes.float("epsilon", 1e-5);
        let factors: Vec<f32> = scale
            .iter()
            .zip(&variance)
            .map(|(scale, variance)| scale / (variance + epsilon).sqrt())
            .collect();
        let shifts: Vec<f32> = (0..channels).map(|c| shift[c] - mean[c] * factors[c]).collect();
        let mut sides = vec![1; shape.len() - 1];
        sides[0] = channels;
        let name = output(node)?.to_owned();
        for (part, values, shader) in [("factor", factors, "l * r"), ("summand", shifts, "l + r")] {
            let constant = format!("{name}/{part}");
            let tensor = Tensor::from_shape(&sides, &values).map_err(|error| format!("{error:#}"))?;
            self.set(&constant, Value::Constant(tensor));
            let left = if part == "factor" { input(node, 0)? } else { &name };
            self.joined(node, left, &constant, Shader::Binary(shader))?;
        }
        Ok(())
    }
}

impl Value {
    fn rank(&self) -> usize {
        match self {
            Self::Constant(tensor) => tensor.rank(),
            Self::Lazy { shape, .. } => shape.len(),
        }
    }
}

fn dequantised(tensor: &Tensor, axis: Option<usize>, scales: &[f32], zeros: &[f32]) -> Planned<Tensor> {
    let mut values = floats(tensor)?;
    let (length, repeats) = match axis {
        _ if scales.len() == 1 => (1, 1),
        Some(axis) if tensor.shape()[axis] == scales.len() => (scales.len(), strides(tensor.shape())[axis]),
        _ => return Err(format!("{} scales for weights of {:?}", scales.len(), tensor.shape())),
    };
    for (at, value) in values.iter_mut().enumerate() {
        let channel = at / repeats % length;
        *value = (*value - zeros[channel]) * scales[channel];
    }
    Tensor::from_shape(tensor.shape(), &values).map_err(|error| format!("{error:#}"))
}

/// Returns the shape in which both shapes are repeated to fit each other.
pub(super) fn broadcast(left: &[usize], right: &[usize]) -> Planned<Vec<usize>> {
    let rank = left.len().max(right.len());
    if rank > SIDES {
        return Err(format!("{rank} sides, and at most {SIDES} have a shader"));
    }
    let side = |shape: &[usize], at: usize| (at + shape.len()).checked_sub(rank).map_or(1, |at| shape[at]);
    let both = |at| match (side(left, at), side(right, at)) {
        (left, right) if left == right => Ok(left),
        (1, side) | (side, 1) => Ok(side),
        _ => Err(format!("{left:?} and {right:?} do not fit each other")),
    };
    (0..rank).map(both).collect()
}
