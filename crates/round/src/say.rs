//! How much say accounts have where several decide: by what they have to show for, and not by their number.

use lichen_campaign::Auditing;

use crate::codec::coded;
use crate::weights::{FULL, most_of_newcomers, part};

/// The say of one account, or of several together. What newcomers have is kept apart, since it counts the less the more of
/// them there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Say {
    pub(crate) earned: u64,
    pub(crate) new: u64,
}

coded!(struct Say { earned, new });

impl Say {
    pub(crate) const NONE: Self = Self { earned: 0, new: 0 };

    /// That of an account with so many audited trainings; of anybody, where nothing has to be earned.
    pub(crate) const fn of(auditing: Option<Auditing>, audited: u32) -> Self {
        match auditing {
            Some(auditing) if audited < auditing.earn => {
                Self { earned: 0, new: part(auditing, FULL, audited) }
            }
            Some(_) | None => Self::whole(),
        }
    }

    /// That of an account of which nothing has to be shown.
    pub(crate) const fn whole() -> Self {
        Self { earned: FULL, new: 0 }
    }

    pub(crate) const fn add(&mut self, other: Self) {
        self.earned = self.earned.saturating_add(other.earned);
        self.new = self.new.saturating_add(other.new);
    }

    pub(crate) const fn remove(&mut self, other: Self) {
        self.earned = self.earned.saturating_sub(other.earned);
        self.new = self.new.saturating_sub(other.new);
    }

    pub(crate) const fn without(mut self, other: Self) -> Self {
        self.remove(other);
        self
    }

    /// Whether these have more than half of the say of all, of whom they are a part. All newcomers have together at most the
    /// share that the manifest says; where nobody has earned anything, they are by themselves.
    pub(crate) fn is_most_of(self, all: Self, auditing: Option<Auditing>) -> bool {
        let of = |say: Self| -> u128 {
            let most = auditing.and_then(|auditing| most_of_newcomers(auditing.newcomers, all.earned));
            match most {
                // Scaled by what all newcomers have, so that nothing is rounded.
                Some(most) if all.new > most => {
                    u128::from(say.earned) * u128::from(all.new) + u128::from(say.new) * u128::from(most)
                }
                _ => u128::from(say.earned) + u128::from(say.new),
            }
        };
        of(self) * 2 > of(all)
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use alloc::vec;

    use lichen_campaign::Share;
    use proptest::prelude::*;

    use super::*;

    const AUDITING: Auditing =
        Auditing { share: Share::of(0.1), earn: 3, newcomers: Share::of(0.25), every: None };

    fn together(audited: &[u32]) -> Say {
        let mut all = Say::NONE;
        audited.iter().for_each(|&audited| all.add(Say::of(Some(AUDITING), audited)));
        all
    }

    #[test]
    fn heads_count_where_nothing_has_to_be_earned() {
        let say = |heads: u32| {
            let mut say = Say::NONE;
            (0..heads).for_each(|_| say.add(Say::of(None, 0)));
            say
        };
        assert!(say(3).is_most_of(say(5), None));
        assert!(!say(2).is_most_of(say(4), None));
    }

    #[test]
    fn a_thousand_made_up_accounts_have_no_majority() {
        let (honest, made_up) = (together(&[3; 3]), together(&[0; 1000]));
        let mut all = honest;
        all.add(made_up);
        assert!(!made_up.is_most_of(all, Some(AUDITING)));
        assert!(honest.is_most_of(all, Some(AUDITING)));
        // Two of three who have earned it have half of everything: a quarter is the newcomers'.
        assert!(!together(&[3; 2]).is_most_of(all, Some(AUDITING)));
        assert!(!together(&[3]).is_most_of(all, Some(AUDITING)));
    }

    #[test]
    fn among_newcomers_alone_heads_count() {
        assert!(together(&[0; 3]).is_most_of(together(&[0; 5]), Some(AUDITING)));
        assert!(!together(&[0; 2]).is_most_of(together(&[0; 5]), Some(AUDITING)));
    }

    proptest! {
        #[test]
        fn two_parts_of_one_whole_are_never_both_most_of_it(
            one in prop::collection::vec(0_u32..5, 0..40),
            other in prop::collection::vec(0_u32..5, 0..40),
        ) {
            let (one, other) = (together(&one), together(&other));
            let mut all = one;
            all.add(other);
            let both = one.is_most_of(all, Some(AUDITING)) && other.is_most_of(all, Some(AUDITING));
            prop_assert!(!both);
        }

        #[test]
        fn newcomers_never_outweigh_who_has_earned_it(made_up in 0_usize..500, honest in 1_usize..20) {
            let (made_up, honest) = (together(&vec![2; made_up]), together(&vec![3; honest]));
            let mut all = made_up;
            all.add(honest);
            prop_assert!(honest.is_most_of(all, Some(AUDITING)));
        }

        #[test]
        fn what_is_most_of_all_is_most_of_what_was_earned_or_of_what_is_new(
            one in prop::collection::vec(0_u32..5, 0..40),
            other in prop::collection::vec(0_u32..5, 0..40),
        ) {
            let one = together(&one);
            let mut all = one;
            all.add(together(&other));
            prop_assume!(one.is_most_of(all, Some(AUDITING)));
            prop_assert!(one.earned * 2 > all.earned || one.new * 2 > all.new);
        }
    }
}
