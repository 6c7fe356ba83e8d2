//! Turns for others and waiting.
//!
//! A turn is a message to oneself: browsers hold timers back by 4 ms after a few in a row, and by far more in hidden
//! tabs, but not messages.

use futures::channel::oneshot;
use js_sys::Promise;
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, MessageChannel, MessageEvent, MessagePort};

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// A queue for the thread's turns.
pub(crate) struct Turns {
    doorbell: MessagePort,
    waiting: Rc<RefCell<VecDeque<oneshot::Sender<()>>>>,
    _on_ring: Closure<dyn FnMut(MessageEvent)>,
}

impl Turns {
    /// Opens the queue.
    pub(crate) fn new() -> Result<Self, JsValue> {
        let channel = MessageChannel::new()?;
        let waiting: Rc<RefCell<VecDeque<oneshot::Sender<()>>>> = Rc::default();
        let queue = Rc::clone(&waiting);
        let on_ring = Closure::new(move |_ring: MessageEvent| {
            let next = queue.borrow_mut().pop_front();
            if let Some(waiter) = next {
                // Whoever waited may have given up.
                let _gone = waiter.send(());
            }
        });
        channel.port1().set_onmessage(Some(on_ring.as_ref().unchecked_ref()));
        Ok(Self { doorbell: channel.port2(), waiting, _on_ring: on_ring })
    }

    /// Lets every message and task that is waiting have its turn.
    pub(crate) async fn next(&self) {
        let (sender, turn) = oneshot::channel();
        self.waiting.borrow_mut().push_back(sender);
        if self.doorbell.post_message(&JsValue::NULL).is_ok() {
            let _turn = turn.await;
        }
    }
}

/// Waits at least this long.
pub(crate) async fn sleep(scope: &DedicatedWorkerGlobalScope, milliseconds: u32) {
    let timer = Promise::new(&mut |resolve, _reject| {
        let milliseconds = i32::try_from(milliseconds).unwrap_or(i32::MAX);
        // A timer that cannot be set must not hold anybody up for good.
        if scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, milliseconds).is_err() {
            let _called = resolve.call0(&JsValue::UNDEFINED);
        }
    });
    let _elapsed = JsFuture::from(timer).await;
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test]
    async fn a_hundred_turns_take_no_timer() {
        let turns = Turns::new().unwrap();
        for _ in 0..100 {
            turns.next().await;
        }
        assert!(turns.waiting.borrow().is_empty());
    }

    #[wasm_bindgen_test]
    async fn messages_come_before_the_turn() {
        let turns = Turns::new().unwrap();
        let channel = MessageChannel::new().unwrap();
        let heard = Rc::new(std::cell::Cell::new(false));
        let hears = Rc::clone(&heard);
        let on_message: Closure<dyn FnMut(MessageEvent)> = Closure::new(move |_message| hears.set(true));
        channel.port1().set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        channel.port2().post_message(&JsValue::NULL).unwrap();
        turns.next().await;
        assert!(heard.get());
    }

    #[wasm_bindgen_test]
    async fn sleep_waits_as_long_as_asked() {
        let scope: DedicatedWorkerGlobalScope = js_sys::global().unchecked_into();
        let began = js_sys::Date::now();
        sleep(&scope, 50).await;
        assert!(js_sys::Date::now() - began >= 49.0);
    }
}
