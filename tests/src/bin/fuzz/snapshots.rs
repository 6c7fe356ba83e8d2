//! The decoder of the fold's state, with which a tab begins that does not read the whole log.

#![expect(clippy::unwrap_used, reason = "a target panics to report a finding")]

use lichen_campaign::Manifest;
use lichen_record::{CampaignId, Cid, Entry, Metrics, RoundNumber, SigningKey, verify};
use lichen_round::{CampaignState, Rules};

use crate::targets::Target;

const MANIFEST: &[u8] = include_bytes!("../../../../relay/campaigns/digits/campaign.toml");

/// Whatever a state is, it has one form, and the log goes on with it or does not, without a panic.
pub(crate) fn state() -> Target {
    let (campaign, rules) =
        (CampaignId::of_manifest(MANIFEST), Rules::from(&Manifest::from_bytes(MANIFEST).unwrap()));
    let mut state = CampaignState::new(campaign, rules);
    let mut valid = vec![state.to_bytes()];
    for (time, (who, entry)) in (1_000..).zip(entries(campaign)) {
        let entry = verify::<Entry>(&key(who).sign(&entry).unwrap()).unwrap();
        state.apply(time * 10_000, &entry).unwrap();
        valid.push(state.to_bytes());
    }
    let next = Entry::RoundClosed { campaign, round: RoundNumber::FIRST };
    let next = verify::<Entry>(&key(1).sign(&next).unwrap()).unwrap();
    Target {
        name: "state",
        cap: 4096,
        valid,
        accepts: Box::new(move |input| {
            let Ok(mut state) = CampaignState::from_bytes(campaign, rules, input) else { return false };
            assert_eq!(state.to_bytes(), input, "accepted in another form than its own");
            let _refused = state.apply(u64::MAX, &next);
            true
        }),
    }
}

fn key(number: u8) -> SigningKey {
    SigningKey::generate([number; 32])
}

fn entries(campaign: CampaignId) -> Vec<(u8, Entry)> {
    let (round, base, update) = (RoundNumber::FIRST, Cid::of_raw(b"base"), Cid::of_raw(b"update"));
    let contribution = Entry::Contribution {
        campaign,
        round,
        base,
        update,
        samples: 480,
        metrics: Metrics::new(0.5, 0.9, 60).unwrap(),
        engine: None,
        trace: None,
    };
    vec![
        (1, Entry::Published { campaign, manifest: campaign.0, base }),
        (2, Entry::Joined { campaign, sequence: 1 }),
        (3, Entry::Joined { campaign, sequence: 300 }),
        (1, Entry::RoundOpened { campaign, round, base }),
        (2, contribution.clone()),
        (3, contribution),
    ]
}
