//! The Merkle tree over each log's records, as tiles in redb. It grows in the transaction that writes the records, so that
//! no start has to hash a log again.

use lichen_log::tree::{
    Hash, RightTiles, TILE_WIDTH, TileError, TileKind, TileNodes, TilePath, TileSource, bundle,
    inclusion_proof, leaf_hash, tree_root,
};
use lichen_record::CampaignId;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::log::{self, RECORDS};
use super::log_file::LogFile;
use super::medium;
use crate::blobs::StoreError;

/// Tiles, partial ones included: binary content id of the campaign, level, index → hashes.
const TILES: TableDefinition<'_, TileKey, &[u8]> = TableDefinition::new("tiles");

type TileKey = (&'static [u8; 36], u8, u64);

/// Takes into the tree all records that it does not have yet: those just written, and those of a time before it.
pub(super) fn grow(transaction: &WriteTransaction, campaign: CampaignId) -> Result<(), StoreError> {
    let key = campaign.0.to_bytes();
    let records = transaction.open_table(RECORDS).map_err(medium)?;
    let mut tiles = transaction.open_table(TILES).map_err(medium)?;
    let size = size(&tiles, campaign)?;
    let mut right = RightTiles::load(size, |level, index| {
        let tile = tiles.get((&key, level, index)).map_err(medium)?.ok_or_else(damaged)?;
        Ok::<_, StoreError>(tile.value().as_chunks::<32>().0.to_vec())
    })?;
    let mut full: Vec<(u8, u64, Vec<u8>)> = Vec::new();
    for item in records.range((&key, size)..=(&key, u64::MAX)).map_err(medium)? {
        let (place, value) = item.map_err(medium)?;
        let (bytes, check) = value.value();
        let index = place.value().1;
        log::check_record(campaign, index, bytes, check)?;
        if index != right.size() {
            return Err(StoreError::DamagedRecord { campaign, index: right.size() });
        }
        right.append(leaf_hash(bytes), |level, index, hashes| full.push((level, index, hashes.concat())));
        for (level, index, hashes) in full.drain(..) {
            tiles.insert((&key, level, index), &hashes[..]).map_err(medium)?;
        }
    }
    if right.size() > size {
        for (level, index, hashes) in right.partial() {
            tiles.insert((&key, level, index), &hashes.concat()[..]).map_err(medium)?;
        }
    }
    Ok(())
}

/// The root of the tree's first `size` leaves; none if it does not have so many yet.
pub(super) fn root(file: &LogFile, campaign: CampaignId, size: u64) -> Result<Option<Hash>, StoreError> {
    let Some(tiles) = Tiles::open(&file.begin_read()?, campaign)?.filter(|tiles| tiles.size >= size) else {
        return Ok(None);
    };
    tree_root(&mut TileNodes::new(tiles, size), size).map(Some).map_err(unread)
}

/// That a leaf stands in the tree's first `size` ones; none if it does not have so many yet, or the leaf is not among them.
pub(super) fn inclusion(
    file: &LogFile,
    campaign: CampaignId,
    index: u64,
    size: u64,
) -> Result<Option<Vec<Hash>>, StoreError> {
    let tiles = Tiles::open(&file.begin_read()?, campaign)?;
    let Some(tiles) = tiles.filter(|tiles| tiles.size >= size && index < size) else { return Ok(None) };
    inclusion_proof(&mut TileNodes::new(tiles, size), index, size).map(Some).map_err(unread)
}

fn unread(error: TileError<StoreError>) -> StoreError {
    match error {
        TileError::Source(error) => error,
        TileError::Width { .. } | TileError::NotInTree => damaged(),
    }
}

/// A tile or a bundle; none if the tree does not have it.
pub(super) fn tile(
    file: &LogFile,
    campaign: CampaignId,
    path: &TilePath,
) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(mut tiles) =
        Tiles::open(&file.begin_read()?, campaign)?.filter(|tiles| path.is_in_tree(tiles.size))
    else {
        return Ok(None);
    };
    if path.kind() != TileKind::Entries {
        return tiles.tile(path).map(Some);
    }
    let from = path.index().saturating_mul(TILE_WIDTH as u64);
    let mut records = Vec::with_capacity(path.width());
    log::read(file, campaign, from, path.width(), |_index, bytes| {
        records.push(bytes.to_vec());
        Ok(())
    })?;
    if records.len() != path.width() {
        return Err(StoreError::DamagedRecord { campaign, index: from.saturating_add(records.len() as u64) });
    }
    bundle(records.iter().map(Vec::as_slice)).map(Some).map_err(medium)
}

/// Number of leaves.
fn size(tiles: &impl ReadableTable<TileKey, &'static [u8]>, campaign: CampaignId) -> Result<u64, StoreError> {
    let key = campaign.0.to_bytes();
    let last = tiles.range((&key, 0, 0)..=(&key, 0, u64::MAX)).map_err(medium)?.next_back();
    let Some(last) = last.transpose().map_err(medium)? else { return Ok(0) };
    let before = last.0.value().2.saturating_mul(TILE_WIDTH as u64);
    Ok(before.saturating_add((last.1.value().len() / size_of::<Hash>()) as u64))
}

fn damaged() -> StoreError {
    medium("the tree over the log is damaged")
}

/// The tiles of a campaign's log.
struct Tiles {
    table: ReadOnlyTable<TileKey, &'static [u8]>,
    campaign: CampaignId,
    size: u64,
}

impl Tiles {
    /// None where no record was written since there are trees.
    fn open(transaction: &ReadTransaction, campaign: CampaignId) -> Result<Option<Self>, StoreError> {
        let table = match transaction.open_table(TILES) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(error) => return Err(medium(error)),
        };
        let size = size(&table, campaign)?;
        Ok(Some(Self { table, campaign, size }))
    }
}

impl TileSource for Tiles {
    type Error = StoreError;

    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, StoreError> {
        let TileKind::Hashes(level) = path.kind() else { return Err(damaged()) };
        let tile = self.table.get((&self.campaign.0.to_bytes(), level, path.index())).map_err(medium)?;
        let tile = tile.ok_or_else(damaged)?;
        // One that has grown since is served as it was.
        let hashes = tile.value().get(..path.width() * size_of::<Hash>()).map(<[u8]>::to_vec);
        hashes.ok_or_else(damaged)
    }
}
