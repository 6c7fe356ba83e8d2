//! What one connection has sent and nobody has read, stream by stream, told from the frames as they arrive and from what
//! is read of streams. Pure: bytes and numbers in, a number out.

use std::collections::HashMap;

/// Bytes of a frame's head: version, kind, flags, stream, length.
const HEAD: usize = 12;

/// The kinds of frames that are of a stream: its bytes, and how many more may come.
const DATA: u8 = 0;
const WINDOW: u8 = 1;

/// The flag of a stream's first frame.
const BEGINS: u8 = 1;

/// What a frame that waits takes besides its bytes.
const FRAME_COST: usize = 64;

/// What an open stream takes, though nothing was sent on it: its state, its queue and who waits for it.
const STREAM_COST: usize = 2 * 1024;

/// What a connection holds.
#[derive(Debug, Default)]
pub(super) struct Held {
    streams: HashMap<u32, Waiting>,
    head: Vec<u8>,
    body: Body,
    total: usize,
}

/// The frame whose bytes arrive.
#[derive(Debug, Default)]
struct Body {
    stream: u32,
    left: usize,
    came: usize,
}

/// What waits to be read on a stream.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    bytes: usize,
    frames: usize,
}

impl Waiting {
    const fn cost(self) -> usize {
        self.bytes.saturating_add(self.frames.saturating_mul(FRAME_COST)).saturating_add(STREAM_COST)
    }
}

impl Held {
    /// Bytes of memory, about.
    pub(super) const fn total(&self) -> usize {
        self.total.saturating_add(self.body.came)
    }

    /// Takes in what has arrived.
    pub(super) fn arrived(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let wanted = if self.body.left > 0 { self.body.left } else { HEAD - self.head.len() };
            let (now, later) = bytes.split_at(wanted.min(bytes.len()));
            bytes = later;
            if self.body.left > 0 {
                self.body.left -= now.len();
                self.body.came += now.len();
            } else {
                self.head.extend_from_slice(now);
                self.begin_frame();
            }
            if self.body.left == 0 {
                self.end_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        let [_version, kind, _, flags, s0, s1, s2, s3, l0, l1, l2, l3] = self.head[..] else { return };
        self.head.clear();
        let stream = u32::from_be_bytes([s0, s1, s2, s3]);
        // A ping has that flag, too, and is of no stream.
        if flags & BEGINS != 0 && matches!(kind, DATA | WINDOW) {
            self.opened(stream);
        }
        let left = if kind == DATA { u32::from_be_bytes([l0, l1, l2, l3]) } else { 0 };
        self.body = Body { stream, left: usize::try_from(left).unwrap_or(usize::MAX), came: 0 };
    }

    /// Bytes of a stream that is given up already are dropped.
    fn end_frame(&mut self) {
        let Body { stream, came, .. } = std::mem::take(&mut self.body);
        if came > 0 {
            self.change(stream, |waiting| Waiting {
                bytes: waiting.bytes.saturating_add(came),
                frames: waiting.frames.saturating_add(1),
            });
        }
    }

    /// A stream is open.
    pub(super) fn opened(&mut self, stream: u32) {
        let before = self.streams.insert(stream, Waiting::default()).map_or(0, Waiting::cost);
        self.total = self.total.saturating_sub(before).saturating_add(STREAM_COST);
    }

    /// So many bytes of a stream were read.
    pub(super) fn read(&mut self, stream: u32, count: usize) {
        self.change(stream, |Waiting { bytes, frames }| {
            let left = bytes.saturating_sub(count);
            // Frames are read in turn: of half of the bytes about half of the frames are left.
            Waiting { bytes: left, frames: (frames * left).checked_div(bytes).unwrap_or(0) }
        });
    }

    /// A stream is given up, and with it what waits there.
    pub(super) fn dropped(&mut self, stream: u32) {
        let before = self.streams.remove(&stream).map_or(0, Waiting::cost);
        self.total = self.total.saturating_sub(before);
    }

    fn change(&mut self, stream: u32, change: impl FnOnce(Waiting) -> Waiting) {
        let Some(waiting) = self.streams.get_mut(&stream) else { return };
        let before = waiting.cost();
        *waiting = change(*waiting);
        self.total = self.total.saturating_sub(before).saturating_add(waiting.cost());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(stream: u32, flags: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        [&[0, DATA, 0, flags][..], &stream.to_be_bytes(), &length, body].concat()
    }

    #[test]
    fn what_arrives_counts_until_it_is_read() {
        let mut held = Held::default();
        held.arrived(&frame(1, BEGINS, &[7; 1000]));
        held.arrived(&frame(1, 0, &[7; 3000]));
        assert_eq!(held.total(), STREAM_COST + 4000 + 2 * FRAME_COST);
        held.read(1, 2000);
        assert_eq!(held.total(), STREAM_COST + 2000 + FRAME_COST);
        held.read(1, 2000);
        assert_eq!(held.total(), STREAM_COST);
        held.dropped(1);
        assert_eq!(held.total(), 0);
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_it_arrives() {
        let bytes = [frame(1, BEGINS, &[1; 40]), frame(3, BEGINS, &[]), frame(3, 0, &[3; 7])].concat();
        let mut whole = Held::default();
        whole.arrived(&bytes);
        for piece in 1..bytes.len() {
            let mut pieces = Held::default();
            bytes.chunks(piece).for_each(|piece| pieces.arrived(piece));
            assert_eq!(pieces.total(), whole.total(), "in pieces of {piece}");
        }
    }

    #[test]
    fn half_of_a_frame_counts_too() {
        let mut held = Held::default();
        let bytes = frame(1, BEGINS, &[1; 100_000]);
        held.arrived(&bytes[..60_000]);
        assert_eq!(held.total(), STREAM_COST + 60_000 - HEAD);
    }

    #[test]
    fn many_small_frames_take_more_than_their_bytes() {
        let mut held = Held::default();
        held.arrived(&frame(1, BEGINS, &[]));
        for _ in 0..1000 {
            held.arrived(&frame(1, 0, &[1]));
        }
        assert_eq!(held.total(), STREAM_COST + 1000 * (1 + FRAME_COST));
        held.read(1, 1000);
        assert_eq!(held.total(), STREAM_COST);
    }

    #[test]
    fn what_comes_for_a_stream_given_up_is_dropped() {
        let mut held = Held::default();
        held.arrived(&frame(1, BEGINS, &[1; 10]));
        held.dropped(1);
        held.arrived(&frame(1, 0, &[1; 10]));
        // Of its kind, only data has a body; and a ping opens no stream.
        held.arrived(&[0, WINDOW, 0, 0, 0, 0, 0, 1, 0, 4, 0, 0]);
        held.arrived(&[0, 2, 0, BEGINS, 0, 0, 0, 0, 0, 0, 0, 9]);
        held.read(1, 10);
        assert_eq!(held.total(), 0);
    }
}
