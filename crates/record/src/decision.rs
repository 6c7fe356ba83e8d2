//! What an organiser decides about a campaign that is under way.

use serde::{Deserialize, Deserializer, Serialize, de};

/// How a campaign goes on, by its organiser's word.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Decision {
    /// No further round opens until the organiser resumes it. The round that is under way ends as usual.
    Pause,
    /// Rounds open again.
    Resume,
    /// The campaign is over with the round that is under way, or with the last one if none is.
    Finish,
    /// The campaign is over at once, and nothing more is taken into its record.
    Retire,
    /// Settings change, from the next round that opens: at least one.
    Change(#[serde(deserialize_with = "something")] Settings),
}

/// The settings that a manifest may let its organiser change; what is not written stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Settings {
    /// How long a round waits for members that do not contribute, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Accuracy on the held-out samples, 0 to 1, at which the campaign has reached its aim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_accuracy: Option<f64>,
    /// The local optimiser's step size before its schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
}

impl Settings {
    /// Whether nothing is set.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These settings, and of what they leave as it is, the others.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            deadline_ms: self.deadline_ms.or(others.deadline_ms),
            target_accuracy: self.target_accuracy.or(others.target_accuracy),
            learning_rate: self.learning_rate.or(others.learning_rate),
        }
    }
}

/// A change that changes nothing is none.
fn something<'de, D: Deserializer<'de>>(from: D) -> Result<Settings, D::Error> {
    let settings = Settings::deserialize(from)?;
    if settings.is_empty() { Err(de::Error::custom("no setting")) } else { Ok(settings) }
}
