//! What an audit says: how far it is, and what was found right.

use lichen_record::{AccountId, CampaignId, Cid, RoundNumber};
use serde::Serialize;

use crate::ending::Ending;
use crate::tree::TreeReport;

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Records checked, of all that the signed head counts.
    Records(u64, u64),
    /// Rounds recomputed, of all that are settled.
    Rounds(u64, u64),
    /// Trainings repeated, of all that are to be.
    Trainings(u64, u64),
    /// The last checkpoint is being evaluated.
    Evaluating,
}

/// What was checked, and found right.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The campaign.
    pub campaign: CampaignId,
    /// Its title.
    pub title: String,
    /// Who orders its log.
    pub coordinator: AccountId,
    /// Records in the log.
    pub records: u64,
    /// What is right about the log's tree, if the relay shows it.
    pub tree: Option<TreeReport>,
    /// How many witnesses the campaign wants to have seen its log; 0 where it names none.
    pub witnesses_wanted: u32,
    /// How many records so many of them have seen; none where the campaign names none, or no tree is shown.
    pub witnessed: Option<u64>,
    /// Snapshots in the log, each of which is what the entries before it come to.
    pub snapshots: u64,
    /// Signatures checked: one for each record and one for the head.
    pub signatures: u64,
    /// Accounts with accepted contributions.
    pub contributors: u64,
    /// Contributions that went into checkpoints.
    pub contributions: u64,
    /// Those of them whose training anybody can repeat to the bit, as the entry names an engine that gives the same bits
    /// everywhere.
    pub contributions_reproducible: u64,
    /// Updates among them that do not decode or are longer than allowed, which every aggregator leaves out.
    pub updates_left_out: u64,
    /// Rounds settled.
    pub rounds: u64,
    /// Rounds of them that changed nothing though there were contributions: their results were turned down.
    pub rounds_set_aside: Vec<u64>,
    /// Rounds of them that were skipped, since too little came together in the time that they had.
    pub rounds_skipped: Vec<u64>,
    /// Rounds of them that could not be recomputed, as some of their updates went from tab to tab and are not kept: of
    /// these it is known that more than half of the contributors attested the result, and no more.
    pub rounds_not_recomputed: u64,
    /// Accounts that said what is proven false: of a round's result, of their own training or of another's.
    pub contradictions: u64,
    /// Trainings of contributors that the log decides about, since others repeated them.
    pub trainings_audited: u64,
    /// Those of them that were repeated here, too.
    pub trainings_repeated: u64,
    /// Disputes about trainings that were settled here by the piece that the evidence in the log points at.
    pub disputes_settled: u64,
    /// Steps that this took.
    pub disputes_steps: u64,
    /// Accounts that contributed what their training does not give, and have no part in the campaign any more.
    pub expelled: Vec<AccountId>,
    /// Rounds whose result was told as a packed difference that gives another: tabs took the whole checkpoint.
    pub differences_wrong: u64,
    /// Blobs fetched and checked against their ids.
    pub blobs: u64,
    /// Bytes of these blobs.
    pub blob_bytes: u64,
    /// The first checkpoint, recomputed from the manifest.
    pub initial: Cid,
    /// The last settled checkpoint, recomputed unless its round could not be.
    pub checkpoint: Cid,
    /// Its accuracy on the held-out samples, 0 to 1.
    pub accuracy: f64,
    /// Its mean loss on the held-out samples.
    pub loss: f64,
    /// Held-out samples that it was evaluated on.
    pub held_out: u64,
    /// How the campaign ended, where it did so because its goal was reached.
    pub goal_reached: Option<Ending>,
    /// The best checkpoint, where the last one is far below it.
    pub best: Option<Best>,
}

/// The best checkpoint that a campaign had.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Best {
    /// The round that it settled; 0 for the first checkpoint.
    pub round: RoundNumber,
    /// Its accuracy on the samples that rounds' results are measured on, 0 to 1.
    pub accuracy: f64,
    /// Its mean loss on them.
    pub loss: f64,
}
