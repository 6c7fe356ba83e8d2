//! What somebody has to do who repeats a training.

use alloc::vec::Vec;

use lichen_campaign::training_seed;
use lichen_record::{AccountId, Cid, EngineVersion, Entry, Evidence, RoundNumber};

use crate::CampaignState;
use crate::attempt::Attempt;
use crate::audits::Accusation;

/// A training to repeat, step by step as its author has to have done it.
#[derive(Clone, Debug, PartialEq)]
pub struct Repetition {
    /// Of which round.
    pub round: RoundNumber,
    /// Whose.
    pub contributor: AccountId,
    /// The checkpoint to start from.
    pub base: Cid,
    /// The engine that trained: another one, or another version, gives other bits.
    pub engine: EngineVersion,
    /// The update that was contributed.
    pub update: Cid,
    /// The trace that the contribution names.
    pub trace: Option<Cid>,
    /// What somebody else says against it. Then one piece of the training is enough, unless that cannot be had.
    pub accusation: Option<Accusation>,
    /// Indices of the samples to train on, in order.
    pub shard: Vec<u32>,
    /// Optimiser steps to take.
    pub steps: u32,
    /// Seed for everything random in the training.
    pub seed: u64,
    /// The optimiser's step size before its schedule.
    pub learning_rate: f64,
}

/// What has become of the repetition that is due.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// It is under way, or will be.
    Repeat(Attempt),
    /// What came of it, and where it parted from what was contributed.
    Found(Cid, Option<Evidence>),
}

/// Work on the one repetition that an account owes first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    round: RoundNumber,
    contributor: AccountId,
    pub(crate) step: Step,
}

/// What is to be done about the repetition that is due.
pub(crate) enum Due {
    /// Repeat the training.
    Repeat(Repetition),
    /// Say what was found.
    Say(Entry),
    /// Nothing now; at this time, if at any.
    Wait(Option<u64>),
}

impl Work {
    /// What this account has to do now. Work that is owed no longer is dropped.
    pub(crate) fn due(work: &mut Option<Self>, now: u64, state: &CampaignState, account: &AccountId) -> Due {
        let Some((round, contributor, audit)) = state.audit_duty(account) else {
            *work = None;
            return Due::Wait(None);
        };
        let work = match work {
            Some(work) if (work.round, work.contributor) == (round, contributor) => work,
            other => other.insert(Self { round, contributor, step: Step::Repeat(Attempt::new()) }),
        };
        match &mut work.step {
            Step::Found(found, evidence) => {
                let (campaign, found, evidence) = (state.campaign(), *found, *evidence);
                Due::Say(Entry::Audit { campaign, round, contributor, found, evidence })
            }
            Step::Repeat(attempt) => {
                if !attempt.start(now) {
                    return Due::Wait(attempt.due_from());
                }
                let rules = state.rules();
                Due::Repeat(Repetition {
                    round,
                    contributor,
                    base: audit.base,
                    engine: audit.engine,
                    update: audit.claimed,
                    trace: audit.trace,
                    accusation: audit.accusation(),
                    shard: rules.split.shard(rules.seed, round, &contributor),
                    steps: rules.steps,
                    seed: training_seed(rules.seed, round, &contributor),
                    learning_rate: state.learning_rate(round),
                })
            }
        }
    }

    /// Whether the training is being repeated.
    pub(crate) const fn is_running(work: Option<&Self>) -> bool {
        matches!(work, Some(Self { step: Step::Repeat(attempt), .. }) if attempt.is_running())
    }

    /// Whether the account still owes this.
    pub(crate) fn is_due(&self, state: &CampaignState, account: &AccountId) -> bool {
        let duty = state.audit_duty(account);
        duty.is_some_and(|(round, whose, _audit)| (self.round, self.contributor) == (round, whose))
    }

    /// A repetition gave this, or nothing.
    pub(crate) fn repeated(
        work: &mut Option<Self>,
        now: u64,
        (round, contributor): (RoundNumber, AccountId),
        found: Option<(Cid, Option<Evidence>)>,
    ) {
        let of_this = |work: &&mut Self| (work.round, work.contributor) == (round, contributor);
        let Some(work) = work.as_mut().filter(of_this) else { return };
        let Step::Repeat(attempt) = &mut work.step else { return };
        match found {
            Some((found, evidence)) => work.step = Step::Found(found, evidence),
            None => attempt.fail(now),
        }
    }

    /// What it found was refused: the state that its evidence begins with may be gone from where others find it, and without
    /// evidence others repeat the whole training.
    pub(crate) const fn refused(work: &mut Option<Self>) {
        if let Some(Self { step: Step::Found(_found, evidence), .. }) = work {
            *evidence = None;
        }
    }
}
