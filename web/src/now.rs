//! Where the campaign is at this moment, as `/now.json` says it: for the card before joining, and proof of nothing.

use lichen_bridge::Settings;
use serde::Deserialize;

/// Longest `/now.json` that is read, in bytes.
const MAX_NOW: usize = 4 * 1024;

/// What the page needs of `/now.json`. Fields it does not know are for later.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Now {
    /// The campaign that this is about.
    pub(crate) campaign: String,
    /// People who take part.
    #[serde(default)]
    pub(crate) members: u64,
    /// The last round opened, 0 before the first.
    #[serde(default)]
    pub(crate) round: u64,
    /// Rounds settled.
    #[serde(default)]
    pub(crate) settled: u64,
    /// Rounds in all.
    #[serde(default)]
    pub(crate) limit: u64,
    /// Whether there will be no more.
    #[serde(default)]
    pub(crate) finished: bool,
    /// Whether that is because the goal was reached.
    #[serde(default)]
    pub(crate) goal_reached: bool,
    /// Whether the organiser has paused it.
    #[serde(default)]
    pub(crate) paused: bool,
    /// Whether the organiser has ended it for good.
    #[serde(default)]
    pub(crate) retired: bool,
    /// The last settings that the organiser changed, the latest last.
    #[serde(default)]
    pub(crate) changes: Vec<Changed>,
    /// The last settled checkpoint.
    #[serde(default)]
    pub(crate) checkpoint: Option<String>,
    /// Contributions in all.
    #[serde(default)]
    pub(crate) contributions: u64,
    /// How much the model gets right, where anybody has said so.
    #[serde(default)]
    pub(crate) accuracy: Option<Accuracy>,
}

/// Settings that hold from a round on.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Changed {
    /// The round.
    pub(crate) round: u64,
    /// When it was opened, in milliseconds of Unix time.
    pub(crate) time: u64,
    /// What changed.
    pub(crate) settings: Settings,
}

/// How much a model gets right.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Accuracy {
    /// Share, 0 to 1.
    pub(crate) value: f64,
    /// `measured` by the relay, or `claimed` by those who train.
    #[serde(default)]
    pub(crate) source: String,
}

/// Reads the text of `/now.json`; nothing where it is not what this page knows, since the page does without.
pub(crate) fn read(text: &str) -> Option<Now> {
    if text.len() > MAX_NOW {
        return None;
    }
    let now: Now = serde_json::from_str(text).ok()?;
    let is_sound = now.accuracy.as_ref().is_none_or(|accuracy| (0.0..=1.0).contains(&accuracy.value));
    is_sound.then_some(now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_unknown_fields_let_be() {
        let text = r#"{"campaign":"bafk","members":3,"round":40,"settled":39,"limit":1000,"finished":false,"checkpoint":"bafkc","accuracy":{"round":39,"value":0.97,"source":"claimed"},"later":[1]}"#;
        let now = read(text).unwrap();
        assert_eq!((now.members, now.round, now.settled), (3, 40, 39));
        assert_eq!(now.accuracy.unwrap().value, 0.97);
        assert_eq!(read(r#"{"campaign":"bafk"}"#).unwrap().members, 0);
    }

    #[test]
    fn what_the_organiser_decided_is_read() {
        let text = r#"{"campaign":"b","paused":true,"decided":7,"changes":[{"round":3,"time":9,"settings":{"learning-rate":0.01}}]}"#;
        let now = read(text).unwrap();
        assert!(now.paused && !now.retired);
        assert_eq!((now.changes[0].round, now.changes[0].settings.learning_rate), (3, Some(0.01)));
    }

    #[test]
    fn what_makes_no_sense_is_not_shown() {
        for text in ["", "{}", "[]", r#"{"campaign":7}"#, r#"{"campaign":"b","members":-1}"#] {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(r#"{"campaign":"b","accuracy":{"value":97}}"#), None);
        let long = format!(r#"{{"campaign":"{}"}}"#, "b".repeat(MAX_NOW));
        assert_eq!(read(&long), None);
    }
}
