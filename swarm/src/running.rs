//! What the page starts and ends.
#![expect(unreachable_pub, reason = "wasm-bindgen exports public items only")]

use std::cell::RefCell;
use std::panic::PanicHookInfo;
use std::rc::Rc;

use futures::StreamExt;
use futures::channel::mpsc::Receiver;
use futures::future::{AbortHandle, abortable};
use gloo_events::EventListener;
use js_sys::{Function, Uint8Array};
use lichen_bridge::{Message, Seen, Server, transfer};
use lichen_net::swarm::Handle;
use lichen_net::{Command, Event, IceServer};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{MessageEvent, MessagePort};

use crate::lifecycle;

/// Most events that go to the worker at once.
const AT_ONCE: usize = 64;

/// Version of the vocabulary in which worker, page and swarm talk.
#[wasm_bindgen]
#[must_use]
pub fn version() -> u32 {
    lichen_bridge::VERSION
}

/// A running swarm.
#[wasm_bindgen]
pub struct Swarm {
    port: MessagePort,
    running: AbortHandle,
    parts: RefCell<Option<Parts>>,
}

/// What ends with a swarm besides its driver.
struct Parts {
    _lifecycle: Vec<EventListener>,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

/// Starts a swarm that uses these servers (`Server`s), is commanded from the port's other end, and has `hear` called with
/// what is worth showing (`Seen`s); all of these as the bridge's messages.
///
/// # Errors
/// What the transports or the servers' description lack.
#[wasm_bindgen]
pub fn start(servers: &[u8], port: MessagePort, hear: Function) -> Result<Swarm, JsError> {
    let servers: Vec<IceServer> = Server::from_bytes(servers)?.into_iter().map(IceServer::from).collect();
    let hear = Rc::new(hear);
    tell_panics(&hear);
    let (handle, events) = crate::spawn(&servers)?;
    let lifecycle = lifecycle::watch(&handle);
    let on_message = listen(handle, Rc::clone(&hear));
    port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    let (run, running) = abortable(run(events, port.clone(), hear));
    // Aborted or at its end, there is nothing left to do.
    spawn_local(async move {
        let _end = run.await;
    });
    let parts = Parts { _lifecycle: lifecycle, _on_message: on_message };
    Ok(Swarm { port, running, parts: RefCell::new(Some(parts)) })
}

#[wasm_bindgen]
impl Swarm {
    /// Ends the swarm, which closes its connections. Nothing happens if it has ended.
    pub fn end(&self) {
        self.port.set_onmessage(None);
        self.port.close();
        // With the listeners the last handle goes, and with the reader of its events the driver ends.
        self.parts.take();
        self.running.abort();
    }
}

/// Hands the worker's commands to the swarm.
fn listen(handle: Handle, hear: Rc<Function>) -> Closure<dyn FnMut(MessageEvent)> {
    Closure::new(move |event: MessageEvent| {
        let commands = match transfer::receive::<Command>(&event) {
            Ok(commands) => commands,
            Err(error) => return tell(&hear, &[Seen::Broke(error.to_string())]),
        };
        for command in commands {
            if matches!(command, Command::Meet { .. }) {
                tell(&hear, &[Seen::Meets]);
            }
            if let Err(error) = handle.send(command) {
                tell(&hear, &[Seen::Broke(error.to_string())]);
            }
        }
    })
}

/// Carries the swarm's events to the worker, and what can be seen to the page.
async fn run(events: Receiver<Event>, port: MessagePort, hear: Rc<Function>) {
    let mut events = events.ready_chunks(AT_ONCE);
    while let Some(events) = events.next().await {
        let sent =
            transfer::send(&events, |message, list| port.post_message_with_transferable(message, list));
        let mut seen: Vec<Seen> = events.into_iter().filter(is_seen).map(Seen::Swarm).collect();
        seen.extend(sent.err().map(|error| Seen::Broke(error.to_string())));
        if !seen.is_empty() {
            tell(&hear, &seen);
        }
    }
    // It ends by itself only when it broke.
    tell(&hear, &[Seen::Broke("the swarm ended".to_owned())]);
}

/// Whether an event changes what is shown of the connections; frames do not.
const fn is_seen(event: &Event) -> bool {
    match event {
        Event::Connecting { .. }
        | Event::Connected { .. }
        | Event::Disconnected { .. }
        | Event::PeersChanged { .. }
        | Event::NoDirectPath { .. }
        | Event::Traffic { .. } => true,
        Event::Started { .. }
        | Event::Frame { .. }
        | Event::Ended { .. }
        | Event::Failed { .. }
        | Event::Asked { .. }
        | Event::Unasked { .. }
        | Event::Announced { .. }
        | Event::Found { .. } => false,
    }
}

/// Tells the page.
fn tell(hear: &Function, seen: &[Seen]) {
    if let Ok(bytes) = Seen::to_bytes(seen) {
        // Nothing is left to be done about a page that does not hear.
        let _heard = hear.call1(&JsValue::NULL, &Uint8Array::from(bytes.as_slice()));
    }
}

/// Tells the page about a panic, after which this module does nothing any more.
fn tell_panics(hear: &Rc<Function>) {
    thread_local! {
        static HEAR: RefCell<Option<Rc<Function>>> = const { RefCell::new(None) };
    }
    HEAR.set(Some(Rc::clone(hear)));
    std::panic::set_hook(Box::new(|panic: &PanicHookInfo<'_>| {
        console_error_panic_hook::hook(panic);
        if let Some(hear) = HEAR.take() {
            tell(&hear, &[Seen::Broke("a fault in the part that connects".to_owned())]);
        }
    }));
}
