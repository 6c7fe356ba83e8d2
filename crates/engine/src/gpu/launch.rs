//! What a program's kernels become: WGSL text, its uniform block, what it binds and how large a grid it runs on.

use lichen_model::program::BufferId;

use super::text::fill;

/// Threads per workgroup of all kernels that do not say otherwise.
pub(super) const WORKGROUP: u32 = 64;
/// Workgroups of a loop over elements; each thread strides on from there.
const MOST_GROUPS: u32 = 4096;
/// Workgroups along one axis of a grid.
pub(super) const MOST_ALONG_AXIS: u32 = 65_535;

/// A kernel's text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) name: &'static str,
    pub(super) wgsl: String,
}

/// What a launch binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operand {
    /// A buffer of the program.
    Buffer(BufferId),
    /// A whole slot.
    Slot(usize),
    /// That many elements shared by everything that needs room within one kernel.
    Scratch(u32),
    /// Nothing: the array is not declared.
    Missing,
    /// The block of per-step values, last of all.
    Step,
}

/// One dispatch of a program, before anything is allocated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Launch {
    pub(super) source: Source,
    /// The uniform block, at most 64 words.
    pub(super) dims: Vec<u32>,
    /// In binding order behind the uniform block, arrays that are only read first; none is missing.
    pub(super) operands: Vec<Operand>,
    pub(super) grid: [u32; 3],
}

impl From<BufferId> for Operand {
    fn from(buffer: BufferId) -> Self {
        Self::Buffer(buffer)
    }
}

impl From<Option<BufferId>> for Operand {
    fn from(buffer: Option<BufferId>) -> Self {
        buffer.map_or(Self::Missing, Self::Buffer)
    }
}

/// What a kernel declares; names stand between single spaces.
pub(super) struct Signature<'a> {
    pub(super) name: &'static str,
    /// The words of the uniform block `dims`, all `u32`.
    pub(super) fields: &'a str,
    /// Arrays that are read, `->`, arrays that are written; of vectors where the name ends in `*`, else of `f32`.
    pub(super) arrays: &'a str,
}

impl Signature<'_> {
    /// The launch of a text over the operands in the order of `arrays`, and the step block if the last operand says so.
    pub(super) fn launch(&self, body: &[&str], dims: &[u32], operands: &[Operand], grid: [u32; 3]) -> Launch {
        let mut wgsl = String::from("struct Dims {");
        for field in self.fields.split(' ') {
            fill(&mut wgsl, " $A: u32,", &[], &[field]);
        }
        wgsl.push_str(" }\n@group(0) @binding(0) var<uniform> dims: Dims;\n");
        declare(&mut wgsl, self.arrays, operands);
        body.iter().for_each(|part| wgsl.push_str(part));
        Launch::new(self.name, wgsl, dims, operands, grid)
    }
}

impl Launch {
    pub(super) fn new(
        name: &'static str,
        wgsl: String,
        dims: &[u32],
        operands: &[Operand],
        grid: [u32; 3],
    ) -> Self {
        let is_there = |operand: &Operand| *operand != Operand::Missing;
        let operands = operands.iter().copied().filter(is_there).collect();
        Self { source: Source { name, wgsl }, dims: dims.to_vec(), operands, grid }
    }
}

/// Declares the arrays that are there, from binding 1 on, and the step block.
pub(super) fn declare(text: &mut String, arrays: &str, operands: &[Operand]) {
    let mut access = "read";
    let (mut binding, mut operands) = (0, operands.iter());
    for name in arrays.split(' ') {
        if name == "->" {
            access = "read_write";
            continue;
        }
        if operands.next() == Some(&Operand::Missing) {
            continue;
        }
        binding += 1;
        let (name, element) = name.strip_suffix('*').map_or((name, "f32"), |name| (name, "vec4f"));
        let template = "@group(0) @binding($a) var<storage, $A> $B: array<$C>;\n";
        fill(text, template, &[binding], &[access, name, element]);
    }
    if operands.next() == Some(&Operand::Step) {
        fill(text, STEP, &[binding + 1], &[]);
    }
}

/// As laid out by `StepValues::to_words`.
const STEP: &str = "struct Step { learning_rate: f32, first_correction: f32, second_correction: f32, loss_scale: f32, \
                    count: u32, seed: u32 }\n@group(0) @binding($a) var<uniform> step: Step;\n";

/// The grid of a loop over `count` elements with stride `groups.x * 64`.
pub(super) fn elements(count: u32) -> [u32; 3] {
    [count.div_ceil(WORKGROUP).clamp(1, MOST_GROUPS), 1, 1]
}

/// An extent as WGSL's `u32`; what does not fit was refused when the program was planned.
pub(super) fn word(extent: usize) -> u32 {
    u32::try_from(extent).unwrap_or(u32::MAX)
}
