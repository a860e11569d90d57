//! A session says how far its segment of the audit has come.

use portero::audit::Head;
use portero::ipc::{Failure, Reply};

use super::failure;
use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Daemon, head: Head) -> Result<Reply, Failure> {
    daemon.heads.told(head).await.map(|()| Reply::Changed(1)).map_err(|error| failure::of_store(&error))
}
