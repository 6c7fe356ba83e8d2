//! A relay with the page, a browser in front of it, and an auditor.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lichen_log::{MAX_RECORD, Record};
use lichen_net::hub::{MAX_RECORDS, Records};
use lichen_record::{Entry, MAX_ENVELOPE, Verified, decode, verify};
use lichen_testkit::{
    Browser, BrowserOptions, Context, Page, RelayOptions, RelayProcess, TabState, campaign, http, process,
    wait,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::made;

/// How long anything may take that is not a whole training.
pub(crate) const SOON: Duration = Duration::from_secs(60);
/// How long a training to the campaign's target may take.
pub(crate) const TRAINED: Duration = Duration::from_secs(180);

/// The digits campaign as it is shipped.
pub(crate) const DIGITS: &[(&str, &str)] = &[];
/// Rounds that last some seconds, so that things can happen in the middle of one, and no end.
pub(crate) const LONG_ROUNDS: &[(&str, &str)] = &[
    ("steps = 60", "steps = 6000"),
    ("target_accuracy = 0.95", "target_accuracy = 1.0"),
    ("deadline_seconds = 10", "deadline_seconds = 20"),
];
/// The digits campaign with updates that go from tab to tab, without an end.
pub(crate) const MESH: &[(&str, &str)] =
    &[("topology = \"hub\"", "topology = \"mesh\""), ("target_accuracy = 0.95", "target_accuracy = 1.0")];
/// The digits campaign without an end.
pub(crate) const ENDLESS: &[(&str, &str)] = &[("target_accuracy = 0.95", "target_accuracy = 1.0")];

/// A relay, a browser and a folder for both.
pub(crate) struct Site {
    pub(crate) relay: RelayProcess,
    pub(crate) browser: Browser,
    folder: TempDir,
}

/// What `lichen verify` said.
#[derive(Debug)]
pub(crate) struct Audit {
    /// Whether it ended well.
    pub(crate) passed: bool,
    /// The result, or the first fault.
    pub(crate) report: Value,
    /// What it wrote for people.
    pub(crate) words: String,
}

impl Site {
    /// A new relay with the digits campaign, changed by the given replacements.
    pub(crate) fn start(changes: &[(&str, &str)]) -> Self {
        Self::start_with(changes, &BrowserOptions::default())
    }

    /// As [`Site::start`], with a browser of one's choice.
    pub(crate) fn start_with(changes: &[(&str, &str)], browser: &BrowserOptions) -> Self {
        Self::start_on(dist(), changes, browser)
    }

    /// As [`Site::start_with`], with another page than the one that was built.
    pub(crate) fn start_on(page: PathBuf, changes: &[(&str, &str)], browser: &BrowserOptions) -> Self {
        Self::start_serving(page, changes, &[], browser)
    }

    /// As [`Site::start`], once some rounds have settled and nobody is there any more.
    pub(crate) fn trained(changes: &[(&str, &str)]) -> Self {
        let site = Self::start(changes);
        let page = site.join();
        site.wait_for_round(&page, 3);
        page.close().unwrap();
        let audit = site.audit();
        assert!(audit.passed, "{audit:?}");
        site
    }

    /// A new relay with several of the campaigns that come with it.
    pub(crate) fn start_several(campaigns: &[&str]) -> Self {
        let folders = campaigns.iter().map(|name| campaign::shipped(name).display().to_string());
        let arguments: Vec<String> = folders.flat_map(|folder| ["--campaign".to_owned(), folder]).collect();
        Self::start_serving(dist(), &[], &arguments, &BrowserOptions::default())
    }

    /// A new relay with the digits campaign, changed so, whose log has so many entries already, by a hundred members.
    pub(crate) fn start_late(changes: &[(&str, &str)], entries: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let campaign = changed_campaign(folder.path(), changes);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(made::write(&campaign, &folder.path().join("data"), entries, 100)).unwrap();
        Self::start_in(folder, dist(), Some(campaign), &[], &BrowserOptions::default())
    }

    fn start_serving(
        page: PathBuf,
        changes: &[(&str, &str)],
        arguments: &[String],
        browser: &BrowserOptions,
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let campaign = (!changes.is_empty()).then(|| changed_campaign(folder.path(), changes));
        Self::start_in(folder, page, campaign, arguments, browser)
    }

    fn start_in(
        folder: TempDir,
        page: PathBuf,
        campaign: Option<PathBuf>,
        arguments: &[String],
        browser: &BrowserOptions,
    ) -> Self {
        let options = RelayOptions {
            program: from_environment("LICHEN_RELAY_BIN"),
            port: http::free_port().unwrap(),
            data: folder.path().join("data"),
            page: Some(page),
            campaign,
            log: Some(folder.path().join("relay.log")),
        };
        let relay = RelayProcess::start_with(options, arguments.to_vec()).unwrap();
        let browser = Browser::launch(browser).unwrap();
        Self { relay, browser, folder }
    }

    /// The folder with the relay's data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A profile of its own: another person.
    pub(crate) fn profile(&self) -> Context {
        self.browser.new_context().unwrap()
    }

    /// The page in a new window of that profile.
    pub(crate) fn open(&self, profile: &Context, query: &str) -> Page {
        let page = profile.new_page().unwrap();
        page.navigate(&format!("{}{query}", self.relay.url())).unwrap();
        page
    }

    /// The page in a new window of a new profile, joined.
    pub(crate) fn join(&self) -> Page {
        self.join_with("")
    }

    /// As [`Site::join`], with a query such as `?engine=cpu`.
    pub(crate) fn join_with(&self, query: &str) -> Page {
        let page = self.open(&self.profile(), query);
        page.click("Join", SOON).unwrap();
        page
    }

    /// Waits for a state, and shows console and relay log where it does not come.
    pub(crate) fn wait(
        &self,
        page: &Page,
        what: &str,
        limit: Duration,
        holds: impl Fn(&TabState) -> bool,
    ) -> TabState {
        page.wait_for_state(what, limit, holds).unwrap_or_else(|error| self.fail(page, &error))
    }

    /// Waits until at least that many rounds have settled.
    pub(crate) fn wait_for_round(&self, page: &Page, round: u64) -> TabState {
        self.wait(page, &format!("round {round} to settle"), TRAINED, |state| state.round >= round)
    }

    /// Waits until the auditor and the tabs name the same last checkpoint, and returns the audit.
    pub(crate) fn wait_for_agreement(&self, pages: &[&Page]) -> Audit {
        wait::until("the audit and the tabs to agree", SOON, || {
            let audit = self.audit();
            assert!(audit.passed, "{audit:?}");
            let checkpoint = audit.text("checkpoint");
            let mut states = Vec::new();
            for page in pages {
                states.push(page.state()?.unwrap_or_default());
            }
            let agree = states.iter().all(|state| state.checkpoint.as_deref() == Some(&checkpoint));
            Ok(if agree { Ok(audit) } else { Err((checkpoint, states)) })
        })
        .unwrap()
    }

    /// Runs `lichen verify` against the relay.
    pub(crate) fn audit(&self) -> Audit {
        audit(&self.relay.url())
    }

    /// Checks that the audit passes, and that what each tab shows as its round's result is what the log settled.
    pub(crate) fn assert_settled(&self, pages: &[&Page]) -> Audit {
        let shown: Vec<TabState> = pages.iter().map(|page| page.state().unwrap().unwrap()).collect();
        let log: Vec<Verified<Entry>> =
            self.log().iter().map(|record| verify::<Entry>(&record.entry).unwrap()).collect();
        let coordinator = log[0].account();
        for state in shown {
            let attested = log.iter().find_map(|entry| match entry.get() {
                Entry::Attestation { round, result, .. }
                    if round.0 == state.round && entry.account() == coordinator =>
                {
                    Some(result.to_string())
                }
                _ => None,
            });
            assert_eq!(state.checkpoint, attested, "{state:?}");
        }
        let audit = self.audit();
        assert!(audit.passed, "{audit:?}");
        audit
    }

    /// The relay's log from its first record on.
    pub(crate) fn log(&self) -> Vec<Record> {
        let site: Value = serde_json::from_slice(&self.relay.get("lichen.json").unwrap().body).unwrap();
        let campaign = site["campaign"].as_str().unwrap();
        let mut log: Vec<Record> = Vec::new();
        loop {
            let path = format!("log/{campaign}?from={}&limit={MAX_RECORDS}", log.len());
            let answer = self.relay.get(&path).unwrap();
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page: Records = decode(&answer.body, MAX_RECORDS * MAX_RECORD + MAX_ENVELOPE + 1024).unwrap();
            if page.records.is_empty() {
                return log;
            }
            log.extend(page.records);
        }
    }

    /// The contributions in the log, with the accounts that made them.
    pub(crate) fn contributions(&self) -> Vec<(String, Entry)> {
        let entries = self.log().into_iter().map(|record| verify::<Entry>(&record.entry).unwrap());
        let contributions = entries.filter(|entry| matches!(entry.get(), Entry::Contribution { .. }));
        contributions.map(|entry| (entry.account().to_string(), entry.get().clone())).collect()
    }

    fn fail(&self, page: &Page, error: &lichen_testkit::Error) -> ! {
        let console = page.console();
        let said = page.evaluate("document.querySelector('main')?.innerText.slice(0, 400)");
        panic!("{error}\npage: {said:?}\nconsole: {console:#?}\nrelay: {}", self.relay.log());
    }
}

impl Audit {
    /// A text of the report.
    pub(crate) fn text(&self, name: &str) -> String {
        self.report[name].as_str().unwrap_or_default().to_owned()
    }

    /// A number of the report.
    pub(crate) fn number(&self, name: &str) -> f64 {
        self.report[name].as_f64().unwrap_or(f64::NAN)
    }
}

/// Runs `lichen verify` against the relay at `url`.
pub(crate) fn audit(url: &str) -> Audit {
    let output = Command::new(from_environment("LICHEN_CLI_BIN"))
        .args(["verify", "--json", "--relay", url.trim_end_matches('/')])
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    Audit { passed: output.status.success(), report, words }
}

/// The `did:key` that a page shows as its own.
pub(crate) fn account(page: &Page) -> String {
    // Such a name has 46 more digits; other text may follow without a space.
    let shown = "document.querySelector('[aria-labelledby=identity] [title^=\"did:key:zDn\"]')?.title";
    page.wait_for("the account to be shown", shown, SOON).unwrap().as_str().unwrap().to_owned()
}

/// The built page.
pub(crate) fn dist() -> PathBuf {
    from_environment("LICHEN_DIST")
}

pub(crate) fn from_environment(name: &str) -> PathBuf {
    let path = std::env::var_os(name).map(PathBuf::from);
    path.unwrap_or_else(|| panic!("{name} is not set: run these tests by `cargo xtask test`"))
}

/// A copy of the digits campaign with changes to its manifest.
fn changed_campaign(folder: &Path, changes: &[(&str, &str)]) -> PathBuf {
    let copy = folder.join("campaign");
    campaign::write_changed(&copy, changes).unwrap();
    copy
}

/// The end of a process's doings that a failed assertion should show.
pub(crate) fn relay_log(site: &Site) -> String {
    process::tail(&site.folder.path().join("relay.log"), 40)
}
