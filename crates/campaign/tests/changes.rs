//! What a manifest may let its organiser decide and change.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod digits;

use digits::DIGITS;
use lichen_campaign::{Bounds, ChangeFault, Changes, Manifest, Topic};
use lichen_record::Settings;

const ACCOUNT: &str = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";

const ALL: &str = "[changes]
deadline_seconds = { least = 10, most = 600 }
target_accuracy = { least = 0.8, most = 1 }
learning_rate = { least = 0.0001, most = 0.01 }
";

/// The digits' manifest with an organiser's account and this text behind it.
fn steered(changes: &str) -> Result<Manifest, String> {
    let account = format!("[campaign.organiser]\naccount = \"{ACCOUNT}\"");
    let digits = DIGITS.replace("[campaign.organiser]", &account);
    Manifest::parse(&format!("{digits}\n{changes}")).map_err(|error| error.to_string())
}

#[test]
fn the_organiser_may_change_what_the_manifest_says_and_no_further() {
    let manifest = steered(ALL).unwrap();
    assert_eq!(manifest.campaign.organiser_account.unwrap().to_string(), ACCOUNT);
    assert_eq!(manifest.changes.deadline_ms, Some(Bounds { least: 10_000, most: 600_000 }));
    let check = |settings| manifest.changes.check(&settings);
    let rate = |learning_rate| Settings { learning_rate: Some(learning_rate), ..Settings::default() };
    for right in [0.0001, 0.002, 0.01] {
        assert_eq!(check(rate(right)), Ok(()));
    }
    for wrong in [0.000_099, 0.010_001, 0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(check(rate(wrong)), Err(ChangeFault::OutOfBounds));
    }
    let deadline = Settings { deadline_ms: Some(600_001), ..rate(0.002) };
    assert_eq!(check(deadline), Err(ChangeFault::OutOfBounds));
    assert_eq!(check(Settings::default()), Err(ChangeFault::Fixed));
    let some = steered("[changes]\ndeadline_seconds = { least = 10, most = 600 }").unwrap();
    assert_eq!(some.changes.check(&rate(0.002)), Err(ChangeFault::Fixed));
    assert_eq!(steered("").unwrap().changes, Changes::NONE);
}

#[test]
fn people_are_told_before_they_join() {
    let told = |manifest: Manifest| {
        let card = manifest.card();
        let statement = card.statements.iter().find(|statement| statement.topic == Topic::Organiser);
        statement.unwrap().text.clone()
    };
    let text = told(steered(ALL).unwrap());
    for part in ["pause", "10 seconds to 600 seconds", "80 % to 100 % right", "0.0001 to 0.01"] {
        assert!(text.contains(part), "{text}");
    }
    let text = told(steered("").unwrap());
    assert!(text.contains("pause") && !text.contains("Between rounds"), "{text}");
    assert!(!told(Manifest::parse(DIGITS).unwrap()).contains("pause"));
}

#[test]
fn what_makes_no_sense_is_refused_with_the_field() {
    let all = ALL;
    for (changes, field) in [
        (all.replace("least = 10,", "least = 700,"), "changes.deadline_seconds.least"),
        (all.replace("least = 10,", "least = 0,"), "changes.deadline_seconds.least"),
        (all.replace("least = 10, most = 600", "least = 11, most = 600"), "changes.deadline_seconds are"),
        (all.replace("least = 0.0001,", "least = 0.005,"), "changes.learning_rate are"),
        (all.replace("least = 0.0001,", "least = 0,"), "changes.learning_rate.least"),
        (all.replace("least = 0.8, most = 1 ", "least = 0.8, most = 0.81 "), "changes.target_accuracy are"),
        (all.replace(", most = 0.01", ""), "changes.learning_rate.most is missing"),
        (all.replace("deadline_seconds", "deadline"), "changes.deadline is not known"),
        (all.replace("{ least = 10, most = 600 }", "600"), "changes.deadline_seconds must be a table"),
    ] {
        let fault = steered(&changes).unwrap_err();
        assert!(fault.contains(field), "{field}: {fault}");
    }
    let fault = Manifest::parse(&format!("{DIGITS}\n{all}")).unwrap_err().to_string();
    assert!(fault.contains("campaign.organiser.account"), "{fault}");
    // What trains by itself would go on as the manifest says.
    let trusting = all.replace("[changes]", "[aggregation]\nrule = \"fltrust\"\n[changes]");
    let account = format!("[campaign.organiser]\naccount = \"{ACCOUNT}\"");
    let trusting = format!("{}{trusting}", digits::plain().replace("[campaign.organiser]", &account));
    let fault = Manifest::parse(&trusting).unwrap_err().to_string();
    assert!(fault.contains("changes.learning_rate must be left out"), "{fault}");
    let wrong = DIGITS.replace("[campaign.organiser]", "[campaign.organiser]\naccount = \"did:key:zDn\"");
    let fault = Manifest::parse(&wrong).unwrap_err().to_string();
    assert!(fault.contains("campaign.organiser.account must be an account"), "{fault}");
}
