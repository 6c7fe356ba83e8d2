//! Frames on a stream: a length as big-endian `u32`, then so many bytes. Tab and relay share this code.

use std::io;
use std::task::Poll;
use std::time::Duration;

use futures::future::{Either, select};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, poll};
use futures_timer::Delay;

/// Bytes moved in one step; each step has the whole of the patience.
const STEP: usize = 64 * 1024;

/// Bytes written in one step where many readers may be slow at a time.
const SMALL_STEP: usize = 16 * 1024;

/// Memory that a part begins with: most requests are not longer.
const LEAST_PART: usize = 1024;

/// Why a frame was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// Longer than the cap; its content was not read.
    #[error("a frame of {length} bytes, at most {cap} allowed")]
    TooLong {
        /// Bytes announced.
        length: usize,
        /// Bytes allowed.
        cap: usize,
    },
    /// The stream ended in the middle of a frame.
    #[error("the stream ended in the middle of a frame")]
    Truncated,
    /// No byte moved for longer than the patience.
    #[error("no byte moved for too long")]
    Stalled,
    /// The stream failed.
    #[error("the stream failed: {0}")]
    Stream(io::Error),
}

/// Reads one frame of at most `cap` bytes, or nothing if the stream ends before it.
///
/// # Errors
/// [`FrameError`] if the frame is too long, broken off, stalled for `patience` or the stream fails.
pub async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    cap: usize,
    patience: Duration,
) -> Result<Option<Vec<u8>>, FrameError> {
    match read_length(stream, patience).await? {
        None => Ok(None),
        Some(length) if length > cap => Err(FrameError::TooLong { length, cap }),
        Some(length) => read_content(stream, length, patience).await.map(Some),
    }
}

/// Reads how long the next frame is, or nothing if the stream ends before it.
///
/// # Errors
/// [`FrameError`] if the length is broken off, stalled for `patience` or the stream fails.
pub async fn read_length<S: AsyncRead + Unpin>(
    stream: &mut S,
    patience: Duration,
) -> Result<Option<usize>, FrameError> {
    let mut prefix = Vec::with_capacity(4);
    read_to(stream, &mut prefix, 4, patience).await?;
    match <[u8; 4]>::try_from(prefix.as_slice()) {
        Ok(bytes) => Ok(Some(u32::from_be_bytes(bytes) as usize)),
        Err(_short) if prefix.is_empty() => Ok(None),
        Err(_short) => Err(FrameError::Truncated),
    }
}

/// Reads a frame's content after [`read_length`]. Memory grows with what arrives, not with what was announced.
///
/// # Errors
/// [`FrameError`] if the content is broken off, stalled for `patience` or the stream fails.
pub async fn read_content<S: AsyncRead + Unpin>(
    stream: &mut S,
    length: usize,
    patience: Duration,
) -> Result<Vec<u8>, FrameError> {
    let mut content = Vec::with_capacity(length.min(STEP));
    read_to(stream, &mut content, length, patience).await?;
    if content.len() < length {
        return Err(FrameError::Truncated);
    }
    Ok(content)
}

/// Reads the next bytes of a frame's content, exactly as many as asked for, all of them within the patience: a sender
/// that lets a byte through now and then is too slow. Memory grows with what arrives.
///
/// # Errors
/// [`FrameError`] if the bytes are broken off or late, or the stream fails.
pub async fn read_part<S: AsyncRead + Unpin>(
    stream: &mut S,
    length: usize,
    patience: Duration,
) -> Result<Vec<u8>, FrameError> {
    let read = async {
        let mut part: Vec<u8> = Vec::new();
        while part.len() < length {
            let begin = part.len();
            part.resize(length.min(begin.saturating_mul(2).max(LEAST_PART)), 0);
            let Some(room) = part.get_mut(begin..) else { break };
            let count = stream.read(room).await?;
            part.truncate(begin.saturating_add(count));
            if count == 0 {
                break;
            }
        }
        Ok(part)
    };
    let part = within(patience, read).await?;
    if part.len() < length { Err(FrameError::Truncated) } else { Ok(part) }
}

/// Writes one frame whose content is these parts one after the other, and flushes it. `patience` says anew how long each
/// step may take, given the bytes moved by the one before.
///
/// # Errors
/// [`FrameError`] if the content is longer than a `u32` counts, a step takes too long or the stream fails.
pub async fn write_parts<S: AsyncWrite + Unpin>(
    stream: &mut S,
    parts: &[&[u8]],
    mut patience: impl FnMut(usize) -> Duration,
) -> Result<(), FrameError> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut writer = PartsWriter::new(length)?;
    let mut moved = 0;
    for part in parts {
        for piece in part.chunks(SMALL_STEP) {
            moved = writer.add(stream, piece, patience(moved)).await?;
        }
    }
    writer.finish(stream, patience(moved)).await
}

/// Writes a frame whose content comes in parts, in steps that are small: each is memory while the reader does not read.
pub struct PartsWriter {
    step: Vec<u8>,
    left: usize,
}

impl PartsWriter {
    /// Of a frame whose content has so many bytes.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] if it is longer than a `u32` counts.
    pub fn new(length: usize) -> Result<Self, FrameError> {
        let prefix =
            u32::try_from(length).map_err(|_wide| FrameError::TooLong { length, cap: u32::MAX as usize })?;
        Ok(Self { step: prefix.to_be_bytes().to_vec(), left: length })
    }

    /// Takes the next bytes, and writes what makes a step; says how many bytes it wrote.
    ///
    /// # Errors
    /// [`FrameError`] if they are more than the frame has, a step takes longer than `patience` or the stream fails.
    pub async fn add<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        bytes: &[u8],
        patience: Duration,
    ) -> Result<usize, FrameError> {
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            return Err(FrameError::TooLong { length: bytes.len(), cap: self.left });
        };
        self.left = left;
        let mut written = 0;
        for piece in bytes.chunks(SMALL_STEP) {
            self.step.extend_from_slice(piece);
            if self.step.len() >= SMALL_STEP {
                within(patience, stream.write_all(&self.step)).await?;
                written += self.step.len();
                self.step.clear();
            }
        }
        Ok(written)
    }

    /// Writes the rest and flushes.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if bytes of the frame are missing; else as [`PartsWriter::add`].
    pub async fn finish<S: AsyncWrite + Unpin>(
        self,
        stream: &mut S,
        patience: Duration,
    ) -> Result<(), FrameError> {
        if self.left > 0 {
            return Err(FrameError::Truncated);
        }
        within(patience, stream.write_all(&self.step)).await?;
        within(patience, stream.flush()).await
    }
}

/// Writes one frame and flushes it.
///
/// # Errors
/// [`FrameError`] if the content is longer than a `u32` counts, no byte moves for `patience` or the stream fails.
pub async fn write<S: AsyncWrite + Unpin>(
    stream: &mut S,
    content: &[u8],
    patience: Duration,
) -> Result<(), FrameError> {
    let length = u32::try_from(content.len())
        .map_err(|_wide| FrameError::TooLong { length: content.len(), cap: u32::MAX as usize })?;
    // The length goes with the content's beginning: whatever is written by itself travels by itself.
    let (first, rest) = content.split_at(content.len().min(STEP));
    within(patience, stream.write_all(&[&length.to_be_bytes(), first].concat())).await?;
    for step in rest.chunks(STEP) {
        within(patience, stream.write_all(step)).await?;
    }
    within(patience, stream.flush()).await
}

/// Reads until `buffer` holds `length` bytes or the stream ends.
async fn read_to<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    length: usize,
    patience: Duration,
) -> Result<(), FrameError> {
    let mut step = vec![0; length.min(STEP)];
    while buffer.len() < length {
        let room = step.len().min(length - buffer.len());
        let Some(room) = step.get_mut(..room) else { return Ok(()) };
        let count = within(patience, stream.read(room)).await?;
        let Some(read) = room.get(..count).filter(|read| !read.is_empty()) else { return Ok(()) };
        buffer.extend_from_slice(read);
    }
    Ok(())
}

/// Waits for one step, but not for ever.
async fn within<T>(patience: Duration, step: impl Future<Output = io::Result<T>>) -> Result<T, FrameError> {
    let mut step = std::pin::pin!(step);
    // Most steps need no waiting, and so no timer: a relay makes many thousands of them a second.
    if let Poll::Ready(result) = poll!(step.as_mut()) {
        return result.map_err(FrameError::Stream);
    }
    // The step first: where a sleeping tab's timer and data are both due, the data counts.
    match select(step, Delay::new(patience)).await {
        Either::Left((result, _)) => result.map_err(FrameError::Stream),
        Either::Right(((), _)) => Err(FrameError::Stalled),
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use futures::FutureExt;
    use futures::executor::block_on;
    use futures::io::Cursor;
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn framed(content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        block_on(write(&mut bytes, content, PATIENCE)).unwrap();
        bytes
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(fills in prop::collection::vec((any::<u8>(), 0..300_000_usize), 0..4)) {
            let contents: Vec<Vec<u8>> = fills.iter().map(|(byte, length)| vec![*byte; *length]).collect();
            let mut stream = Cursor::new(contents.iter().flat_map(|content| framed(content)).collect::<Vec<_>>());
            for content in &contents {
                let read = block_on(read(&mut stream, 300_000, PATIENCE)).unwrap();
                prop_assert_eq!(read.as_ref(), Some(content));
            }
            prop_assert!(block_on(read(&mut stream, 300_000, PATIENCE)).unwrap().is_none());
        }

        #[test]
        fn what_is_written_in_parts_is_the_same(parts in prop::collection::vec((any::<u8>(), 0..100_000_usize), 0..6)) {
            let parts: Vec<Vec<u8>> = parts.iter().map(|(byte, length)| vec![*byte; *length]).collect();
            let slices: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            let (mut bytes, mut told) = (Vec::new(), 0);
            let patience = |moved| {
                told += moved;
                PATIENCE
            };
            block_on(write_parts(&mut bytes, &slices, patience)).unwrap();
            prop_assert_eq!(&bytes, &framed(&parts.concat()));
            prop_assert!(told <= bytes.len());
            let mut stream = Cursor::new(bytes);
            let length = block_on(read_length(&mut stream, PATIENCE)).unwrap().unwrap();
            prop_assert_eq!(block_on(read_part(&mut stream, length, PATIENCE)).unwrap(), parts.concat());
            prop_assert!(matches!(block_on(read_part(&mut stream, 1, PATIENCE)), Err(FrameError::Truncated)));
        }

        #[test]
        fn a_cut_frame_is_truncated(content in prop::collection::vec(any::<u8>(), 0..1000), cut in 1_usize..1000) {
            let bytes = framed(&content);
            let kept = bytes.len().saturating_sub(cut).max(1);
            let mut stream = Cursor::new(bytes[..kept].to_vec());
            prop_assert!(matches!(block_on(read(&mut stream, 1000, PATIENCE)), Err(FrameError::Truncated)));
        }
    }

    #[test]
    fn a_long_frame_is_refused_by_its_length_alone() {
        let mut stream = Cursor::new(u32::MAX.to_be_bytes().to_vec());
        let refused = block_on(read(&mut stream, 10, PATIENCE));
        assert!(matches!(refused, Err(FrameError::TooLong { cap: 10, .. })), "{refused:?}");
        assert!(block_on(read(&mut Cursor::new(framed(&[1; 10])), 10, PATIENCE)).is_ok());
    }

    #[test]
    fn parts_that_are_not_the_frames_are_refused() {
        let mut bytes = Vec::new();
        let mut short = PartsWriter::new(10).unwrap();
        block_on(short.add(&mut bytes, &[1; 9], PATIENCE)).unwrap();
        assert!(matches!(block_on(short.finish(&mut bytes, PATIENCE)), Err(FrameError::Truncated)));
        let mut long = PartsWriter::new(10).unwrap();
        let refused = block_on(long.add(&mut bytes, &[1; 11], PATIENCE));
        assert!(matches!(refused, Err(FrameError::TooLong { .. })), "{refused:?}");
    }

    #[test]
    fn a_sender_that_lets_a_byte_through_now_and_then_is_given_up() {
        struct Drops(Delay);
        impl AsyncRead for Drops {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                context: &mut std::task::Context<'_>,
                buffer: &mut [u8],
            ) -> std::task::Poll<io::Result<usize>> {
                futures::ready!(self.0.poll_unpin(context));
                self.0.reset(Duration::from_millis(10));
                buffer[0] = 1;
                Poll::Ready(Ok(1))
            }
        }
        let mut drops = Drops(Delay::new(Duration::ZERO));
        let given_up = block_on(read_part(&mut drops, 1_000_000, Duration::from_millis(50)));
        assert!(matches!(given_up, Err(FrameError::Stalled)), "{given_up:?}");
    }

    #[test]
    fn a_stream_that_stalls_is_given_up() {
        struct Stalled;
        impl AsyncRead for Stalled {
            fn poll_read(
                self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                _: &mut [u8],
            ) -> std::task::Poll<io::Result<usize>> {
                std::task::Poll::Pending
            }
        }
        let given_up = block_on(read(&mut Stalled, 10, Duration::from_millis(1)));
        assert!(matches!(given_up, Err(FrameError::Stalled)), "{given_up:?}");
    }
}
