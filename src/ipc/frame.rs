//! Frames: a four-byte big-endian length, then that many bytes of JSON.

use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout_at};

use super::stream::ForeignWriter;

/// The longest message, in bytes, in either direction.
pub const MAX_FRAME_BYTES: usize = 16 << 20;

/// The longest message before the welcome.
pub(super) const MAX_GREETING_BYTES: usize = 64 << 10;
/// How long either end may take for its part of the greeting.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

const LENGTH_BYTES: usize = 4;

/// How long a peer may take from a message's first byte to its last.
pub(super) const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// How much is read at once.
const READ_CHUNK_BYTES: usize = 16 << 10;

/// Why a message wasn't queued.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It is longer than a frame may be.
    #[error("the message is too long ({0} bytes; the limit is 16 MiB)")]
    TooLong(usize),
    /// It can't be expressed in JSON, such as a path that isn't UTF-8.
    #[error("the message can't be said in JSON: {0}")]
    NotJson(String),
    /// The peer doesn't read fast enough.
    #[error("too much waits to be read")]
    Full,
    /// The connection ended.
    #[error("the connection is closed")]
    Closed,
}

/// A message as a frame.
///
/// # Errors
/// [`SendError::TooLong`] beyond [`MAX_FRAME_BYTES`], or [`SendError::NotJson`].
pub(super) fn encode_frame<T: Serialize>(message: &T) -> Result<Vec<u8>, SendError> {
    let mut frame = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut frame, message).map_err(|error| SendError::NotJson(error.to_string()))?;
    let length = frame.len() - LENGTH_BYTES;
    let prefix =
        u32::try_from(length).ok().filter(|_| length <= MAX_FRAME_BYTES).ok_or(SendError::TooLong(length))?;
    frame[..LENGTH_BYTES].copy_from_slice(&prefix.to_be_bytes());
    Ok(frame)
}

/// Why no more frames can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The peer announced more than the limit.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// The peer began a message and didn't finish it.
    #[error("a message that was begun was not ended within {} s", FRAME_TIMEOUT.as_secs())]
    TooSlow,
    /// The bytes came from another process than the connection's peer.
    #[error("a message came from process {0}, with which there is no connection")]
    Foreign(u32),
    /// The connection broke, possibly within a frame.
    #[error("the connection broke: {0}")]
    Io(std::io::Error),
}

impl FrameError {
    fn from_io(error: std::io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<ForeignWriter>()) {
            Some(ForeignWriter(writer)) => Self::Foreign(*writer),
            None => Self::Io(error),
        }
    }
}

/// Reads the frames of a peer.
#[derive(Debug)]
pub(super) struct FrameReader<R> {
    reader: R,
    /// Bytes that were read but not returned. It grows with arriving bytes, not with announced lengths.
    buffer: Vec<u8>,
    max_length: usize,
    timeout: Duration,
    /// When the first byte of the current frame arrived.
    begun_at: Option<Instant>,
}

/// One frame's message.
#[derive(Debug)]
pub(super) struct Frame(Vec<u8>);

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        &self.0[LENGTH_BYTES..]
    }
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `max_length` bytes.
    pub(super) const fn new(from: R, max_length: usize) -> Self {
        Self { reader: from, buffer: Vec::new(), max_length, timeout: FRAME_TIMEOUT, begun_at: None }
    }

    /// Sets the limit for the following frames.
    pub(super) const fn set_max_length(&mut self, max_length: usize) {
        self.max_length = max_length;
    }

    /// The next frame; `None` at a clean end. A whole frame must arrive within [`FRAME_TIMEOUT`], even from a
    /// peer that sends single bytes. Dropping the future loses nothing.
    pub(super) async fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            // The deadline belongs to the frame, not to one read, so single bytes can't extend it.
            if !self.buffer.is_empty() && self.begun_at.is_none() {
                self.begun_at = Some(Instant::now());
            }
            self.buffer.reserve(READ_CHUNK_BYTES);
            let reading = self.reader.read_buf(&mut self.buffer);
            let read = match self.begun_at {
                None => reading.await,
                Some(begun) => {
                    timeout_at(begun + self.timeout, reading).await.map_err(|_| FrameError::TooSlow)?
                }
            };
            if read.map_err(FrameError::from_io)? == 0 {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(FrameError::Io(std::io::ErrorKind::UnexpectedEof.into())),
                };
            }
        }
    }

    /// The first frame in the buffer, if it is complete.
    fn take_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(prefix) = self.buffer.first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = usize::try_from(u32::from_be_bytes(*prefix)).unwrap_or(usize::MAX);
        // Checked against the announced length, before any room is made for it.
        if length > self.max_length {
            return Err(FrameError::TooLong(self.max_length));
        }
        let end = LENGTH_BYTES + length;
        if self.buffer.len() < end {
            return Ok(None);
        }
        let rest = self.buffer.split_off(end);
        // Bytes of the next frame may already be here. Its time begins with the next read.
        self.begun_at = None;
        Ok(Some(Frame(std::mem::replace(&mut self.buffer, rest))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_read_back_in_order() {
        let bytes = [encode_frame(&"one").expect("short"), encode_frame(&2).expect("short")].concat();
        let mut frames = FrameReader::new(&bytes[..], 100);
        assert_eq!(frames.next_frame().await.expect("frame").expect("one").as_ref(), b"\"one\"");
        assert_eq!(frames.next_frame().await.expect("frame").expect("two").as_ref(), b"2");
        assert!(frames.next_frame().await.expect("end").is_none());
    }

    #[tokio::test]
    async fn an_announced_length_beyond_the_limit_is_an_error_before_anything_is_read() {
        let bytes = 0xffff_ffff_u32.to_be_bytes();
        let mut frames = FrameReader::new(&bytes[..], 100);
        assert!(matches!(frames.next_frame().await.err(), Some(FrameError::TooLong(100))));
    }

    #[tokio::test]
    async fn a_peer_that_sends_a_byte_at_a_time_has_so_long_for_a_whole_frame() {
        use tokio::io::AsyncWriteExt as _;
        let (mut peer, own) = tokio::io::duplex(64);
        let mut frames = FrameReader::new(own, 100);
        frames.timeout = Duration::from_millis(200);
        let waiting = tokio::time::timeout(3 * frames.timeout, frames.next_frame()).await;
        assert!(
            waiting.is_err(),
            "a peer that is silent between its frames may be so for as long as it likes"
        );
        let slow = tokio::spawn(async move {
            for byte in encode_frame(&"x".repeat(90)).expect("short") {
                if peer.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert!(matches!(frames.next_frame().await.err(), Some(FrameError::TooSlow)));
        drop(frames);
        slow.await.expect("it ends");
    }

    #[tokio::test]
    async fn what_comes_in_pieces_and_several_at_once_is_read_whole() {
        use tokio::io::AsyncWriteExt as _;
        let (mut peer, own) = tokio::io::duplex(7);
        let mut frames = FrameReader::new(own, 1_000);
        let sent = [encode_frame(&"x".repeat(900)), encode_frame(&1), encode_frame(&"")]
            .map(|frame| frame.expect("short"));
        let bytes = sent.concat();
        tokio::spawn(async move { peer.write_all(&bytes).await });
        for frame in &sent {
            let read = frames.next_frame().await.expect("read").expect("a frame");
            assert_eq!(read.as_ref(), &frame[LENGTH_BYTES..]);
        }
        assert!(frames.next_frame().await.expect("a clean end").is_none());
    }

    #[tokio::test]
    async fn half_a_frame_is_an_error() {
        let mut bytes = encode_frame(&"whole").expect("short");
        bytes.pop();
        let mut frames = FrameReader::new(&bytes[..], 100);
        assert!(matches!(frames.next_frame().await.err(), Some(FrameError::Io(_))));
    }

    #[test]
    fn a_message_beyond_the_limit_is_not_encoded() {
        assert_eq!(
            encode_frame(&"x".repeat(MAX_FRAME_BYTES)).err(),
            Some(SendError::TooLong(MAX_FRAME_BYTES + 2))
        );
        assert!(encode_frame(&"x".repeat(MAX_FRAME_BYTES - 2)).is_ok());
    }
}
