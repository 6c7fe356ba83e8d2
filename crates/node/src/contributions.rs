//! Remembers the account's own contributions, with their receipts, across visits.

use std::collections::BTreeMap;

use lichen_bridge::{Contribution, ContributionState};
use lichen_record::{CampaignId, Cid, RoundNumber, decode, encode};
use serde::{Deserialize, Serialize};

use crate::Platform;

/// Contributions at hand: more than a page lists. The device keeps the earlier ones, too.
const AT_HAND: usize = 512;

/// Longest stored contribution, in bytes.
const MAX_STORED: usize = 8 * 1024;

/// This account's contributions to a campaign, kept on the device with their receipts.
pub(crate) struct Contributions {
    campaign: CampaignId,
    by_round: BTreeMap<u64, Stored>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    contribution: Contribution,
    /// The relay's signed receipt; none where the entry was found in the log before one came.
    #[serde(with = "serde_bytes")]
    receipt: Option<Vec<u8>>,
}

impl Contributions {
    /// Reads what the device keeps. What cannot be read is left out: the log has it all the same.
    pub(crate) async fn load<P: Platform>(platform: &P, campaign: CampaignId) -> Self {
        let stored = platform.load(&prefix(&campaign)).await.unwrap_or_default();
        let by_round = stored
            .iter()
            .filter_map(|(_name, bytes)| decode::<Stored>(bytes, MAX_STORED).ok())
            .map(|stored| (stored.contribution.round, stored))
            .collect();
        let mut contributions = Self { campaign, by_round };
        contributions.bound();
        contributions
    }

    /// All of them, by round.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Contribution> {
        self.by_round.values().map(|stored| &stored.contribution)
    }

    /// The last one that was found in the log: its round, and its update.
    pub(crate) fn last_recorded(&self) -> Option<(RoundNumber, Cid)> {
        let is_recorded = |it: &&Contribution| matches!(it.state, ContributionState::Recorded { .. });
        let last = self.by_round.values().rev().map(|stored| &stored.contribution).find(is_recorded)?;
        Some((RoundNumber(last.round), last.update))
    }

    /// What is known about the contribution with this update.
    pub(crate) fn state(&self, round: u64, update: &Cid) -> Option<&ContributionState> {
        let contribution = &self.by_round.get(&round)?.contribution;
        (contribution.update == *update).then_some(&contribution.state)
    }

    /// Whether nothing is at hand of this round any more, since later ones are enough.
    pub(crate) fn is_past(&self, round: u64) -> bool {
        let first = self.by_round.first_key_value();
        self.by_round.len() >= AT_HAND && first.is_some_and(|(first, _stored)| round < *first)
    }

    fn bound(&mut self) {
        while self.by_round.len() > AT_HAND {
            self.by_round.pop_first();
        }
    }

    /// Takes in a contribution's new state and gives the name and the bytes to keep it under.
    pub(crate) fn set(
        &mut self,
        contribution: Contribution,
        receipt: Option<Vec<u8>>,
    ) -> Option<(String, Vec<u8>)> {
        let round = contribution.round;
        let stored = Stored { contribution, receipt };
        let bytes = encode(&stored).ok();
        self.by_round.insert(round, stored);
        self.bound();
        // Zeros in front: names are kept in their order as text.
        bytes.map(|bytes| (format!("{}{round:020}", prefix(&self.campaign)), bytes))
    }
}

fn prefix(campaign: &CampaignId) -> String {
    format!("contribution/{campaign}/")
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use lichen_record::SigningKey;

    use super::*;
    use crate::native::{Device, Native};

    fn contribution(round: u64, state: ContributionState) -> Contribution {
        Contribution { round, update: Cid::of_raw(&round.to_be_bytes()), samples: 480, state }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_kept_is_there_after_a_reload() {
        let tab = Native::new(Device::new(SigningKey::generate([1; 32])), Vec::new());
        let campaign = CampaignId::of_manifest(b"digits");
        let mut contributions = Contributions::load(&tab, campaign).await;
        let states = [
            (2, ContributionState::Sent),
            (10, ContributionState::Recorded { index: 7 }),
            (2, ContributionState::Refused { reason: "late".into() }),
        ];
        for (round, state) in states {
            let (name, bytes) = contributions.set(contribution(round, state), Some(vec![1, 2, 3])).unwrap();
            tab.save(&name, &bytes).await.unwrap();
        }
        tab.save(&format!("contribution/{campaign}/3"), b"junk").await.unwrap();
        let other = CampaignId::of_manifest(b"letters");
        assert_eq!(Contributions::load(&tab, other).await.iter().count(), 0);
        let loaded = Contributions::load(&tab, campaign).await;
        assert!(loaded.iter().eq(contributions.iter()));
        assert_eq!(loaded.iter().map(|contribution| contribution.round).collect::<Vec<_>>(), [2, 10]);
        let update = Cid::of_raw(&10_u64.to_be_bytes());
        assert_eq!(loaded.state(10, &update), Some(&ContributionState::Recorded { index: 7 }));
        assert_eq!(loaded.state(10, &Cid::of_raw(b"another")), None);
        assert_eq!(loaded.last_recorded(), Some((RoundNumber(10), update)));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn of_many_the_last_are_at_hand_and_all_are_kept() {
        let tab = Native::new(Device::new(SigningKey::generate([1; 32])), Vec::new());
        let campaign = CampaignId::of_manifest(b"digits");
        let mut contributions = Contributions::load(&tab, campaign).await;
        let most = AT_HAND as u64;
        for round in 1..=most + 3 {
            let (name, bytes) =
                contributions.set(contribution(round, ContributionState::Sent), None).unwrap();
            tab.save(&name, &bytes).await.unwrap();
        }
        for contributions in [&contributions, &Contributions::load(&tab, campaign).await] {
            assert_eq!(contributions.iter().count(), AT_HAND);
            assert!(
                contributions.is_past(3) && !contributions.is_past(4) && !contributions.is_past(most + 4)
            );
        }
        assert_eq!(tab.load(&prefix(&campaign)).await.unwrap().len(), AT_HAND + 3);
    }
}
