//! The life of a call: [`Pipeline::handle`] and [`Pipeline::finish`], the one road to a server.
//!
//! The phases stand in the order of `docs/architecture.md`: known, well-formed, decided; then recorded,
//! revealed, sent, concealed, recorded. Whatever happens after the intent is recorded, also when the future
//! is dropped, the outcome is recorded too.

mod offers;
mod own;
mod record;

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use arc_swap::ArcSwap;

pub use self::offers::{Offers, Revisions};
use self::record::Entry;
use crate::anonymize::{Anonymizer, Fake, Leak, Real};
use crate::audit::Segment;
use crate::call::{Call, Method};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::json::{self, RawJson};
use crate::names::{ServerName, TaskId, ToolId};
use crate::permit::{self, Counted, Outgoing, Permitted, Verdict, admit};
use crate::policy::{Action, Decision, Policy};
use crate::server::{Answer, Fleet, Follow, LogLevel, Offer, ServerError};
use crate::task::{Origin, Task};

/// A future that a seam returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What came of an agent's call.
#[derive(Debug)]
pub enum Reply {
    /// The server's `result`.
    Result(Fake<RawJson>),
    /// The server's `error` object: code, message, data.
    Error(Fake<RawJson>),
    /// A person is asked; the task is on disk.
    Waiting(Box<Task>),
    /// It did not run.
    Refused(Refusal),
}

/// Why a call did not run, or its answer is not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Policy denies it; the decision names the rule.
    #[error("{0}")]
    Denied(Decision),
    /// No server lists it (guarantee P5).
    #[error("no server offers `{0}`; search with portero/search_tools")]
    Unknown(String),
    /// The arguments are not acceptable.
    #[error("{0}")]
    Invalid(String),
    /// A limit is reached, or a person said no to the same call a moment ago.
    #[error("{0}")]
    Declined(String),
    /// The daemon cannot be asked, so nothing that needs approval can go on.
    #[error("{0}")]
    NoDesk(String),
    /// The server could not be reached, such as one that does not start: the call had no effect.
    #[error("{0}")]
    Server(String),
    /// The server stopped, or took too long, while the call was with it: whether it took effect is unknown.
    #[error("{0}")]
    Interrupted(String),
    /// The server answered with something that is no answer: whether the call took effect is unknown.
    #[error("{0}")]
    Malformed(String),
    /// The answer held a private value and is withheld (guarantee N5).
    #[error("{0}")]
    Withheld(Leak),
    /// The audit could not be written, so the call did not run (guarantee D2).
    #[error("the audit record could not be written, so the call did not run")]
    NoAudit,
    /// The client took the call back.
    #[error("cancelled")]
    Cancelled,
}

/// Who makes a call.
#[derive(Debug, Clone)]
pub struct Context {
    /// Principal, session, client and directory.
    pub origin: Origin,
    /// The task that a person approved, when the call is one.
    pub task: Option<TaskId>,
}

/// How a person is asked: the daemon's own desk, or the way to it from a session.
pub trait Desk: Send + Sync {
    /// Opens a task for a call that needs a person. Returns once it is on disk, or finds the identical one
    /// that already waits.
    fn submit<'a>(&'a self, call: Call, context: &'a Context) -> BoxFuture<'a, Result<Task, Refusal>>;

    /// Makes a call on a shared server, through the daemon's own pipeline: policy, concealing and audit hold
    /// there too, whoever speaks on the socket.
    fn forward<'a>(&'a self, call: Call, context: &'a Context, follow: Follow) -> BoxFuture<'a, Reply>;

    /// What a shared server offers, in its own words, through the daemon. Where no server is shared, nobody
    /// asks.
    fn offer<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, Result<Offer, ServerError>> {
        Box::pin(async move { Err(ServerError::Unknown(server.clone())) })
    }

    /// Returns once the rules and grants in force are known, where they come from elsewhere.
    ///
    /// # Errors
    /// When nobody can be asked.
    fn ready(&self) -> BoxFuture<'_, Result<(), Refusal>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// The client wants log messages from this level on: the shared servers are told, now and whenever they can be
    /// reached again. It must not block.
    fn set_log_level(&self, level: LogLevel) {
        let _ = level;
    }

    /// Called before each decision: brings the policy up to date where nobody pushes changes, such as the
    /// last known denies while no daemon is connected (guarantee D4).
    fn before_decision(&self) {}
}

/// Who counts the uses of grants: the daemon, or the way to it from a session.
pub trait Uses: Send + Sync {
    /// Consumes one use of a grant for this call, durably, and tells whether that was done. Whoever counts
    /// decides anew; a use is consumed at most once, and may be lost, but none is ever gained.
    fn consume<'a>(&'a self, grant: u64, call: &'a Call, context: &'a Context) -> BoxFuture<'a, bool>;
}

/// How servers are reached: the process's own [`Fleet`], or a stand-in in tests.
pub trait Servers: Send + Sync {
    /// What a server offers, all pages; starts it if needed.
    fn offer<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, Result<Offer, ServerError>>;

    /// Makes a permitted call; starts the server if needed.
    fn call(&self, call: Outgoing, follow: Follow) -> BoxFuture<'_, Result<Answer, ServerError>>;

    /// Passes a log level on to the servers that declare logging.
    fn set_log_level(&self, level: &str);
}

impl Servers for Fleet {
    fn offer<'a>(&'a self, server: &'a ServerName) -> BoxFuture<'a, Result<Offer, ServerError>> {
        Box::pin(Self::offer(self, server))
    }

    fn call(&self, call: Outgoing, follow: Follow) -> BoxFuture<'_, Result<Answer, ServerError>> {
        Box::pin(Self::call(self, call, follow))
    }

    fn set_log_level(&self, level: &str) {
        Self::set_log_level(self, level);
    }
}

/// The life of a call, and everything that it needs.
///
/// What a reload of the configuration changes stands behind an [`ArcSwap`]; whoever reloads swaps it.
pub struct Pipeline {
    /// The rules of the anonymizer in force.
    pub anonymizer: Arc<ArcSwap<Anonymizer>>,
    /// The policy in force.
    pub policy: Arc<ArcSwap<Policy>>,
    /// What the servers offer.
    pub catalog: Arc<Catalog>,
    /// The way to the servers.
    pub fleet: Arc<dyn Servers>,
    /// Where everything is written down.
    pub audit: Arc<Segment>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// The way to a person.
    pub desk: Arc<dyn Desk>,
    /// The way to whoever counts the uses of grants.
    pub uses: Arc<dyn Uses>,
    /// The servers that run in the daemon for all sessions; empty in the daemon itself.
    pub shared: ArcSwap<HashSet<ServerName>>,
    /// Which offers were asked for in this process, and what came of it. Starts as the default.
    pub offers: Offers,
}

impl Pipeline {
    /// Makes an agent's call: decide, ask or refuse, reveal, send, conceal, record.
    pub async fn handle(&self, call: Call, context: &Context, follow: Follow) -> Reply {
        if let Err(refusal) = self.known(&call, &follow).await {
            return self.refuse(&call.tool, context, refusal);
        }
        if let Err(refusal) = well_formed(&call) {
            return self.refuse(&call.tool, context, refusal);
        }
        let verdict = match self.decide(call, context, &[]) {
            // Perhaps a grant covers it that only the daemon knows: before a person is asked, hear from it.
            Verdict::Ask(call, _) => match self.desk.ready().await {
                Ok(()) => self.decide(call, context, &[]),
                Err(refusal) => return self.refuse(&call.tool, context, refusal),
            },
            decided @ (Verdict::Allowed(_) | Verdict::Counted(_) | Verdict::Denied(..)) => decided,
        };
        match verdict {
            Verdict::Denied(call, decision) => self.refuse(&call.tool, context, Refusal::Denied(decision)),
            Verdict::Ask(call, _) if self.is_shared(&call.tool) => {
                match self.forward(call, context, follow).await {
                    // Only here may it have become a task, which outlives the connection.
                    Reply::Refused(Refusal::Interrupted(why)) => Reply::Refused(Refusal::Interrupted(
                        format!("{why}. If a person is asked about it, portero/list_tasks shows it"),
                    )),
                    other @ (Reply::Result(_) | Reply::Error(_) | Reply::Waiting(_) | Reply::Refused(_)) => {
                        other
                    }
                }
            }
            Verdict::Ask(call, decision) => self.ask(call, decision, context).await,
            Verdict::Allowed(permitted) if self.is_shared(&permitted.call().tool) => {
                self.forward(permitted.call().clone(), context, follow).await
            }
            Verdict::Allowed(permitted) => self.finish(permitted, context, follow).await,
            // The daemon's own pipeline consumes the use.
            Verdict::Counted(counted) if self.is_shared(&counted.call().tool) => {
                self.forward(counted.refused(), context, follow).await
            }
            Verdict::Counted(counted) => self.spend(counted, context, follow).await,
        }
    }

    /// Ends a subscription that the caller holds. Policy may deny the resource by now, and must not keep a subscription
    /// alive that way.
    pub async fn withdraw(&self, call: Call, context: &Context, follow: Follow) -> Reply {
        if let Err(refusal) = self.known(&call, &follow).await {
            return self.refuse(&call.tool, context, refusal);
        }
        if let Err(refusal) = well_formed(&call) {
            return self.refuse(&call.tool, context, refusal);
        }
        self.desk.before_decision();
        let (asker, now) = (Some(context.origin.asker()), self.clock.now());
        let withdrawn = permit::withdraw(&self.policy.load(), call, asker, now);
        match withdrawn {
            Ok(permitted) if self.is_shared(&permitted.call().tool) => {
                self.forward(permitted.call().clone(), context, follow).await
            }
            Ok(permitted) => self.finish(permitted, context, follow).await,
            Err(call) => self.handle(*call, context, follow).await,
        }
    }

    /// Makes a call by a use of a grant. Where it gets none, it is decided as if that grant were not there.
    async fn spend(&self, mut counted: Counted, context: &Context, follow: Follow) -> Reply {
        let mut spent = Vec::new();
        loop {
            let grant = counted.grant();
            let verdict = if self.uses.consume(grant, counted.call(), context).await {
                self.confirm(counted, context).await
            } else {
                spent.push(grant);
                self.decide(counted.refused(), context, &spent)
            };
            match verdict {
                Verdict::Counted(other) => counted = other,
                Verdict::Allowed(permitted) => return self.finish(permitted, context, follow).await,
                Verdict::Ask(call, decision) => return self.ask(call, decision, context).await,
                Verdict::Denied(call, decision) => {
                    return self.refuse(&call.tool, context, Refusal::Denied(decision));
                }
            }
        }
    }

    /// Looks once more after a use was consumed: a deny or a revocation that was made meanwhile wins.
    async fn confirm(&self, counted: Counted, context: &Context) -> Verdict {
        self.desk.before_decision();
        let asker = context.origin.asker();
        let outlook = counted.outlook(&self.policy.load(), asker, self.clock.now());
        if outlook.action == Action::RequireApproval {
            // Another change may be on its way, and only the denies hold until it is here.
            let _ = self.desk.ready().await;
        }
        counted.consumed(&self.policy.load(), asker, self.clock.now())
    }

    /// The second half of a call's life, from the permit on; also for a task that a person approved.
    pub async fn finish(&self, permitted: Permitted, context: &Context, follow: Follow) -> Reply {
        let entry = match Entry::open(self, &permitted, context) {
            Ok(entry) => entry,
            Err(error) => {
                tracing::error!(tool = %permitted.call().tool, %error, "the audit cannot be written");
                return Reply::Refused(Refusal::NoAudit);
            }
        };
        let server = permitted.call().tool.server.clone();
        let anonymizer = self.anonymizer.load_full();
        let outgoing = permitted.reveal(&anonymizer);
        let answer = self.fleet.call(outgoing, follow).await;
        let reply = self.seal(&server, answer, &anonymizer);
        entry.close(&reply);
        reply
    }

    /// Guarantee P5: only what a server lists can be called. Where its offer is not known yet, or what is
    /// cached lacks the tool, the server is asked.
    async fn known(&self, call: &Call, follow: &Follow) -> Result<(), Refusal> {
        let tool = &call.tool;
        let own_name = self.catalog.tool(tool);
        let anonymizer = self.anonymizer.load();
        let is_private = own_name
            .filter(|known| known.name.expose() != tool.tool.as_str())
            .is_some_and(|known| anonymizer.is_private(known.name.expose()));
        if is_private || anonymizer.is_private_tool(&tool.tool) {
            return Err(Refusal::Invalid(PRIVATE_NAME.to_owned()));
        }
        let listed = || {
            self.catalog.known(&tool.server)
                && match call.method.operation() {
                    Some(operation) => tool.tool.operation() == Some(operation),
                    None => self.catalog.tool(tool).is_some(),
                }
        };
        if listed() {
            return Ok(());
        }
        if !self.offers.is_fresh(&tool.server) {
            let fetched = tokio::select! {
                fetched = self.fetch(&tool.server) => fetched,
                () = follow.cancel.cancelled() => Err(ServerError::Cancelled),
            };
            fetched.map_err(|error| self.blame(&error))?;
        }
        if listed() { Ok(()) } else { Err(Refusal::Unknown(tool.to_string())) }
    }

    /// Decides by the policy as it is at this moment, without the grants that had no use left.
    fn decide(&self, call: Call, context: &Context, spent: &[u64]) -> Verdict {
        self.desk.before_decision();
        let policy = self.policy.load();
        let (asker, now) = (Some(context.origin.asker()), self.clock.now());
        match spent {
            [] => admit(&policy, call, asker, now),
            spent => admit(&policy.without_grants(spent), call, asker, now),
        }
    }

    /// Asks a person; for what is no use later, such as a completion, nobody is asked.
    async fn ask(&self, call: Call, decision: Decision, context: &Context) -> Reply {
        match call.method {
            Method::CallTool | Method::ReadResource | Method::GetPrompt => {
                match self.desk.submit(call, context).await {
                    Ok(task) => Reply::Waiting(Box::new(task)),
                    Err(refusal) => Reply::Refused(refusal),
                }
            }
            Method::SubscribeResource | Method::UnsubscribeResource | Method::Complete => {
                self.refuse(&call.tool, context, Refusal::Denied(decision))
            }
        }
    }

    /// Lets the daemon make the call on a server that it runs for all sessions. It decides and records by
    /// itself; what it answers is concealed once more, by this session's rules.
    async fn forward(&self, call: Call, context: &Context, follow: Follow) -> Reply {
        let conceal = |answer: Fake<RawJson>| self.anonymizer.load().conceal_own(answer.into_inner());
        match self.desk.forward(call, context, follow).await {
            Reply::Result(result) => conceal(result).map_or_else(withhold, Reply::Result),
            Reply::Error(error) => conceal(error).map_or_else(withhold, Reply::Error),
            other @ (Reply::Waiting(_) | Reply::Refused(_)) => other,
        }
    }

    /// Makes an answer fit for the agent's side.
    fn seal(
        &self,
        server: &ServerName,
        answer: Result<Answer, ServerError>,
        revealed_by: &Arc<Anonymizer>,
    ) -> Reply {
        match answer {
            Ok(Answer::Result(result)) => self
                .conceal(self.catalog.wrap_links(server, result), revealed_by)
                .map_or_else(withhold, Reply::Result),
            Ok(Answer::Error(error)) => self.conceal(error, revealed_by).map_or_else(withhold, Reply::Error),
            Err(error) => Reply::Refused(self.blame(&error)),
        }
    }

    /// Conceals by the rules that revealed the call, and by those in force now if they changed meanwhile.
    fn conceal(&self, json: Real<RawJson>, revealed_by: &Arc<Anonymizer>) -> Result<Fake<RawJson>, Leak> {
        let concealed = revealed_by.conceal(json)?;
        let now = self.anonymizer.load();
        if Arc::ptr_eq(&now, revealed_by) { Ok(concealed) } else { now.conceal_own(concealed.into_inner()) }
    }

    /// The server's failure in words that may leave toward the agent.
    fn blame(&self, error: &ServerError) -> Refusal {
        let words = self.anonymizer.load().conceal_text(&error.to_string()).into_inner();
        match error {
            ServerError::Unknown(_) | ServerError::Start(..) | ServerError::NotListed(..) => {
                Refusal::Server(words)
            }
            ServerError::Gone(_) | ServerError::Timeout(..) | ServerError::TooLong(..) => {
                Refusal::Interrupted(words)
            }
            ServerError::Malformed(..) => Refusal::Malformed(words),
            ServerError::Cancelled => Refusal::Cancelled,
        }
    }

    fn is_shared(&self, tool: &ToolId) -> bool {
        self.shared.load().contains(&tool.server)
    }
}

/// What the agent is told of a tool whose name it must not know.
const PRIVATE_NAME: &str = "a tool whose name holds a private value cannot be called through Portero";

/// Parsers disagree on which of two equal keys counts, so what a person approves might not be what a server
/// runs.
fn well_formed(call: &Call) -> Result<(), Refusal> {
    let refuse = |what: &str, json| {
        json::refuse_duplicate_keys(json)
            .map_err(|error| Refusal::Invalid(format!("{what} not acceptable: {error}")))
    };
    refuse("the arguments are", call.params.get())?;
    call.meta.as_ref().map_or(Ok(()), |meta| refuse("`_meta` is", meta.get()))
}

/// Guarantee N5: what still holds a private value does not leave, and somebody hears of it.
fn withhold(leak: Leak) -> Reply {
    tracing::error!("an answer was withheld: a private value stood in it after it was concealed");
    Reply::Refused(Refusal::Withheld(leak))
}

#[cfg(test)]
pub(crate) mod stage;
#[cfg(test)]
mod tests;
