//! What a relay says about its own condition to the tabs that watch a log.

use serde::{Deserialize, Serialize};

/// How a relay is doing, for whoever watches a log there. All at its default where nothing is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Notice {
    /// Seconds by which the log's time is ahead of the relay's clock: one of the two is, or was, wrong.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clock_ahead: u64,
    /// What keeps the campaign from going on, if anything does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stall: Option<Cause>,
}

/// Why a campaign does not go on.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error,
)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// A part of the relay has died.
    #[error("a part of the relay has stopped")]
    Died,
    /// The relay's disk is full.
    #[error("the disk is full")]
    StoreFull,
    /// The relay cannot write to its disk.
    #[error("the disk fails")]
    StoreFailing,
    /// An update of the closed round is not at the relay any more.
    #[error("an update of the closed round is missing")]
    UpdateMissing,
    /// The relay cannot compute the closed round's result.
    #[error("the closed round's result cannot be computed")]
    Aggregation,
    /// The campaign's blobs take all that the relay gives a campaign, so that it accepts no contributions to this one.
    #[error("the campaign has used up its space at this relay (--campaign-bytes)")]
    CampaignFull,
    /// What is attested of the closed round contradicts itself, so that nothing has a majority.
    #[error("the attestations of the closed round contradict each other")]
    Conflict,
    /// The open round has fewer contributions than it needs.
    #[error("the open round waits for more contributions")]
    Contributions,
    /// The relay that this one follows is away, or shows a false log.
    #[error("the relay that this one follows cannot be reached")]
    Leader,
    /// None of these; the relay's log may say more.
    #[error("the cause is not known")]
    Unknown,
}

impl Cause {
    /// All of them, the gravest first.
    pub const ALL: [Self; 10] = [
        Self::Died,
        Self::StoreFull,
        Self::StoreFailing,
        Self::UpdateMissing,
        Self::Aggregation,
        Self::Unknown,
        Self::CampaignFull,
        Self::Conflict,
        Self::Contributions,
        Self::Leader,
    ];

    /// Whether the relay itself cannot do its part, so that it is not ready. Where it waits for people, serves a copy, or has no
    /// more room for one campaign, it is.
    #[must_use]
    pub const fn is_the_relays(self) -> bool {
        !matches!(self, Self::CampaignFull | Self::Conflict | Self::Contributions | Self::Leader)
    }

    /// The cause as a metric's label, in snake case.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Died => "died",
            Self::StoreFull => "store_full",
            Self::StoreFailing => "store_failing",
            Self::UpdateMissing => "update_missing",
            Self::Aggregation => "aggregation",
            Self::CampaignFull => "campaign_full",
            Self::Conflict => "conflict",
            Self::Contributions => "contributions",
            Self::Leader => "leader",
            Self::Unknown => "unknown",
        }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[cfg(test)]
mod tests {
    use lichen_record::{decode, encode};

    use super::*;

    #[test]
    fn wire_form() {
        assert_eq!(encode(&Notice::default()).unwrap(), b"\xa0");
        let notice = Notice { clock_ahead: 5, stall: Some(Cause::StoreFull) };
        let bytes = encode(&notice).unwrap();
        assert_eq!(bytes, b"\xa2\x65stall\x6astore-full\x6bclock-ahead\x05");
        assert_eq!(decode::<Notice>(&bytes, 100).unwrap(), notice);
    }

    #[test]
    fn what_is_unknown_is_no_notice() {
        for wrong in [&b"\xa1\x65stall\x64moon"[..], b"\xa1\x64what\x05", b"\xa1\x6bclock-ahead\x20", b"\x80"]
        {
            assert!(decode::<Notice>(wrong, 100).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn every_cause_is_listed_once_under_its_own_label() {
        let labels: std::collections::BTreeSet<&str> = Cause::ALL.iter().map(|cause| cause.label()).collect();
        assert_eq!(labels.len(), Cause::ALL.len());
    }
}
