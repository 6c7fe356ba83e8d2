//! The settings that follow from the options: checked, and with the defaults of what nobody has set.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Parser;
use lichen_log::VerifierKey;
use lichen_net::MAX_ADDRESSES;
use lichen_net::swarm::libp2p::Multiaddr;

use super::{Command, Options, check, file};
use crate::accepting::{connections, origins, proxies};
use crate::hosting::{self, Operator};
use crate::log::newcomers;
use crate::operating::unpinned;
use crate::serving::http::{Publishers, Strangers};
use crate::traversal::circuits::Limits;
use crate::traversal::turn;

/// Most witnesses: clients have to read 16 signatures, and one is the log's own.
const MAX_WITNESSES: usize = 15;

/// The options with defaults in place of what nobody has set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether a running relay is only to be asked whether it is ready.
    pub(crate) health: bool,
    /// What else is to be done than to serve.
    pub(crate) command: Option<Command>,
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) campaigns: Vec<PathBuf>,
    pub(crate) campaigns_folder: Option<PathBuf>,
    pub(crate) publishers: Option<Publishers>,
    pub(crate) page: Option<PathBuf>,
    pub(crate) operator: Option<Operator>,
    pub(crate) public_address: Option<Multiaddr>,
    pub(crate) also: Vec<Multiaddr>,
    pub(crate) follow: Option<String>,
    pub(crate) witnesses: Vec<VerifierKey>,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) trusted_proxies: Vec<proxies::Range>,
    pub(crate) allow_origins: Vec<String>,
    pub(crate) hsts_seconds: u32,
    pub(crate) stun: Option<SocketAddr>,
    pub(crate) stun_per_minute: u32,
    pub(crate) turn: Option<TurnSettings>,
    pub(crate) ice_servers: Vec<String>,
    pub(crate) log_level: String,
    pub(crate) connections: connections::Limits,
    pub(crate) circuits: Limits,
    pub(crate) of_campaigns: hosting::Limits,
    pub(crate) unpinned: unpinned::Limits,
    pub(crate) unpinned_blob_minutes: u32,
    pub(crate) rehearse_clock: Option<PathBuf>,
}

/// Where and how much to relay by TURN.
#[derive(Clone, Debug)]
pub(crate) struct TurnSettings {
    pub(crate) listen: SocketAddr,
    pub(crate) public: Option<IpAddr>,
    pub(crate) limits: turn::Limits,
    pub(crate) passwords_per_minute: u32,
}

/// Where the certificate and its key are.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Settings {
    /// Reads flags and variables of this process and the file that they name.
    pub(crate) fn read() -> Result<Self> {
        let options = Options::parse().or_earlier_variables(|name| std::env::var(name).ok())?;
        let file = options.config.as_deref().map(file::read).transpose()?.unwrap_or_default();
        Self::of(options.or(file))
    }

    pub(super) fn of(options: Options) -> Result<Self> {
        check::files(&options)?;
        check::numbers(&options)?;
        let tls = match (options.tls_certificate, options.tls_key) {
            (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
            (None, None) => None,
            _ => bail!("--tls-certificate and --tls-key go together"),
        };
        if let Some(url) = &options.follow {
            check::leader(url)?;
        }
        for url in &options.ice_servers {
            check::ice_server(url)?;
        }
        if options.also.len() > MAX_ADDRESSES {
            bail!("--also can be given {MAX_ADDRESSES} times, tabs read no more");
        }
        let also = options.also.iter().map(|text| check::address("--also", text)).collect::<Result<_>>()?;
        let listen = options.listen.as_deref().map(|text| check::listen("--listen", text)).transpose()?;
        let stun = options.stun.as_deref().map(|text| check::listen("--stun", text)).transpose()?;
        let turn = options.turn.as_deref().map(|text| check::listen("--turn", text)).transpose()?;
        if turn.is_none() && options.turn_public_ip.is_some() {
            bail!("--turn-public-ip has no use without --turn");
        }
        let trusted_proxies = options
            .trusted_proxies
            .iter()
            .map(|range| range.parse())
            .collect::<Result<Vec<proxies::Range>>>();
        let allow_origins =
            options.allow_origins.iter().map(|origin| origins::parse(origin)).collect::<Result<Vec<_>>>()?;
        if options.witnesses.len() > MAX_WITNESSES {
            bail!("--witness can be given {MAX_WITNESSES} times, not every client reads more signatures");
        }
        if !options.publishers.is_empty() && options.campaigns.is_none() {
            bail!("--publisher needs --campaigns: the folder that published campaigns are put into");
        }
        let (listed, is_open) = check::publishers(&options.publishers)?;
        if !is_open && (options.campaigns_per_publisher.or(options.max_published_campaigns)).is_some() {
            bail!(
                "--campaigns-per-publisher and --max-published-campaigns have no use without --publisher open"
            );
        }
        let strangers = is_open.then(|| Strangers {
            campaigns: options.max_published_campaigns.unwrap_or(16),
            campaigns_each: options.campaigns_per_publisher.unwrap_or(2),
        });
        let publishers = (!options.publishers.is_empty()).then_some(Publishers { listed, strangers });
        let witnesses = options.witnesses.iter().map(|key| check::witness(key)).collect::<Result<_>>()?;
        let public_address = options.public_address.as_deref();
        let public_address =
            public_address.map(|text| check::own_address("--public-address", text)).transpose()?;
        Ok(Self {
            health: options.health,
            command: options.command,
            listen: listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 8080).into()),
            data: options.data.unwrap_or_else(|| ".lichen".into()),
            campaigns: options.campaign,
            campaigns_folder: options.campaigns,
            publishers,
            page: options.page,
            operator: check::operator(options.operator_name, options.operator_link)?,
            public_address,
            also,
            follow: options.follow,
            witnesses,
            tls,
            trusted_proxies: trusted_proxies.context("--trusted-proxy")?,
            allow_origins,
            hsts_seconds: options.hsts_seconds.unwrap_or(365 * 24 * 60 * 60),
            stun,
            stun_per_minute: options.stun_per_minute.unwrap_or(300),
            turn: turn.map(|listen| TurnSettings {
                listen,
                public: options.turn_public_ip,
                limits: turn::Limits {
                    allocations: options.turn_allocations.unwrap_or(1_024),
                    allocations_per_address: options.turn_allocations_per_address.unwrap_or(128),
                    bytes_per_second: options.turn_bytes_per_second.unwrap_or(1_048_576),
                },
                passwords_per_minute: options.turn_passwords_per_minute.unwrap_or(60),
            }),
            ice_servers: options.ice_servers,
            log_level: options.log_level.unwrap_or_else(|| "info".into()),
            connections: connections::Limits {
                all: options.max_connections.unwrap_or(8192),
                per_address: options.max_connections_per_address.unwrap_or(1024),
                silent: options.max_pending_connections.unwrap_or(2048),
                silent_per_address: options.max_pending_connections_per_address.unwrap_or(256),
            },
            circuits: Limits {
                reservations: options.max_reservations.unwrap_or(5_000),
                circuits: options.max_circuits.unwrap_or(1_000),
                circuits_per_peer: options.max_circuits_per_peer.unwrap_or(16),
                circuits_per_address: options.max_circuits_per_address.unwrap_or(250),
                circuit_bytes: options.circuit_bytes.unwrap_or(262_144),
                circuit_seconds: options.circuit_seconds.unwrap_or(120),
                requests_per_minute: options.circuit_requests_per_minute.unwrap_or(600),
            },
            of_campaigns: hosting::Limits {
                entries_per_minute: options.entries_per_minute.unwrap_or(240),
                entries_per_minute_per_address: options.entries_per_minute_per_address.unwrap_or(9_000),
                newcomers: newcomers::Limits {
                    entries_per_second: options.entries_per_second.unwrap_or(300),
                    accounts_per_minute: options.new_accounts_per_minute_per_address.unwrap_or(120),
                    accounts_per_hour: options.new_accounts_per_hour_per_address.unwrap_or(600),
                    members: options.max_members_per_address.unwrap_or(500),
                },
                blob_bytes_per_minute: options.blob_bytes_per_minute.unwrap_or(128 * 1024 * 1024),
                campaign_bytes: options.campaign_bytes.unwrap_or(64 * 1024 * 1024 * 1024),
                published_campaign_bytes: options.published_campaign_bytes.unwrap_or(4 * 1024 * 1024 * 1024),
                pinned_bytes_per_minute: options.pinned_bytes_per_minute.unwrap_or(16 * 1024 * 1024),
            },
            unpinned: unpinned::Limits {
                all: options.max_unpinned_bytes.unwrap_or(4 * 1024 * 1024 * 1024),
                per_address: options.max_unpinned_bytes_per_address.unwrap_or(1024 * 1024 * 1024),
                per_account: options.max_unpinned_bytes_per_account.unwrap_or(256 * 1024 * 1024),
                reserve: options.reserve_bytes,
            },
            unpinned_blob_minutes: options.unpinned_blob_minutes.unwrap_or(60),
            rehearse_clock: options.rehearse_clock,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_comes_before_the_file_and_the_file_before_the_default() {
        let flags = Options::parse_from(["lichen-relay", "--listen", "127.0.0.1:1"]);
        let file: Options = toml::from_str("listen = \"127.0.0.1:2\"\nentries_per_minute = 7").unwrap();
        let settings = Settings::of(flags.or(file)).unwrap();
        assert_eq!(settings.listen.port(), 1);
        assert_eq!(settings.of_campaigns.entries_per_minute, 7);
        assert_eq!(settings.unpinned_blob_minutes, 60);
    }

    #[test]
    fn what_could_never_work_is_refused_with_what_would() {
        let refused = |arguments: &[&str]| {
            let arguments = std::iter::once("lichen-relay").chain(arguments.iter().copied());
            Settings::of(Options::parse_from(arguments)).unwrap_err().to_string()
        };
        for (arguments, said) in [
            (&["--log-level", "verbose"][..], "trace"),
            (&["--page", "/nonexist"], "is no folder"),
            (&["--campaign", "/nonexist"], "campaign.toml"),
            (&["--campaigns", "/nonexist"], "is no folder"),
            (&["--publisher", "did:key:zDn"], "--campaigns"),
            (&["--campaigns", "/tmp", "--publisher", "somebody"], "did:key:"),
            (&["--campaigns-per-publisher", "3"], "--publisher open"),
            (&["--campaign-bytes", "0"], "at least 1"),
            (&["--tls-certificate", "/nonexist", "--tls-key", "/nonexist"], "--tls-certificate /nonexist"),
            (&["--also", "/ip4/127.0.0.1/tcp/80"], "WebSocket"),
            (&["--public-address", "wss://example.org/"], "/dns/example.org"),
            (&["--turn-public-ip", "192.0.2.1"], "--turn"),
            (&["--listen", "8080"], "localhost:8080"),
            (&["--max-connections", "0"], "at least 1"),
            (&["--entries-per-minute", "0"], "at least 1"),
            (&["--unpinned-blob-minutes", "0"], "at least 1"),
            (&["--ice-server", "stun:"], "stun:host:port"),
        ] {
            let error = refused(arguments);
            assert!(error.contains(said), "{arguments:?}: {error}");
        }
    }
}
