//! The last hashes of the log's chain, as this tab was shown it, to hold against what others were shown.

use std::collections::VecDeque;

/// Records whose hashes are kept: what comes in a minute where a thousand take part.
const RECENT: usize = 16_384;

/// The chain's hashes after each of the last records.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The newest last.
    hashes: VecDeque<[u8; 32]>,
    length: u64,
}

/// Another log than the one here: as many records of both, and the hash of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fork {
    pub(crate) length: u64,
    pub(crate) theirs: [u8; 32],
    pub(crate) here: [u8; 32],
}

impl History {
    /// Takes in a record that was checked: how long the log is with it, and the chain's hash.
    pub(crate) fn read(&mut self, length: u64, hash: [u8; 32]) {
        if length != self.length.saturating_add(1) {
            self.hashes.clear();
        }
        if self.hashes.len() >= RECENT {
            self.hashes.pop_front();
        }
        self.hashes.push_back(hash);
        self.length = length;
    }

    /// Number of records here.
    pub(crate) const fn length(&self) -> u64 {
        self.length
    }

    /// Whether a log with this hash after so many records is the one here; none where that is not known any more, or not yet.
    pub(crate) fn is_of(&self, length: u64, theirs: [u8; 32]) -> Option<Result<(), Fork>> {
        let back = usize::try_from(self.length.checked_sub(length)?).ok()?;
        let here = *self.hashes.get(self.hashes.len().checked_sub(1)?.checked_sub(back)?)?;
        Some(if here == theirs { Ok(()) } else { Err(Fork { length, theirs, here }) })
    }
}

/// Bytes as people compare and keep them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
pub(crate) mod tests {
    use super::*;

    /// The hash after so many records of one of several logs.
    pub(crate) fn hash(length: u64, log: u8) -> [u8; 32] {
        let mut hash = [log; 32];
        hash[..8].copy_from_slice(&length.to_be_bytes());
        hash
    }

    #[test]
    fn only_so_many_hashes_are_kept() {
        let mut history = History::default();
        let length = RECENT as u64 + 10;
        (1..=length).for_each(|length| history.read(length, hash(length, 1)));
        assert_eq!((history.hashes.len(), history.length()), (RECENT, length));
        assert_eq!(history.is_of(10, hash(10, 1)), None);
        assert_eq!(history.is_of(11, hash(11, 1)), Some(Ok(())));
        let fork = Fork { length: 11, theirs: hash(11, 2), here: hash(11, 1) };
        assert_eq!(history.is_of(11, hash(11, 2)), Some(Err(fork)));
        assert_eq!(history.is_of(length, hash(length, 1)), Some(Ok(())));
        assert_eq!(history.is_of(length + 1, hash(length + 1, 1)), None);
    }

    #[test]
    fn whoever_begins_late_knows_nothing_of_what_was_before() {
        let mut history = History::default();
        assert_eq!(history.is_of(0, hash(0, 1)), None);
        history.read(3, hash(3, 1));
        (800..=900).for_each(|length| history.read(length, hash(length, 1)));
        assert_eq!(history.is_of(799, hash(799, 2)), None);
        assert_eq!(history.is_of(3, hash(3, 1)), None);
        assert_eq!(history.is_of(800, hash(800, 1)), Some(Ok(())));
    }
}
