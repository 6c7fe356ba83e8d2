//! How fast tabs may make the log grow, and who goes first.
//!
//! Whoever joins checks the whole log, some hundred entries a second. So all tabs together get a rate that a joiner keeps
//! up with, and half of it is for accounts that have contributed before: no number of newcomers can crowd them out. Accounts
//! cost nothing, so what new ones may do is limited by the network that they come from. The relay's own entries are never
//! held up.
//!
//! A puzzle to be solved for each account would be the other way. It would cost a phone more than an attacker, and the first
//! visit the seconds that decide whether there is a second one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use lichen_bucket::{Bucket, Rate};
use lichen_record::{AccountId, Entry, Verified};
use lichen_round::{CampaignState, Member, Presence};

use crate::fairness::quota::Quota;

/// So many seconds' worth of entries may come at once.
const BURST: u32 = 4;

/// How many seconds' worth of these are there for those who have contributed.
const FOR_MEMBERS: u32 = BURST / 2;

const HOUR: Duration = Duration::from_secs(60 * 60);

/// How fast the log may grow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Entries of all tabs in a second.
    pub(crate) entries_per_second: u32,
    /// Accounts of one network that the log does not know yet.
    pub(crate) accounts_per_minute: u32,
    pub(crate) accounts_per_hour: u32,
    /// Members of one network that rounds wait for.
    pub(crate) members: usize,
}

/// Which limit an entry ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limited {
    Entries,
    Accounts,
    Members,
}

/// Recent entries, and the networks that they came from.
pub(crate) struct Newcomers {
    limits: Limits,
    start: Instant,
    entries: Bucket,
    by_minute: Quota<IpAddr>,
    by_hour: Quota<IpAddr>,
    /// Where members joined from since the relay started.
    networks: HashMap<AccountId, IpAddr>,
    members: HashMap<IpAddr, Vec<AccountId>>,
}

impl Newcomers {
    pub(crate) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            start: now,
            entries: Bucket::default(),
            by_minute: Quota::per_minute(limits.accounts_per_minute),
            by_hour: Quota::per(limits.accounts_per_hour, HOUR),
            networks: HashMap::new(),
            members: HashMap::new(),
        }
    }

    /// Whether an entry that came from this network, and that the fold would take, may be appended now; it is counted if
    /// so.
    ///
    /// # Errors
    /// The limit that it ran into.
    pub(crate) fn admit(
        &mut self,
        state: &CampaignState,
        entry: &Verified<Entry>,
        network: IpAddr,
        now: Instant,
    ) -> Result<(), Limited> {
        let account = entry.account();
        let member = state.member(&account);
        let is_known = member.is_some_and(|member| member.contributions() > 0);
        let since = now.saturating_duration_since(self.start);
        let entries = Rate::new(self.entries_of(BURST), Duration::from_secs(BURST.into()));
        let kept = if is_known { 0 } else { self.entries_of(FOR_MEMBERS) };
        if !self.entries.holds(entries, u64::from(kept) + 1, since) {
            return Err(Limited::Entries);
        }
        if matches!(entry.get(), Entry::Joined { .. }) {
            self.check_members(state, network)?;
            if member.is_none() {
                self.check_accounts(network, now)?;
            }
        }
        self.entries.take(entries, 1, since);
        match entry.get() {
            Entry::Joined { .. } => self.enter(account, network),
            Entry::Left { .. } => self.leave(account),
            Entry::Published { .. }
            | Entry::RoundOpened { .. }
            | Entry::Contribution { .. }
            | Entry::RoundClosed { .. }
            | Entry::Attestation { .. }
            | Entry::Unavailable { .. }
            | Entry::Departed { .. }
            | Entry::RoundOverdue { .. }
            | Entry::Finished { .. }
            | Entry::Decided { .. }
            | Entry::Snapshot { .. }
            | Entry::Audit { .. } => {}
        }
        Ok(())
    }

    /// Entries that all tabs together may append in this many seconds.
    const fn entries_of(&self, seconds: u32) -> u32 {
        self.limits.entries_per_second.saturating_mul(seconds)
    }

    fn check_accounts(&self, network: IpAddr, now: Instant) -> Result<(), Limited> {
        let is_within = self.by_minute.take(network, 1, now) && self.by_hour.take(network, 1, now);
        if is_within { Ok(()) } else { Err(Limited::Accounts) }
    }

    /// A member that missed a round is not waited for, so it no longer counts.
    fn check_members(&mut self, state: &CampaignState, network: IpAddr) -> Result<(), Limited> {
        let Some(members) = self.members.get_mut(&network) else { return Ok(()) };
        if members.len() < self.limits.members {
            return Ok(());
        }
        let is_expected = |account: &AccountId| {
            let presence = state.member(account).map(Member::presence);
            matches!(presence, Some(Presence::Expected | Presence::Newcomer))
        };
        let networks = &mut self.networks;
        members.retain(|account| {
            let stays = is_expected(account);
            if !stays {
                networks.remove(account);
            }
            stays
        });
        if members.len() < self.limits.members { Ok(()) } else { Err(Limited::Members) }
    }

    fn enter(&mut self, account: AccountId, network: IpAddr) {
        self.leave(account);
        self.networks.insert(account, network);
        self.members.entry(network).or_default().push(account);
    }

    fn leave(&mut self, account: AccountId) {
        let Some(network) = self.networks.remove(&account) else { return };
        let Some(members) = self.members.get_mut(&network) else { return };
        members.retain(|member| *member != account);
        if members.is_empty() {
            self.members.remove(&network);
        }
    }
}
