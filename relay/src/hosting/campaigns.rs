//! The table of a relay's campaigns. It grows while the relay runs, and never shrinks.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use lichen_net::hub::Cause;
use lichen_record::CampaignId;

use super::hosted::Hosted;
use crate::operating::condition::{Condition, Unready};

/// Campaigns in the order in which they came; clones are the same list.
#[derive(Clone, Default)]
pub(super) struct List(Arc<RwLock<Vec<Arc<Hosted>>>>);

/// All campaigns of a relay, one at least.
pub(crate) struct Campaigns {
    first: Arc<Hosted>,
    list: List,
}

impl List {
    /// Adds one that is not there yet.
    pub(super) fn add(&self, hosted: Hosted) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).push(Arc::new(hosted));
    }

    pub(super) fn len(&self) -> usize {
        self.read().len()
    }

    /// Whether it has the one of this id.
    pub(super) fn has(&self, id: CampaignId) -> bool {
        self.read().iter().any(|hosted| hosted.id() == id)
    }

    /// Whether it has one of this name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.read().iter().any(|hosted| hosted.name() == name)
    }

    // Each change is one call, whatever happened to another thread.
    fn read(&self) -> RwLockReadGuard<'_, Vec<Arc<Hosted>>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Campaigns {
    /// Those of a list, whatever is added to it later included; none while it is empty.
    pub(super) fn of(list: List) -> Option<Self> {
        let first = list.read().first().map(Arc::clone)?;
        Some(Self { first, list })
    }

    /// The one for whoever names none.
    pub(crate) const fn first(&self) -> &Arc<Hosted> {
        &self.first
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Arc<Hosted>> {
        self.list.read().clone()
    }

    /// The one of this id.
    pub(crate) fn get(&self, id: CampaignId) -> Option<Arc<Hosted>> {
        self.find(|hosted| hosted.id() == id)
    }

    /// The one of this id or name.
    pub(crate) fn named(&self, text: &str) -> Option<Arc<Hosted>> {
        let id = text.parse().ok();
        self.find(|hosted| Some(hosted.id()) == id || hosted.name() == text)
    }

    /// How each of them is doing.
    pub(crate) fn conditions(&self) -> Vec<Arc<Condition>> {
        self.all().iter().map(|hosted| Arc::clone(&hosted.condition)).collect()
    }

    /// How each of them is doing, and whether it is full; what its blobs take is shown.
    pub(crate) fn looked_after(&self) -> Vec<(Arc<Condition>, bool)> {
        let looked_at =
            |hosted: &Arc<Hosted>| (Arc::clone(&hosted.condition), hosted.room.look(&hosted.metrics));
        self.all().iter().map(looked_at).collect()
    }

    /// Whether requests are welcome; and which campaigns stand still for want of people.
    ///
    /// # Errors
    /// Why they are not, as soon as one campaign says so: they share the machine.
    pub(crate) fn readiness(&self) -> Result<Vec<(Arc<Hosted>, Cause)>, Unready> {
        let mut waiting = Vec::new();
        for hosted in self.all() {
            if let Some(cause) = hosted.condition.readiness()? {
                waiting.push((hosted, cause));
            }
        }
        Ok(waiting)
    }

    /// Requests are not welcome any more.
    pub(crate) fn end(&self) {
        self.conditions().iter().for_each(|condition| condition.end());
    }

    fn find(&self, is_it: impl Fn(&Hosted) -> bool) -> Option<Arc<Hosted>> {
        self.list.read().iter().find(|hosted| is_it(hosted)).map(Arc::clone)
    }
}
