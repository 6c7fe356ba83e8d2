//! Messages to and from the page.

use futures::channel::mpsc::{UnboundedSender, unbounded};
use lichen_bridge::{Command, Event, Phase, transfer};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::scope::Scope;
use crate::{failure, threads};

/// Listens to the page and runs the node, whose first event tells the page that this worker listens.
pub(crate) fn start() {
    let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
    failure::tell_panics();
    let (sender, commands) = unbounded();
    let on_message = listen(sender);
    scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
    // The worker listens for as long as it lives.
    on_message.forget();
    spawn_local(async move {
        match Scope::open(scope.clone()).await {
            Ok(platform) => lichen_node::run(platform, commands, move |event| tell(&scope, &event)).await,
            Err(problem) => {
                post(&scope, &Event::Ready { version: lichen_bridge::VERSION });
                post(&scope, &Event::Status(Phase::Failed(problem)));
            }
        }
    });
}

fn listen(commands: UnboundedSender<Command>) -> Closure<dyn FnMut(MessageEvent)> {
    Closure::new(move |event: MessageEvent| match transfer::receive::<Command>(&event) {
        // The node runs as long as the worker: somebody receives.
        Ok(command) => drop(commands.unbounded_send(command)),
        Err(error) => web_sys::console::error_1(&JsValue::from_str(&format!("refused a message: {error}"))),
    })
}

/// Posts an event, and after the first one what went wrong before there was anybody to hear of it.
fn tell(scope: &DedicatedWorkerGlobalScope, event: &Event) {
    post(scope, event);
    if matches!(event, Event::Ready { .. })
        && let Some(problem) = threads::failure()
    {
        post(scope, &Event::Remark(problem));
    }
}

fn post(scope: &DedicatedWorkerGlobalScope, event: &Event) {
    let posted = transfer::send(event, |message, list| scope.post_message_with_transfer(message, list));
    if let Err(error) = posted {
        web_sys::console::error_1(&JsValue::from_str(&format!("could not post a message: {error}")));
    }
}
