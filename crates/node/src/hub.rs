//! Sends requests to the relay and hands each reply to whoever waits for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use futures::StreamExt;
use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use futures::channel::oneshot;
use lichen_bridge::Event;
use lichen_net::hub::{Reason, Reply, Request};
use lichen_net::{Command, RequestError, RequestId};
use lichen_record::DecodeError;

/// Where events for the page go.
pub(crate) type Outbox = Rc<dyn Fn(Event)>;

/// A reply frame, or why there are no more.
type Frame = Result<Vec<u8>, RequestError>;

/// Requests to the relay and their replies, over the swarm that the page runs.
pub(crate) struct Hub {
    out: Outbox,
    next: Cell<u64>,
    pending: RefCell<BTreeMap<RequestId, UnboundedSender<Frame>>>,
    /// Whoever waits for another relay than the one connected.
    held: RefCell<Vec<oneshot::Sender<()>>>,
}

/// Why the relay gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HubError {
    #[error("{0}")]
    Request(#[from] RequestError),
    #[error("the relay ended the answer early")]
    Ended,
    #[error("the relay's answer cannot be read: {0}")]
    Decode(#[from] DecodeError),
    #[error("the relay answered something else than was asked")]
    Unexpected,
    #[error("signatures cannot be checked on this device at the moment")]
    Unable,
    #[error("{0}")]
    Refused(Reason),
}

impl Hub {
    pub(crate) fn new(out: Outbox) -> Rc<Self> {
        Rc::new(Self { out, next: Cell::new(0), pending: RefCell::default(), held: RefCell::default() })
    }

    /// Sends a request whose answer is one reply. Where the relay only follows another one and takes nothing, the answer is
    /// that the connection is lost, once it is: what was asked is to be asked of the next relay.
    pub(crate) async fn ask(self: &Rc<Self>, request: &Request) -> Result<Reply, HubError> {
        let mut replies = self.open(request);
        let reply = match replies.next().await {
            Err(HubError::Refused(Reason::Following)) => {
                let (sender, lost) = oneshot::channel();
                self.held.borrow_mut().push(sender);
                let _lost = lost.await;
                return Err(RequestError::ConnectionLost.into());
            }
            reply => reply?.ok_or(HubError::Ended)?,
        };
        // The relay ends such an answer by itself: cancelling would only race with that.
        self.ended(replies.id);
        Ok(reply)
    }

    /// Sends a request and leaves the replies to be read; dropping them ends the request.
    pub(crate) fn open(self: &Rc<Self>, request: &Request) -> Replies {
        let id = self.next_id();
        let (sender, frames) = unbounded();
        self.pending.borrow_mut().insert(id, sender);
        match request.to_bytes() {
            Ok(bytes) => (self.out)(Event::Net(Command::Request { id, bytes })),
            Err(_too_large) => self.settle(id, Err(RequestError::FrameTooLarge)),
        }
        Replies { hub: Rc::clone(self), id, frames }
    }

    /// The next request's name, of the hub or of a peer.
    pub(crate) fn next_id(&self) -> RequestId {
        let id = RequestId(self.next.get());
        self.next.set(id.0.wrapping_add(1));
        id
    }

    /// Takes in a reply frame.
    pub(crate) fn frame(&self, id: RequestId, bytes: Vec<u8>) {
        if let Some(sender) = self.pending.borrow().get(&id) {
            // A reader that is gone has cancelled the request already.
            let _gone = sender.unbounded_send(Ok(bytes));
        }
    }

    /// Takes in that the replies are complete.
    pub(crate) fn ended(&self, id: RequestId) {
        self.pending.borrow_mut().remove(&id);
    }

    /// Takes in that the request failed.
    pub(crate) fn failed(&self, id: RequestId, error: RequestError) {
        self.settle(id, Err(error));
    }

    /// Takes in that the relay is not connected any more.
    pub(crate) fn disconnected(&self) {
        self.held.take();
    }

    fn settle(&self, id: RequestId, last: Frame) {
        if let Some(sender) = self.pending.borrow_mut().remove(&id) {
            let _gone = sender.unbounded_send(last);
        }
    }
}

/// The replies to one request, in order.
pub(crate) struct Replies {
    hub: Rc<Hub>,
    id: RequestId,
    frames: UnboundedReceiver<Frame>,
}

impl Replies {
    /// The next reply; none once the relay has answered in full.
    pub(crate) async fn next(&mut self) -> Result<Option<Reply>, HubError> {
        let Some(frame) = self.frames.next().await else { return Ok(None) };
        match Reply::from_bytes(&frame?)? {
            Reply::Refused { reason } => Err(HubError::Refused(reason)),
            reply => Ok(Some(reply)),
        }
    }
}

impl Drop for Replies {
    fn drop(&mut self) {
        let id = self.id;
        if self.hub.pending.borrow_mut().remove(&id).is_some() {
            (self.hub.out)(Event::Net(Command::Cancel { id }));
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use futures::FutureExt;
    use lichen_record::Cid;

    use super::*;

    /// A hub, and the commands that it has given.
    fn hub() -> (Rc<Hub>, Rc<RefCell<Vec<Command>>>) {
        let given = Rc::new(RefCell::new(Vec::new()));
        let keep = Rc::clone(&given);
        let out: Outbox = Rc::new(move |event| match event {
            Event::Net(command) => keep.borrow_mut().push(command),
            other => panic!("{other:?}"),
        });
        (Hub::new(out), given)
    }

    fn blob(bytes: &[u8]) -> Reply {
        Reply::Blob { bytes: bytes.to_vec() }
    }

    fn get(bytes: &[u8]) -> Request {
        Request::GetBlob { cid: Cid::of_raw(bytes) }
    }

    #[test]
    fn replies_find_their_requests() {
        let (hub, given) = hub();
        let (first, second) = (get(b"first"), get(b"second"));
        let mut asked = Box::pin(futures::future::join(hub.ask(&first), hub.ask(&second)));
        assert!((&mut asked).now_or_never().is_none());
        let ids: Vec<RequestId> = given
            .borrow()
            .iter()
            .map(|command| match command {
                Command::Request { id, .. } => *id,
                other => panic!("{other:?}"),
            })
            .collect();
        hub.frame(ids[1], blob(b"second").to_bytes().unwrap());
        hub.frame(ids[0], blob(b"first").to_bytes().unwrap());
        let (first, second) = asked.now_or_never().unwrap();
        assert_eq!((first.unwrap(), second.unwrap()), (blob(b"first"), blob(b"second")));
        assert_eq!(given.borrow().len(), 2, "an answered request is not cancelled");
    }

    #[test]
    fn what_nobody_reads_is_cancelled() {
        let (hub, given) = hub();
        drop(hub.open(&get(b"")));
        assert!(
            matches!(given.borrow()[..], [Command::Request { id, .. }, Command::Cancel { id: gone }] if id == gone)
        );
        assert!(hub.pending.borrow().is_empty());
    }

    #[test]
    fn what_a_following_relay_does_not_take_waits_for_the_next_one() {
        let (hub, _given) = hub();
        let put = Request::PutBlob { bytes: vec![1] };
        let mut asked = Box::pin(hub.ask(&put));
        assert!((&mut asked).now_or_never().is_none());
        let refusal = Reply::Refused { reason: Reason::Following };
        hub.frame(RequestId(0), refusal.to_bytes().unwrap());
        hub.ended(RequestId(0));
        assert!((&mut asked).now_or_never().is_none(), "no answer while that relay is connected");
        hub.disconnected();
        let answer = asked.now_or_never().unwrap();
        assert!(matches!(answer, Err(HubError::Request(RequestError::ConnectionLost))), "{answer:?}");
    }

    #[test]
    fn failures_and_junk_are_told_apart() {
        let (hub, _given) = hub();
        let ask = |settle: &dyn Fn(RequestId)| {
            let id = RequestId(hub.next.get());
            let request = get(b"");
            let mut asked = Box::pin(hub.ask(&request));
            assert!((&mut asked).now_or_never().is_none());
            settle(id);
            asked.now_or_never().unwrap().unwrap_err()
        };
        let lost = ask(&|id| hub.failed(id, RequestError::ConnectionLost));
        assert!(matches!(lost, HubError::Request(RequestError::ConnectionLost)));
        assert!(matches!(ask(&|id| hub.ended(id)), HubError::Ended));
        assert!(matches!(ask(&|id| hub.frame(id, vec![0xff])), HubError::Decode(_)));
        let refusal = Reply::Refused { reason: Reason::NotFound };
        let refused = ask(&|id| hub.frame(id, refusal.to_bytes().unwrap()));
        assert!(matches!(refused, HubError::Refused(Reason::NotFound)));
        assert!(hub.pending.borrow().is_empty());
    }
}
