//! The detector's network, its weights as plain numbers, and its loss.

use burn::module::{Initializer, Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Device, Tensor, TensorData, activation};

use crate::target::Targets;

/// Size of the input in pixels: height, width.
pub(crate) const INPUT: [usize; 2] = [144, 192];
/// Cells of the output: rows, columns. One is 8 pixels of the input a side.
pub(crate) const GRID: [usize; 2] = [18, 24];
/// Classes of shape.
pub(crate) const SHAPES: usize = 5;
/// Classes of colour.
pub(crate) const COLOURS: usize = 6;
/// Objectness, shapes, colours, the centre's place in the cell, log of the size in cells.
pub(crate) const CHANNELS: usize = 1 + SHAPES + COLOURS + 4;

/// One convolution: all are followed by ReLU but the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Side of the kernel; the padding keeps the size.
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
}

const fn layer(inputs: usize, outputs: usize, kernel: usize, stride: usize) -> Layer {
    Layer { inputs, outputs, kernel, stride }
}

/// Plain 3×3 convolutions: depthwise ones are slow in today's INT8 runtimes. Each output sees 87 pixels of the input a
/// side, and the largest object has about 60.
pub(crate) const LAYERS: [Layer; 9] = [
    layer(3, 16, 3, 2),
    layer(16, 24, 3, 2),
    layer(24, 32, 3, 1),
    layer(32, 48, 3, 2),
    layer(48, 48, 3, 1),
    layer(48, 48, 3, 1),
    layer(48, 48, 3, 1),
    layer(48, 48, 3, 1),
    layer(48, CHANNELS, 1, 1),
];

/// The network as burn trains it.
#[derive(Module, Debug)]
pub(crate) struct Net {
    layers: Vec<Conv2d>,
}

/// Weights [out, in, kernel, kernel] and biases of one layer, row-major.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights {
    pub(crate) kernel: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

impl Net {
    /// Makes a network with He et al. 2015 weights from the device's seed.
    pub(crate) fn new(device: &Device) -> Self {
        let layers = LAYERS.iter().map(|layer| config(layer).init(device)).collect();
        let mut net = Self { layers };
        let mut weights = net.weights();
        for weights in &mut weights {
            weights.bias.fill(0.0);
        }
        let head = weights.last_mut().expect("a head");
        head.kernel.iter_mut().for_each(|v| *v *= 0.3);
        // One cell in a hundred has an object; starting there spares the first steps (Lin et al. 2017, §4.1).
        head.bias[0] = -4.6;
        net.set(&weights, device);
        net
    }

    /// Makes a network with known weights.
    pub(crate) fn with(weights: &[Weights], device: &Device) -> Self {
        let mut net = Self { layers: LAYERS.iter().map(|layer| config(layer).init(device)).collect() };
        net.set(weights, device);
        net
    }

    fn set(&mut self, weights: &[Weights], device: &Device) {
        for ((conv, layer), weights) in self.layers.iter_mut().zip(&LAYERS).zip(weights) {
            let shape = [layer.outputs, layer.inputs, layer.kernel, layer.kernel];
            let kernel = TensorData::new(weights.kernel.clone(), shape);
            let bias = TensorData::new(weights.bias.clone(), [layer.outputs]);
            conv.weight = Param::from_tensor(Tensor::from_data(kernel, device));
            conv.bias = Some(Param::from_tensor(Tensor::from_data(bias, device)));
        }
    }

    /// Returns the weights of all layers.
    pub(crate) fn weights(&self) -> Vec<Weights> {
        let plain = |data: TensorData| data.try_into_vec::<f32>().expect("f32 weights");
        let of = |conv: &Conv2d| Weights {
            kernel: plain(conv.weight.val().into_data()),
            bias: plain(conv.bias.as_ref().expect("a bias").val().into_data()),
        };
        self.layers.iter().map(of).collect()
    }

    /// Runs on pictures [batch, 3, 144, 192] of 0 to 1; returns [batch, 16, 18, 24].
    pub(crate) fn forward(&self, pictures: &Tensor<4>) -> Tensor<4> {
        self.activations(pictures).pop().expect("as many as layers")
    }

    /// Returns what comes out of every layer, after its ReLU.
    pub(crate) fn activations(&self, pictures: &Tensor<4>) -> Vec<Tensor<4>> {
        let mut outputs: Vec<Tensor<4>> = Vec::with_capacity(self.layers.len());
        for (i, conv) in self.layers.iter().enumerate() {
            let input = outputs.last().unwrap_or(pictures).clone();
            let output = conv.forward(input);
            outputs.push(if i + 1 == self.layers.len() { output } else { activation::relu(output) });
        }
        outputs
    }
}

fn config(layer: &Layer) -> Conv2dConfig {
    let pad = layer.kernel / 2;
    Conv2dConfig::new([layer.inputs, layer.outputs], [layer.kernel, layer.kernel])
        .with_stride([layer.stride, layer.stride])
        .with_padding(PaddingConfig2d::Explicit(pad, pad, pad, pad))
        .with_initializer(Initializer::KaimingNormal { gain: 2.0f64.sqrt(), fan_out_only: false })
}

/// Returns the loss of a batch, to be made small.
///
/// Objectness: penalty-reduced focal loss (Law and Deng 2018, §3.2) summed per object. Shape and colour:
/// cross entropy. Centre: squared error of the sigmoid. Size: absolute error of the logarithm.
pub(crate) fn loss(output: Tensor<4>, targets: &Targets, device: &Device) -> Tensor<1> {
    let plane = |channels: usize, values: &[f32]| -> Tensor<4> {
        let shape = [targets.batch, channels, GRID[0], GRID[1]];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
    };
    let objects = targets.objects.max(1.0);
    let cells = targets.weight.iter().sum::<f32>().max(1.0);

    let logits = output.clone().narrow(1, 0, 1);
    let p = activation::sigmoid(logits.clone());
    let log_p = activation::log_sigmoid(logits.clone());
    let log_not_p = log_p.clone() - logits;
    let found = (p.clone().neg() + 1.0).powi_scalar(2) * log_p * plane(1, &targets.peak);
    let quiet = p.powi_scalar(2) * log_not_p * plane(1, &targets.quiet);
    let objectness = (found + quiet).sum().neg() / objects;

    let weight = plane(1, &targets.weight);
    let entropy = |from: usize, classes: usize, hot: &[f32]| {
        let log = activation::log_softmax(output.clone().narrow(1, from, classes), 1);
        (log * plane(classes, hot)).sum().neg() / cells
    };
    let shape = entropy(1, SHAPES, &targets.shape);
    let colour = entropy(1 + SHAPES, COLOURS, &targets.colour);

    let boxes = 1 + SHAPES + COLOURS;
    let centre = activation::sigmoid(output.clone().narrow(1, boxes, 2)) - plane(2, &targets.centre);
    let centre = (centre.powi_scalar(2) * weight.clone()).sum() / cells;
    let size = (output.narrow(1, boxes + 2, 2) - plane(2, &targets.size)).abs();
    let size = (size * weight).sum() / cells;
    objectness + shape + colour + centre * 4.0 + size
}
