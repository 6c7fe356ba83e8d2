//! The decoders of the WebRTC transport.

use lichen_webrtc::protocol::frame::{Assembler, Flag, Frame};
use lichen_webrtc::protocol::signal::Signal;

use crate::targets::Target;

/// However bytes are cut into messages.
pub(crate) fn frames() -> Target {
    let frames = [Frame::data(b"hello"), Frame::signal(Flag::Fin), Frame::data(&[7; 300])];
    Target {
        name: "webrtc-frames",
        cap: 64 * 1024,
        valid: frames.iter().map(Frame::encode_message).collect(),
        accepts: Box::new(|input| {
            let whole = Assembler::default().push(input);
            // However a message is cut, the frames are the same.
            let mut assembler = Assembler::default();
            let (front, back) = input.split_at(input.len() / 2);
            let cut = assembler.push(front).and_then(|mut frames| {
                frames.extend(assembler.push(back)?);
                Ok(frames)
            });
            assert_eq!(whole.as_ref().ok(), cut.as_ref().ok(), "frames depend on where a message is cut");
            whole.is_ok()
        }),
    }
}

/// What two tabs say to each other before they are connected.
pub(crate) fn signals() -> Target {
    let valid =
        [Signal::Offer("v=0\r\n".into()), Signal::Answer("v=0\r\n".into()), Signal::Candidate("{}".into())];
    Target {
        name: "webrtc-signals",
        cap: 4096,
        valid: valid.iter().map(Signal::encode).collect(),
        accepts: Box::new(|input| match Signal::decode(input) {
            Err(_refused) => false,
            Ok(signal) => {
                assert_eq!(Signal::decode(&signal.encode()).as_ref(), Ok(&signal), "does not come back");
                true
            }
        }),
    }
}
