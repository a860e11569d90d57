//! The state behind the lists: which servers are being asked, which tools were used recently, and which lists
//! the client has.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::lists::ClientList;
use crate::anonymize::Fake;
use crate::json::RawJson;
use crate::names::{ServerName, ToolId};

/// The servers whose listings are being fetched.
#[derive(Debug, Default)]
pub(super) struct ListingRequests(Mutex<ListingRequestState>);

#[derive(Debug, Default)]
struct ListingRequestState {
    running: HashSet<ServerName>,
    /// Those that failed and will be asked again automatically.
    retrying: HashSet<ServerName>,
    /// When each was last asked.
    last_tried: HashMap<ServerName, Instant>,
    /// When lists stop waiting; set by the first list.
    wait_until: Option<Instant>,
}

/// Hashes of the lists that the client was last given.
#[derive(Debug, Default)]
pub(super) struct ReportedLists(Mutex<HashMap<ClientList, u64>>);

/// The tools that were used recently. They are listed beside the pinned ones.
#[derive(Debug, Default)]
pub(super) struct RecentTools(Mutex<VecDeque<ToolId>>);

/// How long a failed server isn't asked again by lists.
const FAILED_SERVER_COOLDOWN: Duration = Duration::from_secs(15);
/// How many tools count as recently used.
const MAX_RECENT_TOOLS: usize = 20;

impl ListingRequests {
    /// Registers that a server is being asked. Returns false if it already is, or was asked recently.
    pub(super) fn try_start(&self, server: &ServerName) -> bool {
        let mut state = self.lock_state();
        let lately = state.last_tried.get(server).is_some_and(|at| at.elapsed() < FAILED_SERVER_COOLDOWN);
        if lately || !state.running.insert(server.clone()) {
            return false;
        }
        state.last_tried.insert(server.clone(), Instant::now());
        true
    }

    /// Registers that a server answered or failed.
    pub(super) fn finish(&self, server: &ServerName) {
        self.lock_state().running.remove(server);
    }

    /// Registers automatic retries for a server. Returns false if they run already.
    pub(super) fn begin_retry(&self, server: &ServerName) -> bool {
        self.lock_state().retrying.insert(server.clone())
    }

    /// Registers that the retries ended.
    pub(super) fn end_retry(&self, server: &ServerName) {
        self.lock_state().retrying.remove(server);
    }

    /// Whether any of these is being asked.
    pub(super) fn is_any_running(&self, servers: &[ServerName]) -> bool {
        let state = self.lock_state();
        servers.iter().any(|server| state.running.contains(server))
    }

    /// When lists stop waiting. The first list sets it for all, so a server that never answers delays only one
    /// list.
    pub(super) fn wait_deadline(&self, wait: Duration) -> Instant {
        *self.lock_state().wait_until.get_or_insert_with(|| Instant::now() + wait)
    }

    /// Starts over after a change of the configuration.
    pub(super) fn reset(&self) {
        let mut state = self.lock_state();
        state.last_tried.clear();
        state.wait_until = None;
    }

    fn lock_state(&self) -> MutexGuard<'_, ListingRequestState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReportedLists {
    /// Records a list that the client is given. Returns true if it differs from the last one.
    pub(super) fn record_list(&self, which: ClientList, list: &Fake<RawJson>) -> bool {
        let mut hasher = DefaultHasher::new();
        list.get().get().hash(&mut hasher);
        let hash = hasher.finish();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(which, hash) != Some(hash)
    }

    /// Marks all lists as outdated: the client may hold lists that this session knows nothing of.
    pub(super) fn invalidate_all(&self) {
        // Hash 0 differs from that of any list, except for a chance of 2^−64 that costs one notification.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.extend(ClientList::ALL.map(|which| (which, 0)));
    }

    /// Whether the client was given this list.
    pub(super) fn contains(&self, which: ClientList) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&which)
    }
}

impl RecentTools {
    /// Records a tool's use and forgets the least recently used one if there are too many. Returns true if the
    /// tool wasn't among the recent ones.
    pub(super) fn record_use(&self, tool: &ToolId) -> bool {
        let mut tools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = tools.iter().position(|recent| recent == tool) {
            // It moves to the end, so that a tool in constant use never drops out.
            tools.remove(at);
            tools.push_back(tool.clone());
            return false;
        }
        if tools.len() == MAX_RECENT_TOOLS {
            tools.pop_front();
        }
        tools.push_back(tool.clone());
        true
    }

    /// The recently used tools.
    pub(super) fn tools(&self) -> HashSet<ToolId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
