//! Serves the local socket: a client greets, then makes requests.
//!
//! Requests of a connection are answered concurrently. The end of a connection cancels its waiting requests;
//! a request that changes something still completes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portero::ipc::requests::approvals::WatchTasks;
use portero::ipc::requests::daemon::StopDaemon;
use portero::ipc::{
    AcceptedPeer, DaemonFailure, DaemonListener, DaemonLock, FailureKind, FromDaemon, GreetedPeer, Hello,
    MAX_OPEN_REQUESTS, MessageReceiver, MessageSender, PeerRole, RawRequest, Request as _, SendError,
    ToDaemon, Welcome,
};
use portero::store_identity::Transcript;
use portero::sync::lock;
use portero::task::CallOrigin;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Answer, Caller, Incoming, Session, Subscriber};
use crate::daemon::Daemon;
use crate::sessions::connections::{ConnectionRole, ConnectionSlot, Connections};

/// How long to wait after a failed `accept`.
const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_millis(100);

/// Serves until the daemon ends. The lock is returned, to be dropped when everything has ended.
pub async fn serve_socket(daemon: Arc<Daemon>, listener: DaemonListener) -> DaemonLock {
    let connections = Arc::new(Connections::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = daemon.lifecycle.stop_signal().cancelled() => return listener.stop_listening(),
        };
        match accepted {
            Ok(accepted) => match connections.accept_connection(accepted.process()) {
                Ok(slot) => daemon.lifecycle.spawn(serve_connection(Arc::clone(&daemon), accepted, slot)),
                Err(crowded) => daemon.lifecycle.spawn(accepted.refuse_peer(crowded)),
            },
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_RETRY_INTERVAL).await;
            }
        }
    }
}

async fn serve_connection(daemon: Arc<Daemon>, accepted: AcceptedPeer, slot: ConnectionSlot) {
    let process = accepted.process().clone();
    let admit = |hello: &Hello| {
        let welcome = build_welcome(&daemon, hello)?;
        slot.assign_role(match hello.peer {
            PeerRole::Terminal => ConnectionRole::Terminal,
            PeerRole::Session { .. } => ConnectionRole::Session,
        })?;
        Ok(welcome)
    };
    let greeted = tokio::select! {
        greeted = accepted.greet_peer(daemon.lifecycle.build(), admit) => greeted,
        () = slot.wait_for_eviction() => return tracing::info!(%process, "a connection that said nothing was closed"),
    };
    let GreetedPeer { hello, transcript, receiver: inbox, sender: outbox } = match greeted {
        Ok(greeted) => greeted,
        Err(failure) => return tracing::info!(%process, %failure, "a connection was refused"),
    };
    let caller = match hello.peer {
        PeerRole::Terminal => Caller::Terminal(process, outbox.clone()),
        PeerRole::Session { id, agent_session, principal, directory } => {
            let client = daemon.anonymizer.load().conceal_text("");
            let origin = CallOrigin { principal, session: id, agent_session, client, directory };
            let seat = daemon.sessions.join_session(&origin, outbox.clone());
            let subscriber = Subscriber::new(&daemon, &origin);
            let session = Session { seat, subscriber, origin, outbox: outbox.clone() };
            Caller::Session(Box::new(session))
        }
    };
    let open = Arc::new(OpenRequests::default());
    let unread = Arc::new(Semaphore::new(MAX_OPEN_REQUESTS));
    let (caller, slot) = (Arc::new(caller), Arc::new(slot));
    let open_here = Arc::clone(&open);
    let connection = ClientConnection {
        daemon,
        caller,
        transcript,
        outbox,
        open_requests: open_here,
        unread_answers: unread,
        slot,
    };
    connection.serve_inbox(inbox).await;
    open.cancel_all();
    if matches!(*connection.caller, Caller::Session(_)) {
        connection.daemon.audit.checkpoints().note_session_left();
    }
}

fn build_welcome(daemon: &Daemon, hello: &Hello) -> Result<Welcome, DaemonFailure> {
    check_same_config(daemon, hello)?;
    check_local(daemon, hello)?;
    let confirmed = daemon.config.approved_digest();
    Ok(Welcome::sign(hello, daemon.config.store_key(), daemon.lifecycle.build().to_owned(), confirmed))
}

/// Refuses a process of this machine that says it is an agent over HTTPS: its tasks and its servers are not for others
/// (guarantee T3).
fn check_local(daemon: &Daemon, hello: &Hello) -> Result<(), DaemonFailure> {
    match &hello.peer {
        PeerRole::Session { principal, directory, .. }
            if principal.remote_name().is_some() || daemon.upstreams.is_remote(directory) =>
        {
            let message = "a session over the socket has a project directory outside Portero's own";
            Err(DaemonFailure::new(FailureKind::Invalid, message))
        }
        PeerRole::Session { .. } | PeerRole::Terminal => Ok(()),
    }
}

fn check_same_config(daemon: &Daemon, hello: &Hello) -> Result<(), DaemonFailure> {
    let own = daemon.config.directory();
    let same = hello.config == own
        || matches!((hello.config.canonicalize(), own.canonicalize()), (Ok(its), Ok(own)) if its == own);
    if same {
        return Ok(());
    }
    let message = format!(
        "the daemon that runs reads the configuration in {}, not the one in {}",
        own.display(),
        hello.config.display()
    );
    Err(DaemonFailure::new(FailureKind::Configuration, message).with_hint(format!(
        "stop it with `portero --config {} daemon stop`, or give each its own PORTERO_RUNTIME_DIR and \
         PORTERO_STATE_DIR",
        own.display()
    )))
}

/// The requests of a connection without a response so far.
#[derive(Default)]
struct OpenRequests(Mutex<HashMap<u64, CancellationToken>>);

impl OpenRequests {
    /// None if too many are open or the number is taken.
    fn add_request(&self, number: u64) -> Option<CancellationToken> {
        let mut open = lock(&self.0);
        if open.len() >= MAX_OPEN_REQUESTS || open.contains_key(&number) {
            return None;
        }
        let token = CancellationToken::new();
        open.insert(number, token.clone());
        Some(token)
    }

    fn remove_request(&self, number: u64) -> Option<CancellationToken> {
        lock(&self.0).remove(&number)
    }

    fn cancel_all(&self) {
        for (_, token) in lock(&self.0).drain() {
            token.cancel();
        }
    }
}

struct ClientConnection {
    daemon: Arc<Daemon>,
    caller: Arc<Caller>,
    transcript: Transcript,
    outbox: MessageSender,
    open_requests: Arc<OpenRequests>,
    /// Permits for requests whose responses aren't sent yet.
    unread_answers: Arc<Semaphore>,
    slot: Arc<ConnectionSlot>,
}

impl ClientConnection {
    async fn serve_inbox(&self, mut inbox: MessageReceiver) {
        loop {
            let incoming = tokio::select! {
                incoming = inbox.next_message() => incoming,
                () = self.daemon.lifecycle.stop_signal().cancelled() => {
                    let ending = DaemonFailure::new(FailureKind::Refused, "the daemon is ending");
                    let _ = self.outbox.try_send(&FromDaemon::Closing(ending));
                    return self.outbox.connection_end().close("the daemon is ending");
                }
                () = self.slot.wait_for_eviction() => {
                    let crowded = DaemonFailure::new(FailureKind::Refused, "too many are connected: this place was needed")
                        .with_hint("run this again; `portero status` shows the sessions");
                    let _ = self.outbox.try_send(&FromDaemon::Closing(crowded));
                    return self.outbox.connection_end().close("its place was needed");
                }
            };
            match incoming {
                None => return,
                Some(ToDaemon::Request { number, request }) => self.handle(number, request).await,
                Some(ToDaemon::Withdraw { number }) => {
                    if let Some(token) = self.open_requests.remove_request(number) {
                        token.cancel();
                    }
                }
                Some(ToDaemon::Follows { epoch }) => {
                    if let Caller::Session(session) = &*self.caller {
                        session.seat.note_epoch(epoch);
                    }
                }
            }
        }
    }

    async fn handle(&self, number: u64, request: RawRequest) {
        let Some(withdrawn) = self.open_requests.add_request(number) else {
            let message =
                format!("at most {MAX_OPEN_REQUESTS} requests may be open at once, each with its number");
            return respond(&self.outbox, number, Err(DaemonFailure::new(FailureKind::Refused, message)))
                .await;
        };
        // A peer that asks without reading isn't read any further, because its responses would pile up here.
        let Ok(room) = Arc::clone(&self.unread_answers).acquire_owned().await else { return };
        let ends = request.method == StopDaemon::METHOD && matches!(*self.caller, Caller::Terminal(..));
        let is_watch = request.method == WatchTasks::METHOD;
        let incoming = Incoming { number, request, transcript: self.transcript.clone(), withdrawn };
        let (daemon, caller) = (Arc::clone(&self.daemon), Arc::clone(&self.caller));
        let (outbox, open) = (self.outbox.clone(), Arc::clone(&self.open_requests));
        let slot = Arc::clone(&self.slot);
        slot.begin_question(is_watch);
        self.daemon.lifecycle.spawn(async move {
            let answered = api::answer(&daemon, &caller, incoming).await;
            slot.end_question(is_watch);
            // A withdrawn request gets no response.
            if open.remove_request(number).is_some() {
                respond(&outbox, number, answered).await;
            }
            drop(room);
            // After the response: the client of `daemon stop` must get it before the socket closes.
            if ends {
                daemon.lifecycle.request_stop();
            }
        });
    }
}

/// How many characters remain of a failure that is too long to send.
const MAX_LOST_MESSAGE: usize = 1000;

/// Sends a response. If that is impossible, sends the information that the client needs instead.
async fn respond(outbox: &MessageSender, number: u64, answered: Result<Answer, DaemonFailure>) {
    let (result, (kind, lost)) = match answered {
        Ok(Answer { response, if_lost }) => (Ok(response), if_lost),
        Err(failure) => {
            let if_lost = (failure.kind, shorten(&failure.message));
            (Err(failure), if_lost)
        }
    };
    let unfit = match outbox.send(&FromDaemon::Response { number, result }).await {
        Ok(()) | Err(SendError::Closed | SendError::Full) => return,
        Err(error @ (SendError::TooLong(_) | SendError::NotJson(_))) => error,
    };
    let failure = DaemonFailure::new(kind, format!("{lost}: {unfit}"));
    let _ = outbox.send(&FromDaemon::Response { number, result: Err(failure) }).await;
}

fn shorten(message: &str) -> String {
    let shortened: String = message.chars().take(MAX_LOST_MESSAGE).collect();
    format!("{shortened}… (shortened)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_is_too_long_is_shortened() {
        let words = shorten(&"no such thing ".repeat(1_000_000));
        assert!(words.starts_with("no such thing") && words.ends_with("(shortened)"), "{words}");
        assert!(words.len() < 2 * MAX_LOST_MESSAGE);
    }
}
