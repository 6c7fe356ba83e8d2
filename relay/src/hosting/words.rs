//! The campaign in words, for whoever looks at the page before taking part. Nothing here is proof: who takes part
//! checks the manifest against the campaign's id.

use lichen_campaign::Card;
use serde::Serialize;

use crate::log::campaign::Campaign;

/// What `lichen.json` says about the campaign.
#[derive(Serialize)]
pub(crate) struct Words {
    #[serde(flatten)]
    card: Card,
    /// Who runs this relay, as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
    /// What taking part costs.
    cost: Cost,
}

/// Who runs the relay, as they say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Operator {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
}

/// What goes over the wire, and how often.
#[derive(Serialize)]
struct Cost {
    data_bytes: usize,
    /// A checkpoint's bytes; an update's are about as many.
    model_bytes: usize,
    interval_ms: u64,
    rounds: u64,
}

impl Words {
    /// A few words for the campaign.
    pub(crate) fn title(&self) -> &str {
        &self.card.title
    }

    /// The words of a campaign, and of whoever runs the relay.
    pub(crate) fn of(campaign: &Campaign, operator: Option<Operator>) -> Self {
        let manifest = &campaign.manifest;
        let cost = Cost {
            data_bytes: campaign.data_bytes.len(),
            model_bytes: campaign.initial_bytes.len(),
            interval_ms: manifest.rounds.interval_ms,
            rounds: manifest.rounds.limit,
        };
        Self { card: manifest.card(), operator, cost }
    }
}
