//! The lists: what all servers offer together, as this agent may see it.
//!
//! A server whose offer is cached is listed at once and asked in the background; one without is waited for,
//! but only the first list waits, and never longer than the limit: who comes later is told as a change.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;

use super::own_tools;
use super::request::{Request, object};
use super::state::Shared;
use crate::anonymize::{Fake, Leak, Real};
use crate::catalog::View;
use crate::json::{self, RawJson};
use crate::names::ServerName;
use crate::wire::codes;

/// Which list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Listed {
    Tools,
    Resources,
    Templates,
    Prompts,
}

/// Which servers are being asked what they offer.
#[derive(Debug, Default)]
pub(super) struct Gathering(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    running: HashSet<ServerName>,
    /// Those that failed and are asked again by themselves.
    retrying: HashSet<ServerName>,
    /// When each was last asked.
    tried: HashMap<ServerName, Instant>,
    /// Until when lists wait; set by the first.
    until: Option<Instant>,
}

/// What the client was last told, as hashes of the lists.
#[derive(Debug, Default)]
pub(super) struct Told(Mutex<HashMap<Listed, u64>>);

/// How long a server whose offer is cached is left asleep, so that its start does not slow the first answers.
const SLEEP: Duration = Duration::from_millis(200);
/// How long a server that failed is left alone.
const PAUSE: Duration = Duration::from_secs(15);
/// How soon a server that failed is asked again by itself, and how often at last: one whose program is missing
/// must not cost much.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(1);
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(5 * 60);

impl Listed {
    pub(super) const ALL: [Self; 4] = [Self::Tools, Self::Resources, Self::Templates, Self::Prompts];

    const fn key(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }
}

impl Shared {
    /// `tools/list`, `resources/list`, `resources/templates/list`, `prompts/list`: one page.
    pub(super) async fn list(self: Arc<Self>, request: Request, which: Listed, params: Option<RawJson>) {
        let cursor = object(params.as_deref()).get("cursor").map(RawValue::get);
        if cursor.is_some_and(|cursor| cursor != "null") {
            request.fixed_error(codes::INVALID_PARAMS, "this cursor is unknown: the list has one page");
            return;
        }
        tokio::select! {
            () = self.gather() => {}
            () = request.cancel().cancelled() => return,
        }
        match self.compose(which) {
            Ok(list) => {
                self.told.note(which, &list);
                request.list(&list);
            }
            Err(Leak) => request.withheld(),
        }
    }

    /// Waits until the offers of all servers are known, as long as the limit says.
    pub(super) async fn gather(self: &Arc<Self>) {
        let mut settled = self.pipeline.offers.watch();
        self.start_all();
        let until = self.gathering.until(self.limits.list_wait);
        while self.gathering.runs_any(&self.pipeline.catalog.missing()) {
            tokio::select! {
                changed = settled.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// Starts asking every server of which nothing is known; those that failed lately are left alone.
    pub(super) fn start_missing(self: &Arc<Self>) {
        let catalog = &self.pipeline.catalog;
        for server in catalog.servers() {
            if !catalog.known(&server) {
                self.start(server);
            }
        }
    }

    /// Starts asking every server that did not say in this process what it offers.
    pub(super) fn start_all(self: &Arc<Self>) {
        for server in self.pipeline.catalog.servers() {
            if !self.pipeline.offers.is_fresh(&server) {
                self.start(server);
            }
        }
    }

    fn start(self: &Arc<Self>, server: ServerName) {
        if !self.gathering.begin(&server) {
            return;
        }
        let shared = Arc::clone(self);
        let is_cached = shared.pipeline.catalog.known(&server);
        self.spawn(async move {
            if is_cached {
                tokio::time::sleep(SLEEP).await;
            }
            let fetched = shared.pipeline.fetch(&server).await;
            shared.gathering.end(&server);
            if fetched.is_err() {
                shared.retry(&server).await;
            }
        });
    }

    /// Asks a server again that failed to say what it offers, at growing intervals, until it does or is no
    /// longer configured. The client is told of what changes.
    pub(super) async fn retry(&self, server: &ServerName) {
        if !self.gathering.begin_retry(server) {
            return;
        }
        let mut interval = MIN_RETRY_INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            let is_configured = self.pipeline.catalog.servers().contains(server);
            // A call may have asked it meanwhile.
            if !is_configured || self.pipeline.offers.is_fresh(server) {
                break;
            }
            if self.pipeline.fetch(server).await.is_ok() {
                break;
            }
            interval = (interval * 2).min(MAX_RETRY_INTERVAL);
        }
        self.gathering.end_retry(server);
    }

    /// One list as the client gets it, concealed.
    pub(super) fn compose(&self, which: Listed) -> Result<Fake<RawJson>, Leak> {
        self.pipeline.desk.before_decision();
        let action = |tool: &_| self.action(tool);
        let recent = self.recent.tools();
        let anonymizer = self.pipeline.anonymizer.load();
        let is_private = |name: &str| anonymizer.is_private(name);
        let view = View { action: &action, recent: &recent, is_private: &is_private };
        let catalog = &self.pipeline.catalog;
        let listed = match which {
            Listed::Tools => catalog.list_tools(&view),
            Listed::Resources => catalog.list_resources(&view),
            Listed::Templates => catalog.list_templates(&view),
            Listed::Prompts => catalog.list_prompts(&view),
        };
        let own = match which {
            Listed::Tools => own_tools::definitions(|tool| self.pipeline.own_denied(tool).is_none()),
            Listed::Resources | Listed::Templates | Listed::Prompts => String::new(),
        };
        let conceal =
            |listed: &RawValue| anonymizer.conceal(Real::from_server(result_with(which.key(), &own, listed)));
        conceal(listed.expose()).or_else(|Leak| {
            // One entry that cannot be concealed must not cost the client all the others.
            let entries: Vec<&RawValue> = serde_json::from_str(listed.expose().get()).unwrap_or_default();
            let all = entries.len();
            let good = |entry: &&RawValue| anonymizer.conceal(Real::from_server((*entry).to_owned())).is_ok();
            let entries: Vec<&RawValue> = entries.into_iter().filter(good).collect();
            let withheld = all - entries.len();
            tracing::error!(
                list = which.key(),
                withheld,
                "entries were withheld: they could not be concealed"
            );
            conceal(&json::raw(&entries))
        })
    }

    /// Tells the client of each list that differs from what it was told. A list that it never asked for
    /// cannot be out of date.
    pub(super) fn tell_changes(self: &Arc<Self>) {
        let changed: Vec<Listed> = Listed::ALL
            .into_iter()
            .filter(|which| self.told.knows(*which))
            .filter(|which| self.compose(*which).is_ok_and(|list| self.told.note(*which, &list)))
            .collect();
        self.notify_changed(&changed);
    }
}

impl Gathering {
    fn begin(&self, server: &ServerName) -> bool {
        let mut state = self.lock();
        let lately = state.tried.get(server).is_some_and(|at| at.elapsed() < PAUSE);
        if lately || !state.running.insert(server.clone()) {
            return false;
        }
        state.tried.insert(server.clone(), Instant::now());
        true
    }

    fn end(&self, server: &ServerName) {
        self.lock().running.remove(server);
    }

    /// False when the server is being asked again already.
    fn begin_retry(&self, server: &ServerName) -> bool {
        self.lock().retrying.insert(server.clone())
    }

    fn end_retry(&self, server: &ServerName) {
        self.lock().retrying.remove(server);
    }

    fn runs_any(&self, servers: &[ServerName]) -> bool {
        let state = self.lock();
        servers.iter().any(|server| state.running.contains(server))
    }

    fn until(&self, wait: Duration) -> Instant {
        *self.lock().until.get_or_insert_with(|| Instant::now() + wait)
    }

    /// Starts anew, since the configuration changed.
    pub(super) fn forget(&self) {
        let mut state = self.lock();
        state.tried.clear();
        state.until = None;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Told {
    /// Notes what the client is told; true when that differs from the last time.
    fn note(&self, which: Listed, list: &Fake<RawJson>) -> bool {
        let mut hasher = DefaultHasher::new();
        list.get().get().hash(&mut hasher);
        let hash = hasher.finish();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(which, hash) != Some(hash)
    }

    /// The client may hold lists of which nothing is known any more.
    pub(super) fn forget(&self) {
        // No list has this hash, but for a chance that costs one notification.
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.extend(Listed::ALL.map(|which| (which, 0)));
    }

    fn knows(&self, which: Listed) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&which)
    }
}

/// `{"key":[first…,rest…]}`, where `first` is members of an array and `rest` an array.
fn result_with(key: &str, first: &str, rest: &RawValue) -> RawJson {
    let inside = rest.get().trim().strip_prefix('[').unwrap_or("]");
    let comma = if first.is_empty() || inside.trim_start().starts_with(']') { "" } else { "," };
    json::parse_raw(format!("{{\"{key}\":[{first}{comma}{inside}}}")).expect("arrays of JSON make JSON")
}
