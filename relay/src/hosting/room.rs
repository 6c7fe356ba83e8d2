//! How much of the disk one campaign's blobs may take, so that the others have the rest.

use lichen_record::CampaignId;
use lichen_store::Disk;

use crate::operating::campaign_metrics::CampaignMetrics;

/// A block of the disk, which is what a blob takes at least.
const BLOCK: u64 = 4096;

/// What a campaign's blobs take, and may take.
pub(crate) struct Room {
    disk: Disk,
    campaign: CampaignId,
    /// The most bytes of blobs that its log may name; none where another relay decides that.
    most: Option<u64>,
    /// What one more update may take.
    next: u64,
}

impl Room {
    pub(super) const fn new(disk: Disk, campaign: CampaignId, most: Option<u64>, update: u64) -> Self {
        Self { disk, campaign, most, next: update.div_ceil(BLOCK).saturating_mul(BLOCK) }
    }

    /// Whether one more update could be too much. What rounds that are under way come to is not refused any more.
    pub(crate) fn is_full(&self) -> bool {
        let taken = self.disk.pins(self.campaign).bytes;
        self.most.is_some_and(|most| taken.saturating_add(self.next) > most)
    }

    /// The same, and shows what they take.
    pub(super) fn look(&self, metrics: &CampaignMetrics) -> bool {
        metrics.pinned(self.disk.pins(self.campaign), self.most);
        self.is_full()
    }
}
