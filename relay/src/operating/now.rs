//! Where the campaign is at this moment, in a few numbers, for whoever looks at the page before taking part.
//!
//! The text is written when the log grows, and handed out as it is: a request costs the same however large the campaign.

use std::sync::{PoisonError, RwLock};

use axum::body::Bytes;
use lichen_record::{RoundNumber, Settings};
use lichen_round::{Applied, CampaignState, Stage};
use serde::Serialize;

const CLAIMED: &str = "claimed";
const MEASURED: &str = "measured";

/// Most changes of settings that are told.
const SHOWN_CHANGES: usize = 8;

/// What `now.json` says, ready to be sent.
pub(crate) struct Now(RwLock<Shown>);

#[derive(Default)]
struct Shown {
    text: Bytes,
    /// The last round whose accuracy is known, and where from.
    accuracy: Option<Accuracy>,
    standing: Option<&'static str>,
}

/// `now.json`. Nothing here is proof: who takes part reads the log.
#[derive(Serialize)]
struct Numbers {
    campaign: String,
    /// Accounts that rounds wait for or that have missed one, and have not left.
    members: usize,
    /// The last round opened, 0 before the first.
    round: u64,
    settled: u64,
    limit: u64,
    finished: bool,
    /// Whether it is finished because the goal was reached.
    goal_reached: bool,
    /// Whether no round opens until the organiser resumes the campaign.
    #[serde(skip_serializing_if = "is_false")]
    paused: bool,
    /// Whether the organiser ended it for good.
    #[serde(skip_serializing_if = "is_false")]
    retired: bool,
    /// The sequence number of the organiser's last decision, where the manifest names an organiser's account.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided: Option<u64>,
    /// The settings that the organiser changed, the latest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<Changed>,
    /// The last settled checkpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    checkpoint: Option<String>,
    contributions: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    accuracy: Option<Accuracy>,
}

/// Settings that changed with a round.
#[derive(Serialize)]
struct Changed {
    round: u64,
    /// When it was opened, in milliseconds of Unix time.
    time: u64,
    settings: Settings,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// How much a model gets right.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Accuracy {
    /// The round that the model came out of.
    round: u64,
    /// Share of samples right, 0 to 1.
    value: f64,
    /// `measured` by this relay on the held-out samples, which it does in campaigns that end at their goal; in others
    /// `claimed`: the median of what the round's contributors say of the samples that they trained on.
    source: &'static str,
}

impl Now {
    pub(crate) fn new() -> Self {
        Self(RwLock::default())
    }

    /// What to answer with: JSON.
    pub(crate) fn text(&self) -> Bytes {
        self.0.read().unwrap_or_else(PoisonError::into_inner).text.clone()
    }

    /// Where the campaign stands, in a word, if nothing is trained in it.
    pub(crate) fn standing(&self) -> Option<&'static str> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).standing
    }

    /// Takes in what this relay measured the checkpoint of a round at.
    pub(crate) fn measured(&self, round: RoundNumber, value: f64) {
        let accuracy = Accuracy { round: round.0, value, source: MEASURED };
        self.0.write().unwrap_or_else(PoisonError::into_inner).accuracy = Some(accuracy);
    }

    /// Takes in where the campaign is.
    pub(crate) fn show(&self, state: &CampaignState, members: usize) {
        let mut shown = self.0.write().unwrap_or_else(PoisonError::into_inner);
        // What was measured is worth more than what is claimed of a later round, which is measured in a moment.
        if shown.accuracy.is_none_or(|accuracy| accuracy.source == CLAIMED) {
            shown.accuracy = claimed(state).or(shown.accuracy);
        }
        let numbers = Numbers {
            campaign: state.campaign().to_string(),
            members,
            round: state.round().map_or(0, |round| round.number().0),
            settled: state.settled(),
            limit: state.rules().limit,
            finished: state.is_finished(),
            goal_reached: state.is_at_goal(),
            paused: state.is_paused(),
            retired: state.is_retired(),
            decided: state.rules().organiser.map(|_account| state.decided()),
            changes: changes(state),
            checkpoint: state.checkpoint().map(|cid| cid.to_string()),
            contributions: state.contributions(),
            accuracy: shown.accuracy,
        };
        shown.standing = match () {
            () if state.is_retired() => Some("retired"),
            () if state.is_finished() => Some("finished"),
            () if state.is_paused() => Some("paused"),
            () => None,
        };
        match serde_json::to_vec(&numbers) {
            Ok(text) => shown.text = text.into(),
            Err(error) => tracing::error!(%error, "cannot write now.json"),
        }
    }
}

/// The last changes of settings.
fn changes(state: &CampaignState) -> Vec<Changed> {
    let applied = state.applied();
    let last = applied.get(applied.len().saturating_sub(SHOWN_CHANGES)..).unwrap_or_default();
    let shown = |Applied { round, time, settings, .. }: &Applied| Changed {
        round: round.0,
        time: *time,
        settings: *settings,
    };
    last.iter().map(shown).collect()
}

/// What the contributors of a settled round say of their models, in the middle.
fn claimed(state: &CampaignState) -> Option<Accuracy> {
    let round = state.round().filter(|round| matches!(round.stage(), Stage::Settled { .. }))?;
    let mut claims: Vec<f64> = round.counted().map(|accepted| accepted.metrics.accuracy()).collect();
    claims.sort_unstable_by(f64::total_cmp);
    let value = *claims.get(claims.len() / 2)?;
    Some(Accuracy { round: round.number().0, value, source: CLAIMED })
}
