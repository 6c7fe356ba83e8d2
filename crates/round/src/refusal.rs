//! Why an entry may not stand in the log.

use serde::{Deserialize, Serialize};

/// Why an entry may not stand in the log at this place. It changed nothing.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// The entry belongs to another campaign's log.
    #[error("the entry belongs to another campaign")]
    WrongCampaign,
    /// The log's time would run backwards.
    #[error("the entry's time lies before its predecessor's")]
    TimeReversed,
    /// The log does not begin with the campaign's publication.
    #[error("the log does not begin with the campaign's publication")]
    NotPublished,
    /// The campaign is published already; only the first entry may do so.
    #[error("only a log's first entry may publish the campaign")]
    NotFirst,
    /// The publication names another manifest than the campaign does.
    #[error("the manifest is not the one that names the campaign")]
    WrongManifest,
    /// Only the coordinator may say this.
    #[error("only the coordinator may say this")]
    NotCoordinator,
    /// Only a present member may say this.
    #[error("only a present member of the campaign may say this")]
    NotAMember,
    /// The sequence number is not above the account's last one: an old entry replayed.
    #[error("the sequence number is not above the account's last one")]
    StaleSequence,
    /// The account said this already. Whoever repeats an entry because no receipt came may take it for success.
    #[error("the account said this already")]
    Duplicate,
    /// The round is not the one that the campaign is at.
    #[error("the round is not the one that the campaign is at")]
    WrongRound,
    /// The base is not the checkpoint that the round starts from.
    #[error("the base is not the checkpoint that the round starts from")]
    WrongBase,
    /// The round takes no contributions, or cannot be closed, as it is not open.
    #[error("the round is not open")]
    RoundNotOpen,
    /// The round cannot be attested before it is closed.
    #[error("the round is not closed yet")]
    RoundNotClosed,
    /// No round may open before the one before it is settled.
    #[error("the round before is not settled yet")]
    RoundNotSettled,
    /// A round may not open so soon after the one before.
    #[error("the interval between two rounds has not passed")]
    IntervalPending,
    /// A round may not open when no member takes part.
    #[error("no member takes part")]
    NobodyExpected,
    /// A round may not close while members are expected to contribute and the deadline has not passed.
    #[error("members are expected to contribute and the deadline has not passed")]
    DeadlinePending,
    /// A round may not close with fewer contributions than the manifest's minimum.
    #[error("the round has fewer contributions than the campaign's minimum")]
    TooFewContributions,
    /// The lot drew others to contribute to this round.
    #[error("the lot drew others to contribute to this round")]
    NotItsTurn,
    /// In this campaign a round waits for its contributions for as long as it takes.
    #[error("in this campaign a round waits for its contributions for as long as it takes")]
    NeverSkipped,
    /// A round that has what it needs is closed, and not extended or skipped.
    #[error("the round has the contributions that it needs")]
    EnoughContributions,
    /// A round may not open while so few members are there that it would be skipped.
    #[error("fewer members are there than a round needs contributions")]
    TooFewMembers,
    /// Nothing came of the round, and nothing is attested of it.
    #[error("the round was skipped")]
    RoundSkipped,
    /// The weight claimed for a contribution is not one that its shard allows.
    #[error("the number of samples is not one that the shard allows")]
    WrongSamples,
    /// The campaign has had all its rounds, or ended at its goal.
    #[error("the campaign is finished")]
    Finished,
    /// The campaign does not end at its goal.
    #[error("by its manifest the campaign goes on when its goal is reached")]
    GoesOn,
    /// Only an account whose contribution to the round counts may say this.
    #[error("only an account whose contribution to the round counts may say this")]
    NotAContributor,
    /// The lot drew others to attest this round.
    #[error("the lot drew others to attest this round")]
    NotDrawn,
    /// In this campaign no result is told as a difference. Programs that know of none can read its log.
    #[error("in this campaign no result is told as a difference")]
    NoDifference,
    /// The result is computed from another set of contributions than the one that counts now.
    #[error("contributions were excluded since, or are said to be that were not")]
    WrongExclusions,
    /// Where the coordinator settles, it has every update, and nobody can say that one is not to be had.
    #[error("in this campaign every update is at the relay")]
    #[serde(rename = "not-a-mesh")]
    CoordinatorSettles,
    /// The update is none of another contributor's, or is excluded already.
    #[error("the update is not another contributor's that counts")]
    WrongUpdate,
    /// The account attested a result, and so had every update.
    #[error("the account attested a result, for which it had every update")]
    AlreadyAttested,
    /// The round's result stands.
    #[error("the round is settled")]
    RoundSettled,
    /// The round does not wait for this account, so that its departure changes nothing.
    #[error("the round does not wait for this account")]
    NotAwaited,
    /// The account attested what was proven false, and has no word in this round.
    #[error("the account attested what was proven false, and has no word for some rounds")]
    Barred,
    /// The account says of too many updates that nobody gives them.
    #[error("the account reports too many updates as unavailable")]
    TooManyReports,
    /// A contribution takes at least one step, and at most as many as the manifest says.
    #[error("the number of steps is not one that the manifest allows")]
    WrongSteps,
    /// No training after the manifest comes to such a loss.
    #[error("the loss is not one that a training can come to")]
    ImpossibleLoss,
    /// The account was not drawn to repeat this training, has said what it found, or comes too late.
    #[error("the account is not asked to repeat this training")]
    NotAnAuditor,
    /// The contribution names states of its training where nobody repeats it, or none where the manifest asks for them.
    #[error(
        "the contribution names states of its training where there are none to name, or none where it has to"
    )]
    WrongTrace,
    /// Evidence is for whoever repeats a training first and finds something else, and begins with a state that both agree on.
    #[error("the evidence is not one that can be given here")]
    WrongEvidence,
    /// What the outer optimiser carries over is named where there is none, is missing, or is not the base's where the base
    /// stays.
    #[error("the outer optimiser's state is not one that goes with the result")]
    WrongState,
    /// Too few entries have come since the last snapshot, or the campaign's log has none.
    #[error("a snapshot may not stand here in the log")]
    SnapshotEarly,
    /// The snapshot's id is not the one that the fold gives.
    #[error("the snapshot is not what the log comes to")]
    WrongSnapshot,
    /// Only the account that the manifest names as the organiser's may say this.
    #[error("only the organiser may say this, whose account the manifest names")]
    NotOrganiser,
    /// The organiser paused the campaign, and no round opens.
    #[error("the organiser paused the campaign")]
    Paused,
    /// The campaign is not paused.
    #[error("the campaign is not paused")]
    NotPaused,
    /// The organiser retired the campaign, and its log takes nothing more.
    #[error("the organiser retired the campaign")]
    Retired,
    /// The manifest does not let the organiser change this setting.
    #[error("the manifest does not let the organiser change this setting")]
    NotChangeable,
    /// The setting would lie beyond the manifest's bounds.
    #[error("the setting would lie beyond the bounds that the manifest gives")]
    OutOfBounds,
}

impl Refusal {
    /// The refusal as a metric's label, in snake case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::WrongCampaign => "wrong_campaign",
            Self::TimeReversed => "time_reversed",
            Self::NotPublished => "not_published",
            Self::NotFirst => "not_first",
            Self::WrongManifest => "wrong_manifest",
            Self::NotCoordinator => "not_coordinator",
            Self::NotAMember => "not_a_member",
            Self::StaleSequence => "stale_sequence",
            Self::Duplicate => "duplicate",
            Self::WrongRound => "wrong_round",
            Self::WrongBase => "wrong_base",
            Self::RoundNotOpen => "round_not_open",
            Self::RoundNotClosed => "round_not_closed",
            Self::RoundNotSettled => "round_not_settled",
            Self::IntervalPending => "interval_pending",
            Self::NobodyExpected => "nobody_expected",
            Self::DeadlinePending => "deadline_pending",
            Self::TooFewContributions => "too_few_contributions",
            Self::NotItsTurn => "not_its_turn",
            Self::NeverSkipped => "never_skipped",
            Self::EnoughContributions => "enough_contributions",
            Self::TooFewMembers => "too_few_members",
            Self::RoundSkipped => "round_skipped",
            Self::WrongSamples => "wrong_samples",
            Self::Finished => "finished",
            Self::GoesOn => "goes_on",
            Self::NotAContributor => "not_a_contributor",
            Self::NotAnAuditor => "not_an_auditor",
            Self::NotDrawn => "not_drawn",
            Self::NoDifference => "no_difference",
            Self::WrongExclusions => "wrong_exclusions",
            Self::CoordinatorSettles => "not_a_mesh",
            Self::WrongUpdate => "wrong_update",
            Self::AlreadyAttested => "already_attested",
            Self::RoundSettled => "round_settled",
            Self::NotAwaited => "not_awaited",
            Self::Barred => "barred",
            Self::TooManyReports => "too_many_reports",
            Self::WrongSteps => "wrong_steps",
            Self::ImpossibleLoss => "impossible_loss",
            Self::WrongTrace => "wrong_trace",
            Self::WrongEvidence => "wrong_evidence",
            Self::WrongState => "wrong_state",
            Self::SnapshotEarly => "snapshot_early",
            Self::WrongSnapshot => "wrong_snapshot",
            Self::NotOrganiser => "not_organiser",
            Self::Paused => "paused",
            Self::NotPaused => "not_paused",
            Self::Retired => "retired",
            Self::NotChangeable => "not_changeable",
            Self::OutOfBounds => "out_of_bounds",
        }
    }
}
