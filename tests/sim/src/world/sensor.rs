//! What a camera makes of a room: exposure, colour cast, blur and noise.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::canvas::{Canvas, Rgb};
use super::solid::LightFrom;

/// The light in a room and the camera's imperfections.
#[derive(Clone, Debug)]
pub(crate) struct Sensor {
    /// Where objects are lit from.
    pub(crate) light: LightFrom,
    gains: Rgb,
    /// Change of light across the frame: to the right, downwards.
    slope: [f32; 2],
    vignette: f32,
    /// Radius of the defocus, in pixels at 640×480.
    defocus: f32,
    /// Camera motion during the exposure, in pixels at 640×480.
    drift: [f32; 2],
    /// Standard deviation of the noise, of 1.
    noise: f32,
}

impl Sensor {
    pub(crate) fn random(rng: &mut ChaCha8Rng) -> Self {
        let exposure = match rng.random_range(0..10) {
            0..=1 => rng.random_range(0.34..0.6),
            2..=7 => rng.random_range(0.75..1.05),
            _ => rng.random_range(1.05..1.3f32),
        };
        let warm = rng.random_range(-0.10..0.10f32);
        let tint = rng.random_range(-0.04..0.04f32);
        let side = if rng.random_bool(0.5) { 1.0 } else { -1.0 };
        let light = [side * rng.random_range(0.25..0.8f32), rng.random_range(-0.9..-0.5), 0.65];
        let norm = light.iter().map(|v| v * v).sum::<f32>().sqrt();
        let shaken = rng.random_bool(0.25);
        let drift =
            if shaken { [rng.random_range(-7.0..7.0), rng.random_range(-3.0..3.0)] } else { [0.0; 2] };
        Self {
            light: light.map(|v| v / norm),
            gains: [1.0 + warm, 1.0 + tint, 1.0 - warm].map(|v| v * exposure),
            slope: [-side * rng.random_range(0.0..0.3f32), rng.random_range(-0.1..0.15)],
            vignette: rng.random_range(0.0..0.35),
            defocus: if rng.random_bool(0.3) { rng.random_range(0.8..3.2) } else { 0.0 },
            drift,
            // Dim light makes a sensor amplify, and with it its noise (Poisson: as the root).
            noise: rng.random_range(0.004..0.02f32) / exposure.sqrt(),
        }
    }

    /// Returns the bytes of the picture, red, green, blue; `shake` is the camera's motion in pixels at 640×480.
    pub(crate) fn develop(&self, mut canvas: Canvas, shake: [f32; 2], seed: u64) -> Vec<u8> {
        let to_pixels = canvas.width as f32 / 640.0;
        let radius = |room_pixels: f32| (room_pixels.abs() * to_pixels / 2.0).round() as usize;
        let defocus = radius(self.defocus * 2.0);
        // Twice a box is close to a disc; motion is a box along its axis.
        for radius in [defocus, defocus, radius(self.drift[0] + shake[0])] {
            blur_rows(&mut canvas, radius);
        }
        for radius in [defocus, defocus, radius(self.drift[1] + shake[1])] {
            blur_columns(&mut canvas, radius);
        }
        self.expose(&canvas, seed)
    }

    fn expose(&self, canvas: &Canvas, seed: u64) -> Vec<u8> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Sums of four bytes are close enough to a normal distribution; a table is faster than drawing.
        let table: [f32; 4096] = std::array::from_fn(|_| {
            let sum: i32 = rng.next_u32().to_le_bytes().iter().map(|&b| i32::from(b)).sum();
            (sum - 510) as f32 / 147.8 * self.noise * 255.0
        });
        let (w, h) = (canvas.width as f32, canvas.height as f32);
        let mut bytes = Vec::with_capacity(canvas.pixels.len() * 3);
        for (y, row) in canvas.pixels.chunks_exact(canvas.width).enumerate() {
            let v = y as f32 / h - 0.5;
            let mut at = rng.next_u32() as usize;
            for (x, pixel) in row.iter().enumerate() {
                let u = x as f32 / w - 0.5;
                let light = 1.0 + self.slope[0] * u + self.slope[1] * v - self.vignette * (u * u + v * v);
                for (value, gain) in pixel.iter().zip(self.gains) {
                    at += 1;
                    // A cast to u8 saturates.
                    bytes.push((value * gain * light * 255.0 + table[at % 4096] + 0.5) as u8);
                }
            }
        }
        bytes
    }
}

fn blur_rows(canvas: &mut Canvas, radius: usize) {
    if radius == 0 {
        return;
    }
    let width = canvas.width;
    let mut source = vec![[0.0; 3]; width];
    for row in canvas.pixels.chunks_exact_mut(width) {
        source.copy_from_slice(row);
        running_mean(width, radius, |x| source[x], |x, value| row[x] = value);
    }
}

fn blur_columns(canvas: &mut Canvas, radius: usize) {
    if radius == 0 {
        return;
    }
    let (width, height) = (canvas.width, canvas.height);
    let source = canvas.pixels.clone();
    let clamped = |y: isize| usize::try_from(y).unwrap_or(0).min(height - 1);
    let mut sums = vec![[0.0f32; 3]; width];
    let reach = radius as isize;
    for y in -reach..=reach {
        add(&mut sums, &source[clamped(y) * width..][..width], 1.0);
    }
    let share = 1.0 / (2 * radius + 1) as f32;
    for y in 0..height {
        for (pixel, sum) in canvas.pixels[y * width..][..width].iter_mut().zip(&sums) {
            *pixel = sum.map(|v| v * share);
        }
        let y = y as isize;
        add(&mut sums, &source[clamped(y + reach + 1) * width..][..width], 1.0);
        add(&mut sums, &source[clamped(y - reach) * width..][..width], -1.0);
    }
}

fn add(sums: &mut [Rgb], row: &[Rgb], sign: f32) {
    for (sum, pixel) in sums.iter_mut().zip(row) {
        for (s, v) in sum.iter_mut().zip(pixel) {
            *s += sign * v;
        }
    }
}

/// The mean over 2 × radius + 1 neighbours; beyond the ends the end repeats.
fn running_mean(length: usize, radius: usize, at: impl Fn(usize) -> Rgb, mut set: impl FnMut(usize, Rgb)) {
    let clamped = |x: isize| usize::try_from(x).unwrap_or(0).min(length - 1);
    let reach = radius as isize;
    let share = 1.0 / (2 * radius + 1) as f32;
    let mut sum = [0.0f32; 3];
    for x in -reach..=reach {
        let value = at(clamped(x));
        sum = std::array::from_fn(|i| sum[i] + value[i]);
    }
    for x in 0..length {
        set(x, sum.map(|v| v * share));
        let (enters, leaves) = (at(clamped(x as isize + reach + 1)), at(clamped(x as isize - reach)));
        sum = std::array::from_fn(|i| sum[i] + enters[i] - leaves[i]);
    }
}
