//! `lichen verify`: checks a campaign, and says what it found.

use std::io::IsTerminal;
use std::path::PathBuf;

use anyhow::Context;
use futures::executor::block_on;
use lichen_audit::{Repeat, Report, Source, SourceError, Tree, audit, in_words};
use lichen_log::VerifierKey;
use lichen_record::CampaignId;

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
        return verify_from(&folder, campaign, tree, arguments);
    }
    let relay = Relay::new(arguments.relay.as_deref().unwrap_or_default());
    let campaign = relay.campaign(arguments.campaign.as_deref())?;
    // Before the log, which may grow meanwhile: each checkpoint is of records that are there.
    let tree = tree(&mut relay.tree(campaign), campaign, arguments)?;
    verify_from(&relay, campaign, tree, arguments)
}

fn verify_from(
    source: &impl Source,
    campaign: CampaignId,
    mut tree: Option<Tree>,
    arguments: &VerifyArguments,
) -> anyhow::Result<()> {
    let which = if arguments.repeat_all { Repeat::All } else { Repeat::Disputed };
    let mut line = ProgressLine::new(std::io::stderr().is_terminal());
    let outcome =
        block_on(audit(source, campaign, which, tree.as_mut(), &mut |progress| line.show(progress)));
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
    let SignedRoot { certificate, checkpoint, witnessed } =
        shown.ok_or(SourceError::NotFound).context(SIGNED_ROOT)?;
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        // A witness keeps the log's key above the checkpoint.
        let first_line = bytes.iter().position(|byte| *byte == b'\n').unwrap_or_default();
        let is_key = bytes.get(..first_line).is_some_and(|line| line.contains(&b'+'));
        Ok(if is_key { bytes.get(first_line + 1..).unwrap_or_default().to_vec() } else { bytes })
    };
    let others = arguments.checkpoints.iter().map(read).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some(Tree::open(campaign, &certificate, &checkpoint, witnessed.as_deref(), &others)?))
}
