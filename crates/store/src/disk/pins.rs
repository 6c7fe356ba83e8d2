//! Which log names which pinned blobs: what each campaign takes, and what may go once no log needs it any more.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lichen_record::{CampaignId, Cid};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::folder::blocks;
use super::log::{self, RECORDS};
use super::{Disk, PINNED, Shared, medium};
use crate::blobs::StoreError;

/// Names: binary content ids of the blob and of the campaign whose log names it → the blob's length.
const NAMES: TableDefinition<'_, (&[u8; 36], &[u8; 36]), u64> = TableDefinition::new("names");

/// Logs whose names are all in that table: those of an earlier version have to be looked through first.
const COUNTED: TableDefinition<'_, &[u8; 36], ()> = TableDefinition::new("counted");

/// What the pinned blobs that one log names take. One that two logs name counts for both.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// Bytes of whole blocks.
    pub bytes: u64,
    /// How many blobs.
    pub blobs: u64,
}

/// The sums, as the table has them.
#[derive(Default)]
pub(super) struct Sums(Mutex<HashMap<CampaignId, Pins>>);

impl Disk {
    /// What the blobs take that a campaign's log names.
    #[must_use]
    pub fn pins(&self, campaign: CampaignId) -> Pins {
        self.shared.sums.of(campaign)
    }

    /// Whether all names in a log are counted. Those of an earlier version are not.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn is_counted(&self, campaign: CampaignId) -> Result<bool, StoreError> {
        self.blocking(move |shared| {
            let transaction = shared.database.begin_read()?;
            match transaction.open_table(COUNTED) {
                Ok(table) => Ok(table.get(&campaign.0.to_bytes()).map_err(medium)?.is_some()),
                Err(TableError::TableDoesNotExist(_)) => Ok(false),
                Err(error) => Err(medium(error)),
            }
        })
        .await
    }

    /// Counts the names in a log of an earlier version: those of the blobs that are pinned, and only once.
    ///
    /// # Errors
    /// If the tables cannot be written.
    pub async fn count(&self, campaign: CampaignId, named: Vec<Cid>) -> Result<(), StoreError> {
        self.blocking(move |shared| {
            let transaction = shared.database.begin_write()?;
            let mut pins = Vec::new();
            {
                let pinned = transaction.open_table(PINNED).map_err(medium)?;
                for cid in named {
                    let length = pinned.get(&cid.to_bytes()).map_err(medium)?;
                    pins.extend(length.map(|length| (cid, length.value())));
                }
            }
            let added = name(&transaction, campaign, &pins)?;
            mark(&transaction, campaign)?;
            transaction.commit().map_err(medium)?;
            shared.sums.add(campaign, added);
            Ok(())
        })
        .await
    }

    /// Takes back that a campaign's log names these blobs. Those that no other log names are unpinned from then on, and dropped a
    /// little later by [`Disk::sweep`]. Where a log is not counted yet that may name them, all stay.
    ///
    /// # Errors
    /// If the tables cannot be written; nothing is changed then.
    pub async fn unpin(&self, campaign: CampaignId, cids: Vec<Cid>) -> Result<usize, StoreError> {
        self.blocking(move |shared| shared.unpin(campaign, &cids)).await
    }

    /// Makes a log what one of an earlier version is.
    #[cfg(test)]
    pub(super) async fn forget_counts(&self, campaign: CampaignId) -> Result<(), StoreError> {
        self.blocking(move |shared| {
            let transaction = shared.database.begin_write()?;
            {
                let key = campaign.0.to_bytes();
                transaction.open_table(COUNTED).map_err(medium)?.remove(&key).map_err(medium)?;
                let mut names = transaction.open_table(NAMES).map_err(medium)?;
                names.retain(|(_blob, of), _length| *of != key).map_err(medium)?;
            }
            shared.sums.held().remove(&campaign);
            transaction.commit().map_err(medium)
        })
        .await
    }

    /// Makes sure that a blob which somebody is about to name is not dropped in the meantime, and says whether it is here.
    ///
    /// # Errors
    /// If the table of pinned blobs cannot be read.
    pub async fn touch(&self, cid: &Cid) -> Result<bool, StoreError> {
        let cid = *cid;
        self.blocking(move |shared| Ok(shared.folder.touch(&cid) || shared.is_pinned(&cid)?)).await
    }
}

impl Shared {
    /// Writes a row for each blob that has none, and returns all with their lengths; none of them is dropped meanwhile.
    pub(super) fn pin(
        &self,
        transaction: &WriteTransaction,
        cids: &[Cid],
    ) -> Result<Vec<(Cid, u64)>, StoreError> {
        let mut pinned = transaction.open_table(PINNED).map_err(medium)?;
        let mut lengths = Vec::with_capacity(cids.len());
        for cid in cids {
            let key = cid.to_bytes();
            let known = pinned.get(&key).map_err(medium)?.map(|length| length.value());
            let length = match known {
                Some(length) => length,
                None => self.folder.want(cid).ok_or(StoreError::Missing { cid: *cid })?,
            };
            pinned.insert(&key, length).map_err(medium)?;
            lengths.push((*cid, length));
        }
        Ok(lengths)
    }

    fn unpin(&self, campaign: CampaignId, cids: &[Cid]) -> Result<usize, StoreError> {
        let transaction = self.database.begin_write()?;
        let mut taken = Pins::default();
        let mut left = Vec::new();
        {
            let may_go = is_all_counted(&transaction)?;
            let mut names = transaction.open_table(NAMES).map_err(medium)?;
            let mut pinned = transaction.open_table(PINNED).map_err(medium)?;
            for cid in cids {
                let blob = cid.to_bytes();
                let length = names.remove((&blob, &campaign.0.to_bytes())).map_err(medium)?;
                let Some(length) = length.map(|length| length.value()) else { continue };
                taken.add(length);
                if may_go && !is_named(&names, &blob)? && pinned.remove(&blob).map_err(medium)?.is_some() {
                    left.push((*cid, length));
                }
            }
        }
        // Before the rows are gone: whoever pins one of them next finds it unpinned.
        self.folder.unpin(&left);
        if let Err(error) = transaction.commit() {
            self.folder.pin(&left.iter().map(|(cid, _length)| *cid).collect::<Vec<_>>());
            return Err(medium(error));
        }
        self.sums.take(campaign, taken);
        Ok(left.len())
    }

    /// Takes back every name of a blob that is about to be removed.
    pub(super) fn forget(
        &self,
        transaction: &WriteTransaction,
        cid: &Cid,
    ) -> Result<Vec<(CampaignId, u64)>, StoreError> {
        let blob = cid.to_bytes();
        let mut names = transaction.open_table(NAMES).map_err(medium)?;
        let mut found = Vec::new();
        for item in names.range((&blob, &FIRST)..=(&blob, &LAST)).map_err(medium)? {
            let (key, length) = item.map_err(medium)?;
            found.push((CampaignId(Cid::try_from(&key.value().1[..]).map_err(medium)?), length.value()));
        }
        for (campaign, _length) in &found {
            names.remove((&blob, &campaign.0.to_bytes())).map_err(medium)?;
        }
        Ok(found)
    }
}

impl Sums {
    /// Adds up what the table has.
    pub(super) fn open(database: &Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(medium)?;
        let table = match transaction.open_table(NAMES) {
            Err(TableError::TableDoesNotExist(_)) => return Ok(Self::default()),
            table => table.map_err(medium)?,
        };
        let mut sums: HashMap<[u8; 36], Pins> = HashMap::new();
        for item in table.iter().map_err(medium)? {
            let (key, length) = item.map_err(medium)?;
            sums.entry(*key.value().1).or_default().add(length.value());
        }
        let named = sums
            .into_iter()
            .map(|(key, pins)| Ok((CampaignId(Cid::try_from(&key[..]).map_err(medium)?), pins)));
        Ok(Self(Mutex::new(named.collect::<Result<_, StoreError>>()?)))
    }

    fn of(&self, campaign: CampaignId) -> Pins {
        self.held().get(&campaign).copied().unwrap_or_default()
    }

    pub(super) fn add(&self, campaign: CampaignId, added: Pins) {
        let mut sums = self.held();
        let sum = sums.entry(campaign).or_default();
        sum.bytes = sum.bytes.saturating_add(added.bytes);
        sum.blobs = sum.blobs.saturating_add(added.blobs);
    }

    pub(super) fn take(&self, campaign: CampaignId, taken: Pins) {
        let mut sums = self.held();
        let sum = sums.entry(campaign).or_default();
        sum.bytes = sum.bytes.saturating_sub(taken.bytes);
        sum.blobs = sum.blobs.saturating_sub(taken.blobs);
    }

    // Each change is whole whatever happened to another thread.
    fn held(&self) -> MutexGuard<'_, HashMap<CampaignId, Pins>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pins {
    pub(super) fn add(&mut self, length: u64) {
        self.bytes = self.bytes.saturating_add(blocks(length));
        self.blobs = self.blobs.saturating_add(1);
    }
}

/// The first and the last binary content id there may be.
const FIRST: [u8; 36] = [0; 36];
const LAST: [u8; 36] = [u8::MAX; 36];

/// Notes that a log names these blobs, with their lengths; what that adds.
pub(super) fn name(
    transaction: &WriteTransaction,
    campaign: CampaignId,
    pins: &[(Cid, u64)],
) -> Result<Pins, StoreError> {
    let mut names = transaction.open_table(NAMES).map_err(medium)?;
    let (key, mut added) = (campaign.0.to_bytes(), Pins::default());
    for (cid, length) in pins {
        if names.insert((&cid.to_bytes(), &key), *length).map_err(medium)?.is_none() {
            added.add(*length);
        }
    }
    Ok(added)
}

/// Notes that all names of a log are counted.
pub(super) fn mark(transaction: &WriteTransaction, campaign: CampaignId) -> Result<(), StoreError> {
    transaction.open_table(COUNTED).map_err(medium)?.insert(&campaign.0.to_bytes(), ()).map_err(medium)?;
    Ok(())
}

/// Whether some log names this blob.
fn is_named(
    names: &impl ReadableTable<(&'static [u8; 36], &'static [u8; 36]), u64>,
    blob: &[u8; 36],
) -> Result<bool, StoreError> {
    let mut found = names.range((blob, &FIRST)..=(blob, &LAST)).map_err(medium)?;
    Ok(found.next().transpose().map_err(medium)?.is_some())
}

/// Whether every log in the file is counted.
fn is_all_counted(transaction: &WriteTransaction) -> Result<bool, StoreError> {
    let counted = transaction.open_table(COUNTED).map_err(medium)?;
    let counted: HashSet<[u8; 36]> = counted
        .iter()
        .map_err(medium)?
        .map(|item| Ok(*item.map_err(medium)?.0.value()))
        .collect::<Result<_, StoreError>>()?;
    let records = transaction.open_table(RECORDS).map_err(medium)?;
    Ok(log::campaigns(&records)?.iter().all(|campaign| counted.contains(campaign)))
}

#[cfg(test)]
mod tests;
