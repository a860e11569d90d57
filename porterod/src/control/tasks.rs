//! `portero tasks` and `portero pending`.

use portero::ipc::{Failure, Reply};

use super::{failure, shown};
use crate::approval::Which;
use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, which: &Which) -> Result<Reply, Failure> {
    daemon
        .desk
        .list(which)
        .map(|tasks| Reply::Tasks(shown::tasks(daemon, tasks)))
        .map_err(|error| failure::of_store(&error))
}
