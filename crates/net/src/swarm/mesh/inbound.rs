//! Requests of peers, within caps: so many of one peer, so many in all, so many bytes of answers waiting.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use futures::channel::mpsc;
use futures::future::{AbortHandle, FutureExt, LocalBoxFuture};
use futures::io::WriteHalf;
use futures::{AsyncReadExt, AsyncWriteExt, SinkExt, StreamExt, select_biased};
use libp2p::PeerId;
use libp2p::swarm::Stream;

use super::Done;
use super::register::called_off;
use crate::swarm::frame::{self, FrameError};
use crate::{Event, InboundId, MAX_ASK, MAX_INBOUND, MAX_INBOUND_PER_PEER, MAX_UNSENT};

/// How long a peer may take to send its request, and how long it may take none of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Streams past the cap that a peer may open before it counts as misbehaving.
const MAX_EXCESS: u32 = 1_000;

/// Requests being read or answered.
#[derive(Default)]
pub(super) struct Inbound {
    next: u64,
    answering: BTreeMap<InboundId, Answering>,
    /// Streams past the cap, by peer.
    excess: BTreeMap<PeerId, u32>,
}

struct Answering {
    peer: PeerId,
    /// Where answers go; none once nothing more comes.
    answers: Option<mpsc::UnboundedSender<Vec<u8>>>,
    unsent: Rc<Cell<usize>>,
    abort: AbortHandle,
}

/// How answering a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::swarm) enum Outcome {
    /// Everything is sent, or nothing was asked.
    Over,
    /// The peer does not wait any more.
    Gone,
}

/// What becomes of an inbound stream.
pub(super) enum Admission {
    /// It is read, and answered in time.
    Taken(LocalBoxFuture<'static, Done>),
    /// There are too many; dropping it resets it.
    Refused,
    /// There are far too many: the peer misbehaves.
    Flooded,
}

impl Inbound {
    /// Takes a stream, if there is room for it.
    pub(super) fn admit(&mut self, peer: PeerId, stream: Stream, events: &mpsc::Sender<Event>) -> Admission {
        let of_peer = self.answering.values().filter(|answering| answering.peer == peer).count();
        if of_peer >= MAX_INBOUND_PER_PEER || self.answering.len() >= MAX_INBOUND {
            let excess = self.excess.entry(peer).or_default();
            *excess += 1;
            return if *excess > MAX_EXCESS { Admission::Flooded } else { Admission::Refused };
        }
        let id = InboundId(self.next);
        self.next += 1;
        let (sender, answers) = mpsc::unbounded();
        let unsent = Rc::new(Cell::new(0));
        let serving = serve(id, peer, stream, answers, Rc::clone(&unsent), events.clone());
        let (task, abort) = called_off(serving.map(move |outcome| Done::Answered(id, outcome)));
        self.answering.insert(id, Answering { peer, answers: Some(sender), unsent, abort });
        Admission::Taken(task)
    }

    /// Queues a frame; false where the peer takes too little, which ends the request.
    pub(super) fn answer(&mut self, id: InboundId, bytes: Vec<u8>) -> bool {
        let Some(answering) = self.answering.get(&id) else { return true };
        let Some(answers) = &answering.answers else { return true };
        let unsent = answering.unsent.get() + bytes.len();
        if unsent > MAX_UNSENT {
            answering.abort.abort();
            self.answering.remove(&id);
            return false;
        }
        answering.unsent.set(unsent);
        // Where the task has ended meanwhile, its outcome is on its way.
        let _ended = answers.unbounded_send(bytes);
        true
    }

    /// Nothing more comes.
    pub(super) fn finish(&mut self, id: InboundId) {
        if let Some(answering) = self.answering.get_mut(&id) {
            answering.answers = None;
        }
    }

    /// A task ended by itself; whether its request was still being answered.
    pub(super) fn ended(&mut self, id: InboundId) -> bool {
        self.answering.remove(&id).is_some()
    }

    /// A peer is gone: what it did too much is forgotten. Its streams end by themselves.
    pub(super) fn forget(&mut self, peer: &PeerId) {
        self.excess.remove(peer);
    }

    /// Drops every request.
    pub(super) fn clear(&mut self) -> Vec<InboundId> {
        let all = std::mem::take(&mut self.answering);
        all.into_iter()
            .map(|(id, answering)| {
                answering.abort.abort();
                id
            })
            .collect()
    }
}

/// Reads one request and sends its answers as they come.
async fn serve(
    id: InboundId,
    peer: PeerId,
    stream: Stream,
    mut answers: mpsc::UnboundedReceiver<Vec<u8>>,
    unsent: Rc<Cell<usize>>,
    mut events: mpsc::Sender<Event>,
) -> Outcome {
    let (mut reader, mut writer) = stream.split();
    let bytes = match frame::read(&mut reader, MAX_ASK, PATIENCE).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Outcome::Over,
        Err(error) => {
            tracing::debug!(%peer, %error, "a peer's request cannot be read");
            return Outcome::Over;
        }
    };
    if events.send(Event::Asked { id, peer: peer.to_bytes(), bytes }).await.is_err() {
        return Outcome::Over;
    }
    // The asker ends its half with the request; what breaks the stream before the answer tells that it is gone.
    let mut rest = [0];
    let gone = async {
        if let Ok(0) = reader.read(&mut rest).await {
            std::future::pending().await
        }
    };
    let sent = send(&mut writer, &mut answers, &unsent).fuse();
    futures::pin_mut!(sent);
    select_biased! {
        sent = sent => match sent {
            Ok(()) => Outcome::Over,
            Err(_broken) => Outcome::Gone,
        },
        () = std::pin::pin!(gone.fuse()) => Outcome::Gone,
    }
}

async fn send(
    writer: &mut WriteHalf<Stream>,
    answers: &mut mpsc::UnboundedReceiver<Vec<u8>>,
    unsent: &Cell<usize>,
) -> Result<(), FrameError> {
    while let Some(bytes) = answers.next().await {
        frame::write(writer, &bytes, PATIENCE).await?;
        unsent.set(unsent.get().saturating_sub(bytes.len()));
    }
    writer.close().await.map_err(FrameError::Stream)
}
