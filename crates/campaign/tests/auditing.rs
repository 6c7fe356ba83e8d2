//! What a manifest may say of trainings that others repeat.
#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod digits;

use digits::DIGITS;
use lichen_campaign::{Auditing, Manifest};

fn parse(steps: u32, text: &str) -> Result<Manifest, String> {
    let digits = DIGITS.replace("steps = 60", &format!("steps = {steps}"));
    Manifest::parse(&digits.replace("share = 0.1", text)).map_err(|error| error.to_string())
}

fn audit(steps: u32, text: &str) -> Auditing {
    parse(steps, text).unwrap().audit.unwrap()
}

#[test]
fn states_are_few_and_one_is_the_last() {
    for (steps, text, stride, states) in [
        (1, "", 160, 1),
        (60, "", 160, 1),
        (160, "", 160, 1),
        (161, "", 160, 2),
        (60, "every = 10", 10, 6),
        (61, "every = 10", 10, 7),
        (60, "every = 1", 1, 60),
        (256, "every = 1", 1, 256),
        (40_960, "", 160, 256),
        (50_000, "", 196, 256),
        (1_000_000, "", 3_907, 256),
    ] {
        let audit = audit(steps, text);
        assert_eq!((audit.stride(steps), audit.states(steps)), (stride, states), "{steps} {text}");
    }
    assert_eq!(audit(60, ""), Auditing::default());
}

#[test]
fn too_many_states_are_refused_with_the_remedy() {
    let error = parse(257, "every = 1").unwrap_err();
    assert!(error.contains("audit.every") && error.contains("at least 2"), "{error}");
    assert!(parse(60, "every = 0").is_err());
    assert!(parse(60, "every = 1.5").is_err());
}
