//! A witness: it follows logs, checks that each only grows, and says so below their checkpoints.
//!
//! What it has signed is on disk before anybody else has it, and it never goes back behind that. A log that shows another
//! history than before is signed no more, and both checkpoints are kept as evidence.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail};
use clap::Args;
use lichen_audit::SourceError;
use lichen_log::tree::{TileNodes, TilePath, TileSource};
use lichen_log::{
    Equivocation, LogCheckpointError, LogKey, SignedCheckpoint, VerifierKey, VerifierKeyError, WitnessError,
    check_ed25519, check_newer,
};
use lichen_record::{CampaignId, VerifyError, verify};

use crate::relay::{Relay, parse_url};
use crate::tree_source::TreeSource;

mod state;
#[cfg(test)]
mod tests;

use state::State;

/// What `lichen witness` is told.
#[derive(Args)]
pub(crate) struct WitnessArguments {
    /// Address of a relay to follow, such as https://relay.example.org. Repeatable: several that serve one log are held
    /// against each other.
    #[arg(long = "relay", value_parser = parse_url, required = true)]
    relays: Vec<String>,
    /// The campaign's id, or its name at the relays; needed only where they have several.
    #[arg(long, value_name = "ID|NAME")]
    campaign: Option<String>,
    /// The log's key, as `lichen.json` has it (`log_key.vkey`); no other log is signed then. Repeatable. By default each
    /// relay's log is taken as it is first seen.
    #[arg(long = "log")]
    logs: Vec<VerifierKey>,
    /// Folder for the witness's key and what it has signed; created if missing. One witness at a time uses it.
    #[arg(long)]
    state: PathBuf,
    /// Name of this witness in its signatures: an address without scheme that is yours, such as witness.example.org/w1.
    #[arg(long)]
    name: String,
    /// Seconds from one look at the relays to the next.
    #[arg(long, default_value_t = 1)]
    seconds: u64,
    /// Look once, and exit.
    #[arg(long)]
    once: bool,
}

/// What a look at a log came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A checkpoint of so many records was signed and handed in.
    Signed(u64),
    /// The newest one bears this witness's signature.
    Known(u64),
    /// The relay is behind what this witness has signed.
    Behind { known: u64, found: u64 },
    /// It was signed, and the relay did not take the signature.
    NotTaken(u64, SourceError),
}

/// Why a log is not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WitnessFault {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the certificate of the log's key: {0}")]
    Certificate(#[from] VerifyError),
    #[error("the log's key: {0}")]
    Key(#[from] VerifierKeyError),
    #[error("the checkpoint: {0}")]
    Checkpoint(#[from] LogCheckpointError),
    #[error("the log {0} is none of those that this witness signs (--log)")]
    Stranger(String),
    #[error("the log {0} has another key than before: {1}")]
    OtherKey(String, String),
    #[error("{0}")]
    Tree(String),
    #[error("{0}")]
    Equivocation(Box<Equivocation>),
    #[error("the witness's folder: {0}")]
    State(#[from] std::io::Error),
}

/// Follows relays until it is told to end, or one of them lies.
pub(crate) fn witness(arguments: &WitnessArguments) -> anyhow::Result<()> {
    let mut witness = Witness::open(arguments)?;
    println!("{}", witness.state.verifier());
    let watched = |url: &String| Watched { relay: Relay::new(url), campaign: None, said: String::new() };
    let mut relays: Vec<(&String, Watched)> =
        arguments.relays.iter().map(|url| (url, watched(url))).collect();
    loop {
        for (url, watched) in &mut relays {
            match look(&mut witness, watched, arguments.campaign.as_deref()) {
                Ok(seen) => watched.say(url, in_words(&seen)),
                Err(error) if is_passing(&error) && !arguments.once => watched.say(url, format!("{error:#}")),
                Err(error) => return Err(error.context((*url).clone())),
            }
        }
        if arguments.once {
            return Ok(());
        }
        std::thread::sleep(Duration::from_secs(arguments.seconds));
    }
}

/// A relay that is followed.
struct Watched {
    relay: Relay,
    campaign: Option<CampaignId>,
    /// What was said of it last, which is not said again.
    said: String,
}

impl Watched {
    fn say(&mut self, url: &str, words: String) {
        if words != self.said {
            eprintln!("{url}: {words}");
            self.said = words;
        }
    }
}

fn look(witness: &mut Witness, watched: &mut Watched, which: Option<&str>) -> anyhow::Result<Seen> {
    let campaign = match watched.campaign {
        Some(campaign) => campaign,
        None => *watched.campaign.insert(watched.relay.campaign(which)?),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock")?.as_secs();
    Ok(witness.look(&mut watched.relay.tree(campaign), now)?)
}

/// Whether to go on looking: a log with two histories is the end, and so is a folder that does not remember.
fn is_passing(error: &anyhow::Error) -> bool {
    let is_final =
        |fault: &WitnessFault| matches!(fault, WitnessFault::Equivocation(_) | WitnessFault::State(_));
    !error.downcast_ref().is_some_and(is_final)
}

fn in_words(seen: &Seen) -> String {
    match seen {
        Seen::Signed(size) | Seen::Known(size) => format!("{size} records are signed"),
        Seen::Behind { known, found } => {
            format!("shows {found} records, and {known} are signed: it lags behind, or goes back")
        }
        Seen::NotTaken(size, error) => format!("{size} records, and the signature was not taken: {error}"),
    }
}

/// A witness with its key and its memory.
pub(crate) struct Witness {
    state: State,
    logs: Vec<VerifierKey>,
}

impl Witness {
    fn open(arguments: &WitnessArguments) -> anyhow::Result<Self> {
        let state = State::open(&arguments.state, &arguments.name)
            .with_context(|| format!("the witness's folder {}", arguments.state.display()))?;
        if arguments.seconds == 0 {
            bail!("--seconds has to be at least 1");
        }
        Ok(Self { state, logs: arguments.logs.clone() })
    }

    /// Looks at a log, and signs its newest checkpoint if it is consistent with all that was signed before.
    pub(crate) fn look(&mut self, source: &mut impl TreeSource, now: u64) -> Result<Seen, WitnessFault> {
        let certificate = source.log_key()?;
        let key = LogKey::verifier(&verify::<LogKey>(&certificate)?)?;
        if !self.logs.is_empty() && !self.logs.contains(&key) {
            return Err(WitnessFault::Stranger(key.to_string()));
        }
        let mut newest = SignedCheckpoint::open(&source.log_checkpoint()?, &key, check_ed25519)?;
        let size = newest.checkpoint().size();
        if let Some((known_key, known)) = self.state.known(key.name())? {
            if known_key != key {
                return Err(WitnessFault::OtherKey(key.name().to_owned(), key.to_string()));
            }
            match check_newer(&known, &newest, &mut TileNodes::new(Tiles(source), size)) {
                Ok(()) => {}
                Err(WitnessError::Older { known, found }) => return Ok(Seen::Behind { known, found }),
                Err(WitnessError::Equivocation(evidence)) => {
                    self.state.keep_evidence(&key, &certificate, &evidence)?;
                    return Err(WitnessFault::Equivocation(evidence));
                }
                Err(error @ (WitnessError::Nodes(_) | WitnessError::Tiles)) => {
                    return Err(WitnessFault::Tree(error.to_string()));
                }
            }
        }
        let own = self.state.verifier();
        if matches!(newest.cosigned_by(own, check_ed25519), Ok(Some(_time))) {
            return Ok(Seen::Known(size));
        }
        newest.cosign(own, now, |message| self.state.sign(message));
        self.state.keep(&key, &newest)?;
        Ok(match source.cosign(&newest.to_bytes()) {
            Ok(()) => Seen::Signed(size),
            Err(error) => Seen::NotTaken(size, error),
        })
    }
}

struct Tiles<'a, S>(&'a mut S);

impl<S: TreeSource> TileSource for Tiles<'_, S> {
    type Error = SourceError;

    fn tile(&mut self, path: &TilePath) -> Result<Vec<u8>, SourceError> {
        self.0.tile(path)
    }
}
