//! Blobs and keys by content id: memory, IndexedDB, redb.
