//! The sessions that are connected, and how a change reaches all of them before its command returns.
//!
//! A session that does not confirm a change of rules or grants in time loses its connection, and with it
//! everything but the denies on disk.

mod notifications;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use portero::ipc::{FromDaemon, Outbox, Push, SendError};
use portero::names::{AgentSession, Principal, SessionId};
use portero::policy::Standing;
use portero::task::Origin;
use tokio::sync::watch;

pub use notifications::Notification;
use notifications::Notifications;

use crate::subscriptions::ResourceSubscriptions;

/// How long a session has to confirm a change.
const CONFIRM: Duration = Duration::from_secs(2);

/// Every connected session.
#[derive(Debug, Default)]
pub struct Sessions {
    inner: Mutex<Inner>,
    /// What they are subscribed to of shared servers.
    pub subscriptions: ResourceSubscriptions,
}

#[derive(Debug, Default)]
struct Inner {
    next: u64,
    seats: HashMap<u64, Entry>,
}

#[derive(Debug)]
struct Entry {
    session: SessionId,
    agent_session: Option<AgentSession>,
    principal: Principal,
    outbox: Outbox,
    notifications: Notifications,
    subscribed: bool,
    follows: watch::Sender<u64>,
}

/// One session's place; dropping it leaves.
#[derive(Debug)]
pub struct Seat {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Sessions {
    /// Takes a session in.
    #[must_use]
    pub fn join(self: &Arc<Self>, origin: &Origin, outbox: Outbox) -> Seat {
        let mut inner = self.lock();
        inner.next += 1;
        let number = inner.next;
        let (follows, _) = watch::channel(0);
        let entry = Entry {
            session: origin.session,
            agent_session: origin.agent_session.clone(),
            principal: origin.principal.clone(),
            notifications: Notifications::new(outbox.clone()),
            outbox,
            subscribed: false,
            follows,
        };
        inner.seats.insert(number, entry);
        Seat { sessions: Arc::clone(self), number }
    }

    /// Who is connected.
    #[must_use]
    pub fn list(&self) -> Vec<(SessionId, Principal)> {
        let mut list: Vec<_> =
            self.lock().seats.values().map(|seat| (seat.session, seat.principal.clone())).collect();
        list.sort_by_key(|(session, _)| *session);
        list
    }

    /// The session of its agent's program, for each that says one.
    #[must_use]
    pub fn agent_sessions(&self) -> Vec<(SessionId, AgentSession)> {
        let said = |seat: &Entry| Some((seat.session, seat.agent_session.clone()?));
        let mut list: Vec<_> = self.lock().seats.values().filter_map(said).collect();
        list.sort();
        list
    }

    /// Tells every session.
    pub fn tell_all(&self, push: &Push) {
        self.tell(push, |_| true);
    }

    /// Passes on to every session what a shared server says unasked.
    pub fn notify(&self, notification: &Notification) {
        let message = notification.message();
        for entry in self.lock().seats.values() {
            entry.notifications.pass(notification, &message);
        }
    }

    /// Tells the sessions of one principal.
    pub fn tell_principal(&self, principal: &Principal, push: &Push) {
        self.tell(push, |entry| entry.principal == *principal);
    }

    /// Pushes the rules and grants to every subscribed session, in order with the other calls of this, and
    /// gives back the wait for their confirmations.
    pub fn spread(&self, standing: &Standing) -> Spreading {
        let push = FromDaemon::Push(Push::Standing(standing.clone()));
        let inner = self.lock();
        let waiting = inner
            .seats
            .values()
            .filter(|entry| entry.subscribed)
            .filter(|entry| deliver(entry, &push))
            .map(|entry| (entry.outbox.clone(), entry.follows.subscribe()))
            .collect();
        Spreading { epoch: standing.epoch, waiting }
    }

    fn tell(&self, push: &Push, whom: impl Fn(&Entry) -> bool) {
        let message = FromDaemon::Push(push.clone());
        for entry in self.lock().seats.values().filter(|entry| whom(entry)) {
            deliver(entry, &message);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it was queued. A session that can't take what it must not miss is closed.
fn deliver(entry: &Entry, message: &FromDaemon) -> bool {
    match entry.outbox.push(message) {
        Ok(()) => true,
        Err(SendError::Closed) => false,
        Err(error) => {
            entry.outbox.closing().close(format!("it could not be told of a change: {error}"));
            false
        }
    }
}

impl Seat {
    /// From now on this session is told of changes. Read the standing to answer with after this, so that no
    /// change falls between.
    pub fn subscribe(&self) {
        if let Some(entry) = self.sessions.lock().seats.get_mut(&self.number) {
            entry.subscribed = true;
        }
    }

    /// The session decides by this epoch.
    pub fn follows(&self, epoch: u64) {
        if let Some(entry) = self.sessions.lock().seats.get(&self.number) {
            entry.follows.send_modify(|follows| *follows = epoch.max(*follows));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.sessions.lock().seats.remove(&self.number);
    }
}

/// A change on its way.
#[must_use]
pub struct Spreading {
    epoch: u64,
    waiting: Vec<(Outbox, watch::Receiver<u64>)>,
}

impl Spreading {
    /// Returns once every session confirmed or lost its connection.
    pub async fn everywhere(self) {
        let epoch = self.epoch;
        join_all(self.waiting.into_iter().map(|(outbox, mut follows)| async move {
            let late = tokio::select! {
                // An error means that the session has left.
                _ = follows.wait_for(|follows| *follows >= epoch) => false,
                _ = outbox.closing().closed() => false,
                () = tokio::time::sleep(CONFIRM) => true,
            };
            if late {
                tracing::warn!(epoch, "a session did not confirm a change in time");
                outbox.closing().close("it did not confirm a change of rules or grants in time");
            }
        }))
        .await;
    }
}
