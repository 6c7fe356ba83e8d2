//! What clients and witnesses of the log's tree read: paths of tiles, bundles of entries, notes and checkpoints.

#![expect(clippy::unwrap_used, reason = "a target panics to report a finding")]

use lichen_log::tree::{TileKind, TilePath, bundle, unbundle};
use lichen_log::{KeyKind, LogCheckpoint, MAX_NOTE, Note, VerifierKey};

use crate::targets::{Target, text};

const NOTE: &str = include_str!("../../../../crates/log/golden/checkpoint.txt");

/// Entries of the bundles.
const ENTRIES: usize = 3;

/// All of them.
pub(crate) fn all() -> Vec<Target> {
    let path = |kind, index, size| TilePath::in_tree(kind, index, size).unwrap();
    let key = |kind| VerifierKey::new("example.org/key", kind, [7; 32]).unwrap();
    let paths = [
        path(TileKind::Hashes(0), 1_234_067, u64::MAX),
        path(TileKind::Hashes(2), 0, 70_000),
        path(TileKind::Entries, 1, 300),
    ];
    vec![
        text("tile-path", &paths),
        text("verifier-key", &[key(KeyKind::Note), key(KeyKind::Cosignature)]),
        text("log-checkpoint", &[LogCheckpoint::new(&key(KeyKind::Note), 7, [9; 32])]),
        note(),
        entries(),
    ]
}

fn note() -> Target {
    Target {
        name: "note",
        cap: MAX_NOTE + 1,
        valid: vec![NOTE.into()],
        accepts: Box::new(|input| {
            let Ok(note) = Note::from_bytes(input) else { return false };
            assert_eq!(note.to_string().as_bytes(), input, "accepted in another form than its own");
            true
        }),
    }
}

fn entries() -> Target {
    Target {
        name: "bundle",
        cap: 16 * 1024,
        valid: vec![bundle([&b"first"[..], b"", b"third"].into_iter()).unwrap()],
        accepts: Box::new(|input| {
            let Ok(entries) = unbundle(input, ENTRIES) else { return false };
            assert_eq!(bundle(entries.into_iter()).unwrap(), input, "accepted in another form than its own");
            true
        }),
    }
}
