//! Whether the model is what its record says: a check on request, in words that come from whoever checks.

use super::status::button;
use crate::format;
use crate::intent::Intent;
use crate::state::{Check, ViewState};
use yew::prelude::*;

const WHAT: &str = "This tab can fetch the whole record, check every signature in it and compute every result again, without \
    believing the server. Nothing of yours is sent.";

/// The check, wherever it stands.
pub(super) fn check(state: &ViewState) -> Html {
    let (class, said) = match &state.check {
        Check::Unasked => ("", vec![WHAT]),
        Check::UnderWay(checking) => ("", vec![checking.what.as_str()]),
        Check::Over(checked) => (
            if checked.right { "notice notice-good" } else { "notice notice-bad" },
            std::iter::once(&checked.verdict).chain(&checked.details).map(String::as_str).collect(),
        ),
    };
    html! {
        <section class="stack" aria-labelledby="check">
            <h2 id="check">{ "Is it what it claims to be?" }</h2>
            // There from the beginning, so that what comes in later is read out.
            <div role="status" class={classes!("check", class)}>
                { for said.into_iter().map(|words| html! { <p>{ words }</p> }) }
            </div>
            if let Check::UnderWay(checking) = &state.check {
                <progress
                    aria-labelledby="check"
                    max={(checking.total > 0).then(|| checking.total.to_string())}
                    value={(checking.total > 0).then(|| checking.done.to_string())}
                />
                if checking.total > 0 {
                    <p class="soft small number">{ counted(checking.done, checking.total) }</p>
                }
                <div>{ button("Stop checking", "button", &Intent::StopCheck) }</div>
            } else {
                <div>{ button("Check this model", "button", &Intent::Check) }</div>
            }
        </section>
    }
}

fn counted(done: u32, total: u32) -> String {
    format!("{} of {}", format::count(done.into()), format::count(total.into()))
}
