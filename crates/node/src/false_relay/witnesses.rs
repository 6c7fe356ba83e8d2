//! Relays of a campaign that names witnesses, who have seen the log, another one, or none.

use lichen_bridge::{Event, Phase, Problem};
use lichen_log::tree::{Edge, Hash, Nodes, inclusion_proof, leaf_hash, node_hash};
use lichen_log::{
    Ed25519Key, KeyKind, LogCheckpoint, LogKey, Record, SignedCheckpoint, VerifierKey, Witnessed,
};
use lichen_net::hub::{Reason, Reply, Request};
use lichen_record::{encode, verify};
use tokio::task::LocalSet;

use super::*;

/// What the campaign's witness has seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Witnesses {
    /// The log.
    All,
    /// Another log.
    Another,
    /// Nothing yet.
    Nothing,
    /// Nothing: what is below the checkpoint is a stranger's signature.
    Stranger,
    /// The log of another coordinator.
    OthersLog,
}

struct Leaves(Vec<Hash>);

impl Nodes for Leaves {
    type Error = std::convert::Infallible;

    fn node(&mut self, height: u8, index: u64) -> Result<Hash, Self::Error> {
        if height == 0 {
            return Ok(self.0[usize::try_from(index).unwrap()]);
        }
        Ok(node_hash(&self.node(height - 1, 2 * index)?, &self.node(height - 1, 2 * index + 1)?))
    }
}

fn key(seed: u8) -> Ed25519Key {
    Ed25519Key::from_seed(&[seed; 32]).unwrap()
}

fn witness(seed: u8) -> VerifierKey {
    VerifierKey::new("witness.example/w1", KeyKind::Cosignature, key(seed).public()).unwrap()
}

impl Relay {
    /// What it answers to whoever asks what witnesses have seen.
    pub(super) fn witnessed(&self) -> Reply {
        let Lie::Witnesses(seen) = self.lie else { panic!("nobody asks where there are no witnesses") };
        if seen == Witnesses::Nothing {
            return Reply::Refused { reason: Reason::NotFound };
        }
        let mut records: Vec<Record> = self.records.clone();
        if seen == Witnesses::Another {
            records.last_mut().unwrap().hash[0] ^= 1;
        }
        let mut edge = Edge::default();
        let leaves: Vec<Hash> = records.iter().map(|record| leaf_hash(&encode(record).unwrap())).collect();
        leaves.iter().for_each(|leaf| edge.append(*leaf));
        let campaign = self.chain.head().campaign;
        let signer = if seen == Witnesses::OthersLog { &self.stranger } else { &self.coordinator };
        let certificate = signer.sign(&LogKey { campaign, key: key(50).public() }).unwrap();
        let log_key = LogKey::verifier(&verify(&certificate).unwrap()).unwrap();
        let checkpoint = LogCheckpoint::new(&log_key, edge.size(), edge.root());
        let mut signed = SignedCheckpoint::sign(checkpoint, &log_key, |text| key(50).sign(text));
        let seed = if seen == Witnesses::Stranger { 52 } else { 51 };
        signed.cosign(&witness(seed), 1_700_000_000, |text| key(seed).sign(text));
        let last = edge.size() - 1;
        let proof = inclusion_proof(&mut Leaves(leaves), last, edge.size()).unwrap().concat();
        let record = records.pop().unwrap();
        Reply::Witnessed(Witnessed { checkpoint: signed.to_bytes(), record, proof })
    }
}

fn manifest() -> Vec<u8> {
    let text = std::str::from_utf8(MANIFEST).unwrap();
    format!("{text}\n[log]\nwitnesses = [\"{}\"]\n", witness(51)).into_bytes()
}

/// The next event like this, however long that takes on a clock that nothing waits for.
async fn next(events: &mut UnboundedReceiver<Event>, is_it: impl Fn(&Event) -> bool) -> Event {
    loop {
        let event = events.next().await.unwrap();
        if is_it(&event) {
            return event;
        }
    }
}

/// Why a tab in such a campaign does nothing, once it says so.
fn held(event: &Event) -> Option<&Problem> {
    match event {
        Event::Status(Phase::Stalled(problem)) if problem.message.contains("holds back") => Some(problem),
        _ => None,
    }
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_tab_takes_part_in_what_witnesses_have_seen() {
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::Witnesses(Witnesses::All), manifest());
            next(&mut visit.events, |event| matches!(event, Event::Witnessed { records: 2 })).await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn what_witnesses_have_not_seen_is_only_read() {
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::Witnesses(Witnesses::Nothing), manifest());
            next(&mut visit.events, |event| held(event).is_some()).await;
            {
                let mut relay = visit.relay.borrow_mut();
                let opening = relay.opening();
                let opening = relay.coordinator.sign(&opening).unwrap();
                let from = relay.records.len();
                relay.append(&opening);
                relay.send_records(from);
            }
            next(&mut visit.events, |event| matches!(event, Event::Round { number: 1, .. })).await;
            // For some minutes of the tab's clock, which stands still while anything is computed.
            let all = async {
                next(&mut visit.events, |event| match event {
                    Event::Net(NetCommand::Request { bytes, .. }) => {
                        let request = Request::from_bytes(bytes).unwrap();
                        assert!(!matches!(request, Request::Append { .. }), "{request:?}");
                        false
                    }
                    _ => false,
                })
                .await;
            };
            assert!(tokio::time::timeout(Duration::from_secs(300), all).await.is_err());
            visit.relay.borrow_mut().lie = Lie::Witnesses(Witnesses::All);
            next(&mut visit.events, |event| matches!(event, Event::Witnessed { records: 3 })).await;
            next(&mut visit.events, |event| matches!(state(event), Some(ContributionState::Recorded { .. })))
                .await;
        })
        .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn signatures_that_show_nothing_are_none() {
    LocalSet::new()
        .run_until(async {
            for seen in [Witnesses::Stranger, Witnesses::OthersLog] {
                let mut visit = visit(Lie::Witnesses(seen), manifest());
                let event = next(&mut visit.events, |event| held(event).is_some()).await;
                let Problem { message, .. } = held(&event).unwrap();
                assert!(message.contains("by what the server shows"), "{message}");
            }
        })
        .await;
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_log_that_witnesses_have_seen_otherwise_is_believed_no_more() {
    LocalSet::new()
        .run_until(async {
            let mut visit = visit(Lie::Witnesses(Witnesses::Another), manifest());
            let event = next(&mut visit.events, failed).await;
            let Event::Status(Phase::Failed(Problem { message, .. })) = event else { panic!("{event:?}") };
            assert!(
                message.contains("its witnesses have seen another one, whose first 2 entries"),
                "{message}"
            );
        })
        .await;
}
