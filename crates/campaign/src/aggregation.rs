//! `[aggregation]`: by which rule a round's updates become its next checkpoint.

use alloc::format;
use alloc::vec::Vec;

use toml::de::DeTable;

use crate::Fault;
use crate::reader::Reader;
use crate::update::Encoding;

/// `[aggregation]`: how updates are combined. The table may be left out: then it is their mean.
///
/// What each rule computes, and what it withstands, is said in the `learn` crate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AggregationRule {
    /// The rule.
    pub rule: Rule,
    /// What is done to the updates before the rule is applied.
    pub before: Option<Before>,
    /// The share of hostile updates that is reckoned with: 0.3 unless given.
    pub hostile: f64,
}

/// A rule that combines updates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rule {
    /// `"mean"`: the mean, weighted by samples.
    #[default]
    Mean,
    /// `"median-norm-clip"`: the mean of updates shortened to their median norm.
    MedianNormClip,
    /// `"centered-clip"`: the mean of updates drawn near to where most of them are, repeatedly.
    CenteredClip,
    /// `"krum"`: the one update that is nearest to its neighbours.
    Krum,
    /// `"multi-krum"`: the mean of the updates that are nearest to their neighbours.
    MultiKrum,
    /// `"coordinate-median"`: the median of each value.
    CoordinateMedian,
    /// `"trimmed-mean"`: the mean of each value without the largest and smallest.
    TrimmedMean,
    /// `"geometric-median"`: the point with the least sum of distances to the updates.
    GeometricMedian,
    /// `"zeno"`: the updates that lower the loss most on held-out samples.
    Zeno,
    /// `"fltrust"`: the updates that go the way of one that whoever aggregates trains on held-out samples.
    FlTrust,
}

impl Rule {
    /// The word for it in a manifest.
    #[must_use]
    pub fn word(self) -> &'static str {
        RULES.iter().find(|(_word, rule)| *rule == self).map_or("", |(word, _rule)| word)
    }

    /// Whether it looks at what updates do to the model on held-out samples.
    #[must_use]
    pub const fn validates(self) -> bool {
        matches!(self, Self::Zeno | Self::FlTrust)
    }
}

/// What is done to updates before a rule combines them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// `"nearest-neighbours"`: each update is replaced by the mean of those nearest to it.
    NearestNeighbours,
    /// `"bucketing"`: the updates are shuffled, and the means of pairs take their place.
    Bucketing,
}

const RULES: [(&str, Rule); 10] = [
    ("mean", Rule::Mean),
    ("median-norm-clip", Rule::MedianNormClip),
    ("centered-clip", Rule::CenteredClip),
    ("krum", Rule::Krum),
    ("multi-krum", Rule::MultiKrum),
    ("coordinate-median", Rule::CoordinateMedian),
    ("trimmed-mean", Rule::TrimmedMean),
    ("geometric-median", Rule::GeometricMedian),
    ("zeno", Rule::Zeno),
    ("fltrust", Rule::FlTrust),
];

const BEFORE: [(&str, Before); 2] =
    [("nearest-neighbours", Before::NearestNeighbours), ("bucketing", Before::Bucketing)];

/// How a result's difference from its base may be packed: so that little is lost, since nobody sends that later.
const CODECS: [(&str, Encoding); 1] = [(Encoding::Int8.word(), Encoding::Int8)];

/// Pairs of updates have at most twice as large a share of hostile ones, which must stay below a half.
const BUCKETED: f64 = 0.25;

/// Fewest samples for a rule that measures to see, and for the guard beside it.
const FEWEST: usize = 32;

impl Default for AggregationRule {
    fn default() -> Self {
        Self { rule: Rule::Mean, before: None, hostile: 0.3 }
    }
}

impl AggregationRule {
    /// Why the rule does not go together with the updates' encoding, if it does not: a sparse update says nothing of most
    /// values, and where most say nothing, the middle of them is nothing.
    pub(crate) fn check_with_codec(&self, sparse: bool) -> Option<&'static str> {
        let is_by_value = matches!(self.rule, Rule::CoordinateMedian | Rule::TrimmedMean);
        (sparse && is_by_value).then_some(
            "ranks each value by itself, and sparse updates leave most values out: use \"centered-clip\" or another rule that \
             takes updates as a whole",
        )
    }

    /// Checks that a rule that measures has something to measure on.
    pub(crate) fn check_with_held_out(&self, guarded: u32, held_out: usize, faults: &mut Vec<Fault>) {
        if !self.rule.validates() {
            return;
        }
        let (word, fewest) = (self.rule.word(), 2 * FEWEST);
        if (guarded as usize) < fewest {
            let problem = format!(
                "is {guarded}: aggregation.rule \"{word}\" measures updates on half of these held-out samples, so let it be at \
                 least {fewest}"
            );
            faults.push(Fault::new("guard.samples", problem));
        }
        if held_out < fewest {
            let problem = format!(
                "holds out {held_out} samples: aggregation.rule \"{word}\" needs at least {fewest}, so hold out more, or choose \
                 a rule that looks at updates alone"
            );
            faults.push(Fault::new("data.held_out_every", problem));
        }
    }
}

pub(crate) fn read_aggregation(
    table: Option<&DeTable<'_>>,
    faults: &mut Vec<Fault>,
) -> Option<(AggregationRule, Option<Encoding>)> {
    let unless_given = AggregationRule::default();
    let mut reader = Reader::new("aggregation", table, faults);
    let has_rule = ["rule", "before", "hostile"].map(|key| reader.value(key).is_some()).contains(&true);
    let rule = if has_rule { reader.choice("rule", &RULES) } else { Some(unless_given.rule) };
    let before = reader.optional_choice("before", &BEFORE);
    let hostile = reader.optional_number("hostile", 0.0..=0.49);
    let codec = reader.optional_choice("codec", &CODECS);
    reader.finish();
    let (rule, before, given) = (rule?, before?, hostile?);
    let stranger = if before.is_some() { "aggregation.before" } else { "aggregation.hostile" };
    let problem = match rule {
        Rule::Mean => Some("has no meaning for the mean, in which every update counts: choose another rule"),
        rule if rule.validates() => Some("has no meaning for a rule that measures updates: leave it out"),
        _ => None,
    };
    if let Some(problem) = problem.filter(|_problem| before.is_some() || given.is_some()) {
        faults.push(Fault::new(stranger, problem));
    }
    let hostile = given.unwrap_or(unless_given.hostile);
    if before == Some(Before::Bucketing) && hostile >= BUCKETED {
        let problem = "must be given, and below 0.25, with bucketing: half of all pairs could have a hostile update in them";
        faults.push(Fault::new("aggregation.hostile", problem));
    }
    Some((AggregationRule { rule, before, hostile }, codec?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ranks_single_values_needs_all_of_them() {
        for (_word, rule) in RULES {
            let rule = AggregationRule { rule, ..AggregationRule::default() };
            assert_eq!(rule.check_with_codec(false), None);
            let is_by_value = matches!(rule.rule, Rule::CoordinateMedian | Rule::TrimmedMean);
            assert_eq!(rule.check_with_codec(true).is_some(), is_by_value, "{rule:?}");
        }
    }
}
