//! What all attacks need: connections from the attacker's address, and accounts made up as they go.

use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::Result;
use lichen_net::hub::{Reason, Reply, Request};
use lichen_net::swarm::libp2p::Multiaddr;
use lichen_record::{CampaignId, Entry, SigningKey};

use crate::client::Client;
use crate::link;
use crate::target::Target;

/// Somebody with one address, any number of accounts, and time until the attack ends.
#[derive(Clone)]
pub(crate) struct Attacker {
    pub(crate) address: Multiaddr,
    pub(crate) campaign: CampaignId,
    pub(crate) port: u16,
    pub(crate) end: Instant,
    done: Arc<Done>,
    accounts: Arc<AtomicU64>,
}

/// What an attack did, and what the relay let it do.
#[derive(Default)]
pub(crate) struct Done {
    tried: AtomicU64,
    got: AtomicU64,
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tried, got) = (self.tried.load(Ordering::Relaxed), self.got.load(Ordering::Relaxed));
        write!(f, "{got} of {tried} tries got through")
    }
}

impl Attacker {
    /// Somebody who attacks until then. `salt` keeps accounts of different attacks apart.
    pub(crate) fn new(target: &Target, end: Instant, salt: u64) -> Self {
        let (address, accounts) = (target.address.clone(), Arc::new(AtomicU64::new(salt << 32)));
        let (campaign, port) = (target.campaign, target.port);
        Self { address, campaign, port, end, done: Arc::default(), accounts }
    }

    /// The same, coming from an address of its own.
    pub(crate) async fn elsewhere(self) -> Result<Self> {
        let address = link::forward(link::ATTACKER, &self.address, self.port).await?;
        Ok(Self { address, ..self })
    }

    pub(crate) fn is_on(&self) -> bool {
        Instant::now() < self.end
    }

    /// Counts a try.
    pub(crate) fn count(&self, got_through: bool) {
        self.done.tried.fetch_add(1, Ordering::Relaxed);
        self.done.got.fetch_add(got_through.into(), Ordering::Relaxed);
    }

    /// What was done so far.
    pub(crate) fn done(&self) -> Arc<Done> {
        Arc::clone(&self.done)
    }

    /// Where raw connections come from.
    pub(crate) fn from(&self) -> Ipv4Addr {
        link::ATTACKER
    }

    /// A key that nobody has seen.
    pub(crate) fn new_key(&self) -> SigningKey {
        let number = self.accounts.fetch_add(1, Ordering::Relaxed);
        let mut seed = [7; 32];
        seed.iter_mut().zip(number.to_le_bytes()).for_each(|(to, from)| *to = from);
        SigningKey::generate(seed)
    }

    /// A connection with an account that nobody has seen.
    pub(crate) async fn client(&self) -> Result<(Client, SigningKey)> {
        let (client, key) = (Client::connect(&self.address).await?, self.new_key());
        client.hello(&key).await?;
        Ok((client, key))
    }

    /// Appends an entry; whether it got a receipt.
    pub(crate) async fn append(&self, client: &Client, key: &SigningKey, entry: &Entry) -> Result<bool> {
        let request = Request::Append { campaign: self.campaign, entry: key.sign(entry)? };
        Ok(matches!(client.ask(&request.to_bytes()?).await?, Reply::Receipt { .. }))
    }

    /// Stores a blob; why not where the relay does not take it.
    pub(crate) async fn put(&self, client: &Client, bytes: Vec<u8>) -> Result<Option<Reason>> {
        Ok(match client.ask(&Request::PutBlob { bytes }.to_bytes()?).await? {
            Reply::Refused { reason } => Some(reason),
            _ => None,
        })
    }
}
