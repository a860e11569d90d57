//! Failed updates that Telegram was told to forget, so that it sends later ones. They are kept on disk until
//! they are handled.
//!
//! The store is probably what failed, so they have their own file with reserved space. It is encrypted,
//! because messages may contain private values.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use portero::{encrypted_file, files};

use super::client::{UpdateId, UpdateKind};
use crate::reserved::Reserved;

/// How many bytes of updates are kept, which is some hundred long messages.
const MAX_ASIDE_BYTES: usize = 256 << 10;
/// The purpose for which the file is encrypted.
const PURPOSE: &str = "telegram updates";

/// The failed updates of one bot.
#[derive(Debug, Clone)]
pub(super) struct Aside(Arc<Reserved>);

impl Aside {
    /// The updates in the file at `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self(Arc::new(Reserved::new(path, MAX_ASIDE_BYTES)))
    }

    /// The updates that an earlier daemon or connection left. Reserves the file's space.
    ///
    /// # Errors
    /// If the file can't be read or created.
    pub(super) async fn read(&self) -> io::Result<Vec<(UpdateId, UpdateKind)>> {
        let reserved = Arc::clone(&self.0);
        // The disk may hang, so it is read on another thread with a time limit.
        let read = files::read_off_thread(self.0.path(), files::READ_TIMEOUT, move || {
            let Some(text) = reserved.read()? else {
                // The key is created now as well, because later the disk may have no space for it.
                return encrypted_file::encrypt(reserved.path(), PURPOSE, b"").map(|_| Vec::new());
            };
            let text = encrypted_file::decrypt(reserved.path(), PURPOSE, &text)?;
            Ok(serde_json::from_slice(&text)?)
        });
        read.await?
    }

    /// Replaces the content, and returns once it is on the disk.
    ///
    /// # Errors
    /// If it can't be written.
    pub(super) async fn write(&self, updates: &[(UpdateId, UpdateKind)]) -> io::Result<()> {
        let (reserved, text) = (Arc::clone(&self.0), serde_json::to_vec(updates)?);
        let written = files::read_off_thread(self.0.path(), files::READ_TIMEOUT, move || {
            reserved.write(&encrypted_file::encrypt(reserved.path(), PURPOSE, &text)?)
        });
        written.await?
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::{ChatId, MessageId, ReceivedMessage, UserId};
    use super::*;

    #[tokio::test]
    async fn what_is_set_aside_is_read_again_and_shows_no_text_on_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("updates");
        let aside = Aside::new(path.clone());
        assert_eq!(aside.read().await.unwrap(), []);
        let message = UpdateKind::Message(ReceivedMessage {
            id: MessageId(1),
            chat: ChatId(5),
            is_private: true,
            is_forum: false,
            topic: None,
            from: Some(UserId(5)),
            is_own_words: true,
            reply_to: None,
            text: Some("hunter2".to_owned()),
        });
        let updates = vec![(UpdateId(7), message), (UpdateId(9), UpdateKind::Other)];
        aside.write(&updates).await.unwrap();
        assert_eq!(Aside::new(path.clone()).read().await.unwrap(), updates);
        assert!(!std::fs::read(&path).unwrap().windows(7).any(|bytes| bytes == b"hunter2"));
        aside.write(&[]).await.unwrap();
        assert_eq!(Aside::new(path).read().await.unwrap(), []);
    }
}
