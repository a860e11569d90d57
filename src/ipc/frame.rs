//! Frames: a four-byte big-endian length, then that many bytes of JSON.

use futures_util::StreamExt;
use serde::Serialize;
use tokio::io::AsyncRead;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

/// The longest message, in bytes, in either direction.
pub const FRAME_MOST: usize = 16 << 20;

/// The longest message before the welcome.
pub(super) const GREETING_MOST: usize = 64 << 10;

const LENGTH_BYTES: usize = 4;

/// Why a message is no frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It is longer than [`FRAME_MOST`]: its length.
    TooLong(usize),
    /// It holds something that JSON has no words for: a path that is no UTF-8.
    NoJson(String),
}

/// A message as a frame.
pub(super) fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, Unfit> {
    let mut frame = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut frame, message).map_err(|error| Unfit::NoJson(error.to_string()))?;
    let length = frame.len() - LENGTH_BYTES;
    let prefix = u32::try_from(length).ok().filter(|_| length <= FRAME_MOST).ok_or(Unfit::TooLong(length))?;
    frame[..LENGTH_BYTES].copy_from_slice(&prefix.to_be_bytes());
    Ok(frame)
}

/// Why no more frames come.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The peer announced more than the limit.
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    /// The connection broke, in the middle of a frame perhaps.
    #[error("the connection broke: {0}")]
    Io(std::io::Error),
}

/// The frames that a peer sends.
#[derive(Debug)]
pub(super) struct Frames<R> {
    frames: FramedRead<R, LengthDelimitedCodec>,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Reads frames of at most `most` bytes.
    pub(super) fn new(from: R, most: usize) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(most).new_codec();
        Self { frames: FramedRead::new(from, codec) }
    }

    /// Changes the limit for the frames that follow.
    pub(super) fn allow(&mut self, most: usize) {
        self.frames.decoder_mut().set_max_frame_length(most);
    }

    /// The next frame; none at a clean end. Dropping the future loses nothing.
    pub(super) async fn next(&mut self) -> Result<Option<impl AsRef<[u8]> + use<R>>, FrameError> {
        match self.frames.next().await {
            None => Ok(None),
            Some(Ok(frame)) => Ok(Some(frame)),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(FrameError::TooLong(self.frames.decoder().max_frame_length()))
            }
            Some(Err(error)) => Err(FrameError::Io(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_read_back_in_order() {
        let bytes = [encode(&"one").expect("short"), encode(&2).expect("short")].concat();
        let mut frames = Frames::new(&bytes[..], 100);
        assert_eq!(frames.next().await.expect("frame").expect("one").as_ref(), b"\"one\"");
        assert_eq!(frames.next().await.expect("frame").expect("two").as_ref(), b"2");
        assert!(frames.next().await.expect("end").is_none());
    }

    #[tokio::test]
    async fn an_announced_length_beyond_the_limit_is_an_error_before_anything_is_read() {
        let bytes = 0xffff_ffff_u32.to_be_bytes();
        let mut frames = Frames::new(&bytes[..], 100);
        assert!(matches!(frames.next().await.err(), Some(FrameError::TooLong(100))));
    }

    #[tokio::test]
    async fn half_a_frame_is_an_error() {
        let mut bytes = encode(&"whole").expect("short");
        bytes.pop();
        let mut frames = Frames::new(&bytes[..], 100);
        assert!(matches!(frames.next().await.err(), Some(FrameError::Io(_))));
    }

    #[test]
    fn a_message_beyond_the_limit_is_not_encoded() {
        assert_eq!(encode(&"x".repeat(FRAME_MOST)).err(), Some(Unfit::TooLong(FRAME_MOST + 2)));
        assert!(encode(&"x".repeat(FRAME_MOST - 2)).is_ok());
    }
}
