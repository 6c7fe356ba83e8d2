//! `RTCPeerConnection`: descriptions, candidates, states and incoming channels.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use futures::channel::{mpsc, oneshot};
use futures::future::select;
use futures_timer::Delay;
use js_sys::{Array, Function, JSON, Reflect};
use lichen_bucket::{Bucket, Rate};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    Event, RtcConfiguration, RtcDataChannel, RtcDataChannelEvent, RtcDataChannelState, RtcIceCandidateInit,
    RtcPeerConnection, RtcPeerConnectionIceEvent, RtcPeerConnectionState, RtcSdpType,
    RtcSessionDescriptionInit,
};
use web_time::Instant;

use super::Config;
use super::budget::Permit;
use super::channel::{Channel, Substream};
use super::error::Error;
use crate::protocol::session;
use crate::protocol::signal::Signal;

/// The label of the channel that makes the offer carry data channels at all.
const INIT_LABEL: &str = "init";

/// How long the `init` channel may take to close.
const INIT_TIMEOUT: Duration = Duration::from_secs(5);

/// Streams that may wait to be taken; a remote that opens more meanwhile loses them.
const MOST_WAITING: usize = 256;

/// Streams of one connection alive at once.
const MOST_STREAMS: usize = 1024;

/// Streams that a remote may open: 200 a second; a peer that pulls 10 MB/s asks some 40 times.
const STREAMS: Rate = Rate::new(2_000, Duration::from_secs(10));

/// One peer connection and everything that hangs on it.
pub(crate) struct PeerConnection {
    connection: RtcPeerConnection,
    events: mpsc::UnboundedSender<session::Event>,
    incoming: RefCell<VecDeque<Substream>>,
    streams: RefCell<Vec<Weak<Channel>>>,
    init: RefCell<Option<RtcDataChannel>>,
    waker: Cell<Option<Waker>>,
    closed: Cell<bool>,
    may_open: Cell<Bucket>,
    began: Instant,
    is_flooded: Cell<bool>,
    handlers: RefCell<Option<Handlers>>,
    _permit: Permit,
}

struct Handlers {
    candidate: Closure<dyn FnMut(RtcPeerConnectionIceEvent)>,
    state: Closure<dyn FnMut(Event)>,
    channel: Closure<dyn FnMut(RtcDataChannelEvent)>,
}

#[wasm_bindgen]
extern "C" {
    /// A peer connection, by what web-sys does not know of it.
    type WithTransport;
    /// What carries all data channels (`RTCSctpTransport`), once the descriptions are agreed on.
    type SctpTransport;

    #[wasm_bindgen(method, getter)]
    fn sctp(this: &WithTransport) -> Option<SctpTransport>;

    #[wasm_bindgen(method, getter)]
    fn state(this: &SctpTransport) -> String;

    #[wasm_bindgen(method, setter)]
    fn set_onstatechange(this: &SctpTransport, handler: Option<&Function>);
}

impl PeerConnection {
    /// Makes a peer connection that reports to the given session.
    pub(crate) fn new(
        config: &Config,
        events: mpsc::UnboundedSender<session::Event>,
    ) -> Result<Rc<Self>, Error> {
        let permit = config.budget.take().ok_or(Error::Budget)?;
        let settings = RtcConfiguration::new();
        settings.set_ice_servers(&config.ice_servers.iter().collect::<Array>());
        let shared = Rc::new(Self {
            connection: RtcPeerConnection::new_with_configuration(&settings)?,
            events,
            incoming: RefCell::default(),
            streams: RefCell::default(),
            init: RefCell::default(),
            waker: Cell::default(),
            closed: Cell::new(false),
            may_open: Cell::default(),
            began: Instant::now(),
            is_flooded: Cell::new(false),
            handlers: RefCell::default(),
            _permit: permit,
        });
        Self::attach(&shared);
        Ok(shared)
    }

    fn attach(shared: &Rc<Self>) {
        let on_candidate = {
            let events = shared.events.clone();
            move |event: RtcPeerConnectionIceEvent| {
                if let Some(json) = candidate_json(&event) {
                    let _session_over = events.unbounded_send(session::Event::LocalCandidate(json));
                }
            }
        };
        let on_state = {
            let weak = Rc::downgrade(shared);
            move |_: Event| {
                if let Some(shared) = weak.upgrade() {
                    shared.state_changed();
                }
            }
        };
        let on_channel = {
            let weak = Rc::downgrade(shared);
            move |event: RtcDataChannelEvent| {
                if let Some(shared) = weak.upgrade() {
                    shared.accept(event.channel());
                }
            }
        };
        let handlers = Handlers {
            candidate: Closure::new(on_candidate),
            state: Closure::new(on_state),
            channel: Closure::new(on_channel),
        };
        let connection = &shared.connection;
        connection.set_onicecandidate(Some(handlers.candidate.as_ref().unchecked_ref()));
        connection.set_onconnectionstatechange(Some(handlers.state.as_ref().unchecked_ref()));
        connection.set_ondatachannel(Some(handlers.channel.as_ref().unchecked_ref()));
        shared.handlers.replace(Some(handlers));
    }

    /// "disconnected" is not the end: the browser goes on trying until it says "failed".
    fn state_changed(&self) {
        // A remote that closes says so to the data channels' transport. The connection itself would go on trying to
        // reach it for a quarter of a minute.
        let is_hung_up = self.transport().is_some_and(|transport| transport.state() == "closed");
        match self.connection.connection_state() {
            RtcPeerConnectionState::Failed | RtcPeerConnectionState::Closed => self.fail(),
            _ if is_hung_up => self.fail(),
            RtcPeerConnectionState::Connected => {
                if let (Some(transport), Some(handlers)) = (self.transport(), &*self.handlers.borrow()) {
                    transport.set_onstatechange(Some(handlers.state.as_ref().unchecked_ref()));
                }
                let _session_over = self.events.unbounded_send(session::Event::Connected);
            }
            _ => {}
        }
    }

    fn fail(&self) {
        let _session_over = self.events.unbounded_send(session::Event::ConnectionFailed);
        self.end();
    }

    fn transport(&self) -> Option<SctpTransport> {
        self.connection.unchecked_ref::<WithTransport>().sctp()
    }

    fn accept(&self, channel: RtcDataChannel) {
        if channel.label() == INIT_LABEL {
            return;
        }
        if !self.keeps_pace() {
            channel.close();
            // The owner learns why before it hears of anything else, and closes.
            self.is_flooded.set(true);
            return self.wake();
        }
        if self.incoming.borrow().len() >= MOST_WAITING || self.live_streams() >= MOST_STREAMS {
            tracing::debug!("refusing a stream past the limit");
            channel.close();
            return;
        }
        let stream = self.adopt(channel);
        self.incoming.borrow_mut().push_back(stream);
        self.wake();
    }

    fn keeps_pace(&self) -> bool {
        let mut may_open = self.may_open.get();
        let keeps_pace = may_open.take(STREAMS, 1, self.began.elapsed());
        self.may_open.set(may_open);
        keeps_pace
    }

    fn adopt(&self, channel: RtcDataChannel) -> Substream {
        let stream = Substream::new(channel);
        self.streams.borrow_mut().push(stream.downgrade());
        stream
    }

    fn live_streams(&self) -> usize {
        let mut streams = self.streams.borrow_mut();
        streams.retain(|stream| stream.strong_count() > 0);
        streams.len()
    }

    /// Creates the `init` channel and an offer.
    pub(crate) async fn create_offer(&self) -> Result<String, Error> {
        self.init.replace(Some(self.connection.create_data_channel(INIT_LABEL)));
        description_text(&JsFuture::from(self.connection.create_offer()).await?)
    }

    /// Creates an answer to the remote description.
    pub(crate) async fn create_answer(&self) -> Result<String, Error> {
        description_text(&JsFuture::from(self.connection.create_answer()).await?)
    }

    /// Makes an offer or answer of ours the local description; gathering starts.
    pub(crate) async fn set_local(&self, role: session::Role, sdp: &str) -> Result<(), Error> {
        let kind = match role {
            session::Role::Offerer => RtcSdpType::Offer,
            session::Role::Answerer => RtcSdpType::Answer,
        };
        JsFuture::from(self.connection.set_local_description(&description(kind, sdp))).await?;
        Ok(())
    }

    /// Takes the remote's offer or answer.
    pub(crate) async fn set_remote(&self, signal: &Signal) -> Result<(), Error> {
        let description = match signal {
            Signal::Offer(sdp) => description(RtcSdpType::Offer, sdp),
            Signal::Answer(sdp) => description(RtcSdpType::Answer, sdp),
            Signal::Candidate(_) => return Ok(()),
        };
        JsFuture::from(self.connection.set_remote_description(&description)).await?;
        Ok(())
    }

    /// Hands a candidate of the remote to the browser; the end mark and what the browser refuses are passed over.
    pub(crate) async fn add_candidate(&self, json: &str) {
        let Ok(parsed) = JSON::parse(json) else { return };
        let text =
            Reflect::get(&parsed, &JsValue::from_str("candidate")).ok().and_then(|text| text.as_string());
        if text.is_none_or(|text| text.is_empty()) {
            return;
        }
        let candidate: RtcIceCandidateInit = parsed.unchecked_into();
        let promise = self.connection.add_ice_candidate_with_opt_rtc_ice_candidate_init(Some(&candidate));
        if let Err(error) = JsFuture::from(promise).await {
            tracing::debug!(error = %Error::from(error), "a candidate was refused");
        }
    }

    /// Closes the `init` channel, which has done its work, and waits until both sides have seen it close: its
    /// number could go to a new stream before.
    pub(crate) async fn close_init(&self) {
        let Some(init) = self.init.take() else { return };
        let (closed, is_closed) = oneshot::channel();
        let on_open = Closure::once({
            let init = init.clone();
            move |_: Event| init.close()
        });
        let on_close = Closure::once(move |_: Event| {
            let _nobody_waits = closed.send(());
        });
        init.set_onclose(Some(on_close.as_ref().unchecked_ref()));
        if init.ready_state() == RtcDataChannelState::Connecting {
            init.set_onopen(Some(on_open.as_ref().unchecked_ref()));
        } else {
            init.close();
        }
        select(is_closed, Delay::new(INIT_TIMEOUT)).await;
        init.set_onopen(None);
        init.set_onclose(None);
    }

    /// Opens a stream; it takes bytes at once and sends them when the channel opens.
    pub(crate) fn open(&self) -> Result<Substream, Error> {
        if self.closed.get() {
            return Err(Error::Closed);
        }
        Ok(self.adopt(self.connection.create_data_channel("")))
    }

    /// The next stream opened by the remote, if one waits.
    pub(crate) fn next_incoming(&self) -> Option<Substream> {
        self.incoming.borrow_mut().pop_front()
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    /// Whether the remote opened streams too fast.
    pub(crate) fn is_flooded(&self) -> bool {
        self.is_flooded.get()
    }

    #[cfg(test)]
    pub(crate) fn browser_state(&self) -> RtcPeerConnectionState {
        self.connection.connection_state()
    }

    /// Whom to wake when a stream comes or the connection ends.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.waker.set(Some(waker.clone()));
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn end(&self) {
        self.closed.set(true);
        for stream in self.streams.take() {
            if let Some(stream) = stream.upgrade() {
                stream.end();
            }
        }
        self.wake();
    }

    /// Closes the connection and ends its streams; a second call changes nothing.
    pub(crate) fn close(&self) {
        self.connection.set_onicecandidate(None);
        self.connection.set_onconnectionstatechange(None);
        self.connection.set_ondatachannel(None);
        if let Some(transport) = self.transport() {
            transport.set_onstatechange(None);
        }
        self.connection.close();
        self.end();
        // The closures may be on the stack just now; they go in a later turn.
        if let Some(handlers) = self.handlers.take() {
            spawn_local(async move { drop(handlers) });
        }
    }
}

impl Drop for PeerConnection {
    fn drop(&mut self) {
        self.close();
    }
}

fn description(kind: RtcSdpType, sdp: &str) -> RtcSessionDescriptionInit {
    let description = RtcSessionDescriptionInit::new(kind);
    description.set_sdp(sdp);
    description
}

fn description_text(description: &JsValue) -> Result<String, Error> {
    Reflect::get(description, &JsValue::from_str("sdp"))?
        .as_string()
        .ok_or_else(|| Error::Browser("a description without text".into()))
}

/// The candidate as the specification wants it; `None` for the end of candidates, which peers pass over anyway.
fn candidate_json(event: &RtcPeerConnectionIceEvent) -> Option<String> {
    let candidate = event.candidate().filter(|candidate| !candidate.candidate().is_empty())?;
    JSON::stringify(&candidate.to_json()).ok().map(String::from)
}
