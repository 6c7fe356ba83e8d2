//! The number that all this is about.

use super::fact;
use crate::format;
use crate::state::{Round, ViewState};
use yew::prelude::*;

/// Accuracy on held-out data, with the mark to be reached.
pub(super) fn score(state: &ViewState) -> Html {
    let round = state.round;
    html! {
        <section class="card score" aria-labelledby="accuracy">
            <div>
                <h2 id="accuracy">{ "Accuracy" }</h2>
                <p class="soft small">{ measured_on(state) }</p>
            </div>
            <p class="score-number">{ number(state.accuracy()) }</p>
            { scale(state) }
            <dl class="facts">
                { fact(round_name(state), html! { round.map_or("–".to_owned(), |round| format::count(round.number)) }) }
                { fact("Loss, likewise", html! { state.history.last().map_or("–".to_owned(), |last| format!("{:.3}", last.loss)) }) }
                { fact("Updates received", html! { round.map_or("–".to_owned(), received) }) }
                { fact("Members", html! { members(state.member_count) }) }
            </dl>
        </section>
    }
}

fn measured_on(state: &ViewState) -> String {
    let Some(last) = state.history.last() else {
        return "On samples that nobody trains on".to_owned();
    };
    let samples = format::count(u64::from(last.samples));
    match last.round {
        0 => format!("Before the first round, on {samples} samples that nobody trains on"),
        round => format!("After round {}, on {samples} samples that nobody trains on", format::count(round)),
    }
}

/// The round that the log tells of is a later one than the result beside it was measured after, unless it has settled.
fn round_name(state: &ViewState) -> &'static str {
    match state.round {
        Some(round) if round.settled => "Last round",
        _ => "Round under way",
    }
}

fn number(accuracy: Option<f64>) -> Html {
    let Some(accuracy) = accuracy else {
        return html! {
            <><span class="unknown" aria-hidden="true">{ "–" }</span><span class="visually-hidden">{ "not measured yet" }</span></>
        };
    };
    let shown = format::percent(accuracy);
    let digits = shown.trim_end_matches('%').trim_end().to_owned();
    html! { <>{ digits }<span class="unit">{ "\u{a0}%" }</span></> }
}

fn scale(state: &ViewState) -> Html {
    let reached = state.accuracy().unwrap_or(0.0).clamp(0.0, 1.0) * 100.0;
    html! {
        <div class="score-scale">
            <svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">
                <rect class="scale-track" x="0" y="3" width="100" height="4" />
                <rect class="scale-fill" x="0" y="3" width={format!("{reached:.2}")} height="4" />
                if let Some(target) = state.target() {
                    <path class="scale-mark" d={format!("M{:.2} 0V10", target * 100.0)} />
                }
            </svg>
            if let Some(target) = state.target() {
                <p class="small soft">{ goal(state.accuracy(), target) }</p>
            }
        </div>
    }
}

fn goal(accuracy: Option<f64>, target: f64) -> String {
    let shown = format::percent(target);
    if accuracy.is_some_and(|accuracy| accuracy >= target) {
        format!("Goal of {shown} reached")
    } else {
        format!("Goal: {shown}")
    }
}

fn received(round: Round) -> String {
    format!("{} of {}", round.contributions, round.cohort.max(round.contributions))
}

fn members(count: u64) -> String {
    if count == 0 { "–".to_owned() } else { format::count(count) }
}
