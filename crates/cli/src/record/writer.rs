//! Writes a log into a folder, as C2SP's tlog-tiles lays it out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use lichen_log::Record;
use lichen_log::tree::{RightTiles, TILE_WIDTH, TileKind, TilePath, bundle, leaf_hash};
use lichen_record::encode;

/// Writes records in their order, in bundles, and the hashes of the tree over them.
pub(super) struct LogWriter {
    folder: PathBuf,
    tiles: RightTiles,
    /// The records of the bundle that is not full yet.
    bundle: Vec<Vec<u8>>,
}

impl LogWriter {
    pub(super) fn new(folder: &Path) -> io::Result<Self> {
        let none = |_level, _index| Err(io::Error::other("an empty tree has tiles"));
        Ok(Self { folder: folder.to_owned(), tiles: RightTiles::load(0, none)?, bundle: Vec::new() })
    }

    /// Number of records.
    pub(super) const fn length(&self) -> u64 {
        self.tiles.size()
    }

    /// Adds the next record.
    pub(super) fn append(&mut self, record: &Record) -> io::Result<()> {
        let leaf = encode(record).map_err(io::Error::other)?;
        let mut full = Vec::new();
        self.tiles
            .append(leaf_hash(&leaf), |level, index, hashes| full.push((level, index, hashes.concat())));
        self.bundle.push(leaf);
        for (level, index, hashes) in full {
            self.write(TileKind::Hashes(level), index, &hashes)?;
        }
        if self.bundle.len() == TILE_WIDTH {
            self.write_bundle()?;
            self.bundle.clear();
        }
        Ok(())
    }

    /// Writes what is not full, so that whoever reads a tree of this size finds all of it.
    pub(super) fn write_partial(&self) -> io::Result<()> {
        for (level, index, hashes) in self.tiles.partial() {
            self.write(TileKind::Hashes(level), index, &hashes.concat())?;
        }
        if self.bundle.is_empty() { Ok(()) } else { self.write_bundle() }
    }

    fn write_bundle(&self) -> io::Result<()> {
        let index = self.length().saturating_sub(1) / TILE_WIDTH as u64;
        let bytes = bundle(self.bundle.iter().map(Vec::as_slice)).map_err(io::Error::other)?;
        self.write(TileKind::Entries, index, &bytes)
    }

    fn write(&self, kind: TileKind, index: u64, bytes: &[u8]) -> io::Result<()> {
        let path = TilePath::in_tree(kind, index, self.length());
        let path = path.ok_or_else(|| io::Error::other("a tile is not in its tree"))?;
        write(&self.folder.join(path.to_string()), bytes)
    }
}

/// Writes a file as a whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = path.with_added_extension("part");
    fs::write(&part, bytes)?;
    fs::rename(part, path)
}

#[cfg(test)]
mod tests {
    use lichen_log::tree::Edge;
    use tlog_tiles::{HashReader as _, Tile, TileHashReader, TileReader, stored_hash_index};

    use super::*;

    /// The folder, as another implementation of tlog-tiles reads it.
    struct Theirs<'a>(&'a Path);

    impl TileReader for Theirs<'_> {
        fn height(&self) -> u8 {
            8
        }

        fn read_tiles(&self, tiles: &[Tile]) -> Result<Vec<Vec<u8>>, tlog_tiles::Error> {
            let read =
                |tile: &Tile| fs::read(self.0.join(tile.path().replacen("tile/8/", "tile/", 1))).unwrap();
            Ok(tiles.iter().map(read).collect())
        }

        fn save_tiles(&self, _tiles: &[Tile], _data: &[Vec<u8>]) {}
    }

    #[test]
    fn another_implementation_reads_the_tree_at_every_size_that_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let (mut log, mut edge) = (LogWriter::new(folder.path()).unwrap(), Edge::default());
        for size in 1..=600_u64 {
            let record = Record { index: size - 1, time: size, entry: vec![7; 40], hash: [1; 32] };
            log.append(&record).unwrap();
            edge.append(leaf_hash(&encode(&record).unwrap()));
            if [1, 255, 256, 257, 511, 600].contains(&size) {
                log.write_partial().unwrap();
                let theirs = Theirs(folder.path());
                let reader = TileHashReader::new(size, tlog_tiles::Hash(edge.root()), &theirs);
                let leaves: Vec<u64> = (0..size).map(|index| stored_hash_index(0, index)).collect();
                // Everything that it reads, it checks against the root.
                assert_eq!(reader.read_hashes(&leaves).unwrap().len() as u64, size);
            }
        }
        assert!(folder.path().join("tile/entries/001").is_file());
        assert!(folder.path().join("tile/entries/002.p/88").is_file());
    }
}
