//! Real browsers and real relays for tests and the demo, driven from outside.
//!
//! Everything here is blocking code over the standard library: a Chromium on a pipe ([`Browser`]), a relay
//! process on a free port ([`RelayProcess`]), and [`wait::until`], which waits for a condition with a deadline
//! and names what it was waiting for when the deadline passes. Children never outlive the program that started
//! them, also when it is killed.
#![deny(missing_docs)]

pub mod browser;
pub mod campaign;
mod cdp;
mod error;
pub mod firefox;
pub mod http;
pub mod metrics;
mod page;
mod prefix;
pub mod process;
pub mod relay;
mod slow_link;
mod slowness;
pub mod tab;
pub mod usage;
pub mod wait;
pub mod weather;

pub use browser::{Browser, BrowserOptions, Context};
pub use error::Error;
pub use firefox::{Firefox, FirefoxPage};
pub use page::{ConsoleLine, Page, Request};
pub use prefix::Prefix;
pub use relay::{RelayOptions, RelayProcess};
pub use slow_link::SlowLink;
pub use slowness::Slowness;
pub use tab::TabState;
pub use usage::Usage;
pub use weather::Weather;
