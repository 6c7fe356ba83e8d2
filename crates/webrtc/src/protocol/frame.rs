//! Message framing on a data channel: a varint length, then a protobuf message of a flag and bytes.

use alloc::vec::Vec;

use prost::Message as _;
use thiserror::Error;

/// Most bytes of one encoded frame, its length prefix included (16 KiB, `webrtc/README.md`, "Multiplexing").
pub const MAX_FRAME: usize = 16 * 1024;

/// Most payload bytes of one frame: what is left beside the length prefix, both tags and the payload's length.
pub const MAX_PAYLOAD: usize = MAX_FRAME - PREFIX - FLAG - PAYLOAD_HEADER;

const PREFIX: usize = 2;
const FLAG: usize = 2;
const PAYLOAD_HEADER: usize = 3;
/// The longest length prefix that can announce a frame within [`MAX_FRAME`].
const LONGEST_PREFIX: usize = 3;

/// What a frame says about its stream, beside carrying bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub enum Flag {
    /// The sender will send no more bytes.
    Fin = 0,
    /// The sender will read no more bytes.
    StopSending = 1,
    /// The sender gave up its sending half; what it sent may be discarded.
    ResetStream = 2,
    /// The sender has received a [`Flag::Fin`] and all bytes before it.
    FinAck = 3,
}

/// One frame of a stream.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Frame {
    #[prost(enumeration = "Flag", optional, tag = "1")]
    flag: Option<i32>,
    #[prost(bytes = "vec", optional, tag = "2")]
    message: Option<Vec<u8>>,
}

/// Why bytes from a data channel are not a frame.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length prefix announces more than [`MAX_FRAME`] allows.
    #[error("a frame of more than 16 KiB")]
    TooLong,
    /// The length prefix is not a minimal varint.
    #[error("a malformed length prefix")]
    Prefix,
    /// The body is not the protobuf message.
    #[error("a malformed frame body")]
    Body,
    /// The flag is none that the specification knows.
    #[error("unknown flag {0}")]
    UnknownFlag(i32),
}

impl Frame {
    /// A frame of bytes alone; callers keep `payload` within [`MAX_PAYLOAD`].
    #[must_use]
    pub fn data(payload: &[u8]) -> Self {
        Self { flag: None, message: Some(payload.to_vec()) }
    }

    /// A frame of a flag alone.
    #[must_use]
    pub fn signal(flag: Flag) -> Self {
        Self { flag: Some(flag as i32), message: None }
    }

    /// The flag, if the frame carries one.
    ///
    /// # Errors
    /// [`FrameError::UnknownFlag`] for a number outside the specification.
    pub fn known_flag(&self) -> Result<Option<Flag>, FrameError> {
        self.flag
            .map(|raw| Flag::try_from(raw).map_err(|unknown| FrameError::UnknownFlag(unknown.0)))
            .transpose()
    }

    /// The bytes carried, empty where the frame is a flag alone.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        self.message.as_deref().unwrap_or_default()
    }

    /// As [`Frame::payload`], owned.
    #[must_use]
    pub fn into_payload(self) -> Vec<u8> {
        self.message.unwrap_or_default()
    }

    /// The bytes of one data-channel message.
    #[must_use]
    pub fn encode_message(&self) -> Vec<u8> {
        self.encode_length_delimited_to_vec()
    }
}

/// Puts frames back together from data-channel messages, however they were cut.
///
/// Holds at most one frame's bytes between calls, plus what one message of the browser brought.
#[derive(Debug, Default)]
pub struct Assembler {
    pending: Vec<u8>,
}

impl Assembler {
    /// Takes one data-channel message and returns the frames completed by it, in order.
    ///
    /// # Errors
    /// [`FrameError`] at the first malformed frame; the stream is then beyond repair and must be reset.
    pub fn push(&mut self, message: &[u8]) -> Result<Vec<Frame>, FrameError> {
        let mut joined = core::mem::take(&mut self.pending);
        // Browsers send a frame as one message: only one that came in pieces is put together.
        let mut rest = message;
        if !joined.is_empty() {
            joined.extend_from_slice(message);
            rest = &joined;
        }
        let mut frames = Vec::new();
        while let Some((body, after)) = split_frame(rest)? {
            let frame = Frame::decode(body).map_err(|_malformed| FrameError::Body)?;
            frame.known_flag()?;
            frames.push(frame);
            rest = after;
        }
        self.pending = rest.to_vec();
        Ok(frames)
    }
}

/// A frame's body and the bytes after it.
type Split<'a> = (&'a [u8], &'a [u8]);

/// Cuts the first whole frame's body off `bytes`; `None` while it is incomplete.
fn split_frame(bytes: &[u8]) -> Result<Option<Split<'_>>, FrameError> {
    let (length, body) = match unsigned_varint::decode::usize(bytes) {
        Ok(prefix) => prefix,
        Err(unsigned_varint::decode::Error::Insufficient) if bytes.len() < LONGEST_PREFIX => return Ok(None),
        Err(unsigned_varint::decode::Error::Insufficient) => return Err(FrameError::TooLong),
        Err(_not_a_varint) => return Err(FrameError::Prefix),
    };
    if bytes.len() - body.len() + length > MAX_FRAME {
        return Err(FrameError::TooLong);
    }
    Ok(body.split_at_checked(length))
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// Bytes as the specification's own schema gives them.
    #[test]
    fn golden_bytes() {
        let cases: [(Frame, &[u8]); 6] = [
            (Frame::signal(Flag::Fin), &[2, 0x08, 0]),
            (Frame::signal(Flag::StopSending), &[2, 0x08, 1]),
            (Frame::signal(Flag::ResetStream), &[2, 0x08, 2]),
            (Frame::signal(Flag::FinAck), &[2, 0x08, 3]),
            (Frame::data(b"lichen"), &[8, 0x12, 6, b'l', b'i', b'c', b'h', b'e', b'n']),
            (Frame { flag: Some(0), message: Some(vec![7]) }, &[5, 0x08, 0, 0x12, 1, 7]),
        ];
        for (frame, bytes) in cases {
            assert_eq!(frame.encode_message(), bytes);
            assert_eq!(Assembler::default().push(bytes).unwrap(), [frame]);
        }
    }

    #[test]
    fn the_largest_payload_fills_a_frame_exactly() {
        let full = Frame { flag: Some(Flag::Fin as i32), message: Some(vec![1; MAX_PAYLOAD]) };
        assert_eq!(full.encode_message().len(), MAX_FRAME);
        assert_eq!(Assembler::default().push(&full.encode_message()).unwrap(), [full]);
    }

    #[test]
    fn one_byte_more_than_a_frame_is_refused_before_it_arrives() {
        let long = Frame { flag: Some(Flag::Fin as i32), message: Some(vec![1; MAX_PAYLOAD + 1]) };
        let bytes = long.encode_message();
        assert_eq!(bytes.len(), MAX_FRAME + 1);
        assert_eq!(Assembler::default().push(&bytes[..3]), Err(FrameError::TooLong));
        assert_eq!(Assembler::default().push(&[0xff, 0xff, 0xff]), Err(FrameError::TooLong));
    }

    #[test]
    fn an_empty_frame_is_a_frame_of_nothing() {
        let frames = Assembler::default().push(&[0]).unwrap();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].payload(), b"");
        assert_eq!(frames[0].known_flag(), Ok(None));
    }

    #[test]
    fn malformed_frames_are_typed_errors() {
        assert_eq!(Assembler::default().push(&[0x80, 0x00]), Err(FrameError::Prefix));
        assert_eq!(Assembler::default().push(&[2, 0x08, 9]), Err(FrameError::UnknownFlag(9)));
        assert_eq!(Assembler::default().push(&[2, 0x12, 9]), Err(FrameError::Body));
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 1..8),
            cut in 1_usize..97,
        ) {
            let sent: Vec<Frame> = payloads.iter().map(|payload| Frame::data(payload)).collect();
            let bytes: Vec<u8> = sent.iter().flat_map(Frame::encode_message).collect();
            let mut assembler = Assembler::default();
            let mut received = Vec::new();
            for piece in bytes.chunks(cut) {
                received.extend(assembler.push(piece).unwrap());
            }
            prop_assert_eq!(received, sent);
        }

        #[test]
        fn any_bytes_are_frames_or_a_typed_error(bytes in prop::collection::vec(any::<u8>(), 0..512)) {
            let mut assembler = Assembler::default();
            let _refused_or_not = assembler.push(&bytes);
            prop_assert!(assembler.pending.len() <= MAX_FRAME.max(bytes.len()));
        }
    }
}
