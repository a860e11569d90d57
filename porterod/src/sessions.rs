//! The connected sessions, and how a change reaches all of them before its command returns.
//!
//! A session that doesn't confirm a change of overrides in time loses its connection. Without it, only the
//! denies on disk apply there.

pub mod connections;
pub mod handover;
pub mod subscriptions;

mod notifications;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use portero::config::ServerInstance;
use portero::ipc::{FromDaemon, MessageSender, PushMessage, SendError};
use portero::names::{AgentSessionId, Principal, SessionId};
use portero::policy::Overrides;
use portero::sync::lock;
use portero::task::CallOrigin;
use tokio::sync::watch;

use notifications::NotificationQueue;
pub use notifications::ServerNotification;

use crate::sessions::handover::{HandoverTable, HeldChildren};
use crate::sessions::subscriptions::ResourceSubscriptions;

/// How long a session has to confirm a change.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

/// Which sessions use the same process of a server that the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InstanceScope {
    /// All of the user's.
    User,
    /// Those in this project directory.
    Project(PathBuf),
}

impl InstanceScope {
    /// Whether servers with this instance are reached in it.
    #[must_use]
    pub const fn is_of(&self, instance: ServerInstance) -> bool {
        matches!(
            (self, instance),
            (Self::User, ServerInstance::User) | (Self::Project(_), ServerInstance::Project)
        )
    }

    /// Whether a session in this directory is among them.
    fn has_directory(&self, directory: &Path) -> bool {
        match self {
            Self::User => true,
            Self::Project(project) => project == directory,
        }
    }
}

/// All connected sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    inner: Mutex<SeatTable>,
    /// Their subscriptions to resources of shared servers.
    pub subscriptions: ResourceSubscriptions,
    /// The approved calls that sessions were handed. Locked after `inner` where both are.
    handovers: Mutex<HandoverTable>,
    child_changes: watch::Sender<u64>,
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
    directory: PathBuf,
    outbox: MessageSender,
    notifications: NotificationQueue,
    subscribed: bool,
    followed_epoch: watch::Sender<u64>,
    /// None before it showed its key.
    held: Option<HeldChildren>,
}

/// A session's place in the table; dropping it removes the session.
#[derive(Debug)]
pub struct SessionSeat {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Sessions {
    /// Adds a session.
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
            directory: origin.directory.clone(),
            notifications: NotificationQueue::new(outbox.clone()),
            outbox,
            subscribed: false,
            followed_epoch: follows,
            held: None,
        };
        inner.seats.insert(number, entry);
        SessionSeat { sessions: Arc::clone(self), number }
    }

    /// The connected sessions with their principals.
    #[must_use]
    pub fn list_sessions(&self) -> Vec<(SessionId, Principal)> {
        let mut list: Vec<_> =
            self.lock_seats().seats.values().map(|seat| (seat.session, seat.principal.clone())).collect();
        list.sort_by_key(|(session, _)| *session);
        list
    }

    /// The agent program's own session id, for each session that stated one.
    #[must_use]
    pub fn agent_sessions(&self) -> Vec<(SessionId, AgentSessionId)> {
        let said = |seat: &ConnectedSession| Some((seat.session, seat.agent_session.clone()?));
        let mut list: Vec<_> = self.lock_seats().seats.values().filter_map(said).collect();
        list.sort();
        list
    }

    /// Pushes a message to every session.
    pub fn push_to_all(&self, push: &PushMessage) {
        self.push_where(push, |_| true);
    }

    /// Forwards a shared server's notification to the sessions of its scope.
    pub fn notify_scope(&self, scope: &InstanceScope, notification: &ServerNotification) {
        let message = notification.to_message();
        for entry in self.lock_seats().seats.values().filter(|seat| scope.has_directory(&seat.directory)) {
            entry.notifications.send_or_hold(notification, &message);
        }
    }

    /// Whether a session in this directory is connected.
    #[must_use]
    pub fn has_session_in(&self, directory: &Path) -> bool {
        self.lock_seats().seats.values().any(|seat| seat.directory == directory)
    }

    /// Pushes a message to the sessions of one principal.
    pub fn push_to_principal(&self, principal: &Principal, push: &PushMessage) {
        self.push_where(push, |entry| entry.principal == *principal);
    }

    /// Pushes the overrides to every subscribed session, and returns the wait for their confirmations.
    /// The push happens under the lock, so that two changes reach every session in the same order.
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

/// Queues a message, and returns whether that succeeded. A session whose queue is full is disconnected,
/// because it must not miss a change.
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
    /// Subscribes this session to changes of the overrides. Read the overrides for the response after this
    /// call, so that no change falls between the two.
    pub fn subscribe(&self) {
        if let Some(entry) = self.sessions.lock_seats().seats.get_mut(&self.number) {
            entry.subscribed = true;
        }
    }

    /// Notes that the session decides by this epoch.
    pub fn note_epoch(&self, epoch: u64) {
        if let Some(entry) = self.sessions.lock_seats().seats.get(&self.number) {
            entry.followed_epoch.send_modify(|follows| *follows = epoch.max(*follows));
        }
    }
}

impl Drop for SessionSeat {
    fn drop(&mut self) {
        let left = self.sessions.lock_seats().seats.remove(&self.number);
        lock(&self.sessions.handovers).forget_seat(self.number);
        if left.is_some_and(|seat| seat.held.is_some()) {
            self.sessions.note_child_change();
        }
    }
}

/// A change that sessions have not confirmed yet.
#[must_use]
pub struct OverridesSpread {
    epoch: u64,
    waiting: Vec<(MessageSender, watch::Receiver<u64>)>,
}

impl OverridesSpread {
    /// Returns once every session has confirmed or lost its connection.
    pub async fn wait_for_sessions(self) {
        let epoch = self.epoch;
        join_all(self.waiting.into_iter().map(|(outbox, mut follows)| async move {
            let late = tokio::select! {
                // An error means that the session left.
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
