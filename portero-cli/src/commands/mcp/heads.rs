//! Tells the daemon how far this session's segment of the audit has come, so that a cut end is noticed.

use std::time::Duration;

use portero::audit::Segment;
use portero::ipc::Client;
use portero::ipc::requests::sessions::ReportHead;

use super::link::Link;

/// How often.
const EVERY: Duration = Duration::from_secs(30);
/// How long the last word may take.
const LAST_WORD: Duration = Duration::from_millis(40);

/// Tells it whenever there is a connection and something new, until the future is dropped. An older daemon
/// does not know the question; it looks at the files itself, or not at all.
pub(super) async fn report(link: &Link, audit: &Segment) {
    let mut told = None;
    loop {
        let client = link.up().await;
        let head = audit.head();
        if told.as_ref() != Some(&head) && tell(&client, audit).await {
            told = Some(head);
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Tells it for the last time.
pub(super) async fn report_end(link: &Link, audit: &Segment) {
    let telling = async {
        if let Some(client) = link.last().await {
            tell(&client, audit).await;
        }
    };
    // The daemon finds the rest by itself.
    let _ = tokio::time::timeout(LAST_WORD, telling).await;
}

async fn tell(client: &Client, audit: &Segment) -> bool {
    match client.request(ReportHead(audit.head())).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "the daemon does not know how far the audit has come");
            false
        }
    }
}
