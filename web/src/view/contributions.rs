//! What this browser has given, and the relay's receipts for it.

use super::copy::Copy;
use super::icon;
use super::owned::texts;
use crate::format;
use crate::state::ViewState;
use lichen_bridge::{Audited, Contribution, ContributionState};
use std::rc::Rc;
use yew::prelude::*;

/// The contributions, latest first.
pub(super) fn contributions(state: &ViewState) -> Html {
    html! {
        <section class="card" aria-labelledby="contributions">
            <div class="card-head">
                <h2 id="contributions">{ "My contributions" }</h2>
                <p class="soft small number">{ format!("{} in the record", format::count(state.recorded)) }</p>
            </div>
            { audited(state) }
            if state.contributions.is_empty() {
                <p class="empty">
                    { "Each round that this tab trains in appears here, with the relay’s signed receipt for it." }
                </p>
            } else {
                <Table listed={state.listed.clone()} />
                { left_out(state) }
            }
        </section>
    }
}

/// How the contributions were checked, and what that means for their weight.
fn audited(state: &ViewState) -> Html {
    let Some(audited) = state.audited else { return Html::default() };
    let class = if audited.expelled { "mark-bad" } else { "soft small" };
    html! { <p class={class} data-audited={audited.confirmed.to_string()}>{ audited_in_words(audited) }</p> }
}

fn audited_in_words(Audited { confirmed, earn, expelled }: Audited) -> String {
    if expelled {
        return "Other devices repeated one of this browser’s turns and got something else. Its contributions are not accepted \
                in this campaign any more. A processor that miscalculates can be the cause."
            .to_owned();
    }
    let turns = |count: u32| format::plural(u64::from(count), "turn", "turns");
    let missing = earn.saturating_sub(confirmed);
    let checked = match confirmed {
        0 => "Now and then another device repeats one of your turns, to check it.".to_owned(),
        _ => format!("Other devices repeated {} of yours and got the same.", turns(confirmed)),
    };
    match missing {
        0 => format!("{checked} What you contribute counts in full."),
        1 => format!("{checked} What you contribute counts in part until that went well once more."),
        _ => format!(
            "{checked} What you contribute counts in part until that went well {missing}\u{a0}more times."
        ),
    }
}

/// What the table lists; it is drawn again only when that has changed.
#[derive(Properties)]
struct TableProps {
    listed: Rc<Vec<Contribution>>,
}

impl PartialEq for TableProps {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.listed, &other.listed)
    }
}

#[component(Table)]
fn table(props: &TableProps) -> Html {
    texts(html! {
        <div class="scroll" tabindex="0" role="group" aria-label="Contributions, latest first">
            <table>
                <caption class="visually-hidden">{ "Contributions of this browser, latest first" }</caption>
                <thead>
                    <tr>
                        <th scope="col">{ "Round" }</th>
                        <th scope="col">{ "Receipt" }</th>
                        <th scope="col">{ "Update" }</th>
                        <th scope="col" class="figure">{ "Samples" }</th>
                    </tr>
                </thead>
                <tbody>{ for props.listed.iter().map(row) }</tbody>
            </table>
        </div>
    })
}

fn left_out(state: &ViewState) -> Html {
    let left_out = state.contributions.len().saturating_sub(state.listed.len());
    if left_out == 0 {
        return Html::default();
    }
    html! { <p class="soft small">{ format!("{} earlier ones are not listed.", format::count(left_out as u64)) }</p> }
}

fn row(contribution: &Contribution) -> Html {
    html! {
        <tr key={contribution.round}>
            <th scope="row">{ contribution.round }</th>
            <td>{ receipt(&contribution.state) }</td>
            <td><Copy text={contribution.update.to_string()} what="Update" head={4} tail={5} /></td>
            <td class="figure">{ format::count(u64::from(contribution.samples)) }</td>
        </tr>
    }
}

fn receipt(state: &ContributionState) -> Html {
    match state {
        ContributionState::Sent => html! { <span class="mark-wait">{ "on its way" }</span> },
        ContributionState::Recorded { index } => html! {
            <span class="mark-good" title="The relay signed a receipt for this place in the record, and it agrees with this tab’s own copy.">
                { icon::tick() }<span class="visually-hidden">{ "checked, " }</span>{ format!("entry {}", format::count(*index)) }
            </span>
        },
        ContributionState::Disputed { reason } => bad("disputed", reason),
        ContributionState::Refused { reason } => bad("refused", reason),
    }
}

fn bad(word: &'static str, reason: &str) -> Html {
    html! {
        <>
            <span class="mark-bad">{ icon::cross() }{ word }</span>
            <span class="small block">{ reason }</span>
        </>
    }
}
