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
use tokio_util::sync::{CancellationToken, DropGuard};

pub use self::conversation::{Conversation, OpenResponse};
pub use self::event_stream::{EventStream, StreamEvent, StreamReader};
pub use self::principal::PrincipalSessions;
pub use self::reach::ToolReach;
pub use self::router::{MAX_OPEN_REQUESTS, NotTaken, RequestKey};
pub use self::session_kind::SessionKind;
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
    /// Cancelled when its credential is revoked, which ends its sessions.
    pub revoked: Option<CancellationToken>,
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
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { idle_timeout: Duration::from_secs(30 * 60), max_per_principal: 2048 }
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
    revoked: Option<CancellationToken>,
    _seat: InProcessSeat,
    /// Ends the wait for the revocation.
    _forgotten: DropGuard,
}

impl KnownPrincipal {
    fn is_revoked(&self) -> bool {
        self.revoked.as_ref().is_some_and(CancellationToken::is_cancelled)
    }
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
        // The sessions of a revoked token end by themselves; another token of that name has others.
        let is_same = |known: &&mut KnownPrincipal| known.agent == caller.agent && !known.is_revoked();
        if let Some(known) = table.principals.iter_mut().find(is_same) {
            known.last_used = Instant::now();
            return Arc::clone(&known.sessions);
        }
        let (sessions, seat) = PrincipalSessions::new(&self.daemon, &caller.agent, self.limits);
        let forgotten = CancellationToken::new();
        if let Some(revoked) = caller.revoked.clone() {
            self.end_when_revoked(&sessions, revoked, forgotten.clone());
        }
        table.principals.push(KnownPrincipal {
            agent: caller.agent.clone(),
            sessions: Arc::clone(&sessions),
            last_used: Instant::now(),
            revoked: caller.revoked.clone(),
            _seat: seat,
            _forgotten: forgotten.drop_guard(),
        });
        sessions
    }

    fn end_when_revoked(
        &self,
        sessions: &Arc<PrincipalSessions>,
        revoked: CancellationToken,
        forgotten: CancellationToken,
    ) {
        let (all, of, stop) =
            (Weak::clone(&self.own), Arc::downgrade(sessions), self.daemon.lifecycle.stop_signal().clone());
        self.daemon.lifecycle.spawn(async move {
            tokio::select! {
                () = revoked.cancelled() => {}
                () = forgotten.cancelled() => return,
                () = stop.cancelled() => return,
            }
            if let (Some(all), Some(of)) = (all.upgrade(), of.upgrade()) {
                all.end_principal(&of);
            }
        });
    }

    /// Ends all sessions of a principal, and its requests without one, and forgets it.
    fn end_principal(&self, principal: &Arc<PrincipalSessions>) {
        let mut table = lock(&self.table);
        let is_its = |open: &OpenSession| Arc::ptr_eq(&open.owner, principal);
        let ended: Vec<_> = table.sessions.extract_if(|_, open| is_its(open)).collect();
        let is_it = |known: &mut KnownPrincipal| Arc::ptr_eq(&known.sessions, principal);
        let forgotten: Vec<_> = table.principals.extract_if(.., is_it).collect();
        drop(table);
        // Their ends lock other tables.
        ended.iter().for_each(|(_, open)| open.conversation.end());
        principal.end_all();
        drop(forgotten);
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
        let conversation = Arc::new(principal.open(caller.address, start)?);
        let id = fresh_session_id();
        let open = OpenSession { owner: principal, conversation: Arc::clone(&conversation) };
        lock(&self.table).sessions.insert(id.clone(), open);
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
        principal.open(caller.address, start).map(Arc::new)
    }

    /// The session with this id, if it is this agent's.
    #[must_use]
    pub fn find_session(&self, caller: &Caller, id: &str) -> Option<Arc<Conversation>> {
        let own = self.principal(caller);
        let table = lock(&self.table);
        let found = table.sessions.get(id).filter(|found| Arc::ptr_eq(&found.owner, &own))?;
        Some(Arc::clone(&found.conversation))
    }

    /// Ends a session of this agent. Returns false if it has none with this id.
    pub fn end_session(&self, caller: &Caller, id: &str) -> bool {
        let Some(found) = self.find_session(caller, id) else { return false };
        lock(&self.table).sessions.remove(id);
        found.end();
        true
    }

    /// Ends the sessions that are idle for too long at this time, and forgets principals without any.
    pub fn end_idle(&self, now: Instant) {
        let mut table = lock(&self.table);
        let timeout = self.limits.idle_timeout;
        let is_idle =
            |open: &OpenSession| open.conversation.idle_time(now).is_some_and(|idle| idle >= timeout);
        let idle: Vec<_> = table.sessions.extract_if(|_, open| is_idle(open)).collect();
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
