//! What keyword models hear of a clip: logarithmic mel spectra and cepstra, as their authors compute them.

use std::f64::consts::PI;
use std::ops::Range;
use std::path::Path;

const RATE: usize = 16_000;
const FFT: usize = 512;
const BINS: usize = FFT / 2 + 1;
/// Added before a logarithm, by both.
const FLOOR: f64 = 1e-6;

/// One second of sound at 16 kHz, from -1 to 1.
pub(crate) struct Clip(Vec<f64>);

impl Clip {
    /// Reads a WAV file of 16-bit mono at 16 kHz; it is cut or padded with silence to a second.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let complain = |reason: &str| format!("{}: {reason}", path.display());
        let wav = std::fs::read(path).map_err(|error| complain(&error.to_string()))?;
        let data = chunk(&wav, b"data").ok_or_else(|| complain("no WAV file"))?;
        // Format 1 (PCM), 1 channel, 16 000 a second … 16 bits each (RIFF "fmt " chunk).
        let format = chunk(&wav, b"fmt ").filter(|format| format.len() >= 16);
        let is_known =
            |format: &[u8]| format[..8] == [1, 0, 1, 0, 0x80, 0x3e, 0, 0] && format[14..16] == [16, 0];
        if !format.is_some_and(is_known) {
            return Err(complain("not 16-bit mono at 16 kHz"));
        }
        let samples = data.as_chunks().0.iter().map(|bytes| f64::from(i16::from_le_bytes(*bytes)) / 32768.0);
        let mut samples: Vec<f64> = samples.collect();
        samples.resize(RATE, 0.0);
        Ok(Self(samples))
    }

    /// Moonshine's spelling nets: 64 Slaney mels from 20 to 8000 Hz × 128 frames of 512 samples each 125,
    /// reflected at the ends; the logarithm of the power, brought to mean 0 and deviation 1.
    pub(crate) fn log_mel(&self) -> Vec<f32> {
        const FRAMES: usize = 128;
        const MELS: usize = 64;
        let half = FFT / 2;
        let before = self.0[1..=half].iter().rev();
        let after = self.0[RATE - half - 1..RATE - 1].iter().rev();
        let padded: Vec<f64> = before.chain(&self.0).chain(after).copied().collect();
        let spectra = magnitudes(&padded, FFT, 125, FRAMES);
        let filters = filters(MELS, 20.0..8000.0, |hertz| hertz, slaney, slaney_hertz, true);

        let mut values = vec![0.0; MELS * FRAMES];
        for (frame, spectrum) in spectra.iter().enumerate() {
            for (mel, filter) in filters.iter().enumerate() {
                let power: f64 = filter.iter().zip(spectrum).map(|(weight, size)| weight * size * size).sum();
                values[mel * FRAMES + frame] = (power + FLOOR).ln();
            }
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        values.iter().map(|value| ((value - mean) / variance.sqrt()) as f32).collect()
    }

    /// MLPerf Tiny's keyword spotting (`get_dataset.py`): the clip brought to peak 1, 49 frames of 30 ms each
    /// 20 ms, 40 HTK mels of the magnitude from 20 to 4000 Hz, the first 10 cepstral coefficients.
    pub(crate) fn mfcc(&self) -> Vec<f32> {
        const FRAMES: usize = 49;
        const MELS: usize = 40;
        const COEFFICIENTS: usize = 10;
        let peak = self.0.iter().copied().fold(f64::MIN_POSITIVE, f64::max);
        let samples: Vec<f64> = self.0.iter().map(|sample| sample / peak).collect();
        let spectra = magnitudes(&samples, 480, 320, FRAMES);
        // TensorFlow's triangles are straight in mels, Slaney's in hertz.
        let filters = filters(MELS, 20.0..4000.0, htk, htk, |mel| mel, false);

        let mut values = Vec::with_capacity(FRAMES * COEFFICIENTS);
        for spectrum in &spectra {
            let energy = |filter: &Vec<f64>| -> f64 {
                // Its bin 0, the constant part, belongs to no mel.
                filter.iter().zip(spectrum).skip(1).map(|(weight, size)| weight * size).sum()
            };
            let logs: Vec<f64> = filters.iter().map(|filter| (energy(filter) + FLOOR).ln()).collect();
            for coefficient in 0..COEFFICIENTS {
                let turn = PI * coefficient as f64 / MELS as f64;
                let waves = logs.iter().enumerate().map(|(mel, log)| log * (turn * (mel as f64 + 0.5)).cos());
                values.push((2.0 * waves.sum::<f64>() / (2.0 * MELS as f64).sqrt()) as f32);
            }
        }
        values
    }
}

/// Returns the content of a RIFF file's first chunk of a name.
fn chunk<'a>(riff: &'a [u8], name: &[u8; 4]) -> Option<&'a [u8]> {
    let mut rest = riff.get(12..)?;
    loop {
        let (head, tail) = rest.split_first_chunk::<8>()?;
        let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if head[..4] == *name {
            return tail.get(..size);
        }
        rest = tail.get(size + size % 2..)?;
    }
}

/// Returns the magnitudes of the bins 0 to `FFT` / 2 of each frame under a periodic Hann window. A plain Fourier
/// sum: quick enough for a few hundred clips.
fn magnitudes(samples: &[f64], length: usize, hop: usize, frames: usize) -> Vec<Vec<f64>> {
    let circle: Vec<(f64, f64)> =
        (0..FFT).map(|step| (2.0 * PI * step as f64 / FFT as f64).sin_cos()).collect();
    let window: Vec<f64> =
        (0..length).map(|at| 0.5 - 0.5 * (2.0 * PI * at as f64 / length as f64).cos()).collect();
    let spectrum = |frame: usize| {
        let frame: Vec<f64> =
            samples[frame * hop..][..length].iter().zip(&window).map(|(a, b)| a * b).collect();
        let bin = |bin: usize| {
            let (mut real, mut imaginary) = (0.0, 0.0);
            for (at, sample) in frame.iter().enumerate() {
                let (sin, cos) = circle[at * bin % FFT];
                real += sample * cos;
                imaginary += sample * sin;
            }
            f64::hypot(real, imaginary)
        };
        (0..BINS).map(bin).collect()
    };
    (0..frames).map(spectrum).collect()
}

/// Returns triangular filters over the bins, evenly spaced in mels. `axis` is the scale that their sides are
/// straight on, `to_axis` leads there from mels; with `equal_area` each is divided by half its width.
fn filters(
    count: usize,
    hertz: Range<f64>,
    axis: fn(f64) -> f64,
    to_mel: fn(f64) -> f64,
    to_axis: fn(f64) -> f64,
    equal_area: bool,
) -> Vec<Vec<f64>> {
    let (low, high) = (to_mel(hertz.start), to_mel(hertz.end));
    let corner = |at: usize| to_axis(low + (high - low) * at as f64 / (count + 1) as f64);
    let corners: Vec<f64> = (0..count + 2).map(corner).collect();
    let bins: Vec<f64> = (0..BINS).map(|bin| axis((bin * RATE) as f64 / FFT as f64)).collect();
    let filter = |sides: &[f64]| {
        let height = if equal_area { 2.0 / (sides[2] - sides[0]) } else { 1.0 };
        let weight = |&bin: &f64| {
            let (rise, fall) =
                ((bin - sides[0]) / (sides[1] - sides[0]), (sides[2] - bin) / (sides[2] - sides[1]));
            height * rise.min(fall).max(0.0)
        };
        bins.iter().map(weight).collect()
    };
    corners.windows(3).map(filter).collect()
}

/// Slaney 1998, "Auditory Toolbox": linear to 1000 Hz, logarithmic above.
fn slaney(hertz: f64) -> f64 {
    if hertz < 1000.0 { hertz * 3.0 / 200.0 } else { 15.0 + 27.0 * (hertz / 1000.0).ln() / 6.4_f64.ln() }
}

fn slaney_hertz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) * 6.4_f64.ln() / 27.0).exp() }
}

/// The scale of the Hidden Markov Model Toolkit.
fn htk(hertz: f64) -> f64 {
    1127.0 * (1.0 + hertz / 700.0).ln()
}
