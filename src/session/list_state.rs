//! The state behind the lists: which servers are being asked, which tools were used of late, and which lists the
//! client has.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::lists::ClientList;
use crate::anonymize::Fake;
use crate::json::RawJson;
use crate::names::{ServerName, ToolId};

/// Which servers are being asked what they offer.
#[derive(Debug, Default)]
pub(super) struct ListingRequests(Mutex<ListingRequestState>);

#[derive(Debug, Default)]
struct ListingRequestState {
    running: HashSet<ServerName>,
    /// Those that failed and are asked again by themselves.
    retrying: HashSet<ServerName>,
    /// When each was last asked.
    last_tried: HashMap<ServerName, Instant>,
    /// Until when lists wait; set by the first.
    wait_until: Option<Instant>,
}

/// The lists that the client was last given, as hashes.
#[derive(Debug, Default)]
pub(super) struct ReportedLists(Mutex<HashMap<ClientList, u64>>);

/// The tools that were used of late; beside the pinned ones they stand in the list.
#[derive(Debug, Default)]
pub(super) struct RecentTools(Mutex<VecDeque<ToolId>>);

/// How long a server that failed is left alone.
const FAILED_SERVER_COOLDOWN: Duration = Duration::from_secs(15);
/// How many tools count as used of late.
const MAX_RECENT_TOOLS: usize = 20;

impl ListingRequests {
    /// Notes that a server is being asked; false when it is already, or failed lately.
    pub(super) fn try_start(&self, server: &ServerName) -> bool {
        let mut state = self.lock_state();
        let lately = state.last_tried.get(server).is_some_and(|at| at.elapsed() < FAILED_SERVER_COOLDOWN);
        if lately || !state.running.insert(server.clone()) {
            return false;
        }
        state.last_tried.insert(server.clone(), Instant::now());
        true
    }

    /// Notes that a server answered or failed.
    pub(super) fn finish(&self, server: &ServerName) {
        self.lock_state().running.remove(server);
    }

    /// Notes that a server is asked again by itself; false when it is already.
    pub(super) fn begin_retry(&self, server: &ServerName) -> bool {
        self.lock_state().retrying.insert(server.clone())
    }

    /// Notes that it isn't any more.
    pub(super) fn end_retry(&self, server: &ServerName) {
        self.lock_state().retrying.remove(server);
    }

    /// Whether any of these is being asked.
    pub(super) fn is_any_running(&self, servers: &[ServerName]) -> bool {
        let state = self.lock_state();
        servers.iter().any(|server| state.running.contains(server))
    }

    /// Until when lists wait. The first list sets it for all, so that a server that never answers delays only that
    /// one.
    pub(super) fn wait_deadline(&self, wait: Duration) -> Instant {
        *self.lock_state().wait_until.get_or_insert_with(|| Instant::now() + wait)
    }

    /// Starts anew, since the configuration changed.
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
    /// Notes what the client is told; true when that differs from the last time.
    pub(super) fn record_list(&self, which: ClientList, list: &Fake<RawJson>) -> bool {
        let mut hasher = DefaultHasher::new();
        list.get().get().hash(&mut hasher);
        let hash = hasher.finish();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(which, hash) != Some(hash)
    }

    /// The client may hold lists of which nothing is known any more.
    pub(super) fn invalidate_all(&self) {
        // Hash 0 differs from that of any list, but for a chance in 2^64 that costs one notification.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.extend(ClientList::ALL.map(|which| (which, 0)));
    }

    /// Whether the client was given this list.
    pub(super) fn contains(&self, which: ClientList) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&which)
    }
}

impl RecentTools {
    /// Notes that a tool was used, and forgets the one whose last use is the longest ago where there are too
    /// many; true when it was not among the recent ones.
    pub(super) fn record_use(&self, tool: &ToolId) -> bool {
        let mut tools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = tools.iter().position(|recent| recent == tool) {
            // Its place is the last one again: a tool in constant use must not fall out of the list.
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

    /// The recent ones.
    pub(super) fn tools(&self) -> HashSet<ToolId> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}
