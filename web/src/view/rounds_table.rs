//! The curves' values as a table.

use super::owned::texts;
use crate::format;
use crate::state::Evaluation;
use lichen_bridge::Reported;
use std::rc::Rc;
use yew::prelude::*;

/// Rows in the table; earlier rounds are not listed.
const MAX_ROWS: usize = 120;

/// What the table lists.
#[derive(PartialEq, Properties)]
pub(super) struct TableProps {
    /// What was measured here.
    pub(super) history: Rc<Vec<Evaluation>>,
    /// What was reported, and how many of those rounds come before what was measured.
    pub(super) reported: Rc<Vec<Reported>>,
    pub(super) before: usize,
}

/// The same values as a table; its rows are made only while it is unfolded.
#[component(Table)]
pub(super) fn table(props: &TableProps) -> Html {
    let TableProps { history, reported, before } = props;
    let open = use_state(|| false);
    let ontoggle = {
        let open = open.clone();
        Callback::from(move |event: Event| open.set(is_open(&event)))
    };
    let is_reported = *before > 0;
    let left_out = (history.len() + before).saturating_sub(MAX_ROWS);
    let measured = history.iter().rev().map(|one| row(one.round, one.accuracy, one.loss, false));
    let before = reported.iter().take(*before).rev().map(|one| row(one.round, one.accuracy, one.loss, true));
    texts(html! {
        <details {ontoggle}>
            <summary>{ "Show as a table" }</summary>
            if *open {
                <div class="scroll" tabindex="0" role="group" aria-label="Accuracy and loss by round">
                    <table>
                        <caption>
                            { "Accuracy and loss on held-out data, latest round first" }
                            if is_reported { { ", and before you joined as contributors reported it" } }
                            if left_out > 0 { { format!("; {} earlier rounds are not listed", format::count(left_out as u64)) } }
                        </caption>
                        <thead>
                            <tr><th scope="col">{ "Round" }</th><th scope="col" class="figure">{ "Accuracy" }</th><th scope="col" class="figure">{ "Loss" }</th></tr>
                        </thead>
                        <tbody>{ for measured.chain(before).take(MAX_ROWS) }</tbody>
                    </table>
                </div>
            }
        </details>
    })
}

/// Numbers that nobody has checked say so, in each row: a table is not read from its top.
fn row(round: u64, accuracy: f64, loss: f64, is_reported: bool) -> Html {
    html! {
        <tr key={round}>
            <th scope="row">
                { round }
                if is_reported { <span class="soft small">{ " as reported" }</span> }
            </th>
            <td class="figure">{ format::percent(accuracy) }</td>
            <td class="figure">{ format!("{loss:.4}") }</td>
        </tr>
    }
}

fn is_open(event: &Event) -> bool {
    event.target_dyn_into::<web_sys::HtmlDetailsElement>().is_some_and(|details| details.open())
}
