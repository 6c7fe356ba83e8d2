//! What a program's kernels become: WGSL text, its uniform block, what it binds and how large a grid it runs on.

use lichen_model::program::BufferId;

/// Threads per workgroup of all kernels that do not say otherwise.
pub(super) const WORKGROUP: u32 = 64;
/// Workgroups of a loop over elements; each thread strides on from there.
const MOST_GROUPS: u32 = 4096;
/// Workgroups along one axis of a grid.
pub(super) const MOST_ALONG_AXIS: u32 = 65_535;

/// A kernel's text and the shape of its bindings: uniform `dims` at 0, then `reads` read-only and `writes` writable
/// arrays, then, if `step`, the block of per-step values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) wgsl: String,
    pub(super) reads: u32,
    pub(super) writes: u32,
    pub(super) step: bool,
}

/// An array that a launch binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// A buffer of the program.
    Buffer(BufferId),
    /// A whole slot.
    Slot(usize),
    /// That many elements shared by everything that needs room within one kernel.
    Scratch(u32),
}

/// One dispatch of a program, before anything is allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) source: Source,
    /// The uniform block, at most 64 words.
    pub(super) dims: Vec<u32>,
    /// Arrays in binding order, read-only ones first.
    pub(super) operands: Vec<Operand>,
    pub(super) grid: [u32; 3],
}

impl From<BufferId> for Operand {
    fn from(buffer: BufferId) -> Self {
        Self::Buffer(buffer)
    }
}

/// The grid of a loop over `count` elements with stride `groups.x * 64`.
pub(super) fn elements(count: u32) -> [u32; 3] {
    [count.div_ceil(WORKGROUP).clamp(1, MOST_GROUPS), 1, 1]
}

/// An extent as WGSL's `u32`; what does not fit was refused when the program was planned.
pub(super) fn word(extent: usize) -> u32 {
    u32::try_from(extent).unwrap_or(u32::MAX)
}

/// Declares `names` as arrays of `element`, from binding `first` on.
pub(super) fn arrays(first: u32, access: &str, element: &str, names: &[&str]) -> String {
    let declare = |(binding, name): (u32, &&str)| {
        format!("@group(0) @binding({binding}) var<storage, {access}> {name}: array<{element}>;\n")
    };
    (first..).zip(names).map(declare).collect()
}

/// A kernel over `f32` arrays: declares the uniform struct's `fields` (all `u32`) as `dims`, the arrays and the step
/// block, and appends `body`.
pub(super) fn source(
    name: &'static str,
    fields: &str,
    reads: &[&str],
    writes: &[&str],
    step: bool,
    body: &str,
) -> Source {
    let (read_count, write_count) = (word(reads.len()), word(writes.len()));
    let fields: String = fields.split_whitespace().map(|field| format!(" {field}: u32,")).collect();
    let step_block = if step { step_block(1 + read_count + write_count) } else { String::new() };
    let wgsl = format!(
        "struct Dims {{{fields} }}\n@group(0) @binding(0) var<uniform> dims: Dims;\n{}{}{step_block}{body}",
        arrays(1, "read", "f32", reads),
        arrays(1 + read_count, "read_write", "f32", writes),
    );
    Source { name, wgsl, reads: read_count, writes: write_count, step }
}

/// Declares `step`, as laid out by `StepValues::to_words`.
pub(super) fn step_block(binding: u32) -> String {
    format!(
        "struct Step {{ learning_rate: f32, first_correction: f32, second_correction: f32, loss_scale: f32, \
         count: u32, seed: u32 }}\n@group(0) @binding({binding}) var<uniform> step: Step;\n"
    )
}
