//! `portero status`: how things stand.

use std::sync::{Arc, PoisonError};

use portero::ipc::{Failure, FailureKind, Reply, Status};

use super::failure;
use crate::daemon::Daemon;

pub(super) async fn answer(daemon: &Arc<Daemon>) -> Result<Reply, Failure> {
    let tally = Arc::clone(&daemon.tally);
    let counts =
        tokio::task::spawn_blocking(move || tally.lock().unwrap_or_else(PoisonError::into_inner).read())
            .await
            .map_err(|error| Failure::new(FailureKind::Internal, error.to_string()))?;
    let config = daemon.config.load();
    Ok(Reply::Status(Box::new(Status {
        build: daemon.build.clone(),
        pid: std::process::id(),
        started: daemon.started,
        config: config.directory.clone(),
        config_problems: daemon.problems.load().to_vec(),
        skipped: config
            .skipped
            .iter()
            .map(|skipped| (skipped.server.clone(), skipped.reason.clone()))
            .collect(),
        servers: daemon.servers.health(),
        sessions: daemon.sessions.list(),
        pending: daemon.desk.pending().map_err(|error| failure::of_store(&error))?,
        standing: daemon.rules.standing(),
        passphrase: daemon.passphrase.first_set().map_err(|error| failure::of_store(&error))?,
        counts,
    })))
}
