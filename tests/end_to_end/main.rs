//! The whole line, as people meet it: a real relay process, real browser windows, the real command line.
//!
//! Run by `cargo xtask test`, which builds the page and the programs first and says where they are in
//! `LICHEN_RELAY_BIN`, `LICHEN_CLI_BIN` and `LICHEN_DIST`, and where axe-core is in `LICHEN_AXE`.
#![cfg(test)]

mod accessibility;
mod addresses;
mod before_the_click;
mod below_a_path;
mod checking;
mod coming_and_going;
mod digits;
mod ending;
mod engines;
mod firefox;
mod foreign_hands;
mod full_store;
mod hidden;
mod identity;
mod late_joiner;
mod layout;
mod liar;
mod loading;
#[path = "../benches/joining/made.rs"]
mod made;
mod mesh;
mod missing_parts;
mod one_profile;
mod organiser;
mod pausing;
mod relay_restart;
mod replay;
mod several;
mod site;
mod size;
mod slow;
mod stalls;
mod tampering;
mod training;
mod weather;
mod witnesses;
