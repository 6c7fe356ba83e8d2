//! The attacks, each named for what it floods or holds.

mod accounts;
mod frames;
mod poison;
mod reading;
mod sockets;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::ValueEnum;

use crate::attacker::{Attacker, Done};
use crate::honest::Honest;
use crate::target::Target;

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Entries by ever new accounts of one address.
    NewAccounts,
    /// A hundred accounts that join and leave, and contribute nothing.
    Rejoining,
    /// Blobs that no entry names.
    LooseBlobs,
    /// Answers over HTTP that nobody reads.
    UnreadHttp,
    /// Blobs over libp2p that nobody reads.
    UnreadBlobs,
    /// Streams that follow the log and are not read.
    UnreadFollowers,
    /// Sockets that say nothing, half of a request, or nothing after the upgrade.
    SilentSockets,
    /// Messages as long as a WebSocket takes, before the peer says who it is.
    LongMessages,
    /// Large frames announced, and a byte sent now and then.
    SlowFrames,
    /// Updates that would spoil the model.
    Poison,
    /// Updates that change nothing, by many accounts.
    Idlers,
}

impl fmt::Display for Attack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}

/// Attacks for this long while the honest tabs go on; says what was done.
pub(crate) async fn run(
    attack: Attack,
    target: &Target,
    time: Duration,
    honest: &mut Honest,
) -> Result<Arc<Done>> {
    let attacker = Attacker::new(target, Instant::now() + time, attack as u64 + 1).await?;
    let done = attacker.done();
    let work = tokio::spawn(begin(attack, attacker));
    honest.go_on(time).await;
    // What still waits for an answer has had its time.
    work.abort();
    match work.await {
        Ok(Err(error)) => Err(error),
        _ => Ok(done),
    }
}

async fn begin(attack: Attack, attacker: Attacker) -> Result<()> {
    match attack {
        Attack::NewAccounts => accounts::flood(attacker).await,
        Attack::Rejoining => accounts::rejoin(attacker).await,
        Attack::LooseBlobs => accounts::store(attacker).await,
        Attack::UnreadHttp => reading::http(attacker).await,
        Attack::UnreadBlobs => reading::blobs(attacker).await,
        Attack::UnreadFollowers => reading::followers(attacker).await,
        Attack::SilentSockets => sockets::silent(attacker).await,
        Attack::LongMessages => sockets::long_messages(attacker).await,
        Attack::SlowFrames => frames::slow(attacker).await,
        Attack::Poison => poison::poison(attacker).await,
        Attack::Idlers => poison::idle(attacker).await,
    }
}
