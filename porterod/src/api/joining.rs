//! A session's allowed call that is identical to one that waits.

use std::sync::Arc;

use portero::ipc::DaemonFailure;
use portero::ipc::requests::sessions::JoinCall;
use portero::pipeline::JoinedCall;
use portero::task::Task;

use super::sessions::{conceal, held_child};
use super::{SessionCaller, SessionRequest, failure, shown};
use crate::daemon::Daemon;

impl SessionRequest for JoinCall {
    /// Decides again by the daemon's own rules, because the peer on the socket is not trusted.
    async fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> Result<JoinedCall, DaemonFailure> {
        let Self { task, call, client, child } = self;
        let origin = caller.session.context(daemon, &client).origin;
        let call = conceal(daemon, call)?;
        let child = held_child(daemon, caller, &call, child)?;
        let joined = daemon.approval_queue.join_call_in(task, call, &origin, child).await;
        let show = |task: Box<Task>| Box::new(shown::task(daemon, *task));
        joined.map_err(|refusal| failure::of_refusal(&refusal)).map(|joined| match joined {
            JoinedCall::Runs(task) => JoinedCall::Runs(show(task)),
            JoinedCall::Waits(task) => JoinedCall::Waits(show(task)),
            JoinedCall::Ended => JoinedCall::Ended,
        })
    }
}
