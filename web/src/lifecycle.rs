//! What the browser tells of the page's coming and going, for the swarm.
//!
//! A page that goes says so at once, so that nobody waits for it; one that comes back, from the browser's memory or from its
//! device's sleep, connects at once.

use futures::channel::mpsc::UnboundedSender;
use lichen_net::Command;
use wasm_bindgen::prelude::*;
use web_sys::EventTarget;

/// What the window says when the page goes, and when it is back.
const WINDOW: [(&str, Command); 3] =
    [("pagehide", Command::Suspend), ("pageshow", Command::Wake), ("online", Command::Wake)];

/// What the document says when it is seen or runs again.
const DOCUMENT: [(&str, Command); 2] = [("visibilitychange", Command::Wake), ("resume", Command::Wake)];

/// Listens for as long as it lives.
pub(crate) struct Lifecycle {
    _listeners: Vec<Listener>,
}

/// What is done when something happens to a part of the browser, for as long as this lives.
pub(crate) struct Listener {
    target: EventTarget,
    name: &'static str,
    closure: Closure<dyn FnMut()>,
}

impl Lifecycle {
    /// Passes on what happens to the page from now on.
    pub(crate) fn watch(swarm: &UnboundedSender<Command>) -> Self {
        let Some(window) = web_sys::window() else { return Self { _listeners: Vec::new() } };
        let mut listeners: Vec<Listener> =
            WINDOW.into_iter().filter_map(|(name, command)| listen(&window, name, command, swarm)).collect();
        if let Some(document) = window.document() {
            let more =
                DOCUMENT.into_iter().filter_map(|(name, command)| listen(&document, name, command, swarm));
            listeners.extend(more);
        }
        Self { _listeners: listeners }
    }
}

impl Listener {
    /// Listens; none where the browser does not let it.
    pub(crate) fn new(
        target: &EventTarget,
        name: &'static str,
        then: impl FnMut() + 'static,
    ) -> Option<Self> {
        let closure: Closure<dyn FnMut()> = Closure::new(then);
        target.add_event_listener_with_callback(name, closure.as_ref().unchecked_ref()).ok()?;
        Some(Self { target: target.clone(), name, closure })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // Removing fails only where there is no such target any more.
        let closure = self.closure.as_ref().unchecked_ref();
        let _gone = self.target.remove_event_listener_with_callback(self.name, closure);
    }
}

fn listen(
    target: &EventTarget,
    name: &'static str,
    command: Command,
    swarm: &UnboundedSender<Command>,
) -> Option<Listener> {
    let swarm = swarm.clone();
    Listener::new(target, name, move || {
        // A swarm that has ended has nothing to close.
        let _ended = swarm.unbounded_send(command.clone());
    })
}
