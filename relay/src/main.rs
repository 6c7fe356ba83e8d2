//! The relay: bootstrap, ordered log, blob store, and the page.

fn main() {}
