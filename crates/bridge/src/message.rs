//! Messages as bytes: canonical, capped, strict.

use lichen_record::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Command, Event};

/// Longest message, in bytes: one frame of the swarm with its wrapping.
pub const MAX_MESSAGE: usize = lichen_net::MAX_FRAME + 1024;

mod sealed {
    pub trait Sealed {}
    impl Sealed for crate::Command {}
    impl Sealed for crate::Event {}
}

/// What crosses the bridge: [`Command`] one way, [`Event`] the other.
pub trait Message: sealed::Sealed + Serialize + DeserializeOwned {
    /// The message's canonical bytes.
    ///
    /// # Errors
    /// [`BridgeError::Encode`] for a number that is not finite.
    fn to_bytes(&self) -> Result<Vec<u8>, BridgeError> {
        Ok(lichen_record::encode(self)?)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// Refuses what is longer than [`MAX_MESSAGE`], not canonical, or not a message of this kind.
    fn from_bytes(bytes: &[u8]) -> Result<Self, BridgeError> {
        Ok(lichen_record::decode(bytes, MAX_MESSAGE)?)
    }
}

impl Message for Command {}
impl Message for Event {}

/// Why something that came over the bridge is not a message.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// The message holds a number that is not finite.
    #[error("a message without a canonical form: {0}")]
    Encode(#[from] EncodeError),
    /// The bytes are no message.
    #[error("not a message of the bridge: {0}")]
    Decode(#[from] DecodeError),
    /// What was posted is no `ArrayBuffer`.
    #[error("what was posted is not an ArrayBuffer")]
    NotABuffer,
    /// The buffer is longer than [`MAX_MESSAGE`].
    #[error("a message of {0} bytes is too long")]
    TooLong(u32),
    /// The browser refused to post the message.
    #[error("the browser refused to post a message: {0}")]
    NotPosted(String),
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::{CommandId, EnginePreference, LossPoint, Phase, Problem};
    use lichen_net::RequestId;
    use lichen_record::Cid;
    use proptest::prelude::*;

    fn command() -> impl Strategy<Value = Command> {
        let id = any::<u32>().prop_map(CommandId);
        prop_oneof![
            (id.clone(), ".{0,200}").prop_map(|(id, relay)| Command::Start {
                id,
                relay,
                engine: EnginePreference::Gpu
            }),
            id.clone().prop_map(|id| Command::Join { id }),
            id.clone().prop_map(|id| Command::Pause { id }),
            id.clone().prop_map(|id| Command::Resume { id }),
            id.clone().prop_map(|id| Command::Leave { id }),
            (id, any::<bool>()).prop_map(|(id, on)| Command::RelayOnly { id, on }),
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
        fn commands_come_back_as_sent(command in command()) {
            prop_assert_eq!(Command::from_bytes(&command.to_bytes().unwrap()).unwrap(), command);
        }

        #[test]
        fn events_come_back_as_sent(event in event()) {
            prop_assert_eq!(Event::from_bytes(&event.to_bytes().unwrap()).unwrap(), event);
        }

        #[test]
        fn arbitrary_bytes_are_refused_or_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            if let Ok(command) = Command::from_bytes(&bytes) {
                prop_assert_eq!(command.to_bytes().unwrap(), bytes);
            }
        }

        #[test]
        fn a_cut_message_is_refused(command in command(), cut in any::<prop::sample::Index>()) {
            let bytes = command.to_bytes().unwrap();
            prop_assert!(Command::from_bytes(&bytes[..cut.index(bytes.len())]).is_err());
        }
    }

    #[test]
    fn a_number_that_is_not_finite_has_no_message() {
        let event = Event::Loss { round: 0, points: vec![LossPoint { step: 1, loss: f64::NAN }] };
        assert!(matches!(event.to_bytes(), Err(BridgeError::Encode(_))));
    }

    #[test]
    fn a_message_above_the_cap_is_refused_unread() {
        let bytes = vec![0; MAX_MESSAGE + 1];
        assert!(matches!(
            Command::from_bytes(&bytes),
            Err(BridgeError::Decode(DecodeError::TooLarge { .. }))
        ));
    }

    #[test]
    fn the_largest_frame_fits() {
        let bytes = vec![7; lichen_net::MAX_FRAME];
        let command = Command::Net(lichen_net::Event::Frame { id: RequestId(u64::MAX), bytes });
        assert!(command.to_bytes().unwrap().len() <= MAX_MESSAGE);
    }
}
