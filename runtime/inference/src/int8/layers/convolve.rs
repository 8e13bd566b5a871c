//! Convolutions and linear layers.

use std::sync::Arc;

use tract_onnx::tract_core::internal::{
    DatumType, DimLike as _, TDim, TValue, TVec, Tensor, TractResult, ensure,
};

use super::super::conv::{Convolution, RowsOut, Scaling};
use super::super::depthwise::Depthwise;
use super::super::kernels::{self, Activation, Isa, Rounding, unwritten};
use super::super::pool::{FEW_ROWS, MOVED, for_columns, for_pictures, for_rows, parts};
use super::{Layer, dims, expect, floats, levels, sides};

/// What becomes of the sums.
#[derive(Clone, Debug)]
pub(crate) enum Finish {
    /// Levels, looked up in a table where an activation is merged in.
    Levels(Rounding, Option<Box<[u8; 256]>>),
    /// Numbers, with a spread addend, within bounds.
    Floats(Vec<f32>, [f32; 2]),
}

/// A convolution (or a linear layer: rows of one pixel's width) with known quantisation.
#[derive(Clone, Debug)]
pub(crate) struct Convolve {
    pub(crate) convolution: Arc<Convolution>,
    pub(crate) scaling: Scaling,
    pub(crate) finish: Finish,
    /// Rows and columns of the input.
    pub(crate) size: [usize; 2],
    /// Shape of the input's memory, its last side the channels.
    pub(crate) input: Vec<usize>,
    /// Shape of the output's memory.
    pub(crate) shape: Vec<usize>,
}

impl Layer for Convolve {
    fn name(&self) -> &'static str {
        if self.convolution.window().is_point() { "Int8Conv1x1" } else { "Int8Conv" }
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        expect(&sides(&inputs[0].1)?, &self.input)?;
        let datum = match self.finish {
            Finish::Levels(..) => DatumType::U8,
            Finish::Floats(..) => DatumType::F32,
        };
        Ok((datum, dims(&self.shape)))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = levels(&inputs[0])?;
        let isa = Isa::best();
        let rows = self.convolution.window().output(self.size).map_or(0, |[rows, _]| rows);
        let pictures = self.pictures();
        let work = self.macs(&[]) / pictures.max(1) as u64;
        match &self.finish {
            Finish::Levels(rounding, table) => {
                let mut output = unwritten::<u8>(&self.shape)?;
                let mut view = output.try_as_plain_ram_mut()?;
                for_pictures(pictures, input, view.as_slice_mut::<u8>()?, |input, output| {
                    for_rows(rows, output, work, |rows, part| {
                        let out = RowsOut::Quantised(&mut *part, *rounding);
                        self.convolution.run(isa, input, self.size, &self.scaling, rows, out);
                        if let Some(table) = table {
                            kernels::look_up_in_place(isa, table, part);
                        }
                    });
                });
                Ok(output)
            }
            Finish::Floats(addend, [low, high]) => {
                let mut output = unwritten::<f32>(&self.shape)?;
                let mut view = output.try_as_plain_ram_mut()?;
                for_pictures(pictures, input, view.as_slice_mut::<f32>()?, |input, output| {
                    for_rows(rows, output, work, |rows, part| {
                        let out = RowsOut::Float(&mut *part, addend, None);
                        self.convolution.run(isa, input, self.size, &self.scaling, rows, out);
                        if *low > f32::NEG_INFINITY || *high < f32::INFINITY {
                            part.iter_mut().for_each(|value| *value = value.clamp(*low, *high));
                        }
                    });
                });
                Ok(output)
            }
        }
    }

    fn with_table(&self, table: &[u8; 256]) -> Option<Arc<dyn Layer>> {
        let Finish::Levels(rounding, None) = self.finish else { return None };
        Some(Arc::new(Self { finish: Finish::Levels(rounding, Some(Box::new(*table))), ..self.clone() }))
    }

    fn macs(&self, _: &[&[usize]]) -> u64 {
        let outputs: usize = self.shape.iter().product();
        (outputs * self.convolution.depth()) as u64
    }
}

impl Convolve {
    /// Returns how many pictures an input holds; rows without columns are one.
    fn pictures(&self) -> usize {
        if self.input.len() == 4 { self.input[0] } else { 1 }
    }
}

/// A depthwise convolution with known quantisation.
#[derive(Clone, Debug)]
pub(crate) struct ConvolveDepthwise {
    pub(crate) depthwise: Arc<Depthwise>,
    pub(crate) scaling: Scaling,
    pub(crate) rounding: Rounding,
    pub(crate) table: Option<Box<[u8; 256]>>,
    pub(crate) size: [usize; 2],
    pub(crate) shape: Vec<usize>,
}

impl Layer for ConvolveDepthwise {
    fn name(&self) -> &'static str {
        "Int8ConvDepthwise"
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        let [height, width] = self.size;
        expect(&sides(&inputs[0].1)?, &[self.shape[0], height, width, self.depthwise.channels()])?;
        Ok((DatumType::U8, dims(&self.shape)))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = levels(&inputs[0])?;
        let mut output = unwritten::<u8>(&self.shape)?;
        let rows = self.depthwise.window().output(self.size).map_or(0, |[rows, _]| rows);
        let work = self.macs(&[]) * MOVED / self.shape[0].max(1) as u64;
        let mut view = output.try_as_plain_ram_mut()?;
        for_pictures(self.shape[0], input, view.as_slice_mut::<u8>()?, |input, output| {
            for_rows(rows, output, work, |rows, part| {
                self.depthwise.run(input, self.size, &self.scaling, self.rounding, rows, part);
                if let Some(table) = &self.table {
                    kernels::look_up_in_place(Isa::best(), table, part);
                }
            });
        });
        Ok(output)
    }

    fn with_table(&self, table: &[u8; 256]) -> Option<Arc<dyn Layer>> {
        let merged = Self { table: Some(Box::new(*table)), ..self.clone() };
        self.table.is_none().then(|| Arc::new(merged) as Arc<dyn Layer>)
    }

    fn macs(&self, _: &[&[usize]]) -> u64 {
        let outputs: usize = self.shape.iter().product();
        (outputs * self.depthwise.window().taps()) as u64
    }
}

/// A convolution or linear layer whose input is quantised anew at each run: the second input is scale and zero
/// point. With rows open: a linear layer, whose input's last side alone is known.
#[derive(Clone, Debug)]
pub(crate) struct ConvolveDynamic {
    pub(crate) convolution: Arc<Convolution>,
    /// Sum of each output channel's weights.
    pub(crate) sums: Vec<i32>,
    /// Scale of each output channel's weights.
    pub(crate) scales: Vec<f32>,
    /// Spread over the packed columns.
    pub(crate) addend: Vec<f32>,
    /// A linear layer leaves rows open; a convolution has rows and columns.
    pub(crate) size: Option<[usize; 2]>,
    pub(crate) activation: Option<Activation>,
}

impl ConvolveDynamic {
    /// Computes a linear layer in parts, each with its columns for all rows.
    fn by_columns(
        &self,
        input: &[u8],
        rows: usize,
        scaling: &Scaling,
        shape: &[usize],
        parts: usize,
    ) -> TractResult<Tensor> {
        let panels = self.convolution.panels();
        let mut output = unwritten::<f32>(shape)?;
        let mut view = output.try_as_plain_ram_mut()?;
        let all = self.convolution.output_channels();
        for_columns(parts, all, view.as_slice_mut()?, |part| {
            let panels = panels * part / parts..panels * (part + 1) / parts;
            let columns = self.convolution.columns(&panels);
            let mut output = vec![0.0; rows * columns.len()];
            let out = RowsOut::Float(&mut output, &self.addend, self.activation);
            self.convolution.run_panels(Isa::best(), input, scaling, panels, out);
            (columns, output)
        });
        Ok(output)
    }

    fn shape(&self, input: &[TDim]) -> TractResult<TVec<TDim>> {
        let channels = self.convolution.output_channels();
        match self.size {
            Some(size) => {
                let [rows, columns] = self.convolution.window().output(size).unwrap_or_default();
                Ok(dims(&[1, rows, columns, channels]))
            }
            None => {
                let mut shape: TVec<TDim> = input.into();
                let last = shape.last_mut().filter(|last| {
                    last.to_usize().is_ok_and(|last| last == self.convolution.input_channels())
                });
                ensure!(
                    last.is_some(),
                    "a layer for {} channels got {input:?}",
                    self.convolution.input_channels()
                );
                if let Some(last) = last {
                    *last = TDim::from(channels as i64);
                }
                Ok(shape)
            }
        }
    }
}

impl Layer for ConvolveDynamic {
    fn name(&self) -> &'static str {
        if self.size.is_some() { "Int8ConvDynamic" } else { "Int8LinearDynamic" }
    }

    fn output(&self, inputs: &[(DatumType, TVec<TDim>)]) -> TractResult<(DatumType, TVec<TDim>)> {
        Ok((DatumType::F32, self.shape(&inputs[0].1)?))
    }

    fn run(&self, inputs: &[TValue]) -> TractResult<Tensor> {
        let input = levels(&inputs[0])?;
        let &[scale, zero_point] = floats(&inputs[1])? else {
            tract_onnx::tract_core::internal::bail!("a dynamic layer needs scale and zero point");
        };
        let bias: Vec<i32> = self.sums.iter().map(|sum| -(zero_point as i32) * sum).collect();
        let multiplier: Vec<f32> = self.scales.iter().map(|weight| weight * scale).collect();
        let scaling = Scaling {
            bias: self.convolution.spread(&bias),
            multiplier: self.convolution.spread(&multiplier),
            fill: zero_point as u8,
        };
        let shape = sides(&self.shape(&dims(inputs[0].shape()))?)?;
        let size = self.size.unwrap_or([1, input.len() / self.convolution.input_channels().max(1)]);
        let work = self.macs(&[inputs[0].shape()]);
        let parts = parts(work).min(self.convolution.panels());
        if self.size.is_none() && size[1] <= FEW_ROWS && parts > 1 {
            return self.by_columns(input, size[1], &scaling, &shape, parts);
        }
        // A linear layer's rows are its pixels: any cut between them will do.
        let (rows, size_of_one) = match self.size {
            Some(size) => (self.convolution.window().output(size).map_or(0, |[rows, _]| rows), size),
            None => (size[1], [size[1], 1]),
        };
        let mut output = unwritten::<f32>(&shape)?;
        for_rows(
            rows,
            output.try_as_plain_ram_mut()?.as_slice_mut::<f32>()?,
            self.macs(&[inputs[0].shape()]),
            |rows, part| {
                let out = RowsOut::Float(part, &self.addend, self.activation);
                self.convolution.run(Isa::best(), input, size_of_one, &scaling, rows, out);
            },
        );
        Ok(output)
    }

    fn with_activation(&self, activation: Activation) -> Option<Arc<dyn Layer>> {
        let with = Self { activation: Some(activation), ..self.clone() };
        self.activation.is_none().then(|| Arc::new(with) as Arc<dyn Layer>)
    }

    fn macs(&self, inputs: &[&[usize]]) -> u64 {
        let pixels = match self.size {
            Some(size) => self.convolution.window().output(size).unwrap_or_default().iter().product(),
            None => inputs[0].iter().product::<usize>() / self.convolution.input_channels().max(1),
        };
        (pixels * self.convolution.output_channels() * self.convolution.depth()) as u64
    }
}
