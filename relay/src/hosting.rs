//! The relay's campaigns: what belongs to each of them, and the table that requests find them in.
//!
//! ```text
//! --campaign, --campaigns ─► host (opens, keeps) ─► campaigns (the table) ─► hosted (one campaign)
//! ```
//!
//! Each has its own log, which one task writes, and with it everything that is counted or waited for in it. The disk, its
//! blobs, the account that has the coordinator's role, and the connections are shared.

mod campaigns;
mod checked;
mod host;
mod hosted;
mod name;
mod opening;
mod pages;
mod room;
mod words;

pub(crate) use campaigns::Campaigns;
pub(crate) use host::{Host, Sources};
pub(crate) use hosted::{Checks, Hosted, Limits};
pub(crate) use opening::Common;
pub(crate) use pages::Page;
pub(crate) use words::{Operator, Words};
