//! What a manifest may say of rounds: who trains, for how long, and who attests.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail")]

mod digits;

use digits::{DIGITS, faults, with};
use lichen_campaign::model_spec::Budget;
use lichen_campaign::{Manifest, ManifestError, Statement, Topic};

#[test]
fn a_committee_is_large_enough_for_the_quorum() {
    let committee = |topology: &str, quorum: u32, committee: u32| {
        let text = with("quorum = 2", &format!("quorum = {quorum}\ncommittee = {committee}"));
        Manifest::parse(&text.replace("topology = \"hub\"", &format!("topology = \"{topology}\"")))
    };
    assert_eq!(Manifest::parse(DIGITS).unwrap().rounds.committee, None);
    assert_eq!(committee("hub", 4, 3).unwrap().rounds.committee, Some(3));
    assert_eq!(committee("mesh", 3, 3).unwrap().rounds.committee, Some(3));
    let fault = |refused: Result<Manifest, ManifestError>| refused.unwrap_err().to_string();
    assert_eq!(
        fault(committee("hub", 5, 3)),
        "rounds.committee is 3: with the coordinator these are 4, and rounds.quorum wants 5 equal attestations. Draw more, \
         or ask for fewer"
    );
    assert_eq!(
        fault(committee("mesh", 4, 3)),
        "rounds.committee is 3: these are 3, and rounds.quorum wants 4 equal attestations. Draw more, or ask for fewer"
    );
    assert_eq!(fault(committee("hub", 2, 0)), "rounds.committee is 0: it must be from 1 to 10000");
    let drawn = committee("hub", 2, 3).unwrap().explain();
    assert!(
        drawn.iter().any(|statement| statement
            .text
            .contains("drawn by lot to check each other, now and then by yours")),
        "{drawn:?}"
    );
}

#[test]
fn a_round_is_skipped_only_where_the_manifest_says_when() {
    let told = |manifest: Manifest| {
        let duration = |statement: &Statement| statement.topic == Topic::Duration;
        manifest.explain().into_iter().find(duration).unwrap().text
    };
    let digits = Manifest::parse(DIGITS).unwrap();
    assert_eq!(digits.rounds.extensions, None);
    assert!(!told(digits).contains("skipped"));
    let twice = Manifest::parse(&with("quorum = 2", "quorum = 2\nextensions = 2")).unwrap();
    assert_eq!(twice.rounds.extensions, Some(2));
    let (minimum, deadline) = (twice.rounds.minimum, twice.rounds.deadline_ms);
    let expected = format!("is skipped after {} seconds, and the next one starts", 3 * deadline / 1000);
    let text = told(twice);
    assert!(text.contains(&expected) && text.contains(&format!("fewer than {minimum} device")), "{text}");
    assert!(faults(&with("quorum = 2", "quorum = 2\nextensions = 1001"))[0].starts_with("rounds.extensions"));
}

#[test]
fn a_cohort_is_large_enough_for_the_minimum_and_never_waits_for_ever() {
    let cohort = |fields: &str| Manifest::parse(&with("quorum = 2", &format!("quorum = 2\n{fields}")));
    let digits = Manifest::parse(DIGITS).unwrap();
    assert_eq!((digits.rounds.cohort, digits.rounds.minimum), (None, 1));
    let rounds = cohort("cohort = 8").unwrap().rounds;
    assert_eq!((rounds.cohort, rounds.extensions), (Some(8), Some(1)));
    assert_eq!(cohort("cohort = 8\nextensions = 0").unwrap().rounds.extensions, Some(0));
    let refused = Manifest::parse(&with("minimum = 1", "minimum = 9\ncohort = 8")).unwrap_err().to_string();
    assert_eq!(
        refused,
        "rounds.cohort is 8: a round would never get the 9 contributions of rounds.minimum. Draw more, or ask for fewer"
    );
    assert!(cohort("cohort = 0").unwrap_err().to_string().starts_with("rounds.cohort is 0"));
    let told = cohort("cohort = 8").unwrap().explain();
    assert!(
        told.iter().any(|statement| statement.text.contains("Where more than 8 devices take part")),
        "{told:?}"
    );
}

#[test]
fn a_training_may_have_a_budget_of_time() {
    let digits = Manifest::parse(DIGITS).unwrap();
    assert_eq!(digits.train.budget, None);
    let unaudited = DIGITS.split("[audit]").next().unwrap();
    let budget =
        |fields: &str| Manifest::parse(&unaudited.replace("steps = 60", &format!("steps = 60\n{fields}")));
    let given = budget("seconds = 2.5\nleast_steps = 6").unwrap();
    assert_eq!(given.train.budget, Some(Budget { seconds: 2.5, least: 6 }));
    assert_eq!(budget("seconds = 1").unwrap().train.budget, Some(Budget { seconds: 1.0, least: 1 }));
    let work = given.explain().into_iter().find(|statement| statement.topic == Topic::Work).unwrap().text;
    assert!(
        work.contains("1,920 examples, or as many as it gets through in 2.5 seconds, and adjusts"),
        "{work}"
    );
    for (fields, field) in [
        ("least_steps = 6", "train.least_steps has no meaning"),
        ("seconds = 1\nleast_steps = 61", "train.least_steps is 61"),
        ("seconds = 10", "train.seconds must be less than rounds.deadline_seconds"),
        ("seconds = 0", "train.seconds is 0"),
        ("seconds = 1\nschedule = \"cosine\"", "train.schedule must be"),
        ("seconds = 1\nwarmup = 3", "train.warmup must be 0"),
        ("seconds = 1\nproximal = 0.1", "train.proximal must be left out"),
    ] {
        let refused = budget(fields).unwrap_err().to_string();
        assert!(refused.starts_with(field) && !refused.contains('\n'), "{fields}: {refused}");
    }
    let audited = with("steps = 60", "steps = 60\nseconds = 1");
    assert!(faults(&audited)[0].starts_with("train.seconds must be left out with [audit]"));
    let endless = unaudited.replace("steps = 60", "steps = 1000001\nseconds = 1");
    let endless = Manifest::parse(&endless).unwrap_err().to_string();
    assert!(endless.starts_with("train.steps must be at most 1000000"), "{endless}");
}
