//! Serves the local socket: a client says who it is, then makes requests.
//!
//! Requests are answered side by side. A connection that ends takes back what
//! only waits; what changes something comes to its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portero::identity::Transcript;
use portero::ipc::requests::approvals::WatchTasks;
use portero::ipc::requests::daemon::StopDaemon;
use portero::ipc::{
    Accepted, Failure, FailureKind, FromDaemon, Greeted, Hello, Inbox, Listener, Lock, MAX_OPEN_REQUESTS,
    Outbox, Peer, RawRequest, Request as _, SendError, ToDaemon, Welcome,
};
use portero::task::Origin;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::api::{self, Answer, Caller, Incoming, Session, Subscriber};
use crate::connections::{Connections, Role, Slot};
use crate::daemon::Daemon;

/// How long to wait when the system can't accept.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until the daemon is to end. The lock is given back, to be dropped when everything has ended.
pub async fn serve(daemon: Arc<Daemon>, listener: Listener) -> Lock {
    let connections = Arc::new(Connections::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = daemon.stop.cancelled() => return listener.retire(),
        };
        match accepted {
            Ok(accepted) => match connections.accept(accepted.process()) {
                Ok(slot) => drop(daemon.work.spawn(connection(Arc::clone(&daemon), accepted, slot))),
                Err(crowded) => drop(daemon.work.spawn(accepted.refuse(crowded))),
            },
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn connection(daemon: Arc<Daemon>, accepted: Accepted, slot: Slot) {
    let process = accepted.process().clone();
    let admit = |hello: &Hello| {
        let welcome = welcome(&daemon, hello)?;
        slot.greeted(match hello.peer {
            Peer::Terminal => Role::Terminal,
            Peer::Session { .. } => Role::Session,
        })?;
        Ok(welcome)
    };
    let greeted = tokio::select! {
        greeted = accepted.greet(&daemon.build, admit) => greeted,
        () = slot.evicted() => return tracing::info!(%process, "a connection that said nothing was closed"),
    };
    let Greeted { hello, transcript, inbox, outbox } = match greeted {
        Ok(greeted) => greeted,
        Err(failure) => return tracing::info!(%process, %failure, "a connection was refused"),
    };
    let caller = match hello.peer {
        Peer::Terminal => Caller::Terminal(process, outbox.clone()),
        Peer::Session { id, agent_session, principal, directory } => {
            let client = daemon.anonymizer.load().conceal_text("");
            let origin = Origin { principal, session: id, agent_session, client, directory };
            let seat = daemon.sessions.join(&origin, outbox.clone());
            let subscriber = Subscriber::new(&daemon, &origin);
            Caller::Session(Session { seat, subscriber, origin, outbox: outbox.clone() })
        }
    };
    let open = Arc::new(Open::default());
    let unread = Arc::new(Semaphore::new(MAX_OPEN_REQUESTS));
    let (caller, slot) = (Arc::new(caller), Arc::new(slot));
    let open_here = Arc::clone(&open);
    let connection = Connection { daemon, caller, transcript, outbox, open: open_here, unread, slot };
    connection.serve(inbox).await;
    open.withdraw_all();
    if matches!(*connection.caller, Caller::Session(_)) {
        connection.daemon.heads.session_left();
    }
}

fn welcome(daemon: &Daemon, hello: &Hello) -> Result<Welcome, Failure> {
    same_configuration(daemon, hello)?;
    let confirmed = daemon.confirmed.confirmed().digest();
    Ok(Welcome::sign(hello, daemon.confirmed.store_key(), daemon.build.clone(), confirmed))
}

fn same_configuration(daemon: &Daemon, hello: &Hello) -> Result<(), Failure> {
    let own = &daemon.paths.config;
    let same = hello.config == *own
        || matches!((hello.config.canonicalize(), own.canonicalize()), (Ok(its), Ok(own)) if its == own);
    if same {
        return Ok(());
    }
    let message = format!(
        "the daemon that runs reads the configuration in {}, not the one in {}",
        own.display(),
        hello.config.display()
    );
    Err(Failure::new(FailureKind::Configuration, message).with_hint(format!(
        "stop it with `portero --config {} daemon stop`, or give each its own PORTERO_RUNTIME_DIR and \
         PORTERO_STATE_DIR",
        own.display()
    )))
}

/// The requests of a connection that have no response yet.
#[derive(Default)]
struct Open(Mutex<HashMap<u64, CancellationToken>>);

impl Open {
    /// None when there are too many, or the number is taken.
    fn add(&self, number: u64) -> Option<CancellationToken> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN_REQUESTS || open.contains_key(&number) {
            return None;
        }
        let token = CancellationToken::new();
        open.insert(number, token.clone());
        Some(token)
    }

    fn close(&self, number: u64) -> Option<CancellationToken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&number)
    }

    fn withdraw_all(&self) {
        for (_, token) in self.0.lock().unwrap_or_else(PoisonError::into_inner).drain() {
            token.cancel();
        }
    }
}

struct Connection {
    daemon: Arc<Daemon>,
    caller: Arc<Caller>,
    transcript: Transcript,
    outbox: Outbox,
    open: Arc<Open>,
    /// Room for requests whose responses are not on their way yet.
    unread: Arc<Semaphore>,
    slot: Arc<Slot>,
}

impl Connection {
    async fn serve(&self, mut inbox: Inbox) {
        loop {
            let incoming = tokio::select! {
                incoming = inbox.next() => incoming,
                () = self.daemon.stop.cancelled() => {
                    let ending = Failure::new(FailureKind::Refused, "the daemon is ending");
                    let _ = self.outbox.push(&FromDaemon::Closing(ending));
                    return self.outbox.closing().close("the daemon is ending");
                }
                () = self.slot.evicted() => {
                    let crowded = Failure::new(FailureKind::Refused, "too many are connected: this place was needed")
                        .with_hint("run this again; `portero status` shows the sessions");
                    let _ = self.outbox.push(&FromDaemon::Closing(crowded));
                    return self.outbox.closing().close("its place was needed");
                }
            };
            match incoming {
                None => return,
                Some(ToDaemon::Request { number, request }) => self.handle(number, request).await,
                Some(ToDaemon::Withdraw { number }) => {
                    if let Some(token) = self.open.close(number) {
                        token.cancel();
                    }
                }
                Some(ToDaemon::Follows { epoch }) => {
                    if let Caller::Session(session) = &*self.caller {
                        session.seat.follows(epoch);
                    }
                }
            }
        }
    }

    async fn handle(&self, number: u64, request: RawRequest) {
        let Some(withdrawn) = self.open.add(number) else {
            let message =
                format!("at most {MAX_OPEN_REQUESTS} requests may be open at once, each with its number");
            return respond(&self.outbox, number, Err(Failure::new(FailureKind::Refused, message))).await;
        };
        // A peer that asks and does not read is heard no further: its responses would pile up here.
        let Ok(room) = Arc::clone(&self.unread).acquire_owned().await else { return };
        let ends = request.method == StopDaemon::METHOD && matches!(*self.caller, Caller::Terminal(..));
        let is_watch = request.method == WatchTasks::METHOD;
        let incoming = Incoming { number, request, transcript: self.transcript.clone(), withdrawn };
        let (daemon, caller) = (Arc::clone(&self.daemon), Arc::clone(&self.caller));
        let (outbox, open) = (self.outbox.clone(), Arc::clone(&self.open));
        let slot = Arc::clone(&self.slot);
        slot.asked(is_watch);
        self.daemon.work.spawn(async move {
            let answered = api::answer(&daemon, &caller, incoming).await;
            slot.answered(is_watch);
            // A request that was withdrawn is owed no response.
            if open.close(number).is_some() {
                respond(&outbox, number, answered).await;
            }
            drop(room);
            if ends {
                daemon.stop.cancel();
            }
        });
    }
}

/// How many characters are told of a failure that cannot be sent whole.
const MAX_LOST_MESSAGE: usize = 1000;

/// Sends a response; where it can't be sent, what the client must know in its place.
async fn respond(outbox: &Outbox, number: u64, answered: Result<Answer, Failure>) {
    let (result, (kind, lost)) = match answered {
        Ok(Answer { response, if_lost }) => (Ok(response), if_lost),
        Err(failure) => {
            let if_lost = (failure.kind, shorten(&failure.message));
            (Err(failure), if_lost)
        }
    };
    let unfit = match outbox.send(&FromDaemon::Response { number, result }).await {
        Ok(()) | Err(SendError::Closed | SendError::Full) => return,
        Err(error @ (SendError::TooLong(_) | SendError::NoJson(_))) => error,
    };
    let failure = Failure::new(kind, format!("{lost}: {unfit}"));
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
