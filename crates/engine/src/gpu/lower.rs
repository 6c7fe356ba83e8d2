//! From a step program's kernels to dispatches.

use lichen_model::program::{BufferKind, Kernel, Program};

use super::launch::{Launch, word};
use super::{GpuError, convolution, elementwise, gemm, map, pool, recurrent, rows};
use crate::cpu::{Part, parts};

/// The launches of every kernel, in order; `width` is how many threads keep the adapter busy.
///
/// # Errors
/// `Unsupported` for shapes that only the CPU runs.
pub(super) fn lower(program: &Program, width: u32) -> Result<Vec<Launch>, GpuError> {
    let mut launches = Vec::with_capacity(program.kernels.len());
    for (kernel, part) in program.kernels.iter().zip(parts(program)) {
        add(&mut launches, program, kernel, part, width)?;
    }
    Ok(launches)
}

/// Adds a kernel's launches.
fn add(
    launches: &mut Vec<Launch>,
    program: &Program,
    kernel: &Kernel,
    part: Part,
    width: u32,
) -> Result<(), GpuError> {
    match kernel {
        Kernel::Gemm(product) => gemm::lower(launches, product, part, width),
        Kernel::Reduce(reduce) => rows::reduce(launches, reduce, width),
        Kernel::Convolution(convolution) => convolution::lower(launches, convolution, width),
        Kernel::NormalizeParameters(norm) => rows::normalize_parameters(launches, norm, width),
        Kernel::ScaleGradients(scale) => rows::scale_gradients(launches, scale),
        // Padding behind gradients stays 0, so that padded parameters never move.
        Kernel::Map(map) => {
            launches.push(map::lower(map, program.buffer(map.output).kind == BufferKind::Activation))
        }
        Kernel::Copy(copy) => launches.push(elementwise::copy(copy)),
        Kernel::Fill { output, value } => {
            let count = word(program.buffer(*output).elements());
            launches.push(elementwise::fill_with(*output, *value, count));
        }
        Kernel::Softmax(softmax) => launches.push(rows::softmax(softmax)),
        Kernel::SoftmaxBackward(softmax) => launches.push(rows::softmax_backward(softmax)),
        Kernel::CrossEntropy(loss) => launches.push(rows::cross_entropy(loss)),
        Kernel::Normalize(norm) => launches.push(rows::normalize(norm)),
        Kernel::NormalizeBackward(norm) => launches.push(rows::normalize_backward(norm)),
        Kernel::BatchNormalize(norm) => launches.push(rows::batch_normalize(norm)),
        Kernel::BatchNormalizeBackward(norm) => launches.push(rows::batch_normalize_backward(norm)),
        Kernel::Gather(gather) => launches.push(elementwise::gather(gather)),
        Kernel::Dropout(dropout) => launches.push(elementwise::dropout(dropout)),
        Kernel::Optimise(optimise) => launches.push(elementwise::optimise(optimise)),
        Kernel::Pool(pool) => launches.push(pool::forward(pool)),
        Kernel::PoolBackward(pool) => launches.push(pool::backward(pool)),
        Kernel::GatherBackward(gather) => launches.push(elementwise::gather_backward(gather)),
        Kernel::Gru(gru) => launches.push(recurrent::gru(gru)?),
        Kernel::GruBackward(gru) => launches.push(recurrent::gru_backward(gru)?),
        Kernel::Lstm(lstm) => launches.push(recurrent::lstm(lstm)?),
        Kernel::LstmBackward(lstm) => launches.push(recurrent::lstm_backward(lstm)?),
    }
    Ok(())
}
