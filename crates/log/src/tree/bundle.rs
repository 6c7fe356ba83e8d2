//! Bundles of entries: each entry after its length.

use alloc::vec::Vec;

use super::tile::TILE_WIDTH;
use crate::MAX_RECORD;

/// Most bytes of a bundle.
pub const MAX_BUNDLE: usize = TILE_WIDTH * (MAX_RECORD + 2);

/// Why bytes are no bundle of so many entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It ends within an entry, or has fewer.
    #[error("the bundle ends within its entry {0}")]
    Short(usize),
    /// It goes on after its last entry.
    #[error("the bundle has {0} bytes too many")]
    Long(usize),
    /// An entry is larger than a record may be.
    #[error("the bundle's entry {0} is too large")]
    Large(usize),
}

/// Puts entries into a bundle.
///
/// # Errors
/// [`BundleError::Large`] naming an entry that has no place in one.
pub fn bundle<'a>(entries: impl Iterator<Item = &'a [u8]>) -> Result<Vec<u8>, BundleError> {
    let mut bytes = Vec::new();
    for (place, entry) in entries.enumerate() {
        let length = u16::try_from(entry.len()).map_err(|_large| BundleError::Large(place))?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(entry);
    }
    Ok(bytes)
}

/// Takes a bundle of `count` entries apart.
///
/// # Errors
/// [`BundleError`] if it is not exactly that.
pub fn unbundle(bytes: &[u8], count: usize) -> Result<Vec<&[u8]>, BundleError> {
    let (mut rest, mut entries) = (bytes, Vec::with_capacity(count.min(TILE_WIDTH)));
    for place in 0..count {
        let (length, after) = rest.split_first_chunk().ok_or(BundleError::Short(place))?;
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MAX_RECORD {
            return Err(BundleError::Large(place));
        }
        let (entry, after) = after.split_at_checked(length).ok_or(BundleError::Short(place))?;
        entries.push(entry);
        rest = after;
    }
    if rest.is_empty() { Ok(entries) } else { Err(BundleError::Long(rest.len())) }
}
