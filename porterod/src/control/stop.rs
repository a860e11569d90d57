//! `portero daemon stop`. It narrows: grants and allows are void without a daemon.

use portero::ipc::Reply;

use crate::daemon::Daemon;

/// Whoever serves the connection ends the daemon once this answer is on its way.
pub(super) async fn answer(daemon: &Daemon, by: &str) -> Reply {
    // It ends in any case; a record that cannot be written now is lost with the disk it was for.
    let _ = daemon.journal.record_act("daemon stop", "the daemon", true, Some(by)).await;
    Reply::Changed(1)
}
