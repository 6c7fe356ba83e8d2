//! The campaign in plain words: the invitation before Join, the reminder after.

use super::facts::{contact, facts};
use super::status::button;
use super::{campaigns, check, cost, engine, mesh, thanks, trial};
use crate::format;
use crate::intent::Intent;
use crate::now::Now;
use crate::site::Campaign;
use crate::state::{ViewState, Words};
use lichen_bridge::{Problem, Statement, Topic};
use yew::prelude::*;

/// What a visitor reads before deciding.
pub(super) fn invitation(state: &ViewState, click: &Callback<Intent>) -> Html {
    let content = match &state.words {
        Words::Reading => reading(),
        Words::Missing(problem) => missing(problem),
        Words::Stated(campaign) | Words::Verified(campaign) => offer(state, campaign, click),
    };
    html! {
        <article class="card invitation" aria-labelledby="title">
            { content }
            { campaigns::others(state) }
        </article>
    }
}

/// The same words, folded away, while taking part.
pub(super) fn reminder(state: &ViewState) -> Html {
    let Some(campaign) = state.campaign() else {
        return Html::default();
    };
    html! {
        <section class="card stack" aria-labelledby="campaign">
            <h2 id="campaign">{ "The campaign" }</h2>
            <div>
                <p><strong>{ &campaign.card.title }</strong></p>
                <p class="soft">{ &campaign.card.purpose }</p>
            </div>
            <details>
                <summary>{ "What happens on this device, and what leaves it" }</summary>
                <div class="stack">
                    { statements(campaign) }
                    { facts(state, campaign) }
                </div>
            </details>
        </section>
    }
}

fn offer(state: &ViewState, campaign: &Campaign, click: &Callback<Intent>) -> Html {
    if let Some(now) = state.present().filter(|now| now.finished) {
        return thanks::ended(state, campaign, now, click);
    }
    html! {
        <>
            <header>
                <p class="eyebrow">{ "A network of volunteers’ browser tabs" }</p>
                <h1 id="title">{ campaign.card.title.clone() }</h1>
                <p class="purpose">{ campaign.card.purpose.clone() }</p>
            </header>
            <p class="lead">
                { "People lend a tab like this one: each trains the model a little, together they get far, and no \
                    data centre is needed. Lend yours for as long as you like. The result belongs to everybody." }
            </p>
            { here_now(state) }
            if state.present().is_some_and(|now| now.paused) {
                <p><strong>{ "The organiser has paused this campaign." }</strong><span>{ PAUSED }</span></p>
            }
            <div class="ask">
                { button("Join", "button button-main button-join", &Intent::Join) }
                <p>
                    { "Nothing runs, connects or uses your graphics card before you click. Pause and Leave stay in sight, and closing the page stops everything." }
                </p>
            </div>
            { trial::trial(state, click) }
            { check::check(state) }
            { cost::expected(state) }
            { behind_it(campaign) }
            if campaign.card.mesh {
                { mesh::switch(state, click) }
            }
            { engine::threads(state, click) }
            <details>
                <summary>{ "Everything else you may want to know" }</summary>
                <div class="stack">
                    { statements(campaign) }
                    { facts(state, campaign) }
                </div>
            </details>
        </>
    }
}

/// Who takes part at the moment, and how far they are.
fn here_now(state: &ViewState) -> Html {
    let Some(now) = state.present() else {
        let untold =
            if state.is_now_told() { "Cannot find out who is here now." } else { "Asking who is here…" };
        return html! { <p class="here number">{ untold }</p> };
    };
    let people = match now.members {
        0 => "Nobody is here at the moment: you would be the first.".to_owned(),
        1 => "1\u{a0}person is here now.".to_owned(),
        members => format!("{} are here now.", format::plural(members, "person", "people")),
    };
    html! {
        <p class="here number">
            <strong>{ people }</strong>
            { " " }
            if now.round > 0 {
                <span>{ rounds(now) }</span>
                { " " }
            }
            if let Some(ability) = trial::ability(state) {
                <span>{ ability }</span>
            }
        </p>
    }
}

fn rounds(now: &Now) -> String {
    let of = if now.limit > 0 { format!(" of {}", format::count(now.limit)) } else { String::new() };
    format!("This is round {}{of}: in each round, everybody trains once.", format::count(now.round))
}

/// Who runs this, and who learns what of the visitor.
fn behind_it(campaign: &Campaign) -> Html {
    html! {
        <section class="stack" aria-labelledby="behind">
            <h2 id="behind">{ "Who is behind it, and what they see" }</h2>
            <dl class="promises thirds">
                <div>
                    <dt>{ "Who runs this" }</dt>
                    <dd>
                        <span>{ format!("The campaign is by {}", campaign.card.organiser.name) }</span>
                        { contact(&campaign.card.organiser.contact) }
                        <span>{ ". " }</span>
                        { operator(campaign) }
                    </dd>
                </div>
                <div><dt>{ "What the server sees" }</dt><dd>{ SEEN }</dd></div>
                <div><dt>{ "What links your visits" }</dt><dd>{ LINKED }</dd></div>
            </dl>
        </section>
    }
}

const PAUSED: &str =
    " Nothing is trained until they resume it. If you join now, your tab waits, and goes on by itself.";

const SEEN: &str = "Your device’s network address, as on every website, and what your tab has learned: only \
    numbers. Training data and drawings are not sent.";

const LINKED: &str = "When you join, your browser makes a key and keeps it. It signs what you contribute, under \
    the same long number at each visit, so your visits can be linked; no name is asked for. To forget it, clear \
    this site’s data in your browser.";

fn operator(campaign: &Campaign) -> Html {
    let Some(operator) = &campaign.operator else {
        return html! {
            <span>{ "Whoever runs this server has not given a name here: ask whoever sent you, before you join." }</span>
        };
    };
    html! {
        <>
            <span>{ format!("This server is run by {}", operator.name) }</span>
            { operator.link.as_deref().map(contact).unwrap_or_default() }
            <span>{ "." }</span>
        </>
    }
}

fn reading() -> Html {
    html! {
        <>
            <h1 id="title">{ "Train a model together" }</h1>
            <p class="purpose">{ "Reading what this campaign is about…" }</p>
            <progress aria-label="Reading the campaign" />
        </>
    }
}

fn missing(problem: &Problem) -> Html {
    html! {
        <>
            <h1 id="title">{ "Train a model together" }</h1>
            <div class="notice notice-bad" role="alert">
                <p><strong>{ &problem.message }</strong></p>
                <p>{ &problem.remedy }</p>
            </div>
            <div class="ask">{ button("Try again", "button button-main", &Intent::ReadAgain) }</div>
        </>
    }
}

/// What the campaign says about itself: first and framed what concerns the visitor's device, then the rest.
fn statements(campaign: &Campaign) -> Html {
    let untold = campaign.card.statements.iter().filter(|statement| statement.topic != Topic::Purpose);
    let (device, rest): (Vec<_>, Vec<_>) = untold.partition(|statement| statement.topic.is_about_device());
    html! {
        <>
            { listed("promises", &device) }
            { listed("remarks", &rest) }
        </>
    }
}

fn listed(class: &'static str, statements: &[&Statement]) -> Html {
    if statements.is_empty() {
        return Html::default();
    }
    html! {
        <dl {class}>
            { for statements.iter().map(|statement| html! {
                <div><dt>{ &statement.heading }</dt><dd>{ &statement.text }</dd></div>
            }) }
        </dl>
    }
}
