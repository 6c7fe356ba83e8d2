//! The worker that checks a campaign's whole record: a module of its own, loaded when somebody asks for that.
//!
//! It is told the campaign by its own name, posts how far it is and, last, what it found ([`lichen_bridge::Event::Checked`]), and
//! ends when the page ends it. What it needs it fetches from where the page came from, by plain requests; it connects to nobody,
//! makes no key and keeps nothing. [`lichen_audit`] does the checking.

#[cfg(target_arch = "wasm32")]
mod checking;
#[cfg(target_arch = "wasm32")]
mod failure;
#[cfg(target_arch = "wasm32")]
mod fetching;
#[cfg(target_arch = "wasm32")]
#[allow(dead_code, reason = "whoever takes part checks signatures of another kind as well")]
mod signatures;

#[cfg(target_arch = "wasm32")]
fn main() {
    checking::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {
    // A workspace is also built natively as a whole; there is nothing for this program to do there.
    eprintln!("lichen-checker runs in a browser: build it for wasm32-unknown-unknown");
    std::process::exit(2);
}
