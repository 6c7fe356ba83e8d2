//! What becomes of errors that nobody expected: the page is told, in words for the person.

use lichen_bridge::{Event, Phase, Problem, transfer};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::DedicatedWorkerGlobalScope;

/// The message of a thrown value.
pub(crate) fn describe(thrown: &JsValue) -> String {
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => String::from(error.message()),
        None => thrown.as_string().unwrap_or_else(|| "unknown error".into()),
    }
}

/// Tells the page about a panic, which ends this worker.
pub(crate) fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        let place = panic.location().map_or_else(String::new, |location| format!(" ({location})"));
        web_sys::console::error_1(&JsValue::from_str(&panic.to_string()));
        let failed = Event::Status(Phase::Failed(Problem {
            message: format!("The worker stopped because of a fault in this program{place}."),
            remedy: "Reload the page; your recorded contributions are safe. Please report this if it happens again."
                .into(),
        }));
        // Nothing is left to be done about a message that does not arrive.
        let _posted =
            transfer::send(&[failed], |message, list| scope.post_message_with_transfer(message, list));
    }));
}
