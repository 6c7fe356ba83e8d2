//! What the relay counts of each of its campaigns, under the campaign's name.

use std::hash::Hash;
use std::sync::Arc;

use lichen_net::hub::Cause;
use lichen_record::{Entry, RoundNumber};
use lichen_round::{CampaignState, Change, FaultKind};
use lichen_store::Pins;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry, Unit};

use crate::operating::now::Now;

/// The metrics of all campaigns.
pub(super) struct CampaignFamilies {
    append_seconds: Family<Label, Histogram, fn() -> Histogram>,
    entries: Family<EntryLabel, Counter>,
    faults: Family<FaultLabel, Counter>,
    stalled: Family<CauseLabel, Gauge>,
    log_length: Family<Label, Gauge>,
    round: Family<Label, Gauge>,
    rounds_settled: Family<Label, Gauge>,
    rounds_rejected: Family<Label, Counter>,
    members: Family<Label, Gauge>,
    pinned_bytes: Family<Label, Gauge>,
    pinned_blobs: Family<Label, Gauge>,
    pinned_bytes_most: Family<Label, Gauge>,
    registered: Family<Label, Gauge>,
    leader_reachable: Family<Label, Gauge>,
    leader_faults: Family<Label, Counter>,
}

/// The metrics of one campaign.
pub(crate) struct CampaignMetrics {
    name: Arc<str>,
    families: Arc<CampaignFamilies>,
    pub(crate) append_seconds: Histogram,
    pub(crate) registered: Gauge,
    pub(crate) leader_reachable: Gauge,
    pub(crate) leader_faults: Counter,
    log_length: Gauge,
    round: Gauge,
    rounds_settled: Gauge,
    rounds_rejected: Counter,
    members: Gauge,
    pinned_bytes: Gauge,
    pinned_blobs: Gauge,
    pinned_bytes_most: Gauge,
    /// The same numbers for people.
    pub(crate) now: Now,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Label {
    campaign: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EntryLabel {
    entry: &'static str,
    campaign: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FaultLabel {
    fault: &'static str,
    campaign: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CauseLabel {
    cause: &'static str,
    campaign: String,
}

impl CampaignFamilies {
    /// Registers all of them, of no campaign yet.
    pub(super) fn new(registry: &mut Registry) -> Arc<Self> {
        let append_seconds: Family<Label, Histogram, fn() -> Histogram> =
            Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_5, 2.0, 12)));
        registry.register_with_unit(
            "append",
            "Time from ordering a batch of entries to its being on disk",
            Unit::Seconds,
            append_seconds.clone(),
        );
        Arc::new(Self {
            append_seconds,
            entries: family(registry, "entries", "Entries appended since the start, by kind"),
            faults: family(registry, "faults", "Faults proven since the start, by kind"),
            stalled: family(
                registry,
                "stalled",
                "Whether something keeps the campaign from going on, by cause",
            ),
            log_length: family(registry, "log_length", "Records in the log"),
            round: family(registry, "round", "The last round opened"),
            rounds_settled: family(registry, "rounds_settled", "Rounds settled"),
            rounds_rejected: family(
                registry,
                "rounds_rejected",
                "Rounds since the start that settled on the checkpoint that they began with, though there were contributions",
            ),
            members: family(registry, "members", "Accounts that take part"),
            pinned_bytes: family(
                registry,
                "pinned_bytes",
                "Bytes of blobs that the log names and that are here",
            ),
            pinned_blobs: family(registry, "pinned_blobs", "Number of these blobs"),
            pinned_bytes_most: family(
                registry,
                "pinned_bytes_most",
                "Bytes of these blobs from which on contributions are refused; 0 where another relay decides that",
            ),
            registered: family(registry, "rendezvous_registered", "Tabs that may be found by others"),
            leader_reachable: family(
                registry,
                "leader_reachable",
                "Whether the relay that this one follows answers; 0 where it follows none",
            ),
            leader_faults: family(registry, "leader_faults", "Times the leader showed a false log"),
        })
    }

    /// Those of the campaign with this name, all at zero.
    pub(super) fn of(self: &Arc<Self>, name: Arc<str>) -> Arc<CampaignMetrics> {
        let label = Label { campaign: name.to_string() };
        Arc::new(CampaignMetrics {
            append_seconds: self.append_seconds.get_or_create_owned(&label),
            registered: self.registered.get_or_create_owned(&label),
            leader_reachable: self.leader_reachable.get_or_create_owned(&label),
            leader_faults: self.leader_faults.get_or_create_owned(&label),
            log_length: self.log_length.get_or_create_owned(&label),
            round: self.round.get_or_create_owned(&label),
            rounds_settled: self.rounds_settled.get_or_create_owned(&label),
            rounds_rejected: self.rounds_rejected.get_or_create_owned(&label),
            members: self.members.get_or_create_owned(&label),
            pinned_bytes: self.pinned_bytes.get_or_create_owned(&label),
            pinned_blobs: self.pinned_blobs.get_or_create_owned(&label),
            pinned_bytes_most: self.pinned_bytes_most.get_or_create_owned(&label),
            now: Now::new(),
            families: Arc::clone(self),
            name,
        })
    }
}

impl CampaignMetrics {
    /// The campaign's name.
    pub(crate) const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Shows whether this keeps the campaign from going on.
    pub(crate) fn stalled(&self, cause: Cause, is_so: bool) {
        let label = CauseLabel { cause: cause.label(), campaign: self.name.to_string() };
        self.families.stalled.get_or_create(&label).set(is_so.into());
    }

    pub(crate) fn appended(&self, entry: &Entry) {
        let entry = match entry {
            Entry::Published { .. } => "published",
            Entry::Joined { .. } => "joined",
            Entry::Left { .. } => "left",
            Entry::RoundOpened { .. } => "round_opened",
            Entry::Contribution { .. } => "contribution",
            Entry::RoundClosed { .. } => "round_closed",
            Entry::Attestation { .. } => "attestation",
            Entry::Unavailable { .. } => "unavailable",
            Entry::Departed { .. } => "departed",
            Entry::RoundOverdue { .. } => "round_overdue",
            Entry::Finished { .. } => "finished",
            Entry::Snapshot { .. } => "snapshot",
            Entry::Audit { .. } => "audit",
            Entry::Decided { .. } => "decided",
        };
        let label = EntryLabel { entry, campaign: self.name.to_string() };
        self.families.entries.get_or_create(&label).inc();
    }

    pub(crate) fn changed(&self, change: &Change) {
        if let Change::SetAside { .. } = change {
            self.rounds_rejected.inc();
        }
        if let Change::Faulted(fault) = change {
            let fault = match fault.kind {
                FaultKind::Disagreed { .. } => "disagreed",
                FaultKind::Equivocated { .. } => "equivocated",
                FaultKind::NotTrained { .. } => "not_trained",
                FaultKind::FalselyAudited { .. } => "falsely_audited",
            };
            let label = FaultLabel { fault, campaign: self.name.to_string() };
            self.families.faults.get_or_create(&label).inc();
        }
    }

    /// Shows where the campaign is.
    pub(crate) fn show(&self, state: &CampaignState) {
        self.log_length.set(number(state.length()));
        self.round.set(state.round().map_or(0, |round| number(round.number().0)));
        self.rounds_settled.set(number(state.settled()));
        let members = state.present();
        self.members.set(number(members as u64));
        self.now.show(state, members);
    }

    /// Shows what the blobs take that the log names, and may take.
    pub(crate) fn pinned(&self, pins: Pins, most: Option<u64>) {
        self.pinned_bytes.set(number(pins.bytes));
        self.pinned_blobs.set(number(pins.blobs));
        self.pinned_bytes_most.set(number(most.unwrap_or_default()));
    }

    /// Shows what a round's checkpoint was measured at.
    pub(crate) fn measured(&self, state: &CampaignState, round: RoundNumber, accuracy: f64) {
        self.now.measured(round, accuracy);
        self.now.show(state, state.present());
    }
}

fn number(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A registered family of metrics.
pub(super) fn family<L, M>(registry: &mut Registry, name: &str, help: &str) -> Family<L, M>
where
    L: Clone + Hash + Eq,
    M: Default,
    Family<L, M>: Metric,
{
    let family = Family::default();
    registry.register(name, help, Family::clone(&family));
    family
}
