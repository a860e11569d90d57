//! The tasks of a session's principal.

use portero::ipc::{Failure, Reply};
use portero::names::Principal;
use portero::task::State;

use super::{failure, shown};
use crate::approval::Which;
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    principal: &Principal,
    state: Option<State>,
    limit: u32,
) -> Result<Reply, Failure> {
    let which = Which { principal: Some(principal.clone()), state, after: None, limit };
    let tasks = daemon.desk.list(&which).map_err(|error| failure::of_store(&error))?;
    // Of what did not run, a list tells all that there is to know.
    let told = tasks.iter().filter(|task| matches!(task.state, State::Denied | State::Expired));
    daemon.desk.heard(&told.cloned().collect::<Vec<_>>()).await;
    Ok(Reply::Tasks(shown::tasks(daemon, tasks)))
}
