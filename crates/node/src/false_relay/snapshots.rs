//! Relays that have a snapshot of the log, true or false in one way.

use lichen_log::Beginning;
use lichen_net::hub::{Reason, Reply};
use lichen_record::{CampaignId, Cid, Entry, SigningKey, verify};
use lichen_round::{CampaignState, Rules};
use tokio::task::LocalSet;

use super::{Lie, MANIFEST, Relay, failed, state, until, visit};
use bridge::{ContributionState, Event, Phase, Problem};
use lichen_bridge as bridge;

/// What is wrong with the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SnapshotLie {
    /// Nothing.
    None,
    /// Its id is another than that of the state that the log comes to, which is what the relay gives.
    OtherId,
    /// A stranger signed it.
    OthersWord,
    /// It names the state of another campaign.
    OtherCampaign,
    /// It names a state of an earlier place in the log.
    OtherPlace,
    /// It names the beginning of a state.
    Truncated,
    /// The chain before it is said to be another one.
    OtherHistory,
    /// The log that follows is another one.
    OtherTail,
}

/// Place of the snapshot in the log.
const PLACE: usize = 3;

impl Relay {
    /// Two members join, and the snapshot follows.
    pub(super) fn take_snapshot(&mut self, lie: SnapshotLie, manifest: &[u8]) {
        let campaign = CampaignId::of_manifest(manifest);
        let rules = Rules::from(&lichen_campaign::Manifest::from_bytes(manifest).unwrap());
        for number in [92, 93] {
            let joined = SigningKey::generate([number; 32]).sign(&Entry::Joined { campaign, sequence: 1 });
            self.append(&joined.unwrap());
        }
        let of = match lie {
            SnapshotLie::OtherCampaign => CampaignId::of_manifest(b"another"),
            _ => campaign,
        };
        let mut folded = CampaignState::new(of, rules);
        let length = self.records.len() - usize::from(lie == SnapshotLie::OtherPlace);
        if of == campaign {
            for record in &self.records[..length] {
                folded.apply(record.time, &verify(&record.entry).unwrap()).unwrap();
            }
        }
        let mut bytes = folded.to_bytes();
        if lie == SnapshotLie::Truncated {
            bytes.pop();
        }
        let state = Cid::of_raw(if lie == SnapshotLie::OtherId { b"another" } else { &bytes[..] });
        self.blobs.insert(state, bytes);
        let signer = if lie == SnapshotLie::OthersWord { &self.stranger } else { &self.coordinator };
        let snapshot = signer.sign(&Entry::Snapshot { campaign, state }).unwrap();
        self.append(&snapshot);
    }

    /// What it answers to whoever asks for the newest snapshot.
    pub(super) fn snapshot(&self) -> Reply {
        let Lie::Snapshot(lie) = self.lie else { return Reply::Refused { reason: Reason::Malformed } };
        let before = &self.records[PLACE - 1];
        let mut hash = before.hash;
        hash[0] ^= u8::from(lie == SnapshotLie::OtherHistory);
        Reply::Snapshot(Beginning { hash, time: before.time, record: self.records[PLACE].clone() })
    }
}

fn manifest() -> Vec<u8> {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    format!("{text}\n[log]\nsnapshots = 1\n").into_bytes()
}

#[tokio::test(flavor = "current_thread")]
async fn a_tab_begins_with_a_snapshot_and_takes_part() {
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::Snapshot(SnapshotLie::None), manifest());
            let is_recorded =
                |event: &Event| matches!(state(event), Some(ContributionState::Recorded { index: 6 }));
            until(&mut visit.events, is_recorded).await;
            assert_eq!(visit.relay.borrow().read_from, Some(PLACE as u64 + 1), "nothing before was read");
        })
        .await;
}

#[tokio::test(flavor = "current_thread")]
async fn a_false_snapshot_is_believed_by_nobody() {
    LocalSet::new()
        .run_until(async {
            let lies = [
                // The relay lacks what it names: the log is read as a whole.
                (SnapshotLie::OtherId, "the snapshot is not what the log comes to"),
                (SnapshotLie::OthersWord, "another than the coordinator signed it"),
                (SnapshotLie::OtherCampaign, "the state of campaign"),
                (SnapshotLie::OtherPlace, "another place in it"),
                (SnapshotLie::Truncated, "not the one form"),
                (SnapshotLie::OtherHistory, "record 3: its hash does not follow"),
                (SnapshotLie::OtherTail, "signed another log of 4 records"),
            ];
            for (lie, reason) in lies {
                let mut events = visit(Lie::Snapshot(lie), manifest()).events;
                let seen = until(&mut events, failed).await;
                let Some(Event::Status(Phase::Failed(Problem { message, .. }))) = seen.last() else {
                    panic!()
                };
                assert!(message.contains(reason), "{lie:?}: {message}");
                assert!(!seen.iter().any(|event| state(event).is_some()), "{lie:?}: it takes no part");
            }
        })
        .await;
}
