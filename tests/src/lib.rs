//! End-to-end tests over real relays and real browsers, and what they share with the demo.

pub mod attacker;
