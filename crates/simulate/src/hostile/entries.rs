//! Entries that somebody signs to do harm, whatever the log has come to.

use lichen_record::{AccountId, Cid, Decision, Entry, Metrics, RoundNumber};
use lichen_round::CampaignState;

use crate::learning::Learning;

/// The harmful entry of this kind, by this account.
pub(crate) fn entry(kind: u64, state: &CampaignState, account: &AccountId) -> Entry {
    let campaign = state.campaign();
    let sequence = state.member(account).map_or(1, |member| member.sequence() + 1);
    let round = state.round().map_or(RoundNumber(1), |round| round.number());
    let lie = Cid::of_raw(&kind.to_be_bytes());
    let base = state.round().map(|round| round.base()).or(state.checkpoint()).unwrap_or(lie);
    let excluded = state.round().map_or(0, |round| round.excluded());
    let victim = state.round().and_then(|round| round.contributions().first().copied());
    let whose = victim.map_or(*account, |victim| victim.account);
    let outer = state.rules().keeps_state.then_some(lie);
    let contribution = |round, base, update, samples, loss| Entry::Contribution {
        campaign,
        round,
        base,
        update,
        samples,
        metrics: Metrics::new(loss, 0.5, state.rules().steps).unwrap(),
        engine: Some(Learning::engine()),
        trace: None,
    };
    let attested = |result, base| Entry::Attestation {
        campaign,
        round,
        base,
        result,
        excluded,
        state: outer,
        difference: None,
    };
    let before = RoundNumber(round.0.saturating_sub(1));
    match kind % 21 {
        0..=2 => Entry::Joined { campaign, sequence },
        3 => Entry::Left { campaign, sequence },
        4 => Entry::Published { campaign, manifest: campaign.0, base: lie },
        5 => Entry::RoundOpened { campaign, round: round.next(), base },
        6 => Entry::RoundClosed { campaign, round },
        7 => contribution(round, base, lie, 24, 0.5),
        8 => contribution(round.next(), base, lie, 24, 0.5),
        9 => contribution(before, base, lie, 24, 0.5),
        10 => contribution(round, lie, lie, u32::MAX, 1e300),
        11 => contribution(round, base, victim.map_or(lie, |victim| victim.update), 24, 0.1),
        12 => attested(lie, base),
        13 => attested(base, lie),
        14 => Entry::Unavailable { campaign, round, update: victim.map_or(lie, |victim| victim.update) },
        // Only the coordinator sees who is there.
        15 => Entry::Departed { campaign, round, account: whose },
        16 => Entry::RoundOverdue { campaign, round },
        17 => Entry::Finished { campaign, round },
        18 => Entry::Audit { campaign, round: before, contributor: whose, found: lie, evidence: None },
        // The organiser alone decides, where the manifest names one.
        19 => Entry::Decided { campaign, sequence, decision: Decision::Retire },
        // An old one, once more.
        _ => Entry::Joined { campaign, sequence: sequence.saturating_sub(1) },
    }
}
