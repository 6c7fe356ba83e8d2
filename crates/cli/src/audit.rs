//! Checks a campaign from its first record to its last checkpoint, believing nobody.

use std::collections::BTreeSet;

use lichen_campaign::{Manifest, Transport};
use lichen_learn::Quality;
use lichen_log::{Authority, Replica};
use lichen_net::hub::{MAX_RECORDS, Records};
use lichen_record::{AccountId, CampaignId, Cid, EngineVersion, Entry, MAX_BLOB, MAX_MANIFEST, RoundNumber};
use lichen_round::{Accepted, CampaignState, Change, Input, Outcome, Rules, Stage};
use serde::Serialize;

mod ending;
mod evaluation;
mod fault;
mod repeating;
#[cfg(test)]
mod tests;
mod tree;

use ending::Ending;
use evaluation::Recomputer;
pub(crate) use fault::{BlobRole, Fault, SourceError};
use repeating::Decisions;
pub(crate) use repeating::Repeat;
pub(crate) use tree::{Tree, TreeReport};

/// Where the log and the blobs come from. Nothing that it gives is believed.
pub(crate) trait Source {
    /// At most `limit` consecutive records of a campaign's log from an index on, none at its end, with a signed head.
    fn records(&mut self, campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError>;

    /// The bytes that an id names, at most `cap` of them.
    fn blob(&mut self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError>;
}

/// How far an audit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
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
pub(crate) struct Report {
    /// The campaign.
    pub(crate) campaign: CampaignId,
    /// Its title.
    pub(crate) title: String,
    /// Who orders its log.
    pub(crate) coordinator: AccountId,
    /// Records in the log.
    pub(crate) records: u64,
    /// What is right about the log's tree, if the relay shows it.
    pub(crate) tree: Option<TreeReport>,
    /// Snapshots in the log, each of which is what the entries before it come to.
    pub(crate) snapshots: u64,
    /// Signatures checked: one for each record and one for the head.
    pub(crate) signatures: u64,
    /// Accounts with accepted contributions.
    pub(crate) contributors: u64,
    /// Contributions that went into checkpoints.
    pub(crate) contributions: u64,
    /// Those of them whose training anybody can repeat to the bit, as the entry names an engine that gives the same bits
    /// everywhere.
    pub(crate) contributions_reproducible: u64,
    /// Updates among them that do not decode or are longer than allowed, which every aggregator leaves out.
    pub(crate) updates_left_out: u64,
    /// Rounds settled.
    pub(crate) rounds: u64,
    /// Rounds of them that changed nothing though there were contributions: their results were turned down.
    pub(crate) rounds_set_aside: Vec<u64>,
    /// Rounds of them that were skipped, since too little came together in the time that they had.
    pub(crate) rounds_skipped: Vec<u64>,
    /// Rounds of them that could not be recomputed, as some of their updates went from tab to tab and are not kept: of
    /// these it is known that more than half of the contributors attested the result, and no more.
    pub(crate) rounds_not_recomputed: u64,
    /// Accounts that said what is proven false: of a round's result, of their own training or of another's.
    pub(crate) contradictions: u64,
    /// Trainings of contributors that the log decides about, since others repeated them.
    pub(crate) trainings_audited: u64,
    /// Those of them that were repeated here, too.
    pub(crate) trainings_repeated: u64,
    /// Disputes about trainings that were settled here by the piece that the evidence in the log points at.
    pub(crate) disputes_settled: u64,
    /// Steps that this took.
    pub(crate) disputes_steps: u64,
    /// Accounts that contributed what their training does not give, and have no part in the campaign any more.
    pub(crate) expelled: Vec<AccountId>,
    /// Rounds whose result was told as a packed difference that gives another: tabs took the whole checkpoint.
    pub(crate) differences_wrong: u64,
    /// Blobs fetched and checked against their ids.
    pub(crate) blobs: u64,
    /// Bytes of these blobs.
    pub(crate) blob_bytes: u64,
    /// The first checkpoint, recomputed from the manifest.
    pub(crate) initial: Cid,
    /// The last settled checkpoint, recomputed unless its round could not be.
    pub(crate) checkpoint: Cid,
    /// Its accuracy on the held-out samples, 0 to 1.
    pub(crate) accuracy: f64,
    /// Its mean loss on the held-out samples.
    pub(crate) loss: f64,
    /// Held-out samples that it was evaluated on.
    pub(crate) held_out: u64,
    /// How the campaign ended, where it did so because its goal was reached.
    pub(crate) goal_reached: Option<Ending>,
    /// The best checkpoint, where the last one is far below it.
    pub(crate) best: Option<Best>,
}

/// The best checkpoint that a campaign had.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Best {
    /// The round that it settled; 0 for the first checkpoint.
    pub(crate) round: RoundNumber,
    /// Its accuracy on the samples that rounds' results are measured on, 0 to 1.
    pub(crate) accuracy: f64,
    /// Its mean loss on them.
    pub(crate) loss: f64,
}

/// Audits a campaign.
///
/// # Errors
/// The first [`Fault`] found, with its place.
pub(crate) fn audit(
    source: &mut impl Source,
    campaign: CampaignId,
    which: Repeat,
    tree: Option<&mut Tree>,
    progress: &mut impl FnMut(Progress),
) -> Result<Report, Fault> {
    let mut blobs = Blobs { source, count: 0, bytes: 0 };
    let manifest = blobs.fetch(campaign.0, BlobRole::Manifest, MAX_MANIFEST)?;
    let manifest = Manifest::from_bytes(&manifest).map_err(Fault::Manifest)?;
    let initial = evaluation::initial_checkpoint(&manifest)?;
    let log = follow_log(blobs.source, campaign, &manifest, Cid::of_raw(&initial), tree, progress)?;
    let data = blobs.fetch(manifest.data.cid, BlobRole::Data, MAX_BLOB)?;
    let recomputed = recompute(&mut blobs, &manifest, &data, initial, &log, progress)?;
    let checked = log.decisions.check(&mut blobs, &manifest, &data, which, progress)?;

    progress(Progress::Evaluating);
    let evaluated = evaluation::evaluate(&manifest, &recomputed.last.checkpoint, &data)?;
    let best = recomputed.course.best;
    if !evaluated.loss.is_finite() {
        let round = log.rounds.last().map_or(RoundNumber(0), |round| round.number);
        return Err(Fault::Broken { round, loss: evaluated.loss, best: best.map(|best| best.round) });
    }
    Ok(Report {
        campaign,
        title: manifest.campaign.title,
        coordinator: log.coordinator,
        records: log.records,
        tree: None,
        snapshots: log.snapshots,
        signatures: log.records + 1,
        contributors: log.contributors,
        contributions: log.rounds.iter().map(|round| round.inputs.len() as u64).sum(),
        contributions_reproducible: log.rounds.iter().map(|round| round.reproducible).sum(),
        updates_left_out: recomputed.left_out,
        rounds: log.rounds.len() as u64,
        rounds_set_aside: log.set_aside,
        rounds_skipped: log.skipped,
        rounds_not_recomputed: recomputed.not_recomputed,
        contradictions: log.contradictions,
        trainings_audited: log.decisions.len(),
        trainings_repeated: checked.repeated,
        disputes_settled: checked.settled,
        disputes_steps: checked.steps,
        expelled: log.decisions.expelled,
        differences_wrong: recomputed.differences_wrong,
        blobs: blobs.count,
        blob_bytes: blobs.bytes,
        initial: log.initial,
        checkpoint: recomputed.last.outcome.result,
        accuracy: evaluated.accuracy,
        loss: evaluated.loss,
        held_out: evaluated.samples,
        goal_reached: recomputed.ending.filter(|_ending| log.is_at_goal),
        best: best.filter(|_best| recomputed.course.is_far_below),
    })
}

/// What a log that was followed to its signed head says.
struct Log {
    coordinator: AccountId,
    initial: Cid,
    records: u64,
    snapshots: u64,
    contributors: u64,
    contradictions: u64,
    rounds: Vec<SettledRound>,
    /// Rounds that changed nothing though there were contributions.
    set_aside: Vec<u64>,
    /// Rounds of which nothing came in time.
    skipped: Vec<u64>,
    /// Rounds after which the coordinator said that the goal is reached.
    ends: Vec<RoundNumber>,
    /// Whether it did not go back after the last of them.
    is_at_goal: bool,
    decisions: Decisions,
}

/// A settled round: what everybody must be able to compute again.
struct SettledRound {
    number: RoundNumber,
    /// What it began with: an earlier result than the last one, where the coordinator went back.
    base: Outcome,
    inputs: Vec<Input>,
    /// How many of these come of an engine that gives the same bits everywhere.
    reproducible: u64,
    outcome: Outcome,
    /// How the result differs from the base, as those who attested it say.
    difference: Option<Cid>,
}

/// Fetches blobs and checks them against their ids.
struct Blobs<'a, S> {
    source: &'a mut S,
    count: u64,
    bytes: u64,
}

impl<S: Source> Blobs<'_, S> {
    fn fetch(&mut self, cid: Cid, role: BlobRole, cap: usize) -> Result<Vec<u8>, Fault> {
        let bytes = self.source.blob(&cid, cap).map_err(|error| Fault::Blob { cid, role, error })?;
        if !cid.matches(&bytes) {
            return Err(Fault::BlobDiffers { cid, role });
        }
        self.count += 1;
        self.bytes += bytes.len() as u64;
        Ok(bytes)
    }
}

fn follow_log(
    source: &mut impl Source,
    campaign: CampaignId,
    manifest: &Manifest,
    initial: Cid,
    mut tree: Option<&mut Tree>,
    progress: &mut impl FnMut(Progress),
) -> Result<Log, Fault> {
    let mut replica = Replica::new(campaign, Authority::Publisher, initial);
    let mut state = CampaignState::new(campaign, Rules::from(manifest));
    let (mut rounds, mut ends) = (Vec::new(), Vec::new());
    let (mut set_aside, mut skipped) = (Vec::new(), Vec::new());
    let mut decisions = Decisions::default();
    let (mut snapshots, mut contradicting) = (0, BTreeSet::new());
    let mut limit = MAX_RECORDS;
    loop {
        let from = replica.length();
        let page = match source.records(campaign, from, limit) {
            // Records that cannot be read are asked for one by one, to name the first.
            Err(_some_record) if limit > 1 => {
                limit = 1;
                continue;
            }
            page => page.map_err(|error| Fault::Log { from, error })?,
        };
        // The first head says how much there is to follow: the log may grow meanwhile.
        let length = match replica.signed_length() {
            0 => replica.believe(&page.head, 0)?,
            length => length,
        };
        for record in page.records.iter().take_while(|record| record.index < length) {
            let entry = replica.take(record)?;
            if let Some(tree) = &mut tree {
                tree.take(record)?;
            }
            let refused = |refusal| Fault::Inadmissible { index: record.index, refusal };
            let changes = state.apply(record.time, &entry).map_err(refused)?;
            snapshots += u64::from(matches!(entry.get(), Entry::Snapshot { .. }));
            for change in changes {
                decisions.follow(&state, &change);
                match change {
                    Change::Settled { round, .. } => rounds.extend(settled_round(&state, round)),
                    Change::SetAside { round } => set_aside.push(round.0),
                    Change::Skipped { round } => skipped.push(round.0),
                    Change::GoalReached { round } => ends.push(round),
                    Change::Faulted(fault) => drop(contradicting.insert(fault.account)),
                    // What else there is to say about them is in the state at the end.
                    Change::Published { .. }
                    | Change::Joined { .. }
                    | Change::Left { .. }
                    | Change::WentBack { .. }
                    | Change::Opened { .. }
                    | Change::Contributed { .. }
                    | Change::Closed { .. }
                    | Change::Extended { .. }
                    | Change::Missed { .. }
                    | Change::Departed { .. }
                    | Change::Unavailable { .. }
                    | Change::Excluded { .. }
                    | Change::Attested { .. }
                    | Change::AuditDrawn { .. }
                    | Change::Audited { .. }
                    | Change::Confirmed { .. }
                    | Change::AuditLapsed { .. }
                    | Change::Finished { .. } => {}
                }
            }
        }
        progress(Progress::Records(replica.length(), length));
        if replica.is_complete() {
            break;
        }
        if replica.length() == from {
            return Err(Fault::LogEnds { found: from, signed: length });
        }
    }
    let coordinator = state.coordinator().ok_or(Fault::Empty)?;
    if let Some(tree) = &tree {
        tree.check_end(coordinator, replica.length())?;
    }
    let contributors = state.members().filter(|(_account, member)| member.contributions() > 0).count();
    Ok(Log {
        coordinator,
        initial,
        records: replica.length(),
        snapshots,
        contributors: contributors as u64,
        contradictions: contradicting.len() as u64,
        rounds,
        set_aside,
        skipped,
        ends,
        is_at_goal: state.is_at_goal(),
        decisions,
    })
}

fn settled_round(state: &CampaignState, number: RoundNumber) -> Option<SettledRound> {
    let round = state.round()?;
    let Stage::Settled { result, state } = round.stage() else { return None };
    let is_reproducible = |accepted: &&Accepted| accepted.engine.is_some_and(EngineVersion::is_reproducible);
    // Of what was contributed to a skipped round nothing counts.
    let is_counted = |_accepted: &&Accepted| !round.is_skipped();
    let reproducible = round.counted().filter(is_counted).filter(is_reproducible).count() as u64;
    let difference = round.difference().map(|difference| difference.packed);
    Some(SettledRound {
        number,
        base: Outcome { result: round.base(), state: round.outer_state() },
        inputs: round.inputs(),
        reproducible,
        outcome: Outcome { result, state },
        difference,
    })
}

/// What a round came to, and its bytes.
struct Reached {
    outcome: Outcome,
    checkpoint: Vec<u8>,
    /// What the outer optimiser carries over.
    state: Option<Vec<u8>>,
}

/// What the last round came to, as computed here.
struct Recomputed {
    last: Reached,
    left_out: u64,
    not_recomputed: u64,
    differences_wrong: u64,
    course: Course,
    /// The last end that the coordinator declared.
    ending: Option<Ending>,
}

/// How good the checkpoints were.
#[derive(Default)]
struct Course {
    best: Option<Best>,
    /// Whether the last one is far below the best.
    is_far_below: bool,
}

impl Course {
    fn add(&mut self, recomputer: &mut Recomputer, round: RoundNumber, at: &Reached) -> Result<(), Fault> {
        let Some(quality) = recomputer.quality(round, &at.outcome.result, &at.checkpoint)? else {
            return Ok(());
        };
        let Quality { loss, accuracy, samples } = quality;
        let is_better =
            |best: Best| accuracy > best.accuracy || (accuracy == best.accuracy && loss < best.loss);
        if loss.is_finite() && self.best.is_none_or(is_better) {
            self.best = Some(Best { round, accuracy, loss });
        }
        self.is_far_below = self.best.is_some_and(|Best { accuracy, loss, .. }| {
            recomputer.is_far_below(&quality, &Quality { loss, accuracy, samples })
        });
        Ok(())
    }
}

fn recompute<S: Source>(
    blobs: &mut Blobs<'_, S>,
    manifest: &Manifest,
    data: &[u8],
    initial: Vec<u8>,
    log: &Log,
    progress: &mut impl FnMut(Progress),
) -> Result<Recomputed, Fault> {
    let mut at = Reached { outcome: log.initial.into(), checkpoint: initial, state: None };
    blobs.fetch(log.initial, BlobRole::Checkpoint(RoundNumber(0)), MAX_BLOB)?;
    let mut recomputer = Recomputer::new(manifest, data)?;
    let mut course = Course::default();
    course.add(&mut recomputer, RoundNumber(0), &at)?;
    let (mut left_out, mut not_recomputed, mut differences_wrong) = (0, 0, 0);
    let mut ending = None;
    let total = log.rounds.len() as u64;
    for (done, round) in (1..).zip(&log.rounds) {
        if round.base != at.outcome {
            // The log lets the coordinator go back only to what settled, and so was computed here before.
            at = fetch_outcome(blobs, round.number, round.base)?;
        }
        let base = log.ends.contains(&round.number).then(|| at.checkpoint.clone());
        if let Some(updates) = round_updates(blobs, manifest, round)? {
            let (computed, difference, out) = recomputer.settle(round, &at, &updates)?;
            left_out += out;
            differences_wrong += u64::from(round.difference.is_some() && round.difference != difference);
            if computed != round.outcome {
                let (computed, settled) = (Box::new(computed), Box::new(round.outcome));
                return Err(Fault::Checkpoint { round: round.number, computed, settled });
            }
        } else {
            // Only the contributors saw the updates; what they attested is taken from them.
            not_recomputed += 1;
        }
        // Of the same bytes as were computed, and others can have them.
        at = fetch_outcome(blobs, round.number, round.outcome)?;
        course.add(&mut recomputer, round.number, &at)?;
        if let Some(base) = base {
            ending = Some(ending::check(manifest, data, round.number, [&base, &at.checkpoint])?);
        }
        progress(Progress::Rounds(done, total));
    }
    Ok(Recomputed { last: at, left_out, not_recomputed, differences_wrong, course, ending })
}

/// What a round came to, from whoever has it.
fn fetch_outcome<S: Source>(
    blobs: &mut Blobs<'_, S>,
    round: RoundNumber,
    outcome: Outcome,
) -> Result<Reached, Fault> {
    let checkpoint = blobs.fetch(outcome.result, BlobRole::Checkpoint(round), MAX_BLOB)?;
    let state = outcome.state.map(|state| blobs.fetch(state, BlobRole::OuterState(round), MAX_BLOB));
    Ok(Reached { outcome, checkpoint, state: state.transpose()? })
}

/// Updates with what is known of them.
type Updates = Vec<(Input, Vec<u8>)>;

/// A round's updates with their weights; none where updates go from tab to tab and one is not kept.
fn round_updates<S: Source>(
    blobs: &mut Blobs<'_, S>,
    manifest: &Manifest,
    round: &SettledRound,
) -> Result<Option<Updates>, Fault> {
    let mut updates = Vec::with_capacity(round.inputs.len());
    for input in &round.inputs {
        match blobs.fetch(input.update, BlobRole::Update(round.number), MAX_BLOB) {
            Ok(bytes) => updates.push((*input, bytes)),
            Err(Fault::Blob { error: SourceError::NotFound, .. })
                if manifest.rounds.transport == Transport::Peers =>
            {
                return Ok(None);
            }
            Err(fault) => return Err(fault),
        }
    }
    Ok(Some(updates))
}
