//! `portero logs verify`: how far each segment of the audit is known to have come.

use portero::ipc::{Failure, Reply};

use super::failure;
use crate::daemon::Daemon;

/// Looks at the segments first, so that what is written since then counts too.
pub(super) async fn answer(daemon: &Daemon) -> Result<Reply, Failure> {
    daemon.heads.look().await.map_err(|error| failure::of_store(&error))?;
    daemon.heads.list().map(Reply::Heads).map_err(|error| failure::of_store(&error))
}
