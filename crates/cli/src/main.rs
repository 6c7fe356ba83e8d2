//! The organiser's and auditor's command line.
//!
//! Standard output carries only results; progress and faults go to standard error. The exit status is 0 if
//! everything is right, 1 if a fault was found, 2 for a command line that cannot be understood, and 3 if a log was found to
//! have two histories.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use lichen_campaign::{Manifest, ManifestError, syntax_fault};
use lichen_learn::{check_campaign, check_model, file_kind};
use lichen_log::VerifierKey;
use lichen_record::CampaignId;

mod audit;
mod progress;
mod relay;
mod settling;
mod train;
mod tree_source;
mod witness;

use audit::{Fault, Repeat, Report, SourceError, Tree, TreeReport};
use progress::ProgressLine;
use relay::Relay;
use tree_source::TreeSource;
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
    /// Verify a whole campaign: download its log and blobs from a relay, check every signature and the chain, recompute
    /// every checkpoint and evaluate the last one. The relay is not trusted.
    Verify {
        /// The relay's address, such as http://127.0.0.1:8080.
        #[arg(long, value_parser = relay::parse_url, env = "LICHEN_RELAY")]
        relay: String,
        /// The campaign's id, or its name at the relay; needed only where the relay has several.
        #[arg(long, value_name = "ID|NAME")]
        campaign: Option<String>,
        /// Print the result as one JSON object.
        #[arg(long)]
        json: bool,
        /// Also repeat every training that members repeated, and not only those that are in dispute. Each takes as long as a
        /// contributor's round.
        #[arg(long)]
        repeat_all: bool,
        /// A checkpoint of the same log's tree that somebody else was shown: a file, as a witness keeps it or another relay
        /// serves it. Repeatable. All have to be of the one history that the records are.
        #[arg(long = "checkpoint", value_name = "FILE")]
        checkpoints: Vec<PathBuf>,
        /// Key of a witness whose signature below the checkpoint is looked for. Repeatable.
        #[arg(long = "witness", value_name = "KEY")]
        witnesses: Vec<VerifierKey>,
        /// How many of these witnesses must have signed; all of them by default.
        #[arg(long)]
        quorum: Option<usize>,
    },
    /// Watch over logs: check that each only grows, and sign their checkpoints as a witness, for others to rely on. Prints the
    /// witness's key, which a relay's operator names to have the signatures served (`lichen-relay --witness KEY`).
    Witness(witness::WitnessArguments),
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
        Command::Verify { relay, campaign, json, repeat_all, checkpoints, witnesses, quorum } => {
            let which = if repeat_all { Repeat::All } else { Repeat::Disputed };
            let quorum = quorum.unwrap_or(witnesses.len());
            verify(&relay, campaign.as_deref(), which, json, &Claims { checkpoints, witnesses, quorum })
        }
        Command::Witness(arguments) => witness::witness(&arguments),
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

/// What the relay's tree is held against besides its records.
struct Claims {
    checkpoints: Vec<PathBuf>,
    witnesses: Vec<VerifierKey>,
    quorum: usize,
}

/// What the relay shows of the log's tree; none if it shows none and nobody asked for more.
fn tree(relay: &Relay, campaign: CampaignId, claims: &Claims) -> anyhow::Result<Option<Tree>> {
    let mut source = relay.tree(campaign);
    let shown = source.log_key().and_then(|certificate| Ok((certificate, source.log_checkpoint()?)));
    let (certificate, served) = match shown {
        Ok(shown) => shown,
        Err(SourceError::NotFound) if claims.checkpoints.is_empty() && claims.quorum == 0 => return Ok(None),
        Err(error) => return Err(error).context("the signed root of the log's tree"),
    };
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // A witness keeps the log's key above the checkpoint.
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_default();
        let is_key = bytes.get(..first_line).is_some_and(|line| line.contains(&b'+'));
        Ok(if is_key { bytes.get(first_line + 1..).unwrap_or_default().to_vec() } else { bytes })
    };
    let others = claims.checkpoints.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some(Tree::open(campaign, &certificate, &served, &others)?))
}

fn verify(
    url: &str,
    campaign: Option<&str>,
    which: Repeat,
    json: bool,
    claims: &Claims,
) -> anyhow::Result<()> {
    let mut relay = Relay::new(url);
    let campaign = relay.campaign(campaign)?;
    let mut line = ProgressLine::new(std::io::stderr().is_terminal());
    // Before the log, which may grow meanwhile: each checkpoint is of records that are there.
    let mut tree = tree(&relay, campaign, claims)?;
    let outcome =
        audit::audit(&mut relay, campaign, which, tree.as_mut(), &mut |progress| line.show(progress));
    line.end();
    let outcome = outcome.and_then(|report| {
        let found = tree.map(|tree| tree.report(&claims.witnesses, claims.quorum)).transpose()?;
        Ok(Report { tree: found, ..report })
    });
    match outcome {
        Ok(report) if json => println!("{}", serde_json::to_string(&report)?),
        Ok(report) => print!("{}", in_words(&report)),
        Err(fault) if json => {
            println!("{}", serde_json::json!({ "campaign": campaign, "fault": fault.to_string() }));
            return Err(fault.into());
        }
        Err(fault) => return Err(fault.into()),
    }
    Ok(())
}

fn in_words_rounds(report: &Report) -> String {
    let (rounds, missing) = (report.rounds, report.rounds_not_recomputed);
    if missing == 0 {
        return format!("rounds       {rounds} settled, every checkpoint recomputed");
    }
    format!(
        "rounds       {rounds} settled, {} checkpoints recomputed; {missing} could not be, as their updates went from \
         tab to tab\n             and were not stored; more than half of the contributors attested their results",
        rounds - missing
    )
}

fn in_words_tree(tree: Option<&TreeReport>) -> String {
    let Some(TreeReport { records, others, witnesses }) = tree else {
        return "tree         not shown by this relay: it is of an earlier version, or follows one that is away".into();
    };
    let mut words = format!("tree         the signed root over {records} records is that of the records");
    if *others > 0 {
        words.push_str(&format!("; {others} other checkpoints are of the same history"));
    }
    if !witnesses.is_empty() {
        words.push_str(&format!("\n             cosigned by {}", witnesses.join(", ")));
    }
    words
}

fn in_words(report: &Report) -> String {
    let mut lines = vec![
        format!("{} ({})", report.title, report.campaign),
        format!("log          {} records by coordinator {}", report.records, report.coordinator),
        in_words_tree(report.tree.as_ref()),
        format!("signatures   {} checked", report.signatures),
        format!("contributors {} with {} contributions", report.contributors, report.contributions),
        format!(
            "engines      {} contributions name an engine whose training can be repeated bit for bit",
            report.contributions_reproducible
        ),
        in_words_rounds(report),
        format!("blobs        {} checked, {} bytes", report.blobs, report.blob_bytes),
        format!("first        {} follows from the manifest", report.initial),
        match report.rounds_not_recomputed {
            0 => format!("last         {} follows from the updates", report.checkpoint),
            _ => format!("last         {} is what the log settled", report.checkpoint),
        },
        format!(
            "accuracy     {:.4} on {} held-out samples, loss {:.4}",
            report.accuracy, report.held_out, report.loss
        ),
    ];
    if let Some(ending) = report.goal_reached {
        lines.push(format!(
            "finished     with round {}: two consecutive rounds reached the goal of {}, with {:.4} and {:.4}",
            ending.round, ending.goal, ending.accuracy_before, ending.accuracy
        ));
    }
    if report.snapshots > 0 {
        lines.push(format!(
            "snapshots    {}, each of them what the records before it come to",
            report.snapshots
        ));
    }
    if report.updates_left_out > 0 {
        lines.push(format!(
            "left out     {} updates that do not decode or are longer than allowed",
            report.updates_left_out
        ));
    }
    if let Some(last) = report.rounds_set_aside.last() {
        lines.push(format!(
            "set aside    {} rounds that would have left the model far worse or as it was, the last one round {last}",
            report.rounds_set_aside.len()
        ));
    }
    if let Some(last) = report.rounds_skipped.last() {
        lines.push(format!(
            "skipped      {} rounds that too few contributed to in time, the last one round {last}",
            report.rounds_skipped.len()
        ));
    }
    if let Some(best) = report.best {
        lines.push(format!(
            "warning      far below round {}, which had accuracy {:.4} and loss {:.4}: the organiser can go back to it (lichen-relay back-to)",
            best.round, best.accuracy, best.loss
        ));
    }
    if report.differences_wrong > 0 {
        lines.push(format!(
            "differences  {} rounds were told as differences that do not give their results",
            report.differences_wrong
        ));
    }
    if report.contradictions > 0 {
        lines.push(format!("contradicted {} accounts said what is proven false", report.contradictions));
    }
    if report.trainings_audited > 0 {
        lines.push(format!(
            "audits       {} trainings were repeated by others, {} of them also here",
            report.trainings_audited, report.trainings_repeated
        ));
    }
    if report.disputes_settled > 0 {
        lines.push(format!(
            "disputes     {} were settled by the piece of the training in question: {} steps computed in all",
            report.disputes_settled, report.disputes_steps
        ));
    }
    for account in &report.expelled {
        lines.push(format!("expelled     {account}: it contributed what its training does not give"));
    }
    let whole = "everything matches the log\n";
    let in_part = "everything that can be checked matches the log\n";
    lines.push(if report.rounds_not_recomputed == 0 { whole } else { in_part }.to_owned());
    lines.join("\n")
}

fn explain(path: &Path) -> anyhow::Result<()> {
    for statement in read_manifest(path)?.1.card().statements {
        println!("{}\n  {}\n", statement.heading, statement.text);
    }
    Ok(())
}

fn check(path: &Path) -> anyhow::Result<()> {
    let (bytes, manifest) = read_manifest(path)?;
    check_model(&manifest.model, &manifest.train)?;
    let place = path.with_file_name(&manifest.data.file);
    let data = std::fs::read(&place).with_context(|| format!("data.file {}", place.display()))?;
    check_campaign(&manifest, &data)?;
    println!("{} is valid: campaign {}", manifest.campaign.title, CampaignId::of_manifest(&bytes));
    println!("{}", settling::describe(&manifest, &data)?);
    println!("{}", settling::describe_goal(&manifest));
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
