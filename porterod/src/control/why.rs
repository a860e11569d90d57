//! `portero why TOOL`.

use portero::ipc::{Failure, FailureKind, Reply};
use portero::json::RawJson;
use portero::names::ToolId;

use crate::daemon::Daemon;

/// Arguments are concealed first: policy sees what an agent writes.
pub(super) fn answer(daemon: &Daemon, tool: &ToolId, arguments: Option<RawJson>) -> Result<Reply, Failure> {
    let anonymizer = daemon.anonymizer.load();
    let concealed = arguments.map(|arguments| anonymizer.conceal_own(arguments)).transpose();
    let arguments = concealed.map_err(|leak| Failure::new(FailureKind::Refused, leak.to_string()))?;
    let arguments = arguments.as_ref().map(|arguments| &**arguments.get());
    let explanation = daemon.policy.load().explain(tool, arguments, None, daemon.clock.now());
    Ok(Reply::Why(Box::new(explanation)))
}
