//! The requests about the audit.

use std::sync::Arc;

use portero::audit::SegmentCheckpoint;
use portero::ipc::DaemonFailure;
use portero::ipc::requests::audit::ListCheckpoints;

use super::{PersonCaller, PersonRequest, failure};
use crate::daemon::Daemon;

impl PersonRequest for ListCheckpoints {
    /// Reads the segments first, so that the latest records count too.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        _: &PersonCaller<'_>,
    ) -> Result<Vec<SegmentCheckpoint>, DaemonFailure> {
        daemon.audit.list_current_checkpoints().await.map_err(|error| failure::of_store(&error))
    }
}
