//! One libp2p stream over one data channel: half-close both ways, acknowledged ends, resets, a capped inbox.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use thiserror::Error;

use super::frame::{Assembler, Flag, Frame, FrameError, MAX_PAYLOAD};

/// Most bytes received and not yet read; browsers give data channels no back-pressure, so past it the stream is
/// reset. Protocols that move more than this ask for it in pieces.
pub const RECEIVE_CAP: usize = 16 * 1024 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Open,
    /// The remote finished; what is in the inbox can still be read.
    Finished,
    /// We asked the remote to stop; what still comes is dropped, its flags are heeded.
    Stopped,
    Reset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Open,
    /// FIN is sent, its acknowledgement outstanding.
    Finishing,
    /// The remote has everything.
    Finished,
    /// The remote asked us to stop.
    Stopped,
    Reset,
}

/// The state of one stream; bytes in, frames out.
#[derive(Debug)]
pub struct StreamState {
    reading: Reading,
    writing: Writing,
    assembler: Assembler,
    inbox: VecDeque<Vec<u8>>,
    /// Bytes of the inbox's first chunk that were read already.
    consumed: usize,
    buffered: usize,
    /// Whether the remote's end was answered.
    is_acknowledged: bool,
    outbox: VecDeque<Frame>,
}

/// What reading gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// That many bytes were copied.
    Bytes(usize),
    /// Nothing yet.
    Pending,
    /// The remote finished and everything was read.
    End,
}

/// Why a stream can be read or written no more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum StreamError {
    /// One side reset the stream.
    #[error("the stream was reset")]
    Reset,
    /// Our own sending half is closed, or the remote asked us to stop.
    #[error("the stream takes no more bytes")]
    Closed,
    /// The remote broke the framing; the stream is reset.
    #[error("the remote broke the framing: {0}")]
    Frame(#[from] FrameError),
    /// The remote sent more than is read; the stream is reset.
    #[error("more than 16 MiB received and not read")]
    Flooded,
}

impl Default for StreamState {
    fn default() -> Self {
        Self {
            reading: Reading::Open,
            writing: Writing::Open,
            assembler: Assembler::default(),
            inbox: VecDeque::new(),
            consumed: 0,
            buffered: 0,
            is_acknowledged: false,
            outbox: VecDeque::new(),
        }
    }
}

impl StreamState {
    /// Takes one message of the data channel.
    ///
    /// # Errors
    /// [`StreamError::Frame`] or [`StreamError::Flooded`]: the stream is then reset and says so to the remote.
    pub fn receive(&mut self, message: &[u8]) -> Result<(), StreamError> {
        let outcome = self.take_frames(message);
        if outcome.is_err() {
            self.reset();
        }
        outcome
    }

    fn take_frames(&mut self, message: &[u8]) -> Result<(), StreamError> {
        for frame in self.assembler.push(message)? {
            let flag = frame.known_flag()?;
            // The bytes of a frame come before its flag: a FIN may ride on the last bytes.
            self.take_payload(frame.into_payload())?;
            if let Some(flag) = flag {
                self.take_flag(flag);
            }
        }
        Ok(())
    }

    fn take_payload(&mut self, payload: Vec<u8>) -> Result<(), StreamError> {
        if payload.is_empty() || self.reading != Reading::Open {
            return Ok(());
        }
        if self.buffered + payload.len() > RECEIVE_CAP {
            return Err(StreamError::Flooded);
        }
        self.buffered += payload.len();
        match self.inbox.back_mut() {
            // Small frames share a chunk, so that what they take is what they carry.
            Some(last) if last.len() + payload.len() <= MAX_PAYLOAD => last.extend_from_slice(&payload),
            _ => self.inbox.push_back(payload),
        }
        Ok(())
    }

    fn take_flag(&mut self, flag: Flag) {
        match flag {
            Flag::Fin => {
                // Said before: an answer to each would let a remote fill our queue.
                if core::mem::replace(&mut self.is_acknowledged, true) {
                    return;
                }
                if self.reading == Reading::Open {
                    self.reading = Reading::Finished;
                } else if self.reading == Reading::Stopped {
                    self.reading = Reading::Finished;
                    self.drop_inbox();
                }
                self.outbox.push_back(Frame::signal(Flag::FinAck));
            }
            Flag::FinAck => {
                if self.writing == Writing::Finishing {
                    self.writing = Writing::Finished;
                }
            }
            Flag::StopSending => {
                if matches!(self.writing, Writing::Open | Writing::Finishing) {
                    self.writing = Writing::Stopped;
                    self.drop_unsent_payload();
                }
            }
            Flag::ResetStream => {
                if matches!(self.reading, Reading::Open | Reading::Stopped) {
                    self.reading = Reading::Reset;
                    self.drop_inbox();
                }
            }
        }
    }

    /// Copies received bytes into `into`.
    ///
    /// # Errors
    /// [`StreamError::Reset`] where either side gave the stream up.
    pub fn read(&mut self, into: &mut [u8]) -> Result<Read, StreamError> {
        if let Some(front) = self.inbox.front() {
            let rest = front.get(self.consumed..).unwrap_or_default();
            let count = rest.len().min(into.len());
            if let Some((target, bytes)) = into.get_mut(..count).zip(rest.get(..count)) {
                target.copy_from_slice(bytes);
            }
            self.consumed += count;
            self.buffered -= count;
            if self.consumed == front.len() {
                self.inbox.pop_front();
                self.consumed = 0;
            }
            return Ok(Read::Bytes(count));
        }
        match self.reading {
            Reading::Open => Ok(Read::Pending),
            Reading::Finished | Reading::Stopped => Ok(Read::End),
            Reading::Reset => Err(StreamError::Reset),
        }
    }

    /// Queues at most one frame of `bytes` and returns how many were taken.
    ///
    /// # Errors
    /// [`StreamError::Closed`] after our own end or the remote's request to stop, [`StreamError::Reset`] after a reset.
    pub fn write(&mut self, bytes: &[u8]) -> Result<usize, StreamError> {
        match self.writing {
            Writing::Open => {}
            Writing::Finishing | Writing::Finished | Writing::Stopped => return Err(StreamError::Closed),
            Writing::Reset => return Err(StreamError::Reset),
        }
        let taken = bytes.get(..bytes.len().min(MAX_PAYLOAD)).unwrap_or_default();
        if !taken.is_empty() {
            self.outbox.push_back(Frame::data(taken));
        }
        Ok(taken.len())
    }

    /// Ends our sending half after what is queued; a second call changes nothing.
    pub fn finish(&mut self) {
        if self.writing == Writing::Open {
            self.writing = Writing::Finishing;
            self.outbox.push_back(Frame::signal(Flag::Fin));
        }
    }

    /// Says that nothing more will be read; what has come and comes is dropped.
    pub fn stop_reading(&mut self) {
        if self.reading == Reading::Open {
            self.reading = Reading::Stopped;
            self.drop_inbox();
            self.outbox.push_back(Frame::signal(Flag::StopSending));
        }
    }

    /// Gives up both halves: what was received is dropped, what was queued is not sent.
    pub fn reset(&mut self) {
        if matches!(self.writing, Writing::Open | Writing::Finishing) {
            self.writing = Writing::Reset;
            self.drop_unsent_payload();
            self.outbox.push_back(Frame::signal(Flag::ResetStream));
        }
        if matches!(self.reading, Reading::Open | Reading::Stopped) {
            self.reading = Reading::Reset;
        }
        self.drop_inbox();
    }

    /// The data channel is gone: an end that was not announced is a reset.
    pub fn channel_closed(&mut self) {
        if matches!(self.reading, Reading::Open) {
            self.reading = Reading::Reset;
        }
        match self.writing {
            Writing::Open => self.writing = Writing::Reset,
            // The remote may close the channel once it has our FIN and needs nothing more from us.
            Writing::Finishing if self.reading == Reading::Finished => self.writing = Writing::Finished,
            Writing::Finishing => self.writing = Writing::Reset,
            Writing::Finished | Writing::Stopped | Writing::Reset => {}
        }
        self.outbox.clear();
    }

    /// The next data-channel message to send, if any is queued.
    pub fn next_message(&mut self) -> Option<Vec<u8>> {
        self.outbox.pop_front().map(|frame| frame.encode_message())
    }

    /// True while messages wait in the queue.
    #[must_use]
    pub fn has_outgoing(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// True once our FIN needs no more waiting: acknowledged, or made moot by a stop or a reset.
    #[must_use]
    pub fn is_write_settled(&self) -> bool {
        !matches!(self.writing, Writing::Open | Writing::Finishing)
    }

    /// True once our sending half was ended in an orderly way or is over.
    #[must_use]
    pub fn is_finishing_or_settled(&self) -> bool {
        self.writing != Writing::Open
    }

    /// True after a reset of our sending half.
    #[must_use]
    pub fn is_write_reset(&self) -> bool {
        self.writing == Writing::Reset
    }

    /// True once both halves are over and nothing is left to send, so that the data channel may be closed.
    #[must_use]
    pub fn is_over(&self) -> bool {
        let read_over = matches!(self.reading, Reading::Finished | Reading::Reset);
        read_over && self.is_write_settled() && self.outbox.is_empty()
    }

    fn drop_inbox(&mut self) {
        self.inbox.clear();
        self.consumed = 0;
        self.buffered = 0;
    }

    /// Acknowledgements still owed to the remote stay queued.
    fn drop_unsent_payload(&mut self) {
        let owed = |frame: &Frame| matches!(frame.known_flag(), Ok(Some(Flag::FinAck | Flag::StopSending)));
        self.outbox.retain(owed);
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests;
