//! What the model says of a drawing, in words and in bars, and how sure it is.

use crate::state::ViewState;
use lichen_bridge::Show;
use yew::prelude::*;

/// Classes named in the bars; the rest are less likely.
const LISTED: usize = 5;

/// From how probable on the model reads rather than guesses, up to how probable it knows nothing, and how much of the
/// first a second must have to be worth naming.
const SURE: f32 = 0.8;
const CLUELESS: f32 = 0.3;
const RIVAL: f32 = 0.4;

/// The answer to a drawing.
pub(super) fn reading(state: &ViewState, show: &Show) -> Html {
    let ranked = state.trial.reading.as_ref().map(|said| ranked(said, show)).unwrap_or_default();
    html! {
        <>
            <p class="verdict" role="status"><span>{ sentence(state, &ranked) }</span></p>
            if !ranked.is_empty() {
                <ul class="bars" aria-label="How probable the model finds each">
                    { for ranked.iter().take(LISTED).map(bar) }
                </ul>
            }
        </>
    }
}

/// A share as people read it; a certainty is never claimed.
pub(super) fn percent(probability: f32) -> String {
    let percent = (probability.clamp(0.0, 1.0) * 100.0).floor();
    if percent >= 100.0 { "over 99\u{a0}%".to_owned() } else { format!("{percent:.0}\u{a0}%") }
}

fn sentence(state: &ViewState, ranked: &[(String, f32)]) -> String {
    if let Some(problem) = &state.trial.unread {
        return format!("{} {}", problem.message, problem.remedy);
    }
    if state.trial.drawing.is_empty() {
        return "Nothing is drawn yet.".to_owned();
    }
    verdict(ranked)
}

/// The model's word, with its doubts.
fn verdict(ranked: &[(String, f32)]) -> String {
    let Some((first, sure)) = ranked.first() else {
        return "Reading.".to_owned();
    };
    if *sure < CLUELESS {
        return format!("It cannot tell. Its best guess is {first} ({}).", percent(*sure));
    }
    if *sure >= SURE {
        return format!("It reads {first} ({} sure).", percent(*sure));
    }
    match ranked.get(1) {
        Some((second, rival)) if *rival >= sure * RIVAL => {
            format!("It hesitates between {first} ({}) and {second} ({}).", percent(*sure), percent(*rival))
        }
        _ => format!("It reads {first}, but is not sure ({}).", percent(*sure)),
    }
}

/// The classes with their probabilities, most probable first.
fn ranked(probabilities: &[f32], show: &Show) -> Vec<(String, f32)> {
    if probabilities.iter().any(|probability| !probability.is_finite()) {
        return Vec::new();
    }
    let mut ranked: Vec<(String, f32)> =
        show.labels.iter().cloned().zip(probabilities.iter().copied()).collect();
    ranked.sort_by(|one, other| other.1.total_cmp(&one.1));
    ranked
}

fn bar((label, probability): &(String, f32)) -> Html {
    let length = probability.clamp(0.0, 1.0) * 100.0;
    html! {
        <li key={label.clone()}>
            <span class="bar-label">{ label.clone() }</span>
            <svg viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                <rect class="scale-track" width="100" height="8" />
                <rect class="scale-fill" width={format!("{length:.1}")} height="8" />
            </svg>
            <span class="number small">{ percent(*probability) }</span>
        </li>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(probabilities: &[f32]) -> String {
        let labels = (0..probabilities.len()).map(|label| label.to_string()).collect();
        verdict(&ranked(probabilities, &Show { labels, ..Show::default() }))
    }

    #[test]
    fn the_model_claims_no_more_than_it_knows() {
        assert_eq!(said(&[0.01, 0.97, 0.02]), "It reads 1 (97\u{a0}% sure).");
        assert_eq!(said(&[0.0, 0.0, 1.0]), "It reads 2 (over 99\u{a0}% sure).");
        assert_eq!(said(&[0.5, 0.1, 0.4]), "It hesitates between 0 (50\u{a0}%) and 2 (40\u{a0}%).");
        assert_eq!(said(&[0.7, 0.1, 0.1, 0.1]), "It reads 0, but is not sure (70\u{a0}%).");
        let ten = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.08, 0.12];
        assert_eq!(said(&ten), "It cannot tell. Its best guess is 9 (12\u{a0}%).");
        assert_eq!(said(&[f32::NAN, 1.0]), "Reading.");
    }
}
