//! How a kernel's result is split among threads.
//!
//! The threads are those of the rayon pool that the caller runs in; outside of one, and without the feature `threads`,
//! the caller does everything by itself. A split changes who computes an element, never the order in which its terms are
//! added: the bits are the same for any number of threads.

#[cfg(feature = "threads")]
use std::sync::atomic::{AtomicUsize, Ordering};

/// Least work worth handing to another thread, in multiply-adds: some 30 µs, several times what waking it costs.
#[cfg(feature = "threads")]
static LEAST: AtomicUsize = AtomicUsize::new(1 << 18);
/// Parts for each thread: where one of them is slow or busy, the others take what it leaves.
#[cfg(feature = "threads")]
const PARTS: usize = 2;

/// A result by rows that are computed independently; the last may be shorter.
pub(crate) struct Rows<'a> {
    data: &'a mut [f32],
    #[cfg_attr(not(feature = "threads"), expect(dead_code, reason = "a single thread splits nothing"))]
    width: usize,
}

impl<'a> Rows<'a> {
    /// Rows of `width` elements each.
    pub(crate) fn new(data: &'a mut [f32], width: usize) -> Self {
        Self { data, width }
    }

    #[cfg(feature = "threads")]
    fn count(&self) -> usize {
        self.data.len().div_ceil(self.width)
    }

    #[cfg(feature = "threads")]
    fn split(self, count: usize) -> (Self, Self) {
        let (before, behind) = self.data.split_at_mut((count * self.width).min(self.data.len()));
        (Self::new(before, self.width), Self::new(behind, self.width))
    }
}

/// Memory that each part has for itself, kept from kernel to kernel.
#[derive(Default)]
pub(crate) struct Scratch<S> {
    first: S,
    #[cfg(feature = "threads")]
    others: Vec<S>,
}

impl<S> Scratch<S> {
    /// That of the first part.
    pub(crate) fn first(&mut self) -> &mut S {
        &mut self.first
    }
}

/// Calls `work` for all rows of some results that have equally many: once for each part, with the number of its first
/// row, its rows and memory of its own. A row takes as long as `cost` multiply-adds.
#[cfg(not(feature = "threads"))]
#[inline(always)]
pub(crate) fn in_parts<const N: usize, S>(
    results: [Rows<'_>; N],
    _cost: usize,
    scratch: &mut Scratch<S>,
    work: impl Fn(usize, [&mut [f32]; N], &mut S),
) {
    work(0, results.map(|rows| rows.data), &mut scratch.first);
}

/// Calls `work` for all rows of some results that have equally many: once for each part, with the number of its first
/// row, its rows and memory of its own. A row takes as long as `cost` multiply-adds.
#[cfg(feature = "threads")]
pub(crate) fn in_parts<const N: usize, S: Default + Send>(
    results: [Rows<'_>; N],
    cost: usize,
    scratch: &mut Scratch<S>,
    work: impl Fn(usize, [&mut [f32]; N], &mut S) + Sync,
) {
    let count = results.first().map_or(0, Rows::count);
    let parts = parts(count, cost);
    if parts == 1 {
        return work(0, results.map(|rows| rows.data), &mut scratch.first);
    }
    if scratch.others.len() < parts {
        scratch.others.resize_with(parts, S::default);
    }
    split(results, 0, count.div_ceil(parts), &mut scratch.others[..parts], &work);
}

/// How many parts this many rows are split into.
#[cfg(feature = "threads")]
fn parts(count: usize, cost: usize) -> usize {
    let threads = rayon_core::current_thread_index().map_or(1, |_| rayon_core::current_num_threads());
    if threads == 1 {
        return 1;
    }
    (PARTS * threads).min(count.saturating_mul(cost) / LEAST.load(Ordering::Relaxed)).min(count).max(1)
}

/// Splits all results from now on, however little work they are, so that tests see every split.
#[cfg(all(feature = "threads", feature = "bench"))]
pub fn split_everything() {
    LEAST.store(1, Ordering::Relaxed);
}

/// Halves what there is to do until a single part is left.
#[cfg(feature = "threads")]
fn split<const N: usize, S: Send>(
    results: [Rows<'_>; N],
    first: usize,
    rows: usize,
    scratch: &mut [S],
    work: &(impl Fn(usize, [&mut [f32]; N], &mut S) + Sync),
) {
    if let [scratch] = scratch {
        if results.iter().any(|rows| !rows.data.is_empty()) {
            work(first, results.map(|rows| rows.data), scratch);
        }
        return;
    }
    let middle = scratch.len() / 2;
    let (left, right) = scratch.split_at_mut(middle);
    let mut behind = Vec::with_capacity(N);
    let before = results.map(|part| {
        let (before, rest) = part.split(middle * rows);
        behind.push(rest);
        before
    });
    let Ok(behind) = <[Rows<'_>; N]>::try_from(behind) else { return };
    rayon_core::join(
        || split(before, first, rows, left, work),
        || split(behind, first + middle * rows, rows, right, work),
    );
}
