//! What the servers offer: checked, named, cached, searched.
//!
//! A [`Catalog`] holds each server's last known lists, from a cache on disk until the server itself has
//! answered. What it gives to the agent's side is mended so that no server can make a client drop the whole
//! list; everything that needs no mending stays byte for byte. What comes out is [`Real`]: it must be
//! concealed before it leaves.

pub mod alias;
mod cache;
mod mend;
mod search;
mod snapshot;
mod stock;
mod uri;
mod words;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwapOption;

use serde::{Deserialize, Serialize};

use crate::anonymize::{Anonymizer, Real};
use crate::config;
use crate::digest::FieldDigest;
use crate::json::{RawJson, canonical};
use crate::names::{ServerName, ToolId};
use crate::policy::Action;
use crate::server::{List, Offer};
pub use cache::Cache;
use snapshot::{AllClaims, Shelf, Snapshot};
use stock::Stock;

/// The lists of all servers.
///
/// Reading never waits for another reader. What is put together from all servers is made when it is first
/// asked for after a change.
#[derive(Debug)]
pub struct Catalog {
    servers: Mutex<Vec<Known>>,
    snapshot: ArcSwapOption<Snapshot>,
    cache: Option<Cache>,
    output_schemas: Mutex<OutputSchemas>,
    /// What names toward the agent were given to, and unwrapped URIs. Locked after `servers`.
    claims: Mutex<(AllClaims, HashMap<String, ServerName>)>,
}

/// The tools that had an `outputSchema` at any time in this process.
#[derive(Debug, Default)]
struct OutputSchemas {
    tools: HashSet<ToolId>,
    /// There were too many to remember: any tool may have had one.
    any: bool,
}

/// How many unwrapped URIs are remembered with their servers.
const MAX_URI_CLAIMS: usize = 10_000;
/// How many tools with an `outputSchema` are remembered; more come only from a server that keeps renaming its
/// tools.
const MAX_OUTPUT_SCHEMAS: usize = 20_000;

impl OutputSchemas {
    fn note<'a>(&mut self, tools: impl Iterator<Item = &'a ToolId>) {
        for tool in tools {
            if self.tools.len() < MAX_OUTPUT_SCHEMAS {
                self.tools.insert(tool.clone());
            } else if !self.tools.contains(tool) {
                self.any = true;
            }
        }
    }

    fn contains(&self, tool: &ToolId) -> bool {
        self.any || self.tools.contains(tool)
    }
}

/// What each server was last heard to offer, in any directory; those that nobody heard are left out. Nothing is
/// started.
#[must_use]
pub fn heard_tools(servers: &[config::Server], folder: &Path) -> Vec<(ServerName, Vec<ToolId>)> {
    let mut heard = Vec::new();
    for server in servers {
        let key = cache::Key::new(server, None);
        let offers = cache::read_all(folder, &server.name, &key);
        if offers.is_empty() {
            continue;
        }
        let stocks = offers.iter().map(|offer| {
            Stock::new(&server.name, server.prefix, &serde_json::from_str(offer).unwrap_or_default())
        });
        let tools = stocks.flat_map(|stock| stock.tools).map(|shown| shown.it.id.clone());
        let tools: std::collections::BTreeSet<ToolId> = tools.collect();
        heard.push((server.name.clone(), tools.into_iter().collect()));
    }
    heard
}

/// What is known of a server.
#[derive(Debug)]
struct Known {
    server: ServerName,
    prefix: bool,
    /// Whether its names are prefixed all the same: an earlier server that exposes its own names was unknown when this
    /// process first heard of this one, and could claim them.
    is_behind_unknown: bool,
    pinned: Option<Vec<String>>,
    categories: Vec<String>,
    /// Tells whether it is still started in the same way, and in the same place.
    key: cache::Key,
    /// What the cache holds of it, until somebody asks.
    cached: Option<String>,
    stock: OnceLock<Arc<Stock>>,
    failure: Option<String>,
}

/// What Claude Code puts before the names of a server that is called `portero`.
const CLIENT_PREFIX: &str = "mcp__portero__";

/// Through whose eyes a list is seen.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What policy says about a tool or operation; what it denies is left out.
    pub action: &'a dyn Fn(&ToolId) -> Action,
    /// The tools that were used of late: they are listed even if their server pins others.
    pub recent: &'a HashSet<ToolId>,
    /// Whether a name holds a real value. What has such a name is left out: folded and cut for clients, the
    /// value would no longer be found in it.
    pub is_private: &'a dyn Fn(&str) -> bool,
}

/// A tool, as its server lists it.
#[derive(Debug)]
pub struct Tool {
    /// Its canonical name.
    pub id: ToolId,
    /// Its server's own name for it, which may be any text.
    pub name: Real<String>,
    /// Its name toward the agent.
    pub alias: String,
    /// Its `title`.
    pub title: Option<Real<String>>,
    /// Its `description`.
    pub description: Option<Real<String>>,
    /// Its `inputSchema`, or a schema that accepts any object where it has no sane one.
    pub input_schema: Real<RawJson>,
    /// The whole of it, as it came.
    pub raw: Real<RawJson>,
    /// What it says about itself.
    pub hints: Hints,
    /// Whether it says what its results look like.
    pub(crate) has_output_schema: bool,
    definition: OnceLock<String>,
}

impl Tool {
    /// A digest of its definition, as its server gave it; approvals bind to it. In which order a server writes the
    /// members of an object, and with which blanks, does not count.
    #[must_use]
    pub fn definition(&self) -> &str {
        self.definition.get_or_init(|| {
            let raw = self.raw.expose();
            let digest = FieldDigest::new("portero tool definition v1");
            match canonical(raw) {
                Ok(canonical) => digest.bytes("canonical", canonical).to_hex(),
                // Such as one in which a key stands twice.
                Err(_) => digest.bytes("raw", raw.get()).to_hex(),
            }
        })
    }
}

/// A tool's `annotations`, which are the server's word only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Hints {
    /// `readOnlyHint`
    pub read_only: Option<bool>,
    /// `destructiveHint`
    pub destructive: Option<bool>,
    /// `idempotentHint`
    pub idempotent: Option<bool>,
    /// `openWorldHint`
    pub open_world: Option<bool>,
}

/// A tool that a search found.
#[derive(Debug, Clone)]
pub struct Hit {
    /// The tool.
    pub tool: Arc<Tool>,
    /// How well it fits; comparable within one search only.
    pub score: f32,
}

/// Something in a server's lists that would have harmed a client.
#[derive(Debug, Clone)]
pub struct Complaint {
    /// The server.
    pub server: ServerName,
    /// Which of its tools, resources or prompts, in the server's own words.
    pub subject: Real<String>,
    /// What is wrong, in Portero's words.
    pub problem: String,
    /// What was done about it.
    pub remedy: Remedy,
}

/// How many names stand as examples of a reason.
const MAX_EXAMPLES: usize = 3;
/// How much of such a name is shown.
const MAX_EXAMPLE_LENGTH: usize = 60;

/// Entries of a server's lists that the agent's lists lack, for one reason.
#[derive(Debug, Clone)]
pub struct LeftOut {
    /// The server.
    pub server: ServerName,
    /// Why, in Portero's words.
    pub problem: String,
    /// What was done about them.
    pub remedy: Remedy,
    /// How many there are.
    pub count: usize,
    /// The first of them, in the server's words.
    pub examples: Vec<Real<String>>,
}

impl LeftOut {
    /// In words for people: `2 left out: ... (a, b)`. Examples are concealed, then cut.
    #[must_use]
    pub fn describe(&self, anonymizer: &Anonymizer) -> String {
        let names: Vec<String> = self
            .examples
            .iter()
            .map(|name| {
                let name = anonymizer.conceal_text(name.expose()).into_inner();
                let mut shown: String = crate::plain::plain(&name).chars().take(MAX_EXAMPLE_LENGTH).collect();
                if shown.len() < name.len() {
                    shown.push('…');
                }
                format!("`{shown}`")
            })
            .collect();
        let more = if self.count > names.len() && !names.is_empty() { ", …" } else { "" };
        let names = if names.is_empty() { String::new() } else { format!(" ({}{more})", names.join(", ")) };
        format!("{} left out: {}{names}", self.count, self.problem)
    }

    /// What a person can do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self.remedy {
            Remedy::Unlisted => {
                "agents find it with portero/search_tools and call it with portero/call; its server must mend its \
                 definition to have it listed"
            }
            Remedy::Dropped | Remedy::Mended => {
                "its server must mend it; agents cannot use it through Portero"
            }
        }
    }
}

/// What was done about a harmful entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It is listed without the harmful part, or with a harmless one in its place.
    Mended,
    /// It is not listed; it can be found by search and called by its canonical name.
    Unlisted,
    /// It is treated as if the server had not listed it.
    Dropped,
}

impl Catalog {
    /// The catalog of these servers, in their order, filled from `cache` where that is given.
    #[must_use]
    pub fn new(servers: &[config::Server], cache: Option<Cache>) -> Self {
        if let Some(cache) = &cache {
            cache.remove_clear();
        }
        let mut known: Vec<Known> = servers.iter().map(|server| Known::new(server, cache.as_ref())).collect();
        prefix_behind_unknown(&mut known, |_| true);
        let claims = Mutex::default();
        let output_schemas = Mutex::default();
        Self { servers: Mutex::new(known), snapshot: ArcSwapOption::empty(), cache, output_schemas, claims }
    }

    /// Takes what a server offers now, and tells which lists changed. A server that is not configured is
    /// ignored.
    pub fn set_offer(&self, server: &ServerName, offer: Offer) -> Vec<List> {
        let mut servers = self.lock();
        let Some(known) = servers.iter_mut().find(|known| known.server == *server) else { return Vec::new() };
        let before = known.stock();
        let stock = Arc::new(Stock::new(server, known.prefix, &offer));
        let changes = stock.changes_from(&before);
        if let Some(cache) = &self.cache
            && !(known.is_known() && stock.says_the_same_as(&before))
            && let Err(error) = cache::write(cache, server, &known.key, &offer)
        {
            tracing::warn!(%server, %error, "could not write what the server offers to the cache");
        }
        known.stock = OnceLock::from(stock);
        known.cached = None;
        known.failure = None;
        self.snapshot.store(None);
        changes
    }

    /// Notes that a server could not tell what it offers. What was known of it stays.
    pub fn offer_failed(&self, server: &ServerName, reason: String) {
        if let Some(known) = self.lock().iter_mut().find(|known| known.server == *server) {
            known.failure = Some(reason);
        }
    }

    /// Takes the servers of a new configuration and tells which lists changed; what is known of servers
    /// that did not change stays.
    pub fn replace(&self, servers: &[config::Server]) -> Vec<List> {
        let before = self.snapshot().everything();
        {
            let mut known = self.lock();
            let mut old = std::mem::take(&mut *known);
            let mut inherited = HashSet::new();
            for server in servers {
                let mut new = Known::new(server, self.cache.as_ref());
                if let Some(at) = old.iter().position(|old| old.is_still(&new)) {
                    new.inherit(old.swap_remove(at));
                    inherited.insert(server.name.clone());
                }
                known.push(new);
            }
            // Those that stay keep the names that were shown; claims keep them from a new server.
            prefix_behind_unknown(&mut known, |server| !inherited.contains(server));
            self.snapshot.store(None);
        }
        let after = self.snapshot().everything();
        [List::Tools, List::Resources, List::Prompts]
            .into_iter()
            .zip(before.into_iter().zip(after))
            .filter(|(_, (before, after))| before != after)
            .map(|(list, _)| list)
            .collect()
    }

    /// Every server, in the order of the configuration.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerName> {
        self.lock().iter().map(|known| known.server.clone()).collect()
    }

    /// Whether a server's lists are known, from itself or from the cache.
    #[must_use]
    pub fn known(&self, server: &ServerName) -> bool {
        self.lock().iter().any(|known| known.server == *server && known.is_known())
    }

    /// The servers whose lists are not known and that have not failed to tell them.
    #[must_use]
    pub fn missing(&self) -> Vec<ServerName> {
        let servers = self.lock();
        let missing = servers.iter().filter(|known| !known.is_known() && known.failure.is_none());
        missing.map(|known| known.server.clone()).collect()
    }

    /// The servers that failed to tell what they offer, and why, in the words of [`Catalog::offer_failed`].
    #[must_use]
    pub fn failures(&self) -> Vec<(ServerName, String)> {
        let servers = self.lock();
        servers.iter().filter_map(|known| Some((known.server.clone(), known.failure.clone()?))).collect()
    }

    /// What was mended or left out.
    #[must_use]
    pub fn complaints(&self) -> Vec<Complaint> {
        self.snapshot().complaints().to_vec()
    }

    /// What the agent's lists lack of what the servers list, and why, for people: grouped by server and reason.
    /// `is_private` as in [`View`].
    #[must_use]
    pub fn left_out(&self, is_private: &dyn Fn(&str) -> bool) -> Vec<LeftOut> {
        let snapshot = self.snapshot();
        let mut all: Vec<LeftOut> = Vec::new();
        let mut add = |server: &ServerName, problem: &str, remedy: Remedy, subject: Option<&str>| {
            let same = |known: &LeftOut| {
                known.server == *server && known.problem == problem && known.remedy == remedy
            };
            let at = all.iter().position(same).unwrap_or_else(|| {
                all.push(LeftOut {
                    server: server.clone(),
                    problem: problem.to_owned(),
                    remedy,
                    count: 0,
                    examples: Vec::new(),
                });
                all.len() - 1
            });
            let known = &mut all[at];
            known.count += 1;
            if known.examples.len() < MAX_EXAMPLES {
                known.examples.extend(subject.map(|subject| Real::from_server(subject.to_owned())));
            }
        };
        for complaint in snapshot.complaints() {
            match complaint.remedy {
                Remedy::Mended => {}
                Remedy::Unlisted | Remedy::Dropped => {
                    let subject = Some(complaint.subject.expose().as_str());
                    add(&complaint.server, &complaint.problem, complaint.remedy, subject);
                }
            }
        }
        // Not as examples: they are what is private.
        for (server, _) in snapshot.names().filter(|(_, name)| is_private(name)) {
            add(server, "its name holds a private value", Remedy::Dropped, None);
        }
        all
    }

    /// The tool that a name means: its name toward the agent, the canonical `server/tool`, or the server's
    /// own name where that is exposed. Also as a client that calls Portero `portero` shows it to its model.
    #[must_use]
    pub fn resolve_tool(&self, spelled: &str) -> Option<ToolId> {
        let snapshot = self.snapshot();
        let resolved = snapshot.resolve_tool(spelled);
        resolved.or_else(|| snapshot.resolve_tool(spelled.strip_prefix(CLIENT_PREFIX)?)).cloned()
    }

    /// A tool that its server lists.
    #[must_use]
    pub fn tool(&self, id: &ToolId) -> Option<Arc<Tool>> {
        self.snapshot().tool(id).cloned()
    }

    /// Whether its server's settings list a tool, used of late or not.
    #[must_use]
    pub fn is_pinned(&self, id: &ToolId) -> bool {
        self.snapshot().is_pinned(id)
    }

    /// Whether a client may hold an `outputSchema` of this tool: the tool has one now, or had one earlier in
    /// this process. Clients check every result of the tool against it that is no error.
    #[must_use]
    pub fn may_be_checked(&self, id: &ToolId) -> bool {
        // The snapshot is made first: making it notes the schemas that are in it.
        drop(self.snapshot());
        self.output_schemas.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    /// Every tool, in the order of the servers, then in each server's own.
    #[must_use]
    pub fn tools(&self) -> Vec<Arc<Tool>> {
        self.snapshot().tools().cloned().collect()
    }

    /// How many tools there are, listed or not.
    #[must_use]
    pub fn tool_count(&self) -> usize {
        self.snapshot().tools().len()
    }

    /// See [`Tool::definition`].
    #[must_use]
    pub fn definition(&self, id: &ToolId) -> Option<String> {
        self.snapshot().tool(id).map(|tool| tool.definition().to_owned())
    }

    /// A server's `instructions`.
    #[must_use]
    pub fn instructions(&self, server: &ServerName) -> Option<Real<String>> {
        self.stock(server)?.instructions.clone().map(Real::from_server)
    }

    /// A server's `capabilities`, as it declared them.
    #[must_use]
    pub fn capabilities(&self, server: &ServerName) -> Option<Real<RawJson>> {
        self.stock(server)?.capabilities.clone().map(Real::from_server)
    }

    /// The tools to list, as a JSON array, without Portero's own.
    ///
    /// Left out is what policy denies, what has a private name, and what its server does not pin unless it was used of late. Where a
    /// person must be asked, `outputSchema` is left out, since the pending answer does not follow it.
    #[must_use]
    pub fn list_tools(&self, view: &View<'_>) -> Real<RawJson> {
        Real::from_server(self.snapshot().list_tools(view))
    }

    /// The resources to list, as a JSON array.
    #[must_use]
    pub fn list_resources(&self, view: &View<'_>) -> Real<RawJson> {
        Real::from_server(self.snapshot().list_resources(view))
    }

    /// The resource templates to list, as a JSON array.
    #[must_use]
    pub fn list_templates(&self, view: &View<'_>) -> Real<RawJson> {
        Real::from_server(self.snapshot().list_templates(view))
    }

    /// The prompts to list, as a JSON array.
    #[must_use]
    pub fn list_prompts(&self, view: &View<'_>) -> Real<RawJson> {
        Real::from_server(self.snapshot().list_prompts(view))
    }

    /// The server that a resource is on, and its URI there.
    ///
    /// A wrapped URI says so itself. Another one is for the only server that lists it, or else for the only
    /// one with a template that it fits, or else for `prefer`; but only once all servers are known, since each could
    /// be the one, and from then on for that server alone.
    #[must_use]
    pub fn resolve_resource(&self, uri: &str, prefer: Option<&ServerName>) -> Option<(ServerName, String)> {
        let snapshot = self.snapshot();
        if let Some(found) = snapshot.unwrap_resource(uri) {
            return Some(found);
        }
        let is_settled = self.unknown().is_none();
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match claims.1.get(uri) {
            Some(owner) => snapshot.has_resource(owner, uri).then(|| owner.clone()),
            None if is_settled => snapshot.resource_owner(uri, prefer),
            None => None,
        }?;
        if claims.1.len() < MAX_URI_CLAIMS {
            claims.1.entry(uri.to_owned()).or_insert_with(|| found.clone());
        }
        Some((found, uri.to_owned()))
    }

    /// The first server of which nothing is known yet, whether it failed or did not answer so far.
    #[must_use]
    pub fn unknown(&self) -> Option<ServerName> {
        self.lock().iter().find(|known| !known.is_known()).map(|known| known.server.clone())
    }

    /// The server that a prompt is on, and its name there.
    #[must_use]
    pub fn resolve_prompt(&self, name: &str) -> Option<(ServerName, String)> {
        self.snapshot().resolve_prompt(name)
    }

    /// Whether a URI names its server itself.
    #[must_use]
    pub fn is_wrapped(&self, uri: &str) -> bool {
        self.snapshot().unwrap_resource(uri).is_some()
    }

    /// A server's URI as the agent sees it.
    #[must_use]
    pub fn wrap_uri(&self, server: &ServerName, uri: &str) -> String {
        uri::wrap(server, uri)
    }

    /// Wraps the URIs of resource links, embedded resources and read contents in a result. Those that are
    /// wrapped already, and every other byte, stay.
    #[must_use]
    pub fn wrap_links(&self, server: &ServerName, result: Real<RawJson>) -> Real<RawJson> {
        Real::from_server(uri::wrap_links(server, result.into_exposed()))
    }

    /// The tools that fit a query best, without those that policy denies or that have a private name. An empty query finds all of them,
    /// in their order; `category` is a server's name or one of its categories.
    #[must_use]
    pub fn search(&self, query: &str, category: Option<&str>, limit: usize, view: &View<'_>) -> Vec<Hit> {
        let snapshot = self.snapshot();
        let found = snapshot.search(query, category).into_iter();
        let allowed = found.filter(|(tool, _)| {
            (view.action)(&tool.id) != Action::Deny && !(view.is_private)(tool.name.expose())
        });
        allowed.take(limit).map(|(tool, score)| Hit { tool: tool.clone(), score }).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stock(&self, server: &ServerName) -> Option<Arc<Stock>> {
        let servers = self.lock();
        servers.iter().find(|known| known.server == *server).map(Known::stock)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        if let Some(snapshot) = self.snapshot.load_full() {
            return snapshot;
        }
        // Under the lock, so that what is stored is never older than the last change.
        let servers = self.lock();
        let shelves = servers.iter().map(Known::shelf).collect();
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let snapshot = Arc::new(Snapshot::new(shelves, &mut claims.0));
        drop(claims);
        self.output_schemas
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .note(snapshot.with_output_schema());
        self.snapshot.store(Some(snapshot.clone()));
        snapshot
    }
}

/// Prefixes the names of those new servers that come after one that exposes its own names and is unknown: which names
/// are free is not known then, and must not depend on which server is faster.
fn prefix_behind_unknown(servers: &mut [Known], is_new: impl Fn(&ServerName) -> bool) {
    let mut is_unknown = false;
    for known in servers.iter_mut().filter(|known| !known.prefix) {
        known.is_behind_unknown |= is_unknown && is_new(&known.server);
        is_unknown |= !known.is_known();
    }
}

impl Known {
    fn new(server: &config::Server, cache: Option<&Cache>) -> Self {
        let key = cache::Key::new(server, cache);
        Self {
            server: server.name.clone(),
            prefix: server.prefix,
            is_behind_unknown: false,
            pinned: server.pinned_tools.clone(),
            categories: server.categories.clone(),
            cached: cache.and_then(|cache| cache::read(cache, &server.name, &key)),
            key,
            stock: OnceLock::new(),
            failure: None,
        }
    }

    fn is_known(&self) -> bool {
        self.cached.is_some() || self.stock.get().is_some()
    }

    /// Whether another is the same server, started in the same way.
    fn is_still(&self, other: &Self) -> bool {
        self.server == other.server && self.key == other.key
    }

    /// Takes over what was known under an older configuration.
    fn inherit(&mut self, older: Self) {
        if older.is_known() {
            self.stock = older.stock;
            self.cached = older.cached;
        }
        self.failure = older.failure;
        self.is_behind_unknown = older.is_behind_unknown;
    }

    /// What it offers; nothing where that is not known.
    fn stock(&self) -> Arc<Stock> {
        let Some(cached) = &self.cached else { return self.stock.get().cloned().unwrap_or_default() };
        let read = || {
            let offer: Offer = serde_json::from_str(cached).unwrap_or_default();
            Arc::new(Stock::new(&self.server, self.prefix, &offer))
        };
        self.stock.get_or_init(read).clone()
    }

    fn shelf(&self) -> Shelf {
        Shelf {
            server: self.server.clone(),
            prefix: self.prefix || self.is_behind_unknown,
            pinned: self.pinned.clone(),
            categories: self.categories.clone(),
            stock: self.stock(),
        }
    }
}

#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod tests;
