//! Messages to and from the page, and to and from the swarm over the port that the page hands over.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures::channel::mpsc::{UnboundedSender, unbounded};
use lichen_bridge::{BridgeError, Command, Event, Message, Phase, transfer};
use lichen_net::Command as NetCommand;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, MessagePort};

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
    let outgoing = Outgoing::new(scope.clone());
    let on_message = listen(sender, Rc::clone(&outgoing));
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // The worker listens for as long as it lives.
    on_message.forget();
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

/// Listens to the page: commands go to the node, and a port is the way to the swarm from now on.
fn listen(commands: UnboundedSender<Command>, outgoing: Rc<Outgoing>) -> Closure<dyn FnMut(MessageEvent)> {
    Closure::new(move |event: MessageEvent| match event.data().dyn_into::<MessagePort>() {
        Ok(port) => outgoing.use_swarm(Swarm::listen(port, commands.clone())),
        Err(_no_port) => pass_on(transfer::receive(&event), &commands, |command| command),
    })
}

/// Gives the node what came in a post.
fn pass_on<M>(
    received: Result<Vec<M>, BridgeError>,
    commands: &UnboundedSender<Command>,
    into: impl Fn(M) -> Command,
) {
    match received {
        Ok(received) => {
            for message in received {
                // The node runs as long as the worker: somebody receives.
                drop(commands.unbounded_send(into(message)));
            }
        }
        Err(error) => web_sys::console::error_1(&JsValue::from_str(&format!("refused a message: {error}"))),
    }
}

/// The way to the swarm, which listens until another takes its place.
struct Swarm {
    port: MessagePort,
    _on_message: Closure<dyn FnMut(MessageEvent)>,
}

impl Swarm {
    fn listen(port: MessagePort, commands: UnboundedSender<Command>) -> Self {
        let on_message = Closure::new(move |event: MessageEvent| {
            pass_on(transfer::receive(&event), &commands, Command::Net);
        });
        port.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        Self { port, _on_message: on_message }
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.port.set_onmessage(None);
        self.port.close();
    }
}

/// Tells the page, and after the first event what went wrong before there was anybody to hear of it.
fn tell(outgoing: &Rc<Outgoing>, event: Event) {
    let is_first = matches!(event, Event::Ready { .. });
    outgoing.push(event);
    if is_first && let Some(problem) = threads::failure() {
        outgoing.push(Event::Remark(problem));
    }
}

/// Events on their way to the page, and orders to the swarm, each in order: those of one moment go together, and what is only
/// to be shown waits for them a while.
struct Outgoing {
    scope: DedicatedWorkerGlobalScope,
    waiting: RefCell<Vec<Event>>,
    swarm: RefCell<Option<Swarm>>,
    orders: RefCell<Vec<NetCommand>>,
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
            swarm: RefCell::default(),
            orders: RefCell::default(),
            is_due: Cell::default(),
            is_timed: Cell::default(),
        })
    }

    /// Posts orders here from now on.
    fn use_swarm(&self, swarm: Swarm) {
        *self.swarm.borrow_mut() = Some(swarm);
    }

    fn push(self: &Rc<Self>, event: Event) {
        let may_wait = is_only_shown(&event);
        match event {
            Event::Net(order) => self.orders.borrow_mut().push(order),
            event => self.waiting.borrow_mut().push(event),
        }
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
        if let Some(swarm) = &*self.swarm.borrow() {
            send(&self.orders.take(), |message, list| {
                swarm.port.post_message_with_transferable(message, list)
            });
        }
        send(&self.waiting.take(), |message, list| self.scope.post_message_with_transfer(message, list));
    }
}

fn send<M: Message>(messages: &[M], post: impl Fn(&JsValue, &JsValue) -> Result<(), JsValue>) {
    if messages.is_empty() {
        return;
    }
    if let Err(error) = transfer::send(messages, post) {
        web_sys::console::error_1(&JsValue::from_str(&format!("could not post a message: {error}")));
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
