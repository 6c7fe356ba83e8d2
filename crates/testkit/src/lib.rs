//! Real browsers and relays for tests and the demo, driven from outside.
