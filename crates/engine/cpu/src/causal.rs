//! Which products work on causally masked attention scores, so that the masked half need not be computed.

use lichen_model::lower::{reads, writes};
use lichen_model::program::{BufferId, Gemm, Kernel, Matrix, Program};

/// The part of a square matrix of attention scores that a product concerns itself with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    #[default]
    Whole,
    /// Of the result only what is on or below the diagonal is ever read.
    ResultBelow,
    /// The left factor is 0 above the diagonal.
    LeftBelow,
    /// The left factor is 0 below the diagonal.
    LeftAbove,
}

/// The part that each kernel of a program concerns itself with.
pub fn parts(program: &Program) -> Vec<Part> {
    let part = |kernel: &Kernel| match kernel {
        Kernel::Gemm(gemm) => part(program, gemm).unwrap_or_default(),
        _ => Part::Whole,
    };
    program.kernels.iter().map(part).collect()
}

fn part(program: &Program, gemm: &Gemm) -> Option<Part> {
    if gemm.bias.is_some() || gemm.accumulate || gemm.activation != lichen_model::program::Epilogue::None {
        return None;
    }
    if let Some(extent) = only_reader(program, gemm.c.buffer).and_then(mask_on_input)
        && is_square(&gemm.c, [gemm.m, gemm.n], extent)
    {
        return Some(Part::ResultBelow);
    }
    let extent = only_writer(program, gemm.a.buffer).and_then(mask_on_output)?;
    let part = if gemm.a.transposed { Part::LeftAbove } else { Part::LeftBelow };
    is_square(&gemm.a, [gemm.m, gemm.k], extent).then_some(part)
}

/// Extent of the masked matrices that a kernel reads no further than to their diagonals.
fn mask_on_input((kernel, buffer): (&Kernel, BufferId)) -> Option<usize> {
    match kernel {
        Kernel::Softmax(softmax) if softmax.input == buffer => square(softmax.width, softmax.causal),
        Kernel::SoftmaxBackward(softmax) if softmax.gradient == buffer && softmax.output != buffer => {
            square(softmax.width, softmax.causal)
        }
        _ => None,
    }
}

/// Extent of the masked matrices that a kernel writes with zeros behind their diagonals.
fn mask_on_output((kernel, _): (&Kernel, BufferId)) -> Option<usize> {
    match kernel {
        Kernel::Softmax(softmax) if !softmax.log => square(softmax.width, softmax.causal),
        Kernel::SoftmaxBackward(softmax) => square(softmax.width, softmax.causal),
        _ => None,
    }
}

fn square(width: usize, causal: usize) -> Option<usize> {
    (causal > 0 && width == causal).then_some(width)
}

/// Whether the product's matrices are whole matrices of scores.
fn is_square(matrix: &Matrix, extents: [usize; 2], extent: usize) -> bool {
    let starts = [matrix.offset, matrix.batch_strides[0], matrix.batch_strides[1]];
    extents == [extent; 2]
        && matrix.row_stride == extent
        && starts.iter().all(|start| start.is_multiple_of(extent * extent))
}

fn only_reader(program: &Program, buffer: BufferId) -> Option<(&Kernel, BufferId)> {
    let is_seen = [program.output, program.loss].contains(&buffer);
    let kernel = only(program, |kernel| reads(kernel).contains(&buffer))?;
    let is_written_once = only(program, |kernel| writes(kernel).contains(&buffer)).is_some();
    (!is_seen && is_written_once).then_some((kernel, buffer))
}

fn only_writer(program: &Program, buffer: BufferId) -> Option<(&Kernel, BufferId)> {
    Some((only(program, |kernel| writes(kernel).contains(&buffer))?, buffer))
}

/// The kernel that fits, if exactly one does.
fn only(program: &Program, fits: impl Fn(&Kernel) -> bool) -> Option<&Kernel> {
    let mut kernels = program.kernels.iter().filter(|kernel| fits(kernel));
    let first = kernels.next()?;
    kernels.next().is_none().then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lichen_campaign::model_spec::{Activation, LayerSpec, Loss, ModelSpec};
    use lichen_model::lower::{Purpose, lower};
    use lichen_model::program::Rule;

    /// Products of each part in a training step of a transformer with three blocks.
    fn counts(causal: bool) -> [usize; 3] {
        let block = |number: usize| LayerSpec::TransformerBlock {
            name: format!("block{number}"),
            heads: 3,
            causal,
            expansion: 4,
            activation: Activation::Gelu,
            dropout: 0.0,
        };
        let mut layers = vec![LayerSpec::Embedding { name: "tokens".into(), vocabulary: 64, width: 48 }];
        layers.extend((0..3).map(block));
        let model = ModelSpec {
            input: vec![64],
            loss: Loss::SoftmaxCrossEntropy,
            ignore_label: None,
            huber_delta: None,
            layers: layers.into(),
        };
        let graph = lichen_model::layers::build(&model, 2).unwrap();
        let rule = Rule::Sgd { momentum: 0.0, decay: 0.0 };
        let parts = parts(&lower(&graph, Purpose::Train { rule, clip_norm: None }).unwrap());
        [Part::ResultBelow, Part::LeftBelow, Part::LeftAbove]
            .map(|part| parts.iter().filter(|&&found| found == part).count())
    }

    #[test]
    fn all_products_of_causal_attention_are_found_and_no_others() {
        // Three layers, each with two products of every kind.
        assert_eq!(counts(true), [6, 6, 6]);
        assert_eq!(counts(false), [0, 0, 0]);
    }
}
