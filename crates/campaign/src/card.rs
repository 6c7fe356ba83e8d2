//! What a campaign says of itself, in one form for relay, page and command line.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::{Manifest, Organiser, Show, Transport};

/// A campaign in words, for somebody who is asked to take part. It follows from the manifest; whoever gets it from
/// elsewhere compares it with that.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// A few words.
    pub title: String,
    /// What the model will be good for.
    pub purpose: String,
    /// Who runs the campaign.
    pub organiser: Organiser,
    /// Under which licence the trained model is given away (SPDX identifier).
    pub licence: String,
    /// Whom to thank for the data.
    pub credit: String,
    /// Accuracy on the held-out samples at which the campaign has reached its aim, 0 to 1; none where it aims at none.
    #[serde(default)]
    pub target_accuracy: Option<f64>,
    /// Whether updates go from tab to tab.
    #[serde(default)]
    pub mesh: bool,
    /// What a visitor should know before saying yes.
    pub statements: Vec<Statement>,
    /// How samples are shown; none where there is nothing to see.
    #[serde(default)]
    pub show: Option<Show>,
}

/// One thing that a visitor should know before saying yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// What it is about.
    #[serde(default)]
    pub topic: Topic,
    /// The question that a visitor has.
    pub heading: String,
    /// The answer, in one or a few plain sentences.
    pub text: String,
}

/// What a statement is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Topic {
    /// What the campaign is for.
    Purpose,
    /// What leaves the visitor's device.
    Leaving,
    /// What the device does.
    Work,
    /// What is trained.
    Model,
    /// On what data.
    Data,
    /// For how long.
    Duration,
    /// Who runs the campaign.
    Organiser,
    /// What becomes of the result.
    Licence,
    /// Something that this version of the program does not know.
    #[default]
    #[serde(other)]
    Other,
}

impl Topic {
    /// Whether it concerns the visitor's own device.
    #[must_use]
    pub const fn is_about_device(self) -> bool {
        matches!(self, Self::Leaving | Self::Work)
    }
}

impl Card {
    /// Whether one of the statements is about this.
    #[must_use]
    pub fn tells(&self, topic: Topic) -> bool {
        self.statements.iter().any(|statement| statement.topic == topic)
    }
}

impl Manifest {
    /// The campaign in words.
    #[must_use]
    pub fn card(&self) -> Card {
        let words = &self.campaign;
        Card {
            title: words.title.clone(),
            purpose: words.purpose.clone(),
            organiser: words.organiser.clone(),
            licence: words.licence.clone(),
            credit: self.data.credit.clone(),
            target_accuracy: words.target_accuracy,
            mesh: self.rounds.transport == Transport::Peers,
            statements: self.explain(),
            show: self.show.clone(),
        }
    }
}
