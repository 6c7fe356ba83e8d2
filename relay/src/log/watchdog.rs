//! One rule for a campaign that stands still: no progress for several times the expected interval is a stall, and has a
//! cause. Reads no clock, so that a test is a list of times.

use lichen_net::hub::Cause;
use lichen_record::{Entry, RoundNumber};
use lichen_round::{CampaignState, Refusal, Stage};

/// How many of its expected intervals a step may take.
const TIMES: u64 = 3;

/// The shortest interval that is counted with, in milliseconds: very short ones say little on a busy machine.
const LEAST_MS: u64 = 4_000;

/// What the round does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The next round opens.
    Opening,
    /// The open round closes.
    Closing,
    /// The closed round settles.
    Settling,
}

/// A step that is overdue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stall {
    pub(crate) what: Step,
    pub(crate) round: RoundNumber,
    /// Log time since which the step has been the next one, in milliseconds.
    pub(crate) since: u64,
    pub(crate) cause: Cause,
}

/// Remembers since when the next step has been the next one.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    next: Option<(Step, RoundNumber, u64)>,
}

impl Watchdog {
    /// Looks at the campaign at this log time: whether its next step is overdue. `failure` is why the closed round's result
    /// could not be computed last, if it could not.
    pub(crate) fn look(&mut self, state: &CampaignState, failure: Option<Cause>, now: u64) -> Option<Stall> {
        let Some((what, round, interval)) = expected(state) else {
            self.next = None;
            return None;
        };
        let since = match self.next {
            Some((step, number, since)) if (step, number) == (what, round) => since,
            _ => now,
        };
        self.next = Some((what, round, since));
        let patience = interval.max(LEAST_MS).saturating_mul(TIMES);
        if now < since.saturating_add(patience) {
            return None;
        }
        Some(Stall { what, round, since, cause: cause(state, what, failure) })
    }
}

/// The step that comes next, and how long it usually takes, in milliseconds; none where nothing has to happen, since
/// nobody is there or all is done.
fn expected(state: &CampaignState) -> Option<(Step, RoundNumber, u64)> {
    let rules = state.rules();
    if state.is_retired() || state.is_on_hold() {
        return None;
    }
    let Some(round) = state.round() else { return opening(state, RoundNumber::FIRST) };
    match round.stage() {
        Stage::Open => {
            let is_at_work = round.awaited().next().is_some() || !round.contributions().is_empty();
            (is_at_work && state.present() > 0).then_some((Step::Closing, round.number(), rules.deadline_ms))
        }
        Stage::Closed { .. } => Some((Step::Settling, round.number(), rules.deadline_ms)),
        Stage::Settled { .. } => opening(state, round.number().next()),
    }
}

fn opening(state: &CampaignState, round: RoundNumber) -> Option<(Step, RoundNumber, u64)> {
    let rules = state.rules();
    let needed = rules.extensions.map_or(0, |_skipped| rules.minimum as usize);
    let is_due = !state.is_finished() && state.present() > 0 && state.here_count() >= needed;
    is_due.then_some((Step::Opening, round, rules.interval_ms))
}

fn cause(state: &CampaignState, what: Step, failure: Option<Cause>) -> Cause {
    match what {
        Step::Opening => Cause::Unknown,
        Step::Closing => {
            let Some((round, coordinator)) = state.round().zip(state.coordinator()) else {
                return Cause::Unknown;
            };
            let close = Entry::RoundClosed { campaign: state.campaign(), round: round.number() };
            // Asked for the end of time: only what people give can still be missing then.
            match state.admit_from(u64::MAX, coordinator, &close) {
                Err(Refusal::TooFewContributions) => Cause::Contributions,
                _ => Cause::Unknown,
            }
        }
        Step::Settling => failure.unwrap_or_else(|| match state.round() {
            Some(round) if contradict(round) => Cause::Conflict,
            _ => Cause::Unknown,
        }),
    }
}

fn contradict(round: &lichen_round::Round) -> bool {
    let mut results = round.attestations().map(|(_account, result)| result);
    let first = results.next();
    results.any(|result| Some(result) != first)
}

#[cfg(test)]
mod tests {
    use lichen_campaign::{Changes, Settlement, Split};
    use lichen_record::{CampaignId, Cid, Decision, Metrics, SigningKey, verify};
    use lichen_round::Rules;

    use super::*;

    const DEADLINE: u64 = 10_000;

    struct Campaign {
        state: CampaignState,
        coordinator: SigningKey,
        now: u64,
    }

    impl Campaign {
        fn new() -> Self {
            Self::extended(None)
        }

        fn extended(extensions: Option<u32>) -> Self {
            let rules = Rules {
                settlement: Settlement::Coordinator,
                interval_ms: 1_000,
                deadline_ms: DEADLINE,
                cohort: None,
                minimum: 2,
                extensions,
                quorum: 3,
                committee: None,
                packs_results: false,
                limit: 1,
                ends_at_goal: false,
                target: None,
                learning_rate: 0.1,
                organiser: Some(key(9).account()),
                changes: Changes::NONE,
                keeps_state: false,
                seed: 1,
                steps: 1,
                least_steps: None,
                split: Split { samples: 16, held_out_every: 0, shard: 8 },
                samples: 8,
                max_loss: 1_000_000,
                audit: None,
                snapshots: None,
            };
            let manifest = b"a campaign";
            let campaign = CampaignId::of_manifest(manifest);
            let state = CampaignState::new(campaign, rules);
            let mut new = Self { state, coordinator: key(1), now: 1_000_000 };
            new.own(&Entry::Published { campaign, manifest: campaign.0, base: base() });
            new
        }

        fn own(&mut self, entry: &Entry) {
            let key = self.coordinator.clone();
            self.append(&key, entry);
        }

        fn append(&mut self, key: &SigningKey, entry: &Entry) {
            let entry = verify::<Entry>(&key.sign(entry).unwrap()).unwrap();
            self.state.apply(self.now, &entry).unwrap();
        }

        fn id(&self) -> CampaignId {
            self.state.campaign()
        }

        fn join(&mut self, seed: u8) {
            self.append(&key(seed), &Entry::Joined { campaign: self.id(), sequence: 1 });
        }

        fn open(&mut self) {
            self.own(&Entry::RoundOpened { campaign: self.id(), round: RoundNumber::FIRST, base: base() });
        }

        fn contribute(&mut self, seed: u8) {
            let metrics = Metrics::new(1.0, 0.5, 1).unwrap();
            let (campaign, round, update) = (self.id(), RoundNumber::FIRST, Cid::of_raw(&[seed]));
            let entry = Entry::Contribution {
                campaign,
                round,
                base: base(),
                update,
                samples: 1,
                metrics,
                engine: None,
                trace: None,
            };
            self.append(&key(seed), &entry);
        }

        fn attest(&mut self, seed: u8, result: &[u8]) {
            let (campaign, result) = (self.id(), Cid::of_raw(result));
            let (round, base) = (RoundNumber::FIRST, base());
            self.append(
                &key(seed),
                &Entry::Attestation {
                    campaign,
                    round,
                    base,
                    result,
                    excluded: 0,
                    state: None,
                    difference: None,
                },
            );
        }

        /// What the watchdog says now, and after this long.
        fn after(&self, milliseconds: u64, failure: Option<Cause>) -> Option<Stall> {
            let mut watchdog = Watchdog::default();
            assert_eq!(watchdog.look(&self.state, failure, self.now), None, "it has only begun to look");
            watchdog.look(&self.state, failure, self.now + milliseconds)
        }
    }

    fn key(seed: u8) -> SigningKey {
        SigningKey::generate([seed; 32])
    }

    fn base() -> Cid {
        Cid::of_raw(b"base")
    }

    #[test]
    fn nobody_there_is_no_stall() {
        let campaign = Campaign::new();
        assert_eq!(campaign.after(u64::from(u32::MAX), None), None);
    }

    #[test]
    fn a_round_that_does_not_open_is_one() {
        let mut campaign = Campaign::new();
        campaign.join(2);
        assert_eq!(campaign.after(3 * LEAST_MS - 1, None), None);
        let stall = campaign.after(3 * LEAST_MS, None).unwrap();
        assert_eq!((stall.what, stall.cause), (Step::Opening, Cause::Unknown));
    }

    #[test]
    fn what_the_organiser_paused_or_retired_is_none() {
        let decide = |campaign: &mut Campaign, sequence, decision| {
            let entry = Entry::Decided { campaign: campaign.id(), sequence, decision };
            campaign.append(&key(9), &entry);
        };
        let mut campaign = Campaign::new();
        campaign.join(2);
        decide(&mut campaign, 1, Decision::Pause);
        assert_eq!(campaign.after(u64::from(u32::MAX), None), None);
        decide(&mut campaign, 2, Decision::Resume);
        assert!(campaign.after(3 * LEAST_MS, None).is_some());
        campaign.open();
        decide(&mut campaign, 3, Decision::Pause);
        assert!(campaign.after(3 * DEADLINE, None).is_some(), "a round is under way");
        decide(&mut campaign, 4, Decision::Retire);
        assert_eq!(campaign.after(u64::from(u32::MAX), None), None);
    }

    #[test]
    fn a_round_that_waits_for_people_to_open_is_none() {
        let mut campaign = Campaign::extended(Some(0));
        campaign.join(2);
        assert_eq!(campaign.after(3 * LEAST_MS, None), None);
        campaign.join(3);
        assert!(campaign.after(3 * LEAST_MS, None).is_some());
    }

    #[test]
    fn a_round_with_too_few_contributions_waits_for_people() {
        let mut campaign = Campaign::new();
        campaign.join(2);
        campaign.open();
        assert_eq!(campaign.after(3 * DEADLINE - 1, None), None);
        let stall = campaign.after(3 * DEADLINE, None).unwrap();
        assert_eq!((stall.what, stall.cause), (Step::Closing, Cause::Contributions));
        assert!(!stall.cause.is_the_relays());
    }

    #[test]
    fn a_closed_round_stalls_for_what_is_known_of_it() {
        let mut campaign = Campaign::new();
        campaign.join(2);
        campaign.join(3);
        campaign.open();
        campaign.contribute(2);
        campaign.contribute(3);
        campaign.own(&Entry::RoundClosed { campaign: campaign.id(), round: RoundNumber::FIRST });
        let cause = |campaign: &Campaign, failure| campaign.after(3 * DEADLINE, failure).unwrap().cause;
        assert_eq!(cause(&campaign, None), Cause::Unknown);
        assert_eq!(cause(&campaign, Some(Cause::UpdateMissing)), Cause::UpdateMissing);
        campaign.attest(2, b"one");
        assert_eq!(cause(&campaign, None), Cause::Unknown);
        campaign.attest(3, b"another");
        assert_eq!(cause(&campaign, None), Cause::Conflict);
    }

    #[test]
    fn each_step_has_its_own_time() {
        let mut campaign = Campaign::new();
        campaign.join(2);
        let mut watchdog = Watchdog::default();
        let now = campaign.now;
        assert_eq!(watchdog.look(&campaign.state, None, now), None);
        campaign.open();
        // The time of the opening, however long it took, is none of the closing's.
        assert_eq!(watchdog.look(&campaign.state, None, now + 3 * DEADLINE), None);
        assert!(watchdog.look(&campaign.state, None, now + 6 * DEADLINE).is_some());
    }
}
