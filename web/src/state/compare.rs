//! Whether the relay told the truth about the campaign before anybody joined.

use lichen_bridge::{Card, Problem};

/// Goals that differ by less are the same, written in decimals and read again.
const SAME: f64 = 1e-9;

/// What to say where the relay's words are not those of the description that the campaign's id names.
pub(super) fn misled(stated: &Card, verified: &Card) -> Option<Problem> {
    let parts = [
        ("its name", stated.title == verified.title),
        ("what it is for", stated.purpose == verified.purpose),
        ("who runs it", stated.organiser.name == verified.organiser.name),
        ("how to reach them", stated.organiser.contact == verified.organiser.contact),
        ("the licence", stated.licence == verified.licence),
        ("whose data it is", stated.credit == verified.credit),
        ("its goal", is_same_goal(stated.target_accuracy, verified.target_accuracy)),
        ("where updates go", stated.mesh == verified.mesh),
        ("what is done with this device", stated.statements == verified.statements),
    ];
    let false_parts: Vec<&str> =
        parts.iter().filter(|(_part, is_same)| !is_same).map(|(part, _)| *part).collect();
    (!false_parts.is_empty()).then(|| Problem {
        message: format!(
            "This site and the campaign’s own description disagree about {}.",
            false_parts.join(", ")
        ),
        remedy: "Nothing was connected or trained. Do not take part here, and tell the people who run the campaign."
            .to_owned(),
    })
}

/// A campaign without a goal has the goal that is never reached.
fn is_same_goal(stated: Option<f64>, verified: Option<f64>) -> bool {
    (stated.unwrap_or(1.0) - verified.unwrap_or(1.0)).abs() < SAME
}

#[cfg(test)]
mod tests {
    use super::*;
    use lichen_bridge::{Organiser, Statement, Topic};

    fn card() -> Card {
        let (heading, text) = ("Your device".to_owned(), "It computes.".to_owned());
        Card {
            title: "Digits".to_owned(),
            target_accuracy: Some(0.95),
            statements: vec![Statement { topic: Topic::Work, heading, text }],
            ..Card::default()
        }
    }

    #[test]
    fn the_same_words_are_no_problem() {
        let read_again = Card { target_accuracy: Some(0.95 + f64::EPSILON), ..card() };
        assert_eq!(misled(&read_again, &card()), None);
    }

    #[test]
    fn each_false_word_is_named() {
        let text = || "false".to_owned();
        let by = |name: &str, contact: &str| Organiser { name: name.to_owned(), contact: contact.to_owned() };
        let cases = [
            ("its name", Card { title: text(), ..card() }),
            ("what it is for", Card { purpose: text(), ..card() }),
            ("who runs it", Card { organiser: by("false", ""), ..card() }),
            ("how to reach them", Card { organiser: by("", "false"), ..card() }),
            ("the licence", Card { licence: text(), ..card() }),
            ("whose data it is", Card { credit: text(), ..card() }),
            ("its goal", Card { target_accuracy: Some(0.94), ..card() }),
            ("where updates go", Card { mesh: true, ..card() }),
            ("what is done with this device", Card { statements: Vec::new(), ..card() }),
        ];
        for (part, stated) in cases {
            let problem = misled(&stated, &card()).unwrap();
            assert!(problem.message.ends_with(&format!("about {part}.")), "{}", problem.message);
        }
    }
}
