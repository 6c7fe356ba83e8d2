//! How much room blobs may take that no entry names yet.
//!
//! Handing over a blob costs nothing, and one that no entry names is of use to nobody. So they have a quota: each account's,
//! each network's, and one for all, where the oldest of whoever has the most give way. And they stop while there is still
//! room for the log: a reserve on the disk is for that alone.
//!
//! A blob counts until an entry names it, or it is swept away.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lichen_net::hub::Reason;
use lichen_record::{AccountId, Cid};
use lichen_store::Disk;
use rustix::fs::statvfs;

use crate::operating::metrics::Metrics;

/// A blob is not dropped for another's sake before an entry has had this long to name it.
const LEAST_AGE: Duration = Duration::from_secs(10);

/// How long it is believed how much of the disk is free.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// What has to stay free on the disk unless the operator says otherwise, and which part of a small disk at most.
const RESERVE: u64 = 1024 * 1024 * 1024;
const RESERVE_SHARE: u64 = 10;

/// What a blob takes at least: a block of the disk.
const LEAST_BYTES: u64 = 4096;

/// What an operator may set, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) all: u64,
    pub(crate) per_address: u64,
    pub(crate) per_account: u64,
    /// What has to stay free on the disk, where the operator says so.
    pub(crate) reserve: Option<u64>,
}

/// Who handed over which unpinned blobs.
pub(crate) struct Unpinned {
    limits: Limits,
    disk: Disk,
    folder: PathBuf,
    held: Mutex<Held>,
    metrics: Arc<Metrics>,
}

#[derive(Default)]
struct Held {
    next: u64,
    /// Oldest first.
    blobs: BTreeMap<u64, Blob>,
    numbers: HashMap<Cid, u64>,
    /// Bytes of blobs stored and on their way.
    by_account: HashMap<AccountId, u64>,
    by_network: HashMap<IpAddr, u64>,
    space: Option<(Instant, bool)>,
}

/// Who handed a blob over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whose {
    pub(crate) account: AccountId,
    pub(crate) network: IpAddr,
}

#[derive(Clone, Copy)]
struct Blob {
    cid: Cid,
    bytes: u64,
    whose: Whose,
    came: Instant,
}

/// Room for a blob that is on its way; given back when dropped.
pub(crate) struct Claim<'a> {
    unpinned: &'a Unpinned,
    whose: Whose,
    bytes: u64,
}

impl Unpinned {
    /// Counts the unpinned blobs of a store whose files are on the same disk as this folder.
    pub(crate) fn new(limits: Limits, disk: Disk, folder: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self { limits, disk, folder, held: Mutex::default(), metrics }
    }

    /// Whether blobs are refused because the rest of the disk is the log's.
    pub(crate) fn is_short_of_space(&self) -> bool {
        let mut held = self.held();
        let now = Instant::now();
        if let Some((at, is_short)) = held.space
            && now.saturating_duration_since(at) < LOOK_INTERVAL
        {
            return is_short;
        }
        let Ok(space) = statvfs(&self.folder) else { return false };
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        let whole = space.f_blocks.saturating_mul(space.f_frsize);
        let is_short = free < self.limits.reserve.unwrap_or_else(|| RESERVE.min(whole / RESERVE_SHARE));
        self.metrics.disk_free.set(i64::try_from(free).unwrap_or(i64::MAX));
        held.space = Some((now, is_short));
        is_short
    }

    /// Reserves room for a blob of this many bytes, before the first of them is read.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn claim(&self, whose: Whose, bytes: u64) -> Result<Claim<'_>, Reason> {
        if self.is_short_of_space() {
            self.metrics.limit("disk_reserve");
            return Err(Reason::DiskFull);
        }
        let bytes = bytes.max(LEAST_BYTES);
        let (claim, gone) = self.room(whose, bytes)?;
        for cid in gone {
            match self.disk.drop_unpinned(&cid).await {
                Ok(true) => {
                    self.metrics.blobs_dropped.inc();
                }
                Ok(false) => {}
                Err(error) => tracing::error!(%error, "cannot drop a blob that no entry names"),
            }
        }
        Ok(claim)
    }

    /// An entry names these blobs now.
    pub(crate) fn named(&self, cids: &[Cid]) {
        let mut held = self.held();
        for cid in cids {
            held.forget(cid);
        }
    }

    /// Forgets what is not in the store any more.
    pub(crate) fn look_through(&self) {
        let mut held = self.held();
        let gone: Vec<Cid> = held.numbers.keys().filter(|cid| !self.disk.is_unpinned(cid)).copied().collect();
        for cid in &gone {
            held.forget(cid);
        }
        drop(held);
        self.metrics.unpinned_bytes.set(i64::try_from(self.disk.usage().unpinned).unwrap_or(i64::MAX));
    }

    /// Counts a blob that is to come, and says which have to give way for it.
    fn room(&self, whose: Whose, bytes: u64) -> Result<(Claim<'_>, Vec<Cid>), Reason> {
        let mut held = self.held();
        let (of_account, of_network) = held.of(whose);
        if of_account.saturating_add(bytes) > self.limits.per_account {
            self.metrics.limit("unpinned_bytes_per_account");
            return Err(Reason::QuotaUnpinned);
        }
        if of_network.saturating_add(bytes) > self.limits.per_address {
            self.metrics.limit("unpinned_bytes_per_address");
            return Err(Reason::QuotaUnpinned);
        }
        let usage = self.disk.usage();
        let all = usage.unpinned.saturating_add(usage.incoming).saturating_add(bytes);
        let mut gone = Vec::new();
        if let Some(missing @ 1..) = all.checked_sub(self.limits.all) {
            self.metrics.limit("unpinned_bytes");
            gone = held.give_way(missing, of_network + bytes, Instant::now()).ok_or(Reason::QuotaUnpinned)?;
        }
        held.add(whose, bytes);
        Ok((Claim { unpinned: self, whose, bytes }, gone))
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Counts stay right whatever happened to another thread: nothing in between can fail.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim<'_> {
    /// Counts the blob, now stored under this id, unless an entry names it already.
    pub(crate) fn stored(self, cid: Cid) {
        if self.unpinned.disk.is_unpinned(&cid) {
            let blob = Blob { cid, bytes: self.bytes, whose: self.whose, came: Instant::now() };
            self.unpinned.held().enter(blob);
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.unpinned.held().take(self.whose, self.bytes);
    }
}

impl Held {
    /// Bytes of an account, and of a network.
    fn of(&self, whose: Whose) -> (u64, u64) {
        let of_account = self.by_account.get(&whose.account).copied().unwrap_or_default();
        (of_account, self.by_network.get(&whose.network).copied().unwrap_or_default())
    }

    fn add(&mut self, whose: Whose, bytes: u64) {
        *self.by_account.entry(whose.account).or_default() += bytes;
        *self.by_network.entry(whose.network).or_default() += bytes;
    }

    fn take(&mut self, whose: Whose, bytes: u64) {
        let (of_account, of_network) = self.of(whose);
        match of_account.saturating_sub(bytes) {
            0 => self.by_account.remove(&whose.account),
            left => self.by_account.insert(whose.account, left),
        };
        match of_network.saturating_sub(bytes) {
            0 => self.by_network.remove(&whose.network),
            left => self.by_network.insert(whose.network, left),
        };
    }

    /// Counts a blob. Handed over again it starts its time again.
    fn enter(&mut self, blob: Blob) {
        self.forget(&blob.cid);
        self.add(blob.whose, blob.bytes);
        self.numbers.insert(blob.cid, self.next);
        self.blobs.insert(self.next, blob);
        self.next = self.next.wrapping_add(1);
    }

    fn forget(&mut self, cid: &Cid) {
        if let Some(blob) = self.numbers.remove(cid).and_then(|number| self.blobs.remove(&number)) {
            self.take(blob.whose, blob.bytes);
        }
    }

    /// Takes so many bytes from whoever has the most, oldest first, as long as that is more than a newcomer would have.
    fn give_way(&mut self, bytes: u64, newcomer: u64, now: Instant) -> Option<Vec<Cid>> {
        let most = self.by_network.iter().max_by_key(|(_network, bytes)| **bytes);
        let most = most.filter(|(_network, bytes)| **bytes > newcomer).map(|(network, _bytes)| *network)?;
        let (mut given, mut gone) = (0, Vec::new());
        for blob in self.blobs.values().filter(|blob| blob.whose.network == most) {
            if given >= bytes || now.saturating_duration_since(blob.came) < LEAST_AGE {
                break;
            }
            given += blob.bytes;
            gone.push(blob.cid);
        }
        if given < bytes {
            return None;
        }
        for cid in &gone {
            self.forget(cid);
        }
        Some(gone)
    }
}

#[cfg(test)]
mod tests {
    use lichen_record::SigningKey;

    use super::*;

    fn whose(seed: u8) -> Whose {
        Whose {
            account: SigningKey::generate([seed; 32]).account(),
            network: IpAddr::from([192, 0, 2, seed]),
        }
    }

    fn blob(number: u8, whose: Whose, came: Instant) -> Blob {
        Blob { cid: Cid::of_raw(&[number]), bytes: 10, whose, came }
    }

    #[test]
    fn the_oldest_of_whoever_has_most_give_way() {
        let (start, few, many) = (Instant::now(), whose(1), whose(2));
        let later = start + LEAST_AGE;
        let mut held = Held::default();
        held.enter(blob(0, few, start));
        (1..5).for_each(|number| held.enter(blob(number, many, start)));
        held.enter(blob(5, many, later));
        assert_eq!(held.give_way(10, 10, start), None, "an entry may still name them");
        assert_eq!(held.give_way(10, 50, later), None, "the newcomer has as much");
        assert_eq!(held.give_way(50, 10, later), None, "the last of them is too young");
        let gone = held.give_way(15, 10, later).unwrap();
        assert_eq!(gone, [Cid::of_raw(&[1]), Cid::of_raw(&[2])]);
        assert_eq!((held.of(many), held.of(few)), ((30, 30), (10, 10)));
        held.forget(&Cid::of_raw(&[0]));
        assert_eq!(held.of(few), (0, 0));
        assert_eq!(held.by_network.len(), 1);
    }
}
