//! All servers' listings combined, with unique names and indexes. A snapshot never changes; each change makes
//! a new one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, Weak};

use serde_json::value::RawValue;

use super::alias::{self, AliasClaims, AliasTable};
use super::listing::{CheckedListing, ListingEntry, Prompt};
use super::search::SearchIndex;
use super::{CatalogView, ListingProblem, Remedy, Tool, uri};
use crate::anonymize::{Anonymizer, Real};
use crate::json::{self, RawJson};
use crate::names::{Operation, ServerName, ToolId, ToolName};
use crate::policy::Action;
use crate::sync::lock;

/// One server in the snapshot.
#[derive(Debug, Clone)]
pub(super) struct SnapshotServer {
    pub(super) server: ServerName,
    /// Whether names are prefixed, by the configuration or because an earlier server may claim the unprefixed
    /// ones.
    pub(super) prefix: bool,
    /// None means that all are listed.
    pub(super) pinned: Option<Vec<String>>,
    pub(super) categories: Vec<String>,
    pub(super) listing: Arc<CheckedListing>,
}

/// The owners of names.
#[derive(Debug, Default)]
pub(super) struct CatalogClaims {
    tools: AliasClaims,
    prompts: AliasClaims,
}

#[derive(Debug)]
pub(super) struct Snapshot {
    servers: Vec<SnapshotServer>,
    tools: Vec<SnapshotTool>,
    by_id: HashMap<ToolId, usize>,
    tool_names: AliasTable,
    /// Each with the position of its server.
    prompts: Vec<(usize, ListingEntry<Prompt>)>,
    prompt_names: AliasTable,
    complaints: Vec<ListingProblem>,
    /// The servers that list a resource, by its URI.
    resources: OnceLock<HashMap<String, Vec<usize>>>,
    /// The index of what these rules show.
    index: Mutex<Option<(Weak<Anonymizer>, Arc<SearchIndex>)>>,
}

#[derive(Debug)]
struct SnapshotTool {
    server: usize,
    pinned: bool,
    entry: ListingEntry<Tool>,
}

impl Snapshot {
    /// Combines the servers' listings. A name that `claims` gives to one thing is given to nothing else.
    pub(super) fn new(servers: Vec<SnapshotServer>, claims: &mut CatalogClaims) -> Self {
        let mut snapshot = Self {
            tools: Vec::new(),
            by_id: HashMap::new(),
            tool_names: AliasTable::default(),
            prompts: Vec::new(),
            prompt_names: AliasTable::default(),
            complaints: servers.iter().flat_map(|owner| owner.listing.complaints.iter().cloned()).collect(),
            resources: OnceLock::new(),
            index: Mutex::default(),
            servers,
        };
        snapshot.name_tools(&mut claims.tools);
        snapshot.name_prompts(&mut claims.prompts);
        snapshot
    }

    fn name_tools(&mut self, claims: &mut AliasClaims) {
        // Two rounds. All prefixed names are assigned first, so that no unprefixed name can take one of them.
        let mut all: Vec<(usize, ListingEntry<Tool>, String)> = Vec::new();
        for (at, owner) in self.servers.iter().enumerate() {
            for shown in &owner.listing.tools {
                let (server, name) = (owner.server.as_str(), shown.item.name.expose());
                match self.tool_names.assign_alias(server, name, all.len(), claims) {
                    Some(alias) => all.push((at, shown.clone(), alias)),
                    None => self.complaints.push(unnamed_problem(owner, name)),
                }
            }
        }
        for (position, (at, shown, alias)) in all.into_iter().enumerate() {
            let owner = &self.servers[at];
            let name = shown.item.name.expose().as_str();
            let alias = own_name_or(&mut self.tool_names, owner, name, (alias, position), claims);
            // The name with a digest is understood too. So a name keeps its meaning if one that differs only
            // in case disappears.
            self.tool_names
                .insert_alias(&alias::wire_name_with_digest(owner.server.as_str(), name), position);
            // Pins are the server's own names, since people copy them from the server's documentation.
            let pinned = owner.pinned.as_ref().is_none_or(|pinned| pinned.iter().any(|pin| pin == name));
            let shown = if shown.item.alias == alias { shown } else { shown.renamed(&alias) };
            self.by_id.insert(shown.item.id.clone(), position);
            self.tools.push(SnapshotTool { server: at, pinned, entry: shown });
        }
    }

    fn name_prompts(&mut self, claims: &mut AliasClaims) {
        let mut all: Vec<(usize, ListingEntry<Prompt>, String)> = Vec::new();
        for (at, owner) in self.servers.iter().enumerate() {
            for shown in &owner.listing.prompts {
                match self.prompt_names.assign_alias(
                    owner.server.as_str(),
                    &shown.item.name,
                    all.len(),
                    claims,
                ) {
                    Some(alias) => all.push((at, shown.clone(), alias)),
                    None => self.complaints.push(unnamed_problem(owner, &shown.item.name)),
                }
            }
        }
        for (position, (at, shown, alias)) in all.into_iter().enumerate() {
            let owner = &self.servers[at];
            let alias =
                own_name_or(&mut self.prompt_names, owner, &shown.item.name, (alias, position), claims);
            let shown = if shown.item.alias == alias { shown } else { shown.renamed(&alias) };
            self.prompts.push((at, shown));
        }
    }

    pub(super) fn complaints(&self) -> &[ListingProblem] {
        &self.complaints
    }

    /// The servers' own names of all tools and prompts.
    pub(super) fn names(&self) -> impl Iterator<Item = (&ServerName, &str)> {
        let tools = self.tools.iter().map(|item| (item.server, item.entry.item.name.expose().as_str()));
        let prompts = self.prompts.iter().map(|(owner, shown)| (*owner, shown.item.name.as_str()));
        tools.chain(prompts).map(|(owner, name)| (&self.servers[owner].server, name))
    }

    pub(super) fn tools(&self) -> impl ExactSizeIterator<Item = &Arc<Tool>> {
        self.tools.iter().map(|item| &item.entry.item)
    }

    pub(super) fn tool(&self, id: &ToolId) -> Option<&Arc<Tool>> {
        self.by_id.get(id).map(|at| &self.tools[*at].entry.item)
    }

    pub(super) fn is_pinned(&self, id: &ToolId) -> bool {
        self.by_id.get(id).is_some_and(|at| self.tools[*at].pinned)
    }

    /// The tools that have an `outputSchema`, valid or not.
    pub(super) fn tools_with_output_schema(&self) -> impl Iterator<Item = &ToolId> {
        self.tools
            .iter()
            .map(|item| &*item.entry.item)
            .filter(|tool| tool.has_output_schema)
            .map(|tool| &tool.id)
    }

    pub(super) fn resolve_tool(&self, spelled: &str) -> Option<&ToolId> {
        // Aliases before canonical names: an alias is what the agent was shown.
        if let Some(at) = self.tool_names.meaning(spelled) {
            return Some(&self.tools[at].entry.item.id);
        }
        // The canonical name, or the server's own name after the first `/`.
        let own = || {
            let (server, name) = spelled.split_once('/')?;
            Some(ToolId::new(server.parse().ok()?, ToolName::from_child(name).ok()?))
        };
        let found = |id: &ToolId| self.by_id.get_key_value(id).map(|(id, _)| id);
        spelled.parse().ok().as_ref().and_then(found).or_else(|| found(&own()?))
    }

    pub(super) fn resolve_prompt(&self, name: &str) -> Option<(ServerName, String)> {
        let at = self.prompt_names.meaning(name).or_else(|| {
            let (server, name) = name.split_once('/')?;
            self.prompts.iter().position(|(at, shown)| {
                self.servers[*at].server.as_str() == server && shown.item.name == name
            })
        })?;
        let (at, shown) = &self.prompts[at];
        Some((self.servers[*at].server.clone(), shown.item.name.clone()))
    }

    pub(super) fn list_tools(&self, view: &CatalogView<'_>) -> RawJson {
        let mut list: Vec<&RawValue> = Vec::with_capacity(self.tools.len());
        for item in &self.tools {
            let Some(listed) = &item.entry.listed else { continue };
            let id = &item.entry.item.id;
            if !item.pinned && !view.recent.contains(id) || (view.is_private)(item.entry.item.name.expose()) {
                continue;
            }
            match (view.action)(id) {
                Action::Deny => {}
                Action::Allow => list.push(&listed.whole),
                Action::RequireApproval => {
                    list.push(listed.without_output.as_ref().unwrap_or(&listed.whole));
                }
            }
        }
        json::serialize_raw(&list)
    }

    pub(super) fn list_resources(&self, view: &CatalogView<'_>) -> RawJson {
        let open = self.visible_servers(view, Operation::ReadResource);
        let list: Vec<&RawValue> =
            open.flat_map(|(_, owner)| &owner.listing.resources).map(|resource| &*resource.listed).collect();
        json::serialize_raw(&list)
    }

    pub(super) fn list_templates(&self, view: &CatalogView<'_>) -> RawJson {
        let open = self.visible_servers(view, Operation::ReadResource);
        let list: Vec<&RawValue> =
            open.flat_map(|(_, owner)| &owner.listing.templates).map(|template| &*template.listed).collect();
        json::serialize_raw(&list)
    }

    pub(super) fn list_prompts(&self, view: &CatalogView<'_>) -> RawJson {
        let open: Vec<usize> = self.visible_servers(view, Operation::GetPrompt).map(|(at, _)| at).collect();
        let list: Vec<&RawValue> = self
            .prompts
            .iter()
            .filter(|(at, shown)| open.binary_search(at).is_ok() && !(view.is_private)(&shown.item.name))
            .filter_map(|(_, shown)| shown.listed.as_deref())
            .map(|listed| &*listed.whole)
            .collect();
        json::serialize_raw(&list)
    }

    /// The lists of tools, resources with templates, and prompts, without any policy.
    pub(super) fn list_all_unfiltered(&self) -> [String; 3] {
        let recent = HashSet::new();
        let view = CatalogView { action: &|_| Action::Allow, recent: &recent, is_private: &|_| false };
        let resources = [self.list_resources(&view), self.list_templates(&view)];
        [
            self.list_tools(&view).get().to_owned(),
            resources.map(|list| list.get().to_owned()).concat(),
            self.list_prompts(&view).get().to_owned(),
        ]
    }

    /// The servers for which policy doesn't deny the operation.
    fn visible_servers<'s>(
        &'s self,
        view: &'s CatalogView<'_>,
        operation: Operation,
    ) -> impl Iterator<Item = (usize, &'s SnapshotServer)> {
        self.servers.iter().enumerate().filter(move |(_, owner)| {
            (view.action)(&ToolId::new(owner.server.clone(), operation)) != Action::Deny
        })
    }

    /// The server and original URI of a wrapped URI.
    pub(super) fn unwrap_resource(&self, uri: &str) -> Option<(ServerName, String)> {
        let (name, original) = uri::unwrap_uri(uri)?;
        Some((self.find_server(name)?.clone(), original.to_owned()))
    }

    /// The server of an unwrapped URI.
    pub(super) fn resource_owner(&self, uri: &str, prefer: Option<&ServerName>) -> Option<ServerName> {
        // Several candidates are as good as none: choosing one would send the request to a server that wasn't
        // meant.
        match self.resource_candidates(uri).as_slice() {
            [only] => Some(self.servers[*only].server.clone()),
            _ => prefer.cloned(),
        }
    }

    /// Whether an unwrapped URI still belongs to this server.
    pub(super) fn has_resource(&self, server: &ServerName, uri: &str) -> bool {
        self.resource_candidates(uri).iter().any(|at| self.servers[*at].server == *server)
    }

    /// The servers that list a URI, or else those with a matching template.
    fn resource_candidates(&self, uri: &str) -> Vec<usize> {
        let listing =
            self.resources.get_or_init(|| self.index_resources()).get(uri).cloned().unwrap_or_default();
        if listing.is_empty() { self.template_candidates(uri) } else { listing }
    }

    /// Finds a server by name. Some clients write a URI's host in lower case, so that is accepted if it is
    /// unambiguous.
    fn find_server(&self, name: &str) -> Option<&ServerName> {
        let servers = || self.servers.iter().map(|owner| &owner.server);
        servers().find(|server| server.as_str() == name).or_else(|| {
            // Two servers that differ only in case make such a name ambiguous, and no server is guessed.
            let mut alike = servers().filter(|server| server.as_str().to_ascii_lowercase() == name);
            alike.next().filter(|_| alike.next().is_none())
        })
    }

    fn index_resources(&self) -> HashMap<String, Vec<usize>> {
        let mut by_uri: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, owner) in self.servers.iter().enumerate() {
            for resource in &owner.listing.resources {
                by_uri.entry(resource.uri.clone()).or_default().push(at);
            }
        }
        by_uri
    }

    fn template_candidates(&self, uri: &str) -> Vec<usize> {
        let has =
            |owner: &SnapshotServer| owner.listing.templates.iter().any(|known| known.template.matches(uri));
        self.servers.iter().enumerate().filter(|(_, owner)| has(owner)).map(|(at, _)| at).collect()
    }

    /// The matching tools with their scores, the best first.
    pub(super) fn search(
        &self,
        query: &str,
        category: Option<&str>,
        anonymizer: &Arc<Anonymizer>,
    ) -> Vec<(&Arc<Tool>, f32)> {
        let index = self.index_for(anonymizer);
        let in_category = |at: usize| {
            let owner = &self.servers[self.tools[at].server];
            category.is_none_or(|category| {
                owner.server.as_str().eq_ignore_ascii_case(category)
                    || owner.categories.iter().any(|own| own.eq_ignore_ascii_case(category))
            })
        };
        index
            .search(query)
            .into_iter()
            .filter(|(at, _)| in_category(*at))
            .map(|(at, score)| (&self.tools[at].entry.item, score))
            .collect()
    }

    fn index_for(&self, anonymizer: &Arc<Anonymizer>) -> Arc<SearchIndex> {
        let mut known = lock(&self.index);
        if let Some((rules, index)) = &*known
            && std::ptr::eq(rules.as_ptr(), Arc::as_ptr(anonymizer))
        {
            return Arc::clone(index);
        }
        let tools = self.tools.iter().map(|item| (&*item.entry.item, &*self.servers[item.server].categories));
        let index = Arc::new(SearchIndex::new(tools, anonymizer));
        // The weak reference keeps the address from being used for other rules.
        *known = Some((Arc::downgrade(anonymizer), Arc::clone(&index)));
        index
    }
}

/// The server's own name if it is exposed and free, else the prefixed one. Own names hold no `__`, so they
/// can't collide with prefixed ones. Of several servers the first in the configuration gets the name.
fn own_name_or(
    names: &mut AliasTable,
    owner: &SnapshotServer,
    name: &str,
    (alias, what): (String, usize),
    claims: &mut AliasClaims,
) -> String {
    let server = owner.server.as_str();
    let unprefixed = !owner.prefix && alias::can_be_unprefixed(name);
    if unprefixed && names.claim_alias(name, (server, name), what, claims) { name.to_owned() } else { alias }
}

fn unnamed_problem(owner: &SnapshotServer, name: &str) -> ListingProblem {
    ListingProblem {
        server: owner.server.clone(),
        subject: Real::from_server(name.to_owned()),
        problem: "another one takes its name toward the agent".to_owned(),
        remedy: Remedy::Dropped,
    }
}
