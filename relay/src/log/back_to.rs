//! The operator goes back to an earlier checkpoint: asked for while the relay is stopped, done when the next round opens.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use lichen_record::{CampaignId, RoundNumber};
use lichen_round::CampaignState;
use lichen_store::Disk;

/// Holds the round's number, in the data folder. That of a campaign that is not the relay's first has its id besides.
const FILE: &str = "back-to";

/// What the operator asked for.
pub(crate) struct Request {
    file: PathBuf,
    pub(crate) to: RoundNumber,
}

/// Asks the relay with this data folder, which is stopped, to go back when it starts.
pub(crate) fn ask(data: &Path, round: u64, campaign: Option<CampaignId>) -> Result<()> {
    let store = data.join("relay.redb");
    if !store.is_file() {
        bail!("{} is no data folder of a relay: there is no relay.redb in it", data.display());
    }
    // It belongs to one process at a time, so that a running relay is noticed.
    let opened = Disk::open(&store);
    drop(opened.with_context(|| format!("cannot open {}: stop the relay first", store.display()))?);
    let file = file_of(data, campaign);
    fs::write(&file, format!("{round}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    println!(
        "The next round that opens will begin with the checkpoint of round {round}. Start the relay now; its log says when \
         it has gone back. To stay where it is, remove {}.",
        file.display()
    );
    Ok(())
}

fn file_of(data: &Path, campaign: Option<CampaignId>) -> PathBuf {
    data.join(campaign.map_or_else(|| FILE.to_owned(), |campaign| format!("{FILE}-{campaign}")))
}

impl Request {
    /// The request to go back in this campaign that a data folder holds, if any; one that names none is meant for the first.
    pub(crate) fn read(data: &Path, campaign: CampaignId, is_first: bool) -> Result<Option<Self>> {
        let named = Self::read_file(file_of(data, Some(campaign)))?;
        if named.is_some() || !is_first {
            return Ok(named);
        }
        Self::read_file(file_of(data, None))
    }

    fn read_file(file: PathBuf) -> Result<Option<Self>> {
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
        };
        let round = text.trim().parse();
        let round = round.with_context(|| {
            format!("{} holds no round's number: remove it, or ask again by back-to", file.display())
        })?;
        Ok(Some(Self { file, to: RoundNumber(round) }))
    }

    /// Whether that can be done; if not it says why, and the relay goes on from where it is.
    pub(crate) fn is_possible(&self, state: &CampaignState) -> bool {
        let rounds: Vec<u64> = state.results().map(|(round, _result)| round.0).collect();
        if state.settled() >= state.rules().limit || state.is_retired() {
            tracing::error!("cannot go back: the campaign has had all its rounds, or its organiser ended it");
            return false;
        }
        let mut results = state.results();
        let result = results.find(|(round, _result)| *round == self.to).map(|(_round, result)| result);
        if state.is_at_goal() && result.is_some() && result == state.checkpoint() {
            tracing::error!(
                round = self.to.0,
                "cannot go back to this round: the campaign ended with its checkpoint. Ask again by back-to with an earlier one, \
                 and the campaign goes on from there"
            );
            return false;
        }
        if result.is_some() {
            return true;
        }
        tracing::error!(
            round = self.to.0,
            "cannot go back to this round: none of that number has settled, or too many have since. The relay goes on from \
             the last checkpoint. Ask again by back-to with one of the rounds {rounds:?}"
        );
        false
    }

    /// It is done, or cannot be.
    pub(crate) fn forget(&self) {
        if let Err(error) = fs::remove_file(&self.file) {
            tracing::error!(%error, "cannot remove {}: remove it, or the next start goes back again", self.file.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn campaign() -> CampaignId {
        CampaignId::of_manifest(b"a campaign")
    }

    #[test]
    fn each_campaign_goes_back_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        drop(Disk::open(&folder.path().join("relay.redb")).unwrap());
        let other = CampaignId::of_manifest(b"another");
        ask(folder.path(), 3, None).unwrap();
        ask(folder.path(), 5, Some(other)).unwrap();
        let asked = |campaign, is_first| {
            let request = Request::read(folder.path(), campaign, is_first).unwrap();
            request.map(|request| request.to.0)
        };
        assert_eq!((asked(campaign(), true), asked(campaign(), false)), (Some(3), None));
        assert_eq!((asked(other, false), asked(other, true)), (Some(5), Some(5)));
    }

    #[test]
    fn a_folder_that_is_no_relays_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(ask(folder.path(), 3, None).unwrap_err().to_string().contains("no data folder of a relay"));
        assert!(Request::read(folder.path(), campaign(), true).unwrap().is_none());
    }

    #[test]
    fn what_is_asked_is_read_and_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        drop(Disk::open(&folder.path().join("relay.redb")).unwrap());
        ask(folder.path(), 3, None).unwrap();
        ask(folder.path(), 41, None).unwrap();
        let request = Request::read(folder.path(), campaign(), true).unwrap().unwrap();
        assert_eq!(request.to, RoundNumber(41), "the last word counts");
        request.forget();
        assert!(Request::read(folder.path(), campaign(), true).unwrap().is_none());
    }

    #[test]
    fn a_running_relay_is_not_asked() {
        let folder = tempfile::tempdir().unwrap();
        let _running = Disk::open(&folder.path().join("relay.redb")).unwrap();
        let refused = ask(folder.path(), 3, None).unwrap_err();
        assert!(refused.to_string().contains("stop the relay first"), "{refused:#}");
    }

    #[test]
    fn what_is_no_number_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FILE), "yesterday").unwrap();
        let refused = Request::read(folder.path(), campaign(), true).err().unwrap();
        assert!(refused.to_string().contains("holds no round's number"), "{refused:#}");
    }
}
