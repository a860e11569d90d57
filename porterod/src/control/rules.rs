//! `portero rules`: rules and grants in force.

use portero::ipc::Reply;

use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon) -> Reply {
    Reply::Standing(daemon.rules.standing())
}
