//! Somebody in the simulated network who signs whatever may do harm.

use lichen_record::{Cid, Decision, Entry, Evidence, RoundNumber};

use super::super::fixture::{campaign, cid, engine, initial, metrics};
use super::World;

impl World {
    /// Somebody signs whatever may do harm.
    pub(super) fn attack(&mut self, kind: u64) {
        let state = self.relay.state();
        let campaign = campaign();
        let sequence = state.member(&self.attacker.account()).map_or(1, |member| member.sequence() + 1);
        let round = state.round().map_or(RoundNumber(1), |round| round.number());
        let base = state.round().map_or(initial(), |round| round.base());
        let update = cid("a hostile update");
        let excluded = state.round().map_or(0, lichen_round::Round::excluded);
        let victim = state.round().and_then(|round| round.contributions().first().copied());
        // An attacker may serve what it promises, or not.
        if kind.is_multiple_of(5) {
            self.pinned.extend([update, cid("another lie")]);
        }
        let outer = self.rules.keeps_state.then_some(update);
        let contribution = |round, base, samples| Entry::Contribution {
            campaign,
            round,
            base,
            update,
            samples,
            metrics: metrics(),
            engine: kind.is_multiple_of(3).then(engine),
            trace: kind.is_multiple_of(6).then_some(update),
        };
        let duty = state.audit_duty(&self.attacker.account());
        let entry = match kind % 20 {
            0 | 1 => Entry::Joined { campaign, sequence },
            2 => Entry::Left { campaign, sequence },
            3 => Entry::Published { campaign, manifest: campaign.0, base: update },
            4 => Entry::RoundOpened { campaign, round: round.next(), base: update },
            5 => Entry::RoundClosed { campaign, round },
            6 => contribution(round, base, 16),
            7 => contribution(round.next(), base, 16),
            8 => contribution(round, update, u32::MAX),
            9 => Entry::Attestation {
                campaign,
                round,
                base,
                result: update,
                excluded,
                state: outer,
                difference: None,
            },
            10 => Entry::Attestation {
                campaign,
                round,
                base,
                result: cid("another lie"),
                excluded,
                state: outer,
                difference: None,
            },
            11 | 12 => {
                Entry::Unavailable { campaign, round, update: victim.map_or(update, |victim| victim.update) }
            }
            13 => {
                let account = victim.map_or(self.tabs[0].person.account(), |victim| victim.account);
                Entry::Departed { campaign, round, account }
            }
            16 => Entry::RoundOverdue { campaign, round },
            14 => Entry::Finished { campaign, round },
            15 => {
                let contributor = victim.map_or(self.tabs[0].person.account(), |victim| victim.account);
                let (round, contributor) =
                    duty.map_or((round, contributor), |(round, whose, _audit)| (round, whose));
                let before = kind.is_multiple_of(4).then_some(update);
                let piece = u32::from(kind.is_multiple_of(8));
                let evidence = kind.is_multiple_of(2).then_some(Evidence { piece, before, after: update });
                Entry::Audit { campaign, round, contributor, found: update, evidence }
            }
            19 => Entry::Decided { campaign, sequence: state.decided() + 1, decision: Decision::Retire },
            18 => Entry::Snapshot { campaign, state: Cid::of_raw(&self.relay.state().to_bytes()) },
            _ => Entry::Joined { campaign, sequence: sequence.saturating_sub(1) },
        };
        let entry = Box::new(self.attacker.sign(&entry));
        if !self.is_missing_its_checkpoint(&entry) {
            self.append(&entry);
        }
    }
}
