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
use tokio::runtime::{Builder, Runtime};

use crate::attacker::{Attacker, Done};
use crate::honest::Honest;
use crate::target::Target;

/// How far the attacker's threads stand back behind others (of 19).
const NICENESS: i32 = 15;

/// What an attacker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Attack {
    /// Entries by ever new accounts of one address.
    NewAccounts,
    /// A hundred accounts that join and leave, and contribute nothing.
    Rejoining,
    /// Blobs that no entry names.
    UnpinnedBlobs,
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
    /// As much as a stream may send ahead, on each stream of many connections, of blobs that never end.
    FullWindows,
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
    let attacker = Attacker::new(target, Instant::now() + time, attack as u64 + 1);
    let done = attacker.done();
    let machine = machine()?;
    let work = machine.spawn(async move { begin(attack, attacker.elsewhere().await?).await });
    honest.go_on(time).await;
    // What still waits for an answer has had its time.
    work.abort();
    let ended = work.await;
    machine.shutdown_background();
    match ended {
        Ok(Err(error)) => Err(error),
        _ => Ok(done),
    }
}

/// What the attacker computes with: in the world a machine of its own, here what relay and honest tabs leave of this one.
fn machine() -> Result<Runtime> {
    let give_way = || {
        if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
            eprintln!("hostile: the attacker takes time from the others: {error}");
        }
    };
    Ok(Builder::new_multi_thread().enable_all().worker_threads(2).on_thread_start(give_way).build()?)
}

async fn begin(attack: Attack, attacker: Attacker) -> Result<()> {
    match attack {
        Attack::NewAccounts => accounts::flood(attacker).await,
        Attack::Rejoining => accounts::rejoin(attacker).await,
        Attack::UnpinnedBlobs => accounts::store(attacker).await,
        Attack::UnreadHttp => reading::http(attacker).await,
        Attack::UnreadBlobs => reading::blobs(attacker).await,
        Attack::UnreadFollowers => reading::followers(attacker).await,
        Attack::SilentSockets => sockets::silent(attacker).await,
        Attack::LongMessages => sockets::long_messages(attacker).await,
        Attack::SlowFrames => frames::slow(attacker).await,
        Attack::FullWindows => frames::windows(attacker).await,
        Attack::Poison => poison::poison(attacker).await,
        Attack::Idlers => poison::idle(attacker).await,
    }
}
