//! What this device's visitor wants, kept in the browser from one visit to the next.

use web_sys::Storage;

/// Under which name this device keeps the wish to use the relay only.
const RELAY_ONLY: &str = "lichen-relay-only";

/// Under which name this device keeps how many threads are wanted.
const THREADS: &str = "lichen-threads";

/// Whether the visitor wants no connection to other tabs. Where the browser keeps nothing, the answer is no.
pub(crate) fn relay_only() -> bool {
    kept().and_then(|storage| storage.get_item(RELAY_ONLY).ok().flatten()).is_some()
}

/// Keeps that wish on this device.
pub(crate) fn keep_relay_only(on: bool) {
    let Some(storage) = kept() else { return };
    // A browser that refuses to keep it asks again next time, which is all there is to do about it.
    let _refused = if on { storage.set_item(RELAY_ONLY, "yes") } else { storage.remove_item(RELAY_ONLY) };
}

/// As many threads as were wanted last time, else 1.
pub(crate) fn threads() -> u32 {
    let known = kept().and_then(|storage| storage.get_item(THREADS).ok().flatten());
    known.and_then(|number| number.parse().ok()).unwrap_or(1)
}

/// Keeps on this device how many threads are wanted.
pub(crate) fn keep_threads(wanted: u32) {
    let Some(storage) = kept() else { return };
    // A browser that refuses to keep it trains on one thread next time.
    let _refused = storage.set_item(THREADS, &wanted.to_string());
}

fn kept() -> Option<Storage> {
    web_sys::window()?.local_storage().ok().flatten()
}
