//! What came of a run.

use lichen_record::Cid;

use crate::tab::Traffic;

/// What happened in a run, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Things that happened.
    pub events: u64,
    /// Mishaps that befell somebody.
    pub mishaps: u64,
    /// Entries that came to the relay.
    pub received: u64,
    /// Entries that it refused.
    pub refused: u64,
    /// Records that it ordered, those that it lost among them.
    pub entries: u64,
    /// Contributions accepted.
    pub contributions: u64,
    /// Trainings begun.
    pub trainings: u64,
    /// Rounds that changed the model.
    pub fruitful: u64,
    /// Rounds that were skipped.
    pub skipped: u64,
    /// Rounds that were set aside.
    pub set_aside: u64,
    /// Contributions excluded, since nobody gave their updates.
    pub excluded: u64,
    /// Faults that the log proved.
    pub faults: u64,
    /// Peers that others dropped for wrong bytes.
    pub banned: u64,
    /// Tabs that stopped believing a relay.
    pub distrusting: u64,
    /// Starts of the relay after the first.
    pub starts: u64,
    /// Most blobs there were.
    pub most_blobs: usize,
}

/// What came of a run in which every rule held.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Rounds settled, the skipped ones among them.
    pub settled: u64,
    /// Faults in the log at the end.
    pub faults: usize,
    /// Length of the run.
    pub simulated_ms: u64,
    /// Records of the log at the end.
    pub records: usize,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Hash of the log at the end: equal runs have equal ones.
    pub head: [u8; 32],
    /// The last checkpoint.
    pub checkpoint: Option<Cid>,
    /// Its held-out accuracy.
    pub accuracy: Option<f64>,
    /// Parameters of the model.
    pub parameters: usize,
    /// What happened, counted.
    pub tally: Tally,
    pub(crate) traffic: Vec<Traffic>,
}

/// What a tab moves in a round, on average, in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct PerRound {
    /// Signed entries to the relay.
    pub entries_up: f64,
    /// The log from the relay.
    pub log_down: f64,
    /// Blobs to the relay.
    pub blobs_up: f64,
    /// Blobs from the relay, and in a mesh from peers.
    pub blobs_down: f64,
    /// Bytes served to peers.
    pub peers: f64,
    /// Messages.
    pub messages: f64,
}

impl Outcome {
    /// What a tab moved in a round, on average over all tabs and rounds.
    #[must_use]
    pub fn per_round(&self) -> PerRound {
        let all = self.traffic.len() as f64 * self.settled.max(1) as f64;
        let mean = |of: fn(&Traffic) -> u64| self.traffic.iter().map(of).sum::<u64>() as f64 / all;
        PerRound {
            entries_up: mean(|traffic| traffic.entries_up),
            log_down: mean(|traffic| traffic.log_down),
            blobs_up: mean(|traffic| traffic.blobs_up),
            blobs_down: mean(|traffic| traffic.blobs_down),
            peers: mean(|traffic| traffic.peers),
            messages: mean(|traffic| traffic.messages),
        }
    }

    /// The head's hash as text.
    #[must_use]
    pub fn head_text(&self) -> String {
        self.head.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
