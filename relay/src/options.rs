//! What an operator can set: by flag, by `LICHEN_*` variable, in a TOML file, in this order of precedence.

mod check;
mod earlier;
mod file;
mod settings;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Parser;
use serde::Deserialize;

pub(crate) use settings::Settings;

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
    #[arg(long, alias = "max-loose-bytes", env = "LICHEN_MAX_UNPINNED_BYTES", value_name = "BYTES")]
    #[serde(alias = "max_loose_bytes")]
    pub(crate) max_unpinned_bytes: Option<u64>,

    /// Most of them from one address [default: 1073741824]
    #[arg(
        long,
        alias = "max-loose-bytes-per-address",
        env = "LICHEN_MAX_UNPINNED_BYTES_PER_ADDRESS",
        value_name = "BYTES"
    )]
    #[serde(alias = "max_loose_bytes_per_address")]
    pub(crate) max_unpinned_bytes_per_address: Option<u64>,

    /// Most of them of one account [default: 268435456]
    #[arg(
        long,
        alias = "max-loose-bytes-per-account",
        env = "LICHEN_MAX_UNPINNED_BYTES_PER_ACCOUNT",
        value_name = "BYTES"
    )]
    #[serde(alias = "max_loose_bytes_per_account")]
    pub(crate) max_unpinned_bytes_per_account: Option<u64>,

    /// Bytes on the disk that only the log may use: with less of them free, blobs are refused [default: 1073741824, of a
    /// small disk a tenth]
    #[arg(long, env = "LICHEN_RESERVE_BYTES", value_name = "BYTES")]
    pub(crate) reserve_bytes: Option<u64>,

    /// How long a blob that no entry names is kept, in minutes [default: 60]
    #[arg(long, alias = "loose-blob-minutes", env = "LICHEN_UNPINNED_BLOB_MINUTES", value_name = "MINUTES")]
    #[serde(alias = "loose_blob_minutes")]
    pub(crate) unpinned_blob_minutes: Option<u32>,

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
