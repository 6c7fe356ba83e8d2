//! Whether the relay told the truth about the campaign before anybody joined.

use super::Campaign;
use lichen_bridge::Problem;

/// Goals that differ by less are the same, written in decimals and read again.
const SAME: f64 = 1e-9;

/// What to say where the relay's words are not those of the description that the campaign's id names.
pub(super) fn misled(stated: &Campaign, verified: &Campaign) -> Option<Problem> {
    let parts = [
        ("its name", stated.title == verified.title),
        ("what it is for", stated.purpose == verified.purpose),
        ("who runs it", stated.organiser == verified.organiser),
        ("how to reach them", stated.contact == verified.contact),
        ("the licence", stated.licence == verified.licence),
        ("whose data it is", stated.credit == verified.credit),
        ("its goal", (stated.target - verified.target).abs() < SAME),
        ("where updates go", stated.is_mesh == verified.is_mesh),
        ("what is done with this device", stated.statements == verified.statements),
    ];
    let false_parts: Vec<&str> =
        parts.iter().filter(|(_part, is_same)| !is_same).map(|(part, _)| *part).collect();
    (!false_parts.is_empty()).then(|| Problem {
        message: format!(
            "This site said something else than the campaign’s own description about {}.",
            false_parts.join(", ")
        ),
        remedy: "Nothing was connected or trained. Do not take part here, and tell the people who run the campaign."
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use lichen_bridge::Statement;

    fn campaign() -> Campaign {
        let statement = Statement { heading: "Your device".to_owned(), text: "It computes.".to_owned() };
        Campaign {
            title: "Digits".to_owned(),
            target: 0.95,
            statements: vec![statement],
            ..Campaign::default()
        }
    }

    #[test]
    fn the_same_words_are_no_problem() {
        let read_again = Campaign { target: 0.95 + f64::EPSILON, ..campaign() };
        assert_eq!(misled(&read_again, &campaign()), None);
    }

    #[test]
    fn each_false_word_is_named() {
        let text = || "false".to_owned();
        let cases = [
            ("its name", Campaign { title: text(), ..campaign() }),
            ("what it is for", Campaign { purpose: text(), ..campaign() }),
            ("who runs it", Campaign { organiser: text(), ..campaign() }),
            ("how to reach them", Campaign { contact: text(), ..campaign() }),
            ("the licence", Campaign { licence: text(), ..campaign() }),
            ("whose data it is", Campaign { credit: text(), ..campaign() }),
            ("its goal", Campaign { target: 0.94, ..campaign() }),
            ("where updates go", Campaign { is_mesh: true, ..campaign() }),
            ("what is done with this device", Campaign { statements: Vec::new(), ..campaign() }),
        ];
        for (part, stated) in cases {
            let problem = misled(&stated, &campaign()).unwrap();
            assert!(problem.message.ends_with(&format!("about {part}.")), "{}", problem.message);
        }
    }
}
