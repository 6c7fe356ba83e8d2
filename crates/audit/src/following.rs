//! Follows a log to its signed head: the chain, every signature, and the state of the campaign entry by entry.

use std::collections::BTreeSet;

use futures::future::{OptionFuture, join, join_all};
use lichen_campaign::Manifest;
use lichen_log::{Authority, Replica};
use lichen_net::hub::MAX_RECORDS;
use lichen_record::{AccountId, CampaignId, Cid, EngineVersion, Entry, RoundNumber};
use lichen_round::{Accepted, CampaignState, Change, Input, Outcome, Rules, Stage};

use crate::repeating::Decisions;
use crate::{Fault, Progress, Source, Tree};

/// What a log that was followed to its signed head says.
pub(super) struct Log {
    pub(super) coordinator: AccountId,
    pub(super) initial: Cid,
    pub(super) records: u64,
    pub(super) snapshots: u64,
    pub(super) contributors: u64,
    pub(super) contradictions: u64,
    pub(super) rounds: Vec<SettledRound>,
    /// Rounds that changed nothing though there were contributions.
    pub(super) set_aside: Vec<u64>,
    /// Rounds of which nothing came in time.
    pub(super) skipped: Vec<u64>,
    /// Rounds after which the coordinator said that the goal is reached, and what was the goal.
    pub(super) ends: Vec<(RoundNumber, Option<f64>)>,
    /// Whether it did not go back after the last of them.
    pub(super) is_at_goal: bool,
    pub(super) decisions: Decisions,
}

/// A settled round: what everybody must be able to compute again.
pub(super) struct SettledRound {
    pub(super) number: RoundNumber,
    /// What it began with: an earlier result than the last one, where the coordinator went back.
    pub(super) base: Outcome,
    pub(super) inputs: Vec<Input>,
    /// How many of these come of an engine that gives the same bits everywhere.
    pub(super) reproducible: u64,
    pub(super) outcome: Outcome,
    /// How the result differs from the base, as those who attested it say.
    pub(super) difference: Option<Cid>,
}

pub(super) async fn follow_log(
    source: &impl Source,
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
    let (mut limit, mut ahead) = (MAX_RECORDS, None);
    loop {
        let from = replica.length();
        let page = match ahead.take() {
            Some(page) => page,
            None => source.records(campaign, from, limit).await,
        };
        let page = match page {
            // Records that cannot be read are asked for one by one, to name the first.
            Err(_some_record) if limit > 1 => {
                limit = 1;
                continue;
            }
            page => page.map_err(|error| Fault::Log { from, error })?,
        };
        // The first head says how much there is to follow: the log may grow meanwhile.
        let length = match replica.signed_length() {
            0 => replica.believe_checked(source.verify(&page.head).await, 0)?,
            length => length,
        };
        let records: Vec<_> = page.records.iter().take_while(|record| record.index < length).collect();
        let next = from.saturating_add(records.len() as u64);
        let (entries, page_after) = join(
            join_all(records.iter().map(|record| source.verify(&record.entry))),
            OptionFuture::from((next < length && next > from).then(|| source.records(campaign, next, limit))),
        )
        .await;
        ahead = page_after;
        for (record, entry) in records.into_iter().zip(entries) {
            let entry = replica.take_checked(record, entry)?;
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
                    Change::GoalReached { round } => ends.push((round, state.rules().target)),
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
                    | Change::Decided(_)
                    | Change::SettingsChanged { .. }
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
