//! Takes a campaign from an organiser who may publish here, and puts it where the relay's campaigns are looked for.
//!
//! The signature is checked before a byte of the campaign is read, so that nobody else can have memory or disk taken.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::State;
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lichen_net::publishing::{MAX_PUBLISHED, Publication, SCHEME, parts};
use lichen_record::{AccountId, CampaignId, Verified, verify};
use tokio::sync::Semaphore;

use super::{Answer, Site};
use crate::log::campaign::{Campaign, PUBLISHER, publisher};
use crate::log::follower::MAX_CAMPAIGNS;
use crate::operating::clock;
use crate::operating::metrics::Metrics;
use crate::serving::page::plain;

/// How far a publication's time may be from this machine's: it is good for one relay and one campaign, and does no harm when
/// it comes again.
const CLOCK_TOLERANCE_MS: u64 = 24 * 60 * 60 * 1_000;

/// The manifest's file.
const MANIFEST: &str = "campaign.toml";

/// Longest time for a campaign to come.
const PATIENCE: Duration = Duration::from_secs(300);

/// Who may publish.
#[derive(Clone, Debug)]
pub(crate) struct Publishers {
    /// Accounts that the operator lists: they may publish as long as there is room at all.
    pub(crate) listed: Vec<AccountId>,
    /// What any other account may, if it may.
    pub(crate) strangers: Option<Strangers>,
}

/// How many campaigns accounts may publish that the operator does not list.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Strangers {
    pub(crate) campaigns: usize,
    pub(crate) campaigns_each: usize,
}

/// Who may publish, and where to.
pub(crate) struct Publishing {
    publishers: Publishers,
    /// The folder with a folder for each campaign.
    folder: PathBuf,
    /// One campaign comes at a time: it is in memory until it is checked.
    turn: Semaphore,
}

/// Why a campaign is not taken: what to answer.
type Refused = (StatusCode, String);

impl Publishing {
    /// Takes campaigns of these accounts.
    pub(crate) const fn new(publishers: Publishers, folder: PathBuf) -> Self {
        Self { publishers, folder, turn: Semaphore::const_new(1) }
    }

    /// Checks that this account may publish one more campaign; those of accounts that the operator lists do not count.
    async fn check_number(&self, metrics: &Metrics, account: AccountId) -> Result<(), Refused> {
        let Some(strangers) = self.publishers.strangers else { return Ok(()) };
        if self.publishers.listed.contains(&account) {
            return Ok(());
        }
        let folder = self.folder.clone();
        let published = tokio::task::spawn_blocking(move || published(&folder)).await;
        let mut published =
            published.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
        published.retain(|publisher| !self.publishers.listed.contains(publisher));
        let own = published.iter().filter(|publisher| **publisher == account).count();
        if own >= strangers.campaigns_each {
            metrics.limit("campaigns_per_publisher");
            let why = format!(
                "this account has published {own} campaigns here, which is the most (--campaigns-per-publisher): ask the \
                 operator to list it (`--publisher {account}`)"
            );
            return Err((StatusCode::CONFLICT, why));
        }
        if published.len() >= strangers.campaigns {
            metrics.limit("published_campaigns");
            let why = format!(
                "{} campaigns have been published here, which is the most (--max-published-campaigns): ask another relay, or \
                 the operator to list this account (`--publisher {account}`)",
                published.len()
            );
            return Err((StatusCode::CONFLICT, why));
        }
        Ok(())
    }
}

/// Who published the campaigns in a folder; those that the operator put there were published by nobody.
fn published(folder: &Path) -> Vec<AccountId> {
    let items = fs::read_dir(folder).into_iter().flatten().flatten();
    items.filter_map(|item| publisher(&item.path()).ok().flatten()).collect()
}

/// Takes a campaign.
pub(super) async fn publish(State(site): State<Arc<Site>>, headers: HeaderMap, body: Body) -> Answer {
    match take(&site, &headers, body).await {
        Ok(said) => plain(StatusCode::OK, said),
        Err((status, why)) => plain(status, why),
    }
}

async fn take(site: &Site, headers: &HeaderMap, body: Body) -> Result<String, Refused> {
    let Some(publishing) = &site.publishing else {
        return Err((StatusCode::FORBIDDEN, "this relay takes no campaigns (--publisher)".into()));
    };
    let publication = authorise(site, publishing, headers)?;
    let id = publication.get().campaign;
    if site.campaigns.get(id).is_some() {
        return Ok("it is served already".into());
    }
    if site.campaigns.all().len() >= MAX_CAMPAIGNS {
        site.metrics.limit("campaigns");
        return Err((StatusCode::CONFLICT, format!("this relay serves {MAX_CAMPAIGNS} campaigns already")));
    }
    let Ok(_turn) = publishing.turn.try_acquire() else {
        site.metrics.limit("publications");
        return Err((StatusCode::TOO_MANY_REQUESTS, "another campaign is coming: try again".into()));
    };
    // While it is this one's turn, no other comes to be counted.
    publishing.check_number(&site.metrics, publication.account()).await?;
    if site.hub.is_short_of_space() {
        site.metrics.limit("disk_reserve");
        return Err((StatusCode::INSUFFICIENT_STORAGE, "the relay's disk is nearly full".into()));
    }
    let read = tokio::time::timeout(PATIENCE, to_bytes(body, MAX_PUBLISHED)).await;
    let body = read
        .map_err(|_late| (StatusCode::REQUEST_TIMEOUT, "it took too long to come".into()))?
        .map_err(|error| (StatusCode::PAYLOAD_TOO_LARGE, format!("it cannot be read: {error}")))?;
    let folder = publishing.folder.clone();
    let account = publication.account();
    let kept = tokio::task::spawn_blocking(move || keep(&folder, id, account, &body));
    let kept = kept.await.map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))?;
    kept.map_err(|error| (StatusCode::UNPROCESSABLE_ENTITY, format!("{error:#}")))?;
    tracing::info!(campaign = %id, account = %publication.account(), "a campaign was published");
    Ok("it is taken, and served in some seconds".into())
}

/// Who publishes what: signed for this relay by an account that may.
fn authorise(
    site: &Site,
    publishing: &Publishing,
    headers: &HeaderMap,
) -> Result<Verified<Publication>, Refused> {
    let unsigned = || (StatusCode::UNAUTHORIZED, "it is not signed as a publication is".to_owned());
    let header = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(unsigned)?;
    let envelope = header.strip_prefix(SCHEME).map(str::trim).ok_or_else(unsigned)?;
    let envelope = STANDARD.decode(envelope).map_err(|_malformed| unsigned())?;
    let publication = verify::<Publication>(&envelope).map_err(|_false| unsigned())?;
    let Publishers { listed, strangers } = &publishing.publishers;
    if strangers.is_none() && !listed.contains(&publication.account()) {
        let why = format!(
            "this relay takes no campaigns of {0}: ask its operator for `--publisher {0}`",
            publication.account()
        );
        return Err((StatusCode::FORBIDDEN, why));
    }
    let Publication { relay, issued, .. } = publication.get();
    if *relay != site.peer.to_string() {
        return Err((StatusCode::FORBIDDEN, "it is signed for another relay".into()));
    }
    if clock::wall().abs_diff(*issued) > CLOCK_TOLERANCE_MS {
        return Err((
            StatusCode::FORBIDDEN,
            "the clocks of the two machines differ by more than a day".into(),
        ));
    }
    Ok(publication)
}

/// Checks a campaign and puts it into the folder: all of it at once, under a name of its own.
fn keep(folder: &Path, id: CampaignId, account: AccountId, body: &Bytes) -> Result<()> {
    let (manifest, data) = parts(body).context("it is cut short")?;
    ensure!(CampaignId::of_manifest(manifest) == id, "its manifest is not the one that was signed");
    let campaign = Campaign::of_bytes(manifest.to_vec(), data.to_vec())?;
    let name = &campaign.manifest.data.file;
    let is_free = ![MANIFEST, PUBLISHER].contains(&name.as_str());
    ensure!(is_free, "the data file needs another name than {MANIFEST} and {PUBLISHER}");
    let (coming, place) = (folder.join(format!(".{id}")), folder.join(id.to_string()));
    if place.exists() {
        return Ok(());
    }
    let written = || -> std::io::Result<()> {
        if coming.exists() {
            fs::remove_dir_all(&coming)?;
        }
        fs::create_dir(&coming)?;
        fs::write(coming.join(MANIFEST), manifest)?;
        fs::write(coming.join(PUBLISHER), account.to_string())?;
        fs::write(coming.join(name), data)?;
        fs::rename(&coming, &place)
    };
    written().context("it cannot be written at the relay")
}
