//! What a manifest may say of how updates are combined.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod digits;

use digits::{faults, plain};
use lichen_campaign::{AggregationRule, Before, Manifest, Rule};

#[test]
fn how_updates_are_combined_may_be_left_out_or_said() {
    let manifest = Manifest::parse(plain()).unwrap();
    assert_eq!(manifest.aggregation, AggregationRule { rule: Rule::Mean, before: None, hostile: 0.3 });
    let said = |text: &str| Manifest::parse(&format!("{}\n[aggregation]\n{text}", plain())).unwrap();
    let robust = said("rule = \"centered-clip\"\nbefore = \"nearest-neighbours\"\nhostile = 0.2\n");
    let before = Some(Before::NearestNeighbours);
    assert_eq!(robust.aggregation, AggregationRule { rule: Rule::CenteredClip, before, hostile: 0.2 });
    assert!(robust.explain().iter().any(|said| said.text.contains("a few hostile ones cannot decide")));
    let told = said("codec = \"int8\"\n");
    assert_eq!((manifest.result_codec, told.result_codec), (None, Some(lichen_campaign::Encoding::Int8)));
    assert_eq!(told.aggregation, manifest.aggregation);
    assert_eq!(said("rule = \"mean\"\n"), manifest);
    for (word, rule) in [
        ("median-norm-clip", Rule::MedianNormClip),
        ("krum", Rule::Krum),
        ("multi-krum", Rule::MultiKrum),
        ("coordinate-median", Rule::CoordinateMedian),
        ("trimmed-mean", Rule::TrimmedMean),
        ("geometric-median", Rule::GeometricMedian),
        ("zeno", Rule::Zeno),
        ("fltrust", Rule::FlTrust),
    ] {
        assert_eq!(rule.word(), word);
        let expected = AggregationRule { rule, ..manifest.aggregation };
        assert_eq!(said(&format!("rule = \"{word}\"\n")).aggregation, expected);
    }
}

#[test]
fn a_way_of_combining_that_cannot_work_is_refused() {
    for (text, fault) in [
        ("before = \"bucketing\"", "aggregation.rule is missing: add it"),
        ("codec = \"sparse\"", "aggregation.codec is not known here: use \"int8\""),
        ("rule = \"krum\"\nhostile = 0.5", "aggregation.hostile is 0.5: it must be from 0 to 0.49"),
        (
            "rule = \"mean\"\nhostile = 0.3",
            "aggregation.hostile has no meaning for the mean, in which every update counts: choose another rule",
        ),
        (
            "rule = \"mean\"\nbefore = \"nearest-neighbours\"",
            "aggregation.before has no meaning for the mean, in which every update counts: choose another rule",
        ),
        (
            "rule = \"krum\"\nbefore = \"bucketing\"",
            "aggregation.hostile must be given, and below 0.25, with bucketing: half of all pairs could have a hostile update in them",
        ),
    ] {
        assert_eq!(faults(&format!("{}\n[aggregation]\n{text}\n", plain())), [fault]);
    }
    for text in ["rule = \"zeno\"\nhostile = 0.3", "rule = \"fltrust\"\nbefore = \"bucketing\""] {
        let refused = faults(&format!("{}\n[aggregation]\n{text}\n", plain()));
        assert!(
            refused[0].ends_with("has no meaning for a rule that measures updates: leave it out"),
            "{refused:?}"
        );
    }
    let sparse = "[update]\ncodec = \"sparse\"\n[aggregation]\nrule = \"trimmed-mean\"\n";
    let refused = faults(&format!("{}\n{sparse}", plain()));
    assert!(refused[0].starts_with("aggregation.rule ranks each value by itself"), "{refused:?}");
    assert!(
        Manifest::parse(&format!("{}\n{}", plain(), sparse.replace("trimmed-mean", "centered-clip"))).is_ok()
    );
    let unknown = faults(&format!("{}\n[aggregation]\nrule = \"median\"\n", plain()));
    assert!(unknown[0].starts_with("aggregation.rule is not known here: use \"mean\" or"), "{unknown:?}");
}

#[test]
fn what_measures_updates_needs_samples_to_measure_on() {
    for rule in ["zeno", "fltrust"] {
        let said = format!("[aggregation]\nrule = \"{rule}\"\n");
        let text = format!("{}\n{said}", plain());
        let manifest = Manifest::parse(&text).unwrap();
        assert_eq!((manifest.validation().len(), manifest.measured().len()), (180, 180));
        let words: Vec<String> = manifest.explain().into_iter().map(|statement| statement.text).collect();
        let words = words.join(" ");
        for part in [
            "180 of them check each change",
            "on some of the examples kept aside",
            "on 180 examples kept aside",
        ] {
            assert!(words.contains(part), "{part}: {words}");
        }
        for samples in [0, 63] {
            let expected = format!(
                "guard.samples is {samples}: aggregation.rule \"{rule}\" measures updates on half of these held-out samples, so let \
                 it be at least 64"
            );
            assert_eq!(faults(&format!("{text}\n[guard]\nsamples = {samples}\n")), [expected]);
        }
        let expected = format!(
            "data.held_out_every holds out 60 samples: aggregation.rule \"{rule}\" needs at least 64, so hold out more, or choose \
             a rule that looks at updates alone"
        );
        assert_eq!(faults(&text.replace("held_out_every = 5", "held_out_every = 30")), [expected]);
        assert!(Manifest::parse(&text.replace("held_out_every = 5", "held_out_every = 28")).is_ok());
    }
}
