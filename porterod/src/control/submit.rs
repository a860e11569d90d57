//! A session's call needs a person.

use portero::audit::{Event, Record};
use portero::call::Call;
use portero::ipc::{Failure, FailureKind, Reply};
use portero::pipeline::{Context, Desk as _};
use portero::policy::Action;

use super::failure;
use crate::daemon::Daemon;

/// The daemon conceals and decides again by its own rules: whoever speaks on the socket is not trusted.
pub(super) async fn answer(daemon: &Daemon, call: Call, context: &Context) -> Result<Reply, Failure> {
    let call = conceal(daemon, call)?;
    let asker = Some(context.origin.asker());
    let decision = daemon.policy.load().decide(&call.tool, call.arguments(), asker, daemon.clock.now());
    match decision.action {
        Action::Deny => {
            let event = Event::Refused { tool: call.tool, reason: decision.to_string() };
            let Context { origin, .. } = context;
            let record = Record {
                at: daemon.clock.now().wall,
                session: Some(origin.session),
                principal: Some(origin.principal.clone()),
                event,
            };
            if let Err(error) = daemon.audit.append(&record) {
                tracing::error!(%error, "the audit cannot be written");
            }
            Err(Failure::new(FailureKind::Refused, decision.to_string()))
        }
        // It may have been permitted just now; whoever asks for a person gets one.
        Action::Allow | Action::RequireApproval => match daemon.desk.submit(call, context).await {
            Ok(task) => Ok(Reply::Task(Box::new(task))),
            Err(refusal) => Err(failure::of_refusal(&refusal)),
        },
    }
}

/// Conceals by the daemon's own rules; nothing changes in what the session concealed already.
pub(super) fn conceal(daemon: &Daemon, call: Call) -> Result<Call, Failure> {
    let anonymizer = daemon.anonymizer.load();
    if anonymizer.is_private_tool(&call.tool.tool) {
        let words = "a tool whose name holds a private value cannot be called through Portero";
        return Err(Failure::new(FailureKind::Refused, words));
    }
    let withheld = |leak: portero::anonymize::Leak| Failure::new(FailureKind::Refused, leak.to_string());
    let params = anonymizer.conceal_own(call.params.into_inner()).map_err(withheld)?;
    let meta =
        call.meta.map(|meta| anonymizer.conceal_own(meta.into_inner())).transpose().map_err(withheld)?;
    Ok(Call { params, meta, ..call })
}
