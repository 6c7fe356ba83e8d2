//! Updates that contributors could get from nobody.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lichen_record::{AccountId, Cid};

use crate::codec::{Coded, Reader, Writer};
use crate::say::Say;

/// Reports that one account may have standing in a round.
///
/// Who misses so many of the others' updates is cut off itself. With the cap, what one account makes others fold and
/// keep is bounded, and the reports of a round by its contributors.
pub(crate) const MAX_REPORTS: usize = 32;

/// Reports that stand, by update and by account.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Reports {
    by_update: BTreeMap<Cid, Missing>,
    by_account: BTreeMap<AccountId, BTreeSet<Cid>>,
    /// Whoever ever reported something in this round.
    heard: BTreeSet<AccountId>,
}

/// Who misses an update.
#[derive(Clone, Debug, PartialEq)]
struct Missing {
    accounts: BTreeSet<AccountId>,
    /// What they have to say together.
    say: Say,
}

impl Reports {
    /// What each account misses, and who was heard: the rest follows from that.
    pub(crate) fn write(&self, to: &mut Writer) {
        let Self { by_update: _, by_account, heard } = self;
        by_account.write(to);
        heard.write(to);
    }

    /// Reads reports of accounts whose word is worth this.
    pub(crate) fn read(from: &mut Reader<'_>, say_of: impl Fn(&AccountId) -> Say) -> Option<Self> {
        let mut reports = Self::new();
        for (account, updates) in BTreeMap::<AccountId, BTreeSet<Cid>>::read(from)? {
            updates.into_iter().for_each(|update| reports.add(account, say_of(&account), update));
        }
        reports.heard = BTreeSet::read(from)?;
        Some(reports)
    }

    pub(crate) const fn new() -> Self {
        Self { by_update: BTreeMap::new(), by_account: BTreeMap::new(), heard: BTreeSet::new() }
    }

    pub(crate) fn has(&self, account: &AccountId, update: &Cid) -> bool {
        self.by_update.get(update).is_some_and(|missing| missing.accounts.contains(account))
    }

    /// How many reports of the account stand.
    pub(crate) fn by(&self, account: &AccountId) -> usize {
        self.by_account.get(account).map_or(0, BTreeSet::len)
    }

    /// What those have to say who miss the update.
    pub(crate) fn about(&self, update: &Cid) -> Say {
        self.by_update.get(update).map_or(Say::NONE, |missing| missing.say)
    }

    /// Whether the account ever reported something in this round.
    pub(crate) fn is_heard(&self, account: &AccountId) -> bool {
        self.heard.contains(account)
    }

    /// The updates that somebody misses.
    pub(crate) fn updates(&self) -> impl Iterator<Item = &Cid> + '_ {
        self.by_update.keys()
    }

    /// An account misses an update that it has not reported; its word is worth this, for the whole round.
    pub(crate) fn add(&mut self, account: AccountId, say: Say, update: Cid) {
        self.heard.insert(account);
        let missing = self.by_update.entry(update);
        let missing = missing.or_insert(Missing { accounts: BTreeSet::new(), say: Say::NONE });
        missing.accounts.insert(account);
        missing.say.add(say);
        self.by_account.entry(account).or_default().insert(update);
    }

    /// The account, whose word is worth this, misses nothing any more, or its word counts no longer.
    pub(crate) fn withdraw(&mut self, account: &AccountId, say: Say) {
        for update in self.by_account.remove(account).unwrap_or_default() {
            if let Some(missing) = self.by_update.get_mut(&update) {
                missing.accounts.remove(account);
                missing.say.remove(say);
                if missing.accounts.is_empty() {
                    self.by_update.remove(&update);
                }
            }
        }
    }

    /// The update counts no longer; these accounts missed it.
    pub(crate) fn forget(&mut self, update: &Cid) -> Vec<AccountId> {
        let missing = self.by_update.remove(update);
        let reporters = missing.map_or(BTreeSet::new(), |missing| missing.accounts);
        for reporter in &reporters {
            if let Some(updates) = self.by_account.get_mut(reporter) {
                updates.remove(update);
                if updates.is_empty() {
                    self.by_account.remove(reporter);
                }
            }
        }
        reporters.into_iter().collect()
    }
}
