//! The requests of a person or a session, one file for each subject.
//!
//! A request is a type of [`portero::ipc::requests`]. Its handler here implements [`PersonRequest`] or
//! [`SessionRequest`], and `route` has one line for it. A widening request passes the `challenge` first. A
//! change of rules or grants applies in every session before its answer.

mod approvals;
mod attempt;
mod audit;
mod auth;
mod buttons;
mod concealed_limits;
mod config;
mod confirmation;
mod daemon;
mod definition_differences;
mod definitions;
mod failure;
mod handover;
mod joining;
mod listed;
mod login;
mod overrides;
mod own_tasks;
mod preview;
mod route;
mod scope_terms;
mod scopes;
mod secrets;
mod sessions;
mod shown;
mod subscriber;
mod tokens;
mod waiting;

use std::sync::Arc;

use portero::anonymize::Fake;
use portero::ipc::{Challenge, DaemonFailure, MessageSender, PeerProcess, Request};
use portero::names::{Actor, Principal};
use portero::pipeline::CallContext;
use portero::task::CallOrigin;
use tokio_util::sync::CancellationToken;

pub use self::approvals::enforce_denials;
pub use self::attempt::Attempt;
pub use self::buttons::{
    Change, Undone, acceptance_of, preview_on_card, preview_widening, request_as, restricted, tapped, widen,
};
use self::confirmation::{Confirmation, NumberPrompt};
pub(crate) use self::failure::{of_refusal, of_store};
pub use self::listed::{approve_listed, reject_listed};
pub use self::own_tasks::{cancel_own_task, check_own_task, claim_news, list_own_tasks, unseen_tasks};
pub use self::route::{Answer, Incoming, answer};
pub use self::scopes::{list_scopes, preview_scope};
pub use self::sessions::{fetch_listing, forward_call};
pub use self::shown::{find_hints, look};
pub use self::subscriber::Subscriber;
pub use self::waiting::list_allowed;
use crate::auth::remote_confirmation::ActOutcome;
use crate::daemon::Daemon;
use crate::sessions::SessionSeat;

/// The peer that makes requests on a connection.
pub enum Caller {
    /// One agent's session.
    Session(Box<Session>),
    /// A person's terminal, and the way back to it.
    Terminal(PeerProcess, MessageSender),
}

/// A session that makes requests.
pub struct Session {
    /// Its place among the sessions.
    pub seat: SessionSeat,
    /// The session's subscriptions to resources of shared servers.
    pub subscriber: Subscriber,
    /// The session's identity; its `client` is empty until a request tells it.
    pub origin: CallOrigin,
    /// The way back to the session, for progress.
    pub outbox: MessageSender,
}

impl Session {
    /// The context of a call. The client's name is concealed here too, because the peer on the socket is not
    /// trusted.
    fn context(&self, daemon: &Daemon, client: &Fake<String>) -> CallContext {
        let client = daemon.anonymizer.load().conceal_text(client.get());
        CallContext { origin: CallOrigin { client, ..self.origin.clone() }, task: None }
    }
}

/// A session, while one of its requests is handled.
pub struct SessionCaller<'a> {
    session: &'a Session,
    /// The request's number on its connection.
    number: u64,
    /// Cancelled when the response is not wanted any more. A change that has begun goes on.
    withdrawn: CancellationToken,
}

impl SessionCaller<'_> {
    fn principal(&self) -> &Principal {
        &self.session.origin.principal
    }
}

/// A request that an agent's session may make, with its handler.
pub trait SessionRequest: Request {
    /// Handles the request.
    fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> impl Future<Output = Result<Self::Response, DaemonFailure>> + Send;
}

/// A person at a terminal or on Telegram, during one of their requests.
pub struct PersonCaller<'a> {
    /// The person, as the audit names them.
    by: &'a Actor,
    /// Cancelled when the response is not wanted any more.
    withdrawn: CancellationToken,
    /// The terminal, which can show a number; `None` on Telegram.
    prompt: Option<NumberPrompt>,
}

impl PersonCaller<'_> {
    /// The factor that the person confirms with.
    fn confirmation(&self, challenge: Challenge) -> Confirmation {
        match &self.prompt {
            Some(prompt) if challenge.telegram => Confirmation::OnTelegram(prompt.clone()),
            Some(_) | None => Confirmation::Typed(challenge),
        }
    }
}

/// A request that a person may make, with its handler.
pub trait PersonRequest: Request {
    /// The act of the request, for the record of a refusal; `None` if the request only reads.
    fn attempt(&self) -> Option<Attempt> {
        None
    }

    /// The outcome that a chat shows, if the request was confirmed there.
    fn outcome(response: &Self::Response) -> ActOutcome {
        let _ = response;
        ActOutcome::Done
    }

    /// Handles the request.
    fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> impl Future<Output = Result<Self::Response, DaemonFailure>> + Send;
}
