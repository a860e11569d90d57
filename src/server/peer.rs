//! The other end of a conversation: a process that was started, or a server that is reached over HTTP.

use std::time::Duration;

use super::connection::Connection;
use super::http::CarriedConversation;
use super::process::ChildProcess;

/// How long a child may take to end after its stdin closed.
const EXIT_GRACE: Duration = Duration::from_millis(60);
/// How long a signalled guard may take before it is killed itself.
const TERMINATE_GRACE: Duration = Duration::from_millis(170);

/// The other end of a conversation.
pub(super) enum ServerPeer {
    /// A process.
    Process(ChildProcess),
    /// A server over HTTP.
    Http(CarriedConversation),
}

impl ServerPeer {
    /// The process id, while there is a process.
    pub(super) fn process_id(&self) -> Option<u32> {
        match self {
            Self::Process(process) => process.id(),
            Self::Http(_) => None,
        }
    }

    /// Waits for its end and describes it. Dropping the future loses nothing.
    pub(super) async fn wait_for_end(&mut self) -> String {
        match self {
            Self::Process(process) => process.wait_for_exit().await,
            Self::Http(conversation) => conversation.wait_for_end().await,
        }
    }

    /// Ends it. A process has its stdin closed, then its guard is asked to end the process tree, then what is
    /// left is killed. A session over HTTP is closed at its server, if that answers in the same time.
    pub(super) async fn end(&mut self, connection: &Connection) -> String {
        connection.close();
        let process = match self {
            Self::Process(process) => process,
            Self::Http(conversation) => {
                let time = EXIT_GRACE + TERMINATE_GRACE;
                if let Ok(ended) = tokio::time::timeout(time, conversation.wait_for_end()).await {
                    return ended;
                }
                conversation.stop();
                return conversation.wait_for_end().await;
            }
        };
        if let Ok(ended) = tokio::time::timeout(EXIT_GRACE, process.wait_for_exit()).await {
            return ended;
        }
        process.terminate();
        if let Ok(ended) = tokio::time::timeout(TERMINATE_GRACE, process.wait_for_exit()).await {
            return ended;
        }
        // The last resort. On Linux the command still dies with its guard, but its descendants only see their
        // pipes close.
        process.kill();
        process.wait_for_exit().await
    }
}
