//! `portero rules`: rules and grants in force, and what of them is not saved yet.

use portero::ipc::{Reply, Unsaved};

use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon) -> Reply {
    Reply::Standing(daemon.rules.standing())
}

/// What is in force and not saved: rules, what ended, and tasks that were rejected.
pub(super) fn unsaved(daemon: &Daemon) -> Option<Unsaved> {
    let rules = daemon.rules.unsaved();
    let rejected = daemon.desk.unsaved();
    if rules.is_none() && rejected.is_none() {
        return None;
    }
    let (problem, tasks) = rejected.unwrap_or_default();
    let unsaved = rules.unwrap_or_else(|| Unsaved { problem, ..Unsaved::default() });
    Some(Unsaved { tasks, ..unsaved })
}
