//! Largest sizes of what crosses the network.

/// Most bytes an [`Envelope`](crate::Envelope) may take, whatever it carries.
pub const MAX_ENVELOPE: usize = 4 * 1024;

/// Most bytes a log entry may take, its envelope included.
pub const MAX_ENTRY: usize = MAX_ENVELOPE;

/// Most bytes a blob (checkpoint, update, data chunk) may take.
pub const MAX_BLOB: usize = 64 * 1024 * 1024;

/// Most bytes a campaign's manifest may take.
pub const MAX_MANIFEST: usize = 64 * 1024;
