//! What each contribution of a round weighs, by the work that its account has to show for.

use alloc::vec::Vec;

use lichen_campaign::{Auditing, Share};

/// What one sample of an account that has earned its weight counts, so that less than that can be told.
pub(crate) const FULL: u64 = 256;

/// A contribution's samples, and how many of its account's trainings came out the same at somebody else's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) samples: u32,
    pub(crate) audited: u32,
}

/// The weights of these contributions, in their order.
///
/// Accounts cost nothing, so weight must be earned. An account with `earn` audited trainings weighs by its samples. One with
/// fewer weighs a part of that, which grows with each; and all of those together weigh at most the share `newcomers` of
/// the round. Where nobody in a round has earned anything, there is nobody to outweigh: then they weigh as they are, and
/// that share holds nobody off.
pub(crate) fn weights(auditing: Auditing, claims: &[Claim]) -> Vec<u32> {
    let own = |claim: &Claim| part(auditing, u64::from(claim.samples) * FULL, claim.audited).max(1);
    let has_earned = |claim: &Claim| claim.audited >= auditing.earn;
    let sum = |earned: bool| -> u64 {
        claims.iter().filter(|claim| has_earned(claim) == earned).map(own).fold(0, u64::saturating_add)
    };
    let (full, new) = (sum(true), sum(false));
    let most = most_of_newcomers(auditing.newcomers, full);
    let weight = |claim: &Claim| {
        let weight = own(claim);
        match most {
            Some(most) if !has_earned(claim) && new > most => {
                u64::try_from(u128::from(weight) * u128::from(most) / u128::from(new)).unwrap_or(weight)
            }
            _ => weight,
        }
    };
    claims.iter().map(|claim| u32::try_from(weight(claim)).unwrap_or(u32::MAX)).collect()
}

/// What an account with so many audited trainings has of what would be its own in full.
pub(crate) const fn part(auditing: Auditing, full: u64, audited: u32) -> u64 {
    let earned = if audited < auditing.earn { audited } else { auditing.earn };
    full * (earned as u64 + 1) / (auditing.earn as u64 + 1)
}

/// What newcomers may weigh beside others who weigh so much, if anything limits them.
pub(crate) fn most_of_newcomers(share: Share, full: u64) -> Option<u64> {
    let (share, rest) = (u64::from(share.millionths()), u64::from(Share::WHOLE - share.millionths()));
    if full == 0 || rest == 0 {
        return None;
    }
    u64::try_from(u128::from(full) * u128::from(share) / u128::from(rest)).ok()
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn auditing(newcomers: f64) -> Auditing {
        Auditing { newcomers: Share::of(newcomers), ..Auditing::default() }
    }

    fn claims(audited: &[u32]) -> Vec<Claim> {
        audited.iter().map(|&audited| Claim { samples: 480, audited }).collect()
    }

    #[test]
    fn weight_grows_with_audited_work() {
        let weights = weights(auditing(0.25), &claims(&[0, 1, 2, 3, 4, 3, 3, 3, 3, 3]));
        let full = 480 * 256;
        assert_eq!(weights[..5], [full / 4, full / 2, full / 4 * 3, full, full]);
    }

    #[test]
    fn a_thousand_new_accounts_weigh_a_quarter() {
        let mut audited = alloc::vec![3; 3];
        audited.extend([0; 1000]);
        let weights = weights(auditing(0.25), &claims(&audited));
        let sum = |part: &[u32]| part.iter().map(|&weight| u64::from(weight)).sum::<u64>();
        let (full, new) = (sum(&weights[..3]), sum(&weights[3..]));
        assert_eq!(full, 3 * 480 * 256);
        assert!(new * 3 <= full && new * 3 > full - 3 * 1000, "{new} of {full}");
    }

    #[test]
    fn where_nobody_has_earned_anything_all_weigh_alike() {
        assert_eq!(weights(auditing(0.25), &claims(&[0, 0, 0])), [480 * 64; 3]);
    }

    proptest! {
        #[test]
        fn newcomers_never_weigh_more_than_their_share(
            claims in proptest::collection::vec((1_u32..=16_777_216, 0_u32..6), 1..40),
            newcomers in 0.01_f64..=1.0,
        ) {
            let claims: Vec<_> = claims.into_iter().map(|(samples, audited)| Claim { samples, audited }).collect();
            let auditing = auditing(newcomers);
            let weights = weights(auditing, &claims);
            let of = |earned| -> u128 {
                let pairs = claims.iter().zip(&weights);
                let chosen = pairs.filter(|(claim, _)| (claim.audited >= auditing.earn) == earned);
                chosen.map(|(_, weight)| u128::from(*weight)).sum()
            };
            let (full, new) = (of(true), of(false));
            let most = (full + new) * u128::from(auditing.newcomers.millionths());
            prop_assert!(full == 0 || new * u128::from(Share::WHOLE) <= most, "{new} beside {full}");
            prop_assert!(weights.iter().any(|&weight| weight > 0));
        }
    }
}
