//! What the servers offer: checked, named, cached, searched.
//!
//! A [`Catalog`] holds each server's last known lists, from a cache on disk until the server itself has
//! answered. What it gives to the agent's side is mended so that no server can make a client drop the whole
//! list; everything that needs no mending stays byte for byte. What comes out is [`Real`]: it must be
//! concealed before it leaves.

pub mod alias;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use crate::anonymize::Real;
use crate::config;
use crate::json::RawJson;
use crate::names::{ServerName, ToolId};
use crate::policy::Action;
use crate::server::{List, Offer};

/// The lists of all servers.
#[derive(Debug)]
pub struct Catalog {}

/// Through whose eyes a list is seen.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What policy says about a tool or operation; what it denies is left out.
    pub action: &'a dyn Fn(&ToolId) -> Action,
    /// The tools that were used of late: they are listed even if their server pins others.
    pub recent: &'a HashSet<ToolId>,
}

/// A tool, as its server lists it.
#[derive(Debug)]
pub struct Tool {
    /// Its canonical name.
    pub id: ToolId,
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
}

/// A tool's `annotations`, which are the server's word only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    /// The catalog of these servers, in their order, filled from `cache`, a directory, where that is given.
    #[must_use]
    pub fn new(servers: &[config::Server], cache: Option<PathBuf>) -> Self {
        todo!()
    }

    /// Takes what a server offers now, and tells which lists changed.
    pub fn set_offer(&self, server: &ServerName, offer: Offer) -> Vec<List> {
        todo!()
    }

    /// Notes that a server could not tell what it offers. What was known of it stays.
    pub fn offer_failed(&self, server: &ServerName, reason: String) {
        todo!()
    }

    /// Takes the servers of a new configuration and tells which lists changed; what is known of servers
    /// that did not change stays.
    pub fn replace(&self, servers: &[config::Server]) -> Vec<List> {
        todo!()
    }

    /// Every server, in the order of the configuration.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerName> {
        todo!()
    }

    /// Whether a server's lists are known, from itself or from the cache.
    #[must_use]
    pub fn known(&self, server: &ServerName) -> bool {
        todo!()
    }

    /// The servers whose lists are not known and that have not failed to tell them.
    #[must_use]
    pub fn missing(&self) -> Vec<ServerName> {
        todo!()
    }

    /// The servers that failed to tell what they offer, and why.
    #[must_use]
    pub fn failures(&self) -> Vec<(ServerName, String)> {
        todo!()
    }

    /// What was mended or left out.
    #[must_use]
    pub fn complaints(&self) -> Vec<Complaint> {
        todo!()
    }

    /// The tool that a name means: its name toward the agent, the canonical `server/tool`, or the server's
    /// own name where that is exposed.
    #[must_use]
    pub fn resolve_tool(&self, spelled: &str) -> Option<ToolId> {
        todo!()
    }

    /// A tool that its server lists.
    #[must_use]
    pub fn tool(&self, id: &ToolId) -> Option<Arc<Tool>> {
        todo!()
    }

    /// Every tool, in the order of the servers, then in each server's own.
    #[must_use]
    pub fn tools(&self) -> Vec<Arc<Tool>> {
        todo!()
    }

    /// How many tools there are, listed or not.
    #[must_use]
    pub fn tool_count(&self) -> usize {
        todo!()
    }

    /// A digest of a tool's definition, exactly as its server gave it; approvals bind to it.
    #[must_use]
    pub fn definition(&self, id: &ToolId) -> Option<String> {
        todo!()
    }

    /// A server's `instructions`.
    #[must_use]
    pub fn instructions(&self, server: &ServerName) -> Option<Real<String>> {
        todo!()
    }

    /// A server's `capabilities`, as it declared them.
    #[must_use]
    pub fn capabilities(&self, server: &ServerName) -> Option<Real<RawJson>> {
        todo!()
    }

    /// The tools to list, as a JSON array, without Portero's own.
    ///
    /// Left out is what policy denies, and what its server does not pin unless it was used of late. Where a
    /// person must be asked, `outputSchema` is left out, since the pending answer does not follow it.
    #[must_use]
    pub fn list_tools(&self, view: &View<'_>) -> Real<RawJson> {
        todo!()
    }

    /// The resources to list, as a JSON array.
    #[must_use]
    pub fn list_resources(&self, view: &View<'_>) -> Real<RawJson> {
        todo!()
    }

    /// The resource templates to list, as a JSON array.
    #[must_use]
    pub fn list_templates(&self, view: &View<'_>) -> Real<RawJson> {
        todo!()
    }

    /// The prompts to list, as a JSON array.
    #[must_use]
    pub fn list_prompts(&self, view: &View<'_>) -> Real<RawJson> {
        todo!()
    }

    /// The server that a resource is on, and its URI there.
    ///
    /// A wrapped URI says so itself. Another one is for the only server that lists it, or else for the only
    /// one with a template that it fits, or else for `prefer`.
    #[must_use]
    pub fn resolve_resource(&self, uri: &str, prefer: Option<&ServerName>) -> Option<(ServerName, String)> {
        todo!()
    }

    /// The server that a prompt is on, and its name there.
    #[must_use]
    pub fn resolve_prompt(&self, name: &str) -> Option<(ServerName, String)> {
        todo!()
    }

    /// A server's URI as the agent sees it.
    #[must_use]
    pub fn wrap_uri(&self, server: &ServerName, uri: &str) -> String {
        todo!()
    }

    /// Wraps the URIs of resource links, embedded resources and read contents in a result. Those that are
    /// wrapped already, and every other byte, stay.
    #[must_use]
    pub fn wrap_links(&self, server: &ServerName, result: Real<RawJson>) -> Real<RawJson> {
        todo!()
    }

    /// The tools that fit a query best, without those that policy denies. An empty query finds all of them,
    /// in their order; `category` is a server's name or one of its categories.
    #[must_use]
    pub fn search(&self, query: &str, category: Option<&str>, limit: usize, view: &View<'_>) -> Vec<Hit> {
        todo!()
    }
}
