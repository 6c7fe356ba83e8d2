//! What the relay counts, for Prometheus.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lichen_net::hub::Reason;
use lichen_net::swarm::transport::Traffic;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::operating::campaign_metrics::{CampaignFamilies, CampaignMetrics, family};
use crate::operating::limits::{Counted, LIMITS, Limit};

/// Every metric of the relay.
pub(crate) struct Metrics {
    registry: Registry,
    refused: Family<ReasonLabel, Counter>,
    requests: Family<RequestLabel, Counter>,
    circuits: Family<OutcomeLabel, Counter>,
    rendezvous: Family<OutcomeLabel, Counter>,
    pub(crate) blobs_stored: Counter,
    pub(crate) blob_bytes_stored: Counter,
    pub(crate) blobs_dropped: Counter,
    pub(crate) unpinned_bytes: Gauge,
    pub(crate) disk_free: Gauge,
    pub(crate) connections: Gauge,
    pub(crate) pending_connections: Gauge,
    pub(crate) unread_bytes: Gauge,
    limits: Family<LimitLabel, Counter>,
    pub(crate) tls_failures: Counter,
    certificates: Family<OutcomeLabel, Counter>,
    stun: Family<OutcomeLabel, Counter>,
    turn: Family<OutcomeLabel, Counter>,
    pub(crate) turn_bytes: Counter,
    pub(crate) turn_allocations: Gauge,
    pub(crate) peers: Gauge,
    pub(crate) circuits_open: Gauge,
    pub(crate) sent_back: Counter,
    /// Campaigns served, and folders that hold none that can be.
    pub(crate) hosted: Gauge,
    pub(crate) faulty: Gauge,
    received: Counter,
    sent: Counter,
    traffic: Arc<Traffic>,
    campaigns: Arc<CampaignFamilies>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabel {
    request: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

impl Metrics {
    /// All at zero.
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("lichen");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The running program", version);
        let refused = family(&mut registry, "refused", "Requests refused, by reason");
        let limits =
            family(&mut registry, "limited", "What was refused because a limit was reached, by limit");
        // Each is there before it is reached, so that whoever watches knows its name.
        for Limit { name, counted, .. } in LIMITS {
            match counted {
                Counted::Limited => drop(limits.get_or_create(&LimitLabel { limit: name })),
                Counted::Refused => drop(refused.get_or_create(&ReasonLabel { reason: name })),
            }
        }
        Self {
            refused,
            requests: family(&mut registry, "requests", "Requests answered or refused, by kind"),
            circuits: family(
                &mut registry,
                "circuits",
                "Circuits and reservations for signalling, by outcome",
            ),
            rendezvous: family(
                &mut registry,
                "rendezvous",
                "Registrations of tabs that may be found by others, by outcome, and lists told",
            ),
            blobs_stored: counter(&mut registry, "blobs_stored", "Blobs that peers have handed over"),
            blob_bytes_stored: counter(&mut registry, "blob_bytes_stored", "Bytes of these blobs"),
            blobs_dropped: counter(
                &mut registry,
                "blobs_dropped",
                "Blobs dropped because no entry named them",
            ),
            unpinned_bytes: gauge(&mut registry, "unpinned_bytes", "Bytes of blobs that no entry names"),
            disk_free: gauge(&mut registry, "disk_free_bytes", "Free bytes on the disk with the data folder"),
            connections: gauge(&mut registry, "connections", "Open connections, HTTP and peers together"),
            pending_connections: gauge(
                &mut registry,
                "pending_connections",
                "Those of them that have not asked anything or shown who they are yet",
            ),
            unread_bytes: gauge(
                &mut registry,
                "unread_bytes",
                "Bytes that peers have sent and that wait to be read",
            ),
            limits,
            tls_failures: counter(&mut registry, "tls_failures", "Connections that did not agree on TLS"),
            certificates: family(
                &mut registry,
                "certificate_reloads",
                "Times the certificate was read again, by outcome",
            ),
            turn: family(&mut registry, "turn", "What came of what clients of TURN sent, by outcome"),
            turn_bytes: counter(&mut registry, "turn_sent_bytes", "Bytes relayed by TURN to peers"),
            turn_allocations: gauge(&mut registry, "turn_allocations", "Addresses relayed by TURN"),
            stun: family(&mut registry, "stun", "Datagrams that came for STUN, by outcome"),
            peers: gauge(&mut registry, "peers", "Connected peers"),
            circuits_open: gauge(&mut registry, "circuits_open", "Open circuits for signalling"),
            sent_back: counter(
                &mut registry,
                "sent_back",
                "Connections closed because the relay that this one follows was there again",
            ),
            hosted: gauge(&mut registry, "campaigns", "Campaigns served"),
            faulty: gauge(
                &mut registry,
                "campaigns_faulty",
                "Folders of --campaigns with something that cannot be served, which the log says more of",
            ),
            received: counter(&mut registry, "received_bytes", "Bytes received from peers"),
            sent: counter(&mut registry, "sent_bytes", "Bytes sent to peers"),
            traffic: Arc::default(),
            campaigns: CampaignFamilies::new(&mut registry),
            registry,
        }
    }

    /// Where the swarm counts its bytes.
    pub(crate) fn traffic(&self) -> Arc<Traffic> {
        Arc::clone(&self.traffic)
    }

    pub(crate) fn refuse(&self, reason: Reason) {
        self.refused.get_or_create(&ReasonLabel { reason: reason.label() }).inc();
    }

    pub(crate) fn circuit(&self, outcome: &'static str) {
        self.circuits.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    /// Counts what a limit has kept out.
    pub(crate) fn limit(&self, limit: &'static str) {
        self.limits.get_or_create(&LimitLabel { limit }).inc();
    }

    pub(crate) fn stun(&self, outcome: &'static str) {
        self.stun.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn turn(&self, outcome: &'static str) {
        self.turn.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn certificate_read(&self, outcome: &'static str) {
        self.certificates.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn rendezvous(&self, outcome: &'static str) {
        self.rendezvous.get_or_create(&OutcomeLabel { outcome }).inc();
    }

    pub(crate) fn request(&self, request: &'static str) {
        self.requests.get_or_create(&RequestLabel { request }).inc();
    }

    /// Those of a campaign with this name, which no other has.
    pub(crate) fn of_campaign(&self, name: Arc<str>) -> Arc<CampaignMetrics> {
        self.campaigns.of(name)
    }

    /// The metrics as Prometheus reads them.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        self.received.inner().store(self.traffic.received(), Ordering::Relaxed);
        self.sent.inner().store(self.traffic.sent(), Ordering::Relaxed);
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter<u64, AtomicU64> {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_counted_by_reason() {
        let metrics = Metrics::new();
        metrics.refuse(Reason::TooLarge);
        metrics.refuse(Reason::TooLarge);
        metrics.refuse(Reason::Inadmissible(lichen_round::Refusal::WrongRound));
        let text = metrics.text().unwrap();
        assert!(text.contains("lichen_refused_total{reason=\"too_large\"} 2\n"), "{text}");
        assert!(text.contains("lichen_refused_total{reason=\"wrong_round\"} 1\n"), "{text}");
    }
}
