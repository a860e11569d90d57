//! A task by a beginning or an end of its id, as a person types it.

use portero::ipc::{Failure, Reply};
use portero::task::State;

use super::failure;
use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, part: &str, state: Option<State>) -> Result<Reply, Failure> {
    daemon.desk.find(part, state).map(Reply::Found).map_err(|error| failure::of_store(&error))
}
