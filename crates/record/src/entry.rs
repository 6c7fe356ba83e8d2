//! The entries of a campaign's log.

use alloc::vec::Vec;
use core::fmt;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use crate::{AccountId, Cid, Decision, EngineVersion, Signable};

/// Name of a campaign: the content id (raw) of its manifest's bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CampaignId(pub Cid);

impl CampaignId {
    /// Names the campaign that this manifest describes.
    #[must_use]
    pub fn of_manifest(manifest: &[u8]) -> Self {
        Self(Cid::of_raw(manifest))
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::str::FromStr for CampaignId {
    type Err = crate::CidError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Number of a round within its campaign; the first is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RoundNumber(pub u64);

impl RoundNumber {
    /// The first round of every campaign.
    pub const FIRST: Self = Self(1);

    /// The round after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for RoundNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a signed record of a campaign's log says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Entry {
    /// The coordinator opens the log: the first record, and only that.
    Published {
        /// The campaign.
        campaign: CampaignId,
        /// The manifest's bytes (raw), by which the campaign is named.
        manifest: Cid,
        /// The first checkpoint, which follows from the manifest.
        base: Cid,
    },
    /// The account takes part from here on.
    Joined {
        /// The campaign.
        campaign: CampaignId,
        /// Strictly greater than in the account's earlier `Joined` and `Left`, so that none can be replayed.
        sequence: u64,
    },
    /// The account takes part no longer.
    Left {
        /// The campaign.
        campaign: CampaignId,
        /// Strictly greater than in the account's earlier `Joined` and `Left`.
        sequence: u64,
    },
    /// The coordinator opens a round.
    RoundOpened {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNumber,
        /// The checkpoint to train from: the last settled one.
        base: Cid,
    },
    /// The account trained in this round and offers its update.
    Contribution {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNumber,
        /// The checkpoint trained from.
        base: Cid,
        /// The update's bytes (raw).
        update: Cid,
        /// Samples trained on: the update's weight.
        samples: u32,
        /// Loss, accuracy and time, as the account reports them.
        metrics: Metrics,
        /// Which engine trained; none in the first version of this entry, which does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        engine: Option<EngineVersion>,
        /// The ids of the states that the training went through (raw), one digest behind the other; not written where the
        /// campaign's trainings are not repeated, and where nobody else gets the same bits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        trace: Option<Cid>,
    },
    /// The coordinator closes a round to further contributions; said again in a mesh, to further attestations.
    RoundClosed {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNumber,
    },
    /// The account aggregated the round's contributions and attests the result. On the wire it is called `checkpointed`.
    #[serde(rename = "checkpointed")]
    Attestation {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNumber,
        /// The base of the round, from which the result was computed.
        base: Cid,
        /// The checkpoint that the round ended with.
        result: Cid,
        /// Contributions that the log excluded as unavailable before this was computed; not written where it is 0.
        /// The set aggregated is part of what is signed, so that nobody is at fault for a set that changed meanwhile.
        #[serde(default, skip_serializing_if = "is_zero")]
        excluded: u32,
        /// What the outer optimiser carries over to the round that starts from the result; not written where it carries
        /// nothing over.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<Cid>,
        /// The packed difference of the result from the base (raw), with which whoever has the base needs no more; not written
        /// where the campaign's results are not told so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        difference: Option<Cid>,
    },
    /// The account takes part in the round, and could get this update of another's from nobody.
    Unavailable {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNumber,
        /// The update that nobody gave.
        update: Cid,
    },
    /// The coordinator lost the connection of a member that the round waits for.
    Departed {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNumber,
        /// Whose connection is gone.
        account: AccountId,
    },
    /// The coordinator waited for a round for as long as the manifest says, with too little to show for: the round is extended,
    /// or skipped after its last extension.
    RoundOverdue {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNumber,
    },
    /// The coordinator ends the campaign: its goal is reached, and the manifest says that it ends then.
    Finished {
        /// The campaign.
        campaign: CampaignId,
        /// The round whose result reached the goal: the last one settled.
        round: RoundNumber,
    },
    /// The account repeated another's training of a settled round.
    Audit {
        /// The campaign.
        campaign: CampaignId,
        /// The round.
        round: RoundNumber,
        /// Whose training.
        contributor: AccountId,
        /// What came of it: the contributed update, or another; the id of another trace, where only that differs.
        found: Cid,
        /// Where it parted from what the contributor says; not written where nothing differs, or where nobody can tell.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<Evidence>,
    },
    /// The coordinator says what all entries before this one come to, so that whoever comes later may begin here.
    Snapshot {
        /// The campaign.
        campaign: CampaignId,
        /// The fold's state in its one form (raw).
        state: Cid,
    },
    /// The organiser, whom the manifest names, decides how the campaign goes on.
    Decided {
        /// The campaign.
        campaign: CampaignId,
        /// Strictly greater than in the organiser's earlier decisions, so that none can be replayed.
        sequence: u64,
        /// What it decides.
        decision: Decision,
    },
}

/// The first piece of a training that does not give what its contributor says, so that anybody can see who is right by
/// computing that piece alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// How many pieces before it both agree on. As many as the trace has: only the update differs from what the last state
    /// gives.
    pub piece: u32,
    /// The state that the piece begins with (raw), which both agree on; not written for the first piece, which begins with the
    /// round's base.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Cid>,
    /// What comes of the piece, as the auditor says: a state, or behind the last one an update.
    pub after: Cid,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Entry {
    /// The campaign to whose log the entry belongs.
    #[must_use]
    pub const fn campaign(&self) -> CampaignId {
        match self {
            Entry::Published { campaign, .. }
            | Entry::Joined { campaign, .. }
            | Entry::Left { campaign, .. }
            | Entry::RoundOpened { campaign, .. }
            | Entry::Contribution { campaign, .. }
            | Entry::RoundClosed { campaign, .. }
            | Entry::Attestation { campaign, .. }
            | Entry::Unavailable { campaign, .. }
            | Entry::Departed { campaign, .. }
            | Entry::RoundOverdue { campaign, .. }
            | Entry::Finished { campaign, .. }
            | Entry::Audit { campaign, .. }
            | Entry::Snapshot { campaign, .. }
            | Entry::Decided { campaign, .. } => *campaign,
        }
    }

    /// The round that the entry is about, if it is about one.
    #[must_use]
    pub const fn round(&self) -> Option<RoundNumber> {
        match self {
            Entry::Published { .. }
            | Entry::Joined { .. }
            | Entry::Left { .. }
            | Entry::Snapshot { .. }
            | Entry::Decided { .. } => None,
            Entry::RoundOpened { round, .. }
            | Entry::Contribution { round, .. }
            | Entry::RoundClosed { round, .. }
            | Entry::Attestation { round, .. }
            | Entry::Unavailable { round, .. }
            | Entry::Departed { round, .. }
            | Entry::RoundOverdue { round, .. }
            | Entry::Finished { round, .. }
            | Entry::Audit { round, .. } => Some(*round),
        }
    }
}

impl Signable for Entry {
    const DOMAIN: &'static str = "entry";

    /// Every version of an entry is a map of one kind to its fields. Later versions add kinds, and fields to kinds.
    fn is_later(payload: &[u8]) -> bool {
        // A map of one text, shorter than 24 bytes, to a map with fewer than 24 fields.
        let [0xa1, kind @ 0x61..=0x77, rest @ ..] = payload else { return false };
        matches!(rest.get(usize::from(kind - 0x60)), Some(0xa0..=0xb7))
            && serde_ipld_dagcbor::from_slice::<IgnoredAny>(payload).is_ok()
    }
}

/// What a contributor measured while training; finite, the accuracy between 0 and 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "MetricsFields", into = "MetricsFields")]
pub struct Metrics {
    loss: f64,
    accuracy: f64,
    steps: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsFields {
    loss: f64,
    accuracy: f64,
    steps: u32,
}

/// Why numbers are not [`Metrics`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// The loss is infinite or not a number.
    #[error("the loss is not finite")]
    Loss,
    /// The accuracy is not a number between 0 and 1.
    #[error("the accuracy is not between 0 and 1")]
    Accuracy,
}

impl Metrics {
    /// Checks and keeps the mean loss over the last steps, the share of samples classified rightly and the number
    /// of steps.
    ///
    /// # Errors
    /// [`MetricsError`] if a number is outside its range.
    pub fn new(loss: f64, accuracy: f64, steps: u32) -> Result<Self, MetricsError> {
        if !loss.is_finite() {
            return Err(MetricsError::Loss);
        }
        if !(0.0..=1.0).contains(&accuracy) {
            return Err(MetricsError::Accuracy);
        }
        Ok(Self { loss, accuracy, steps })
    }

    /// Mean training loss at the end of the local steps.
    #[must_use]
    pub const fn loss(&self) -> f64 {
        self.loss
    }

    /// Share of samples classified rightly, 0 to 1.
    #[must_use]
    pub const fn accuracy(&self) -> f64 {
        self.accuracy
    }

    /// Local optimiser steps taken.
    #[must_use]
    pub const fn steps(&self) -> u32 {
        self.steps
    }
}

impl TryFrom<MetricsFields> for Metrics {
    type Error = MetricsError;

    fn try_from(fields: MetricsFields) -> Result<Self, MetricsError> {
        Self::new(fields.loss, fields.accuracy, fields.steps)
    }
}

impl From<Metrics> for MetricsFields {
    fn from(metrics: Metrics) -> Self {
        Self { loss: metrics.loss, accuracy: metrics.accuracy, steps: metrics.steps }
    }
}

/// The account vouches for a libp2p peer id that its tab uses during one session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionCertificate {
    /// The libp2p peer id's bytes.
    #[serde(with = "serde_bytes")]
    pub peer: Vec<u8>,
    /// When the session began, in milliseconds of Unix time.
    pub issued: u64,
}

impl Signable for SessionCertificate {
    const DOMAIN: &'static str = "session";
}
