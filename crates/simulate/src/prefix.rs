//! The log as the relay shows it: its records, and the prefixes of it that tabs have read.

use std::cell::RefCell;
use std::rc::Rc;

use lichen_log::{Head, Record, Replica};
use lichen_record::{Entry, Verified};
use lichen_round::CampaignState;

/// A record, with its entry as it was verified at the relay's door.
pub(crate) struct Item {
    pub(crate) record: Record,
    pub(crate) entry: Verified<Entry>,
    /// Bytes on the wire.
    pub(crate) bytes: usize,
}

/// One log. A relay that forks, or forgets, goes on with another one.
#[derive(Default)]
pub(crate) struct Branch(RefCell<Vec<Rc<Item>>>);

impl Branch {
    pub(crate) fn len(&self) -> usize {
        self.0.borrow().len()
    }

    pub(crate) fn push(&self, item: Rc<Item>) {
        self.0.borrow_mut().push(item);
    }

    pub(crate) fn get(&self, index: usize) -> Option<Rc<Item>> {
        self.0.borrow().get(index).cloned()
    }

    pub(crate) fn range(&self, from: usize, to: usize) -> Vec<Rc<Item>> {
        let items = self.0.borrow();
        items.get(from..to.min(items.len())).unwrap_or_default().to_vec()
    }

    /// A log of the first so many of its records.
    pub(crate) fn cut(&self, length: usize) -> Self {
        Self(RefCell::new(self.range(0, length)))
    }
}

/// The beginning of a log, as it was read and checked by a real replica, with the state that it folds to.
pub(crate) struct Prefix {
    pub(crate) branch: Rc<Branch>,
    pub(crate) replica: Replica,
    /// The head that came with it.
    pub(crate) head: Verified<Head>,
    pub(crate) state: RefCell<CampaignState>,
    /// Bytes of its records.
    pub(crate) bytes: u64,
}

impl Prefix {
    pub(crate) fn length(&self) -> usize {
        usize::try_from(self.replica.length()).unwrap_or(usize::MAX)
    }

    /// Whether everything that another one has stands here at the same place.
    pub(crate) fn extends(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.branch, &other.branch) && self.length() >= other.length()
    }
}
