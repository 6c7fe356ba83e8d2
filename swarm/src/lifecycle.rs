//! What the browser tells of the page's coming and going.
//!
//! A page that goes says so at once, so that nobody waits for it; one that comes back, from the browser's memory or from its
//! device's sleep, connects at once.

use gloo_events::EventListener;
use lichen_net::Command;
use lichen_net::swarm::Handle;
use web_sys::EventTarget;

/// What the window says when the page goes, and when it is back.
const WINDOW: [(&str, Command); 3] =
    [("pagehide", Command::Suspend), ("pageshow", Command::Wake), ("online", Command::Wake)];

/// What the document says when it is seen or runs again.
const DOCUMENT: [(&str, Command); 2] = [("visibilitychange", Command::Wake), ("resume", Command::Wake)];

/// Passes on what happens to the page, for as long as the listeners live.
pub(crate) fn watch(swarm: &Handle) -> Vec<EventListener> {
    let Some(window) = web_sys::window() else { return Vec::new() };
    let document = window.document();
    let of_document = document.iter().flat_map(|document| {
        DOCUMENT.into_iter().map(move |(name, command)| listen(document, name, command, swarm))
    });
    let of_window = WINDOW.into_iter().map(|(name, command)| listen(&window, name, command, swarm));
    of_window.chain(of_document).collect()
}

fn listen(target: &EventTarget, name: &'static str, command: Command, swarm: &Handle) -> EventListener {
    let swarm = swarm.clone();
    EventListener::new(target, name, move |_event| {
        // A swarm that has ended has nothing to close.
        let _ended = swarm.send(command.clone());
    })
}
