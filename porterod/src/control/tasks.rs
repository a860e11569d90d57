//! `portero tasks` and `portero pending`.

use portero::ipc::{Failure, Reply};
use portero::task::{Place, State};

use super::{failure, shown};
use crate::approval::Which;
use crate::daemon::Daemon;

pub(super) fn answer(
    daemon: &Daemon,
    state: Option<State>,
    after: Option<Place>,
    limit: u32,
) -> Result<Reply, Failure> {
    let which = Which { principal: None, state, after, limit };
    daemon
        .desk
        .list(&which)
        .map(|tasks| Reply::Tasks(shown::tasks(daemon, tasks)))
        .map_err(|error| failure::of_store(&error))
}
