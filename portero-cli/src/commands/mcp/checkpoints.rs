//! Tells the daemon how far this session's segment of the audit has come, so that a cut end is noticed.

use std::time::Duration;

use portero::audit::AuditWriter;
use portero::ipc::IpcClient;
use portero::ipc::requests::sessions::ReportHead;

use super::daemon_connection::DaemonConnection;

/// How often.
const REPORT_INTERVAL: Duration = Duration::from_secs(30);
/// How long the last word may take.
const FINAL_REPORT_TIMEOUT: Duration = Duration::from_millis(40);

/// Tells it whenever there is a connection and something new, until the future is dropped. An older daemon
/// does not know the question; it looks at the files itself, or not at all.
pub(super) async fn report_periodically(link: &DaemonConnection, audit: &AuditWriter) {
    let mut told = None;
    loop {
        let client = link.wait_for_client().await;
        let head = audit.checkpoint();
        if told.as_ref() != Some(&head) && send_checkpoint(&client, audit).await {
            told = Some(head);
        }
        tokio::time::sleep(REPORT_INTERVAL).await;
    }
}

/// Tells it for the last time.
pub(super) async fn report_final(link: &DaemonConnection, audit: &AuditWriter) {
    let telling = async {
        if let Some(client) = link.client_for_final_report().await {
            send_checkpoint(&client, audit).await;
        }
    };
    // The daemon finds the rest by itself.
    let _ = tokio::time::timeout(FINAL_REPORT_TIMEOUT, telling).await;
}

async fn send_checkpoint(client: &IpcClient, audit: &AuditWriter) -> bool {
    match client.request(ReportHead(audit.checkpoint())).await {
        Ok(_) => true,
        Err(error) => {
            tracing::debug!(%error, "the daemon does not know how far the audit has come");
            false
        }
    }
}
