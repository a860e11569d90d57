//! A session wants rules and grants, now and whenever they change.

use portero::ipc::Reply;

use super::SessionAsker;
use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, session: &SessionAsker) -> Reply {
    session.seat.subscribe();
    Reply::Standing(daemon.policy.load().standing().clone())
}
