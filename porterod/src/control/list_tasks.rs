//! The tasks of a session's principal.

use portero::ipc::{Failure, Reply};
use portero::names::Principal;
use portero::task::State;

use super::{failure, shown};
use crate::approval::Which;
use crate::daemon::Daemon;

pub(super) fn answer(
    daemon: &Daemon,
    principal: &Principal,
    state: Option<State>,
    limit: u32,
) -> Result<Reply, Failure> {
    let which = Which { principal: Some(principal.clone()), state, limit };
    daemon
        .desk
        .list(&which)
        .map(|tasks| Reply::Tasks(shown::tasks(daemon, tasks)))
        .map_err(|error| failure::of_store(&error))
}
