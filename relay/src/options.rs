//! What an operator can set: by flag, by `LICHEN_*` variable, in a TOML file, in this order of precedence.

mod check;
mod earlier;
mod file;
mod settings;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use lichen_record::CampaignId;
use serde::{Deserialize, Deserializer};

pub(crate) use settings::Settings;

/// Serves a Lichen campaign: the page, the ordered log, the blobs, and the entry point to the peer-to-peer network.
///
/// Every option can also be set by its environment variable, or in the file named by --config, where its name has no
/// leading dashes and underscores instead of hyphens. Flags override variables, and variables override the file.
#[derive(Clone, Debug, Default, Parser, Deserialize)]
#[command(name = "lichen-relay", version)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Options {
    /// A TOML file that sets any of the other options
    #[arg(long, env = "LICHEN_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,

    /// Ask the relay that runs with the same options whether it is ready, and exit: with code 0 if it is
    #[arg(long)]
    #[serde(skip)]
    pub(crate) health: bool,

    #[command(subcommand)]
    #[serde(skip)]
    pub(crate) command: Option<Command>,

    /// Address or host name, and port, to listen on for HTTP and peers [default: 127.0.0.1:8080]
    #[arg(long, env = "LICHEN_LISTEN", value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,

    /// Folder for keys, log and blobs; created if missing [default: .lichen]
    #[arg(long, env = "LICHEN_DATA", value_name = "FOLDER")]
    pub(crate) data: Option<PathBuf>,

    /// Folder with campaign.toml and its data file. Repeatable; the first is the one that a plain address shows
    /// [default: the embedded campaign `digits`, unless there is --campaigns]
    #[arg(long, env = "LICHEN_CAMPAIGN", value_name = "FOLDER")]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) campaign: Vec<PathBuf>,

    /// Folder with one such folder for each campaign. It is looked through again and again: whatever is added is served
    /// from then on, without a restart [default: none]
    #[arg(long, env = "LICHEN_CAMPAIGNS", value_name = "FOLDER")]
    pub(crate) campaigns: Option<PathBuf>,

    /// Account that may publish campaigns to this relay while it runs, as `lichen publish` prints it: did:key:… They are put
    /// into the folder of --campaigns. Repeatable; `open` lets any account publish, within the limits below [default: nobody]
    #[arg(long = "publisher", env = "LICHEN_PUBLISHERS", value_name = "ACCOUNT", value_delimiter = ',')]
    pub(crate) publishers: Vec<String>,

    /// Campaigns that one account may publish where any may [default: 2]
    #[arg(long, env = "LICHEN_CAMPAIGNS_PER_PUBLISHER", value_name = "NUMBER")]
    pub(crate) campaigns_per_publisher: Option<usize>,

    /// Campaigns in all that accounts may publish which are not listed, where any may [default: 16]
    #[arg(long, env = "LICHEN_MAX_PUBLISHED_CAMPAIGNS", value_name = "NUMBER")]
    pub(crate) max_published_campaigns: Option<usize>,

    /// Bytes of blobs that the log of one campaign may name; contributions to it are refused from then on [default:
    /// 68719476736]
    #[arg(long, env = "LICHEN_CAMPAIGN_BYTES", value_name = "BYTES")]
    pub(crate) campaign_bytes: Option<u64>,

    /// The same for a campaign that somebody has published [default: 4294967296]
    #[arg(long, env = "LICHEN_PUBLISHED_CAMPAIGN_BYTES", value_name = "BYTES")]
    pub(crate) published_campaign_bytes: Option<u64>,

    /// Folder to serve the page from [default: the page built into this program]
    #[arg(long, env = "LICHEN_PAGE", value_name = "FOLDER")]
    pub(crate) page: Option<PathBuf>,

    /// Name of the person or institution that runs this relay, shown to visitors [default: not shown]
    #[arg(long, env = "LICHEN_OPERATOR_NAME", value_name = "NAME")]
    pub(crate) operator_name: Option<String>,

    /// How visitors can reach the operator: an https:// or mailto: address [default: not shown]
    #[arg(long, env = "LICHEN_OPERATOR_LINK", value_name = "URL")]
    pub(crate) operator_link: Option<String>,

    /// Address at which peers reach this relay: a multiaddress without peer id, such as /dns/example.org/tcp/443/tls/ws
    /// [default: wherever the page was loaded from]
    #[arg(long, env = "LICHEN_PUBLIC_ADDRESS", value_name = "MULTIADDRESS")]
    pub(crate) public_address: Option<String>,

    /// Another address of this relay, or of the one that will take over its data folder: a multiaddress, with the peer
    /// id if that differs. Repeatable; tabs try them in order [default: none]
    #[arg(long, env = "LICHEN_ALSO", value_name = "MULTIADDRESS", value_delimiter = ',')]
    pub(crate) also: Vec<String>,

    /// Follow the relay whose page is at this address, such as https://relay.example.org: keep a checked copy of its
    /// log and blobs, and serve everything except appending. To take its place, restart without this option and with
    /// its account.key in the data folder [default: follow nobody]
    #[arg(long, env = "LICHEN_FOLLOW", value_name = "URL")]
    pub(crate) follow: Option<String>,

    /// Key of a witness whose signatures below the log's checkpoints are taken and served, as `lichen witness` prints it.
    /// Repeatable [default: none]
    #[arg(long = "witness", env = "LICHEN_WITNESSES", value_name = "KEY", value_delimiter = ',')]
    pub(crate) witnesses: Vec<String>,

    /// Certificate for https and wss: a PEM file with the whole chain, the relay's own certificate first. Read again on
    /// SIGHUP, together with the key [default: plain http and ws, for loopback or behind a TLS proxy]
    #[arg(long, env = "LICHEN_TLS_CERTIFICATE", value_name = "FILE")]
    pub(crate) tls_certificate: Option<PathBuf>,

    /// The certificate's private key: a PEM file that is not readable by everyone [default: none]
    #[arg(long, env = "LICHEN_TLS_KEY", value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Address of your own proxy in front of this relay, or a range such as 10.0.0.0/8. Repeatable. X-Forwarded-For and
    /// X-Forwarded-Proto are believed from these addresses only [default: none]
    #[arg(
        long = "trusted-proxy",
        env = "LICHEN_TRUSTED_PROXIES",
        value_name = "RANGE",
        value_delimiter = ','
    )]
    pub(crate) trusted_proxies: Vec<String>,

    /// Site whose pages may connect to this relay in addition to its own page: https://example.org, or * for any site.
    /// Repeatable [default: none]
    #[arg(long = "allow-origin", env = "LICHEN_ALLOW_ORIGINS", value_name = "ORIGIN", value_delimiter = ',')]
    pub(crate) allow_origins: Vec<String>,

    /// How long browsers that came by https are told to use https only; 0 sends no such header [default: 31536000]
    #[arg(long, env = "LICHEN_HSTS_SECONDS", value_name = "SECONDS")]
    pub(crate) hsts_seconds: Option<u32>,

    /// UDP address for STUN, which tells tabs how others reach them; usually 0.0.0.0:3478. `lichen.json` gives it to
    /// the page under the host name that the page was loaded from [default: none]
    #[arg(long, env = "LICHEN_STUN", value_name = "ADDRESS:PORT")]
    pub(crate) stun: Option<String>,

    /// STUN requests answered per address and minute [default: 300]
    #[arg(long, env = "LICHEN_STUN_PER_MINUTE", value_name = "NUMBER")]
    pub(crate) stun_per_minute: Option<u32>,

    /// UDP address for TURN, which relays datagrams between tabs without a direct path. Relayed traffic uses any UDP
    /// port that the system assigns. `ice.json` hands out passwords [default: none]
    #[arg(long, env = "LICHEN_TURN", value_name = "ADDRESS:PORT")]
    pub(crate) turn: Option<String>,

    /// Address at which peers reach TURN, if not the one it listens on [default: the one of --turn]
    #[arg(long, env = "LICHEN_TURN_PUBLIC_IP", value_name = "ADDRESS")]
    pub(crate) turn_public_ip: Option<IpAddr>,

    /// Maximum number of addresses relayed by TURN at a time [default: 1024]
    #[arg(long, env = "LICHEN_TURN_ALLOCATIONS", value_name = "NUMBER")]
    pub(crate) turn_allocations: Option<usize>,

    /// Maximum number of these per client address; a tab asks for one per peer [default: 128]
    #[arg(long, env = "LICHEN_TURN_ALLOCATIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) turn_allocations_per_address: Option<usize>,

    /// Bytes per second that each relayed address may move, both directions together [default: 1048576]
    #[arg(long, env = "LICHEN_TURN_BYTES_PER_SECOND", value_name = "BYTES")]
    pub(crate) turn_bytes_per_second: Option<u32>,

    /// TURN passwords handed out per address and minute [default: 60]
    #[arg(long, env = "LICHEN_TURN_PASSWORDS_PER_MINUTE", value_name = "NUMBER")]
    pub(crate) turn_passwords_per_minute: Option<u32>,

    /// Another operator's STUN server for the page to use, as stun:host:port. Repeatable [default: none]
    #[arg(long = "ice-server", env = "LICHEN_ICE_SERVERS", value_name = "URL", value_delimiter = ',')]
    pub(crate) ice_servers: Vec<String>,

    /// What to log: error, warn, info, debug or trace, or a level per part, such as info,libp2p_swarm=debug [default:
    /// info]
    #[arg(long, env = "LICHEN_LOG_LEVEL", value_name = "FILTER")]
    pub(crate) log_level: Option<String>,

    /// Maximum number of connections, HTTP and peers together [default: 8192]
    #[arg(long, env = "LICHEN_MAX_CONNECTIONS", value_name = "NUMBER")]
    pub(crate) max_connections: Option<usize>,

    /// Maximum number of connections from one address [default: 1024]
    #[arg(long, env = "LICHEN_MAX_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) max_connections_per_address: Option<usize>,

    /// Maximum number of connections that have neither asked for anything nor identified themselves; when it is
    /// reached, the address with the most of them loses its oldest [default: 2048]
    #[arg(long, env = "LICHEN_MAX_PENDING_CONNECTIONS", value_name = "NUMBER")]
    pub(crate) max_pending_connections: Option<usize>,

    /// Maximum number of these from one address [default: 256]
    #[arg(long, env = "LICHEN_MAX_PENDING_CONNECTIONS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) max_pending_connections_per_address: Option<usize>,

    /// Maximum number of peers that others can reach through this relay at a time; 0 for none [default: 5000]
    #[arg(long, env = "LICHEN_MAX_RESERVATIONS", value_name = "NUMBER")]
    pub(crate) max_reservations: Option<usize>,

    /// Maximum number of circuits between peers at a time; 0 for none [default: 1000]
    #[arg(long, env = "LICHEN_MAX_CIRCUITS", value_name = "NUMBER")]
    pub(crate) max_circuits: Option<usize>,

    /// Maximum number of circuits of one peer at a time [default: 16]
    #[arg(long, env = "LICHEN_MAX_CIRCUITS_PER_PEER", value_name = "NUMBER")]
    pub(crate) max_circuits_per_peer: Option<usize>,

    /// Maximum number of circuits at a time of all peers at one address [default: 250]
    #[arg(long, env = "LICHEN_MAX_CIRCUITS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) max_circuits_per_address: Option<usize>,

    /// Bytes that one circuit may carry; circuits are for signalling only [default: 262144]
    #[arg(long, env = "LICHEN_CIRCUIT_BYTES", value_name = "BYTES")]
    pub(crate) circuit_bytes: Option<u64>,

    /// Seconds that one circuit may stay open [default: 120]
    #[arg(long, env = "LICHEN_CIRCUIT_SECONDS", value_name = "SECONDS")]
    pub(crate) circuit_seconds: Option<u32>,

    /// Requests for circuits, and as many requests to be reachable, per address and minute [default: 600]
    #[arg(long, env = "LICHEN_CIRCUIT_REQUESTS_PER_MINUTE", value_name = "NUMBER")]
    pub(crate) circuit_requests_per_minute: Option<u32>,

    /// Entries that one account may append per minute [default: 240]
    #[arg(long, env = "LICHEN_ENTRIES_PER_MINUTE", value_name = "NUMBER")]
    pub(crate) entries_per_minute: Option<u32>,

    /// Entries that all accounts at one address may append per minute [default: 9000]
    #[arg(long, env = "LICHEN_ENTRIES_PER_MINUTE_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) entries_per_minute_per_address: Option<u32>,

    /// Entries that all tabs together may append per second, which is what a page that joins must keep up with. Half of
    /// it is reserved for accounts that have contributed before [default: 300]
    #[arg(long, env = "LICHEN_ENTRIES_PER_SECOND", value_name = "NUMBER")]
    pub(crate) entries_per_second: Option<u32>,

    /// Accounts new to the log that may join from one address per minute [default: 120]
    #[arg(long, env = "LICHEN_NEW_ACCOUNTS_PER_MINUTE_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) new_accounts_per_minute_per_address: Option<u32>,

    /// Accounts new to the log that may join from one address per hour [default: 600]
    #[arg(long, env = "LICHEN_NEW_ACCOUNTS_PER_HOUR_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) new_accounts_per_hour_per_address: Option<u32>,

    /// Maximum number of members at one address that rounds wait for [default: 500]
    #[arg(long, env = "LICHEN_MAX_MEMBERS_PER_ADDRESS", value_name = "NUMBER")]
    pub(crate) max_members_per_address: Option<usize>,

    /// Bytes of blobs that one account may upload per minute [default: 134217728]
    #[arg(long, env = "LICHEN_BLOB_BYTES_PER_MINUTE", value_name = "BYTES")]
    pub(crate) blob_bytes_per_minute: Option<u32>,

    /// Bytes of blobs that one account may upload per minute in a mesh, where the relay keeps only what no tab can
    /// serve [default: 16777216]
    #[arg(long, env = "LICHEN_PINNED_BYTES_PER_MINUTE", value_name = "BYTES")]
    pub(crate) pinned_bytes_per_minute: Option<u32>,

    /// Maximum number of bytes of blobs that no entry names yet; when it is reached, the address with the most loses
    /// its oldest [default: 4294967296]
    #[arg(long, alias = "max-loose-bytes", env = "LICHEN_MAX_UNPINNED_BYTES", value_name = "BYTES")]
    #[serde(alias = "max_loose_bytes")]
    pub(crate) max_unpinned_bytes: Option<u64>,

    /// Maximum number of these bytes from one address [default: 1073741824]
    #[arg(
        long,
        alias = "max-loose-bytes-per-address",
        env = "LICHEN_MAX_UNPINNED_BYTES_PER_ADDRESS",
        value_name = "BYTES"
    )]
    #[serde(alias = "max_loose_bytes_per_address")]
    pub(crate) max_unpinned_bytes_per_address: Option<u64>,

    /// Maximum number of these bytes from one account [default: 268435456]
    #[arg(
        long,
        alias = "max-loose-bytes-per-account",
        env = "LICHEN_MAX_UNPINNED_BYTES_PER_ACCOUNT",
        value_name = "BYTES"
    )]
    #[serde(alias = "max_loose_bytes_per_account")]
    pub(crate) max_unpinned_bytes_per_account: Option<u64>,

    /// Bytes of disk space reserved for the log: blobs are refused when less is free [default: 1073741824, or a tenth
    /// of a small disk]
    #[arg(long, env = "LICHEN_RESERVE_BYTES", value_name = "BYTES")]
    pub(crate) reserve_bytes: Option<u64>,

    /// Minutes after which a blob that no entry names is dropped [default: 60]
    #[arg(long, alias = "loose-blob-minutes", env = "LICHEN_UNPINNED_BLOB_MINUTES", value_name = "MINUTES")]
    #[serde(alias = "loose_blob_minutes")]
    pub(crate) unpinned_blob_minutes: Option<u32>,

    /// A file with the seconds by which the machine's clock is to seem off, read whenever the time is asked for: to
    /// rehearse what a wrong clock does [default: none]
    #[arg(long, env = "LICHEN_REHEARSE_CLOCK", value_name = "FILE", hide = true)]
    pub(crate) rehearse_clock: Option<PathBuf>,
}

/// What this program does besides serving.
#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Go back to the checkpoint that an earlier round settled with. Stop the relay first: this records the decision in
    /// its data folder, and the first round after the restart begins there. Nothing is removed from the log
    BackTo {
        /// The relay's data folder
        #[arg(long, env = "LICHEN_DATA", value_name = "FOLDER", default_value = ".lichen")]
        data: PathBuf,
        /// The round, one of the last 64; 0 is the checkpoint that the campaign started with
        #[arg(long, value_name = "NUMBER")]
        round: u64,
        /// The campaign's id, where it is not the first that the relay serves
        #[arg(long, value_name = "ID")]
        campaign: Option<CampaignId>,
    },
}

/// One folder, as versions with one campaign took it, or a list of such.
fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(PathBuf),
        More(Vec<PathBuf>),
    }
    Ok(match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(folder) => vec![folder],
        OneOrMore::More(folders) => folders,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
