//! The way to the daemon: many questions at once on one connection.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Ask, Failure, Hello, Push, Reply, Welcome};
use crate::anonymize::Fake;
use crate::json::RawJson;

/// Takes the concealed `params` of `notifications/progress` for one forwarded call, in order.
pub type Progress = Arc<dyn Fn(Fake<RawJson>) + Send + Sync>;

/// A connection to the daemon. Clones share it; it closes when the last one is dropped.
#[derive(Debug, Clone)]
pub struct Client {}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nobody listens there.
    #[error("no daemon listens on the socket")]
    Absent(#[source] std::io::Error),
    /// Somebody listens, but is not this user's own process.
    #[error("the socket belongs to another user; nothing was sent to it")]
    Impostor,
    /// The daemon refused: another version, or another configuration directory.
    #[error("{0}")]
    Refused(Failure),
    /// It accepted the connection but did not answer as a daemon does.
    #[error("the daemon does not answer as expected: {0}")]
    Broken(String),
}

/// Why a question has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The daemon answered that it does not do this.
    #[error("{0}")]
    Refused(Failure),
    /// The connection is gone; whether the daemon acted is unknown.
    #[error("the connection to the daemon is closed: {0}")]
    Closed(String),
    /// The question is longer than a frame may be; nothing was sent.
    #[error("the message is too long for the daemon ({0} bytes; the limit is 16 MiB)")]
    TooLong(usize),
}

/// What listens on a socket.
#[derive(Debug)]
pub enum Probe {
    /// A daemon that we can talk to.
    Ready(Welcome),
    /// A daemon of another version or another configuration directory.
    NeedsRestart(Failure),
    /// None.
    Unreachable(ConnectError),
}

impl Client {
    /// Connects, says who we are, and waits for the welcome. Pushes come through the receiver; when it is
    /// not emptied, notifications are dropped and anything else closes the connection.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        _socket: &Path,
        _hello: Hello,
    ) -> Result<(Self, mpsc::Receiver<Push>, Welcome), ConnectError> {
        todo!()
    }

    /// Asks one question. Dropping the future withdraws it.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask(&self, _ask: Ask) -> Result<Reply, AskError> {
        todo!()
    }

    /// Asks one question ([`Ask::Forward`]) whose progress goes to `progress`; all of it comes before the
    /// answer does. Dropping the future withdraws the question, which cancels the call.
    ///
    /// # Errors
    /// See [`AskError`].
    pub async fn ask_with_progress(&self, _ask: Ask, _progress: Option<Progress>) -> Result<Reply, AskError> {
        todo!()
    }

    /// Tells the daemon that decisions are made by this epoch from now on.
    ///
    /// # Errors
    /// [`AskError::Closed`]
    pub async fn follows(&self, _epoch: u64) -> Result<(), AskError> {
        todo!()
    }

    /// Returns once the connection is gone, with the reason.
    pub async fn closed(&self) -> String {
        todo!()
    }

    /// Whether the connection is gone.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        todo!()
    }
}

/// Asks what listens on the socket, and hangs up.
pub async fn probe(_socket: &Path, _hello: Hello) -> Probe {
    todo!()
}
