//! `portero pending --watch`: what waits, and every change.
//!
//! Whoever watches keeps its own place and asks on from there. So a slow one costs nothing: when what it missed
//! is gone, it begins anew with what waits.

use portero::ipc::{Failure, FailureKind, Reply, Watched};
use portero::task::State;
use tokio_util::sync::CancellationToken;

use super::failure;
use crate::daemon::Daemon;
use crate::outbox::After;
use crate::store::{StoreError, tasks};

pub(super) async fn answer(
    daemon: &Daemon,
    after: Option<u64>,
    withdrawn: CancellationToken,
) -> Result<Reply, Failure> {
    let Some(place) = after else { return anew(daemon).map_err(|error| failure::of_store(&error)) };
    let mut changes = daemon.outbox.changes();
    loop {
        let found = daemon.outbox.after(place).map_err(|error| failure::of_store(&error))?;
        match found {
            After::Removed => return anew(daemon).map_err(|error| failure::of_store(&error)),
            After::Entries(entries) => {
                if let Some(last) = entries.last() {
                    let place = last.seq;
                    return Ok(Reply::Watched(Watched { place, anew: None, entries }));
                }
            }
        }
        tokio::select! {
            // The sender lives as long as the daemon.
            _ = changes.changed() => {}
            () = withdrawn.cancelled() => return Err(Failure::new(FailureKind::Refused, "withdrawn")),
        }
    }
}

/// What waits now. The place is read first: what happens in between is told again.
fn anew(daemon: &Daemon) -> Result<Reply, StoreError> {
    let place = daemon.outbox.last()?;
    let waiting = daemon.journal.store().read(move |store| tasks::ids(store, State::PendingApproval))?;
    Ok(Reply::Watched(Watched { place, anew: Some(waiting), entries: Vec::new() }))
}
