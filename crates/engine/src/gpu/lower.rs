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
        launches.extend(kernel_launches(program, kernel, part, width)?);
    }
    Ok(launches)
}

fn kernel_launches(
    program: &Program,
    kernel: &Kernel,
    part: Part,
    width: u32,
) -> Result<Vec<Launch>, GpuError> {
    let one = |launch| Ok(vec![launch]);
    match kernel {
        Kernel::Gemm(product) => Ok(gemm::lower(product, part, width)),
        // Padding behind gradients stays 0, so that padded parameters never move.
        Kernel::Map(map) => one(map::lower(map, program.buffer(map.output).kind == BufferKind::Activation)),
        Kernel::Reduce(reduce) => Ok(rows::reduce(reduce, width)),
        Kernel::Copy(copy) => one(elementwise::copy(copy)),
        Kernel::Fill { output, value } => {
            one(elementwise::fill_with(*output, *value, word(program.buffer(*output).elements())))
        }
        Kernel::Softmax(softmax) => one(rows::softmax(softmax)),
        Kernel::SoftmaxBackward(softmax) => one(rows::softmax_backward(softmax)),
        Kernel::CrossEntropy(loss) => one(rows::cross_entropy(loss)),
        Kernel::Normalize(norm) => one(rows::normalize(norm)),
        Kernel::NormalizeBackward(norm) => one(rows::normalize_backward(norm)),
        Kernel::NormalizeParameters(norm) => Ok(rows::normalize_parameters(norm, width).into()),
        Kernel::BatchNormalize(norm) => one(rows::batch_normalize(norm)),
        Kernel::BatchNormalizeBackward(norm) => one(rows::batch_normalize_backward(norm)),
        Kernel::Gather(gather) => one(elementwise::gather(gather)),
        Kernel::Dropout(dropout) => one(elementwise::dropout(dropout)),
        Kernel::ScaleGradients(scale) => Ok(rows::scale_gradients(scale).into()),
        Kernel::Optimise(optimise) => one(elementwise::optimise(optimise)),
        Kernel::Convolution(convolution) => Ok(convolution::lower(convolution, width)),
        Kernel::Pool(pool) => one(pool::forward(pool)),
        Kernel::PoolBackward(pool) => one(pool::backward(pool)),
        Kernel::GatherBackward(gather) => one(elementwise::gather_backward(gather)),
        Kernel::Gru(gru) => Ok(vec![recurrent::gru(gru)?]),
        Kernel::GruBackward(gru) => Ok(vec![recurrent::gru_backward(gru)?]),
        Kernel::Lstm(lstm) => Ok(vec![recurrent::lstm(lstm)?]),
        Kernel::LstmBackward(lstm) => Ok(vec![recurrent::lstm_backward(lstm)?]),
    }
}
