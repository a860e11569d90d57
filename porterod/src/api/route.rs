//! Maps the method of a request to its handler, one line for each request.

use std::pin::Pin;
use std::sync::Arc;

use portero::ipc::requests::approvals::{
    ApproveTask, ApproveWith, AskAgain, CheckApproval, FindTasks, GetTask, InspectTask, ListScopes,
    ListTasks, PreviewScope, RejectTask, RevealTask, WatchTasks,
};
use portero::ipc::requests::audit::ListCheckpoints;
use portero::ipc::requests::auth::{
    EnrollTotp, GetPassphraseSalt, OfferTotp, PairTelegram, RemoveTotp, SetPassphrase, UnpairTelegram,
};
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::daemon::{ExamineServer, GetStatus, StopDaemon};
use portero::ipc::requests::definitions::{AcceptDefinitions, GetDefinitions, ReportDefinitions};
use portero::ipc::requests::handover::{HoldChildren, ReportCheck, ReportOutcome};
use portero::ipc::requests::login::{AwaitLogin, BeginLogin, GiveLoginAnswer, ListLogins, Logout};
use portero::ipc::requests::overrides::{
    CreateGrant, CreateRule, ExplainDecision, GetOverrides, GetUnsaved, Pause, PreviewChange, PreviewWaiting,
    RemoveRule, Resume, RevokeGrants,
};
use portero::ipc::requests::secrets::{ClearSecrets, ListSecrets, SetSecret};
use portero::ipc::requests::sessions::{
    CancelTask, CheckTask, ClaimNews, ConsumeGrant, ForwardCall, GetServerListing, JoinCall, ListOwnTasks,
    ListUnseenTasks, PreviewCall, ReportCheckpoint, SetLogLevel, SubmitCall, SubscribeOverrides,
};
use portero::ipc::requests::tokens::{CreateToken, ListTokens, RevokeToken};
use portero::ipc::{DaemonFailure, FailureKind, RawRequest, Request, Response as _, WipedJson};
use portero::names::Actor;
use portero::store_identity::Transcript;
use portero::task::CallOrigin;
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Attempt};
use super::confirmation::NumberPrompt;
use super::{Caller, PersonCaller, PersonRequest, Session, SessionCaller, SessionRequest};
use crate::daemon::Daemon;

/// One request as it came.
pub struct Incoming {
    /// The request's number on its connection.
    pub number: u64,
    /// The request itself.
    pub request: RawRequest,
    /// The connection's transcript; a proof counts for it alone.
    pub transcript: Transcript,
    /// Cancelled when the response is not wanted any more. A change that has begun goes on.
    pub withdrawn: CancellationToken,
}

/// A response on its way to its connection.
pub struct Answer {
    /// The response.
    pub response: WipedJson,
    /// The failure that replaces the response if it can't be sent.
    pub if_lost: (FailureKind, String),
}

type Handling<'a> = Pin<Box<dyn Future<Output = Result<Answer, DaemonFailure>> + Send + 'a>>;

/// The handling of the request with this method, if the list has it.
macro_rules! dispatch {
    ($method:expr, $handle:ident $arguments:tt, [$($request:ty),* $(,)?]) => {
        match $method {
            $(<$request as Request>::METHOD => Some($handle::<$request> $arguments),)*
            _ => None,
        }
    };
}

/// Dispatches the requests that only a session may make.
macro_rules! session_requests {
    ($method:expr, $handle:ident $arguments:tt) => {
        dispatch!($method, $handle $arguments, [
            SubscribeOverrides,
            SubmitCall,
            PreviewCall,
            JoinCall,
            HoldChildren,
            ReportCheck,
            ReportOutcome,
            ForwardCall,
            SetLogLevel,
            ConsumeGrant,
            GetServerListing,
            ReportDefinitions,
            CheckTask,
            ListOwnTasks,
            ListUnseenTasks,
            ClaimNews,
            CancelTask,
            ReportCheckpoint,
        ])
    };
}

/// Dispatches the requests that only a person may make.
macro_rules! person_requests {
    ($method:expr, $handle:ident $arguments:tt) => {
        dispatch!($method, $handle $arguments, [
            GetStatus,
            ExamineServer,
            BeginLogin,
            AwaitLogin,
            GiveLoginAnswer,
            Logout,
            ListLogins,
            StopDaemon,
            ListTasks,
            FindTasks,
            GetTask,
            RevealTask,
            InspectTask,
            WatchTasks,
            CheckApproval,
            ApproveTask,
            ListScopes,
            PreviewScope,
            ApproveWith,
            RejectTask,
            AskAgain,
            CreateGrant,
            RevokeGrants,
            CreateRule,
            RemoveRule,
            Pause,
            Resume,
            GetOverrides,
            GetUnsaved,
            ExplainDecision,
            PreviewChange,
            PreviewWaiting,
            GetDefinitions,
            AcceptDefinitions,
            GetConfigChanges,
            ConfirmConfig,
            ListCheckpoints,
            SetPassphrase,
            GetPassphraseSalt,
            OfferTotp,
            EnrollTotp,
            RemoveTotp,
            PairTelegram,
            UnpairTelegram,
            SetSecret,
            ListSecrets,
            ClearSecrets,
            CreateToken,
            ListTokens,
            RevokeToken,
        ])
    };
}

/// Answers a request.
///
/// # Errors
/// The handler's failure, or a refusal: the method is unknown, or this caller may not use it.
pub async fn answer(
    daemon: &Arc<Daemon>,
    caller: &Caller,
    incoming: Incoming,
) -> Result<Answer, DaemonFailure> {
    let (incoming, method) = (&incoming, incoming.request.method.as_str());
    match caller {
        Caller::Session(session) => {
            let handling = session_requests!(method, handle_session(incoming, daemon, session));
            match handling {
                Some(handling) => handling.await,
                None => refuse_session(daemon, session, incoming).await,
            }
        }
        Caller::Terminal(process, outbox) => {
            let by = Actor::terminal(process);
            let prompt = NumberPrompt::new(incoming.number, outbox.clone(), incoming.withdrawn.clone());
            let caller =
                PersonCaller { by: &by, withdrawn: incoming.withdrawn.clone(), prompt: Some(prompt) };
            let handling = person_requests!(method, handle_person(incoming, daemon, &caller));
            match handling {
                Some(handling) => handling.await,
                None if session_requests!(method, method_of()).is_some() => {
                    Err(DaemonFailure::new(FailureKind::Invalid, "only an agent's session may request this"))
                }
                None => Err(unknown()),
            }
        }
    }
}

fn unknown() -> DaemonFailure {
    DaemonFailure::new(FailureKind::Invalid, "this daemon does not know that request").with_hint(RESTART)
}

/// Refuses a session that makes a person's request, and records the attempt.
async fn refuse_session(
    daemon: &Arc<Daemon>,
    session: &Session,
    incoming: &Incoming,
) -> Result<Answer, DaemonFailure> {
    // The request is parsed first: the record names the act that was tried.
    let attempt = person_requests!(incoming.request.method.as_str(), parse_attempt(incoming));
    let attempt = attempt.ok_or_else(unknown)??;
    let refused = Err(DaemonFailure::new(FailureKind::Invalid, "only a person's terminal may request this"));
    let CallOrigin { session, principal, .. } = session.origin.clone();
    let by = Actor::Session { session, principal };
    attempt::written_down(daemon, attempt, &by, refused).await
}

fn handle_session<'a, R: SessionRequest>(
    incoming: &'a Incoming,
    daemon: &'a Arc<Daemon>,
    session: &'a Session,
) -> Handling<'a> {
    Box::pin(async move {
        let request: R = parse(incoming)?;
        let Incoming { number, withdrawn, .. } = incoming;
        let caller = SessionCaller { session, number: *number, withdrawn: withdrawn.clone() };
        pack::<R>(&request.handle(daemon, &caller).await?)
    })
}

fn handle_person<'a, R: PersonRequest>(
    incoming: &'a Incoming,
    daemon: &'a Arc<Daemon>,
    caller: &'a PersonCaller<'_>,
) -> Handling<'a> {
    Box::pin(async move { pack::<R>(&answer_person::<R>(daemon, caller, parse(incoming)?).await?) })
}

/// Handles a person's request, and records the attempt if it was refused.
pub(super) async fn answer_person<R: PersonRequest>(
    daemon: &Arc<Daemon>,
    caller: &PersonCaller<'_>,
    request: R,
) -> Result<R::Response, DaemonFailure> {
    let attempt = request.attempt();
    let answered = request.handle(daemon, caller).await;
    if let Some(prompt) = &caller.prompt {
        prompt.settle::<R>(daemon, &answered).await;
    }
    attempt::written_down(daemon, attempt, caller.by, answered).await
}

fn method_of<R: Request>() -> &'static str {
    R::METHOD
}

fn parse_attempt<R: PersonRequest>(incoming: &Incoming) -> Result<Option<Attempt>, DaemonFailure> {
    Ok(parse::<R>(incoming)?.attempt())
}

fn parse<R: Request>(incoming: &Incoming) -> Result<R, DaemonFailure> {
    incoming.request.parse(&incoming.transcript).map_err(|error| {
        let message = format!("this daemon cannot read the params of {}: {error}", R::METHOD);
        DaemonFailure::new(FailureKind::Invalid, message).with_hint(RESTART)
    })
}

fn pack<R: Request>(response: &R::Response) -> Result<Answer, DaemonFailure> {
    // The type knows this before the response exists, so an oversized response still has a failure.
    let if_lost = response.describe_lost();
    match WipedJson::new(response) {
        Ok(response) => Ok(Answer { response, if_lost }),
        Err(error) => Err(DaemonFailure::new(if_lost.0, format!("{}: {error}", if_lost.1))),
    }
}

const RESTART: &str = "restart the daemon: portero daemon stop, then run this again";
