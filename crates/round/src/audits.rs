//! Trainings that others repeat: which ones are drawn, by whom they are repeated, and what was found so far.

use alloc::vec;
use alloc::vec::Vec;

use lichen_campaign::Share;
use lichen_record::{AccountId, Cid, EngineVersion, Evidence, RoundNumber};

use crate::codec::{Coded, Reader, Writer, coded};
use crate::{Accepted, lot};

/// Rounds for which an audit waits for those who have to repeat the training: after that it lapses.
///
/// A repetition takes as long as a training, and a disputed one takes two, one after the other.
pub(crate) const AUDIT_ROUNDS: u64 = 32;

/// Most accounts that a disputed training is repeated by.
const JURY: usize = 7;

/// A contribution that was drawn to be repeated.
#[derive(Clone, Debug, PartialEq)]
pub struct Audit {
    round: RoundNumber,
    contributor: AccountId,
    /// The checkpoint that the training began with.
    pub base: Cid,
    /// The update that was contributed.
    pub claimed: Cid,
    /// The trace that the contribution names beside it.
    pub trace: Option<Cid>,
    /// The engine that trained, of which every version gives its own bits.
    pub engine: EngineVersion,
    draw: Draw,
    /// Who has to repeat it: one account at first, several when it found something else. They are few.
    jury: Vec<AccountId>,
    found: Vec<(AccountId, Cid)>,
    /// Where the first to repeat it says that it parts from what was contributed.
    evidence: Option<Evidence>,
}

/// What somebody says against a contribution, so that others need not repeat the whole training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accusation {
    /// What the auditor says that the training gives.
    pub found: Cid,
    /// The piece of it that shows who is right.
    pub evidence: Evidence,
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

/// The audits that wait for a word, by round and contributor.
///
/// A sorted list, since maps of all these kinds would be a hundredth of what tabs download. It is bounded by the draws of
/// [`AUDIT_ROUNDS`] rounds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Audits(Vec<Audit>);

coded!(struct Audit { round, contributor, base, claimed, trace, engine, draw, jury, found, evidence });

impl Audit {
    /// Whether the account has to repeat the training, and has not said what it found.
    #[must_use]
    pub fn waits_for(&self, account: &AccountId) -> bool {
        self.jury.contains(account) && !self.found.iter().any(|(who, _found)| who == account)
    }

    /// What is said against the contribution, with evidence.
    #[must_use]
    pub fn accusation(&self) -> Option<Accusation> {
        let (_who, found) = *self.found.first()?;
        Some(Accusation { found, evidence: self.evidence? })
    }

    /// Whether the first to repeat the training may say this: whoever is asked after that says only who is right.
    pub(crate) fn takes(&self, found: Cid, evidence: &Evidence, states: u32) -> bool {
        let Evidence { piece, before, after } = evidence;
        self.trace.is_some()
            && self.jury.len() == 1
            && found != self.claimed
            && before.is_none() == (*piece == 0)
            && (*piece < states || *piece == states && *after == found)
    }

    /// Who repeats it if the first one found another update.
    pub(crate) fn jury_of(&self, contributor: &AccountId, of: &[AccountId]) -> Vec<AccountId> {
        self.draw.jury(contributor, of)
    }

    const fn key(&self) -> (RoundNumber, AccountId) {
        (self.round, self.contributor)
    }

    fn verdict(&self) -> Verdict {
        if self.jury.len() == 1 && self.found.iter().any(|(_who, found)| *found != self.claimed) {
            return Verdict::Disputed;
        }
        let votes = |update: Cid| self.found.iter().filter(|(_who, found)| *found == update).count();
        let decided = self.found.iter().find(|(_who, found)| votes(*found) * 2 > self.jury.len());
        let Some(&(_who, update)) = decided else { return Verdict::Open };
        let contradicting = self.found.iter().filter(|(_who, found)| *found != update).copied().collect();
        Verdict::Decided { update, contradicting }
    }
}

impl Coded for Audits {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
    }

    /// Sorted, as they are looked for.
    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Some(Self(Vec::read(from)?)).filter(|audits| audits.0.is_sorted_by_key(Audit::key))
    }
}

impl Coded for Draw {
    fn write(&self, to: &mut Writer) {
        self.0.write(to);
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        Cid::read(from).map(Self)
    }
}

impl Audits {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn get(&self, round: RoundNumber, contributor: &AccountId) -> Option<&Audit> {
        self.0.get(self.place((round, *contributor)).ok()?)
    }

    /// What the account has to repeat next.
    pub(crate) fn duty_of(&self, account: &AccountId) -> Option<(RoundNumber, AccountId, &Audit)> {
        let audit = self.0.iter().find(|audit| audit.waits_for(account))?;
        Some((audit.round, audit.contributor, audit))
    }

    /// How many wait.
    pub(crate) const fn len(&self) -> usize {
        self.0.len()
    }

    /// A contribution is drawn, and this account has to repeat its training.
    pub(crate) fn draw(
        &mut self,
        round: RoundNumber,
        base: Cid,
        (accepted, engine): (&Accepted, EngineVersion),
        draw: Draw,
        auditor: AccountId,
    ) {
        let (jury, found, evidence) = (vec![auditor], Vec::new(), None);
        let Accepted { account: contributor, update: claimed, trace, .. } = *accepted;
        let audit = Audit { round, contributor, base, claimed, trace, engine, draw, jury, found, evidence };
        if let Err(place) = self.place(audit.key()) {
            self.0.insert(place, audit);
        }
    }

    /// An account that has to say so found this, and says where the training parts from what was contributed.
    pub(crate) fn find(
        &mut self,
        round: RoundNumber,
        contributor: AccountId,
        account: AccountId,
        found: Cid,
        evidence: Option<Evidence>,
    ) -> Verdict {
        let Ok(place) = self.place((round, contributor)) else { return Verdict::Open };
        let Some(audit) = self.0.get_mut(place) else { return Verdict::Open };
        audit.found.push((account, found));
        audit.evidence = audit.evidence.or(evidence);
        let verdict = audit.verdict();
        self.end_if_decided(place, &verdict);
        verdict
    }

    /// These have to repeat the training, too. Says what follows from what was found already.
    pub(crate) fn widen(
        &mut self,
        round: RoundNumber,
        contributor: AccountId,
        jury: Vec<AccountId>,
    ) -> Verdict {
        let Ok(place) = self.place((round, contributor)) else { return Verdict::Open };
        let Some(audit) = self.0.get_mut(place) else { return Verdict::Open };
        for account in jury {
            if !audit.jury.contains(&account) {
                audit.jury.push(account);
            }
        }
        // Where nobody else may speak, the one who did has the last word.
        let verdict = match (audit.verdict(), audit.found.first()) {
            (Verdict::Disputed, Some(&(_who, update))) => {
                Verdict::Decided { update, contradicting: Vec::new() }
            }
            (verdict, _first) => verdict,
        };
        self.end_if_decided(place, &verdict);
        verdict
    }

    /// Drops what nobody has decided by this round, and says which those were.
    pub(crate) fn lapse(&mut self, now: RoundNumber) -> Vec<(RoundNumber, AccountId)> {
        let is_over = |audit: &Audit| audit.round.0.saturating_add(AUDIT_ROUNDS) <= now.0;
        let lapsed = self.0.iter().filter(|audit| is_over(audit)).map(Audit::key).collect();
        self.0.retain(|audit| !is_over(audit));
        lapsed
    }

    fn place(&self, key: (RoundNumber, AccountId)) -> Result<usize, usize> {
        self.0.binary_search_by(|audit| audit.key().cmp(&key))
    }

    fn end_if_decided(&mut self, place: usize, verdict: &Verdict) {
        if matches!(verdict, Verdict::Decided { .. }) {
            self.0.remove(place);
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
    pub(crate) fn jury(self, contributor: &AccountId, of: &[AccountId]) -> Vec<AccountId> {
        let others = of.iter().filter(|account| *account != contributor);
        lot::draw(&self.0, others.map(|account| (*account, 1)).collect(), JURY)
    }

    fn number(self, contributor: &AccountId, purpose: u8) -> u64 {
        let hashed = [&self.0.digest()[..], &contributor.as_bytes()[..], &[purpose]].concat();
        let digest = *Cid::of_raw(&hashed).digest();
        let [a, b, c, d, e, f, g, h, ..] = digest;
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }
}
