//! Agents over HTTPS: for each of their sessions the session of [`portero::session`], in this process.
//!
//! A session belongs to its principal alone. Another principal's session is as unknown as one that never was (guarantee T3).

mod clients;
mod conversation;
mod event_stream;
mod principal;
mod reach;
mod router;
mod session_kind;
mod validity;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use portero::names::Principal;
use portero::sync::lock;
use portero::wire::Revision;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub use self::conversation::{Conversation, OpenResponse};
pub use self::event_stream::{EventStream, StreamEvent, StreamLimits, StreamReader};
pub use self::principal::PrincipalSessions;
pub use self::reach::ToolReach;
pub use self::router::{MAX_OPEN_REQUESTS, NotTaken, RequestKey};
pub use self::session_kind::SessionKind;
pub use self::validity::Validity;
use crate::daemon::Daemon;
use crate::sessions::InProcessSeat;

/// The bytes of a session's id, drawn at random.
const SESSION_ID_BYTES: usize = 24;
/// How often idle sessions are looked for.
const IDLE_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Who acts over HTTPS, as its credential proves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteAgent {
    /// Its name, such as that of its token. Two credentials with one name are one principal.
    pub name: String,
    /// What exists for it.
    pub reach: ToolReach,
}

impl RemoteAgent {
    /// The owner of its tasks.
    #[must_use]
    pub fn principal(&self) -> Principal {
        Principal::from_remote(&self.name)
    }

    /// The directory of its servers. Names that would be unsafe as one are replaced by their digest.
    fn directory(&self, root: &Path) -> PathBuf {
        let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        let is_safe = (1..=64).contains(&self.name.len()) && self.name.bytes().all(is_plain);
        match is_safe {
            true => root.join(&self.name),
            // The dot keeps it apart from every plain name.
            false => root.join(format!("principal.{}", &blake3::hash(self.name.as_bytes()).to_hex()[..32])),
        }
    }
}

/// One who asks: who acts, from where, and until when its credential counts.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who acts.
    pub agent: RemoteAgent,
    /// Where it asks from.
    pub address: IpAddr,
    /// How long its credential counts. What it began ends then.
    pub validity: Validity,
}

/// How a session begins.
#[derive(Debug, Clone)]
pub struct SessionStart {
    /// Whether it goes on.
    pub kind: SessionKind,
    /// The revision of its first request.
    pub revision: Revision,
    /// See [`portero::session::SessionDeps::param_headers`].
    pub param_headers: Option<HashMap<String, String>>,
}

/// The limits of sessions.
#[derive(Debug, Clone, Copy)]
pub struct SessionLimits {
    /// How long a session lasts without a request, an open stream or an open call.
    pub idle_timeout: Duration,
    /// The most sessions of one principal, requests without a session included.
    pub max_per_principal: usize,
    /// How much waits for a client that doesn't read, in each of its streams.
    pub streams: StreamLimits,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(30 * 60),
            max_per_principal: 2048,
            streams: StreamLimits::default(),
        }
    }
}

/// A principal has as many sessions as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} sessions of this principal are open and busy, and no more may be; end one with DELETE")]
pub struct TooManySessions(pub usize);

/// All sessions over HTTPS.
pub struct RemoteSessions {
    daemon: Arc<Daemon>,
    limits: SessionLimits,
    table: Mutex<Table>,
    /// For the tasks that wait for revocations.
    own: Weak<Self>,
}

#[derive(Default)]
struct Table {
    principals: Vec<KnownPrincipal>,
    sessions: HashMap<String, OpenSession>,
}

struct OpenSession {
    owner: Arc<PrincipalSessions>,
    conversation: Arc<Conversation>,
}

struct KnownPrincipal {
    agent: RemoteAgent,
    sessions: Arc<PrincipalSessions>,
    last_used: Instant,
    _seat: InProcessSeat,
}

impl RemoteSessions {
    /// No sessions yet.
    #[must_use]
    pub fn new(daemon: Arc<Daemon>, limits: SessionLimits) -> Arc<Self> {
        Arc::new_cyclic(|own| Self { daemon, limits, table: Mutex::default(), own: Weak::clone(own) })
    }

    /// The sessions of an agent. The same name with another reach has others, but the same tasks.
    pub fn principal(&self, caller: &Caller) -> Arc<PrincipalSessions> {
        let mut table = lock(&self.table);
        if let Some(known) = table.principals.iter_mut().find(|known| known.agent == caller.agent) {
            known.last_used = Instant::now();
            return Arc::clone(&known.sessions);
        }
        let (sessions, seat) = PrincipalSessions::new(&self.daemon, &caller.agent, self.limits);
        table.principals.push(KnownPrincipal {
            agent: caller.agent.clone(),
            sessions: Arc::clone(&sessions),
            last_used: Instant::now(),
            _seat: seat,
        });
        sessions
    }

    /// Ends a session when the credential that it goes by has ended.
    fn end_with_credential(&self, conversation: &Arc<Conversation>, id: Option<String>) {
        let mut credential = conversation.subscribe_credential();
        let (all, session) = (Weak::clone(&self.own), Arc::downgrade(conversation));
        let (clock, stop) = (Arc::clone(&self.daemon.clock), self.daemon.lifecycle.stop_signal().clone());
        self.daemon.lifecycle.spawn(async move {
            loop {
                let ended = credential.borrow_and_update().clone().wait_for_end(clock.now().wall);
                tokio::select! {
                    () = ended => break,
                    // An error means that the session is gone.
                    changed = credential.changed() => if changed.is_err() { return },
                    () = stop.cancelled() => return,
                }
            }
            let removed = all.upgrade().zip(id).and_then(|(all, id)| lock(&all.table).sessions.remove(&id));
            // After the lock: its end locks other tables.
            if let Some(session) = session.upgrade() {
                session.end();
            }
            drop(removed);
        });
    }

    /// Opens a session that lasts, and returns it with its id. At the limit the one that is idle for longest ends.
    ///
    /// # Errors
    /// When all sessions of the principal are busy.
    pub fn open_session(
        &self,
        caller: &Caller,
        revision: Revision,
    ) -> Result<(String, Arc<Conversation>), TooManySessions> {
        let principal = self.principal(caller);
        if principal.count_open() >= self.limits.max_per_principal {
            self.end_longest_idle(&principal);
        }
        let start = SessionStart { kind: SessionKind::Lasting, revision, param_headers: None };
        let conversation = Arc::new(principal.open(caller, start)?);
        let id = fresh_session_id();
        let open = OpenSession { owner: principal, conversation: Arc::clone(&conversation) };
        lock(&self.table).sessions.insert(id.clone(), open);
        self.end_with_credential(&conversation, Some(id.clone()));
        Ok((id, conversation))
    }

    /// Opens a session for one request. It ends when it is dropped.
    ///
    /// # Errors
    /// When all sessions of the principal are busy.
    pub fn open_for_request(
        &self,
        caller: &Caller,
        start: SessionStart,
    ) -> Result<Arc<Conversation>, TooManySessions> {
        let principal = self.principal(caller);
        if principal.count_open() >= self.limits.max_per_principal {
            self.end_longest_idle(&principal);
        }
        let conversation = Arc::new(principal.open(caller, start)?);
        self.end_with_credential(&conversation, None);
        Ok(conversation)
    }

    /// The session with this id, if it is this agent's. It then goes by the caller's credential too: a client that
    /// renews its token keeps its session.
    #[must_use]
    pub fn find_session(&self, caller: &Caller, id: &str) -> Option<Arc<Conversation>> {
        let own = self.principal(caller);
        let table = lock(&self.table);
        let found = table.sessions.get(id).filter(|found| Arc::ptr_eq(&found.owner, &own))?;
        let is_valid = found.conversation.take_credential(&caller.validity, self.daemon.clock.now().wall);
        is_valid.then(|| Arc::clone(&found.conversation))
    }

    /// Ends a session of this agent. Returns false if it has none with this id.
    pub fn end_session(&self, caller: &Caller, id: &str) -> bool {
        let Some(found) = self.find_session(caller, id) else { return false };
        lock(&self.table).sessions.remove(id);
        found.end();
        true
    }

    /// Ends the sessions that are idle for too long at this time, or whose credential has ended while the machine slept,
    /// and forgets principals without any.
    pub fn end_idle(&self, now: Instant) {
        let mut table = lock(&self.table);
        let (timeout, wall) = (self.limits.idle_timeout, self.daemon.clock.now().wall);
        let is_over = |OpenSession { conversation, .. }: &OpenSession| {
            conversation.idle_time(now).is_some_and(|idle| idle >= timeout)
                || conversation.is_credential_over(wall)
        };
        let idle: Vec<_> = table.sessions.extract_if(|_, open| is_over(open)).collect();
        let is_unused = |known: &KnownPrincipal| {
            known.sessions.count_open() == 0 && now.saturating_duration_since(known.last_used) >= timeout
        };
        let unused: Vec<_> = table.principals.extract_if(.., |known| is_unused(known)).collect();
        drop(table);
        // Their ends lock other tables.
        idle.iter().for_each(|(_, open)| open.conversation.end());
        drop(unused);
    }

    fn end_longest_idle(&self, principal: &Arc<PrincipalSessions>) {
        let now = Instant::now();
        let mut table = lock(&self.table);
        let of_it = table.sessions.iter().filter(|(_, open)| Arc::ptr_eq(&open.owner, principal));
        let idle = of_it.filter_map(|(id, open)| Some((open.conversation.idle_time(now)?, id.clone())));
        let longest = idle.max().and_then(|(_, id)| table.sessions.remove(&id));
        drop(table);
        if let Some(longest) = longest {
            longest.conversation.end();
        }
    }

    /// Ends idle sessions from time to time, and all of them at the end.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(IDLE_CHECK_INTERVAL) => self.end_idle(Instant::now()),
            }
        }
        self.close();
    }

    /// Ends all sessions.
    pub fn close(&self) {
        let closed = {
            let mut table = lock(&self.table);
            (std::mem::take(&mut table.sessions), std::mem::take(&mut table.principals))
        };
        closed.0.values().for_each(|open| open.conversation.end());
    }
}

/// An id that no one can guess: 192 random bits as visible ASCII (2025-11-25, Streamable HTTP, "Session Management").
fn fresh_session_id() -> String {
    BASE64URL_NOPAD.encode(&rand::random::<[u8; SESSION_ID_BYTES]>())
}
