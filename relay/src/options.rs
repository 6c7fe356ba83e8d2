//! What an operator can set: by flag, by `LICHEN_*` variable, in a TOML file, in this order of precedence.

mod check;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use lichen_net::MAX_ADDRESSES;
use lichen_net::swarm::libp2p::Multiaddr;
use serde::{Deserialize, Serialize};

use crate::accepting::{connections, origins, proxies};
use crate::log::newcomers;
use crate::operating::loose;
use crate::traversal::circuits::Limits;
use crate::traversal::turn;

/// Serves a Lichen campaign: the page, the ordered log, the blobs, and the way in to the peer-to-peer network.
///
/// Every option can also be given as an environment variable, or without its dashes in front and with underscores
/// in the file named by --config; a flag comes before the variable, and the variable before the file.
#[derive(Clone, Debug, Default, Parser, Deserialize)]
#[command(name = "lichen-relay", version)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// A TOML file with any of the other options
    #[arg(long, env = "LICHEN_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// Asks the relay that runs with the same options whether it is ready, and ends: exit code 0 if it is
    #[arg(long)]
    #[serde(skip)]
    pub(crate) health: bool,

    #[command(subcommand)]
    #[serde(skip)]
    pub(crate) command: Option<Command>,

    /// Where to listen, for HTTP and peers alike: an address or a name, and a port [default: 127.0.0.1:8080]
    #[arg(long, env = "LICHEN_LISTEN", value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,

    /// The folder with keys, log and blobs; made if it is not there [default: .lichen]
    #[arg(long, env = "LICHEN_DATA", value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,

    /// A folder with campaign.toml and its data file [default: the embedded campaign `digits`]
    #[arg(long, env = "LICHEN_CAMPAIGN", value_name = "FOLDER")]
    pub(crate) campaign: Option<PathBuf>,

    /// A folder to serve the page from [default: the page that was built into this program]
    #[arg(long, env = "LICHEN_PAGE", value_name = "FOLDER")]
    pub(crate) page: Option<PathBuf>,

    /// Who runs this relay, as visitors of the page are told: a person's or an institution's name [default: not said]
    #[arg(long, env = "LICHEN_OPERATOR_NAME", value_name = "NAME")]
    pub(crate) operator_name: Option<String>,

    /// Where they are to be reached: an https:// or mailto: address [default: not said]
    #[arg(long, env = "LICHEN_OPERATOR_LINK", value_name = "URL")]
    pub(crate) operator_link: Option<String>,

    /// Where peers reach this relay, as a multiaddress without peer id, for instance /dns/example.org/tcp/443/tls/ws
    /// [default: wherever the page was loaded from]
    #[arg(long, env = "LICHEN_PUBLIC_ADDRESS", value_name = "MULTIADDRESS")]
    pub(crate) public_address: Option<String>,

    /// Where else tabs find this relay, or the one that takes over its data folder: a multiaddress, with the peer id if
    /// it is another one; may be given several times, and tabs try them in turn [default: nowhere]
    #[arg(long, env = "LICHEN_ALSO", value_name = "MULTIADDRESS", value_delimiter = ',')]
    pub(crate) also: Vec<String>,

    /// Keeps a checked copy of the log and the blobs of the relay whose page is at this address, and serves it with all
    /// else but appending: https://relay.example.org. Started without this, and with that relay's account.key in the data
    /// folder, it takes that relay's place [default: follows nobody]
    #[arg(long, env = "LICHEN_FOLLOW", value_name = "URL")]
    pub(crate) follow: Option<String>,

    /// The certificate to speak https and wss with: a PEM file with the whole chain, the relay's own first. Read again
    /// on SIGHUP, together with the key [default: http and ws, for loopback or behind a TLS proxy]
    #[arg(long, env = "LICHEN_TLS_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The certificate's private key: a PEM file that not everybody can read [default: none]
    #[arg(long, env = "LICHEN_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// A proxy of yours in front of this relay, or a range of them: an address, or as in 10.0.0.0/8; may be given several
    /// times. Its X-Forwarded-For and X-Forwarded-Proto are believed, nobody else's are [default: none]
    #[arg(
        long = "trusted-proxy",
        env = "LICHEN_TRUSTED_PROXIES",
        value_name = "RANGE",
        value_delimiter = ','
    )]
    pub(crate) trusted_proxies: Vec<String>,

    /// A site whose pages may connect to this relay, besides its own page: https://example.org, or * for every site; may
    /// be given several times [default: none]
    #[arg(long = "allow-origin", env = "LICHEN_ALLOW_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) allow_origins: Vec<String>,

    /// How long browsers that came by https are told to come by https only; 0 tells them nothing [default: 31536000]
    #[arg(long, env = "LICHEN_HSTS_SECONDS", value_name = "SECONDS")]
    pub(crate) hsts_seconds: Option<u32>,

    /// Where to answer STUN, by UDP, so that tabs learn how others reach them; usually 0.0.0.0:3478. `lichen.json` names
    /// it to the page under the host name that the page was loaded from [default: none]
    #[arg(long, env = "LICHEN_STUN", value_name = "ADDRESS:PORT")]
    pub(crate) stun: Option<String>,

    /// Most STUN requests of one address answered in a minute [default: 300]
    #[arg(long, env = "LICHEN_STUN_PER_MINUTE", value_name = "NUMBER")]
    pub(crate) stun_per_minute: Option<u32>,

    /// Where to relay datagrams by TURN, by UDP, for tabs that no direct path connects; peers are then reached from any
    /// UDP port that the system gives. `ice.json` hands out passwords [default: none]
    #[arg(long, env = "LICHEN_TURN", value_name = "ADDRESS:PORT")]
    pub(crate) turn: Option<String>,

    /// The address that peers reach TURN at, where it is not the one listened on [default: the one of --turn]
    #[arg(long, env = "LICHEN_TURN_PUBLIC_IP", value_name = "ADDRESS")]
    pub(crate) turn_public_ip: Option<IpAddr>,

    /// Most addresses relayed by TURN at a time [default: 1024]
    #[arg(long, env = "LICHEN_TURN_ALLOCATIONS", value_name = "NUMBER")]
    pub(crate) turn_allocations: Option<usize>,

    /// Most of them for one address; a tab asks for one per peer [default: 128]
    #[arg(long, env = "LICHEN_TURN_ALLOCATIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) turn_allocations_per_address: Option<usize>,

    /// Most bytes that each of them moves in a second, both ways together [default: 1048576]
    #[arg(long, env = "LICHEN_TURN_BYTES_PER_SECOND", value_name = "BYTES")]
    pub(crate) turn_bytes_per_second: Option<u32>,

    /// Most times in a minute that one address is given a password for TURN [default: 60]
    #[arg(long, env = "LICHEN_TURN_PASSWORDS_PER_MINUTE", value_name = "NUMBER")]
    pub(crate) turn_passwords_per_minute: Option<u32>,

    /// A STUN server of somebody else's for the page to use, stun:host:port; may be given several times
    /// [default: none]
    #[arg(long = "ice-server", env = "LICHEN_ICE_SERVERS", value_name = "URL", value_delimiter = ',')]
    pub(crate) ice_servers: Vec<String>,

    /// What to log: error, warn, info, debug, trace, or such for each part, as in info,libp2p_swarm=debug
    /// [default: info]
    #[arg(long, env = "LICHEN_LOG_LEVEL", value_name = "FILTER")]
    pub(crate) log_level: Option<String>,

    /// Most connections at a time, HTTP and peers together [default: 8192]
    #[arg(long, env = "LICHEN_MAX_CONNECTIONS", value_name = "NUMBER")]
    pub(crate) max_connections: Option<usize>,

    /// Most connections from one address at a time [default: 1024]
    #[arg(long, env = "LICHEN_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) max_connections_per_address: Option<usize>,

    /// Most connections that have not asked anything or shown who they are yet; the oldest of whoever has the most give
    /// way [default: 2048]
    #[arg(long, env = "LICHEN_MAX_PENDING_CONNECTIONS", value_name = "NUMBER")]
    pub(crate) max_pending_connections: Option<usize>,

    /// Most of them from one address [default: 256]
    #[arg(long, env = "LICHEN_MAX_PENDING_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) max_pending_connections_per_address: Option<usize>,

    /// Most peers that others can reach through this relay at a time, 0 for none [default: 5000]
    #[arg(long, env = "LICHEN_MAX_RESERVATIONS", value_name = "NUMBER")]
    pub(crate) max_reservations: Option<usize>,

    /// Most circuits between peers at a time, 0 for none [default: 1000]
    #[arg(long, env = "LICHEN_MAX_CIRCUITS", value_name = "NUMBER")]
    pub(crate) max_circuits: Option<usize>,

    /// Most circuits of one peer at a time [default: 16]
    #[arg(long, env = "LICHEN_MAX_CIRCUITS_PER_PEER", value_name = "NUMBER")]
    pub(crate) max_circuits_per_peer: Option<usize>,

    /// Most circuits of the peers at one address at a time [default: 250]
    #[arg(long, env = "LICHEN_MAX_CIRCUITS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) max_circuits_per_address: Option<usize>,

    /// Most bytes that one circuit may carry; it is there for signalling [default: 262144]
    #[arg(long, env = "LICHEN_CIRCUIT_BYTES", value_name = "BYTES")]
    pub(crate) circuit_bytes: Option<u64>,

    /// Longest time that one circuit may stand [default: 120]
    #[arg(long, env = "LICHEN_CIRCUIT_SECONDS", value_name = "SECONDS")]
    pub(crate) circuit_seconds: Option<u32>,

    /// Most requests of one address in a minute for circuits, and as many for being reachable [default: 600]
    #[arg(long, env = "LICHEN_CIRCUIT_REQUESTS_PER_MINUTE", value_name = "NUMBER")]
    pub(crate) circuit_requests_per_minute: Option<u32>,

    /// Most entries that one account may append in a minute [default: 240]
    #[arg(long, env = "LICHEN_ENTRIES_PER_MINUTE", value_name = "NUMBER")]
    pub(crate) entries_per_minute: Option<u32>,

    /// Most entries that accounts at one address may append in a minute [default: 9000]
    #[arg(long, env = "LICHEN_ENTRIES_PER_MINUTE_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) entries_per_minute_per_address: Option<u32>,

    /// Most entries that tabs may append in a second, all together: what a page that joins can keep up with. Half of it
    /// is for accounts that have contributed before [default: 300]
    #[arg(long, env = "LICHEN_ENTRIES_PER_SECOND", value_name = "NUMBER")]
    pub(crate) entries_per_second: Option<u32>,

    /// Most accounts that the log does not know yet that may join from one address in a minute [default: 120]
    #[arg(long, env = "LICHEN_NEW_ACCOUNTS_PER_MINUTE_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) new_accounts_per_minute_per_address: Option<u32>,

    /// The same in an hour [default: 600]
    #[arg(long, env = "LICHEN_NEW_ACCOUNTS_PER_HOUR_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) new_accounts_per_hour_per_address: Option<u32>,

    /// Most members at one address that rounds wait for [default: 500]
    #[arg(long, env = "LICHEN_MAX_MEMBERS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) max_members_per_address: Option<usize>,

    /// Most bytes of blobs that one account may hand over in a minute [default: 134217728]
    #[arg(long, env = "LICHEN_BLOB_BYTES_PER_MINUTE", value_name = "BYTES")]
    pub(crate) blob_bytes_per_minute: Option<u32>,

    /// Most bytes of blobs that one account may hand over in a minute where updates go from tab to tab, and the relay
    /// keeps what nobody else can serve [default: 16777216]
    #[arg(long, env = "LICHEN_PINNED_BYTES_PER_MINUTE", value_name = "BYTES")]
    pub(crate) pinned_bytes_per_minute: Option<u32>,

    /// Most bytes of blobs that no entry names yet, all together; the oldest of whoever has the most give way
    /// [default: 4294967296]
    #[arg(long, env = "LICHEN_MAX_LOOSE_BYTES", value_name = "BYTES")]
    pub(crate) max_loose_bytes: Option<u64>,

    /// Most of them from one address [default: 1073741824]
    #[arg(long, env = "LICHEN_MAX_LOOSE_BYTES_PER_ADDRESS", value_name = "BYTES")]
    pub(crate) max_loose_bytes_per_address: Option<u64>,

    /// Most of them of one account [default: 268435456]
    #[arg(long, env = "LICHEN_MAX_LOOSE_BYTES_PER_ACCOUNT", value_name = "BYTES")]
    pub(crate) max_loose_bytes_per_account: Option<u64>,

    /// Bytes on the disk that only the log may use: with less of them free, blobs are refused [default: 1073741824, of a
    /// small disk a tenth]
    #[arg(long, env = "LICHEN_RESERVE_BYTES", value_name = "BYTES")]
    pub(crate) reserve_bytes: Option<u64>,

    /// How long a blob that no entry names is kept, in minutes [default: 60]
    #[arg(long, env = "LICHEN_LOOSE_BLOB_MINUTES", value_name = "MINUTES")]
    pub(crate) loose_blob_minutes: Option<u32>,

    /// A file with the seconds by which the machine's clock is to seem off, read whenever the time is asked for: to
    /// rehearse what a wrong clock does [default: none]
    #[arg(long, env = "LICHEN_REHEARSE_CLOCK", value_name = "FILE", hide = true)]
    pub(crate) rehearse_clock: Option<PathBuf>,
}

/// What else this program does than serve.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Goes back to the checkpoint that an earlier round settled with: writes so into the data folder of a relay that is
    /// stopped, and the next round after its start begins there. The log keeps everything
    BackTo {
        /// The relay's data folder
        #[arg(long, env = "LICHEN_DATA", value_name = "FOLDER", default_value = ".lichen")]
        data: PathBuf,
        /// The round, one of the last 64; 0 is the checkpoint that the campaign began with
        #[arg(long, value_name = "NUMBER")]
        round: u64,
    },
}

/// The options with defaults in place of what nobody has set.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// Whether a running relay is only to be asked whether it is ready.
    pub(crate) health: bool,
    /// What else is to be done than to serve.
    pub(crate) command: Option<Command>,
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) campaign: Option<PathBuf>,
    pub(crate) page: Option<PathBuf>,
    pub(crate) operator: Option<Operator>,
    pub(crate) public_address: Option<Multiaddr>,
    pub(crate) also: Vec<Multiaddr>,
    pub(crate) follow: Option<String>,
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
    pub(crate) entries_per_minute: u32,
    pub(crate) entries_per_minute_per_address: u32,
    pub(crate) newcomers: newcomers::Limits,
    pub(crate) blob_bytes_per_minute: u32,
    pub(crate) pinned_bytes_per_minute: u32,
    pub(crate) loose: loose::Limits,
    pub(crate) loose_blob_minutes: u32,
    pub(crate) rehearse_clock: Option<PathBuf>,
}

/// Who runs the relay, as they say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Operator {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) link: Option<String>,
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
        let options = Options::parse();
        let file = options.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        Self::of(options.or(file))
    }

    fn of(options: Options) -> Result<Self> {
        check_files(&options)?;
        check_numbers(&options)?;
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
        let public_address = options.public_address.as_deref();
        let public_address =
            public_address.map(|text| check::own_address("--public-address", text)).transpose()?;
        Ok(Self {
            health: options.health,
            command: options.command,
            listen: listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 8080).into()),
            data: options.data.unwrap_or_else(|| ".lichen".into()),
            campaign: options.campaign,
            page: options.page,
            operator: operator(options.operator_name, options.operator_link)?,
            public_address,
            also,
            follow: options.follow,
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
            entries_per_minute: options.entries_per_minute.unwrap_or(240),
            entries_per_minute_per_address: options.entries_per_minute_per_address.unwrap_or(9_000),
            newcomers: newcomers::Limits {
                entries_per_second: options.entries_per_second.unwrap_or(300),
                accounts_per_minute: options.new_accounts_per_minute_per_address.unwrap_or(120),
                accounts_per_hour: options.new_accounts_per_hour_per_address.unwrap_or(600),
                members: options.max_members_per_address.unwrap_or(500),
            },
            blob_bytes_per_minute: options.blob_bytes_per_minute.unwrap_or(128 * 1024 * 1024),
            pinned_bytes_per_minute: options.pinned_bytes_per_minute.unwrap_or(16 * 1024 * 1024),
            loose: loose::Limits {
                all: options.max_loose_bytes.unwrap_or(4 * 1024 * 1024 * 1024),
                per_address: options.max_loose_bytes_per_address.unwrap_or(1024 * 1024 * 1024),
                per_account: options.max_loose_bytes_per_account.unwrap_or(256 * 1024 * 1024),
                reserve: options.reserve_bytes,
            },
            loose_blob_minutes: options.loose_blob_minutes.unwrap_or(60),
            rehearse_clock: options.rehearse_clock,
        })
    }
}

/// Refuses files and folders that are not there, and what cannot be logged.
fn check_files(options: &Options) -> Result<()> {
    if let Some(folder) = &options.page {
        check::page(folder)?;
    }
    if let Some(filter) = &options.log_level {
        check::log_level(filter)?;
    }
    if let Some(folder) = &options.campaign {
        check::file("--campaign", &folder.join("campaign.toml"))?;
    }
    let files = [("--tls-certificate", &options.tls_certificate), ("--tls-key", &options.tls_key)];
    for (option, path) in files {
        if let Some(path) = path {
            check::file(option, path)?;
        }
    }
    Ok(())
}

/// Refuses limits that let nothing through. Those on reservations and circuits may: then there is no mesh by this relay.
fn check_numbers(options: &Options) -> Result<()> {
    let narrow = [
        ("stun-per-minute", options.stun_per_minute),
        ("turn-bytes-per-second", options.turn_bytes_per_second),
        ("turn-passwords-per-minute", options.turn_passwords_per_minute),
        ("circuit-seconds", options.circuit_seconds),
        ("circuit-requests-per-minute", options.circuit_requests_per_minute),
        ("entries-per-minute", options.entries_per_minute),
        ("entries-per-minute-per-address", options.entries_per_minute_per_address),
        ("blob-bytes-per-minute", options.blob_bytes_per_minute),
        ("pinned-bytes-per-minute", options.pinned_bytes_per_minute),
        ("loose-blob-minutes", options.loose_blob_minutes),
    ];
    let wide = [
        ("max-connections", options.max_connections),
        ("max-connections-per-address", options.max_connections_per_address),
        ("max-pending-connections", options.max_pending_connections),
        ("max-pending-connections-per-address", options.max_pending_connections_per_address),
        ("max-circuits-per-peer", options.max_circuits_per_peer),
        ("turn-allocations", options.turn_allocations),
        ("turn-allocations-per-address", options.turn_allocations_per_address),
    ];
    narrow.iter().try_for_each(|(name, number)| check::at_least_one(name, *number))?;
    wide.iter().try_for_each(|(name, number)| check::at_least_one(name, *number))
}

impl Options {
    /// These, and where they say nothing the other ones.
    fn or(self, other: Self) -> Self {
        Self {
            config: self.config,
            health: self.health,
            command: self.command,
            listen: self.listen.or(other.listen),
            data: self.data.or(other.data),
            campaign: self.campaign.or(other.campaign),
            page: self.page.or(other.page),
            operator_name: self.operator_name.or(other.operator_name),
            operator_link: self.operator_link.or(other.operator_link),
            public_address: self.public_address.or(other.public_address),
            also: or_list(self.also, other.also),
            follow: self.follow.or(other.follow),
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
            max_loose_bytes: self.max_loose_bytes.or(other.max_loose_bytes),
            max_loose_bytes_per_address: self
                .max_loose_bytes_per_address
                .or(other.max_loose_bytes_per_address),
            max_loose_bytes_per_account: self
                .max_loose_bytes_per_account
                .or(other.max_loose_bytes_per_account),
            reserve_bytes: self.reserve_bytes.or(other.reserve_bytes),
            loose_blob_minutes: self.loose_blob_minutes.or(other.loose_blob_minutes),
            rehearse_clock: self.rehearse_clock.or(other.rehearse_clock),
        }
    }
}

/// Longest name and link of an operator, in characters.
const OPERATOR_NAME: usize = 120;
const OPERATOR_LINK: usize = 500;

/// Visitors read the name and follow the link: neither may be something else than it looks like.
fn operator(name: Option<String>, link: Option<String>) -> Result<Option<Operator>> {
    let Some(name) = name.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()) else {
        if link.is_some() {
            bail!("--operator-link needs --operator-name");
        }
        return Ok(None);
    };
    if name.chars().count() > OPERATOR_NAME || name.chars().any(is_invisible) {
        bail!("--operator-name: use at most {OPERATOR_NAME} characters, all of them visible");
    }
    if let Some(link) = &link {
        let is_address = ["https://", "mailto:"].iter().any(|scheme| link.starts_with(scheme));
        if !is_address || link.len() > OPERATOR_LINK || link.contains(|one: char| !one.is_ascii_graphic()) {
            bail!("--operator-link {link}: it is neither https://... nor mailto:...");
        }
    }
    Ok(Some(Operator { name, link }))
}

/// Characters that show nothing, or turn the direction of reading.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

fn or_list(these: Vec<String>, others: Vec<String>) -> Vec<String> {
    if these.is_empty() { others } else { these }
}

fn read_file(path: &Path) -> Result<Options> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("the configuration {} is faulty", path.display()))
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
        assert_eq!(settings.entries_per_minute, 7);
        assert_eq!(settings.loose_blob_minutes, 60);
    }

    #[test]
    fn an_operator_is_named_as_they_are_and_not_otherwise() {
        let named = |name: &str, link: Option<&str>| operator(Some(name.into()), link.map(Into::into));
        let operator_of =
            |name: &str, link: Option<&str>| Some(Operator { name: name.into(), link: link.map(Into::into) });
        assert_eq!(operator(None, None).unwrap(), None);
        assert_eq!(named(" ", None).unwrap(), None);
        assert_eq!(named("City school", None).unwrap(), operator_of("City school", None));
        for link in ["https://school.example/about", "mailto:it@school.example"] {
            assert_eq!(named("School", Some(link)).unwrap(), operator_of("School", Some(link)));
        }
        for link in ["http://school.example", "javascript:alert(1)", "https://a b", "school.example"] {
            assert!(named("School", Some(link)).is_err(), "{link}");
        }
        assert!(operator(None, Some("https://school.example".into())).is_err());
        assert!(named(&"x".repeat(121), None).is_err());
        assert!(named("School\u{202e}", None).is_err());
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
            (&["--tls-certificate", "/nonexist", "--tls-key", "/nonexist"], "--tls-certificate /nonexist"),
            (&["--also", "/ip4/127.0.0.1/tcp/80"], "WebSocket"),
            (&["--public-address", "wss://example.org/"], "/dns/example.org"),
            (&["--turn-public-ip", "192.0.2.1"], "--turn"),
            (&["--listen", "8080"], "localhost:8080"),
            (&["--max-connections", "0"], "at least 1"),
            (&["--entries-per-minute", "0"], "at least 1"),
            (&["--loose-blob-minutes", "0"], "at least 1"),
            (&["--ice-server", "stun:"], "stun:host:port"),
        ] {
            let error = refused(arguments);
            assert!(error.contains(said), "{arguments:?}: {error}");
        }
    }

    #[test]
    fn an_unknown_setting_is_named() {
        let error = toml::from_str::<Options>("listne = 1").unwrap_err();
        assert!(error.to_string().contains("listne"), "{error}");
    }

    #[test]
    fn the_help_names_the_default_of_each_setting() {
        use clap::CommandFactory;
        let command = Options::command();
        let settings = command.get_arguments().filter(|argument| {
            !["config", "health", "help", "version"].contains(&argument.get_id().as_str())
        });
        for argument in settings {
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("[default: "), "{}: {help}", argument.get_id());
        }
    }
}
