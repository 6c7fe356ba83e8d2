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
    let launch = match kernel {
        Kernel::Gemm(product) => return Ok(gemm::lower(launches, product, part, width)),
        Kernel::Reduce(reduce) => return Ok(rows::reduce(launches, reduce, width)),
        Kernel::Convolution(convolution) => return Ok(convolution::lower(launches, convolution, width)),
        Kernel::NormalizeParameters(norm) => return Ok(rows::normalize_parameters(launches, norm, width)),
        Kernel::ScaleGradients(scale) => return Ok(rows::scale_gradients(launches, scale)),
        // Padding behind gradients stays 0, so that padded parameters never move.
        Kernel::Map(map) => map::lower(map, program.buffer(map.output).kind == BufferKind::Activation),
        Kernel::Copy(copy) => elementwise::copy(copy),
        Kernel::Fill { output, value } => {
            elementwise::fill_with(*output, *value, word(program.buffer(*output).elements()))
        }
        Kernel::Softmax(softmax) => rows::softmax(softmax),
        Kernel::SoftmaxBackward(softmax) => rows::softmax_backward(softmax),
        Kernel::CrossEntropy(loss) => rows::cross_entropy(loss),
        Kernel::Normalize(norm) => rows::normalize(norm),
        Kernel::NormalizeBackward(norm) => rows::normalize_backward(norm),
        Kernel::BatchNormalize(norm) => rows::batch_normalize(norm),
        Kernel::BatchNormalizeBackward(norm) => rows::batch_normalize_backward(norm),
        Kernel::Gather(gather) => elementwise::gather(gather),
        Kernel::Dropout(dropout) => elementwise::dropout(dropout),
        Kernel::Optimise(optimise) => elementwise::optimise(optimise),
        Kernel::Pool(pool) => pool::forward(pool),
        Kernel::PoolBackward(pool) => pool::backward(pool),
        Kernel::GatherBackward(gather) => elementwise::gather_backward(gather),
        Kernel::Gru(gru) => recurrent::gru(gru)?,
        Kernel::GruBackward(gru) => recurrent::gru_backward(gru)?,
        Kernel::Lstm(lstm) => recurrent::lstm(lstm)?,
        Kernel::LstmBackward(lstm) => recurrent::lstm_backward(lstm)?,
    };
    launches.push(launch);
    Ok(())
}
