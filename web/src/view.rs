//! The page's parts, each a pure function of the state; only copying and folding keep state of their own.

mod campaigns;
mod card;
mod chart;
mod check;
mod contributions;
mod copy;
mod cost;
mod engine;
mod facts;
mod field;
#[cfg(test)]
mod gallery;
mod icon;
mod identity;
mod mesh;
mod owned;
mod peers;
mod picture;
mod plot;
mod reading;
mod rounds_table;
mod score;
mod status;
mod thanks;
mod trial;

use crate::intent::Intent;
use crate::state::{Run, ViewState, Words};
use wasm_bindgen::JsCast;
use web_sys::Element;
use yew::prelude::*;

/// The whole page at `now` on its clock.
pub(crate) fn page(state: &ViewState, now: f64, click: &Callback<Intent>) -> Html {
    let click_any = click.clone();
    let onclick = Callback::from(move |event: MouseEvent| {
        if let Some(intent) = asked(&event) {
            click_any.emit(intent);
        }
    });
    owned::texts(html! {
        <div {onclick}>
            <a class="skip" href="#main">{ "Skip to the content" }</a>
            { banner() }
            { main_part(state, now, click) }
            // Once there is something above it: what is drawn in the middle of the window and then pushed out of it
            // makes the whole page jump.
            if !matches!(state.words, Words::Reading) {
                { footer() }
            }
        </div>
    })
}

/// What the button says that was clicked: read from the element itself, so that it does what it says whatever was done
/// to the page around it.
fn asked(event: &MouseEvent) -> Option<Intent> {
    let element = event.target()?.dyn_into::<Element>().ok()?;
    let button = element.closest("[data-intent]").ok()??;
    Intent::named(&button.get_attribute("data-intent")?)
}

fn banner() -> Html {
    html! {
        <header class="banner">
            <div class="frame">
                <span class="brand">{ icon::logo() }<span translate="no">{ "Lichen" }</span></span>
                <span class="tagline">{ "Many small devices, one model" }</span>
            </div>
        </header>
    }
}

fn main_part(state: &ViewState, now: f64, click: &Callback<Intent>) -> Html {
    let sentence = state.sentence(now);
    html! {
        <main
            id="main"
            class="frame"
            tabindex="-1"
            data-state={sentence.key}
            data-round={state.settled_round().to_string()}
            data-accuracy={state.accuracy().map(|accuracy| format!("{accuracy:.6}"))}
            data-contributions={state.recorded.to_string()}
            data-checkpoint={state.checkpoint().map(str::to_owned)}
            data-engine={state.engine.as_ref().map(|engine| engine::key(engine.kind))}
            data-threads={state.engine.as_ref().map(|engine| engine.threads.to_string())}
            data-first-step-ms={state.first_step_ms.map(|ms| format!("{ms:.1}"))}
            data-peers={state.others().to_string()}
            data-bytes-direct={state.bytes_direct.to_string()}
            data-bytes-relayed={state.bytes_relayed.to_string()}
            data-direct={state.direct().to_string()}
        >
            <p class="visually-hidden" role="status" aria-live="polite">{ state.announcement(now) }</p>
            // One of its own, so that a milestone is told once, and not again with each change of the other.
            <p class="visually-hidden" role="status" aria-live="polite">{ state.milestone().unwrap_or_default() }</p>
            if state.run == Run::Idle {
                { card::invitation(state, click) }
            } else {
                { status::bar(&sentence, &state.run, state.is_over()) }
                { status::notice(state) }
                { board(state, now, click) }
            }
        </main>
    }
}

fn board(state: &ViewState, now: f64, click: &Callback<Intent>) -> Html {
    html! {
        <>
            <h1 class="visually-hidden">{ state.campaign().map_or("Train a model together".to_owned(), |campaign| campaign.card.title.clone()) }</h1>
            <div class="board">
                { thanks::thanks(state, now) }
                { score::score(state) }
                { chart::results(state) }
                if state.campaign().is_some_and(|campaign| campaign.card.show.is_some()) {
                    <div class="card wide">{ trial::trial(state, click) }</div>
                }
                <div class="card wide">{ check::check(state) }</div>
                <div class="columns">
                    <div class="stack">
                        { contributions::contributions(state) }
                        { identity::identity(state) }
                        { card::reminder(state) }
                    </div>
                    <div class="stack">
                        { peers::peers(state) }
                        { mesh::mesh(state, click) }
                        { engine::engine(state, now, click) }
                        { peers::connection(state) }
                    </div>
                </div>
            </div>
        </>
    }
}

fn footer() -> Html {
    html! {
        <footer class="footer">
            <div class="frame">
                <p>{ "Lichen is free software under the MIT or Apache 2.0 licence. It sets no cookies and \
                    contacts no other site." }</p>
            </div>
        </footer>
    }
}

/// One named fact of a description list.
fn fact(name: &'static str, value: Html) -> Html {
    html! {
        <div><dt>{ name }</dt><dd class="number">{ value }</dd></div>
    }
}
