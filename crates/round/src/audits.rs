//! Trainings that others repeat: which ones are drawn, by whom they are repeated, and what was found so far.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lichen_campaign::Share;
use lichen_record::{AccountId, Cid, EngineVersion, RoundNumber};

/// Rounds for which an audit waits for those who have to repeat the training: after that it lapses.
///
/// A repetition takes as long as a training, and a disputed one takes two, one after the other.
pub(crate) const AUDIT_ROUNDS: u64 = 32;

/// Most accounts that a disputed training is repeated by.
const JURY: usize = 7;

/// A contribution that was drawn to be repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    /// The checkpoint that the training began with.
    pub base: Cid,
    /// The update that was contributed.
    pub claimed: Cid,
    /// The engine that trained, of which every version gives its own bits.
    pub engine: EngineVersion,
    draw: Draw,
    /// Who has to repeat it: one account at first, several when it found something else.
    jury: BTreeSet<AccountId>,
    found: BTreeMap<AccountId, Cid>,
}

/// What an audit has come to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The first to repeat the training found another update: others have to say who is right.
    Disputed,
    /// More have to repeat it.
    Open,
    /// It is over.
    Decided {
        /// The update that the training gives.
        update: Cid,
        /// Who said otherwise, and what.
        contradicting: Vec<(AccountId, Cid)>,
    },
}

/// The audits that wait for a word.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Audits {
    waiting: BTreeMap<(RoundNumber, AccountId), Audit>,
    /// What each account has yet to repeat.
    duties: BTreeMap<AccountId, BTreeSet<(RoundNumber, AccountId)>>,
}

impl Audit {
    /// Whether the account has to repeat the training, and has not said what it found.
    #[must_use]
    pub fn waits_for(&self, account: &AccountId) -> bool {
        self.jury.contains(account) && !self.found.contains_key(account)
    }

    /// Who repeats it if the first one found another update.
    pub(crate) fn jury_of(&self, contributor: &AccountId, of: &[AccountId]) -> BTreeSet<AccountId> {
        self.draw.jury(contributor, of)
    }

    fn verdict(&self) -> Verdict {
        let mut votes: BTreeMap<Cid, usize> = BTreeMap::new();
        for found in self.found.values() {
            *votes.entry(*found).or_default() += 1;
        }
        if self.jury.len() == 1 && votes.keys().any(|found| *found != self.claimed) {
            return Verdict::Disputed;
        }
        let decided = votes.into_iter().find(|(_found, votes)| votes * 2 > self.jury.len());
        let Some((update, _votes)) = decided else { return Verdict::Open };
        let contradicting = self.found.iter().filter(|(_account, found)| **found != update);
        Verdict::Decided {
            update,
            contradicting: contradicting.map(|(account, found)| (*account, *found)).collect(),
        }
    }
}

impl Audits {
    pub(crate) const fn new() -> Self {
        Self { waiting: BTreeMap::new(), duties: BTreeMap::new() }
    }

    pub(crate) fn get(&self, round: RoundNumber, contributor: &AccountId) -> Option<&Audit> {
        self.waiting.get(&(round, *contributor))
    }

    /// What the account has to repeat next.
    pub(crate) fn duty_of(&self, account: &AccountId) -> Option<(RoundNumber, AccountId)> {
        self.duties.get(account)?.first().copied()
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A contribution is drawn, and this account has to repeat its training.
    pub(crate) fn draw(
        &mut self,
        (round, contributor): (RoundNumber, AccountId),
        (base, claimed, engine): (Cid, Cid, EngineVersion),
        draw: Draw,
        auditor: AccountId,
    ) {
        let audit =
            Audit { base, claimed, engine, draw, jury: BTreeSet::from([auditor]), found: BTreeMap::new() };
        self.waiting.insert((round, contributor), audit);
        self.duties.entry(auditor).or_default().insert((round, contributor));
    }

    /// An account that has to say so found this update.
    pub(crate) fn find(
        &mut self,
        round: RoundNumber,
        contributor: AccountId,
        account: AccountId,
        found: Cid,
    ) -> Verdict {
        let key = (round, contributor);
        let Some(audit) = self.waiting.get_mut(&key) else { return Verdict::Open };
        audit.found.insert(account, found);
        let verdict = audit.verdict();
        self.release(key, &account);
        if matches!(verdict, Verdict::Decided { .. }) {
            self.end(key);
        }
        verdict
    }

    /// These have to repeat the training, too. Says what follows from what was found already.
    pub(crate) fn widen(
        &mut self,
        round: RoundNumber,
        contributor: AccountId,
        jury: impl IntoIterator<Item = AccountId>,
    ) -> Verdict {
        let key = (round, contributor);
        let Some(audit) = self.waiting.get_mut(&key) else { return Verdict::Open };
        for account in jury {
            if audit.jury.insert(account) {
                self.duties.entry(account).or_default().insert(key);
            }
        }
        // Where nobody else may speak, the one who did has the last word.
        let verdict = match audit.verdict() {
            Verdict::Disputed => audit.found.values().next().map_or(Verdict::Open, |found| {
                Verdict::Decided { update: *found, contradicting: Vec::new() }
            }),
            verdict => verdict,
        };
        if matches!(verdict, Verdict::Decided { .. }) {
            self.end(key);
        }
        verdict
    }

    /// Drops what nobody has decided by this round, and says which those were.
    pub(crate) fn lapse(&mut self, now: RoundNumber) -> Vec<(RoundNumber, AccountId)> {
        let is_over = |(round, _): &&(RoundNumber, AccountId)| round.0.saturating_add(AUDIT_ROUNDS) <= now.0;
        let lapsed: Vec<_> = self.waiting.keys().take_while(is_over).copied().collect();
        for key in &lapsed {
            self.end(*key);
        }
        lapsed
    }

    fn end(&mut self, key: (RoundNumber, AccountId)) {
        let Some(audit) = self.waiting.remove(&key) else { return };
        for account in audit.jury {
            self.release(key, &account);
        }
    }

    fn release(&mut self, key: (RoundNumber, AccountId), account: &AccountId) {
        if let Some(duties) = self.duties.get_mut(account) {
            duties.remove(&key);
            if duties.is_empty() {
                self.duties.remove(account);
            }
        }
    }
}

/// Numbers that follow from everything that the log held when a round settled.
///
/// A contributor cannot know them when it contributes, since entries of others come after its own. Whoever signs the entry
/// that settles the round could try several signatures and choose among the draws that they give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Draw(Cid);

impl Draw {
    pub(crate) const fn new(beacon: Cid) -> Self {
        Self(beacon)
    }

    /// Whether this contributor's training is drawn, when so many are.
    pub(crate) fn takes(self, contributor: &AccountId, share: Share) -> bool {
        let bound = u128::from(share.millionths());
        u128::from(self.number(contributor, 0)) * u128::from(Share::WHOLE) < bound << 64
    }

    /// Who of these, sorted by their ids, repeats this contributor's training.
    pub(crate) fn auditor(self, contributor: &AccountId, of: &[AccountId]) -> Option<AccountId> {
        let place = usize::try_from(self.number(contributor, 1) % (of.len().max(1) as u64)).ok()?;
        let from_there = of.iter().cycle().skip(place).take(of.len());
        from_there.into_iter().find(|account| *account != contributor).copied()
    }

    /// Who of these, sorted by their ids, repeats a disputed training of this contributor: all of them, if they are few.
    pub(crate) fn jury(self, contributor: &AccountId, of: &[AccountId]) -> BTreeSet<AccountId> {
        let others = || of.iter().filter(|account| *account != contributor).copied();
        let count = others().count();
        if count <= JURY {
            return others().collect();
        }
        let mut ranked: Vec<_> = others()
            .map(|account| (Cid::of_raw(&[&self.0.digest()[..], &account.as_bytes()[..]].concat()), account))
            .collect();
        ranked.sort_unstable();
        ranked.into_iter().take(JURY).map(|(_rank, account)| account).collect()
    }

    fn number(self, contributor: &AccountId, purpose: u8) -> u64 {
        let hashed = [&self.0.digest()[..], &contributor.as_bytes()[..], &[purpose]].concat();
        let digest = *Cid::of_raw(&hashed).digest();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}
