//! Our own tab without its worker: the page's swarm as it is, its commands and events in a test's hands.

use std::cell::RefCell;
use std::collections::HashMap;

use futures::StreamExt as _;
use futures::channel::oneshot;
use libp2p::PeerId;
use lichen_net::hub::{Reply, Request};
use lichen_net::swarm::{self, Handle};
use lichen_net::{Command, Event, InboundId, Path, Peer, RequestId};
use lichen_record::{CampaignId, SessionCertificate, SigningKey};
use lichen_webrtc::browser::Budget;
use serde_json::{Value, json};
use wasm_bindgen::JsError;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen_futures::spawn_local;

thread_local! {
    static TAB: RefCell<Option<Tab>> = const { RefCell::new(None) };
}

/// What the tab has, and what it has seen.
struct Tab {
    handle: Handle,
    next: u64,
    waiting: HashMap<RequestId, Waiting>,
    peers: Vec<Peer>,
    is_connected: bool,
    announced: Vec<(PeerId, Vec<u8>)>,
    no_direct_path: Vec<PeerId>,
    asked: u32,
    unasked: u32,
    /// Requests left open on purpose.
    open: Vec<InboundId>,
}

/// Bytes and frames of an answer, or why there is none.
type Answered = Result<(usize, Vec<Vec<u8>>), String>;

/// A request that awaits its end.
struct Waiting {
    bytes: usize,
    frames: Vec<Vec<u8>>,
    end: oneshot::Sender<Answered>,
}

/// Starts the swarm and connects it to the relay; returns the peer id.
#[wasm_bindgen(js_name = tabStart)]
pub async fn start(relay: &str) -> Result<String, JsError> {
    console_error_panic_hook::set_once();
    let (handle, mut events) = swarm::spawn(&[])?;
    let Some(Event::Started { peer }) = events.next().await else { return Err(JsError::new("no swarm")) };
    handle.send(Command::Connect { address: relay.to_owned(), also: Vec::new() })?;
    TAB.replace(Some(Tab {
        handle,
        next: 0,
        waiting: HashMap::new(),
        peers: Vec::new(),
        is_connected: false,
        announced: Vec::new(),
        no_direct_path: Vec::new(),
        asked: 0,
        unasked: 0,
        open: Vec::new(),
    }));
    spawn_local(async move {
        while let Some(event) = events.next().await {
            TAB.with_borrow_mut(|tab| tab.as_mut().map(|tab| tab.take(event)));
        }
    });
    Ok(PeerId::from_bytes(&peer)?.to_string())
}

/// Says hello under a fresh account.
#[wasm_bindgen(js_name = tabHello)]
pub async fn hello(peer: &str) -> Result<(), JsError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| JsError::new(&error.to_string()))?;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the time is a whole number")]
    let issued = js_sys::Date::now() as u64;
    let certificate = SessionCertificate { peer: peer.parse::<PeerId>()?.to_bytes(), issued };
    let certificate = SigningKey::generate(seed).sign(&certificate)?;
    let bytes = Request::Hello { certificate }.to_bytes()?;
    let (_, frames) = request(|id| Command::Request { id, bytes }).await?;
    let reply = Reply::from_bytes(frames.first().ok_or_else(|| JsError::new("no reply"))?)?;
    match reply {
        Reply::Welcome { .. } => Ok(()),
        other => Err(JsError::new(&format!("{other:?}"))),
    }
}

/// Takes part in the campaign's mesh.
#[wasm_bindgen(js_name = tabMeet)]
pub fn meet(campaign: &str, relay_only: bool) -> Result<(), JsError> {
    let campaign: CampaignId = campaign.parse()?;
    tell(Command::Meet { campaign, relay_only })
}

/// Ends the swarm.
#[wasm_bindgen(js_name = tabStop)]
pub fn stop() {
    TAB.replace(None);
}

/// Asks a peer for so many frames of so many bytes; returns how many bytes came.
#[wasm_bindgen(js_name = tabAsk)]
pub async fn ask(peer: &str, frames: u32, size: u32) -> Result<usize, JsError> {
    let peer = peer.parse::<PeerId>()?.to_bytes();
    let bytes = [frames.to_be_bytes(), size.to_be_bytes()].concat();
    Ok(request(|id| Command::Ask { id, peer, bytes }).await?.0)
}

/// Tells the peers.
#[wasm_bindgen(js_name = tabAnnounce)]
pub fn announce(text: &str) -> Result<(), JsError> {
    tell(Command::Announce { bytes: text.as_bytes().to_vec() })
}

/// Keeps a peer away.
#[wasm_bindgen(js_name = tabBan)]
pub fn ban(peer: &str) -> Result<(), JsError> {
    tell(Command::Ban { peer: peer.parse::<PeerId>()?.to_bytes() })
}

/// What the tab has seen so far, as JSON.
#[wasm_bindgen(js_name = tabSeen)]
pub fn seen() -> String {
    TAB.with_borrow(|tab| tab.as_ref().map_or(Value::Null, Tab::seen)).to_string()
}

impl Tab {
    fn take(&mut self, event: Event) {
        match event {
            Event::Connected { .. } => self.is_connected = true,
            Event::Disconnected { .. } => self.is_connected = false,
            Event::PeersChanged { peers } => self.peers = peers,
            Event::Frame { id, bytes } => {
                if let Some(waiting) = self.waiting.get_mut(&id) {
                    waiting.bytes += bytes.len();
                    if waiting.frames.is_empty() {
                        waiting.frames.push(bytes);
                    }
                }
            }
            Event::Ended { id } => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    let _gone = waiting.end.send(Ok((waiting.bytes, waiting.frames)));
                }
            }
            Event::Failed { id, error } => {
                if let Some(waiting) = self.waiting.remove(&id) {
                    let _gone = waiting.end.send(Err(error.to_string()));
                }
            }
            Event::Asked { id, bytes, .. } => self.answer(id, &bytes),
            Event::Unasked { id } => {
                self.unasked += 1;
                self.open.retain(|open| *open != id);
            }
            Event::Announced { peer, bytes } => {
                self.announced.extend(PeerId::from_bytes(&peer).map(|peer| (peer, bytes)))
            }
            Event::NoDirectPath { peer } => self.no_direct_path.extend(PeerId::from_bytes(&peer)),
            Event::Started { .. }
            | Event::Connecting { .. }
            | Event::Traffic { .. }
            | Event::Found { .. } => {}
        }
    }

    /// Answers as asked; a request of another form is left open.
    fn answer(&mut self, id: InboundId, request: &[u8]) {
        self.asked += 1;
        let Some((frames, size)) = request.split_at_checked(4) else { return self.open.push(id) };
        let (Ok(frames), Ok(size)) = (frames.try_into(), size.try_into()) else { return self.open.push(id) };
        for _ in 0..u32::from_be_bytes(frames) {
            let bytes = vec![7; u32::from_be_bytes(size) as usize];
            let _ended = self.handle.send(Command::Answer { id, bytes });
        }
        let _ended = self.handle.send(Command::Finish { id });
    }

    fn seen(&self) -> Value {
        let name = |peer: &[u8]| PeerId::from_bytes(peer).map(|peer| peer.to_string()).unwrap_or_default();
        let path = |path: Path| match path {
            Path::Hub => "hub",
            Path::Direct => "direct",
            Path::Relayed => "relayed",
        };
        let peers: Vec<Value> = self
            .peers
            .iter()
            .map(|peer| {
                json!({
                    "peer": name(&peer.peer), "address": peer.address, "path": path(peer.path),
                    "dialled": peer.dialled, "round_trip": peer.round_trip,
                    "received": peer.received, "sent": peer.sent,
                })
            })
            .collect();
        let announced: Vec<Value> = self
            .announced
            .iter()
            .map(|(peer, bytes)| json!([peer.to_string(), String::from_utf8_lossy(bytes)]))
            .collect();
        json!({
            "connected": self.is_connected,
            "peers": peers,
            "direct": self.peers.iter().filter(|peer| peer.path == Path::Direct).count(),
            "announced": announced,
            "no_direct_path": self.no_direct_path.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "asked": self.asked,
            "unasked": self.unasked,
            "open": self.open.len(),
            "alive": Budget::of_page().alive(),
            "made": Budget::of_page().made(),
        })
    }
}

fn tell(command: Command) -> Result<(), JsError> {
    TAB.with_borrow(|tab| match tab {
        Some(tab) => Ok(tab.handle.send(command)?),
        None => Err(JsError::new("start first")),
    })
}

async fn request(command: impl FnOnce(RequestId) -> Command) -> Result<(usize, Vec<Vec<u8>>), JsError> {
    let (end, ended) = oneshot::channel();
    let id = TAB.with_borrow_mut(|tab| {
        let tab = tab.as_mut().ok_or_else(|| JsError::new("start first"))?;
        tab.next += 1;
        let id = RequestId(tab.next);
        tab.waiting.insert(id, Waiting { bytes: 0, frames: Vec::new(), end });
        Ok::<_, JsError>(id)
    })?;
    tell(command(id))?;
    ended.await?.map_err(|error| JsError::new(&error))
}
