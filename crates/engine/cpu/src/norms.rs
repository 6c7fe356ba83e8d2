//! Layer, group, root-mean-square and batch normalisation.

use crate::memory::Memory;
use crate::quads;
use crate::rows::{PASS, sum};
use crate::simd::F4;
use crate::threads::{Rows, Scratch, in_parts};
use lichen_model::program::{
    BatchNormalize, BatchNormalizeBackward, BufferId, NormShape, Normalize, NormalizeBackward,
    NormalizeParameters,
};

#[expect(clippy::cast_precision_loss, reason = "rounding to single precision is meant")]
fn share(count: usize) -> f32 {
    1.0 / count as f32
}

/// Scales (or biases) of the elements of a row, written out.
fn spread(shape: &NormShape, row: usize, values: &[f32], to: &mut [f32]) {
    let first = row % shape.groups * (shape.width / shape.inner);
    if shape.inner == 1 {
        to.copy_from_slice(&values[first..first + shape.width]);
        return;
    }
    for (to, value) in to.chunks_exact_mut(shape.inner).zip(&values[first..]) {
        to.fill(*value);
    }
}

/// Sum of `(x − mean)²`.
fn squares(row: &[f32], mean: f32) -> f32 {
    let (mean4, mut total) = (F4::splat(mean), F4::splat(0.0));
    quads::visit([row], mean, |[x]| {
        let d = x - mean4;
        total = total + d * d;
    });
    total.sum()
}

pub(crate) fn normalize(kernel: &Normalize, memory: &mut Memory, scratch: &mut Scratch<Vec<f32>>) {
    let shape = &kernel.shape;
    let mut output = memory.take(kernel.output);
    let mut moments = memory.take(kernel.moments);
    let input = memory.get(kernel.input);
    let results = [Rows::new(&mut output, shape.width), Rows::new(&mut moments, 2)];
    in_parts(results, 3 * PASS * shape.width, scratch, |first, [output, moments], scratch| {
        scratch.resize(2 * shape.width, 0.0);
        let (scales, biases) = scratch.split_at_mut(shape.width);
        let rows =
            output.chunks_exact_mut(shape.width).zip(input[first * shape.width..].chunks_exact(shape.width));
        for (number, ((to, from), moments)) in rows.zip(moments.as_chunks_mut::<2>().0).enumerate() {
            if number < shape.groups || shape.groups > 1 {
                match kernel.scale {
                    Some(scale) => spread(shape, first + number, memory.get(scale), scales),
                    None => scales.fill(1.0),
                }
                match kernel.bias {
                    Some(bias) => spread(shape, first + number, memory.get(bias), biases),
                    None => biases.fill(0.0),
                }
            }
            let mean = if kernel.rms { 0.0 } else { sum(from) * share(shape.width) };
            let deviation = 1.0 / (squares(from, mean) * share(shape.width) + kernel.epsilon).sqrt();
            *moments = [mean, deviation];
            let (mean, deviation) = (F4::splat(mean), F4::splat(deviation));
            quads::write(to, [from, scales, biases], |[x, scale, bias]| {
                (x - mean) * deviation * scale + bias
            });
        }
    });
    memory.put(output);
    memory.put(moments);
}

/// `x̂ = (x − mean) / deviation; result = (g' − mean(g') − x̂ mean(g' x̂)) / deviation` with g' = g · scale; for
/// root mean square without the first mean.
pub(crate) fn normalize_backward(
    kernel: &NormalizeBackward,
    memory: &mut Memory,
    scratch: &mut Scratch<Vec<f32>>,
) {
    let shape = &kernel.shape;
    let mut result = memory.take(kernel.result);
    let (input, gradient) = (memory.get(kernel.input), memory.get(kernel.gradient));
    let moments = memory.get(kernel.moments).as_chunks::<2>().0;
    let rows = Rows::new(&mut result, shape.width);
    in_parts([rows], 3 * PASS * shape.width, scratch, |first, [result], scratch| {
        scratch.resize(shape.width, 0.0);
        let [input, gradient] =
            [input, gradient].map(|data| data[first * shape.width..].chunks_exact(shape.width));
        let rows = result.chunks_exact_mut(shape.width).zip(input.zip(gradient).zip(&moments[first..]));
        for (number, (to, ((from, g), moments))) in rows.enumerate() {
            if number < shape.groups || shape.groups > 1 {
                match kernel.scale {
                    Some(scale) => spread(shape, first + number, memory.get(scale), scratch),
                    None => scratch.fill(1.0),
                }
            }
            let [mean, deviation] = moments.map(F4::splat);
            let (mut plain, mut product) = (F4::splat(0.0), F4::splat(0.0));
            quads::visit([from, g, scratch], 0.0, |[x, g, scale]| {
                let scaled = g * scale;
                plain = plain + scaled;
                product = product + scaled * ((x - mean) * deviation);
            });
            let plain = if kernel.rms { 0.0 } else { plain.sum() * share(shape.width) };
            let (plain, product) = (F4::splat(plain), F4::splat(product.sum() * share(shape.width)));
            quads::write(to, [from, g, scratch], |[x, g, scale]| {
                let normal = (x - mean) * deviation;
                (g * scale - plain - normal * product) * deviation
            });
        }
    });
    memory.put(result);
}

pub(crate) fn normalize_parameters(
    kernel: &NormalizeParameters,
    memory: &mut Memory,
    scratch: &mut Vec<f32>,
) {
    let shape = &kernel.shape;
    let channels = shape.groups * (shape.width / shape.inner);
    scratch.clear();
    scratch.resize(2 * channels, 0.0);
    let (by_scale, by_bias) = scratch.split_at_mut(channels);
    let (input, gradient) = (memory.get(kernel.input), memory.get(kernel.gradient));
    let moments = memory.get(kernel.moments);
    let rows = input.chunks_exact(shape.width).zip(gradient.chunks_exact(shape.width));
    for (number, ((x, g), moments)) in rows.zip(moments.as_chunks::<2>().0).enumerate() {
        let [mean, deviation] = moments.map(F4::splat);
        let first = number % shape.groups * (shape.width / shape.inner);
        if shape.inner == 1 {
            let place = first..first + shape.width;
            let sums = [&mut by_scale[place.clone()], &mut by_bias[place]];
            quads::change_two(sums, [x, g], |[scale, bias], [x, g]| {
                [scale + g * ((x - mean) * deviation), bias + g]
            });
            continue;
        }
        let parts = x.chunks_exact(shape.inner).zip(g.chunks_exact(shape.inner));
        for (channel, (x, g)) in parts.enumerate() {
            let (mut product, mut plain) = (F4::splat(0.0), F4::splat(0.0));
            quads::visit([x, g], 0.0, |[x, g]| {
                product = product + g * ((x - mean) * deviation);
                plain = plain + g;
            });
            by_scale[first + channel] += product.sum();
            by_bias[first + channel] += plain.sum();
        }
    }
    memory.get_mut(kernel.scale).copy_from_slice(by_scale);
    if let Some(bias) = kernel.bias {
        memory.get_mut(bias).copy_from_slice(by_bias);
    }
}

/// Rows of one channel, sample by sample.
fn channel(
    data: &[f32],
    channels: usize,
    inner: usize,
    channel: usize,
) -> impl Iterator<Item = &[f32]> + Clone {
    data.chunks_exact(inner).skip(channel).step_by(channels)
}

pub(crate) fn batch_normalize(kernel: &BatchNormalize, memory: &mut Memory) {
    let BatchNormalize { channels, inner, .. } = *kernel;
    let count = kernel.outer * inner;
    let mut output = memory.take(kernel.output);
    let mut moments = memory.take(kernel.moments);
    for number in 0..channels {
        let input = memory.get(kernel.input);
        let (mean, variance) = if kernel.training {
            let rows = channel(input, channels, inner, number);
            let mean = rows.clone().map(sum).sum::<f32>() * share(count);
            (mean, rows.map(|row| squares(row, mean)).sum::<f32>() * share(count))
        } else {
            (memory.get(kernel.running_mean)[number], memory.get(kernel.running_variance)[number])
        };
        let deviation = 1.0 / (variance + kernel.epsilon).sqrt();
        moments[2 * number] = mean;
        moments[2 * number + 1] = deviation;
        let (scale, bias) = (memory.get(kernel.scale)[number], memory.get(kernel.bias)[number]);
        let [mean4, deviation, scale, bias] = [mean, deviation, scale, bias].map(F4::splat);
        let targets = output.chunks_exact_mut(inner).skip(number).step_by(channels);
        for (to, from) in targets.zip(channel(input, channels, inner, number)) {
            quads::write(to, [from], |[x]| (x - mean4) * deviation * scale + bias);
        }
        if kernel.training {
            let unbiased = if count > 1 { variance * (share(count - 1) / share(count)) } else { variance };
            mix(memory, kernel.running_mean, number, kernel.momentum, mean);
            mix(memory, kernel.running_variance, number, kernel.momentum, unbiased);
        }
    }
    memory.put(output);
    memory.put(moments);
}

fn mix(memory: &mut Memory, running: BufferId, channel: usize, momentum: f32, new: f32) {
    let place = &mut memory.get_mut(running)[channel];
    *place = (1.0 - momentum) * *place + momentum * new;
}

pub(crate) fn batch_normalize_backward(
    kernel: &BatchNormalizeBackward,
    memory: &mut Memory,
    scratch: &mut Vec<f32>,
) {
    let channels = kernel.channels;
    scratch.resize(2 * channels, 0.0);
    let mut result = kernel.result.map(|result| memory.take(result));
    for number in 0..channels {
        let (plain, product) = channel_backward(kernel, memory, number, result.as_deref_mut());
        scratch[number] = product;
        scratch[channels + number] = plain;
    }
    if let Some(result) = result {
        memory.put(result);
    }
    memory.get_mut(kernel.scale_gradient).copy_from_slice(&scratch[..channels]);
    memory.get_mut(kernel.bias_gradient).copy_from_slice(&scratch[channels..2 * channels]);
}

/// Writes one channel's gradient by the input; returns the sums of g and of g x̂.
fn channel_backward(
    kernel: &BatchNormalizeBackward,
    memory: &Memory,
    number: usize,
    result: Option<&mut [f32]>,
) -> (f32, f32) {
    let BatchNormalizeBackward { channels, inner, .. } = *kernel;
    let count = kernel.outer * inner;
    let (input, gradient) = (memory.get(kernel.input), memory.get(kernel.gradient));
    let moments = memory.get(kernel.moments);
    let scale = memory.get(kernel.scale)[number];
    let (mean, deviation) = (F4::splat(moments[2 * number]), F4::splat(moments[2 * number + 1]));
    let factor = F4::splat(scale * moments[2 * number + 1]);
    let rows = channel(input, channels, inner, number).zip(channel(gradient, channels, inner, number));
    let (mut plain, mut product) = (F4::splat(0.0), F4::splat(0.0));
    for (x, g) in rows.clone() {
        quads::visit([x, g], 0.0, |[x, g]| {
            plain = plain + g;
            product = product + g * ((x - mean) * deviation);
        });
    }
    let (plain, product) = (plain.sum(), product.sum());
    if let Some(result) = result {
        let (plain, product) = (F4::splat(plain * share(count)), F4::splat(product * share(count)));
        let targets = result.chunks_exact_mut(inner).skip(number).step_by(channels);
        for (to, (x, g)) in targets.zip(rows) {
            quads::write(to, [x, g], |[x, g]| {
                let normal = (x - mean) * deviation;
                factor * (g - plain - normal * product)
            });
        }
    }
    (plain, product)
}
