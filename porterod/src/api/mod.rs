//! The requests of a person or a session, a file a subject.
//!
//! A request is a type of [`portero::ipc::requests`]; here it gets its handler, [`PersonRequest`] or
//! [`SessionRequest`], and `route` has one line for each. What widens takes the `challenge` first; what changes rules
//! or grants is in force everywhere before it is answered.

mod approvals;
mod attempt;
mod audit;
mod auth;
mod buttons;
mod challenge;
mod config;
mod consent;
mod daemon;
mod failure;
mod overrides;
mod preview;
mod route;
mod sessions;
mod shown;
mod subscriber;

use std::sync::Arc;

use portero::anonymize::Fake;
use portero::ipc::{Challenge, DaemonFailure, MessageSender, PeerProcess, Request};
use portero::names::{Actor, Principal};
use portero::pipeline::CallContext;
use portero::task::CallOrigin;
use tokio_util::sync::CancellationToken;

pub use self::approvals::look;
pub use self::attempt::Attempt;
pub use self::buttons::{Change, Undone, preview_widening, request_as, restricted, tapped, widen};
use self::challenge::Confirming;
use self::consent::Beside;
pub(crate) use self::failure::of_store;
pub use self::route::{Answer, Incoming, answer};
pub use self::subscriber::Subscriber;
use crate::auth::remote_confirmation::ActOutcome;
use crate::daemon::Daemon;
use crate::sessions::SessionSeat;

/// The one that makes requests on a connection.
pub enum Caller {
    /// One agent's session.
    Session(Session),
    /// A person's terminal, and the way back to it.
    Terminal(PeerProcess, MessageSender),
}

/// A session that makes requests.
pub struct Session {
    /// Its place among the sessions.
    pub seat: SessionSeat,
    /// Its subscriptions to resources of shared servers.
    pub subscriber: Subscriber,
    /// Who it is; its `client` is empty until a request tells it.
    pub origin: CallOrigin,
    /// The way back to it, for progress.
    pub outbox: MessageSender,
}

impl Session {
    /// What it says of its client is concealed here too: what speaks on the socket is not trusted.
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
    /// Cancelled when the response is not wanted any more. What changes something goes on.
    withdrawn: CancellationToken,
}

impl SessionCaller<'_> {
    fn principal(&self) -> &Principal {
        &self.session.origin.principal
    }
}

/// A request that an agent's session may make, with what the daemon does about it.
pub trait SessionRequest: Request {
    /// Handles it.
    fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &SessionCaller<'_>,
    ) -> impl Future<Output = Result<Self::Response, DaemonFailure>> + Send;
}

/// A person, at a terminal or on Telegram, while one of their requests is handled.
pub struct PersonCaller<'a> {
    /// Who, in the words of the audit.
    by: &'a Actor,
    /// Cancelled when the response is not wanted any more.
    withdrawn: CancellationToken,
    /// The terminal, which can show a number; none on Telegram.
    beside: Option<Beside>,
}

impl PersonCaller<'_> {
    /// With what the person confirms.
    fn confirming(&self, challenge: Challenge) -> Confirming {
        match &self.beside {
            Some(beside) if challenge.telegram => Confirming::Asked(beside.clone()),
            Some(_) | None => Confirming::Typed(challenge),
        }
    }

    fn confirming_where_given(&self, challenge: Option<Challenge>) -> Option<Confirming> {
        challenge.map(|challenge| self.confirming(challenge))
    }
}

/// A request that a person may make, with what the daemon does about it.
pub trait PersonRequest: Request {
    /// The act that it asks for, which is recorded where it is refused; none where it only reads.
    fn attempt(&self) -> Option<Attempt> {
        None
    }

    /// What a chat is told about a response, where the request was confirmed there.
    fn outcome(response: &Self::Response) -> ActOutcome {
        let _ = response;
        ActOutcome::Done
    }

    /// Handles it.
    fn handle(
        self,
        daemon: &Arc<Daemon>,
        caller: &PersonCaller<'_>,
    ) -> impl Future<Output = Result<Self::Response, DaemonFailure>> + Send;
}
