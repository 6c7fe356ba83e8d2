//! `lichen verify`: checks a campaign, and says what it found.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use lichen_log::VerifierKey;
use lichen_record::CampaignId;

use crate::audit::{self, Repeat, Report, Source, SourceError, Tree, TreeReport};
use crate::progress::ProgressLine;
use crate::record::RecordFolder;
use crate::relay::{self, Relay};
use crate::tree_source::{SIGNED_ROOT, Shown, SignedRoot};

/// What `lichen verify` is told.
#[derive(clap::Args)]
pub(crate) struct VerifyArguments {
    /// The relay's address, such as http://127.0.0.1:8080.
    #[arg(long, value_parser = relay::parse_url, env = "LICHEN_RELAY", required_unless_present = "folder")]
    relay: Option<String>,
    /// A folder with the record, as `lichen export --record` writes it, in the relay's place.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The campaign's id, or its name at the relay; needed only where the relay has several.
    #[arg(long, value_name = "ID|NAME", conflicts_with = "folder")]
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
}

impl VerifyArguments {
    fn quorum(&self) -> usize {
        self.quorum.unwrap_or(self.witnesses.len())
    }
}

/// Checks a campaign where it is said to be, and prints what was found.
pub(crate) fn verify(arguments: &VerifyArguments) -> anyhow::Result<()> {
    if let Some(folder) = &arguments.folder {
        let mut folder = RecordFolder::open(folder)?;
        let campaign = folder.campaign();
        let tree = tree(&mut folder, campaign, arguments)?;
        return verify_from(&mut folder, campaign, tree, arguments);
    }
    let mut relay = Relay::new(arguments.relay.as_deref().unwrap_or_default());
    let campaign = relay.campaign(arguments.campaign.as_deref())?;
    // Before the log, which may grow meanwhile: each checkpoint is of records that are there.
    let tree = tree(&mut relay.tree(campaign), campaign, arguments)?;
    verify_from(&mut relay, campaign, tree, arguments)
}

fn verify_from(
    source: &mut impl Source,
    campaign: CampaignId,
    mut tree: Option<Tree>,
    arguments: &VerifyArguments,
) -> anyhow::Result<()> {
    let which = if arguments.repeat_all { Repeat::All } else { Repeat::Disputed };
    let mut line = ProgressLine::new(std::io::stderr().is_terminal());
    let outcome = audit::audit(source, campaign, which, tree.as_mut(), &mut |progress| line.show(progress));
    line.end();
    let outcome = outcome.and_then(|report| {
        let found = tree.map(|tree| tree.report(&arguments.witnesses, arguments.quorum())).transpose()?;
        Ok(Report { tree: found, ..report })
    });
    match outcome {
        Ok(report) if arguments.json => println!("{}", serde_json::to_string(&report)?),
        Ok(report) => print!("{}", in_words(&report)),
        Err(fault) if arguments.json => {
            println!("{}", serde_json::json!({ "campaign": campaign, "fault": fault.to_string() }));
            return Err(fault.into());
        }
        Err(fault) => return Err(fault.into()),
    }
    Ok(())
}

/// What is shown of the log's tree; none if nothing is shown and nobody asked for more.
fn tree(
    source: &mut impl Shown,
    campaign: CampaignId,
    arguments: &VerifyArguments,
) -> anyhow::Result<Option<Tree>> {
    let shown = source.signed_root().context(SIGNED_ROOT)?;
    if shown.is_none() && arguments.checkpoints.is_empty() && arguments.quorum() == 0 {
        return Ok(None);
    }
    let SignedRoot { certificate, checkpoint } = shown.ok_or(SourceError::NotFound).context(SIGNED_ROOT)?;
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // A witness keeps the log's key above the checkpoint.
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_default();
        let is_key = bytes.get(..first_line).is_some_and(|line| line.contains(&b'+'));
        Ok(if is_key { bytes.get(first_line + 1..).unwrap_or_default().to_vec() } else { bytes })
    };
    let others = arguments.checkpoints.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some(Tree::open(campaign, &certificate, &checkpoint, &others)?))
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
        return "tree         not shown: the relay was of an earlier version, or followed one that was away"
            .into();
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

pub(crate) fn in_words(report: &Report) -> String {
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
