//! The campaign in words, for whoever looks at the page before taking part. Nothing here is proof: who takes part
//! checks the manifest against the campaign's id.

use lichen_campaign::{Manifest, Topology};
use serde::Serialize;

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
    /// The words of a manifest.
    pub(crate) fn of(manifest: &Manifest) -> Self {
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
            mesh: manifest.rounds.topology != Topology::Hub,
            statements: manifest.explain().into_iter().map(statement).collect(),
        }
    }
}
