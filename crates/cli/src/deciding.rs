//! What an organiser decides about a campaign under way: `lichen pause`, `resume`, `finish`, `retire` and `change`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use futures::executor::block_on;
use lichen_audit::Source;
use lichen_campaign::{ChangeFault, Changes, Manifest};
use lichen_log::Receipt;
use lichen_record::{AccountId, CampaignId, Cid, Decision, Entry, MAX_MANIFEST, Settings, verify};
use serde::Serialize;

use crate::publish::read_key;
use crate::relay::{Relay, parse_url};

/// What each of these commands is told.
#[derive(Args)]
pub(crate) struct DecideArguments {
    /// The relay's address, such as https://relay.example.org.
    #[arg(long, value_parser = parse_url, env = "LICHEN_RELAY")]
    relay: String,
    /// The campaign's id, or its name at the relay; needed only where the relay has several.
    #[arg(long, value_name = "ID|NAME")]
    campaign: Option<String>,
    /// File with the organiser's key, whose account the manifest names (`campaign.organiser.account`).
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Print the result as one JSON object.
    #[arg(long)]
    json: bool,
}

/// What a command is told that ends a campaign.
#[derive(Args)]
pub(crate) struct EndArguments {
    #[command(flatten)]
    decide: DecideArguments,
    /// Say that you mean it: this cannot be taken back.
    #[arg(long, required = true)]
    yes: bool,
}

/// What `lichen change` is told.
#[derive(Args)]
pub(crate) struct ChangeArguments {
    #[command(flatten)]
    decide: DecideArguments,
    #[command(flatten)]
    settings: SettingsArguments,
}

/// The settings that change; at least one.
#[derive(Args)]
#[group(required = true, multiple = true)]
struct SettingsArguments {
    /// How long a round waits for members that do not contribute.
    #[arg(long, value_name = "SECONDS", value_parser = parse_seconds)]
    deadline_seconds: Option<u64>,
    /// Accuracy on the held-out samples, 0 to 1, at which the campaign has reached its aim.
    #[arg(long, value_name = "SHARE")]
    target_accuracy: Option<f64>,
    /// The local optimiser's step size.
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
}

/// `--json`: what stands in the record now.
#[derive(Serialize)]
struct Decided {
    campaign: CampaignId,
    decision: Decision,
    sequence: u64,
    /// The entry's id.
    entry: Cid,
    /// Its place in the record.
    place: u64,
}

/// Takes a decision without settings.
pub(crate) fn decide(arguments: &DecideArguments, decision: Decision) -> Result<()> {
    let DecideArguments { relay, campaign, key, json } = arguments;
    ensure!(Path::new(key).exists(), "there is no key at {}", key.display());
    let key = read_key(key)?;
    let relay = Relay::new(relay);
    let campaign = relay.campaign(campaign.as_deref())?;
    let manifest = manifest(&relay, campaign)?;
    check_organiser(&manifest, key.account())?;
    if let Decision::Change(settings) = &decision {
        check_change(&manifest.changes, settings)?;
    }
    let sequence = sequence(relay.decided(campaign)?)?;
    let entry = key.sign(&Entry::Decided { campaign, sequence, decision })?;
    let place = hand_over(&relay, campaign, &entry)?;
    let decided = Decided { campaign, decision, sequence, entry: id(&entry)?, place };
    if *json {
        println!("{}", serde_json::to_string(&decided)?);
    } else {
        println!("{}: it is entry {place} of the record", in_words(&decision));
    }
    Ok(())
}

/// Takes a decision that ends the campaign; that it is meant is said.
pub(crate) fn end(arguments: &EndArguments, decision: Decision) -> Result<()> {
    let EndArguments { decide: arguments, yes: _meant } = arguments;
    decide(arguments, decision)
}

/// Changes settings.
pub(crate) fn change(arguments: &ChangeArguments) -> Result<()> {
    let SettingsArguments { deadline_seconds: deadline_ms, target_accuracy, learning_rate } =
        arguments.settings;
    decide(&arguments.decide, Decision::Change(Settings { deadline_ms, target_accuracy, learning_rate }))
}

/// The manifest that the campaign's id names.
fn manifest(relay: &Relay, campaign: CampaignId) -> Result<Manifest> {
    let bytes = block_on(relay.blob(&campaign.0, MAX_MANIFEST)).context("the campaign's manifest")?;
    ensure!(campaign.0.matches(&bytes), "the relay gives another manifest than the campaign's");
    Ok(Manifest::from_bytes(&bytes)?)
}

fn check_organiser(manifest: &Manifest, account: AccountId) -> Result<()> {
    match manifest.campaign.organiser_account {
        Some(organiser) if organiser == account => Ok(()),
        Some(organiser) => bail!(
            "this is not the organiser's key: the manifest names the account {organiser}, and this key's is {account}"
        ),
        None => bail!(
            "nobody decides anything in this campaign: its manifest names no campaign.organiser.account, and no manifest can be \
             changed. A campaign that is published anew may name one"
        ),
    }
}

fn check_change(changes: &Changes, settings: &Settings) -> Result<()> {
    let why = match changes.check(settings) {
        Ok(()) => return Ok(()),
        Err(ChangeFault::Fixed) => "the manifest does not let the organiser change that",
        Err(ChangeFault::OutOfBounds) => "the manifest does not let the organiser change it that far",
    };
    let mut text = format!("{why}. What may be changed");
    match changes.explain() {
        none if none.is_empty() => text.push_str(": nothing"),
        all => {
            for (what, how_far) in all {
                // Writing into a text cannot fail.
                let _always = write!(text, "\n  {what}: {how_far}");
            }
        }
    }
    bail!(text)
}

/// Greater than that of the last decision, and by this machine's clock, so that nothing that was signed earlier can follow.
fn sequence(last: u64) -> Result<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("this machine's clock")?;
    let next = last.checked_add(1).context("the organiser's sequence numbers are used up")?;
    Ok(next.max(u64::try_from(since.as_millis())?))
}

/// Has the entry appended, and says where it stands by the receipt of the account that orders the log.
fn hand_over(relay: &Relay, campaign: CampaignId, entry: &[u8]) -> Result<u64> {
    let receipt = verify::<Receipt>(&relay.decide(campaign, entry)?).context("the relay's receipt")?;
    let first = block_on(relay.records(campaign, 0, 1)).context("the record's beginning")?;
    let first = first.records.first().context("the record is empty")?;
    let coordinator = verify::<Entry>(&first.entry).context("the record's beginning")?.account();
    let Receipt { entry: named, head } = receipt.get();
    let is_right = receipt.account() == coordinator && head.campaign == campaign && *named == id(entry)?;
    ensure!(
        is_right,
        "the relay's receipt is of something else: look whether the entry stands in the record"
    );
    Ok(head.length.saturating_sub(1))
}

fn id(entry: &[u8]) -> Result<Cid> {
    Ok(verify::<Entry>(entry)?.id())
}

const fn in_words(decision: &Decision) -> &'static str {
    match decision {
        Decision::Pause => "paused: the round under way ends, and none opens until you resume",
        Decision::Resume => "resumed",
        Decision::Finish => "finished: the campaign is over with the round under way",
        Decision::Retire => "retired: the campaign is over, and its record takes nothing more",
        Decision::Change(_) => "changed, from the next round that opens",
    }
}

/// Whole milliseconds, as a manifest's seconds are read.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be in range")]
fn parse_seconds(text: &str) -> Result<u64> {
    let seconds: f64 = text.parse().context("not a number")?;
    ensure!((0.0..=1e9).contains(&seconds), "not a time");
    Ok((seconds * 1000.0 + 0.5) as u64)
}

#[cfg(test)]
mod tests {
    use lichen_record::SigningKey;

    use super::*;

    const DIGITS: &str = include_str!("../../../relay/campaigns/digits/campaign.toml");

    fn account(number: u8) -> AccountId {
        SigningKey::generate([number; 32]).account()
    }

    fn steered(changes: &str) -> Manifest {
        let account = format!("[campaign.organiser]\naccount = \"{}\"", account(1));
        let text = DIGITS.replace("[campaign.organiser]", &account);
        Manifest::parse(&format!("{text}\n{changes}")).unwrap()
    }

    #[test]
    fn only_the_organiser_s_key_will_do() {
        let manifest = steered("");
        assert!(check_organiser(&manifest, account(1)).is_ok());
        let error = check_organiser(&manifest, account(2)).unwrap_err().to_string();
        assert!(
            error.contains("not the organiser's key") && error.contains(&account(1).to_string()),
            "{error}"
        );
        let error = check_organiser(&Manifest::parse(DIGITS).unwrap(), account(1)).unwrap_err().to_string();
        assert!(error.contains("campaign.organiser.account"), "{error}");
    }

    #[test]
    fn what_may_be_changed_is_said_with_the_refusal() {
        let changes = steered("[changes]\nlearning_rate = { least = 0.001, most = 0.01 }").changes;
        let rate = |learning_rate| Settings { learning_rate: Some(learning_rate), ..Settings::default() };
        assert!(check_change(&changes, &rate(0.005)).is_ok());
        let error = check_change(&changes, &rate(0.05)).unwrap_err().to_string();
        assert!(error.contains("that far") && error.contains("the learning rate: 0.001 to 0.01"), "{error}");
        let deadline = Settings { deadline_ms: Some(1_000), ..Settings::default() };
        let error = check_change(&changes, &deadline).unwrap_err().to_string();
        assert!(error.contains("does not let the organiser change that."), "{error}");
        assert!(check_change(&Changes::NONE, &deadline).unwrap_err().to_string().ends_with(": nothing"));
    }

    #[test]
    fn sequence_numbers_grow() {
        let now = sequence(0).unwrap();
        assert!(now > 1_700_000_000_000);
        assert_eq!(sequence(now * 2).unwrap(), now * 2 + 1, "the clock was set back");
        assert!(sequence(u64::MAX).is_err());
    }

    #[test]
    fn no_key_is_made_here() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("organiser.key");
        let relay = "http://127.0.0.1:9".into();
        let arguments = DecideArguments { relay, campaign: None, key: path.clone(), json: false };
        let error = decide(&arguments, Decision::Pause).unwrap_err().to_string();
        assert!(error.contains("there is no key") && !path.exists(), "{error}");
    }
}
