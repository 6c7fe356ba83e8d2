//! What an entry of the log changed in a campaign's state.

use lichen_record::{AccountId, Cid, Decision, Evidence, Metrics, RoundNumber, Settings};

use crate::Outcome;
use crate::codec::coded;

/// What an entry changed, for showing and counting.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// The campaign is there.
    Published {
        /// Who orders the log, opens and closes rounds.
        coordinator: AccountId,
        /// The first checkpoint.
        base: Cid,
    },
    /// An account takes part, or takes part again.
    Joined {
        /// Who.
        account: AccountId,
    },
    /// An account takes part no longer.
    Left {
        /// Who.
        account: AccountId,
    },
    /// The coordinator goes back to an earlier checkpoint: the round that opens begins with it, and what settled since
    /// stands in the log without being built on. Faults proven until now are forgiven.
    WentBack {
        /// The round that opens.
        round: RoundNumber,
        /// The round that settled with the checkpoint; 0 for the initial one.
        to: RoundNumber,
        /// The checkpoint.
        base: Cid,
    },
    /// A round takes contributions.
    Opened {
        /// The round.
        round: RoundNumber,
        /// The checkpoint to train from.
        base: Cid,
        /// Members whom the round waits for.
        cohort: usize,
        /// Log time until which the round waits for them, in milliseconds.
        deadline: u64,
    },
    /// A contribution was accepted.
    Contributed {
        /// The round.
        round: RoundNumber,
        /// Whose.
        account: AccountId,
        /// Samples trained on.
        samples: u32,
        /// Loss, accuracy and time, as its author reports them.
        metrics: Metrics,
    },
    /// A round takes contributions no longer.
    Closed {
        /// The round.
        round: RoundNumber,
        /// Contributions accepted.
        accepted: usize,
    },
    /// A round had too few contributions at its deadline, and waits for as long again.
    Extended {
        /// The round.
        round: RoundNumber,
        /// Log time until which it waits now, in milliseconds.
        deadline: u64,
    },
    /// Nothing came of a round that had waited for as long as it may: the next one begins with the same checkpoint. Follows
    /// [`Change::Settled`].
    Skipped {
        /// The round.
        round: RoundNumber,
    },
    /// A round waited in vain for what a member was to contribute or to attest: rounds wait for it no longer, until it
    /// contributes.
    Missed {
        /// The round.
        round: RoundNumber,
        /// Who.
        account: AccountId,
    },
    /// The connection of a member that the round waited for is gone: rounds wait for it no longer, until it
    /// contributes.
    Departed {
        /// The round.
        round: RoundNumber,
        /// Who.
        account: AccountId,
    },
    /// A contributor could get this update from nobody.
    Unavailable {
        /// The round.
        round: RoundNumber,
        /// Who could not get it.
        account: AccountId,
        /// The update.
        update: Cid,
    },
    /// A contribution counts no longer, as too many contributors could not get its update.
    Excluded {
        /// The round.
        round: RoundNumber,
        /// Whose.
        account: AccountId,
        /// The update.
        update: Cid,
    },
    /// An account attested a round's result.
    Attested {
        /// The round.
        round: RoundNumber,
        /// Who.
        account: AccountId,
        /// The checkpoint that it computed.
        result: Cid,
    },
    /// A round's result stands.
    Settled {
        /// The round.
        round: RoundNumber,
        /// The checkpoint that the next round starts from.
        result: Cid,
        /// Equal attestations at that moment.
        attestations: usize,
    },
    /// A round with contributions that count settled on the checkpoint that it began with: what they came to was turned
    /// down, or they came to nothing. Follows [`Change::Settled`].
    SetAside {
        /// The round.
        round: RoundNumber,
    },
    /// A contribution of a settled round was drawn: its training is to be repeated.
    AuditDrawn {
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
        /// Who repeats it.
        auditor: AccountId,
    },
    /// An account repeated a training.
    Audited {
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
        /// Who repeated it.
        auditor: AccountId,
        /// What came of it: an update, or a trace where only that differs.
        found: Cid,
        /// Whether that is the contributed update.
        agrees: bool,
        /// Where it parted from what was contributed, where the account says so.
        evidence: Option<Evidence>,
    },
    /// A training that was repeated gives the update that was contributed: it counts for its account's weight.
    Confirmed {
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
    },
    /// Those who were to repeat a training did not, and nothing follows.
    AuditLapsed {
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
    },
    /// An account contradicted the settled result, itself, or what others find who repeat a training.
    Faulted(Fault),
    /// The coordinator ended the campaign, as its goal is reached. [`Change::Finished`] follows.
    GoalReached {
        /// The round whose result reached it.
        round: RoundNumber,
    },
    /// The organiser decided how the campaign goes on. Where that ends it at once, [`Change::Finished`] follows.
    Decided(Decision),
    /// Settings changed, by the organiser's word: they hold from this round on, whose opening follows.
    SettingsChanged {
        /// The round.
        round: RoundNumber,
        /// What changed.
        settings: Settings,
    },
    /// The campaign is over: its last round is settled, it ended at its goal, or its organiser ended it.
    Finished {
        /// The campaign's last checkpoint.
        result: Cid,
    },
}

/// Proof, by its own signature, that an account said what is not so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Whose.
    pub account: AccountId,
    /// The round.
    pub round: RoundNumber,
    /// What it did.
    pub kind: FaultKind,
}

/// What an account did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// It attested another result than the settled one.
    Disagreed {
        /// Its result.
        attested: Outcome,
        /// The settled result.
        settled: Outcome,
    },
    /// It attested two results for one round.
    Equivocated {
        /// Its first result.
        first: Outcome,
        /// Its second result.
        second: Outcome,
    },
    /// It contributed another update than its training gives.
    NotTrained {
        /// The contributed update.
        claimed: Cid,
        /// What the training gives: another update, or another trace. Where evidence decided, as the auditor says.
        found: Cid,
    },
    /// It said of another's training that it gives what it does not give.
    FalselyAudited {
        /// Whose training.
        contributor: AccountId,
        /// What it said that came of it.
        found: Cid,
        /// The update that the training gives.
        update: Cid,
    },
}

coded!(struct Fault { account, round, kind });
coded!(enum FaultKind {
    0 = Disagreed { attested, settled },
    1 = Equivocated { first, second },
    2 = NotTrained { claimed, found },
    3 = FalselyAudited { contributor, found, update },
});
