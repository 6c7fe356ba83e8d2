//! Messages as bytes: several in one post, capped, complete, nothing behind them.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Command, Event, Seen, Server};

/// Longest post, in bytes: one frame of the swarm with its wrapping.
pub const MAX_POST: usize = lichen_net::MAX_FRAME + 1024;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Command {}
    impl Sealed for crate::Event {}
    impl Sealed for crate::Seen {}
    impl Sealed for lichen_net::Command {}
    impl Sealed for lichen_net::Event {}
    impl Sealed for crate::Server {}
}

/// What crosses the bridge: [`Command`] one way and [`Event`] the other between page and worker, the swarm's own commands and
/// events between these two, and [`Seen`] from the swarm to the page, which starts it with [`Server`]s.
pub trait Message: sealed::Sealed + Serialize + DeserializeOwned {
    /// The bytes of one post with these messages, in their order.
    ///
    /// # Errors
    /// [`BridgeError::Encode`] where memory is short.
    fn to_bytes(messages: &[Self]) -> Result<Vec<u8>, BridgeError> {
        postcard::to_allocvec(messages).map_err(BridgeError::Encode)
    }

    /// Reads the messages of one post.
    ///
    /// # Errors
    /// Refuses what is longer than [`MAX_POST`], not messages of this kind, or followed by anything.
    fn from_bytes(bytes: &[u8]) -> Result<Vec<Self>, BridgeError> {
        if bytes.len() > MAX_POST {
            return Err(BridgeError::TooLong(bytes.len()));
        }
        match postcard::take_from_bytes(bytes).map_err(BridgeError::Decode)? {
            (messages, []) => Ok(messages),
            (_messages, rest) => Err(BridgeError::Trailing(rest.len())),
        }
    }
}

impl Message for Command {}
impl Message for Event {}
impl Message for Seen {}
impl Message for lichen_net::Command {}
impl Message for lichen_net::Event {}
impl Message for Server {}

/// Why something that came over the bridge is not a message.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The message cannot be written.
    #[error("a message that cannot be written: {0}")]
    Encode(#[source] postcard::Error),
    /// The bytes are no message.
    #[error("not a message of the bridge: {0}")]
    Decode(#[source] postcard::Error),
    /// So many bytes follow the messages.
    #[error("{0} bytes follow the messages")]
    Trailing(usize),
    /// What was posted is no `ArrayBuffer`.
    #[error("what was posted is not an ArrayBuffer")]
    NotABuffer,
    /// The post is of so many bytes, which is more than [`MAX_POST`].
    #[error("a post of {0} bytes is too long")]
    TooLong(usize),
    /// The browser refused to post the message.
    #[error("the browser refused to post a message: {0}")]
    NotPosted(String),
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::{CommandId, EnginePreference, Guess, Guesses, LossPoint, Phase, Problem, Relay, Reported};
    use lichen_net::RequestId;
    use lichen_record::Cid;
    use proptest::prelude::*;

    fn command() -> impl Strategy<Value = Command> {
        let id = any::<u32>().prop_map(CommandId);
        prop_oneof![
            (id.clone(), ".{0,200}", ".{0,60}").prop_map(|(id, address, campaign)| Command::Start {
                id,
                relay: Relay { also: vec![campaign.clone(), String::new()], address, campaign },
                engine: EnginePreference::Gpu
            }),
            id.clone().prop_map(|id| Command::Join { id }),
            id.clone().prop_map(|id| Command::Pause { id }),
            id.clone().prop_map(|id| Command::Resume { id }),
            id.clone().prop_map(|id| Command::Leave { id }),
            (id.clone(), any::<bool>()).prop_map(|(id, on)| Command::RelayOnly { id, on }),
            (id.clone(), ".{0,60}", any::<u64>()).prop_map(|(id, checkpoint, round)| Command::Look {
                id,
                checkpoint,
                round
            }),
            (id, proptest::collection::vec(any::<u8>(), 0..300))
                .prop_map(|(id, cells)| Command::Read { id, cells }),
            (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..300)).prop_map(|(id, bytes)| {
                Command::Net(lichen_net::Event::Frame { id: RequestId(id), bytes })
            }),
        ]
    }

    fn finite() -> impl Strategy<Value = f64> {
        any::<f64>().prop_filter("finite", |number| number.is_finite())
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            any::<u32>().prop_map(|version| Event::Ready { version }),
            ".{0,200}".prop_map(|message| Event::Status(Phase::Failed(Problem {
                message,
                remedy: "Reload the page.".into()
            }))),
            (any::<u64>(), any::<u32>(), any::<u32>())
                .prop_map(|(round, step, steps)| Event::Status(Phase::Training { round, step, steps })),
            (any::<u64>(), proptest::collection::vec((any::<u32>(), finite()), 1..20)).prop_map(
                |(round, points)| Event::Loss {
                    round,
                    points: points.into_iter().map(|(step, loss)| LossPoint { step, loss }).collect()
                }
            ),
            (
                any::<Option<u64>>(),
                any::<Option<(u32, u32)>>(),
                proptest::collection::vec(any::<u8>(), 0..70)
            )
                .prop_map(|(round, right, cells)| Event::Guesses(Guesses {
                    round,
                    checkpoint: Cid::of_raw(&cells),
                    right,
                    samples: vec![Guess { index: 5, label: 3, guess: 8, probability: 0.5, cells }],
                })),
            proptest::collection::vec((any::<u64>(), finite(), finite()), 1..20).prop_map(|rounds| {
                Event::Reported(
                    rounds
                        .into_iter()
                        .map(|(round, loss, accuracy)| Reported { round, loss, accuracy })
                        .collect(),
                )
            }),
            (any::<u32>(), proptest::collection::vec(0.0f32..1.0, 0..12))
                .prop_map(|(id, probabilities)| { Event::Read { id: CommandId(id), probabilities } }),
            (any::<Option<u64>>(), finite(), finite(), any::<u32>()).prop_map(
                |(round, loss, accuracy, samples)| Event::Evaluated {
                    round,
                    checkpoint: Cid::of_raw(&samples.to_be_bytes()),
                    loss,
                    accuracy,
                    samples
                }
            ),
        ]
    }

    proptest! {
        #[test]
        fn commands_come_back_as_sent(commands in proptest::collection::vec(command(), 0..5)) {
            prop_assert_eq!(Command::from_bytes(&Command::to_bytes(&commands).unwrap()).unwrap(), commands);
        }

        #[test]
        fn events_come_back_as_sent(events in proptest::collection::vec(event(), 0..5)) {
            prop_assert_eq!(Event::from_bytes(&Event::to_bytes(&events).unwrap()).unwrap(), events);
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_messages(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(commands) = Command::from_bytes(&bytes) {
                prop_assert_eq!(Command::from_bytes(&Command::to_bytes(&commands).unwrap()).unwrap(), commands);
            }
            if let Ok(events) = Event::from_bytes(&bytes) {
                prop_assert!(Event::to_bytes(&events).is_ok());
            }
        }

        #[test]
        fn nothing_may_follow_the_messages(event in event(), more in proptest::collection::vec(any::<u8>(), 1..9)) {
            let bytes = [Event::to_bytes(&[event]).unwrap(), more.clone()].concat();
            let refused = Event::from_bytes(&bytes);
            prop_assert!(matches!(refused, Err(BridgeError::Trailing(rest)) if rest == more.len()));
        }

        #[test]
        fn a_cut_post_is_refused(command in command(), cut in any::<prop::sample::Index>()) {
            let bytes = Command::to_bytes(&[command]).unwrap();
            prop_assert!(Command::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn a_post_above_the_cap_is_refused_unread() {
        let bytes = vec![0; MAX_POST + 1];
        assert!(matches!(Command::from_bytes(&bytes), Err(BridgeError::TooLong(_))));
    }

    #[test]
    fn the_largest_frame_fits() {
        let bytes = vec![7; lichen_net::MAX_FRAME];
        let command = Command::Net(lichen_net::Event::Frame { id: RequestId(u64::MAX), bytes });
        assert!(Command::to_bytes(&[command]).unwrap().len() <= MAX_POST);
    }
}
