//! Blobs and keys by content id: memory, IndexedDB, redb.
//!
//! Every store of blobs keeps one promise: bytes go in and come out only if they are the ones their id names. One
//! suite of tests runs over all of them.

mod blobs;
#[cfg(all(feature = "redb", not(target_arch = "wasm32")))]
mod disk;
#[cfg(target_arch = "wasm32")]
mod indexed_db;
mod memory;
mod recent;
#[cfg(test)]
mod suite;

pub use blobs::{Blobs, StoreError};
#[cfg(all(feature = "redb", not(target_arch = "wasm32")))]
pub use disk::{BlobReader, BlobWriter, Disk, PART, Pins, Usage};
#[cfg(target_arch = "wasm32")]
pub use indexed_db::IndexedDb;
pub use memory::Memory;
pub use recent::Recent;
