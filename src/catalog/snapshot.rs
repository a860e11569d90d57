//! All servers' stocks put together: unique names, and the ways to find things. It never changes; a change
//! makes a new one.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;

use super::alias::{self, Claims, Names};
use super::search::Index;
use super::stock::{Prompt, Shown, Stock};
use super::{Complaint, Remedy, Tool, View, uri};
use crate::anonymize::Real;
use crate::json::{self, RawJson};
use crate::names::{Operation, ServerName, ToolId, ToolName};
use crate::policy::Action;

/// One server as the snapshot has it.
#[derive(Debug, Clone)]
pub(super) struct Shelf {
    pub(super) server: ServerName,
    /// Whether names are prefixed, by the configuration or since the own ones may be an earlier server's.
    pub(super) prefix: bool,
    /// None means that all are shown.
    pub(super) pinned: Option<Vec<String>>,
    pub(super) categories: Vec<String>,
    pub(super) stock: Arc<Stock>,
}

/// What names were given to.
#[derive(Debug, Default)]
pub(super) struct AllClaims {
    tools: Claims,
    prompts: Claims,
}

#[derive(Debug)]
pub(super) struct Snapshot {
    shelves: Vec<Shelf>,
    tools: Vec<Item>,
    by_id: HashMap<ToolId, usize>,
    tool_names: Names,
    /// With the position of their server.
    prompts: Vec<(usize, Shown<Prompt>)>,
    prompt_names: Names,
    complaints: Vec<Complaint>,
    /// The servers that list a resource under a URI of their own.
    resources: OnceLock<HashMap<String, Vec<usize>>>,
    index: OnceLock<Index>,
}

#[derive(Debug)]
struct Item {
    shelf: usize,
    pinned: bool,
    shown: Shown<Tool>,
}

impl Snapshot {
    /// Puts the shelves together. A name that something had before, by `claims`, is given to nothing else.
    pub(super) fn new(shelves: Vec<Shelf>, claims: &mut AllClaims) -> Self {
        let mut snapshot = Self {
            tools: Vec::new(),
            by_id: HashMap::new(),
            tool_names: Names::default(),
            prompts: Vec::new(),
            prompt_names: Names::default(),
            complaints: shelves.iter().flat_map(|shelf| shelf.stock.complaints.iter().cloned()).collect(),
            resources: OnceLock::new(),
            index: OnceLock::new(),
            shelves,
        };
        snapshot.name_tools(&mut claims.tools);
        snapshot.name_prompts(&mut claims.prompts);
        snapshot
    }

    fn name_tools(&mut self, claims: &mut Claims) {
        let mut all: Vec<(usize, Shown<Tool>, String)> = Vec::new();
        for (at, shelf) in self.shelves.iter().enumerate() {
            for shown in &shelf.stock.tools {
                let (server, name) = (shelf.server.as_str(), shown.it.name.expose());
                match self.tool_names.name(server, name, all.len(), claims) {
                    Some(alias) => all.push((at, shown.clone(), alias)),
                    None => self.complaints.push(nameless(shelf, name)),
                }
            }
        }
        for (position, (at, shown, alias)) in all.into_iter().enumerate() {
            let shelf = &self.shelves[at];
            let name = shown.it.name.expose().as_str();
            let alias = own_or(&mut self.tool_names, shelf, name, (alias, position), claims);
            // Understood as well, so that a name keeps its meaning when one that differs in case goes away.
            self.tool_names.add(&alias::wire_name_with_digest(shelf.server.as_str(), name), position);
            let pinned = shelf.pinned.as_ref().is_none_or(|pinned| pinned.iter().any(|pin| pin == name));
            let shown = if shown.it.alias == alias { shown } else { shown.renamed(&alias) };
            self.by_id.insert(shown.it.id.clone(), position);
            self.tools.push(Item { shelf: at, pinned, shown });
        }
    }

    fn name_prompts(&mut self, claims: &mut Claims) {
        let mut all: Vec<(usize, Shown<Prompt>, String)> = Vec::new();
        for (at, shelf) in self.shelves.iter().enumerate() {
            for shown in &shelf.stock.prompts {
                match self.prompt_names.name(shelf.server.as_str(), &shown.it.name, all.len(), claims) {
                    Some(alias) => all.push((at, shown.clone(), alias)),
                    None => self.complaints.push(nameless(shelf, &shown.it.name)),
                }
            }
        }
        for (position, (at, shown, alias)) in all.into_iter().enumerate() {
            let shelf = &self.shelves[at];
            let alias = own_or(&mut self.prompt_names, shelf, &shown.it.name, (alias, position), claims);
            let shown = if shown.it.alias == alias { shown } else { shown.renamed(&alias) };
            self.prompts.push((at, shown));
        }
    }

    pub(super) fn complaints(&self) -> &[Complaint] {
        &self.complaints
    }

    /// The servers' own names of all tools and prompts.
    pub(super) fn names(&self) -> impl Iterator<Item = (&ServerName, &str)> {
        let tools = self.tools.iter().map(|item| (item.shelf, item.shown.it.name.expose().as_str()));
        let prompts = self.prompts.iter().map(|(shelf, shown)| (*shelf, shown.it.name.as_str()));
        tools.chain(prompts).map(|(shelf, name)| (&self.shelves[shelf].server, name))
    }

    pub(super) fn tools(&self) -> impl ExactSizeIterator<Item = &Arc<Tool>> {
        self.tools.iter().map(|item| &item.shown.it)
    }

    pub(super) fn tool(&self, id: &ToolId) -> Option<&Arc<Tool>> {
        self.by_id.get(id).map(|at| &self.tools[*at].shown.it)
    }

    pub(super) fn is_pinned(&self, id: &ToolId) -> bool {
        self.by_id.get(id).is_some_and(|at| self.tools[*at].pinned)
    }

    /// The tools that have an `outputSchema`, whatever it says.
    pub(super) fn with_output_schema(&self) -> impl Iterator<Item = &ToolId> {
        self.tools
            .iter()
            .map(|item| &*item.shown.it)
            .filter(|tool| tool.has_output_schema)
            .map(|tool| &tool.id)
    }

    pub(super) fn resolve_tool(&self, spelled: &str) -> Option<&ToolId> {
        if let Some(at) = self.tool_names.meaning(spelled) {
            return Some(&self.tools[at].shown.it.id);
        }
        // By its canonical name, or with the server's own behind the first `/`.
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
            self.prompts
                .iter()
                .position(|(at, shown)| self.shelves[*at].server.as_str() == server && shown.it.name == name)
        })?;
        let (at, shown) = &self.prompts[at];
        Some((self.shelves[*at].server.clone(), shown.it.name.clone()))
    }

    pub(super) fn list_tools(&self, view: &View<'_>) -> RawJson {
        let mut list: Vec<&RawValue> = Vec::with_capacity(self.tools.len());
        for item in &self.tools {
            let Some(listed) = &item.shown.listed else { continue };
            let id = &item.shown.it.id;
            if !item.pinned && !view.recent.contains(id) || (view.is_private)(item.shown.it.name.expose()) {
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
        json::raw(&list)
    }

    pub(super) fn list_resources(&self, view: &View<'_>) -> RawJson {
        let open = self.open_shelves(view, Operation::ReadResource);
        let list: Vec<&RawValue> =
            open.flat_map(|(_, shelf)| &shelf.stock.resources).map(|resource| &*resource.listed).collect();
        json::raw(&list)
    }

    pub(super) fn list_templates(&self, view: &View<'_>) -> RawJson {
        let open = self.open_shelves(view, Operation::ReadResource);
        let list: Vec<&RawValue> =
            open.flat_map(|(_, shelf)| &shelf.stock.templates).map(|template| &*template.listed).collect();
        json::raw(&list)
    }

    pub(super) fn list_prompts(&self, view: &View<'_>) -> RawJson {
        let open: Vec<usize> = self.open_shelves(view, Operation::GetPrompt).map(|(at, _)| at).collect();
        let list: Vec<&RawValue> = self
            .prompts
            .iter()
            .filter(|(at, shown)| open.binary_search(at).is_ok() && !(view.is_private)(&shown.it.name))
            .filter_map(|(_, shown)| shown.listed.as_deref())
            .map(|listed| &*listed.whole)
            .collect();
        json::raw(&list)
    }

    /// The lists of tools, resources with templates, and prompts, as they are without any policy.
    pub(super) fn everything(&self) -> [String; 3] {
        let recent = HashSet::new();
        let view = View { action: &|_| Action::Allow, recent: &recent, is_private: &|_| false };
        let resources = [self.list_resources(&view), self.list_templates(&view)];
        [
            self.list_tools(&view).get().to_owned(),
            resources.map(|list| list.get().to_owned()).concat(),
            self.list_prompts(&view).get().to_owned(),
        ]
    }

    /// The servers of which policy does not deny the operation.
    fn open_shelves<'s>(
        &'s self,
        view: &'s View<'_>,
        operation: Operation,
    ) -> impl Iterator<Item = (usize, &'s Shelf)> {
        self.shelves.iter().enumerate().filter(move |(_, shelf)| {
            (view.action)(&ToolId::new(shelf.server.clone(), operation)) != Action::Deny
        })
    }

    /// The server and the URI there, of a wrapped one.
    pub(super) fn unwrap_resource(&self, uri: &str) -> Option<(ServerName, String)> {
        let (name, original) = uri::unwrap(uri)?;
        Some((self.server_spelled(name)?.clone(), original.to_owned()))
    }

    /// The server that an unwrapped URI is on.
    pub(super) fn resource_owner(&self, uri: &str, prefer: Option<&ServerName>) -> Option<ServerName> {
        match self.candidates(uri).as_slice() {
            [only] => Some(self.shelves[*only].server.clone()),
            _ => prefer.cloned(),
        }
    }

    /// Whether an unwrapped URI is still one of this server's.
    pub(super) fn has_resource(&self, server: &ServerName, uri: &str) -> bool {
        self.candidates(uri).iter().any(|at| self.shelves[*at].server == *server)
    }

    /// The servers that list a URI, or else those with a template that it fits.
    fn candidates(&self, uri: &str) -> Vec<usize> {
        let listing = self.resources.get_or_init(|| self.by_uri()).get(uri).cloned().unwrap_or_default();
        if listing.is_empty() { self.with_template_for(uri) } else { listing }
    }

    /// Some clients write the host of a URI in lower case.
    fn server_spelled(&self, name: &str) -> Option<&ServerName> {
        let servers = || self.shelves.iter().map(|shelf| &shelf.server);
        servers().find(|server| server.as_str() == name).or_else(|| {
            let mut alike = servers().filter(|server| server.as_str().to_ascii_lowercase() == name);
            alike.next().filter(|_| alike.next().is_none())
        })
    }

    fn by_uri(&self) -> HashMap<String, Vec<usize>> {
        let mut by_uri: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, shelf) in self.shelves.iter().enumerate() {
            for resource in &shelf.stock.resources {
                by_uri.entry(resource.uri.clone()).or_default().push(at);
            }
        }
        by_uri
    }

    fn with_template_for(&self, uri: &str) -> Vec<usize> {
        let has = |shelf: &Shelf| shelf.stock.templates.iter().any(|known| known.template.matches(uri));
        self.shelves.iter().enumerate().filter(|(_, shelf)| has(shelf)).map(|(at, _)| at).collect()
    }

    /// The positions of the tools that fit, with their scores, the best first.
    pub(super) fn search(&self, query: &str, category: Option<&str>) -> Vec<(&Arc<Tool>, f32)> {
        let index = self.index.get_or_init(|| {
            Index::new(self.tools.iter().map(|item| (&*item.shown.it, &*self.shelves[item.shelf].categories)))
        });
        let in_category = |at: usize| {
            let shelf = &self.shelves[self.tools[at].shelf];
            category.is_none_or(|category| {
                shelf.server.as_str().eq_ignore_ascii_case(category)
                    || shelf.categories.iter().any(|own| own.eq_ignore_ascii_case(category))
            })
        };
        index
            .search(query)
            .into_iter()
            .filter(|(at, _)| in_category(*at))
            .map(|(at, score)| (&self.tools[at].shown.it, score))
            .collect()
    }
}

/// The server's own name where it is exposed and free, else the prefixed one. The own ones hold no `__`, so
/// no prefixed one is in their way; the first server in the configuration has a name.
fn own_or(
    names: &mut Names,
    shelf: &Shelf,
    name: &str,
    (alias, what): (String, usize),
    claims: &mut Claims,
) -> String {
    let server = shelf.server.as_str();
    let stands = !shelf.prefix && alias::stands_alone(name);
    if stands && names.claim(name, (server, name), what, claims) { name.to_owned() } else { alias }
}

fn nameless(shelf: &Shelf, name: &str) -> Complaint {
    Complaint {
        server: shelf.server.clone(),
        subject: Real::from_server(name.to_owned()),
        problem: "another one takes its name toward the agent".to_owned(),
        remedy: Remedy::Dropped,
    }
}
