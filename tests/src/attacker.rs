//! Somebody with an account of their own who contributes and attests what they like.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "it takes part in tests and demonstrations, which may fail"
)]

use std::time::Duration;

use futures::StreamExt;
use futures::channel::mpsc::Receiver;
use lichen_log::Record;
use lichen_net::hub::{Reason, Records, Reply, Request};
use lichen_net::swarm::{self, Handle};
use lichen_net::{Command, Event, MAX_FRAME, RequestId};
use lichen_record::{
    AccountId, CampaignId, Cid, EngineVersion, Entry, Metrics, RoundNumber, SessionCertificate, SigningKey,
    decode, verify,
};
use lichen_round::Refusal;
use lichen_testkit::http;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A member that speaks the hub's protocol by hand.
pub struct Attacker {
    key: SigningKey,
    campaign: CampaignId,
    handle: Handle,
    events: Receiver<Event>,
    requests: u64,
    relay: String,
    read: u64,
    /// The last round, unless it was dealt with.
    last: Option<(RoundNumber, Cid, Stage)>,
}

/// How far a round is, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    Closed,
}

impl Attacker {
    /// Connects to the relay at this address, says hello and joins.
    pub async fn join(relay: &str, number: u8) -> Self {
        let words = http::get(&format!("{relay}lichen.json"), &[], LIMIT).unwrap().text();
        let site: lichen_bridge::Relay = serde_json::from_str(&words).unwrap();
        let (handle, mut events) = swarm::spawn_to_hub().unwrap();
        let Some(Event::Started { peer }) = events.next().await else { panic!("the swarm did not start") };
        handle.send(Command::Connect { address: site.address, also: site.also }).unwrap();
        while !matches!(events.next().await, Some(Event::Connected { .. })) {}
        let key = SigningKey::generate([number; 32]);
        let campaign = site.campaign.parse().unwrap();
        let mut attacker =
            Self { key, campaign, handle, events, requests: 0, relay: relay.to_owned(), read: 0, last: None };
        let Reply::Welcome { time, .. } = attacker.hello(peer.clone(), now()).await else {
            panic!("not welcome")
        };
        assert!(time > 0);
        attacker.append(&Entry::Joined { campaign, sequence: 1 }).await.unwrap();
        attacker
    }

    /// Its account's id.
    #[must_use]
    pub fn id(&self) -> AccountId {
        self.key.account()
    }

    /// Its account, `did:key:…`.
    #[must_use]
    pub fn account(&self) -> String {
        self.key.account().to_string()
    }

    async fn hello(&mut self, peer: Vec<u8>, issued: u64) -> Reply {
        let certificate = self.key.sign(&SessionCertificate { peer, issued }).unwrap();
        self.ask(&Request::Hello { certificate }).await
    }

    /// Contributes this update to the next round that opens, and says which one that was.
    ///
    /// # Errors
    /// The relay's reason for refusing it.
    pub async fn contribute(&mut self, update: Vec<u8>) -> Result<RoundNumber, Reason> {
        self.contribute_as(update, None).await
    }

    /// As [`Attacker::contribute`], saying that this engine trained.
    ///
    /// # Errors
    /// The same.
    pub async fn contribute_as(
        &mut self,
        update: Vec<u8>,
        engine: Option<EngineVersion>,
    ) -> Result<RoundNumber, Reason> {
        self.contribute_with(update, engine, |_round, _base| None).await
    }

    /// As [`Attacker::contribute_as`], with the blob of a trace for the round and its base.
    ///
    /// # Errors
    /// The same.
    pub async fn contribute_with(
        &mut self,
        update: Vec<u8>,
        engine: Option<EngineVersion>,
        trace: impl Fn(RoundNumber, Cid) -> Option<Vec<u8>>,
    ) -> Result<RoundNumber, Reason> {
        let cid = Cid::of_raw(&update);
        assert_eq!(self.ask(&Request::PutBlob { bytes: update }).await, Reply::Stored { cid });
        loop {
            let (round, base) = self.next_round(Stage::Open).await;
            let trace = match trace(round, base) {
                Some(bytes) => {
                    let cid = Cid::of_raw(&bytes);
                    assert_eq!(self.ask(&Request::PutBlob { bytes }).await, Reply::Stored { cid });
                    Some(cid)
                }
                None => None,
            };
            let metrics = Metrics::new(0.01, 1.0, 60).unwrap();
            let campaign = self.campaign;
            let entry = Entry::Contribution {
                campaign,
                round,
                base,
                update: cid,
                samples: 480,
                metrics,
                engine,
                trace,
            };
            match self.append(&entry).await {
                Ok(()) => return Ok(round),
                Err(Reason::Inadmissible(refusal)) if refusal == Refusal::Barred => {
                    return Err(Reason::Inadmissible(refusal));
                }
                // Everybody else was faster: there will be another round.
                Err(Reason::Inadmissible(_)) => {}
                Err(reason) => return Err(reason),
            }
        }
    }

    /// Attests this as the result of the next round that closes.
    ///
    /// # Errors
    /// The relay's reason for refusing it.
    pub async fn attest(&mut self, result: Cid) -> Result<(), Reason> {
        let (round, base) = self.next_round(Stage::Closed).await;
        let campaign = self.campaign;
        self.append(&Entry::Attestation {
            campaign,
            round,
            base,
            result,
            state: None,
            difference: None,
            excluded: 0,
        })
        .await
    }

    /// The last round, once it is at this stage by what was not read before.
    async fn next_round(&mut self, wanted: Stage) -> (RoundNumber, Cid) {
        let search = async {
            loop {
                for record in self.read().await {
                    match verify::<Entry>(&record.entry).unwrap().get() {
                        Entry::RoundOpened { round, base, .. } => {
                            self.last = Some((*round, *base, Stage::Open));
                        }
                        Entry::RoundClosed { .. } => {
                            self.last = self.last.map(|(round, base, _open)| (round, base, Stage::Closed));
                        }
                        _ => {}
                    }
                }
                if let Some((round, base, stage)) = self.last
                    && stage == wanted
                {
                    self.last = None;
                    return (round, base);
                }
            }
        };
        tokio::time::timeout(LIMIT, search).await.expect("no round came to that")
    }

    async fn read(&mut self) -> Vec<Record> {
        let url = format!("{}log/{}?from={}&wait=1", self.relay, self.campaign, self.read);
        let page = tokio::task::spawn_blocking(move || http::get(&url, &[], LIMIT)).await.unwrap().unwrap();
        let Records { records, .. } = decode(&page.body, MAX_FRAME).unwrap();
        self.read += records.len() as u64;
        records
    }

    async fn append(&mut self, entry: &Entry) -> Result<(), Reason> {
        let entry = self.key.sign(entry).unwrap();
        match self.ask(&Request::Append { campaign: self.campaign, entry }).await {
            Reply::Receipt { .. } => Ok(()),
            Reply::Refused { reason } => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    async fn ask(&mut self, request: &Request) -> Reply {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.handle.send(Command::Request { id, bytes: request.to_bytes().unwrap() }).unwrap();
        let answered = async {
            let mut reply = None;
            loop {
                match self.events.next().await.expect("the swarm ended") {
                    Event::Frame { id: of, bytes } if of == id => reply = Some(bytes),
                    Event::Ended { id: of } if of == id => return reply.expect("no reply"),
                    Event::Failed { id: of, error } if of == id => panic!("{error}"),
                    _ => {}
                }
            }
        };
        let bytes = tokio::time::timeout(LIMIT, answered).await.expect("no answer");
        Reply::from_bytes(&bytes).unwrap()
    }
}

fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
