//! The connected sessions, and how a change reaches all of them before its command returns.
//!
//! A session that doesn't confirm a change of overrides in time loses its connection. Without it, only the
//! denies on disk apply there.

pub mod connections;
pub mod handover;
pub mod subscriptions;

mod notifications;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::join_all;
use portero::config::ServerInstance;
use portero::ipc::{FromDaemon, HttpsClient, MessageSender, PushMessage, SendError};
use portero::names::{AgentSessionId, Principal, SessionId};
use portero::policy::Overrides;
use portero::sync::lock;
use portero::task::CallOrigin;
use tokio::sync::watch;

use notifications::NotificationQueue;
pub use notifications::ServerNotification;

use crate::sessions::handover::{HandoverTable, HeldChildren};
use crate::sessions::subscriptions::ResourceSubscriptions;

/// How many clients over HTTPS the status lists.
const MAX_LISTED_CLIENTS: usize = 100;
/// How long a session has to confirm a change.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

/// Which sessions use the same process of a server that the daemon runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum InstanceScope {
    /// All of the user's.
    User,
    /// Those in this project directory.
    Project(PathBuf),
    /// Those of the principal over HTTPS that has this directory. They share the servers that other sessions start
    /// themselves, too.
    Remote(PathBuf),
}

impl InstanceScope {
    /// Whether servers with this instance are reached in it.
    #[must_use]
    pub const fn is_of(&self, instance: ServerInstance) -> bool {
        matches!(
            (self, instance),
            (Self::User, ServerInstance::User)
                | (Self::Project(_), ServerInstance::Project)
                | (Self::Remote(_), ServerInstance::Project | ServerInstance::Session)
        )
    }

    /// Whether a session in this directory is among them.
    fn has_directory(&self, directory: &Path) -> bool {
        match self {
            Self::User => true,
            Self::Project(project) | Self::Remote(project) => project == directory,
        }
    }
}

/// All connected sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    inner: Mutex<SeatTable>,
    /// Their subscriptions to resources of shared servers.
    pub subscriptions: ResourceSubscriptions,
    in_process: Mutex<InProcessTable>,
    /// The approved calls that sessions were handed. Locked after `inner` where both are.
    handovers: Mutex<HandoverTable>,
    child_changes: watch::Sender<u64>,
}

/// Sessions that this process runs itself, all of one principal.
pub trait InProcessSessions: Send + Sync {
    /// The origin of their calls.
    fn origin(&self) -> &CallOrigin;

    /// Takes what other sessions get over their connections. A change of overrides already applies, because they decide by
    /// the daemon's own policy. Must not block.
    fn take_push(&self, push: &PushMessage);

    /// The clients behind them.
    fn list_clients(&self) -> Vec<HttpsClient>;
}

#[derive(Default)]
struct InProcessTable {
    next: u64,
    sessions: BTreeMap<u64, Arc<dyn InProcessSessions>>,
}

impl std::fmt::Debug for InProcessTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InProcessTable").field("sessions", &self.sessions.len()).finish()
    }
}

/// The place of [`InProcessSessions`] in the table; dropping it removes them.
#[derive(Debug)]
pub struct InProcessSeat {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Drop for InProcessSeat {
    fn drop(&mut self) {
        lock(&self.sessions.in_process).sessions.remove(&self.number);
    }
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

    /// Adds sessions of this process.
    #[must_use]
    pub fn join_in_process(self: &Arc<Self>, sessions: Arc<dyn InProcessSessions>) -> InProcessSeat {
        let mut table = lock(&self.in_process);
        table.next += 1;
        let number = table.next;
        table.sessions.insert(number, sessions);
        InProcessSeat { sessions: Arc::clone(self), number }
    }

    /// The sessions of this process that `whom` selects. The table isn't locked while they are told, because they may ask
    /// back.
    fn in_process_where(&self, whom: impl Fn(&CallOrigin) -> bool) -> Vec<Arc<dyn InProcessSessions>> {
        lock(&self.in_process).sessions.values().filter(|one| whom(one.origin())).cloned().collect()
    }

    /// The connected sessions with their principals.
    #[must_use]
    pub fn list_sessions(&self) -> Vec<(SessionId, Principal)> {
        let mut list: Vec<_> =
            self.lock_seats().seats.values().map(|seat| (seat.session, seat.principal.clone())).collect();
        list.extend(self.in_process_where(|_| true).iter().map(|one| {
            let origin = one.origin();
            (origin.session, origin.principal.clone())
        }));
        list.sort_by_key(|(session, _)| *session);
        list
    }

    /// The clients over HTTPS, by principal, address and name, as many as a person would read; and how many more.
    #[must_use]
    pub fn list_https_clients(&self) -> (Vec<HttpsClient>, usize) {
        let mut list: Vec<_> =
            self.in_process_where(|_| true).iter().flat_map(|sessions| sessions.list_clients()).collect();
        list.sort_by(|a, b| {
            (a.principal.as_str(), a.address, &a.client).cmp(&(b.principal.as_str(), b.address, &b.client))
        });
        let omitted = list.len().saturating_sub(MAX_LISTED_CLIENTS);
        list.truncate(MAX_LISTED_CLIENTS);
        (list, omitted)
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
        self.in_process_where(|_| true).iter().for_each(|one| one.take_push(push));
    }

    /// Forwards a shared server's notification to the sessions of its scope.
    pub fn notify_scope(&self, scope: &InstanceScope, notification: &ServerNotification) {
        let message = notification.to_message();
        for entry in self.lock_seats().seats.values().filter(|seat| scope.has_directory(&seat.directory)) {
            entry.notifications.send_or_hold(notification, &message);
        }
        if let FromDaemon::Push(push) = &message {
            let in_scope = self.in_process_where(|origin| scope.has_directory(&origin.directory));
            in_scope.iter().for_each(|one| one.take_push(push));
        }
    }

    /// Whether a session in this directory is connected.
    #[must_use]
    pub fn has_session_in(&self, directory: &Path) -> bool {
        self.lock_seats().seats.values().any(|seat| seat.directory == directory)
            || !self.in_process_where(|origin| origin.directory == directory).is_empty()
    }

    /// Pushes a message to the sessions of one principal.
    pub fn push_to_principal(&self, principal: &Principal, push: &PushMessage) {
        self.push_where(push, |entry| entry.principal == *principal);
        let of_it = self.in_process_where(|origin| origin.principal == *principal);
        of_it.iter().for_each(|one| one.take_push(push));
    }

    /// Pushes the overrides to every subscribed session, and returns the wait for their confirmations.
    /// The push happens under the lock, so that two changes reach every session in the same order.
    pub fn spread_overrides(&self, standing: &Overrides) -> OverridesSpread {
        let push = PushMessage::Standing(standing.clone());
        self.in_process_where(|_| true).iter().for_each(|one| one.take_push(&push));
        let push = FromDaemon::Push(push);
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
