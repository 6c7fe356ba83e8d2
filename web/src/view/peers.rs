//! Who takes part, and the connection that carries it.

use super::copy::Copy;
use super::fact;
use crate::format;
use crate::state::{Link, Run, ViewState};
use yew::prelude::*;

/// Members listed; the rest are counted.
const MAX_ROWS: usize = 24;

/// Everybody who takes part, as rounds expect it.
pub(super) fn peers(state: &ViewState) -> Html {
    let own = state.account.as_ref().map(|account| account.did.as_str());
    let listed = state.members.len().min(MAX_ROWS) as u64;
    let left_out = state.member_count.saturating_sub(listed);
    html! {
        <section class="card" aria-labelledby="peers">
            <div class="card-head">
                <h2 id="peers">{ "Peers" }</h2>
                <p class="soft small number">{ company(state) }</p>
            </div>
            if state.members.is_empty() {
                <p class="empty">{ unlisted(state) }</p>
            } else {
                <ul class="rows">
                    { for state.members.iter().take(MAX_ROWS).map(|member| html! {
                        <li key={member.clone()}>
                            <Copy text={member.clone()} what="Account" head={14} tail={6} />
                            if Some(member.as_str()) == own { <span class="tag">{ "you" }</span> }
                        </li>
                    }) }
                </ul>
                if left_out > 0 {
                    <p class="soft small">{ format!("and {} more", format::count(left_out)) }</p>
                }
            }
        </section>
    }
}

/// The connection and what has passed over it.
pub(super) fn connection(state: &ViewState) -> Html {
    html! {
        <section class="card" aria-labelledby="connection">
            <h2 id="connection">{ "Connection" }</h2>
            <dl class="facts facts-row">
                { fact("Relay", html! { link(&state.link) }) }
                if let Link::Open { round_trip: Some(ms), .. } = &state.link {
                    { fact("Round trip", html! { format::duration(f64::from(*ms)) }) }
                }
                { fact("Received since joining", html! { format::bytes(state.traffic.received) }) }
                { fact("Sent since joining", html! { format::bytes(state.traffic.sent) }) }
            </dl>
            if let Link::Open { address, .. } = &state.link {
                <p class="soft small address"><Copy text={address.clone()} what="Address" head={28} tail={6} /></p>
            }
        </section>
    }
}

/// What stands in the place of a list that is empty.
fn unlisted(state: &ViewState) -> &'static str {
    if matches!(state.run, Run::Left | Run::Failed(_)) {
        "This tab learns who takes part only while it takes part itself."
    } else {
        "Everybody who takes part appears here by their public key."
    }
}

fn company(state: &ViewState) -> String {
    match state.others() {
        _ if !state.are_members_known => String::new(),
        0 => "nobody else yet".to_owned(),
        others => format!("{} besides you", format::plural(others, "member", "members")),
    }
}

fn link(link: &Link) -> &'static str {
    match link {
        Link::Closed => "Closed",
        Link::Connecting => "Connecting",
        Link::Open { .. } => "Connected, encrypted",
        Link::Lost { .. } => "Lost",
    }
}
