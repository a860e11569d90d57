//! `portero why TOOL`.

use portero::ipc::Reply;
use portero::names::ToolId;

use crate::daemon::Daemon;

pub(super) fn answer(daemon: &Daemon, tool: &ToolId) -> Reply {
    Reply::Why(Box::new(daemon.policy.load().explain(tool, None, daemon.clock.now())))
}
