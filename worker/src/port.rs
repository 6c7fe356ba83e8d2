//! Messages to and from the page.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use lichen_bridge::{Command, Event, Phase, transfer};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::scope::Scope;
use crate::turns::sleep;
use crate::{failure, threads};

/// How long what is only to be shown may wait for company, in milliseconds; the page draws less often.
const SHOWN_WITHIN_MS: u32 = 50;

/// Listens to the page and runs the node, whose first event tells the page that this worker listens.
pub(crate) fn start() {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    failure::tell_panics();
    let (sender, commands) = unbounded();
    let on_message = listen(sender);
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // The worker listens for as long as it lives.
    on_message.forget();
    let outgoing = Outgoing::new(scope.clone());
    spawn_local(async move {
        match Scope::open(scope).await {
            Ok(platform) => lichen_node::run(platform, commands, move |event| tell(&outgoing, event)).await,
            Err(problem) => {
                outgoing.push(Event::Ready { version: lichen_bridge::VERSION });
                outgoing.push(Event::Status(Phase::Failed(problem)));
            }
        }
    });
}

fn listen(commands: UnboundedSender<Command>) -> Closure<dyn FnMut(MessageEvent)> {
    Closure::new(move |event: MessageEvent| match transfer::receive::<Command>(&event) {
        Ok(received) => {
            for command in received {
                // The node runs as long as the worker: somebody receives.
                drop(commands.unbounded_send(command));
            }
        }
        Err(error) => web_sys::console::error_1(&JsValue::from_str(&format!("refused a message: {error}"))),
    })
}

/// Tells the page, and after the first event what went wrong before there was anybody to hear of it.
fn tell(outgoing: &Rc<Outgoing>, event: Event) {
    let is_first = matches!(event, Event::Ready { .. });
    outgoing.push(event);
    if is_first && let Some(problem) = threads::failure() {
        outgoing.push(Event::Remark(problem));
    }
}

/// Events on their way to the page, in order: those of one moment go together, and what is only to be shown waits for
/// them a while.
struct Outgoing {
    scope: DedicatedWorkerGlobalScope,
    waiting: RefCell<Vec<Event>>,
    /// Whether all that waits is posted as soon as what runs at the moment rests.
    is_due: Cell<bool>,
    /// Whether it is posted when its time has come.
    is_timed: Cell<bool>,
}

impl Outgoing {
    fn new(scope: DedicatedWorkerGlobalScope) -> Rc<Self> {
        Rc::new(Self {
            scope,
            waiting: RefCell::default(),
            is_due: Cell::default(),
            is_timed: Cell::default(),
        })
    }

    fn push(self: &Rc<Self>, event: Event) {
        let may_wait = is_only_shown(&event);
        self.waiting.borrow_mut().push(event);
        if !may_wait && !self.is_due.replace(true) {
            let outgoing = Rc::clone(self);
            spawn_local(async move { outgoing.post() });
        } else if may_wait && !self.is_due.get() && !self.is_timed.replace(true) {
            let outgoing = Rc::clone(self);
            spawn_local(async move {
                sleep(&outgoing.scope, SHOWN_WITHIN_MS).await;
                outgoing.is_timed.set(false);
                outgoing.post();
            });
        }
    }

    fn post(&self) {
        self.is_due.set(false);
        let events = self.waiting.take();
        if events.is_empty() {
            return;
        }
        let posted =
            transfer::send(&events, |message, list| self.scope.post_message_with_transfer(message, list));
        if let Err(error) = posted {
            web_sys::console::error_1(&JsValue::from_str(&format!("could not post a message: {error}")));
        }
    }
}

/// Whether nothing but a figure on the page depends on an event: of these some come many times a second.
const fn is_only_shown(event: &Event) -> bool {
    matches!(
        event,
        Event::Round { .. }
            | Event::Loss { .. }
            | Event::Evaluated { .. }
            | Event::Guesses(_)
            | Event::Contribution(_)
            | Event::Members { .. }
            | Event::Transfers { .. }
            | Event::Alive
            | Event::Status(
                Phase::CatchingUp { .. }
                    | Phase::WaitingForRound
                    | Phase::WaitingForTurn { .. }
                    | Phase::Training { .. }
                    | Phase::Sending
                    | Phase::WaitingForClose
                    | Phase::Aggregating
            )
    )
}
