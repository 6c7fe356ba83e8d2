//! The tabs that this one is connected to, and the wish to be connected to none.

use super::copy::Copy;
use crate::format;
use crate::intent::Intent;
use crate::state::ViewState;
use lichen_net::{Path, Peer};
use yew::prelude::*;

/// Direct connections, where the campaign has any.
pub(super) fn mesh(state: &ViewState, click: &Callback<Intent>) -> Html {
    if !state.meets && !state.campaign().is_some_and(|campaign| campaign.card.mesh) {
        return Html::default();
    }
    html! {
        <section class="card stack" aria-labelledby="mesh">
            <div class="card-head">
                <h2 id="mesh">{ "Direct connections" }</h2>
                <p class="soft small number">{ company(state) }</p>
            </div>
            if state.is_walled_in() {
                <p class="notice" id="walled-in">
                    { "Your network does not let other tabs connect to this one directly, so what they exchange with you goes through the relay." }
                </p>
            }
            if !state.peers.is_empty() {
                { table(&state.peers) }
            }
            { switch(state, click) }
        </section>
    }
}

/// The switch for people who do not want other tabs to see their address.
pub(super) fn switch(state: &ViewState, click: &Callback<Intent>) -> Html {
    let wanted = !state.relay_only;
    let onchange = click.reform(move |_: Event| Intent::RelayOnly(wanted));
    html! {
        <div class="switch">
            <label>
                <input type="checkbox" role="switch" checked={state.relay_only} aria-describedby="relay-only" {onchange} />
                { "Use the relay only" }
            </label>
            <p class="soft small" id="relay-only">
                { "Tabs that connect to each other directly see each other’s network address; through the relay they do not, but it takes longer." }
            </p>
        </div>
    }
}

fn table(peers: &[Peer]) -> Html {
    html! {
        <div class="scroll" tabindex="0" role="region" aria-labelledby="mesh">
            <table>
                <caption class="visually-hidden">{ "Tabs connected to this one" }</caption>
                <thead>
                    <tr>
                        <th scope="col">{ "Peer" }</th>
                        <th scope="col">{ "Path" }</th>
                        <th scope="col" class="figure">{ "Round trip" }</th>
                        <th scope="col" class="figure">{ "Bytes" }</th>
                    </tr>
                </thead>
                <tbody>{ for peers.iter().map(row) }</tbody>
            </table>
        </div>
    }
}

fn row(peer: &Peer) -> Html {
    let name = peer.address.rsplit('/').next().unwrap_or_default().to_owned();
    let round_trip = peer.round_trip.map_or("–".to_owned(), |ms| format::duration(f64::from(ms)));
    html! {
        <tr key={name.clone()}>
            // Peers' ids begin alike.
            <td><Copy text={name} what="Peer" head={0} tail={8} /></td>
            <td>{ path(peer) }</td>
            <td class="figure">{ round_trip }</td>
            <td class="figure traffic">
                <span>{ format!("{} in", format::bytes(peer.received)) }</span>
                { " " }
                <span>{ format!("{} out", format::bytes(peer.sent)) }</span>
            </td>
        </tr>
    }
}

fn path(peer: &Peer) -> &'static str {
    match (peer.path, peer.dialled) {
        (Path::Direct, true) => "direct, from here",
        (Path::Direct, false) => "direct, from there",
        (Path::Relayed, _) => "relayed, to connect",
        (Path::Hub, _) => "relay",
    }
}

fn company(state: &ViewState) -> String {
    match state.direct() {
        _ if state.relay_only => "relay only".to_owned(),
        0 => "none at the moment".to_owned(),
        direct => format::plural(direct as u64, "tab", "tabs"),
    }
}
