//! The options in a file: what a flag or a variable says comes before it.

use std::path::Path;

use anyhow::{Context, Result};

use super::Options;

/// Reads the options of a file.
pub(super) fn read(path: &Path) -> Result<Options> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the configuration {} is faulty", path.display()))
}

impl Options {
    /// These, and where they say nothing the other ones.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            config: self.config,
            health: self.health,
            command: self.command,
            listen: self.listen.or(other.listen),
            data: self.data.or(other.data),
            campaign: or_list(self.campaign, other.campaign),
            campaigns: self.campaigns.or(other.campaigns),
            publishers: or_list(self.publishers, other.publishers),
            campaigns_per_publisher: self.campaigns_per_publisher.or(other.campaigns_per_publisher),
            max_published_campaigns: self.max_published_campaigns.or(other.max_published_campaigns),
            campaign_bytes: self.campaign_bytes.or(other.campaign_bytes),
            published_campaign_bytes: self.published_campaign_bytes.or(other.published_campaign_bytes),
            page: self.page.or(other.page),
            operator_name: self.operator_name.or(other.operator_name),
            operator_link: self.operator_link.or(other.operator_link),
            public_address: self.public_address.or(other.public_address),
            also: or_list(self.also, other.also),
            follow: self.follow.or(other.follow),
            witnesses: or_list(self.witnesses, other.witnesses),
            tls_certificate: self.tls_certificate.or(other.tls_certificate),
            tls_key: self.tls_key.or(other.tls_key),
            trusted_proxies: or_list(self.trusted_proxies, other.trusted_proxies),
            allow_origins: or_list(self.allow_origins, other.allow_origins),
            hsts_seconds: self.hsts_seconds.or(other.hsts_seconds),
            stun: self.stun.or(other.stun),
            stun_per_minute: self.stun_per_minute.or(other.stun_per_minute),
            turn: self.turn.or(other.turn),
            turn_public_ip: self.turn_public_ip.or(other.turn_public_ip),
            turn_allocations: self.turn_allocations.or(other.turn_allocations),
            turn_allocations_per_address: self
                .turn_allocations_per_address
                .or(other.turn_allocations_per_address),
            turn_bytes_per_second: self.turn_bytes_per_second.or(other.turn_bytes_per_second),
            turn_passwords_per_minute: self.turn_passwords_per_minute.or(other.turn_passwords_per_minute),
            ice_servers: or_list(self.ice_servers, other.ice_servers),
            log_level: self.log_level.or(other.log_level),
            max_connections: self.max_connections.or(other.max_connections),
            max_connections_per_address: self
                .max_connections_per_address
                .or(other.max_connections_per_address),
            max_pending_connections: self.max_pending_connections.or(other.max_pending_connections),
            max_pending_connections_per_address: self
                .max_pending_connections_per_address
                .or(other.max_pending_connections_per_address),
            max_reservations: self.max_reservations.or(other.max_reservations),
            max_circuits: self.max_circuits.or(other.max_circuits),
            max_circuits_per_peer: self.max_circuits_per_peer.or(other.max_circuits_per_peer),
            max_circuits_per_address: self.max_circuits_per_address.or(other.max_circuits_per_address),
            circuit_bytes: self.circuit_bytes.or(other.circuit_bytes),
            circuit_seconds: self.circuit_seconds.or(other.circuit_seconds),
            circuit_requests_per_minute: self
                .circuit_requests_per_minute
                .or(other.circuit_requests_per_minute),
            entries_per_minute: self.entries_per_minute.or(other.entries_per_minute),
            entries_per_minute_per_address: self
                .entries_per_minute_per_address
                .or(other.entries_per_minute_per_address),
            entries_per_second: self.entries_per_second.or(other.entries_per_second),
            new_accounts_per_minute_per_address: self
                .new_accounts_per_minute_per_address
                .or(other.new_accounts_per_minute_per_address),
            new_accounts_per_hour_per_address: self
                .new_accounts_per_hour_per_address
                .or(other.new_accounts_per_hour_per_address),
            max_members_per_address: self.max_members_per_address.or(other.max_members_per_address),
            blob_bytes_per_minute: self.blob_bytes_per_minute.or(other.blob_bytes_per_minute),
            pinned_bytes_per_minute: self.pinned_bytes_per_minute.or(other.pinned_bytes_per_minute),
            max_unpinned_bytes: self.max_unpinned_bytes.or(other.max_unpinned_bytes),
            max_unpinned_bytes_per_address: self
                .max_unpinned_bytes_per_address
                .or(other.max_unpinned_bytes_per_address),
            max_unpinned_bytes_per_account: self
                .max_unpinned_bytes_per_account
                .or(other.max_unpinned_bytes_per_account),
            reserve_bytes: self.reserve_bytes.or(other.reserve_bytes),
            unpinned_blob_minutes: self.unpinned_blob_minutes.or(other.unpinned_blob_minutes),
            rehearse_clock: self.rehearse_clock.or(other.rehearse_clock),
        }
    }
}

fn or_list<T>(these: Vec<T>, others: Vec<T>) -> Vec<T> {
    if these.is_empty() { others } else { these }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_setting_is_named() {
        let error = toml::from_str::<Options>("listne = 1").unwrap_err();
        assert!(error.to_string().contains("listne"), "{error}");
    }
}
