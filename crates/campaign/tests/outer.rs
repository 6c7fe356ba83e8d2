//! What a manifest may say of the outer optimiser.

#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod digits;

use digits::{DIGITS, plain};
use lichen_campaign::{Manifest, Moments, Momentum, OuterOptimizer};

fn said(text: &str) -> OuterOptimizer {
    Manifest::parse(&format!("{DIGITS}\n[outer]\n{text}\n")).unwrap().outer
}

fn faults(text: &str) -> Vec<String> {
    let refused = Manifest::parse(&format!("{DIGITS}\n[outer]\n{text}\n")).unwrap_err();
    refused.faults().iter().map(ToString::to_string).collect()
}

#[test]
fn what_is_left_out_has_its_default() {
    let digits = Manifest::parse(DIGITS).unwrap();
    assert_eq!(digits.outer, OuterOptimizer::Mean);
    assert_eq!(Manifest::parse(&format!("{DIGITS}\n[outer]\noptimizer = \"mean\"\n")).unwrap(), digits);
    let moments = Moments { rate: 0.01, beta1: 0.9, beta2: 0.99, epsilon: 1e-3 };
    for (word, expected) in [
        ("momentum", OuterOptimizer::Momentum(Momentum { rate: 1.0, momentum: 0.5 })),
        ("nesterov", OuterOptimizer::Nesterov(Momentum { rate: 0.7, momentum: 0.9 })),
        ("adam", OuterOptimizer::Adam(moments)),
        ("yogi", OuterOptimizer::Yogi(moments)),
    ] {
        let found = said(&format!("optimizer = \"{word}\""));
        assert_eq!((found, found.word()), (expected, word));
    }
}

#[test]
fn what_is_said_counts() {
    let found = said("optimizer = \"momentum\"\nrate = 0.5\nmomentum = 0.8");
    assert_eq!(found, OuterOptimizer::Momentum(Momentum { rate: 0.5, momentum: 0.8 }));
    let found = said("optimizer = \"yogi\"\nrate = 0.1\nbeta1 = 0\nbeta2 = 0.5\nepsilon = 1e-6");
    assert_eq!(found, OuterOptimizer::Yogi(Moments { rate: 0.1, beta1: 0.0, beta2: 0.5, epsilon: 1e-6 }));
}

#[test]
fn what_has_no_meaning_is_refused_in_words() {
    for (text, fault) in [
        ("rate = 1", "outer.optimizer is missing: add it"),
        (
            "optimizer = \"sgd\"",
            "outer.optimizer is not known here: use \"mean\" or \"momentum\" or \"nesterov\" or \"adam\" or \"yogi\"",
        ),
        (
            "optimizer = \"mean\"\nrate = 1",
            "outer.rate has no meaning for \"mean\", which adds the update as it is: choose another outer.optimizer",
        ),
        (
            "optimizer = \"nesterov\"\nbeta2 = 0.5",
            "outer.beta2 has no meaning for \"nesterov\", which has rate, momentum: leave it out",
        ),
        (
            "optimizer = \"adam\"\nmomentum = 0.5",
            "outer.momentum has no meaning for \"adam\", which has rate, beta1, beta2, epsilon: leave it out",
        ),
        ("optimizer = \"momentum\"\nrate = 0", "outer.rate is 0: it must be from 0.000001 to 10"),
        ("optimizer = \"momentum\"\nmomentum = 1", "outer.momentum is 1: it must be from 0 to 0.999"),
        ("optimizer = \"adam\"\nbeta1 = 1", "outer.beta1 is 1: it must be from 0 to 0.9999"),
        ("optimizer = \"adam\"\nepsilon = 0", "outer.epsilon is 0: it must be from 0.000000000001 to 1"),
        ("optimizer = \"adam\"\nbeta3 = 1", "outer.beta3 is not known here: did you mean \"beta1\"?"),
    ] {
        assert_eq!(faults(text), [fault]);
    }
}

#[test]
fn a_visitor_is_told_that_earlier_rounds_count() {
    let text = plain();
    let plain = Manifest::parse(text).unwrap().explain();
    let outer = Manifest::parse(&format!("{text}\n[outer]\noptimizer = \"nesterov\"\n")).unwrap().explain();
    let differ: Vec<_> = plain.iter().zip(&outer).filter(|(plain, outer)| plain != outer).collect();
    let [(_plain, told)] = *differ else { panic!("{differ:?}") };
    let words = "Then everybody's changes are added up, and the model takes a step that follows from them and from those of \
                 earlier rounds, which your device does, too, to check the others.";
    assert!(told.text.contains(words), "{}", told.text);
}
