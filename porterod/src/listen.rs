//! Serves the local socket: whoever connects says who it is, then asks.
//!
//! Each question is answered by itself, side by side with the others. A connection that ends takes back what
//! only waits; what changes something comes to its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portero::identity::Transcript;
use portero::ipc::{
    Accepted, Ask, Called, Failure, FailureKind, FromDaemon, Greeted, Hello, Inbox, Incoming, Listener, Lock,
    MAX_OPEN_QUESTIONS, Outbox, Peer, Reply, SendError, ToDaemon, Welcome,
};
use portero::task::Origin;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::connections::{Connections, Role, Slot};
use crate::control::{Asker, Question, SessionAsker, Subscriber, answer};
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
    let asker = match hello.peer {
        Peer::Terminal => Asker::Terminal(process, outbox.clone()),
        Peer::Session { id, agent_session, principal, directory } => {
            let client = daemon.anonymizer.load().conceal_text("");
            let origin = Origin { principal, session: id, agent_session, client, directory };
            let seat = daemon.sessions.join(&origin, outbox.clone());
            let subscriber = Subscriber::new(&daemon, &origin);
            Asker::Session(SessionAsker { seat, subscriber, origin, outbox: outbox.clone() })
        }
    };
    let open = Arc::new(Open::default());
    let unread = Arc::new(Semaphore::new(MAX_OPEN_QUESTIONS));
    let (asker, slot) = (Arc::new(asker), Arc::new(slot));
    let open_here = Arc::clone(&open);
    let connection = Connection { daemon, asker, transcript, outbox, open: open_here, unread, slot };
    connection.serve(inbox).await;
    open.withdraw_all();
    if matches!(*connection.asker, Asker::Session(_)) {
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

/// The questions of a connection that have no answer yet.
#[derive(Default)]
struct Open(Mutex<HashMap<u64, CancellationToken>>);

impl Open {
    /// None when there are too many, or the number is taken.
    fn add(&self, number: u64) -> Option<CancellationToken> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_OPEN_QUESTIONS || open.contains_key(&number) {
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
    asker: Arc<Asker>,
    transcript: Transcript,
    outbox: Outbox,
    open: Arc<Open>,
    /// Room for questions whose answers are not on their way yet.
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
                Some(Incoming::Message(ToDaemon::Ask { number, ask })) => self.ask(number, *ask).await,
                Some(Incoming::Message(ToDaemon::Withdraw { number })) => {
                    if let Some(token) = self.open.close(number) {
                        token.cancel();
                    }
                }
                Some(Incoming::Message(ToDaemon::Follows { epoch })) => {
                    if let Asker::Session(session) = &*self.asker {
                        session.seat.follows(epoch);
                    }
                }
                Some(Incoming::Unknown { number }) => {
                    let failure =
                        Failure::new(FailureKind::Invalid, "this daemon does not know that question")
                            .with_hint("restart the daemon: portero daemon stop, then run this again");
                    reply(&self.outbox, number, Err(failure)).await;
                }
            }
        }
    }

    async fn ask(&self, number: u64, mut ask: Ask) {
        ask.bind(&self.transcript);
        let Some(withdrawn) = self.open.add(number) else {
            let message =
                format!("at most {MAX_OPEN_QUESTIONS} questions may be open at once, each with its number");
            return reply(&self.outbox, number, Err(Failure::new(FailureKind::Refused, message))).await;
        };
        // A peer that asks and does not read is heard no further: its answers would pile up here.
        let Ok(room) = Arc::clone(&self.unread).acquire_owned().await else { return };
        let ends = matches!(ask, Ask::Stop) && matches!(*self.asker, Asker::Terminal(..));
        let is_watch = matches!(ask, Ask::Watch { .. });
        let question = Question { number, ask, withdrawn };
        let (daemon, asker) = (Arc::clone(&self.daemon), Arc::clone(&self.asker));
        let (outbox, open) = (self.outbox.clone(), Arc::clone(&self.open));
        let slot = Arc::clone(&self.slot);
        slot.asked(is_watch);
        self.daemon.work.spawn(async move {
            let answered = answer(&daemon, &asker, question).await;
            slot.answered(is_watch);
            // A question that was taken back is owed no answer.
            if open.close(number).is_some() {
                reply(&outbox, number, answered).await;
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

/// What is said in place of an answer that cannot be sent. Who asked for a call must learn that it ran.
fn lost_answer(reply: &Result<Reply, Failure>) -> (FailureKind, String) {
    match reply {
        Ok(Reply::Called(Called::Result(_) | Called::Error(_))) => (
            FailureKind::Interrupted,
            "the call ran and was answered, but the answer could not be passed on".to_owned(),
        ),
        Ok(Reply::Called(Called::Waiting(task)) | Reply::Task(task)) => (
            FailureKind::Internal,
            format!("task {} is {}, but it could not be passed on whole", task.id, task.state),
        ),
        Ok(_) => (FailureKind::Internal, "it was done, but the answer could not be sent".to_owned()),
        Err(failure) => {
            let shortened: String = failure.message.chars().take(MAX_LOST_MESSAGE).collect();
            (failure.kind, format!("{shortened}… (shortened)"))
        }
    }
}

async fn reply(outbox: &Outbox, number: u64, reply: Result<Reply, Failure>) {
    let answer = FromDaemon::Answer { number, reply: Box::new(reply) };
    let unfit = match outbox.send(&answer).await {
        Ok(()) | Err(SendError::Closed | SendError::Full) => return,
        Err(error @ (SendError::TooLong(_) | SendError::NoJson(_))) => error,
    };
    let FromDaemon::Answer { reply, .. } = answer else { return };
    let (kind, words) = lost_answer(&reply);
    let failure = Failure::new(kind, format!("{words}: {unfit}"));
    let _ = outbox.send(&FromDaemon::Answer { number, reply: Box::new(Err(failure)) }).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_failure_that_is_too_long_the_kind_is_kept_and_nothing_is_said_to_be_done() {
        let failure = Failure::new(FailureKind::Invalid, "no such thing ".repeat(1_000_000));
        let (kind, words) = lost_answer(&Err(failure));
        assert_eq!(kind, FailureKind::Invalid);
        assert!(words.starts_with("no such thing") && !words.contains("was done"), "{words}");
        assert!(words.len() < 2 * MAX_LOST_MESSAGE);
    }
}
