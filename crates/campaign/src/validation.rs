//! Which held-out samples a rule of aggregation sees, and which it never sees.

use alloc::vec::Vec;

use crate::Manifest;

impl Manifest {
    /// The samples that the rule of aggregation sees: the first, third, fifth and so on of those that the guard would
    /// otherwise look at. None for rules that look at updates alone.
    #[must_use]
    pub fn validation(&self) -> Vec<u32> {
        let seen = if self.aggregation.rule.validates() { self.guard.samples } else { 0 };
        self.data.split.first_held_out(seen).into_iter().step_by(2).collect()
    }

    /// The held-out samples that no rule sees, ascending: what a model is worth is measured on these.
    #[must_use]
    pub fn measured(&self) -> Vec<u32> {
        let mut seen = self.validation().into_iter().peekable();
        let mut held_out = self.data.split.held_out();
        held_out.retain(|index| seen.next_if_eq(index).is_none());
        held_out
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Rule;

    const DIGITS: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");

    fn manifest(rule: Rule, samples: u32) -> Manifest {
        let mut manifest = Manifest::parse(DIGITS).unwrap();
        (manifest.aggregation.rule, manifest.guard.samples) = (rule, samples);
        manifest
    }

    #[test]
    fn what_a_rule_sees_is_not_measured_on() {
        let digits = manifest(Rule::FlTrust, 6);
        assert_eq!(digits.validation(), [0, 10, 20]);
        assert_eq!(digits.measured()[..6], [5, 15, 25, 30, 35, 40]);
        let mean = manifest(Rule::Mean, 6);
        assert_eq!(mean.validation(), []);
        assert_eq!(mean.measured(), mean.data.split.held_out());
    }

    proptest! {
        #[test]
        fn seen_and_measured_are_all_that_is_held_out(samples in 0u32..600, every in 2u32..9) {
            let mut digits = manifest(Rule::Zeno, samples);
            digits.data.split.held_out_every = every;
            let mut all = [digits.validation(), digits.measured()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, digits.data.split.held_out());
        }
    }
}
