//! The life of a call: [`Pipeline::handle_call`] and [`Pipeline::run_permitted`], the one road to a server.
//!
//! The phases come in the order of `docs/architecture.md`: listed, well-formed, decided; then recorded,
//! revealed, sent, concealed, recorded. Once the intent is recorded, the outcome is recorded too, even if the
//! future is dropped.

mod call_audit;
mod completions;
mod definitions;
mod listing_fetches;
mod redactions;
mod waiting_calls;
mod withheld;

use std::collections::{BTreeSet, HashSet};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use self::call_audit::CallAuditEntry;
pub use self::definitions::{DefinitionRegistry, DefinitionWatch, ListedDefinitions};
pub use self::listing_fetches::{ListVersions, ListingFetches};
pub use self::redactions::RedactionMemory;
pub use self::waiting_calls::WaitingCalls;
pub use self::withheld::{WithheldMessage, WithheldReports};
use crate::anonymize::{Anonymizer, Fake, Leak, Real, ShownRedaction};
use crate::audit::{AuditWriter, WithheldChannel};
use crate::call::{Call, Method};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::json::{self, RawJson};
use crate::names::{ServerName, TaskId, ToolId};
use crate::permit::{self, Admission, CountedCall, Outgoing, Permitted, admit_call};
use crate::policy::{Action, Decision, Policy};
use crate::server::{CallOptions, LogLevel, ServerAnswer, ServerError, ServerListing, Upstreams};
use crate::task::{CallOrigin, Task};

/// The future of a seam's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The reply to an agent's call.
#[derive(Debug)]
pub enum CallReply {
    /// The server's `result`.
    Result(Fake<RawJson>),
    /// The server's `error` object: code, message, data.
    Error(Fake<RawJson>),
    /// A person is asked, and the task is on disk.
    PendingApproval(Box<Task>),
    /// The identical call that waited for a person runs, and its outcome is this call's.
    Joined(Box<Task>),
    /// It didn't run, or its answer is withheld.
    Refused(Refusal),
}

/// Why a call didn't run, or why its answer is withheld.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Policy denies it; the decision names the rule.
    #[error("{0}")]
    Denied(Decision),
    /// No server lists it (guarantee P5).
    #[error("no server offers `{0}`; search with portero/search_tools")]
    Unknown(String),
    /// The arguments are invalid.
    #[error("{0}")]
    Invalid(String),
    /// A limit is reached, or a person denied the same call recently.
    #[error("{0}")]
    Declined(String),
    /// The daemon can't be reached, so calls that need approval can't continue.
    #[error("{0}")]
    DaemonUnavailable(String),
    /// The server couldn't be reached, for example because it doesn't start. The call had no effect.
    #[error("{0}")]
    ServerUnavailable(String),
    /// The server stopped or took too long during the call. The effect is unknown.
    #[error("{0}")]
    Interrupted(String),
    /// The server's answer was unusable. The effect is unknown.
    #[error("{0}")]
    Malformed(String),
    /// The answer held a private value and is withheld (guarantee N5).
    #[error("{0}")]
    Withheld(Leak),
    /// The audit couldn't be written, so the call didn't run (guarantee D2).
    #[error("the audit record could not be written, so the call did not run")]
    AuditUnavailable,
    /// The client cancelled the call.
    #[error("cancelled")]
    Cancelled,
}

/// What would come of a call.
#[derive(Debug)]
pub enum CallForecast {
    /// It would run, for this reason. What of its arguments doesn't fit the tool's `inputSchema`, concealed, is for its
    /// server to refuse.
    Runs(String, Option<String>),
    /// A person would be asked, or is: the identical call that waits already.
    Asks(Decision, Option<TaskId>),
    /// Policy would deny it.
    Denied(Decision),
    /// It would be refused for another reason.
    Refused(Refusal),
}

/// What came of a call that is allowed while an identical one may wait.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JoinedCall {
    /// The task is approved, or runs already. It is the one run of both calls.
    Runs(Box<Task>),
    /// The daemon doesn't let the call run without a person, so it waits with that task.
    Waits(Box<Task>),
    /// No identical call waits any more.
    Ended,
}

/// The caller of a call.
#[derive(Debug, Clone)]
pub struct CallContext {
    /// Principal, session, client and directory.
    pub origin: CallOrigin,
    /// The task, if a person approved this call.
    pub task: Option<TaskId>,
}

/// Asks people: the daemon's approval queue, or a session's access to it.
pub trait Approvals: Send + Sync {
    /// Opens a task for a call that needs a person. Returns once it is on disk, or returns the identical task
    /// that already waits.
    fn submit_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<Task, Refusal>>;

    /// Whether [`Approvals::submit_call`] would open a task now, without opening one: the id of the identical one that
    /// already waits, if there is one, and the refusal if it would be refused.
    fn preview_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<Option<TaskId>, Refusal>>;

    /// The task with the identical call that waits, as far as this process knows. Every allowed call pays for this look.
    fn find_waiting(&self, call: &Call, context: &CallContext) -> Option<TaskId>;

    /// Lets that task run for this call, if the daemon's own policy allows the call too.
    ///
    /// # Errors
    /// If the daemon denies the call, or can't be asked. The call doesn't run then: the task may run, or have run.
    fn join_call<'a>(
        &'a self,
        task: TaskId,
        call: Call,
        context: &'a CallContext,
    ) -> BoxFuture<'a, Result<JoinedCall, Refusal>>;
}

/// A session's access to the servers that the daemon runs for all sessions.
pub trait SharedServers: Send + Sync {
    /// Runs a call through the daemon's own pipeline. The daemon decides, conceals and records again, because
    /// another program may be using the socket.
    fn forward_call<'a>(
        &'a self,
        call: Call,
        context: &'a CallContext,
        follow: CallOptions,
    ) -> BoxFuture<'a, CallReply>;

    /// Fetches the listing of a shared server, unconcealed.
    fn fetch_listing<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> BoxFuture<'a, Result<ServerListing, ServerError>>;

    /// Sets the level of log messages that the client wants. The servers are told now, and again after each
    /// reconnection. Must not block.
    fn set_log_level(&self, level: LogLevel);
}

/// Keeps the policy up to date.
pub trait PolicySource: Send + Sync {
    /// Returns once the policy equals the daemon's.
    ///
    /// # Errors
    /// If the daemon can't be reached.
    fn wait_for_policy(&self) -> BoxFuture<'_, Result<(), Refusal>>;

    /// Called before each decision. Updates the policy where changes aren't pushed: without the daemon, from
    /// the last known denies (guarantee D4).
    fn refresh_policy(&self);
}

/// The seams of the daemon's own pipeline: it forwards to no other process, and its policy is always current.
#[derive(Debug, Clone, Copy)]
pub struct InDaemon;

impl SharedServers for InDaemon {
    fn forward_call<'a>(&'a self, _: Call, _: &'a CallContext, _: CallOptions) -> BoxFuture<'a, CallReply> {
        let words = "this is the daemon: it forwards no call";
        Box::pin(std::future::ready(CallReply::Refused(Refusal::DaemonUnavailable(words.to_owned()))))
    }

    fn fetch_listing<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> BoxFuture<'a, Result<ServerListing, ServerError>> {
        Box::pin(std::future::ready(Err(ServerError::Unknown(server.clone()))))
    }

    fn set_log_level(&self, _: LogLevel) {}
}

impl PolicySource for InDaemon {
    fn wait_for_policy(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn refresh_policy(&self) {}
}

/// Counts the uses of grants: the daemon, or a session's access to it.
pub trait GrantUses: Send + Sync {
    /// Consumes one use of a grant for this call, durably. Returns false if the daemon, which decides the call
    /// itself for this, refuses. A use may be lost, but it is never consumed twice or gained.
    fn consume_use<'a>(&'a self, grant: u64, call: &'a Call, context: &'a CallContext)
    -> BoxFuture<'a, bool>;
}

/// Access to servers: the process's own [`Upstreams`], or a fake in tests.
pub trait ServerAccess: Send + Sync {
    /// Fetches all pages of a server's lists. Starts it if needed.
    fn fetch_listing<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> BoxFuture<'a, Result<ServerListing, ServerError>>;

    /// Sends a permitted call. Starts the server if needed.
    fn call(&self, call: Outgoing, follow: CallOptions) -> BoxFuture<'_, Result<ServerAnswer, ServerError>>;

    /// Sets the log level of the servers that declare logging.
    fn set_log_level(&self, level: &str);
}

impl ServerAccess for Upstreams {
    fn fetch_listing<'a>(
        &'a self,
        server: &'a ServerName,
    ) -> BoxFuture<'a, Result<ServerListing, ServerError>> {
        Box::pin(Self::fetch_listing(self, server))
    }

    fn call(&self, call: Outgoing, follow: CallOptions) -> BoxFuture<'_, Result<ServerAnswer, ServerError>> {
        Box::pin(Self::call(self, call, follow))
    }

    fn set_log_level(&self, level: &str) {
        Self::set_log_level(self, level);
    }
}

/// The life of a call, with everything that it needs.
///
/// Reloading the configuration swaps the values behind each [`ArcSwap`].
pub struct Pipeline {
    /// The current rules of the anonymizer.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The current policy.
    pub policy: Arc<ArcSwap<Policy>>,
    /// The servers' lists.
    pub catalog: Arc<Catalog>,
    /// Access to the servers.
    pub servers: Arc<dyn ServerAccess>,
    /// The process's own audit.
    pub audit: Arc<AuditWriter>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Asks people.
    pub approvals: Arc<dyn Approvals>,
    /// Counts the uses of grants.
    pub grant_uses: Arc<dyn GrantUses>,
    /// Keeps `policy` up to date.
    pub policy_source: Arc<dyn PolicySource>,
    /// Reaches the servers that the daemon runs for all sessions.
    pub shared_servers: Arc<dyn SharedServers>,
    /// The names of the shared servers; empty in the daemon itself.
    pub shared_names: ArcSwap<HashSet<ServerName>>,
    /// The definitions that were seen, and where they are reported.
    pub definitions: DefinitionWatch,
    /// The listings that were fetched in this process. Starts as the default.
    pub listing_fetches: ListingFetches,
    /// The redactions that agents were shown in this process. Starts as the default.
    pub redaction_memory: RedactionMemory,
    /// What was withheld lately. Starts as the default.
    pub withheld_reports: Arc<WithheldReports>,
}

impl Pipeline {
    /// Runs an agent's call: decides, asks or refuses, reveals, sends, conceals, records.
    pub async fn handle_call(&self, call: Call, context: &CallContext, follow: CallOptions) -> CallReply {
        // Listed before decided: an unlisted name is refused even if a pattern allows it, so policy never
        // judges invented tools.
        if let Err(refusal) = self.require_listed(&call, &follow).await {
            return self.refuse_call(&call.tool, context, refusal);
        }
        if let Err(refusal) = refuse_duplicate_keys(&call) {
            return self.refuse_call(&call.tool, context, refusal);
        }
        if self.anonymizer.load().reveals_merged_keys(&call.tool.server, &call.params) {
            return self.refuse_call(&call.tool, context, Refusal::Invalid(MERGED_KEYS.to_owned()));
        }
        let tool = call.tool.clone();
        let call = match self.restore_redactions(call, context) {
            Ok(call) => call,
            Err(refusal) => return self.refuse_call(&tool, context, refusal),
        };
        let decided = match self.decide_fresh_call(call, context, &follow).await {
            Ok(decided) => decided,
            Err((tool, refusal)) => return self.refuse_call(&tool, context, refusal),
        };
        let verdict = match decided {
            // The daemon may know a grant that this process doesn't: refresh before asking a person.
            Admission::Ask(call, _) => match self.policy_source.wait_for_policy().await {
                Ok(()) => self.decide_call(call, context, &[]),
                Err(refusal) => return self.refuse_call(&call.tool, context, refusal),
            },
            decided @ (Admission::Allowed(_) | Admission::Counted(_) | Admission::Denied(..)) => decided,
        };
        let verdict = match self.join_waiting(verdict, context).await {
            ControlFlow::Continue(verdict) => verdict,
            ControlFlow::Break(reply) => return reply,
        };
        match verdict {
            Admission::Denied(call, decision) => {
                self.refuse_call(&call.tool, context, Refusal::Denied(decision))
            }
            Admission::Ask(call, _) if self.is_shared(&call.tool) => {
                match self.forward_to_daemon(call, context, follow).await {
                    // Only an asking call may have become a task in the daemon, which outlives this
                    // connection.
                    CallReply::Refused(Refusal::Interrupted(why)) => {
                        CallReply::Refused(Refusal::Interrupted(format!(
                            "{why}. If a person is asked about it, portero/list_tasks shows it"
                        )))
                    }
                    other @ (CallReply::Result(_)
                    | CallReply::Error(_)
                    | CallReply::PendingApproval(_)
                    | CallReply::Joined(_)
                    | CallReply::Refused(_)) => other,
                }
            }
            Admission::Ask(call, decision) => self.ask_person(call, decision, context, &follow).await,
            Admission::Allowed(permitted) if self.is_shared(&permitted.call().tool) => {
                self.forward_to_daemon(permitted.call().clone(), context, follow).await
            }
            Admission::Allowed(permitted) => self.run_permitted(permitted, context, follow).await,
            // The daemon's own pipeline consumes the use.
            Admission::Counted(counted) if self.is_shared(&counted.call().tool) => {
                self.forward_to_daemon(counted.into_call(), context, follow).await
            }
            Admission::Counted(counted) => self.run_counted(counted, context, follow).await,
        }
    }

    /// Joins the identical call that waits for a person, if there is one: its task is then the one run of both. Else
    /// returns the decision, made again if the daemon was asked meanwhile.
    async fn join_waiting(
        &self,
        verdict: Admission,
        context: &CallContext,
    ) -> ControlFlow<CallReply, Admission> {
        let call = match &verdict {
            Admission::Allowed(permitted) => permitted.call(),
            Admission::Counted(counted) => counted.call(),
            Admission::Ask(..) | Admission::Denied(..) => return ControlFlow::Continue(verdict),
        };
        // The daemon looks after the calls of the servers that it runs itself.
        if self.is_shared(&call.tool) {
            return ControlFlow::Continue(verdict);
        }
        let Some(task) = self.approvals.find_waiting(call, context) else {
            return ControlFlow::Continue(verdict);
        };
        let call = call.clone();
        match self.approvals.join_call(task, call.clone(), context).await {
            Ok(JoinedCall::Runs(task)) => ControlFlow::Break(CallReply::Joined(task)),
            Ok(JoinedCall::Waits(task)) => ControlFlow::Break(CallReply::PendingApproval(task)),
            Ok(JoinedCall::Ended) => ControlFlow::Continue(self.decide_call(call, context, &[])),
            Err(refusal) => ControlFlow::Break(self.refuse_call(&call.tool, context, refusal)),
        }
    }

    /// What would come of a tool's call that is made now, as [`Pipeline::handle_call`] would go about it. Nothing is
    /// sent, asked or consumed; its server may be started to say what it offers.
    pub async fn forecast_call(
        &self,
        call: Call,
        context: &CallContext,
        follow: &CallOptions,
    ) -> CallForecast {
        self.try_forecast(call, context, follow).await.unwrap_or_else(CallForecast::Refused)
    }

    async fn try_forecast(
        &self,
        call: Call,
        context: &CallContext,
        follow: &CallOptions,
    ) -> Result<CallForecast, Refusal> {
        self.require_listed(&call, follow).await?;
        refuse_duplicate_keys(&call)?;
        let (call, _) = self.resolve_redactions(call, context)?;
        let decided = self.decide_fresh_call(call, context, follow).await;
        let mut admission = decided.map_err(|(_, refusal)| refusal)?;
        if let Admission::Ask(call, _) = admission {
            self.policy_source.wait_for_policy().await?;
            admission = self.decide_call(call, context, &[]);
        }
        Ok(match admission {
            Admission::Allowed(permitted) => {
                CallForecast::Runs(permitted.reason(), self.argument_faults(permitted.call()).await)
            }
            Admission::Counted(counted) => {
                self.check_arguments(counted.call(), NO_USE_CONSUMED).await?;
                CallForecast::Runs(format!("it consumes one use of grant {}", counted.grant_id()), None)
            }
            Admission::Ask(call, decision) => {
                self.check_answerable(&call, follow).await?;
                self.await_registration(&call, &decision).await;
                CallForecast::Asks(decision, self.approvals.preview_call(call, context).await?)
            }
            Admission::Denied(_, decision) => CallForecast::Denied(decision),
        })
    }

    /// Ends a subscription that the caller holds. Policy may deny the resource by now, but must not keep a
    /// subscription alive that way.
    pub async fn withdraw(&self, call: Call, context: &CallContext, follow: CallOptions) -> CallReply {
        if let Err(refusal) = self.require_listed(&call, &follow).await {
            return self.refuse_call(&call.tool, context, refusal);
        }
        if let Err(refusal) = refuse_duplicate_keys(&call) {
            return self.refuse_call(&call.tool, context, refusal);
        }
        self.policy_source.refresh_policy();
        let (asker, now) = (Some(context.origin.asker()), self.clock.now());
        let withdrawn = permit::withdraw(&self.policy.load(), call, asker, now);
        match withdrawn {
            Ok(permitted) if self.is_shared(&permitted.call().tool) => {
                self.forward_to_daemon(permitted.call().clone(), context, follow).await
            }
            Ok(permitted) => self.run_permitted(permitted, context, follow).await,
            // It ends no subscription, so it is decided like any other call.
            Err(call) => self.handle_call(*call, context, follow).await,
        }
    }

    /// Runs a call by a use of a grant. If it gets none, it is decided as if that grant didn't exist.
    async fn run_counted(
        &self,
        mut counted: CountedCall,
        context: &CallContext,
        follow: CallOptions,
    ) -> CallReply {
        // A use is for a call that its server can take.
        if let Err(refusal) = self.check_arguments(counted.call(), NO_USE_CONSUMED).await {
            return self.refuse_call(&counted.call().tool, context, refusal);
        }
        let mut spent = Vec::new();
        // Ends, because each round that doesn't return puts one more grant into `spent`, and there are only so
        // many.
        loop {
            let grant = counted.grant_id();
            let verdict = if self.grant_uses.consume_use(grant, counted.call(), context).await {
                self.recheck_after_use(counted, context).await
            } else {
                spent.push(grant);
                self.decide_call(counted.into_call(), context, &spent)
            };
            match verdict {
                Admission::Counted(other) => counted = other,
                Admission::Allowed(permitted) => return self.run_permitted(permitted, context, follow).await,
                Admission::Ask(call, decision) => {
                    return self.ask_person(call, decision, context, &follow).await;
                }
                Admission::Denied(call, decision) => {
                    return self.refuse_call(&call.tool, context, Refusal::Denied(decision));
                }
            }
        }
    }

    /// Decides once more after a use was consumed, because a deny or revocation made meanwhile wins.
    async fn recheck_after_use(&self, counted: CountedCall, context: &CallContext) -> Admission {
        self.policy_source.refresh_policy();
        let asker = context.origin.asker();
        let outlook = counted.decide_with_grant(&self.policy.load(), asker, self.clock.now());
        if outlook.action == Action::RequireApproval {
            // Another change may be on its way, and until it arrives only the denies apply. So wait for it
            // before a consumed use turns into a question.
            let _ = self.policy_source.wait_for_policy().await;
        }
        counted.recheck_after_use(&self.policy.load(), asker, self.clock.now())
    }

    /// The second half of a call's life, from the permit on. An approved task enters here.
    pub async fn run_permitted(
        &self,
        permitted: Permitted,
        context: &CallContext,
        follow: CallOptions,
    ) -> CallReply {
        let call = permitted.call();
        let arguments = call.arguments().and_then(|arguments| self.audit.digest_value(arguments.get()));
        let entry = CallAuditEntry::open(self, call.tool.clone(), permitted.reason(), arguments, context);
        let entry = match entry {
            Ok(entry) => entry,
            Err(refusal) => return CallReply::Refused(refusal),
        };
        let call = call.clone();
        // One anonymizer for the whole call: the rules that revealed a value must also conceal it in the
        // answer.
        let anonymizer = self.anonymizer.load_full();
        let outgoing = permitted.reveal(&anonymizer);
        let follow = self.guard_progress(&call.tool, context, follow);
        let answer = self.servers.call(outgoing, follow).await;
        let reply = self.conceal_answer(&call, context, answer, &anonymizer);
        entry.close(&reply);
        reply
    }

    /// Runs one of Portero's own tools on the same road (guarantee P4): decided, recorded, answered.
    pub async fn run_builtin(
        &self,
        tool: &ToolId,
        context: &CallContext,
        work: impl Future<Output = CallReply>,
    ) -> CallReply {
        self.policy_source.refresh_policy();
        if let Some(decision) = self.builtin_denial(tool) {
            return self.refuse_call(tool, context, Refusal::Denied(decision));
        }
        match CallAuditEntry::open(self, tool.clone(), "Portero's own tool".to_owned(), None, context) {
            Ok(entry) => {
                let reply = work.await;
                if let CallReply::Refused(Refusal::Withheld(leak)) = &reply {
                    self.report_withheld_answer(tool, context, leak);
                }
                entry.close(&reply);
                reply
            }
            Err(refusal) => CallReply::Refused(refusal),
        }
    }

    /// The decision that denies one of Portero's own tools; none if it may run.
    #[must_use]
    pub fn builtin_denial(&self, tool: &ToolId) -> Option<Decision> {
        let decision = self.policy.load().explain(tool, None, None, self.clock.now()).decision;
        (decision.action == Action::Deny).then_some(decision)
    }

    /// Guarantee P5: only a listed tool can be called. The server is asked if its listing is unknown, or if
    /// the cached one lacks the tool.
    async fn require_listed(&self, call: &Call, follow: &CallOptions) -> Result<(), Refusal> {
        let tool = &call.tool;
        let own_name = self.catalog.tool(tool);
        let anonymizer = self.anonymizer.load();
        // Checked before anything looks the name up, so that an answer never shows whether a private value
        // names a tool.
        let is_private = own_name
            .filter(|known| known.name.expose() != tool.tool.as_str())
            .is_some_and(|known| anonymizer.is_private(known.name.expose()));
        if is_private || anonymizer.is_private_tool(&tool.tool) {
            return Err(Refusal::Invalid(PRIVATE_NAME_REFUSAL.to_owned()));
        }
        let listed = || {
            self.catalog.is_known(&tool.server)
                && match call.method.operation() {
                    Some(operation) => tool.tool.operation() == Some(operation),
                    None => self.catalog.tool(tool).is_some(),
                }
        };
        if listed() {
            return Ok(());
        }
        self.require_fresh_listing(&tool.server, follow).await?;
        if listed() { Ok(()) } else { Err(Refusal::Unknown(tool.to_string())) }
    }

    /// Decides on a call by the definition that its server lists now. A cached listing may be of another version of
    /// the server, so an allowed call waits until the server itself has listed its tools in this process.
    async fn decide_fresh_call(
        &self,
        call: Call,
        context: &CallContext,
        follow: &CallOptions,
    ) -> Result<Admission, (ToolId, Refusal)> {
        let decided = self.decide_call(call, context, &[]);
        let call = match decided {
            Admission::Allowed(permitted) if self.awaits_listing(permitted.call()) => permitted.into_call(),
            Admission::Counted(counted) if self.awaits_listing(counted.call()) => counted.into_call(),
            decided @ (Admission::Allowed(_)
            | Admission::Counted(_)
            | Admission::Ask(..)
            | Admission::Denied(..)) => return Ok(decided),
        };
        // Listed again as well: a server may come back without the tool.
        match self.require_fresh_listing(&call.tool.server, follow).await {
            Ok(()) => match self.require_listed(&call, follow).await {
                Ok(()) => Ok(self.decide_call(call, context, &[])),
                Err(refusal) => Err((call.tool, refusal)),
            },
            Err(refusal) => Err((call.tool, refusal)),
        }
    }

    /// Whether the definition behind a call comes from a cached or an outdated listing. The daemon looks after the
    /// servers that it runs itself.
    fn awaits_listing(&self, call: &Call) -> bool {
        match call.method {
            Method::CallTool | Method::GetPrompt => {
                !self.is_shared(&call.tool) && !self.listing_fetches.is_fresh(&call.tool.server)
            }
            Method::ReadResource
            | Method::SubscribeResource
            | Method::UnsubscribeResource
            | Method::Complete => false,
        }
    }

    /// Decides by the policy of this moment, without the grants in `spent`.
    fn decide_call(&self, call: Call, context: &CallContext, spent: &[u64]) -> Admission {
        self.policy_source.refresh_policy();
        let policy = self.policy.load();
        let (asker, now) = (Some(context.origin.asker()), self.clock.now());
        let definition = self.call_definition(&call, &policy);
        match spent {
            [] => admit_call(&policy, call, asker, definition, now),
            spent => admit_call(&policy.without_grants(spent), call, asker, definition, now),
        }
    }

    /// Asks a person. A call whose answer is useless later, such as a completion, is refused instead.
    async fn ask_person(
        &self,
        call: Call,
        decision: Decision,
        context: &CallContext,
        follow: &CallOptions,
    ) -> CallReply {
        match call.method {
            Method::CallTool | Method::ReadResource | Method::GetPrompt => {
                if let Err(refusal) = self.check_answerable(&call, follow).await {
                    return self.refuse_call(&call.tool, context, refusal);
                }
                self.await_registration(&call, &decision).await;
                match self.approvals.submit_call(call, context).await {
                    Ok(task) => CallReply::PendingApproval(Box::new(task)),
                    Err(refusal) => CallReply::Refused(refusal),
                }
            }
            Method::SubscribeResource | Method::UnsubscribeResource | Method::Complete => {
                self.refuse_call(&call.tool, context, Refusal::Denied(decision))
            }
        }
    }

    /// Refuses a call that couldn't run after an approval, because its server doesn't start or its arguments
    /// don't fit. So no person is asked in vain. Allowed calls aren't checked here: their server checks them
    /// at once anyway, and every call would pay for it.
    async fn check_answerable(&self, call: &Call, follow: &CallOptions) -> Result<(), Refusal> {
        // A cached listing doesn't show that the server still starts, nor that its schema is still the same.
        self.require_fresh_listing(&call.tool.server, follow).await?;
        self.check_arguments(call, "no person was asked").await
    }

    /// Refuses a call whose arguments don't fit; `spared` says what it doesn't cost.
    async fn check_arguments(&self, call: &Call, spared: &str) -> Result<(), Refusal> {
        match self.argument_faults(call).await {
            Some(faults) => Err(Refusal::Invalid(format!(
                "the arguments do not fit the tool's inputSchema: {faults}. The call did not run and {spared}; correct \
                 the arguments and call again"
            ))),
            None => Ok(()),
        }
    }

    /// The faults of a tool call's arguments, concealed, if there are any.
    async fn argument_faults(&self, call: &Call) -> Option<String> {
        if call.method != Method::CallTool {
            return None;
        }
        let tool = self.catalog.tool(&call.tool)?;
        let anonymizer = self.anonymizer.load_full();
        let (call, rules) = (call.clone(), Arc::clone(&anonymizer));
        // A large schema takes a while, so it is checked off the session's thread.
        let check = move || tool.argument_faults(&call, &rules.reveal(&call.tool.server, &call.params));
        let faults = tokio::task::spawn_blocking(check).await.ok().flatten()?;
        Some(anonymizer.conceal_excerpt(faults.expose(), MAX_FAULT_CHARS).into_inner())
    }

    /// Fetches the server's listing, unless it has answered in this process.
    async fn require_fresh_listing(&self, server: &ServerName, follow: &CallOptions) -> Result<(), Refusal> {
        if self.listing_fetches.is_fresh(server) {
            return Ok(());
        }
        let fetch_fresh = async {
            self.fetch_listing(server).await?;
            // A fetch that was under way before a change was announced doesn't cover it. Once more is enough: a server that
            // announces changes without end must not block its calls.
            if self.listing_fetches.is_fresh(server) { Ok(()) } else { self.fetch_listing(server).await }
        };
        let fetched = tokio::select! {
            fetched = fetch_fresh => fetched,
            () = follow.cancel.cancelled() => Err(ServerError::Cancelled),
        };
        fetched.map_err(|error| self.refusal_from_error(&error))
    }

    /// Forwards a call on a shared server to the daemon, which decides and records it. The answer is
    /// concealed once more, by this session's rules.
    async fn forward_to_daemon(&self, call: Call, context: &CallContext, follow: CallOptions) -> CallReply {
        let tool = call.tool.clone();
        let conceal = |answer: Fake<RawJson>| {
            self.anonymizer.load().conceal_from(&tool.server, Real::from_server(answer.into_inner()))
        };
        let withhold = |leak| self.withhold_answer(&tool, context, leak);
        match self.shared_servers.forward_call(call, context, follow).await {
            CallReply::Result(result) => conceal(result).map_or_else(withhold, CallReply::Result),
            CallReply::Error(error) => conceal(error).map_or_else(withhold, CallReply::Error),
            other @ (CallReply::PendingApproval(_) | CallReply::Joined(_) | CallReply::Refused(_)) => other,
        }
    }

    /// Conceals an answer for the agent's side.
    fn conceal_answer(
        &self,
        call: &Call,
        context: &CallContext,
        answer: Result<ServerAnswer, ServerError>,
        revealed_by: &Arc<Anonymizer>,
    ) -> CallReply {
        let server = &call.tool.server;
        let withhold = |leak| self.withhold_answer(&call.tool, context, leak);
        let conceal = |json| {
            let mut shown = BTreeSet::new();
            let concealed = self.conceal_by_both_rules(server, json, revealed_by, &mut shown);
            self.redaction_memory.remember(context.origin.session, server, shown);
            concealed
        };
        match answer {
            Ok(ServerAnswer::Result(mut result)) => {
                if call.method == Method::Complete {
                    result = completions::drop_private_matches(call, result, revealed_by);
                }
                conceal(self.catalog.rewrite_uris(server, result)).map_or_else(withhold, CallReply::Result)
            }
            Ok(ServerAnswer::Error(error)) => conceal(error).map_or_else(withhold, CallReply::Error),
            Err(error) => CallReply::Refused(self.refusal_from_error(&error)),
        }
    }

    /// Conceals by the rules that revealed the call, and by the present ones if they changed meanwhile.
    fn conceal_by_both_rules(
        &self,
        server: &ServerName,
        json: Real<RawJson>,
        revealed_by: &Arc<Anonymizer>,
        shown: &mut BTreeSet<ShownRedaction>,
    ) -> Result<Fake<RawJson>, Leak> {
        let concealed = revealed_by.conceal_answer(server, json, shown)?;
        let now = self.anonymizer.load();
        if Arc::ptr_eq(&now, revealed_by) {
            Ok(concealed)
        } else {
            now.conceal_from(server, Real::from_server(concealed.into_inner()))
        }
    }

    /// Withholds an answer that still holds a private value, and reports that (guarantee N5).
    fn withhold_answer(&self, tool: &ToolId, context: &CallContext, leak: Leak) -> CallReply {
        self.report_withheld_answer(tool, context, &leak);
        CallReply::Refused(Refusal::Withheld(leak))
    }

    fn report_withheld_answer(&self, tool: &ToolId, context: &CallContext, leak: &Leak) {
        let message = WithheldMessage {
            channel: WithheldChannel::Answer,
            server: None,
            tool: Some(tool),
            context: Some(context),
        };
        self.report_withheld(&message, leak);
    }

    /// The server's error in words that may leave toward the agent.
    fn refusal_from_error(&self, error: &ServerError) -> Refusal {
        let words = self.anonymizer.load().conceal_text(&error.to_string()).into_inner();
        match error {
            ServerError::LoginNeeded(..) => {
                Refusal::ServerUnavailable(format!("{words}. Ask your user for that; then call again"))
            }
            ServerError::Unknown(_)
            | ServerError::StartFailed(..)
            | ServerError::SessionEnded(_)
            | ServerError::NotReached(..)
            | ServerError::Reported(..)
            | ServerError::NotListed(..)
            | ServerError::Redefined(..)
            | ServerError::OtherProcess(_) => Refusal::ServerUnavailable(words),
            ServerError::Stopped(_)
            | ServerError::RequestFailed(..)
            | ServerError::Timeout(..)
            | ServerError::TooLong(..) => Refusal::Interrupted(words),
            ServerError::Malformed(..) => Refusal::Malformed(words),
            ServerError::Cancelled => Refusal::Cancelled,
        }
    }

    fn is_shared(&self, tool: &ToolId) -> bool {
        self.shared_names.load().contains(&tool.server)
    }
}

/// What a refusal for its arguments spares a call under a grant with counted uses.
const NO_USE_CONSUMED: &str = "no use of its grant was consumed";
/// The most characters of a report about a call's arguments.
const MAX_FAULT_CHARS: usize = 2_000;

/// The refusal of a tool whose name the agent must not learn.
const PRIVATE_NAME_REFUSAL: &str = "a tool whose name holds a private value cannot be called through Portero";

/// The refusal of arguments in which two keys would become the same one (guarantee N8).
pub(crate) const MERGED_KEYS: &str = "two keys of an object in the arguments would become one for the server, because they \
                                      stand for the same private value. The call did not run; rename one of them";

/// Refuses duplicate keys. Parsers disagree on which of two counts, so a server might run another call than a
/// person approved.
fn refuse_duplicate_keys(call: &Call) -> Result<(), Refusal> {
    let refuse = |what: &str, json| {
        json::refuse_duplicate_keys(json)
            .map_err(|error| Refusal::Invalid(format!("{what} not acceptable: {error}")))
    };
    refuse("the arguments are", call.params.get())?;
    call.meta.as_ref().map_or(Ok(()), |meta| refuse("`_meta` is", meta.get()))
}

#[cfg(test)]
pub(crate) mod test_support;
#[cfg(test)]
mod tests;
