//! Every limit of the relay in one table: whom it counts for, where it stands by default, which option moves it, and under
//! which name is counted what it kept out. The table in `relay/README.md` is this one; a test holds the two against each other.
//!
//! An address is an IPv4 address or an IPv6 /64, which is what one household has: [`crate::fairness::rates::network`]. A site is an IPv6
//! /48, of which anybody may have one: [`crate::fairness::rates::site`].

use Counted::{Limited, Refused};
use Scope::{
    Account, AccountInCampaign, Address, AddressInCampaign, Campaign, Connection, Peer, Relay, Site,
};

/// One limit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// Its name in the metrics.
    pub(crate) name: &'static str,
    #[cfg_attr(not(test), expect(dead_code, reason = "the README says it, and a test compares"))]
    pub(crate) scope: Scope,
    /// Where it stands unless the operator moves it, in words.
    #[cfg_attr(not(test), expect(dead_code, reason = "the README says it, and a test compares"))]
    pub(crate) default: &'static str,
    /// The option that moves it.
    #[cfg_attr(not(test), expect(dead_code, reason = "the README says it, and a test compares"))]
    pub(crate) option: Option<&'static str>,
    pub(crate) counted: Counted,
}

/// What a limit is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    Connection,
    Peer,
    Account,
    Address,
    Site,
    Relay,
    /// Each campaign has its own.
    Campaign,
    /// Each account or address has its own in each campaign.
    AccountInCampaign,
    AddressInCampaign,
}

/// The metric that counts what a limit kept out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// `lichen_limited_total`.
    Limited,
    /// `lichen_refused_total`: whoever asked was told this reason.
    Refused,
}

const fn limit(
    name: &'static str,
    scope: Scope,
    default: &'static str,
    option: Option<&'static str>,
    counted: Counted,
) -> Limit {
    Limit { name, scope, default, option, counted }
}

/// All of them.
#[rustfmt::skip]
pub(crate) const LIMITS: &[Limit] = &[
    limit("campaigns", Relay, "64", None, Limited),
    limit("published_campaigns", Relay, "16 by accounts that are not listed", Some("max-published-campaigns"), Limited),
    limit("campaigns_per_publisher", Account, "2 where any may publish", Some("campaigns-per-publisher"), Limited),
    limit("publications", Relay, "one at a time", None, Limited),
    limit("connections", Relay, "8,192", Some("max-connections"), Limited),
    limit("connections_per_address", Address, "1,024", Some("max-connections-per-address"), Limited),
    limit("connections_per_site", Site, "what 4 addresses may have, at most half of all", None, Limited),
    limit("connections_per_peer", Peer, "4", None, Limited),
    limit("pending_connections", Relay, "2,048", Some("max-pending-connections"), Limited),
    limit("pending_connections_per_address", Address, "256", Some("max-pending-connections-per-address"), Limited),
    limit("handshake_seconds", Connection, "10 s for TLS", None, Limited),
    limit("head_seconds", Connection, "10 s for the first request", None, Limited),
    limit("foreign_origin", Connection, "the relay's own page", Some("allow-origin"), Limited),
    limit("streams_per_address", Address, "8 for each connection that it may have; 32,768 in all", None, Limited),
    limit("follows_per_address", Address, "one for each connection that it may have; 16,384 in all", None, Limited),
    limit("follows_per_connection", Connection, "16", None, Limited),
    limit("replies_per_address", Address, "128 large ones under way; 512 in all, 8 a connection", None, Limited),
    limit("uploads_per_address", Address, "128 blobs under way; 512 in all, 8 a connection", None, Limited),
    limit("downloads_per_address", Address, "64 blobs over HTTP under way; 256 in all", None, Limited),
    limit("tiles_per_address", Address, "16 tiles of the log's tree over HTTP under way; 64 in all", None, Limited),
    limit("places_per_site", Site, "of each of these what 4 addresses may have, at most half of all", None, Limited),
    limit("unread_bytes", Relay, "192 MiB sent by peers and not read yet", None, Limited),
    limit("unread_bytes_per_address", Address, "64 MiB", None, Limited),
    limit("unread_bytes_per_site", Site, "96 MiB", None, Limited),
    limit("received_bytes_per_address", Address, "32 MiB a second, 64 MiB at once", None, Limited),
    limit("received_bytes_per_site", Site, "what 4 addresses may send", None, Limited),
    limit("slow_readers", Connection, "20 s in which nothing moves, then 8 KiB a second", None, Limited),
    limit("slow_senders", Connection, "20 s in which nothing moves, then 8 KiB a second", None, Limited),
    limit("reservations", Relay, "5,000", Some("max-reservations"), Limited),
    limit("reservation_requests_per_address", Address, "600 a minute", Some("circuit-requests-per-minute"), Limited),
    limit("reservation_requests_per_peer", Peer, "60 a minute", None, Limited),
    limit("circuits", Relay, "1,000", Some("max-circuits"), Limited),
    limit("circuits_per_address", Address, "250", Some("max-circuits-per-address"), Limited),
    limit("circuits_per_peer", Peer, "16", Some("max-circuits-per-peer"), Limited),
    limit("circuit_requests_per_address", Address, "600 a minute", Some("circuit-requests-per-minute"), Limited),
    limit("circuit_requests_per_peer", Peer, "60 a minute", None, Limited),
    limit("circuit_bytes", Connection, "256 KiB", Some("circuit-bytes"), Limited),
    limit("circuit_seconds", Connection, "120 s", Some("circuit-seconds"), Limited),
    limit("registrations", AddressInCampaign, "1,000; 8 an account, 10,000 in all", None, Limited),
    limit("registrations_per_minute", Address, "3,000; 60 an account", None, Limited),
    limit("crowded", Campaign, "300 entries a second", Some("entries-per-second"), Refused),
    limit("quota_address", AddressInCampaign, "9,000 entries a minute", Some("entries-per-minute-per-address"), Refused),
    limit("quota_entries", AccountInCampaign, "240 entries a minute", Some("entries-per-minute"), Refused),
    limit("too_many_accounts", AddressInCampaign, "120 new ones a minute", Some("new-accounts-per-minute-per-address"), Refused),
    limit("too_many_accounts", AddressInCampaign, "600 new ones an hour", Some("new-accounts-per-hour-per-address"), Refused),
    limit("too_many_members", AddressInCampaign, "500", Some("max-members-per-address"), Refused),
    limit("quota_bytes", AccountInCampaign, "128 MiB of blobs a minute", Some("blob-bytes-per-minute"), Refused),
    limit("pinned_bytes", AccountInCampaign, "16 MiB a minute in a mesh", Some("pinned-bytes-per-minute"), Limited),
    limit("campaign_full", Campaign, "64 GiB of blobs that its log names", Some("campaign-bytes"), Refused),
    limit("campaign_full", Campaign, "4 GiB where somebody published it", Some("published-campaign-bytes"), Refused),
    limit("unpinned_bytes", Relay, "4 GiB that no entry names", Some("max-unpinned-bytes"), Limited),
    limit("unpinned_bytes_per_address", Address, "1 GiB", Some("max-unpinned-bytes-per-address"), Limited),
    limit("unpinned_bytes_per_account", Account, "256 MiB", Some("max-unpinned-bytes-per-account"), Limited),
    limit("disk_reserve", Relay, "1 GiB free, or a tenth of the disk", Some("reserve-bytes"), Limited),
    limit("disk", Relay, "no space left", None, Limited),
    limit("stun", Relay, "300,000 requests a minute", None, Limited),
    limit("stun_per_address", Address, "300 a minute", Some("stun-per-minute"), Limited),
    limit("turn_allocations", Relay, "1,024", Some("turn-allocations"), Limited),
    limit("turn_allocations_per_address", Address, "128", Some("turn-allocations-per-address"), Limited),
    limit("turn_bytes", Connection, "1 MiB a second each", Some("turn-bytes-per-second"), Limited),
    limit("turn_passwords_per_address", Address, "60 a minute", Some("turn-passwords-per-minute"), Limited),
    limit("turn_requests_per_address", Address, "600 new clients a minute", None, Limited),
    limit("turn_requests", Connection, "some a second", None, Limited),
    limit("turn_clients", Relay, "4,096 without a password", None, Limited),
    limit("turn_waiting", Connection, "64 datagrams", None, Limited),
];

impl Scope {
    /// The scope in words.
    #[cfg(test)]
    const fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Peer => "peer",
            Self::Account => "account",
            Self::Address => "address",
            Self::Site => "site",
            Self::Relay => "relay",
            Self::Campaign => "campaign",
            Self::AccountInCampaign => "account and campaign",
            Self::AddressInCampaign => "address and campaign",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use clap::CommandFactory;

    use super::*;
    use crate::operating::metrics::Metrics;
    use crate::options::Options;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// The row of a limit in the README.
    fn row(limit: &Limit) -> String {
        let Limit { name, scope, default, option, counted } = limit;
        let option = option.map_or("–".to_owned(), |option| format!("`--{option}`"));
        let name = if *counted == Limited { format!("`{name}`") } else { format!("`{name}` (refused)") };
        format!("| {name} | {} | {default} | {option} |\n", scope.word())
    }

    #[test]
    fn the_readme_says_each_limit_as_it_is() {
        let readme = fs::read_to_string(root().join("relay/README.md")).unwrap();
        let table: String = LIMITS.iter().map(row).collect();
        assert!(readme.contains(&table), "the README's table of limits should be:\n{table}");
    }

    #[test]
    fn each_limit_has_its_option_with_that_default() {
        let command = Options::command();
        for limit in LIMITS {
            let Some(option) = limit.option else { continue };
            let argument = command.get_arguments().find(|argument| argument.get_long() == Some(option));
            assert!(argument.is_some(), "there is no --{option}");
        }
    }

    #[test]
    fn each_limit_is_shown_before_it_is_reached() {
        let text = Metrics::new().text().unwrap();
        for Limit { name, counted, .. } in LIMITS {
            let line = match counted {
                Limited => format!("lichen_limited_total{{limit=\"{name}\"}} 0\n"),
                Refused => format!("lichen_refused_total{{reason=\"{name}\"}} 0\n"),
            };
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn nothing_is_limited_under_another_name() {
        let mut found = 0;
        for file in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            let text = fs::read_to_string(&file).unwrap();
            for call in text.split(".limit(\"").skip(1) {
                let name = call.split('"').next().unwrap();
                let is_known = LIMITS.iter().any(|limit| limit.name == name && limit.counted == Limited);
                assert!(is_known || file.ends_with("limits.rs"), "{}: {name}", file.display());
                found += 1;
            }
        }
        assert!(found > 20, "only {found} calls found");
    }

    fn sources(folder: &Path) -> Vec<PathBuf> {
        let paths = fs::read_dir(folder).unwrap().map(|item| item.unwrap().path());
        paths.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
    }
}
