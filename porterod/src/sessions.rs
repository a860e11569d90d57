//! The sessions that are connected, and how a change reaches all of them before its command returns.
//!
//! A session that does not confirm a change of rules or grants in time loses its connection, and with it
//! everything but the denies on disk.

pub mod connections;
pub mod subscriptions;

mod notifications;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use portero::ipc::{FromDaemon, MessageSender, PushMessage, SendError};
use portero::names::{AgentSessionId, Principal, SessionId};
use portero::policy::Overrides;
use portero::sync::lock;
use portero::task::CallOrigin;
use tokio::sync::watch;

use notifications::NotificationQueue;
pub use notifications::ServerNotification;

use crate::sessions::subscriptions::ResourceSubscriptions;

/// How long a session has to confirm a change.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

/// Every connected session.
#[derive(Debug, Default)]
pub struct Sessions {
    inner: Mutex<SeatTable>,
    /// What they are subscribed to of shared servers.
    pub subscriptions: ResourceSubscriptions,
}

#[derive(Debug, Default)]
struct SeatTable {
    next: u64,
    seats: HashMap<u64, ConnectedSession>,
}

#[derive(Debug)]
struct ConnectedSession {
    session: SessionId,
    agent_session: Option<AgentSessionId>,
    principal: Principal,
    outbox: MessageSender,
    notifications: NotificationQueue,
    subscribed: bool,
    followed_epoch: watch::Sender<u64>,
}

/// One session's place; dropping it leaves.
#[derive(Debug)]
pub struct SessionSeat {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Sessions {
    /// Takes a session in.
    #[must_use]
    pub fn join_session(self: &Arc<Self>, origin: &CallOrigin, outbox: MessageSender) -> SessionSeat {
        let mut inner = self.lock_seats();
        inner.next += 1;
        let number = inner.next;
        let (follows, _) = watch::channel(0);
        let entry = ConnectedSession {
            session: origin.session,
            agent_session: origin.agent_session.clone(),
            principal: origin.principal.clone(),
            notifications: NotificationQueue::new(outbox.clone()),
            outbox,
            subscribed: false,
            followed_epoch: follows,
        };
        inner.seats.insert(number, entry);
        SessionSeat { sessions: Arc::clone(self), number }
    }

    /// Who is connected.
    #[must_use]
    pub fn list_sessions(&self) -> Vec<(SessionId, Principal)> {
        let mut list: Vec<_> =
            self.lock_seats().seats.values().map(|seat| (seat.session, seat.principal.clone())).collect();
        list.sort_by_key(|(session, _)| *session);
        list
    }

    /// The session of its agent's program, for each that says one.
    #[must_use]
    pub fn agent_sessions(&self) -> Vec<(SessionId, AgentSessionId)> {
        let said = |seat: &ConnectedSession| Some((seat.session, seat.agent_session.clone()?));
        let mut list: Vec<_> = self.lock_seats().seats.values().filter_map(said).collect();
        list.sort();
        list
    }

    /// Tells every session.
    pub fn push_to_all(&self, push: &PushMessage) {
        self.push_where(push, |_| true);
    }

    /// Passes on to every session what a shared server says unasked.
    pub fn notify_all(&self, notification: &ServerNotification) {
        let message = notification.to_message();
        for entry in self.lock_seats().seats.values() {
            entry.notifications.send_or_hold(notification, &message);
        }
    }

    /// Tells the sessions of one principal.
    pub fn push_to_principal(&self, principal: &Principal, push: &PushMessage) {
        self.push_where(push, |entry| entry.principal == *principal);
    }

    /// Pushes the rules and grants to every subscribed session, in order with the other calls of this, and
    /// gives back the wait for their confirmations.
    pub fn spread_overrides(&self, standing: &Overrides) -> OverridesSpread {
        let push = FromDaemon::Push(PushMessage::Standing(standing.clone()));
        let inner = self.lock_seats();
        let waiting = inner
            .seats
            .values()
            .filter(|entry| entry.subscribed)
            .filter(|entry| deliver_push(entry, &push))
            .map(|entry| (entry.outbox.clone(), entry.followed_epoch.subscribe()))
            .collect();
        OverridesSpread { epoch: standing.epoch, waiting }
    }

    fn push_where(&self, push: &PushMessage, whom: impl Fn(&ConnectedSession) -> bool) {
        let message = FromDaemon::Push(push.clone());
        for entry in self.lock_seats().seats.values().filter(|entry| whom(entry)) {
            deliver_push(entry, &message);
        }
    }

    fn lock_seats(&self) -> MutexGuard<'_, SeatTable> {
        lock(&self.inner)
    }
}

/// Whether it was queued. A session that can't take what it must not miss is closed.
fn deliver_push(entry: &ConnectedSession, message: &FromDaemon) -> bool {
    match entry.outbox.try_send(message) {
        Ok(()) => true,
        Err(SendError::Closed) => false,
        Err(error) => {
            entry.outbox.connection_end().close(format!("it could not be told of a change: {error}"));
            false
        }
    }
}

impl SessionSeat {
    /// From now on this session is told of changes. Read the standing to answer with after this, so that no
    /// change falls between.
    pub fn subscribe(&self) {
        if let Some(entry) = self.sessions.lock_seats().seats.get_mut(&self.number) {
            entry.subscribed = true;
        }
    }

    /// The session decides by this epoch.
    pub fn note_epoch(&self, epoch: u64) {
        if let Some(entry) = self.sessions.lock_seats().seats.get(&self.number) {
            entry.followed_epoch.send_modify(|follows| *follows = epoch.max(*follows));
        }
    }
}

impl Drop for SessionSeat {
    fn drop(&mut self) {
        self.sessions.lock_seats().seats.remove(&self.number);
    }
}

/// A change on its way.
#[must_use]
pub struct OverridesSpread {
    epoch: u64,
    waiting: Vec<(MessageSender, watch::Receiver<u64>)>,
}

impl OverridesSpread {
    /// Returns once every session confirmed or lost its connection.
    pub async fn wait_for_sessions(self) {
        let epoch = self.epoch;
        join_all(self.waiting.into_iter().map(|(outbox, mut follows)| async move {
            let late = tokio::select! {
                // An error means that the session has left.
                _ = follows.wait_for(|follows| *follows >= epoch) => false,
                _ = outbox.connection_end().wait_until_closed() => false,
                () = tokio::time::sleep(CONFIRM_TIMEOUT) => true,
            };
            if late {
                tracing::warn!(epoch, "a session did not confirm a change in time");
                outbox.connection_end().close("it did not confirm a change of rules or grants in time");
            }
        }))
        .await;
    }
}
