//! How many peer connections a page may make: browsers cap them per page and free them late.

use std::cell::Cell;
use std::rc::Rc;

/// Most peer connections alive at once; the useful degree of a mesh is 8 to 16.
const MOST_ALIVE: u32 = 64;

/// Most peer connections between two collections of garbage. Chromium refuses the 500th of a page, and counts closed
/// ones until it has collected them.
const MOST_UNCOLLECTED: u32 = 450;

/// Counts the peer connections of a page; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    counts: Rc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    alive: Cell<u32>,
    made: Cell<u32>,
}

/// The right to one peer connection, given back on drop.
#[derive(Debug)]
pub(crate) struct Permit {
    counts: Rc<Counts>,
}

thread_local! {
    static OF_PAGE: Budget = Budget::default();
}

impl Budget {
    /// The page's own: all that is made with it counts together, whatever is started and ended in between.
    #[must_use]
    pub fn of_page() -> Self {
        OF_PAGE.with(Self::clone)
    }

    /// Peer connections alive now.
    #[must_use]
    pub fn alive(&self) -> u32 {
        self.counts.alive.get()
    }

    /// Peer connections made in the page's life.
    #[must_use]
    pub fn made(&self) -> u32 {
        self.counts.made.get()
    }

    pub(crate) fn take(&self) -> Option<Permit> {
        if self.alive() >= MOST_ALIVE || self.made() >= MOST_UNCOLLECTED {
            return None;
        }
        self.counts.alive.set(self.alive() + 1);
        self.counts.made.set(self.made() + 1);
        Some(Permit { counts: Rc::clone(&self.counts) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts.alive.set(self.counts.alive.get().saturating_sub(1));
    }
}
