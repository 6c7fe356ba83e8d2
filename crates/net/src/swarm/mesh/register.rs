//! The registration at the hub's rendezvous: one stream, open for as long as we may be found.

use std::time::Duration;

use futures::future::{AbortHandle, Abortable, FutureExt, LocalBoxFuture};
use futures_timer::Delay;
use libp2p::PeerId;
use libp2p::swarm::Stream;

use super::Done;
use crate::rendezvous::{MAX_NOTICE, Notice, Refusal, Register};
use crate::swarm::frame;

/// How long a frame may stall once it has begun.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long nothing may come: lists change when they change, and a lost connection ends the stream.
const ANY_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What came over the registration's stream.
pub(in crate::swarm) enum Registered {
    /// Who else is there; the stream goes on.
    Listed { stream: Stream, peers: Vec<PeerId> },
    /// The hub does not register us.
    Refused(Refusal),
    /// The stream ended, broke or made no sense.
    Lost,
}

/// Says who we want to be found by, and waits for the first list.
pub(super) async fn register(mut stream: Stream, registration: Register) -> Registered {
    let Ok(bytes) = registration.to_bytes() else { return Registered::Lost };
    match frame::write(&mut stream, &bytes, PATIENCE).await {
        Ok(()) => listen(stream).await,
        Err(_broken) => Registered::Lost,
    }
}

/// Waits for the next list.
pub(super) async fn listen(mut stream: Stream) -> Registered {
    let length = match frame::read_length(&mut stream, ANY_TIME).await {
        Ok(Some(length)) if length <= MAX_NOTICE => length,
        _ => return Registered::Lost,
    };
    let Ok(bytes) = frame::read_content(&mut stream, length, PATIENCE).await else { return Registered::Lost };
    match Notice::from_bytes(&bytes) {
        Ok(Notice::Peers { peers }) => {
            let peers = peers.iter().filter_map(|peer| PeerId::from_bytes(peer).ok()).collect();
            Registered::Listed { stream, peers }
        }
        Ok(Notice::Refused { reason }) => Registered::Refused(reason),
        Err(_no_notice) => Registered::Lost,
    }
}

/// How long to wait before registering again.
pub(super) const fn again_in(refusal: Option<Refusal>) -> Duration {
    match refusal {
        None => Duration::from_secs(2),
        Some(Refusal::NotIntroduced) => Duration::from_secs(5),
        Some(Refusal::TooMany | Refusal::TooOften) => Duration::from_secs(60),
        Some(Refusal::Malformed | Refusal::UnknownCampaign) => Duration::from_secs(300),
    }
}

/// The task, and the handle that calls it off.
pub(super) fn called_off(
    task: impl Future<Output = Done> + 'static,
) -> (LocalBoxFuture<'static, Done>, AbortHandle) {
    let (handle, registration) = AbortHandle::new_pair();
    let task = Abortable::new(task, registration).map(|done| done.unwrap_or(Done::Nothing));
    (task.boxed_local(), handle)
}

/// Waits, then says that it is time.
pub(super) async fn wait(time: Duration) -> Done {
    Delay::new(time).await;
    Done::RegisterAgain
}
