//! The campaign in words, for whoever looks at the page before taking part. Nothing here is proof: who takes part
//! checks the manifest against the campaign's id.

use lichen_campaign::Transport;
use serde::Serialize;

use crate::log::campaign::Campaign;

/// What `lichen.json` says about the campaign.
#[derive(Serialize)]
pub(crate) struct Words {
    title: String,
    purpose: String,
    organiser: Organiser,
    licence: String,
    credit: String,
    target_accuracy: Option<f64>,
    /// Whether tabs connect to each other.
    mesh: bool,
    statements: Vec<Statement>,
    /// Who runs this relay, as they say.
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<Operator>,
    /// What taking part costs.
    cost: Cost,
    /// How samples are shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    show: Option<Show>,
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

#[derive(Serialize)]
struct Show {
    width: usize,
    height: usize,
    labels: Vec<String>,
    draw: bool,
}

#[derive(Serialize)]
struct Organiser {
    name: String,
    contact: String,
}

#[derive(Serialize)]
struct Statement {
    heading: String,
    text: String,
}

impl Words {
    /// The words of a campaign, and of whoever runs the relay.
    pub(crate) fn of(campaign: &Campaign, operator: Option<Operator>) -> Self {
        let manifest = &campaign.manifest;
        let cost = Cost {
            data_bytes: campaign.data_bytes.len(),
            model_bytes: campaign.initial_bytes.len(),
            interval_ms: manifest.rounds.interval_ms,
            rounds: manifest.rounds.limit,
        };
        let show = manifest.show.as_ref().map(|show| Show {
            width: show.width,
            height: show.height,
            labels: show.labels.clone(),
            draw: show.draw,
        });
        let campaign = &manifest.campaign;
        let organiser = &campaign.organiser;
        let statement = |one: lichen_campaign::Statement| Statement { heading: one.heading, text: one.text };
        Self {
            title: campaign.title.clone(),
            purpose: campaign.purpose.clone(),
            organiser: Organiser { name: organiser.name.clone(), contact: organiser.contact.clone() },
            licence: campaign.licence.clone(),
            credit: manifest.data.credit.clone(),
            target_accuracy: campaign.target_accuracy,
            mesh: manifest.rounds.transport == Transport::Peers,
            statements: manifest.explain().into_iter().map(statement).collect(),
            operator,
            cost,
            show,
        }
    }
}
