//! What a tab does, over the native swarm.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use lichen_log::{Chain, Receipt, Record, check_receipt};
use lichen_net::hub::{Notice, Reason, Records, Reply, Request};
use lichen_net::swarm::{self, Handle};
use lichen_net::{Command, Event, RequestError, RequestId};
use lichen_record::{AccountId, CampaignId, Cid, Entry, SessionCertificate, SigningKey, verify};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::process::{Info, Relay};

/// One end of one request.
pub(crate) enum Answer {
    Reply(Reply),
    Ended,
    Failed(RequestError),
}

type Waiting = Arc<Mutex<HashMap<RequestId, mpsc::UnboundedSender<Answer>>>>;

/// A connected client with an account.
pub(crate) struct Tab {
    pub(crate) key: SigningKey,
    pub(crate) campaign: CampaignId,
    pub(crate) peer: Vec<u8>,
    handle: Handle,
    waiting: Waiting,
    changes: mpsc::UnboundedReceiver<Event>,
    next: Mutex<u64>,
}

impl Tab {
    /// Connects, but says nothing yet.
    pub(crate) async fn connect(relay: &Relay, seed: u8) -> Self {
        Self::connect_as_told(relay.info().await, seed).await
    }

    /// Connects to this address of a relay and to no other, and says nothing yet.
    pub(crate) async fn connect_to(relay: &Relay, address: &str, seed: u8) -> Self {
        let info = relay.info().await;
        Self::connect_as_told(Info { address: address.into(), also: Vec::new(), ..info }, seed).await
    }

    async fn connect_as_told(info: Info, seed: u8) -> Self {
        let (handle, mut events) = swarm::spawn_to_hub().unwrap();
        let Some(Event::Started { peer }) = events.next().await else { panic!("the swarm did not start") };
        let waiting = Waiting::default();
        let (sender, changes) = mpsc::unbounded_channel();
        let routes = Arc::clone(&waiting);
        tokio::spawn(async move {
            while let Some(event) = events.next().await {
                route(event, &routes, &sender);
            }
        });
        handle.send(Command::Connect { address: info.address, also: info.also }).unwrap();
        let key = SigningKey::generate([seed; 32]);
        let mut tab =
            Self { key, campaign: info.campaign, peer, handle, waiting, changes, next: Mutex::new(0) };
        tab.wait_for(|event| matches!(event, Event::Connected { .. })).await;
        tab
    }

    /// Connects and says hello.
    pub(crate) async fn start(relay: &Relay, seed: u8) -> Self {
        let tab = Self::connect(relay, seed).await;
        let reply = tab.hello().await;
        assert!(matches!(reply, Reply::Welcome { account, .. } if account == tab.account()), "{reply:?}");
        tab
    }

    pub(crate) fn account(&self) -> AccountId {
        self.key.account()
    }

    pub(crate) async fn hello(&self) -> Reply {
        self.ask(Request::Hello { certificate: self.certificate(now()) }).await
    }

    pub(crate) fn certificate(&self, issued: u64) -> Vec<u8> {
        self.key.sign(&SessionCertificate { peer: self.peer.clone(), issued }).unwrap()
    }

    /// Waits for an event that is not about a request.
    pub(crate) async fn wait_for(&mut self, is_it: impl Fn(&Event) -> bool) -> Event {
        let wait = async {
            loop {
                let event = self.changes.recv().await.expect("the swarm ended");
                if is_it(&event) {
                    return event;
                }
            }
        };
        timeout(PATIENCE, wait).await.expect("it did not happen in time")
    }

    /// Sends a request and returns its one reply.
    pub(crate) async fn ask(&self, request: Request) -> Reply {
        self.ask_bytes(request.to_bytes().unwrap()).await
    }

    /// Sends any bytes as a request and returns the one reply.
    pub(crate) async fn ask_bytes(&self, bytes: Vec<u8>) -> Reply {
        let mut answers = self.begin(bytes);
        let answer = timeout(PATIENCE, answers.recv()).await.expect("no answer in time").unwrap();
        let Answer::Reply(reply) = answer else { panic!("no reply") };
        let end = timeout(PATIENCE, answers.recv()).await.expect("no end in time").unwrap();
        assert!(matches!(end, Answer::Ended));
        reply
    }

    /// Sends a request whose answers come one by one.
    pub(crate) fn begin(&self, bytes: Vec<u8>) -> mpsc::UnboundedReceiver<Answer> {
        self.begin_named(bytes).1
    }

    fn begin_named(&self, bytes: Vec<u8>) -> (RequestId, mpsc::UnboundedReceiver<Answer>) {
        let id = {
            let mut next = self.next.lock().unwrap();
            *next += 1;
            RequestId(*next)
        };
        let (sender, answers) = mpsc::unbounded_channel();
        self.waiting.lock().unwrap().insert(id, sender);
        self.handle.send(Command::Request { id, bytes }).unwrap();
        (id, answers)
    }

    /// Signs an entry and asks for it to be appended.
    pub(crate) async fn append(&self, entry: &Entry) -> Reply {
        self.append_bytes(self.key.sign(entry).unwrap()).await
    }

    pub(crate) async fn append_bytes(&self, entry: Vec<u8>) -> Reply {
        self.ask(Request::Append { campaign: self.campaign, entry }).await
    }

    /// Appends an entry that must be taken.
    pub(crate) async fn append_well(&self, entry: &Entry) -> Receipt {
        match self.append(entry).await {
            Reply::Receipt { receipt } => *verify::<Receipt>(&receipt).unwrap().get(),
            other => panic!("{entry:?}: {other:?}"),
        }
    }

    pub(crate) async fn join(&self, sequence: u64) -> Receipt {
        self.append_well(&Entry::Joined { campaign: self.campaign, sequence }).await
    }

    pub(crate) async fn put(&self, bytes: Vec<u8>) -> Cid {
        match self.ask(Request::PutBlob { bytes }).await {
            Reply::Stored { cid } => cid,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn get(&self, cid: Cid) -> Vec<u8> {
        match self.ask(Request::GetBlob { cid }).await {
            Reply::Blob { bytes } => bytes,
            other => panic!("{other:?}"),
        }
    }

    /// Follows the log from its first record until an entry satisfies the condition; everything is verified.
    pub(crate) async fn follow_until(&self, is_it: impl Fn(&Entry) -> bool) -> (Vec<Record>, Entry) {
        self.follow_until_record(|_record, entry| is_it(entry)).await
    }

    /// The log up to this length, and a head that covers it.
    pub(crate) async fn read(&self, length: u64) -> (Vec<Record>, Vec<u8>) {
        let request = Request::Follow { campaign: self.campaign, from: 0 };
        let (id, mut answers) = self.begin_named(request.to_bytes().unwrap());
        let mut seen = Vec::new();
        loop {
            let Records { records, head } = next_records(&mut answers).await;
            seen.extend(records);
            if seen.len() as u64 >= length {
                self.handle.send(Command::Cancel { id }).unwrap();
                return (seen, head);
            }
        }
    }

    async fn follow_until_record(&self, is_it: impl Fn(&Record, &Entry) -> bool) -> (Vec<Record>, Entry) {
        let request = Request::Follow { campaign: self.campaign, from: 0 };
        let (id, mut answers) = self.begin_named(request.to_bytes().unwrap());
        let mut chain = Chain::new(self.campaign);
        let mut seen = Vec::new();
        loop {
            let records = next_records(&mut answers).await;
            for record in records.records {
                let entry = chain.verify_next(&record).unwrap().into_inner();
                let is_last = is_it(&record, &entry);
                seen.push(record);
                if is_last {
                    // A connection may follow a few times only.
                    self.handle.send(Command::Cancel { id }).unwrap();
                    return (seen, entry);
                }
            }
        }
    }

    /// Checks a receipt against the log.
    pub(crate) async fn check_receipt(&self, receipt_envelope: &[u8], coordinator: AccountId) {
        let receipt = verify::<Receipt>(receipt_envelope).unwrap();
        let from = receipt.get().index();
        let (records, _) = self.follow_until_record(|record, _| record.index == from).await;
        check_receipt(&receipt, records.last().unwrap(), &coordinator).unwrap();
    }
}

pub(crate) async fn next_records(answers: &mut mpsc::UnboundedReceiver<Answer>) -> Records {
    match timeout(PATIENCE, answers.recv()).await.expect("nothing came in time").unwrap() {
        Answer::Reply(Reply::Records(records)) => records,
        Answer::Reply(other) => panic!("{other:?}"),
        Answer::Ended => panic!("the relay stopped"),
        Answer::Failed(error) => panic!("{error}"),
    }
}

/// What the relay says of itself next, to whoever watches.
pub(crate) async fn next_notice(answers: &mut mpsc::UnboundedReceiver<Answer>) -> Notice {
    loop {
        match timeout(PATIENCE, answers.recv()).await.expect("no notice in time").unwrap() {
            Answer::Reply(Reply::Notice(notice)) => return notice,
            Answer::Reply(Reply::Records(_)) => {}
            _ => panic!("the relay stopped"),
        }
    }
}

pub(crate) fn refused(reply: &Reply) -> Reason {
    match reply {
        Reply::Refused { reason } => *reason,
        other => panic!("not refused: {other:?}"),
    }
}

pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

fn route(event: Event, waiting: &Waiting, changes: &mpsc::UnboundedSender<Event>) {
    let mut waiting = waiting.lock().unwrap();
    // A test that is over does not listen any more.
    let _unheard = match event {
        Event::Frame { id, bytes } => waiting
            .get(&id)
            .is_some_and(|sender| sender.send(Answer::Reply(Reply::from_bytes(&bytes).unwrap())).is_ok()),
        Event::Ended { id } => waiting.remove(&id).is_some_and(|sender| sender.send(Answer::Ended).is_ok()),
        Event::Failed { id, error } => {
            waiting.remove(&id).is_some_and(|sender| sender.send(Answer::Failed(error)).is_ok())
        }
        event => changes.send(event).is_ok(),
    };
}
