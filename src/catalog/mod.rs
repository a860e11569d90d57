//! The servers' lists: checked, named, cached and searchable.
//!
//! A [`Catalog`] holds each server's last known lists. They come from a cache on disk until the server has
//! answered. Lists for the agent are sanitized, so that no server can make a client drop a whole list. Entries
//! that need no change keep their bytes. All results are [`Real`] and must be concealed before they leave.

pub mod alias;
mod cache;
mod input_schema;
mod listing;
mod sanitize;
mod search;
mod snapshot;
mod tokenize;
mod uri;

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};

use arc_swap::ArcSwapOption;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::anonymize::{Anonymizer, Fake, Real};
use crate::call::Call;
use crate::config;
use crate::json::{self, RawJson, RawObject};
use crate::names::{ServerName, ToolId};
use crate::policy::Action;
use crate::policy::definition_pins::{DefinitionItem, definition_pin_digest, tool_definition_digest};
use crate::server::{ListKind, ServerListing};
use crate::sync::lock;
pub use cache::ListingCache;
use input_schema::InputSchema;
use listing::CheckedListing;
use snapshot::{CatalogClaims, Snapshot, SnapshotServer};

/// The lists of all servers.
///
/// Readers never wait for each other. The combined view of all servers is made at its first use after a
/// change.
#[derive(Debug)]
pub struct Catalog {
    servers: Mutex<Vec<ServerState>>,
    snapshot: ArcSwapOption<Snapshot>,
    cache: Option<ListingCache>,
    output_schemas: Mutex<OutputSchemas>,
    /// The owners of aliases and of unwrapped URIs. Lock order: `servers` before `claims`.
    claims: Mutex<(CatalogClaims, HashMap<String, ServerName>)>,
}

/// The tools that had an `outputSchema` at any time in this process.
#[derive(Debug, Default)]
struct OutputSchemas {
    tools: HashSet<ToolId>,
    /// There were too many to remember, so any tool may have had one.
    is_overflowed: bool,
}

/// How many unwrapped URIs are remembered with their servers.
const MAX_URI_CLAIMS: usize = 10_000;
/// How many tools with an `outputSchema` are remembered. Only a server that keeps renaming its tools needs
/// more.
const MAX_OUTPUT_SCHEMAS: usize = 20_000;

impl OutputSchemas {
    fn record_tools<'a>(&mut self, tools: impl Iterator<Item = &'a ToolId>) {
        for tool in tools {
            if self.tools.len() < MAX_OUTPUT_SCHEMAS {
                self.tools.insert(tool.clone());
            } else if !self.tools.contains(tool) {
                self.is_overflowed = true;
            }
        }
    }

    fn contains(&self, tool: &ToolId) -> bool {
        self.is_overflowed || self.tools.contains(tool)
    }
}

/// The last listing of each server in any directory, without servers that never gave one. Starts nothing.
#[must_use]
pub fn cached_tools(servers: &[config::ServerConfig], folder: &Path) -> Vec<(ServerName, Vec<ToolId>)> {
    let mut heard = Vec::new();
    for server in servers {
        let key = cache::CacheKey::new(server, None);
        let offers = cache::read_listings(folder, &server.name, &key);
        if offers.is_empty() {
            continue;
        }
        let listings = offers.iter().map(|offer| {
            CheckedListing::new(&server.name, server.prefix, &serde_json::from_str(offer).unwrap_or_default())
        });
        let tools = listings.flat_map(|listing| listing.tools).map(|shown| shown.item.id.clone());
        let tools: std::collections::BTreeSet<ToolId> = tools.collect();
        heard.push((server.name.clone(), tools.into_iter().collect()));
    }
    heard
}

/// The known state of a server.
#[derive(Debug)]
struct ServerState {
    server: ServerName,
    prefix: bool,
    /// Whether its names are prefixed although its settings don't ask for it. When this process first saw the
    /// server, an earlier one with unprefixed names was still unknown and might claim the same names.
    is_prefix_forced: bool,
    pinned: Option<Vec<String>>,
    categories: Vec<String>,
    /// Shows whether it is still started in the same way and place.
    key: cache::CacheKey,
    /// The cached listing, until it is first used.
    cached: Option<String>,
    listing: OnceLock<Arc<CheckedListing>>,
    failure: Option<String>,
}

/// The prefix that Claude Code gives to the names of a server called `portero`.
const CLIENT_TOOL_PREFIX: &str = "mcp__portero__";

/// The viewer of a list.
#[derive(Clone, Copy)]
pub struct CatalogView<'a> {
    /// The action for a tool or operation. Denied ones are left out.
    pub action: &'a dyn Fn(&ToolId) -> Action,
    /// The recently used tools, which are listed even if their server pins others.
    pub recent: &'a HashSet<ToolId>,
    /// Whether a name holds a real value. Such entries are left out: once a name is folded and cut for
    /// clients, the value in it can't be found any more.
    pub is_private: &'a dyn Fn(&str) -> bool,
}

/// A tool as its server lists it.
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
    /// Its `inputSchema`, or a schema for any object if it has no valid one.
    pub input_schema: Real<RawJson>,
    /// The whole definition, as it came.
    pub raw: Real<RawJson>,
    /// Its own annotations.
    pub hints: ToolHints,
    /// Whether it has an `outputSchema`.
    pub(crate) has_output_schema: bool,
    definition: OnceLock<String>,
    /// The digest of the definition as these rules conceal it; see [`Tool::pin_digest`].
    pin_digest: Mutex<Option<(Weak<Anonymizer>, Arc<str>)>>,
    /// Its compiled `inputSchema`, made for the first check of a call; none if it can't be compiled. It can
    /// be kept here, because another definition is another `Tool`.
    compiled_schema: OnceLock<Option<Box<InputSchema>>>,
}

impl Tool {
    /// The faults of a call's arguments by the `inputSchema`, in the schema's own words, which are real until
    /// concealed. `None` if they fit, or can't be checked. `revealed` is the call's `params` as the server
    /// would see them. No fault depends on a value that the agent doesn't see.
    #[must_use]
    pub fn argument_faults(&self, call: &Call, revealed: &Real<RawJson>) -> Option<Real<String>> {
        let compile = || InputSchema::compile(self.input_schema.expose()).map(Box::new);
        let schema = self.compiled_schema.get_or_init(compile).as_ref()?;
        let seen = RawObject::read(revealed.expose()).ok()?;
        let faults = schema.faults(call.arguments(), seen.get("arguments"));
        (!faults.is_empty()).then(|| Real::from_server(faults.join("; ")))
    }

    /// The digest of its concealed definition, by which it is pinned; none if it can't be concealed. A digest of the
    /// real one would let a reader of the pins test guesses at a private value in it.
    #[must_use]
    pub fn pin_digest(&self, anonymizer: &Arc<Anonymizer>) -> Option<Arc<str>> {
        let mut known = lock(&self.pin_digest);
        if let Some((rules, digest)) = &*known
            && std::ptr::eq(rules.as_ptr(), Arc::as_ptr(anonymizer))
        {
            return Some(Arc::clone(digest));
        }
        let digest: Arc<str> =
            definition_pin_digest(&conceal_definition(anonymizer, self.raw.expose())?).into();
        // The weak reference keeps the address from being used for other rules.
        *known = Some((Arc::downgrade(anonymizer), Arc::clone(&digest)));
        Some(digest)
    }

    /// Its definition as the agent sees it; none if a private value would remain.
    #[must_use]
    pub fn concealed_definition(&self, anonymizer: &Anonymizer) -> Option<RawJson> {
        conceal_definition(anonymizer, self.raw.expose())
    }

    /// The digest of its definition as its server gave it, to which approvals bind. The order of members and
    /// white space don't count.
    #[must_use]
    pub fn definition_digest(&self) -> &str {
        self.definition.get_or_init(|| tool_definition_digest(self.raw.expose()))
    }
}

/// The item of a prompt, by its concealed name.
pub(crate) fn prompt_item(anonymizer: &Anonymizer, name: &str) -> DefinitionItem {
    DefinitionItem::Prompt(anonymizer.conceal_text(name).into_inner())
}

/// A definition as the agent sees it; none if a private value would remain.
fn conceal_definition(anonymizer: &Anonymizer, raw: &RawValue) -> Option<RawJson> {
    anonymizer.conceal(Real::from_server(raw.to_owned())).ok().map(Fake::into_inner)
}

/// A tool's `annotations`, which are only the server's claims.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ToolHints {
    /// `readOnlyHint`
    pub read_only: Option<bool>,
    /// `destructiveHint`
    pub destructive: Option<bool>,
    /// `idempotentHint`
    pub idempotent: Option<bool>,
    /// `openWorldHint`
    pub open_world: Option<bool>,
}

impl ToolHints {
    /// Reads the hints of a tool's definition. What isn't `true` or `false` is no hint.
    #[must_use]
    pub fn of_definition(definition: &RawValue) -> Self {
        let definition = RawObject::read(definition).ok();
        Self::of_annotations(definition.as_ref().and_then(|members| members.get("annotations")))
    }

    fn of_annotations(annotations: Option<&RawValue>) -> Self {
        let annotations = annotations.and_then(|annotations| RawObject::read(annotations).ok());
        let hint = |key| match annotations.as_ref()?.get(key)?.get() {
            "true" => Some(true),
            "false" => Some(false),
            _ => None,
        };
        Self {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        }
    }
}

/// A tool found by a search.
#[derive(Debug, Clone)]
pub struct SearchHit {
    /// The tool.
    pub tool: Arc<Tool>,
    /// How well it fits. Comparable within one search only.
    pub score: f32,
}

/// A problem in a server's lists that would have harmed a client.
#[derive(Debug, Clone)]
pub struct ListingProblem {
    /// The server.
    pub server: ServerName,
    /// The tool, resource or prompt, in the server's own words.
    pub subject: Real<String>,
    /// The problem, in Portero's words.
    pub problem: String,
    /// The remedy that was applied.
    pub remedy: Remedy,
}

/// How many names are shown as examples.
const MAX_EXAMPLES: usize = 3;
/// How many characters of such a name are shown.
const MAX_EXAMPLE_CHARS: usize = 60;

/// Entries of a server's lists that the agent's lists lack for one reason.
#[derive(Debug, Clone)]
pub struct OmittedEntries {
    /// The server.
    pub server: ServerName,
    /// The reason, in Portero's words.
    pub problem: String,
    /// The remedy that was applied.
    pub remedy: Remedy,
    /// Their number.
    pub count: usize,
    /// The first of them, in the server's words.
    pub examples: Vec<Real<String>>,
}

impl OmittedEntries {
    /// Words for people: `2 left out: ... (a, b)`. Examples are concealed first, then cut.
    #[must_use]
    pub fn describe(&self, anonymizer: &Anonymizer) -> String {
        let names: Vec<String> = self
            .examples
            .iter()
            // Concealed as a whole: half of a value wouldn't be recognized after the cut.
            .map(|name| {
                let name = anonymizer.conceal_text(name.expose()).into_inner();
                let mut shown: String =
                    crate::printable::escape_controls(&name).chars().take(MAX_EXAMPLE_CHARS).collect();
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

    /// The next step for a person.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self.remedy {
            Remedy::Unlisted => {
                "agents find it with portero/search_tools and call it with portero/call; its server must fix its \
                 definition to have it listed"
            }
            Remedy::Dropped | Remedy::Sanitized => {
                "its server must fix it; agents cannot use it through Portero"
            }
        }
    }
}

/// The remedy for a harmful entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It is listed, with the harmful part removed or replaced.
    Sanitized,
    /// It isn't listed, but can be found by search and called by its canonical name.
    Unlisted,
    /// It is treated as if the server hadn't listed it.
    Dropped,
}

impl Catalog {
    /// The catalog of these servers, in their order, filled from `cache` if that is given.
    #[must_use]
    pub fn new(servers: &[config::ServerConfig], cache: Option<ListingCache>) -> Self {
        if let Some(cache) = &cache {
            cache.remove_unencrypted();
        }
        let mut known: Vec<ServerState> =
            servers.iter().map(|server| ServerState::new(server, cache.as_ref())).collect();
        force_prefix_after_unknown(&mut known, |_| true);
        let claims = Mutex::default();
        let output_schemas = Mutex::default();
        Self { servers: Mutex::new(known), snapshot: ArcSwapOption::empty(), cache, output_schemas, claims }
    }

    /// Stores a server's new listing and returns which lists changed. A server that isn't configured is
    /// ignored.
    pub fn set_listing(&self, server: &ServerName, offer: ServerListing) -> Vec<ListKind> {
        let mut servers = self.lock_servers();
        let Some(known) = servers.iter_mut().find(|known| known.server == *server) else { return Vec::new() };
        let before = known.listing();
        let listing = Arc::new(CheckedListing::new(server, known.prefix, &offer));
        let changes = listing.changed_lists(&before);
        // Written only if it differs, because every start of every session comes through here.
        if let Some(cache) = &self.cache
            && !(known.is_known() && listing.has_same_content(&before))
            && let Err(error) = cache::write_listing(cache, server, &known.key, &offer)
        {
            tracing::warn!(%server, %error, "could not write what the server offers to the cache");
        }
        known.listing = OnceLock::from(listing);
        known.cached = None;
        known.failure = None;
        self.snapshot.store(None);
        changes
    }

    /// Records that a server's listing couldn't be fetched. Its last listing stays.
    pub fn record_listing_failure(&self, server: &ServerName, reason: String) {
        if let Some(known) = self.lock_servers().iter_mut().find(|known| known.server == *server) {
            known.failure = Some(reason);
        }
    }

    /// Replaces the servers and returns which lists changed. Servers with unchanged settings keep their
    /// listings.
    pub fn replace_servers(&self, servers: &[config::ServerConfig]) -> Vec<ListKind> {
        let before = self.snapshot().list_all_unfiltered();
        {
            let mut known = self.lock_servers();
            let mut old = std::mem::take(&mut *known);
            let mut inherited = HashSet::new();
            for server in servers {
                let mut new = ServerState::new(server, self.cache.as_ref());
                if let Some(at) = old.iter().position(|old| old.is_same_server(&new)) {
                    new.inherit_from(old.swap_remove(at));
                    inherited.insert(server.name.clone());
                }
                known.push(new);
            }
            // Servers that stay keep the names that were shown, and claims keep these from a new server.
            force_prefix_after_unknown(&mut known, |server| !inherited.contains(server));
            self.snapshot.store(None);
        }
        // Compared as clients would see them, because a change of servers can change the names of others.
        let after = self.snapshot().list_all_unfiltered();
        [ListKind::Tools, ListKind::Resources, ListKind::Prompts]
            .into_iter()
            .zip(before.into_iter().zip(after))
            .filter(|(_, (before, after))| before != after)
            .map(|(list, _)| list)
            .collect()
    }

    /// All servers, in the order of the configuration.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerName> {
        self.lock_servers().iter().map(|known| known.server.clone()).collect()
    }

    /// Whether a server's lists are known, from itself or from the cache.
    #[must_use]
    pub fn is_known(&self, server: &ServerName) -> bool {
        self.lock_servers().iter().any(|known| known.server == *server && known.is_known())
    }

    /// The servers whose lists are unknown and that haven't failed.
    #[must_use]
    pub fn unanswered_servers(&self) -> Vec<ServerName> {
        let servers = self.lock_servers();
        let missing = servers.iter().filter(|known| !known.is_known() && known.failure.is_none());
        missing.map(|known| known.server.clone()).collect()
    }

    /// The servers whose listings failed, with the reasons given to [`Catalog::record_listing_failure`].
    #[must_use]
    pub fn failures(&self) -> Vec<(ServerName, String)> {
        let servers = self.lock_servers();
        servers.iter().filter_map(|known| Some((known.server.clone(), known.failure.clone()?))).collect()
    }

    /// The entries that were sanitized or left out.
    #[must_use]
    pub fn problems(&self) -> Vec<ListingProblem> {
        self.snapshot().complaints().to_vec()
    }

    /// The entries that the agent's lists lack, grouped by server and reason, for people. `is_private` as in
    /// [`CatalogView`].
    #[must_use]
    pub fn omitted_entries(&self, is_private: &dyn Fn(&str) -> bool) -> Vec<OmittedEntries> {
        let snapshot = self.snapshot();
        let mut all: Vec<OmittedEntries> = Vec::new();
        let mut add = |server: &ServerName, problem: &str, remedy: Remedy, subject: Option<&str>| {
            let same = |known: &OmittedEntries| {
                known.server == *server && known.problem == problem && known.remedy == remedy
            };
            let at = all.iter().position(same).unwrap_or_else(|| {
                all.push(OmittedEntries {
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
                Remedy::Sanitized => {}
                Remedy::Unlisted | Remedy::Dropped => {
                    let subject = Some(complaint.subject.expose().as_str());
                    add(&complaint.server, &complaint.problem, complaint.remedy, subject);
                }
            }
        }
        // Without examples, because these names are the private values.
        for (server, _) in snapshot.names().filter(|(_, name)| is_private(name)) {
            add(server, "its name holds a private value", Remedy::Dropped, None);
        }
        all
    }

    /// The tool that a name means: an alias, the canonical `server/tool`, or the server's own name if that is
    /// exposed. Also accepts the prefix that a client puts before the names of `portero`.
    #[must_use]
    pub fn resolve_tool(&self, spelled: &str) -> Option<ToolId> {
        let snapshot = self.snapshot();
        let resolved = snapshot.resolve_tool(spelled);
        // Last, so that a tool whose real name begins like this is still found by it.
        resolved.or_else(|| snapshot.resolve_tool(spelled.strip_prefix(CLIENT_TOOL_PREFIX)?)).cloned()
    }

    /// A tool that its server lists.
    #[must_use]
    pub fn tool(&self, id: &ToolId) -> Option<Arc<Tool>> {
        self.snapshot().tool(id).cloned()
    }

    /// Whether the settings of its server list a tool, apart from recent use.
    #[must_use]
    pub fn is_pinned(&self, id: &ToolId) -> bool {
        self.snapshot().is_pinned(id)
    }

    /// Whether a client may hold an `outputSchema` of this tool, because it has one or had one in this
    /// process. Clients check every successful result against it.
    #[must_use]
    pub fn may_have_output_schema(&self, id: &ToolId) -> bool {
        // Making the snapshot records the schemas in it, so it comes first.
        drop(self.snapshot());
        lock(&self.output_schemas).contains(id)
    }

    /// All tools, by server, then in each server's own order.
    #[must_use]
    pub fn tools(&self) -> Vec<Arc<Tool>> {
        self.snapshot().tools().cloned().collect()
    }

    /// The digest of a tool's definition; see [`Tool::definition_digest`].
    #[must_use]
    pub fn definition_digest(&self, id: &ToolId) -> Option<String> {
        self.snapshot().tool(id).map(|tool| tool.definition_digest().to_owned())
    }

    /// What a server defines, concealed: its tools, its prompts and its instructions, as far as they can be concealed.
    /// A tool with a private name is left out, because it can't be called.
    #[must_use]
    pub fn concealed_definitions(
        &self,
        server: &ServerName,
        anonymizer: &Anonymizer,
    ) -> Vec<(DefinitionItem, RawJson)> {
        let Some(listing) = self.listing(server) else { return Vec::new() };
        let is_private = |name: &str| anonymizer.is_private(name);
        let tools =
            listing.tools.iter().map(|entry| &entry.item).filter(|tool| !is_private(tool.name.expose()));
        let tools = tools.map(|tool| (DefinitionItem::Tool(tool.id.tool.clone()), &**tool.raw.expose()));
        let prompts = listing.prompts.iter().map(|entry| &entry.item);
        let prompts = prompts.map(|prompt| (prompt_item(anonymizer, &prompt.name), prompt.raw()));
        let instructions = listing.instructions.as_ref().map(json::serialize_raw);
        let instructions = instructions.iter().map(|text| (DefinitionItem::Instructions, &**text));
        let all = tools.chain(prompts).chain(instructions);
        all.filter_map(|(item, raw)| Some((item, conceal_definition(anonymizer, raw)?))).collect()
    }

    /// The digest by which a prompt is pinned; none if the server lists none of this name.
    #[must_use]
    pub fn prompt_pin_digest(
        &self,
        server: &ServerName,
        name: &str,
        anonymizer: &Anonymizer,
    ) -> Option<String> {
        let listing = self.listing(server)?;
        let prompt = listing.prompts.iter().find(|entry| entry.item.name == name)?;
        Some(definition_pin_digest(&conceal_definition(anonymizer, prompt.item.raw())?))
    }

    /// A server's `instructions`.
    #[must_use]
    pub fn instructions(&self, server: &ServerName) -> Option<Real<String>> {
        self.listing(server)?.instructions.clone().map(Real::from_server)
    }

    /// A server's declared `capabilities`.
    #[must_use]
    pub fn capabilities(&self, server: &ServerName) -> Option<Real<RawJson>> {
        self.listing(server)?.capabilities.clone().map(Real::from_server)
    }

    /// The tools to list, as a JSON array, without Portero's own.
    ///
    /// Left out are tools that policy denies, that have a private name, or that aren't pinned and weren't used
    /// recently. A tool that needs approval is listed without `outputSchema`, because its pending answer
    /// doesn't follow it.
    #[must_use]
    pub fn list_tools(&self, view: &CatalogView<'_>) -> Real<RawJson> {
        Real::from_server(self.snapshot().list_tools(view))
    }

    /// The resources to list, as a JSON array.
    #[must_use]
    pub fn list_resources(&self, view: &CatalogView<'_>) -> Real<RawJson> {
        Real::from_server(self.snapshot().list_resources(view))
    }

    /// The resource templates to list, as a JSON array.
    #[must_use]
    pub fn list_templates(&self, view: &CatalogView<'_>) -> Real<RawJson> {
        Real::from_server(self.snapshot().list_templates(view))
    }

    /// The prompts to list, as a JSON array.
    #[must_use]
    pub fn list_prompts(&self, view: &CatalogView<'_>) -> Real<RawJson> {
        Real::from_server(self.snapshot().list_prompts(view))
    }

    /// The server of a resource, and its URI there.
    ///
    /// A wrapped URI names its server. Any other URI belongs to the only server that lists it, or else to the
    /// only one with a matching template, or else to `prefer`. That is decided only once all servers are
    /// known, because any of them could list it. From then on the URI belongs to that server alone.
    #[must_use]
    pub fn resolve_resource(&self, uri: &str, prefer: Option<&ServerName>) -> Option<(ServerName, String)> {
        let snapshot = self.snapshot();
        if let Some(found) = snapshot.unwrap_resource(uri) {
            return Some(found);
        }
        let is_settled = self.first_unknown_server().is_none();
        // A claim is never moved: the agent must not reach another server by a URI that it has used before.
        let mut claims = lock(&self.claims);
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

    /// The first server without a listing, whether it failed or hasn't answered.
    #[must_use]
    pub fn first_unknown_server(&self) -> Option<ServerName> {
        self.lock_servers().iter().find(|known| !known.is_known()).map(|known| known.server.clone())
    }

    /// The server of a prompt, and its name there.
    #[must_use]
    pub fn resolve_prompt(&self, name: &str) -> Option<(ServerName, String)> {
        self.snapshot().resolve_prompt(name)
    }

    /// Whether a URI names its server.
    #[must_use]
    pub fn is_wrapped(&self, uri: &str) -> bool {
        self.snapshot().unwrap_resource(uri).is_some()
    }

    /// Wraps the URIs of resource links, embedded resources and read contents in a result. Wrapped ones and
    /// all other bytes stay.
    #[must_use]
    pub fn rewrite_uris(&self, server: &ServerName, result: Real<RawJson>) -> Real<RawJson> {
        Real::from_server(uri::rewrite_uris(server, result.into_exposed()))
    }

    /// The tools that fit a query best, without those that policy denies or that have a private name. An empty
    /// query finds all, in their order. `category` is a server's name or one of its categories. The query is compared
    /// with what `anonymizer` shows of the tools.
    #[must_use]
    pub fn search_tools(
        &self,
        query: &str,
        category: Option<&str>,
        limit: usize,
        view: &CatalogView<'_>,
        anonymizer: &Arc<Anonymizer>,
    ) -> Vec<SearchHit> {
        let snapshot = self.snapshot();
        let found = snapshot.search(query, category, anonymizer).into_iter();
        let allowed = found.filter(|(tool, _)| {
            (view.action)(&tool.id) != Action::Deny && !(view.is_private)(tool.name.expose())
        });
        allowed.take(limit).map(|(tool, score)| SearchHit { tool: tool.clone(), score }).collect()
    }

    fn lock_servers(&self) -> MutexGuard<'_, Vec<ServerState>> {
        lock(&self.servers)
    }

    fn listing(&self, server: &ServerName) -> Option<Arc<CheckedListing>> {
        let servers = self.lock_servers();
        servers.iter().find(|known| known.server == *server).map(ServerState::listing)
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        if let Some(snapshot) = self.snapshot.load_full() {
            return snapshot;
        }
        // Built under the lock, so that the stored snapshot is never older than the last change.
        let servers = self.lock_servers();
        let snapshot_servers = servers.iter().map(ServerState::to_snapshot_server).collect();
        let mut claims = lock(&self.claims);
        let snapshot = Arc::new(Snapshot::new(snapshot_servers, &mut claims.0));
        drop(claims);
        lock(&self.output_schemas).record_tools(snapshot.tools_with_output_schema());
        self.snapshot.store(Some(snapshot.clone()));
        snapshot
    }
}

/// Prefixes the names of new servers that follow an unknown server with unprefixed names. Which names are free
/// isn't known yet, and must not depend on which server answers first.
fn force_prefix_after_unknown(servers: &mut [ServerState], is_new: impl Fn(&ServerName) -> bool) {
    let mut is_unknown = false;
    for known in servers.iter_mut().filter(|known| !known.prefix) {
        known.is_prefix_forced |= is_unknown && is_new(&known.server);
        is_unknown |= !known.is_known();
    }
}

impl ServerState {
    fn new(server: &config::ServerConfig, cache: Option<&ListingCache>) -> Self {
        let key = cache::CacheKey::new(server, cache);
        Self {
            server: server.name.clone(),
            prefix: server.prefix,
            is_prefix_forced: false,
            pinned: server.pinned_tools.clone(),
            categories: server.categories.clone(),
            cached: cache.and_then(|cache| cache::read_listing(cache, &server.name, &key)),
            key,
            listing: OnceLock::new(),
            failure: None,
        }
    }

    fn is_known(&self) -> bool {
        self.cached.is_some() || self.listing.get().is_some()
    }

    /// Whether another state is of the same server, started in the same way.
    fn is_same_server(&self, other: &Self) -> bool {
        self.server == other.server && self.key == other.key
    }

    /// Takes over what was known under an older configuration.
    fn inherit_from(&mut self, older: Self) {
        if older.is_known() {
            self.listing = older.listing;
            self.cached = older.cached;
        }
        self.failure = older.failure;
        self.is_prefix_forced = older.is_prefix_forced;
    }

    /// Its listing; an empty one if unknown.
    fn listing(&self) -> Arc<CheckedListing> {
        let Some(cached) = &self.cached else { return self.listing.get().cloned().unwrap_or_default() };
        let read = || {
            let offer: ServerListing = serde_json::from_str(cached).unwrap_or_default();
            Arc::new(CheckedListing::new(&self.server, self.prefix, &offer))
        };
        self.listing.get_or_init(read).clone()
    }

    fn to_snapshot_server(&self) -> SnapshotServer {
        SnapshotServer {
            server: self.server.clone(),
            prefix: self.prefix || self.is_prefix_forced,
            pinned: self.pinned.clone(),
            categories: self.categories.clone(),
            listing: self.listing(),
        }
    }
}

#[cfg(test)]
mod search_tests;
#[cfg(test)]
mod tests;
