//! The messages of `/webrtc-signaling/0.0.1`: offer, answer and trickled candidates.

use alloc::string::String;
use alloc::vec::Vec;

use prost::Message as _;
use thiserror::Error;

/// The signalling protocol's name in multistream-select.
pub const PROTOCOL: &str = "/webrtc-signaling/0.0.1";

/// Most bytes of one signalling message; a session description is about 650 bytes, a large one a few thousand.
pub const MAX_MESSAGE: usize = 16 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
enum Type {
    SdpOffer = 0,
    SdpAnswer = 1,
    IceCandidate = 2,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Wire {
    #[prost(enumeration = "Type", optional, tag = "1")]
    kind: Option<i32>,
    #[prost(string, optional, tag = "2")]
    data: Option<String>,
}

/// One signalling message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// The offerer's session description (SDP).
    Offer(String),
    /// The answerer's session description (SDP).
    Answer(String),
    /// `RTCIceCandidate.toJSON()` as JSON text; `null` or an empty candidate marks the end.
    Candidate(String),
}

/// Why bytes are not a signalling message.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignalError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a signalling message of more than 16 KiB")]
    TooLong,
    /// Not the protobuf message.
    #[error("a malformed signalling message")]
    Malformed,
    /// No type, or one that the specification does not know.
    #[error("a signalling message of no known type")]
    UnknownType,
}

impl Signal {
    /// The protobuf bytes, without the length prefix.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, data) = match self {
            Self::Offer(sdp) => (Type::SdpOffer, sdp),
            Self::Answer(sdp) => (Type::SdpAnswer, sdp),
            Self::Candidate(json) => (Type::IceCandidate, json),
        };
        Wire { kind: Some(kind as i32), data: Some(data.clone()) }.encode_to_vec()
    }

    /// Reads the protobuf bytes, without the length prefix.
    ///
    /// # Errors
    /// [`SignalError`] naming what is wrong with them.
    pub fn decode(bytes: &[u8]) -> Result<Self, SignalError> {
        if bytes.len() > MAX_MESSAGE {
            return Err(SignalError::TooLong);
        }
        let wire = Wire::decode(bytes).map_err(|_malformed| SignalError::Malformed)?;
        let data = wire.data.unwrap_or_default();
        match wire.kind.and_then(|raw| Type::try_from(raw).ok()) {
            Some(Type::SdpOffer) => Ok(Self::Offer(data)),
            Some(Type::SdpAnswer) => Ok(Self::Answer(data)),
            Some(Type::IceCandidate) => Ok(Self::Candidate(data)),
            None => Err(SignalError::UnknownType),
        }
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn golden_bytes() {
        let cases: [(Signal, &[u8]); 3] = [
            (Signal::Offer("v=0".into()), &[0x08, 0, 0x12, 3, b'v', b'=', b'0']),
            (Signal::Answer("v=0".into()), &[0x08, 1, 0x12, 3, b'v', b'=', b'0']),
            (Signal::Candidate("null".into()), &[0x08, 2, 0x12, 4, b'n', b'u', b'l', b'l']),
        ];
        for (signal, bytes) in cases {
            assert_eq!(signal.encode(), bytes);
            assert_eq!(Signal::decode(bytes), Ok(signal));
        }
    }

    #[test]
    fn what_is_no_message_is_a_typed_error() {
        assert_eq!(Signal::decode(&[]), Err(SignalError::UnknownType));
        assert_eq!(Signal::decode(&[0x08, 7]), Err(SignalError::UnknownType));
        assert_eq!(Signal::decode(&[0x12, 200]), Err(SignalError::Malformed));
        assert_eq!(Signal::decode(&vec![0; MAX_MESSAGE + 1]), Err(SignalError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_message_or_a_typed_error(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            if let Ok(signal) = Signal::decode(&bytes) {
                prop_assert_eq!(Signal::decode(&signal.encode()), Ok(signal));
            }
        }
    }
}
