//! The organiser's and auditor's command line.
//!
//! Standard output carries only results; progress and faults go to standard error. The exit status is 0 if
//! everything is right, 1 if a fault was found, 2 for a command line that cannot be understood, and 3 if a log was found to
//! have two histories.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use lichen_audit::Fault;
use lichen_campaign::{Manifest, ManifestError, syntax_fault};
use lichen_learn::{check_campaign, check_model, file_kind};
use lichen_record::{CampaignId, Decision};

mod deciding;
mod progress;
mod publish;
mod record;
mod relay;
mod settling;
mod train;
mod tree_source;
mod verify;
mod witness;

use witness::WitnessFault;

/// Checks campaigns and their results.
#[derive(Parser)]
#[command(name = "lichen", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Verify a whole campaign: read its log and blobs from a relay or a folder, check every signature and the chain, recompute
    /// every checkpoint and evaluate the last one. Neither the relay nor the folder is trusted.
    Verify(verify::VerifyArguments),
    /// Write a campaign's whole record into a folder, verified on the way, so that it outlives its relay. `lichen verify --folder`
    /// checks it again, and any file server can serve it as a transparency log.
    Export(record::ExportArguments),
    /// Watch over logs: check that each only grows, and sign their checkpoints as a witness, for others to rely on. Prints the
    /// witness's key, which a relay's operator names to have the signatures served (`lichen-relay --witness KEY`).
    Witness(witness::WitnessArguments),
    /// Hand a campaign to a running relay whose operator lets this key's account do so (`lichen-relay --publisher`), and wait
    /// until it is served. Without a manifest, only print the account.
    Publish(publish::PublishArguments),
    /// Pause a campaign as its organiser: the round under way ends, and none opens until it is resumed.
    Pause(deciding::DecideArguments),
    /// Resume a paused campaign.
    Resume(deciding::DecideArguments),
    /// Finish a campaign for good: it is over with the round under way.
    Finish(deciding::EndArguments),
    /// Retire a campaign for good and at once: its record takes nothing more, not even what is under way.
    Retire(deciding::EndArguments),
    /// Change settings of a campaign, as far as its manifest lets the organiser, from the next round on.
    Change(deciding::ChangeArguments),
    /// Explain in plain words what a campaign asks of people and their devices.
    Explain {
        /// The manifest, a TOML file.
        manifest: PathBuf,
    },
    /// Check a manifest, its model and the data file beside it, and say what is wrong and how to fix it.
    Check {
        /// The manifest, a TOML file.
        manifest: PathBuf,
    },
    /// Train a manifest's model on this machine and print the loss of every step.
    Train(train::TrainArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Verify(arguments) => verify::verify(&arguments),
        Command::Export(arguments) => record::export(&arguments),
        Command::Witness(arguments) => witness::witness(&arguments),
        Command::Publish(arguments) => publish::publish(&arguments),
        Command::Pause(arguments) => deciding::decide(&arguments, Decision::Pause),
        Command::Resume(arguments) => deciding::decide(&arguments, Decision::Resume),
        Command::Finish(arguments) => deciding::end(&arguments, Decision::Finish),
        Command::Retire(arguments) => deciding::end(&arguments, Decision::Retire),
        Command::Change(arguments) => deciding::change(&arguments),
        Command::Explain { manifest } => explain(&manifest),
        Command::Check { manifest } => check(&manifest),
        Command::Train(arguments) => train::train(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lichen: {error:#}");
            if is_equivocation(&error) { ExitCode::from(EQUIVOCATION) } else { ExitCode::FAILURE }
        }
    }
}

/// The exit status where a log has two histories.
const EQUIVOCATION: u8 = 3;

fn is_equivocation(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Fault::Equivocation { .. }))
        || matches!(error.downcast_ref(), Some(WitnessFault::Equivocation(_)))
}

fn explain(path: &Path) -> anyhow::Result<()> {
    for statement in read_manifest(path)?.1.card().statements {
        println!("{}\n  {}\n", statement.heading, statement.text);
    }
    Ok(())
}

fn check(path: &Path) -> anyhow::Result<()> {
    let (bytes, manifest, data) = read_campaign(path)?;
    println!("{} is valid: campaign {}", manifest.campaign.title, CampaignId::of_manifest(&bytes));
    println!("{}", settling::describe(&manifest, &data)?);
    println!("{}", settling::describe_goal(&manifest));
    println!("{}", settling::describe_organiser(&manifest));
    Ok(())
}

/// What is wrong with a manifest, with the line where it is no TOML.
fn explain_fault(path: &Path, text: &[u8], error: &ManifestError) -> anyhow::Error {
    if let Some(kind) = file_kind(text).filter(|kind| kind.is_no_manifest()) {
        return anyhow::anyhow!("{} is {kind}, not a manifest (TOML)", path.display());
    }
    let syntax = std::str::from_utf8(text).ok().and_then(syntax_fault);
    match syntax {
        Some(syntax) => anyhow::anyhow!("{}:\n{syntax}", path.display()),
        None => anyhow::anyhow!("{}:\n{error}", path.display()),
    }
}

fn read_manifest(path: &Path) -> anyhow::Result<(Vec<u8>, Manifest)> {
    let bytes = std::fs::read(path).with_context(|| path.display().to_string())?;
    let manifest = Manifest::from_bytes(&bytes).map_err(|error| explain_fault(path, &bytes, &error))?;
    Ok((bytes, manifest))
}

/// A manifest, what it says, and the data file beside it, all of them sound.
fn read_campaign(path: &Path) -> anyhow::Result<(Vec<u8>, Manifest, Vec<u8>)> {
    let (bytes, manifest) = read_manifest(path)?;
    check_model(&manifest.model, &manifest.train)?;
    let place = path.with_file_name(&manifest.data.file);
    let data = std::fs::read(&place).with_context(|| format!("data.file {}", place.display()))?;
    check_campaign(&manifest, &data)?;
    Ok((bytes, manifest, data))
}
