//! Writes a campaign's record into a folder while it is being verified.

use std::cell::RefCell;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use futures::executor::block_on;
use lichen_audit::{Repeat, Report, Source, SourceError, Tree, audit};
use lichen_log::Head;
use lichen_net::hub::Records;
use lichen_record::{CampaignId, Cid, verify};

use super::folder::{RecordFolder, blob, read};
use super::writer::{LogWriter, write};
use super::{CONTENTS, Contents, VERSION};
use crate::progress::ProgressLine;
use crate::relay::{self, Relay};
use crate::tree_source::{SIGNED_ROOT, Shown, SignedRoot};

/// What `lichen export` is told.
#[derive(clap::Args)]
pub(crate) struct ExportArguments {
    /// The relay's address, such as http://127.0.0.1:8080.
    #[arg(long, value_parser = relay::parse_url, env = "LICHEN_RELAY")]
    relay: String,
    /// The campaign's id, or its name at the relay; needed only where the relay has several.
    #[arg(long, value_name = "ID|NAME")]
    campaign: Option<String>,
    /// The folder to write the record into. One that already holds an earlier record of the same campaign is brought up to date, and
    /// what an interrupted export has fetched is not fetched again.
    #[arg(long, value_name = "FOLDER")]
    record: PathBuf,
}

/// Writes the record, and says what it came to.
pub(crate) fn export(arguments: &ExportArguments) -> anyhow::Result<()> {
    let relay = Relay::new(&arguments.relay);
    let campaign = relay.campaign(arguments.campaign.as_deref())?;
    let folder = &arguments.record;
    if let Some(other) =
        RecordFolder::find(folder)?.map(|found| found.campaign()).filter(|id| *id != campaign)
    {
        bail!("{} holds the record of another campaign ({other}): name another folder", folder.display());
    }
    // Before the log, which may grow meanwhile: the checkpoint is of records that are there.
    let shown = relay.tree(campaign).signed_root().context(SIGNED_ROOT)?;
    let open = |shown: &SignedRoot| {
        Tree::open(campaign, &shown.certificate, &shown.checkpoint, shown.witnessed.as_deref(), &[])
    };
    let mut tree = shown.as_ref().map(open).transpose()?;
    let recording = Recording {
        relay: &relay,
        folder,
        log: RefCell::new(LogWriter::new(folder)?),
        head: RefCell::default(),
        signed: tree.as_ref().map(Tree::sizes).unwrap_or_default(),
    };
    let mut line = ProgressLine::new(std::io::stderr().is_terminal());
    let mut show = |progress| line.show(progress);
    let audited = block_on(audit(&recording, campaign, Repeat::Disputed, tree.as_mut(), &mut show));
    line.end();
    let report = audited?;
    recording
        .finish(campaign, shown.as_ref())
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    println!("{}", in_words(&report, folder));
    Ok(())
}

fn in_words(report: &Report, folder: &Path) -> String {
    format!(
        "{} ({})\nrecord       {} records, {} blobs, {} bytes, all verified\nfolder       {}\ncheck again  lichen verify --folder {}",
        report.title,
        report.campaign,
        report.records,
        report.blobs,
        report.blob_bytes,
        folder.display(),
        folder.display()
    )
}

/// A relay, of which everything that is read is kept.
struct Recording<'a> {
    relay: &'a Relay,
    folder: &'a Path,
    log: RefCell<LogWriter>,
    /// The head that the log is followed to, and how many records it counts.
    head: RefCell<Option<(Vec<u8>, u64)>>,
    /// Records that the tree's checkpoints are of.
    signed: Vec<u64>,
}

impl Recording<'_> {
    /// Keeps the records that come next, up to the head.
    fn keep(&self, page: &Records) -> Result<(), SourceError> {
        let (mut head, mut log) = (self.head.borrow_mut(), self.log.borrow_mut());
        let (_, length) = match &mut *head {
            Some(head) => head,
            none => {
                let head =
                    verify::<Head>(&page.head).map_err(|error| SourceError::Malformed(error.to_string()))?;
                none.insert((page.head.clone(), head.get().length))
            }
        };
        for record in &page.records {
            if record.index != log.length() || record.index >= *length {
                continue;
            }
            log.append(record).map_err(|error| unwritable(&error))?;
            if self.signed.contains(&log.length()) {
                log.write_partial().map_err(|error| unwritable(&error))?;
            }
        }
        Ok(())
    }

    /// Writes what makes it a whole.
    fn finish(&self, campaign: CampaignId, shown: Option<&SignedRoot>) -> io::Result<()> {
        let (head, log) = (self.head.borrow(), self.log.borrow());
        log.write_partial()?;
        if let Some(SignedRoot { certificate, checkpoint, witnessed }) = shown {
            write(&self.folder.join("log-key"), certificate)?;
            write(&self.folder.join("checkpoint"), checkpoint)?;
            if let Some(witnessed) = witnessed {
                write(&self.folder.join("witnessed"), witnessed)?;
            }
        }
        let head = head.as_ref().map_or(&[][..], |(head, _)| head);
        write(&self.folder.join("head"), head)?;
        let contents = Contents { version: VERSION, campaign, records: log.length() };
        write(&self.folder.join(CONTENTS), &serde_json::to_vec_pretty(&contents)?)
    }
}

impl Source for Recording<'_> {
    async fn records(&self, campaign: CampaignId, from: u64, limit: usize) -> Result<Records, SourceError> {
        let page = self.relay.records(campaign, from, limit).await?;
        self.keep(&page)?;
        Ok(page)
    }

    async fn blob(&self, cid: &Cid, cap: usize) -> Result<Vec<u8>, SourceError> {
        let place = blob(self.folder, cid);
        if let Ok(bytes) = read(&place, cap)
            && cid.matches(&bytes)
        {
            return Ok(bytes);
        }
        let bytes = self.relay.blob(cid, cap).await?;
        if cid.matches(&bytes) {
            write(&place, &bytes).map_err(|error| unwritable(&error))?;
        }
        Ok(bytes)
    }
}

fn unwritable(error: &io::Error) -> SourceError {
    SourceError::Unreachable(format!("the record cannot be written: {error}"))
}
