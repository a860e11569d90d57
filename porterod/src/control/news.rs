//! A session begins: what finished that no agent has asked about.

use portero::ipc::{Failure, Reply};
use portero::names::Principal;

use super::failure;
use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, principal: &Principal) -> Result<Reply, Failure> {
    daemon.desk.news(principal).map(Reply::News).map_err(|error| failure::of_store(&error))
}
