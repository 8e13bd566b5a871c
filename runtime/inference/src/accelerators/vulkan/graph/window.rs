//! Convolutions, pools, means, softmax and products of matrices.

use tract_onnx::pb::NodeProto;

use super::{Planned, Walk, input, optional, output, strides, words};
use crate::accelerators::vulkan::plan::Shader;
use crate::attributes::Attributes;

/// How a window moves over a picture: rows, then columns.
struct Window {
    length: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// Above, left, below, right.
    padding: [usize; 4],
}

impl Window {
    fn read(attributes: Attributes<'_>, length: [usize; 2], picture: [usize; 2]) -> Planned<Self> {
        let pair = |name: &str| -> Planned<[usize; 2]> {
            let sizes = attributes.sizes(name).unwrap_or_else(|| vec![1, 1]);
            let pair: [usize; 2] = sizes.try_into().map_err(|_| format!("{name} must be two"))?;
            if pair.contains(&0) { Err(format!("{name} must be above 0")) } else { Ok(pair) }
        };
        if attributes.int("ceil_mode", 0) != 0 {
            return Err("rounding sides up has no shader".to_owned());
        }
        let padding = attributes.sizes("pads").unwrap_or_else(|| vec![0; 4]);
        let padding = padding.try_into().map_err(|_| "padding must be four".to_owned())?;
        let given = Self { length, stride: pair("strides")?, dilation: pair("dilations")?, padding };
        match attributes.text("auto_pad") {
            "" | "NOTSET" => Ok(given),
            "VALID" => Ok(Self { padding: [0; 4], ..given }),
            "SAME_UPPER" => Ok(given.same(picture, |total| total / 2)),
            "SAME_LOWER" => Ok(given.same(picture, |total| total.div_ceil(2))),
            other => Err(format!("the padding {other:?} has no shader")),
        }
    }

    /// Pads so that a stride of 1 keeps the picture's sides; `before` is the part above and left.
    fn same(self, picture: [usize; 2], before: impl Fn(usize) -> usize) -> Self {
        let total = |side: usize| {
            let places = picture[side].div_ceil(self.stride[side]);
            ((places - 1) * self.stride[side] + self.reach(side)).saturating_sub(picture[side])
        };
        let [high, wide] = [total(0), total(1)];
        Self { padding: [before(high), before(wide), high - before(high), wide - before(wide)], ..self }
    }

    fn reach(&self, side: usize) -> usize {
        self.dilation[side] * (self.length[side] - 1) + 1
    }

    /// Returns the sides of what the window gives on a picture.
    fn sides(&self, picture: [usize; 2]) -> Planned<[usize; 2]> {
        let side = |at: usize| {
            let padded = picture[at] + self.padding[at] + self.padding[at + 2];
            let places = padded.checked_sub(self.reach(at)).map(|rest| rest / self.stride[at] + 1);
            places.ok_or_else(|| format!("a window of {:?} on {picture:?}", self.length))
        };
        Ok([side(0)?, side(1)?])
    }

    /// Returns the sides of what a transposed convolution gives.
    fn transposed_sides(&self, picture: [usize; 2], extra: [usize; 2]) -> Planned<[usize; 2]> {
        let side = |at: usize| {
            let spread = (picture[at] - 1) * self.stride[at] + self.reach(at) + extra[at];
            let side = spread.checked_sub(self.padding[at] + self.padding[at + 2]);
            side.filter(|side| *side > 0).ok_or_else(|| format!("padding {:?} on {picture:?}", self.padding))
        };
        Ok([side(0)?, side(1)?])
    }

    /// What every shader with a window reads, after the count.
    fn parameters(&self, from: [usize; 3], to: [usize; 3]) -> Vec<usize> {
        let [above, left, ..] = self.padding;
        [&from[..], &to, &self.length, &self.stride, &[above, left], &self.dilation].concat()
    }
}

impl Walk {
    pub(super) fn convolution(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let weights = self.constant_floats(input(node, 1)?)?;
        let (kernel, shape) = (self.shape(input(node, 1)?)?, self.shape(input(node, 0)?)?);
        let (&[channels, group, rows, columns], &[batch, inputs, high, wide]) =
            (kernel.as_slice(), shape.as_slice())
        else {
            return Err(format!("weights of {kernel:?} on {shape:?}; only pictures have a shader"));
        };
        let groups = usize::try_from(attributes.int("group", 1)).unwrap_or(0);
        if groups == 0 || group * groups != inputs || channels % groups != 0 || weights.is_empty() {
            return Err(format!("weights of {kernel:?} in {groups} groups on {shape:?}"));
        }
        let window = Window::read(attributes, [rows, columns], [high, wide])?;
        let sides = window.sides([high, wide])?;
        let pixels = sides[0] * sides[1];
        let from = [inputs, high, wide];
        let mut parameters = window.parameters(from, [channels, sides[0], sides[1]]);
        let made = [batch, channels, sides[0], sides[1]];
        let bias = self.bias(node, channels)?;
        let (source, _) = self.computed(input(node, 0)?)?;
        if groups > 1 {
            parameters.insert(0, batch * channels * pixels);
            parameters.extend([group, channels / groups]);
            let reads = vec![source, self.plan.constant(weights), bias];
            return self.step(node, Shader::Grouped, words(parameters)?, reads, &made);
        }
        parameters.insert(0, batch * channels.div_ceil(4) * pixels.div_ceil(4));
        let is_point = [rows, columns] == [1, 1] && window.stride == [1, 1] && window.padding == [0; 4];
        let shader = if is_point { Shader::Pointwise } else { Shader::Convolve };
        let reads = vec![source, self.plan.constant(in_fours(&weights, channels)), bias];
        self.step(node, shader, words(parameters)?, reads, &made)
    }

    pub(super) fn transposed_convolution(
        &mut self,
        node: &NodeProto,
        attributes: Attributes<'_>,
    ) -> Planned<()> {
        let weights = self.constant_floats(input(node, 1)?)?;
        let (kernel, shape) = (self.shape(input(node, 1)?)?, self.shape(input(node, 0)?)?);
        let (&[inputs, group, rows, columns], &[batch, given, high, wide]) =
            (kernel.as_slice(), shape.as_slice())
        else {
            return Err(format!("weights of {kernel:?} on {shape:?}; only pictures have a shader"));
        };
        let groups = usize::try_from(attributes.int("group", 1)).unwrap_or(0);
        if inputs != given || groups == 0 || inputs % groups != 0 || weights.is_empty() {
            return Err(format!("weights of {kernel:?} in {groups} groups on {shape:?}"));
        }
        if attributes.sizes("output_shape").is_some() {
            return Err("a given output shape has no shader".to_owned());
        }
        if !["", "NOTSET"].contains(&attributes.text("auto_pad")) {
            return Err("padding that is not given has no shader".to_owned());
        }
        let window = Window::read(attributes, [rows, columns], [high, wide])?;
        let extra = attributes.sizes("output_padding").unwrap_or_else(|| vec![0, 0]);
        let extra = extra.try_into().map_err(|_| "output_padding must be two".to_owned())?;
        let sides = window.transposed_sides([high, wide], extra)?;
        let channels = group * groups;
        let mut parameters = vec![batch * channels * sides[0] * sides[1]];
        parameters.extend(window.parameters([inputs, high, wide], [channels, sides[0], sides[1]]));
        parameters.extend([inputs / groups, group]);
        let bias = self.bias(node, channels)?;
        let (source, _) = self.computed(input(node, 0)?)?;
        let reads = vec![source, self.plan.constant(weights), bias];
        self.step(node, Shader::Transposed, words(parameters)?, reads, &[batch, channels, sides[0], sides[1]])
    }

    fn bias(&mut self, node: &NodeProto, channels: usize) -> Planned<usize> {
        let bias = match optional(node, 2) {
            Some(name) => self.constant_floats(name)?,
            None => vec![0.0; channels],
        };
        if bias.len() != channels {
            return Err(format!("{} biases for {channels} channels", bias.len()));
        }
        Ok(self.plan.constant(bias))
    }

    pub(super) fn pool(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let (source, shape) = self.computed(input(node, 0)?)?;
        let &[batch, channels, high, wide] = shape.as_slice() else {
            return Err(format!("on {shape:?}; only pictures have a shader"));
        };
        let length = attributes.sizes("kernel_shape").and_then(|sizes| <[usize; 2]>::try_from(sizes).ok());
        let length =
            length.filter(|length| !length.contains(&0)).ok_or("a window of two sides is missing")?;
        let window = Window::read(attributes, length, [high, wide])?;
        let sides = window.sides([high, wide])?;
        let planes = batch * channels;
        let mut parameters = vec![planes * sides[0] * sides[1]];
        parameters.extend(window.parameters([planes, high, wide], [0, sides[0], sides[1]]));
        parameters.push(match (node.op_type.as_str(), attributes.int("count_include_pad", 0)) {
            ("MaxPool", _) => 0,
            (_, 0) => 1,
            _ => 2,
        });
        let made = [batch, channels, sides[0], sides[1]];
        self.step(node, Shader::Pool, words(parameters)?, vec![source], &made)
    }

    /// A mean over neighbouring sides is one over a single side of their length.
    pub(super) fn mean(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let (source, shape) = self.computed(input(node, 0)?)?;
        let rank = shape.len() as i64;
        let axes: Vec<i64> = match (node.op_type.as_str(), optional(node, 1)) {
            ("GlobalAveragePool", _) => (2..rank).collect(),
            (_, Some(name)) => self.constant_integers(name)?,
            (_, None) => attributes.integers("axes").unwrap_or_else(|| (0..rank).collect()),
        };
        let from_front = |axis: i64| usize::try_from(if axis < 0 { axis + rank } else { axis }).ok();
        let mut axes: Vec<usize> =
            axes.into_iter().map(from_front).collect::<Option<_>>().ok_or("axes out of range")?;
        axes.sort_unstable();
        let is_row = axes.windows(2).all(|pair| pair[0] + 1 == pair[1]);
        let (Some(&first), Some(&last)) = (axes.first(), axes.last()) else {
            return Err("no axes".to_owned());
        };
        if !is_row || last >= shape.len() {
            return Err(format!("a mean over the sides {axes:?} of {shape:?} has no shader"));
        }
        let length: usize = shape[first..=last].iter().product();
        let stride = strides(&shape)[last];
        let lines = shape.iter().product::<usize>() / length;
        let keep = node.op_type == "GlobalAveragePool" || attributes.int("keepdims", 1) != 0;
        let mut made = shape;
        if keep {
            made[first..=last].fill(1);
        } else {
            made.drain(first..=last);
        }
        self.step(node, Shader::Mean, words([lines, length, stride])?, vec![source], &made)
    }

    /// Before opset 13 a softmax went over all sides from its axis on.
    pub(super) fn softmax(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        let (source, shape) = self.computed(input(node, 0)?)?;
        let default = if self.opset < 13 { 1 } else { -1 };
        let axis = attributes.axis("axis", default, shape.len()).ok_or("its axis is out of range")?;
        let (length, stride) = if self.opset < 13 {
            (shape[axis..].iter().product(), 1)
        } else {
            (shape[axis], strides(&shape)[axis])
        };
        let lines = shape.iter().product::<usize>() / length;
        self.step(node, Shader::Softmax, words([lines, length, stride])?, vec![source], &shape)
    }

    pub(super) fn product(&mut self, node: &NodeProto) -> Planned<()> {
        let ((a, left), (b, right)) = (self.computed(input(node, 0)?)?, self.computed(input(node, 1)?)?);
        let wrong = || format!("{left:?} times {right:?} has no shader");
        let (&[rows, length], &[inner, columns]) =
            (left.last_chunk::<2>().ok_or_else(wrong)?, right.last_chunk::<2>().ok_or_else(wrong)?);
        let (stack, other) = (&left[..left.len() - 2], &right[..right.len() - 2]);
        let (count, others) = (stack.iter().product::<usize>(), other.iter().product::<usize>());
        // Either both are stacks of the same shape, or one is a single matrix.
        if length != inner || !(stack == other || count == 1 || others == 1) {
            return Err(wrong());
        }
        let matrices = count.max(others);
        let step = |count: usize, size: usize| if count == 1 { 0 } else { size };
        let parameters = words([
            matrices * rows * columns,
            rows,
            columns,
            length,
            step(count, rows * length),
            length,
            1,
            step(others, length * columns),
            columns,
            1,
        ])?;
        let mut made =
            if stack.len() >= other.len() && count >= others { stack.to_vec() } else { other.to_vec() };
        made.extend([rows, columns]);
        self.step(node, Shader::Product, parameters, vec![a, b], &made)
    }

    pub(super) fn gemm(&mut self, node: &NodeProto, attributes: Attributes<'_>) -> Planned<()> {
        if attributes.float("alpha", 1.0) != 1.0 || attributes.float("beta", 1.0) != 1.0 {
            return Err("factors other than 1 have no shader".to_owned());
        }
        let ((a, left), (b, right)) = (self.computed(input(node, 0)?)?, self.computed(input(node, 1)?)?);
        let (&[high, wide], &[tall, broad]) = (left.as_slice(), right.as_slice()) else {
            return Err(format!("{left:?} times {right:?} has no shader"));
        };
        let is_turned = |name| attributes.int(name, 0) != 0;
        let (rows, length, row, along) =
            if is_turned("transA") { (wide, high, 1, wide) } else { (high, wide, wide, 1) };
        let (inner, columns, down, column) =
            if is_turned("transB") { (broad, tall, 1, broad) } else { (tall, broad, broad, 1) };
        if inner != length {
            return Err(format!("{left:?} times {right:?}"));
        }
        let parameters = words([rows * columns, rows, columns, length, 0, row, along, 0, down, column])?;
        let Some(summand) = optional(node, 2) else {
            return self.step(node, Shader::Product, parameters, vec![a, b], &[rows, columns]);
        };
        let product = format!("{}/product", output(node)?);
        let inner = NodeProto { output: vec![product.clone()], ..node.clone() };
        self.step(&inner, Shader::Product, parameters, vec![a, b], &[rows, columns])?;
        let sum = NodeProto { input: vec![product, summand.to_owned()], ..node.clone() };
        self.binary(&sum, '+', "l + r")
    }
}

/// Puts the weights of four channels beside each other; channels that are missing are 0.
fn in_fours(weights: &[f32], channels: usize) -> Vec<f32> {
    let each = weights.len() / channels;
    let mut fours = vec![0.0; channels.div_ceil(4) * 4 * each];
    for (channel, weights) in weights.chunks_exact(each).enumerate() {
        for (at, &weight) in weights.iter().enumerate() {
            fours[(channel / 4 * each + at) * 4 + channel % 4] = weight;
        }
    }
    fours
}
