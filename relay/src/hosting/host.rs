//! Opens the relay's campaigns, keeps them going, and adds those that come while the relay runs.

mod folder;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::folder::Folder;
use super::campaigns::{Campaigns, List};
use super::opening::{Common, Opened, Order};
use crate::log::campaign::Campaign;
use crate::log::follower::{self, Following, MAX_CAMPAIGNS};
use crate::log::leader::Leader;

/// How often it is looked for further campaigns: in a folder, and at the relay that is followed.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
const ASK_INTERVAL: Duration = Duration::from_secs(5);

/// Where campaigns come from.
pub(crate) struct Sources {
    /// A folder each.
    pub(crate) campaigns: Vec<PathBuf>,
    /// A folder with a folder for each.
    pub(crate) folder: Option<PathBuf>,
    /// The relay whose campaigns are followed.
    pub(crate) follow: Option<String>,
}

/// Keeps the campaigns of a relay.
pub(crate) struct Host {
    campaigns: Arc<Campaigns>,
    opener: Opener,
    further: Further,
}

/// Opens one campaign after the other, and has what keeps them going.
struct Opener {
    common: Common,
    order: Order,
    list: List,
    keepers: JoinSet<Result<()>>,
    stop: CancellationToken,
}

/// Where further campaigns may come from.
enum Further {
    Folder(Folder),
    Leader(Leader),
    Nowhere,
}

impl Host {
    /// Opens all campaigns that there are now. What keeps them goes on until the token is cancelled.
    pub(crate) async fn open(common: Common, sources: Sources, stop: CancellationToken) -> Result<Self> {
        match &sources.follow {
            Some(url) => Self::follow(url, common, &sources.campaigns, stop).await,
            None => Self::order(common, sources, stop).await,
        }
    }

    async fn order(common: Common, sources: Sources, stop: CancellationToken) -> Result<Self> {
        let following = Following::read(&common.data)?;
        if let Some(following) = &following {
            following.check_promotion(&common.data).await?;
        }
        let given = given(&common, &sources, following.as_ref()).await?;
        let mut opener = Opener::new(Order::here(&common)?, common, stop);
        for campaign in given {
            opener.open(&campaign).await?;
        }
        let further = match sources.folder {
            Some(path) => {
                let mut folder = Folder::new(path);
                opener.look_through(&mut folder).await;
                Further::Folder(folder)
            }
            None => Further::Nowhere,
        };
        let campaigns = Campaigns::of(opener.list.clone()).context(
            "--campaigns: there is no campaign in this folder that can be served. Each has a folder of its own there, with \
             campaign.toml and its data file",
        )?;
        if following.is_some() {
            Following::forget(&opener.common.data)?;
            tracing::info!("this relay followed another one and takes its place now");
        }
        Ok(Self { campaigns: Arc::new(campaigns), opener, further })
    }

    async fn follow(url: &str, common: Common, folders: &[PathBuf], stop: CancellationToken) -> Result<Self> {
        let leader = Leader::new(url);
        let following = Following::of(&leader, &common.data).await?;
        let mut given = Vec::new();
        for folder in folders {
            let campaign = read(folder).await?;
            if !following.campaigns().any(|followed| followed == campaign.id) {
                bail!("{url} keeps another campaign than the one of --campaign");
            }
            given.push(campaign);
        }
        let order = Order::At { leader: leader.clone(), following: following.clone() };
        let mut opener = Opener::new(order, common, stop);
        let first = match given.iter().position(|campaign| campaign.id == following.campaign) {
            Some(at) => given.swap_remove(at),
            None => follower::campaign(&leader, following.campaign, &opener.common.disk).await?,
        };
        opener.open(&first).await?;
        for campaign in given {
            opener.open(&campaign).await?;
        }
        opener.follow_others(&leader, &following).await;
        let campaigns = Campaigns::of(opener.list.clone()).context("no campaign is followed")?;
        Ok(Self { campaigns: Arc::new(campaigns), opener, further: Further::Leader(leader) })
    }

    /// The campaigns.
    pub(crate) const fn campaigns(&self) -> &Arc<Campaigns> {
        &self.campaigns
    }

    /// Goes on until the token that it was opened with is cancelled, and all that was begun is written.
    pub(crate) async fn run(mut self) -> Result<()> {
        let stop = self.opener.stop.clone();
        loop {
            tokio::select! {
                ended = self.opener.keepers.join_next() => {
                    ended.context("no campaign is left")?.context("the task of a campaign panicked")??;
                    ensure!(stop.is_cancelled(), "the task of a campaign ended though nobody asked it to");
                    // It was the first of those that were asked to end.
                    break;
                }
                () = stop.cancelled() => break,
                () = pause(&self.further) => tokio::select! {
                    () = self.look() => {}
                    () = stop.cancelled() => break,
                },
            }
        }
        while let Some(ended) = self.opener.keepers.join_next().await {
            ended.context("the task of a campaign panicked")??;
        }
        Ok(())
    }

    /// Looks for further campaigns, and opens those that can be.
    async fn look(&mut self) {
        match &mut self.further {
            Further::Folder(folder) => self.opener.look_through(folder).await,
            Further::Leader(leader) => match Following::asked(leader, &self.opener.common.data).await {
                Ok(following) => self.opener.follow_others(&leader.clone(), &following).await,
                Err(error) => tracing::debug!("the leader's campaigns: {error:#}"),
            },
            Further::Nowhere => {}
        }
    }
}

/// Waits until it is time to look for further campaigns.
async fn pause(further: &Further) {
    match further {
        Further::Folder(_) => tokio::time::sleep(LOOK_INTERVAL).await,
        Further::Leader(_) => tokio::time::sleep(ASK_INTERVAL).await,
        Further::Nowhere => std::future::pending().await,
    }
}

impl Opener {
    fn new(order: Order, common: Common, stop: CancellationToken) -> Self {
        Self { common, order, list: List::default(), keepers: JoinSet::new(), stop }
    }

    /// Opens a campaign, has it kept and serves it.
    async fn open(&mut self, campaign: &Campaign) -> Result<()> {
        let id = campaign.id;
        ensure!(!self.list.has(id), "the campaign {id} is served already");
        if self.list.len() >= MAX_CAMPAIGNS {
            self.common.metrics.limit("campaigns");
            bail!("this relay serves {MAX_CAMPAIGNS} campaigns already, which is the most");
        }
        let is_first = self.list.len() == 0;
        let is_taken = |name: &str| self.list.has_name(name);
        let Opened { hosted, keeper } = self.order.open(&self.common, campaign, is_first, is_taken).await?;
        tracing::info!(campaign = %id, name = hosted.name(), "a campaign is served");
        self.list.add(hosted);
        self.common.metrics.hosted.set(i64::try_from(self.list.len()).unwrap_or(i64::MAX));
        self.keepers.spawn(keeper.run(id, self.stop.clone()));
        Ok(())
    }

    /// Serves what is new in a folder of campaigns. A faulty one is named, and disturbs no other.
    async fn look_through(&mut self, folder: &mut Folder) {
        for path in folder.changed() {
            let outcome = self.open_folder(&path).await;
            if let Err(error) = &outcome {
                tracing::error!("{} is not served: {error:#}", path.display());
            }
            folder.tried(path, outcome.is_ok());
        }
        self.common.metrics.faulty.set(i64::try_from(folder.faulty()).unwrap_or(i64::MAX));
    }

    async fn open_folder(&mut self, path: &Path) -> Result<()> {
        let campaign = read(path).await?;
        if self.list.has(campaign.id) { Ok(()) } else { self.open(&campaign).await }
    }

    /// Follows the leader's campaigns that are not followed yet, as far as it gives them.
    async fn follow_others(&mut self, leader: &Leader, following: &Following) {
        for id in following.campaigns().filter(|id| !self.list.has(*id)).collect::<Vec<_>>() {
            let opened = match follower::campaign(leader, id, &self.common.disk).await {
                Ok(campaign) => self.open(&campaign).await,
                Err(error) => Err(error),
            };
            if let Err(error) = opened {
                tracing::error!(campaign = %id, "this campaign of the leader's is not followed yet: {error:#}");
            }
        }
    }
}

/// The campaigns to begin with; none where all of them are in a folder.
async fn given(common: &Common, sources: &Sources, following: Option<&Following>) -> Result<Vec<Campaign>> {
    let mut given = Vec::new();
    for folder in &sources.campaigns {
        given.push(read(folder).await?);
    }
    match following {
        _ if !given.is_empty() => {}
        Some(following) => {
            let leader = Leader::new(&following.leader);
            for id in following.campaigns() {
                given.push(follower::campaign(&leader, id, &common.disk).await?);
            }
        }
        None if sources.folder.is_none() => given.push(Campaign::embedded()?),
        None => {}
    }
    Ok(given)
}

/// Reads a campaign's folder, and computes what its log begins with.
async fn read(folder: &Path) -> Result<Campaign> {
    let folder = folder.to_owned();
    let read = tokio::task::spawn_blocking(move || Campaign::read(&folder));
    read.await.map_err(|error| anyhow!("reading it failed: {error}"))?
}
