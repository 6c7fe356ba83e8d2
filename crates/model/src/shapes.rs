//! Shape inference: what an operator makes of its inputs' shapes, or what it takes instead.

use crate::error::Shape;
use crate::op::{ConvAttributes, Op};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

/// The output's shape.
///
/// # Errors
/// What the operator takes, to be set beside the first input's shape.
#[expect(clippy::too_many_lines, reason = "one arm per operator")]
pub(crate) fn infer(op: &Op, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let wrong_count = || format!("another number of inputs than {}", inputs.len());
    let x = *inputs.first().ok_or_else(wrong_count)?;
    match op {
        Op::Neg
        | Op::Abs
        | Op::Sqrt
        | Op::Exp
        | Op::Log
        | Op::Erf
        | Op::Tanh
        | Op::Sigmoid
        | Op::Softplus
        | Op::Relu
        | Op::LeakyRelu { .. }
        | Op::Gelu
        | Op::Clip { .. }
        | Op::Dropout { .. } => Ok(x.to_vec()),
        Op::Softmax | Op::LogSoftmax => {
            x.last().map(|_| x.to_vec()).ok_or_else(|| "at least one dimension".to_string())
        }
        Op::Add | Op::Sub | Op::Mul | Op::Div | Op::Pow | Op::Max | Op::Min | Op::Greater | Op::Equal => {
            let &[a, b] = inputs else { return Err(wrong_count()) };
            broadcast(a, b)
        }
        Op::Where => {
            let &[condition, a, b] = inputs else { return Err(wrong_count()) };
            broadcast(condition, &broadcast(a, b)?)
        }
        Op::MatMul => {
            let &[a, b] = inputs else { return Err(wrong_count()) };
            matmul(a, b)
        }
        Op::Gemm { trans_b } => {
            let &[_, b] = inputs.get(..2).unwrap_or_default() else { return Err(wrong_count()) };
            let &[rows, columns] = b else { return Err(format!("a matrix as weight, not {}", Shape(b))) };
            let (n, k) = if *trans_b { (rows, columns) } else { (columns, rows) };
            match *x {
                [m, inner] if inner == k => Ok(vec![m, n]),
                _ => Err(format!("[.., {k}] for its weight {}", Shape(b))),
            }
        }
        Op::Conv(attributes) => {
            let &weight = inputs.get(1).ok_or_else(wrong_count)?;
            let &[filters, per_group, ..] = weight else { return Err(wrong_count()) };
            let channels = per_group * attributes.groups;
            check_channels(x, channels, weight)?;
            if attributes.groups == 0 || filters % attributes.groups != 0 {
                return Err(format!("filters in {} equal groups, not {filters}", attributes.groups));
            }
            convolved(attributes, x, filters)
        }
        Op::ConvTranspose(attributes) => {
            let &weight = inputs.get(1).ok_or_else(wrong_count)?;
            let &[channels, per_group, ..] = weight else { return Err(wrong_count()) };
            check_channels(x, channels, weight)?;
            if attributes.groups == 0 || channels % attributes.groups != 0 {
                return Err(format!("channels in {} equal groups", attributes.groups));
            }
            let filters = per_group * attributes.groups;
            let window =
                attributes.transposed_window(x, filters).ok_or_else(|| window_problem(attributes))?;
            Ok(with_spatial(x, filters, window.input))
        }
        Op::MaxPool(attributes) | Op::AveragePool(attributes) => {
            let channels = *x.get(1).ok_or_else(|| window_problem(attributes))?;
            // Else a window could lie in the border alone, and have neither a largest element nor a mean.
            let narrow = |(pads, kernel): (&[usize; 2], &usize)| pads.iter().all(|pad| pad < kernel);
            if !attributes.pads.iter().zip(&attributes.kernel).all(narrow) {
                return Err(format!("padding below its window of {}", Shape(&attributes.kernel)));
            }
            convolved(attributes, x, channels)
        }
        Op::GlobalAveragePool => match x {
            [batch, channels, positions @ ..] if !positions.is_empty() => {
                let mut shape = vec![*batch, *channels];
                shape.resize(x.len(), 1);
                Ok(shape)
            }
            _ => Err("[channels, positions ..]".into()),
        },
        Op::BatchNormalization { .. } | Op::GroupNormalization { .. } => {
            let &scale = inputs.get(1).ok_or_else(wrong_count)?;
            if let Op::GroupNormalization { groups, .. } = op {
                let divides = x.get(1).is_some_and(|channels| *groups > 0 && channels % groups == 0);
                if !divides {
                    return Err(format!("channels in {groups} equal groups"));
                }
            }
            if x.get(1) == scale.first() && x.len() >= 2 {
                Ok(x.to_vec())
            } else {
                Err(format!("[channels, ..] for its weight {}", Shape(scale)))
            }
        }
        Op::LayerNormalization { .. } | Op::RmsNormalization { .. } => {
            let &scale = inputs.get(1).ok_or_else(wrong_count)?;
            let fits = x.last() == scale.first() && !x.is_empty();
            if fits { Ok(x.to_vec()) } else { Err(format!("[.., n] for its weight {}", Shape(scale))) }
        }
        Op::Reshape { shape } => {
            let same = shape.iter().product::<usize>() == x.iter().product::<usize>();
            if same {
                Ok(shape.clone())
            } else {
                Err(format!("as many elements as {}", Shape(shape.get(1..).unwrap_or_default())))
            }
        }
        Op::Transpose { perm } => {
            if perm.len() != x.len() || !(0..x.len()).all(|axis| perm.contains(&axis)) {
                return Err(format!("{} dimensions", perm.len().saturating_sub(1)));
            }
            Ok(perm.iter().filter_map(|&axis| x.get(axis).copied()).collect())
        }
        Op::Concat { axis } => {
            let mut shape = x.to_vec();
            for other in inputs.get(1..).unwrap_or_default() {
                let same = other.len() == x.len()
                    && other.iter().zip(x).enumerate().all(|(at, (a, b))| at == *axis || a == b);
                if !same {
                    return Err(format!("shapes that differ in axis {axis} only, not {}", Shape(other)));
                }
                if let (Some(all), Some(extent)) = (shape.get_mut(*axis), other.get(*axis)) {
                    *all += extent;
                }
            }
            if *axis < x.len() { Ok(shape) } else { Err(format!("more than {axis} dimensions")) }
        }
        Op::Slice { axis, start, step, count } => {
            let extent = *x.get(*axis).ok_or_else(|| format!("more than {axis} dimensions"))?;
            let span = count.saturating_sub(1).checked_mul(step.unsigned_abs());
            let inside = span.is_some_and(|span| {
                if *step > 0 { start + span < extent } else { *start < extent && span <= *start }
            });
            if *step == 0 || *count == 0 || !inside {
                return Err(format!("more than {extent} elements in axis {axis}"));
            }
            let mut shape = x.to_vec();
            if let Some(at) = shape.get_mut(*axis) {
                *at = *count;
            }
            Ok(shape)
        }
        Op::Pad { before, after, .. } => {
            if before.len() != x.len() || after.len() != x.len() {
                return Err(format!("{} dimensions", before.len()));
            }
            Ok(x.iter().zip(before.iter().zip(after)).map(|(extent, (b, a))| extent + b + a).collect())
        }
        Op::Gather => {
            let &[table, indices] = inputs else { return Err(wrong_count()) };
            let &[_, width] = table else { return Err("a matrix as table".into()) };
            let mut shape = indices.to_vec();
            shape.push(width);
            Ok(shape)
        }
        Op::ReduceSum { axes, keep } | Op::ReduceMean { axes, keep } | Op::ReduceMax { axes, keep } => {
            let in_order = axes.windows(2).all(|pair| pair.first() < pair.get(1));
            if !in_order || axes.last().is_some_and(|&axis| axis >= x.len()) {
                return Err(format!("other axes than {}", Shape(axes)));
            }
            let mut shape = Vec::new();
            for (axis, &extent) in x.iter().enumerate() {
                if !axes.contains(&axis) {
                    shape.push(extent);
                } else if *keep {
                    shape.push(1);
                }
            }
            Ok(shape)
        }
        Op::Gru { hidden } | Op::Lstm { hidden } => {
            let &weight = inputs.get(1).ok_or_else(wrong_count)?;
            match (x, weight.last()) {
                (&[batch, steps, features], Some(&expected)) if features == expected => {
                    Ok(vec![batch, steps, *hidden])
                }
                _ => Err(format!("[steps, features] for its weight {}", Shape(weight))),
            }
        }
        Op::Attention { heads, .. } => attention(*heads, inputs),
        Op::SoftmaxCrossEntropyLoss => match (inputs, x.split_last()) {
            (&[_, labels], Some((_, rows))) if rows == labels => Ok(Vec::new()),
            _ => Err("logits [.., classes] for labels [..]".into()),
        },
    }
}

/// ONNX's (NumPy's) broadcasting of two shapes.
pub(crate) fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], axis: usize| {
        (axis + shape.len()).checked_sub(rank).and_then(|at| shape.get(at)).copied().unwrap_or(1)
    };
    let mut shape = Vec::with_capacity(rank);
    for axis in 0..rank {
        match (extent(a, axis), extent(b, axis)) {
            (a, b) if a == b => shape.push(a),
            (1, b) => shape.push(b),
            (a, 1) => shape.push(a),
            _ => return Err(format!("a shape that goes with {}", Shape(b))),
        }
    }
    Ok(shape)
}

fn matmul(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let (Some((&[m, k], a_batch)), Some((&[inner, n], b_batch))) = (
        a.split_last_chunk::<2>().map(|(rest, last)| (last, rest)),
        b.split_last_chunk::<2>().map(|(rest, last)| (last, rest)),
    ) else {
        return Err("two matrices".into());
    };
    if k != inner {
        return Err(format!("[.., {inner}] for {}", Shape(b)));
    }
    let mut shape = broadcast(a_batch, b_batch)?;
    shape.extend([m, n]);
    Ok(shape)
}

fn attention(heads: usize, inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let problem = || format!("[tokens, width] with a width of {heads} equal heads");
    let divides = |width: usize| heads > 0 && width > 0 && width.is_multiple_of(heads);
    match *inputs {
        [&[batch, tokens, packed]] if packed % 3 == 0 && divides(packed / 3) => {
            Ok(vec![batch, tokens, packed / 3])
        }
        [&[batch, tokens, width], k, v] if divides(width) => {
            let fits = matches!(*k, [b, _, w] if b == batch && w == width) && k == v;
            if fits { Ok(vec![batch, tokens, width]) } else { Err(problem()) }
        }
        _ => Err(problem()),
    }
}

fn check_channels(x: &[usize], channels: usize, weight: &[usize]) -> Result<(), String> {
    if x.len() == weight.len() && x.get(1) == Some(&channels) {
        return Ok(());
    }
    let rest = if weight.len() == 3 { "length" } else { "height, width" };
    Err(format!("[{channels}, {rest}] for its weight {}", Shape(weight)))
}

fn convolved(attributes: &ConvAttributes, x: &[usize], filters: usize) -> Result<Vec<usize>, String> {
    let window = attributes.window(x, filters).ok_or_else(|| window_problem(attributes))?;
    Ok(with_spatial(x, filters, window.output))
}

fn window_problem(attributes: &ConvAttributes) -> String {
    format!("positions for a window of {}", Shape(&attributes.kernel))
}

fn with_spatial(x: &[usize], channels: usize, spatial: [usize; 2]) -> Vec<usize> {
    let batch = x.first().copied().unwrap_or(1);
    if x.len() == 3 {
        vec![batch, channels, spatial[1]]
    } else {
        vec![batch, channels, spatial[0], spatial[1]]
    }
}
