//! The page: a Yew app that explains, asks, shows, and carries bytes.
//!
//! One [`state::ViewState`] holds what the page shows. Clicks, and what `session` reports, change it in [`state`], which
//! answers with effects; `app` carries those out; [`view`] shows the state. `session` runs the worker and the swarm,
//! which talk to each other without the page. Only `app` and `session` need a browser, so
//! everything else is tested natively.
//!
//! What is deliberately absent: the page decodes nothing from the network, computes nothing on tensors, and depends
//! on neither the engine nor the node. Nothing is started before the visitor's click, and a reload never starts
//! anything by itself.
#![cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, unused_imports, reason = "the half that needs a browser is not built")
)]

#[cfg(target_arch = "wasm32")]
mod app;
#[cfg(test)]
mod contrast;
#[cfg(target_arch = "wasm32")]
mod crash;
mod drawing;
mod format;
mod intent;
mod now;
#[cfg(target_arch = "wasm32")]
mod origin;
#[cfg(target_arch = "wasm32")]
mod session;
mod site;
mod state;
#[cfg(target_arch = "wasm32")]
mod swarm_module;
#[cfg(target_arch = "wasm32")]
mod threads;
mod view;
mod way;
#[cfg(target_arch = "wasm32")]
mod wishes;

#[cfg(target_arch = "wasm32")]
fn main() {
    yew::set_custom_panic_hook(Box::new(crash::hook));
    // Instantiating the module took its part of this task's time; drawing gets a task of its own.
    gloo_timers::callback::Timeout::new(0, app::mount).forget();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {}
