//! The states that a training went through, by the hashes of their blobs: what a contribution commits to beside its update.

use lichen_campaign::Manifest;
use lichen_engine::{EngineError, snapshot_length, step_program};
use lichen_record::Cid;

/// Bytes of a hash.
const DIGEST: usize = 32;

/// The hashes of a training's states, first to last.
///
/// As a blob they stand one behind the other, and the contribution names the blob: so it commits to each of them, as it would by
/// the root of a tree over them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace(Vec<u8>);

/// Why bytes are no trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a trace of {states} states takes {} bytes, and not {found}", *.states as usize * DIGEST)]
pub struct TraceError {
    /// States that there have to be.
    pub states: u32,
    /// Bytes given.
    pub found: usize,
}

impl Trace {
    /// Reads a trace of so many states.
    ///
    /// # Errors
    /// [`TraceError`] if there are more bytes, or fewer.
    pub fn decode(bytes: &[u8], states: u32) -> Result<Self, TraceError> {
        if bytes.len() != Self::length(states) {
            return Err(TraceError { states, found: bytes.len() });
        }
        Ok(Self(bytes.to_vec()))
    }

    /// Bytes of a trace of so many states.
    #[must_use]
    pub const fn length(states: u32) -> usize {
        (states as usize).saturating_mul(DIGEST)
    }

    /// Adds a state.
    pub fn push(&mut self, state: &Cid) {
        self.0.extend_from_slice(state.digest());
    }

    /// Whether the state of this place, from 0, is this one.
    #[must_use]
    pub fn has(&self, place: u32, state: &Cid) -> bool {
        let from = Self::length(place);
        self.0.get(from..from.saturating_add(DIGEST)) == Some(state.digest())
    }

    /// Whether it has no states.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The blob.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The blob's id.
    #[must_use]
    pub fn id(&self) -> Cid {
        Cid::of_raw(&self.0)
    }
}

/// Bytes of the blob of one state of a campaign's trainings.
///
/// # Errors
/// [`EngineError`] if the manifest's model or training cannot be had.
pub fn state_length(manifest: &Manifest) -> Result<usize, EngineError> {
    Ok(snapshot_length(&step_program(&manifest.model, &manifest.train)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_has_its_states_in_their_places() {
        let states: Vec<Cid> = (0..3_u8).map(|number| Cid::of_raw(&[number])).collect();
        let mut trace = Trace::default();
        assert!(trace.is_empty());
        states.iter().for_each(|state| trace.push(state));
        assert_eq!(Trace::decode(trace.bytes(), 3), Ok(trace.clone()));
        for (place, state) in (0..).zip(&states) {
            assert!(trace.has(place, state) && !trace.has(place + 1, state));
        }
        assert!(!trace.has(u32::MAX, &states[0]));
    }

    #[test]
    fn another_length_is_refused() {
        for (length, states) in [(0, 1), (31, 1), (33, 1), (64, 1), (32, 0), (32, u32::MAX)] {
            let error = Trace::decode(&vec![0; length], states).unwrap_err();
            assert_eq!(error, TraceError { states, found: length });
        }
        assert_eq!(Trace::decode(&[], 0), Ok(Trace::default()));
    }
}
