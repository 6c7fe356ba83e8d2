//! What the model can do: its guesses about samples that nobody trains on, and what it reads in a drawing.

use super::field::Field;
use super::owned::texts;
use super::status::button;
use super::{icon, picture, reading};
use crate::drawing::Drawing;
use crate::format;
use crate::intent::Intent;
use crate::site::Campaign;
use crate::state::{TrialStage, ViewState, is_right};
use lichen_bridge::{Guess, Guesses, Problem, Show};
use std::rc::Rc;
use yew::prelude::*;

/// The model to be looked at, where the campaign says how; a button before, for whoever does not take part.
pub(super) fn trial(state: &ViewState, click: &Callback<Intent>) -> Html {
    let Some(campaign) = state.campaign().filter(|campaign| campaign.card.show.is_some()) else {
        return Html::default();
    };
    html! {
        <section class="trial stack" aria-labelledby="trial">
            <h2 id="trial">{ if draws(campaign) { "What it can read" } else { "What it can do" } }</h2>
            { asking(state, campaign) }
            if let Some(guesses) = &state.trial.guesses {
                { shown(state, campaign, guesses, click) }
            }
        </section>
    }
}

/// Whether samples of the campaign can be drawn by hand.
pub(super) fn draws(campaign: &Campaign) -> bool {
    campaign.card.show.as_ref().is_some_and(|show| show.draw)
}

/// How much the model gets right, and who says so; none where nobody does.
pub(super) fn ability(state: &ViewState) -> Option<String> {
    let campaign = state.campaign()?;
    let reads = |share: f64| {
        if draws(campaign) {
            format!("reads {}", format::of_hundred(share))
        } else {
            format!("gets {} right", format::of_hundred(share))
        }
    };
    if let Some(accuracy) =
        state.accuracy().filter(|_| state.is_taking_part() || state.trial.guesses.is_none())
    {
        return Some(format!("The model {}.", reads(accuracy)));
    }
    let counted = state.trial.guesses.as_ref().and_then(|guesses| guesses.right).filter(|(_, of)| *of > 0);
    if let Some((right, of)) = counted {
        let share = f64::from(right) / f64::from(of);
        return Some(format!("The model {}, as counted on this device just now.", reads(share)));
    }
    let told = state.present()?.accuracy.as_ref()?;
    Some(match told.source.as_str() {
        "measured" => format!("The model {}.", reads(told.value)),
        _ => format!("Those who train it say that it {}.", reads(told.value)),
    })
}

/// What whoever does not take part can do to see it.
fn asking(state: &ViewState, campaign: &Campaign) -> Html {
    if state.is_taking_part() {
        return if state.trial.guesses.is_some() {
            Html::default()
        } else {
            html! { <p class="empty">{ "Its guesses appear here once the first result has been measured." }</p> }
        };
    }
    match &state.trial.stage {
        TrialStage::Unasked => ask(campaign),
        TrialStage::Loading => html! {
            <>
                <p role="status">{ "Fetching the model and some samples." }</p>
                <progress aria-label="Fetching the model" />
            </>
        },
        TrialStage::Shown => Html::default(),
        TrialStage::Failed(problem) => html! {
            <>
                { failed(problem) }
                { ask(campaign) }
            </>
        },
    }
}

fn ask(campaign: &Campaign) -> Html {
    let name = if draws(campaign) { "See what it can read" } else { "See what it can do" };
    html! {
        <div class="ask">
            { button(name, "button", &Intent::Look) }
            <p>{ weight(campaign) }</p>
        </div>
    }
}

fn weight(campaign: &Campaign) -> String {
    let fetches = match campaign.cost {
        Some(cost) => {
            let bytes = format::bytes(cost.data_bytes.saturating_add(cost.model_bytes));
            format!("Fetches {bytes}, and the program if this is your first visit.")
        }
        None => "Fetches the model and its data.".to_owned(),
    };
    format!("{fetches} Nothing trains, nothing of yours is sent, and no key is made.")
}

fn failed(problem: &Problem) -> Html {
    html! {
        <div class="notice notice-bad" role="alert">
            <p><strong>{ &problem.message }</strong></p>
            <p>{ &problem.remedy }</p>
        </div>
    }
}

fn shown(
    state: &ViewState,
    campaign: &Rc<Campaign>,
    guesses: &Rc<Guesses>,
    click: &Callback<Intent>,
) -> Html {
    html! {
        <>
            <p class="trial-line number"><span>{ tally(state, guesses) }</span></p>
            <Strip campaign={campaign.clone()} guesses={guesses.clone()} turned={state.trial.turned.clone()} />
            if let Some(show) = campaign.card.show.as_ref().filter(|show| show.draw) {
                { drawing(state, show, click) }
            }
        </>
    }
}

fn tally(state: &ViewState, guesses: &Guesses) -> String {
    let here = format!("{} of these {} are right.", state.trial.right(), guesses.samples.len());
    match ability(state) {
        Some(ability) => format!("{ability} {here}"),
        None => here,
    }
}

/// The field to draw in, and what the model makes of the drawing.
fn drawing(state: &ViewState, show: &Show, click: &Callback<Intent>) -> Html {
    if !state.can_read() {
        return Html::default();
    }
    let change = click.reform(Intent::Draw);
    let clear = Intent::Draw(Rc::new(Drawing::default()));
    html! {
        <div class="draw">
            <div class="stack">
                <h3 id="draw">{ "Draw one yourself" }</h3>
                <Field drawing={state.trial.drawing.clone()} width={show.width} height={show.height} {change} />
                <div class="draw-row">{ button("Clear", "button", &clear) }</div>
            </div>
            <div class="stack">
                { reading::reading(state, show) }
                <p class="soft small" id="draw-hint">
                    { "Draw with a finger, a pen or the mouse. With the keyboard: arrow keys move, Space puts the pen down and lifts it, Delete clears. The drawing stays on this device: nothing of it is sent." }
                </p>
            </div>
        </div>
    }
}

/// The samples with the model's guesses; drawn again only when they change.
#[derive(Properties)]
struct StripProps {
    campaign: Rc<Campaign>,
    guesses: Rc<Guesses>,
    turned: Rc<Vec<u32>>,
}

impl PartialEq for StripProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.campaign, &other.campaign)
            && self.turned == other.turned
            && self.guesses.samples.iter().map(shown_of).eq(other.guesses.samples.iter().map(shown_of))
    }
}

/// What is shown of a sample, besides the sample itself.
fn shown_of(guess: &Guess) -> (u32, u32, u32, u8) {
    (guess.index, guess.label, guess.guess, tens(guess.probability))
}

#[component(Strip)]
fn strip(props: &StripProps) -> Html {
    let Some(show) = &props.campaign.card.show else {
        return Html::default();
    };
    texts(html! {
        <ul class="samples" aria-label="Samples that nobody trains on, and what the model takes them for">
            { for props.guesses.samples.iter().map(|sample| item(show, sample, props.turned.contains(&sample.index))) }
        </ul>
    })
}

fn item(show: &Show, sample: &Guess, turned: bool) -> Html {
    let (said, is) = (name(show, sample.guess), name(show, sample.label));
    let right = is_right(sample);
    let class = if right { "sample sample-right" } else { "sample sample-wrong" };
    html! {
        <li key={sample.index} class={classes!(class, turned.then_some("sample-turned"))}>
            { picture::picture(&sample.cells, show.width, show.height) }
            <span class="sample-said" aria-hidden="true">
                { if right { icon::tick() } else { icon::cross() } }
                <span>{ said.to_owned() }</span>
            </span>
            <span class="sample-is" aria-hidden="true">{ if right { String::new() } else { format!("it is {is}") } }</span>
            <span class="visually-hidden">{ words(said, is, sample, turned) }</span>
        </li>
    }
}

fn words(said: &str, is: &str, sample: &Guess, turned: bool) -> String {
    let sure = match tens(sample.probability) {
        0 => "less than 10\u{a0}%".to_owned(),
        tens => format!("at least {tens}0\u{a0}%"),
    };
    match (is_right(sample), turned) {
        (true, true) => format!("{is}, now taken for {said}: right, {sure} sure."),
        (true, false) => format!("{is}, taken for {said}: right, {sure} sure."),
        (false, _) => format!("{is}, taken for {said}: wrong, {sure} sure."),
    }
}

/// How sure the model is, in tenths: finer steps would change with every round, and be read by nobody.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
fn tens(probability: f32) -> u8 {
    (probability * 10.0).clamp(0.0, 9.0) as u8
}

fn name(show: &Show, class: u32) -> &str {
    show.labels.get(class as usize).map_or("?", String::as_str)
}
