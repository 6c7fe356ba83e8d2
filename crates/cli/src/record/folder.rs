//! Reads a record from a folder.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use lichen_audit::{Source, SourceError};
use lichen_log::tree::{MAX_BUNDLE, TILE_WIDTH, TileKind, TilePath, unbundle};
use lichen_log::{MAX_NOTE, MAX_RECORD, Record};
use lichen_net::hub::Records;
use lichen_record::{CampaignId, Cid, MAX_ENVELOPE, decode};

use super::{CONTENTS, Contents, VERSION};
use crate::tree_source::Shown;

/// Most bytes of `record.json`.
const MAX_CONTENTS: usize = 4096;

/// A folder with the record of one campaign.
pub(crate) struct RecordFolder {
    folder: PathBuf,
    contents: Contents,
}

impl RecordFolder {
    /// Opens a folder that `lichen export` has written.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Self> {
        match Self::find(folder)? {
            Some(record) => Ok(record),
            None => bail!(
                "{} holds no record: it has no {CONTENTS}, which `lichen export` writes when all else is there",
                folder.display()
            ),
        }
    }

    /// Opens a folder; none if it holds no record.
    pub(super) fn find(folder: &Path) -> anyhow::Result<Option<Self>> {
        let place = folder.join(CONTENTS);
        let bytes = match read(&place, MAX_CONTENTS) {
            Ok(bytes) => bytes,
            Err(SourceError::NotFound) => return Ok(None),
            Err(error) => return Err(error).with_context(|| place.display().to_string()),
        };
        let contents: Contents =
            serde_json::from_slice(&bytes).with_context(|| place.display().to_string())?;
        if contents.version != VERSION {
            bail!("{} is of version {}, not {VERSION}", place.display(), contents.version);
        }
        Ok(Some(Self { folder: folder.to_owned(), contents }))
    }

    /// The campaign whose record it is.
    pub(crate) const fn campaign(&self) -> CampaignId {
        self.contents.campaign
    }

    fn bundle(&self, index: u64) -> Result<Option<Vec<Record>>, SourceError> {
        let Some(path) = TilePath::in_tree(TileKind::Entries, index, self.contents.records) else {
            return Ok(None);
        };
        let malformed = |error: &dyn std::fmt::Display| SourceError::Malformed(format!("{path}: {error}"));
        let bytes = read(&self.folder.join(path.to_string()), MAX_BUNDLE)?;
        let records = unbundle(&bytes, path.width()).map_err(|error| malformed(&error))?;
        let records = records.into_iter().map(|record| decode(record, MAX_RECORD));
        records.collect::<Result<_, _>>().map(Some).map_err(|error| malformed(&error))
    }
}

impl Source for RecordFolder {
    async fn records(&self, campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError> {
        if campaign != self.contents.campaign {
            return Err(SourceError::NotFound);
        }
        let head = read(&self.folder.join("head"), MAX_ENVELOPE)?;
        let width = TILE_WIDTH as u64;
        let bundle = self.bundle(from / width)?.unwrap_or_default();
        let before = usize::try_from(from % width).unwrap_or_default();
        let records = bundle.into_iter().skip(before).take(limit).collect();
        Ok(Records { records, head })
    }

    async fn blob(&self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError> {
        read(&blob(&self.folder, cid), cap)
    }
}

impl Shown for RecordFolder {
    fn log_key(&mut self) -> Result<Vec<u8>, SourceError> {
        read(&self.folder.join("log-key"), MAX_ENVELOPE)
    }

    fn log_checkpoint(&mut self) -> Result<Vec<u8>, SourceError> {
        read(&self.folder.join("checkpoint"), MAX_NOTE)
    }

    fn witnessed_checkpoint(&mut self) -> Result<Vec<u8>, SourceError> {
        read(&self.folder.join("witnessed"), MAX_NOTE)
    }
}

/// Where a blob is.
pub(super) fn blob(folder: &Path, cid: &Cid) -> PathBuf {
    folder.join("blob").join(cid.to_string())
}

/// A file's bytes, at most `cap` of them.
pub(super) fn read(path: &Path, cap: usize) -> Result<Vec<u8>, SourceError> {
    let unreadable = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound => SourceError::NotFound,
        _ => SourceError::Unreachable(format!("{}: {error}", path.display())),
    };
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that is too long differs from one that just fits.
    file.take(cap as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() > cap { Err(SourceError::TooLarge { cap }) } else { Ok(bytes) }
}
