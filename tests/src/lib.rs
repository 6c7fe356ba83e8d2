//! End-to-end tests over real relays and real browsers.
