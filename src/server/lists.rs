//! Pages through a server's lists, with an end whatever the server answers.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::envelope::MetaMembers;
use super::events::ServerEvents;
use super::handshake::HandshakeResult;
use super::rpc_client::{OutgoingRequest, RpcClient};
use super::{ListKind, ServerAnswer, ServerError, ServerListing};
use crate::anonymize::Real;
use crate::json::{self, RawJson, RawObject};
use crate::names::ServerName;
use crate::wire::codes;

/// The most pages of one list.
const MAX_PAGES: usize = 1_000;

/// How far a list is followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListLimits {
    /// The time limit for one page.
    pub(super) page_timeout: Duration,
    /// The most bytes of all pages together.
    pub(super) max_bytes: usize,
}

/// A list method of MCP.
struct ListMethod {
    list: ListKind,
    capability: &'static str,
    method: &'static str,
    key: &'static str,
}

const TOOLS: ListMethod =
    ListMethod { list: ListKind::Tools, capability: "tools", method: "tools/list", key: "tools" };
const RESOURCES: ListMethod = ListMethod {
    list: ListKind::Resources,
    capability: "resources",
    method: "resources/list",
    key: "resources",
};
const TEMPLATES: ListMethod = ListMethod {
    list: ListKind::Resources,
    capability: "resources",
    method: "resources/templates/list",
    key: "resourceTemplates",
};
const PROMPTS: ListMethod =
    ListMethod { list: ListKind::Prompts, capability: "prompts", method: "prompts/list", key: "prompts" };

/// The definitions of listed tools, by name. Of two with one name the first counts, as in the catalog.
pub(super) fn listed_tools(tools: &[RawJson]) -> HashMap<String, RawJson> {
    let mut listed = HashMap::new();
    for tool in tools {
        if let Some(name) = RawObject::read(tool).unwrap_or_default().get_text("name") {
            listed.entry(name.into_owned()).or_insert_with(|| tool.clone());
        }
    }
    listed
}

/// Why a list couldn't be fetched.
enum ListFailure {
    Refused,
    Failed(ServerError),
}

impl ListFailure {
    /// Turns the failure into an error, because a server without its tools is broken.
    fn into_tools_error(self, server: &ServerName) -> ServerError {
        match self {
            Self::Refused => {
                ServerError::StartFailed(server.clone(), "it refused to list its tools".to_owned())
            }
            Self::Failed(error) => listing_error(error),
        }
    }
}

/// Listing is Portero's own request. If it fails, no call was sent, so no effect is in doubt.
fn listing_error(error: ServerError) -> ServerError {
    let (server, reason) = match error {
        ServerError::Stopped(server) => (server, "it stopped before it had listed what it offers".to_owned()),
        ServerError::Timeout(server, seconds) => {
            (server, format!("it did not list what it offers within {seconds} s"))
        }
        ServerError::TooLong(server, most) => {
            (server, format!("it listed what it offers with more than {most} bytes"))
        }
        ServerError::Malformed(server, why) => {
            (server, format!("it listed what it offers with what is no MCP message: {why}"))
        }
        ServerError::RequestFailed(server, why) => (server, why),
        other @ (ServerError::Unknown(_)
        | ServerError::StartFailed(..)
        | ServerError::SessionEnded(_)
        | ServerError::NotReached(..)
        | ServerError::LoginNeeded(..)
        | ServerError::Reported(..)
        | ServerError::NotListed(..)
        | ServerError::Redefined(..)
        | ServerError::OtherProcess(_)
        | ServerError::Cancelled) => return other,
    };
    ServerError::StartFailed(server, reason)
}

fn list_or_empty(list: Result<Vec<RawJson>, ListFailure>) -> Result<Vec<RawJson>, ServerError> {
    match list {
        Ok(list) => Ok(list),
        Err(
            ListFailure::Refused
            | ListFailure::Failed(
                ServerError::Timeout(..) | ServerError::TooLong(..) | ServerError::Malformed(..),
            ),
        ) => Ok(Vec::new()),
        Err(ListFailure::Failed(error)) => Err(listing_error(error)),
    }
}

/// Asks one server for its lists.
pub(super) struct ListFetcher<'a> {
    pub(super) rpc: &'a RpcClient,
    /// The result of the handshake. Lists that it doesn't declare are empty.
    pub(super) handshake: Option<&'a HandshakeResult>,
    pub(super) events: &'a ServerEvents,
    pub(super) limits: ListLimits,
}

impl ListFetcher<'_> {
    /// Fetches everything that the server offers. A refused list counts as empty, except the tools: a server
    /// without its tools is broken.
    pub(super) async fn fetch_listing(&self) -> Result<ServerListing, ServerError> {
        // Concurrently. Most servers answer one after the other, but their round trips overlap.
        let (tools, resources, templates, prompts) = tokio::join!(
            self.fetch_all_pages(&TOOLS),
            self.fetch_all_pages(&RESOURCES),
            self.fetch_all_pages(&TEMPLATES),
            self.fetch_all_pages(&PROMPTS),
        );
        let tools = tools.map_err(|failure| failure.into_tools_error(&self.rpc.server))?;
        Ok(ServerListing {
            instructions: self.handshake.and_then(|handshake| handshake.instructions.clone()),
            capabilities: self.handshake.and_then(|handshake| handshake.capabilities.clone()),
            tools,
            resources: list_or_empty(resources)?,
            templates: list_or_empty(templates)?,
            prompts: list_or_empty(prompts)?,
        })
    }

    /// The tools that the server lists, by name.
    pub(super) async fn fetch_tools(&self) -> Result<HashMap<String, RawJson>, ServerError> {
        let tools = self.fetch_all_pages(&TOOLS).await;
        let tools = tools.map_err(|failure| failure.into_tools_error(&self.rpc.server))?;
        Ok(listed_tools(&tools))
    }

    /// Fetches all pages of a list. The list of a server that goes on for ever, or in circles, is cut.
    async fn fetch_all_pages(&self, listed: &ListMethod) -> Result<Vec<RawJson>, ListFailure> {
        let mut items = Vec::new();
        if !self.handshake.is_some_and(|handshake| handshake.declares(listed.capability)) {
            return Ok(items);
        }
        // Before the first page: a change during the paging is announced again, and the list is fetched once
        // more.
        self.events.clear_list_change(listed.list);
        let (mut cursor, mut bytes) = (None, 0);
        let mut cursors = HashSet::new();
        for _ in 0..MAX_PAGES {
            let page = self.fetch_page(listed, cursor.as_deref()).await?;
            bytes += page.get().len();
            if bytes > self.limits.max_bytes {
                self.warn_cut_short(listed, "it is too long");
                return Ok(items);
            }
            let object = RawObject::read(&page).unwrap_or_default();
            let entries: Option<Vec<&RawValue>> =
                object.get(listed.key).and_then(|list| serde_json::from_str(list.get()).ok());
            items.extend(entries.unwrap_or_default().into_iter().map(ToOwned::to_owned));
            let next =
                object.get_text("nextCursor").filter(|next| !next.is_empty()).map(|next| next.into_owned());
            let Some(next) = next else { return Ok(items) };
            // A cursor that comes back means a circle, which `MAX_PAGES` alone would end only after a thousand
            // requests.
            if !cursors.insert(next.clone()) {
                self.warn_cut_short(listed, "its pages go in circles");
                return Ok(items);
            }
            cursor = Some(json::parse_raw(format!("{{\"cursor\":{}}}", json::serialize_raw(&next).get())))
                .transpose()
                .unwrap_or_default();
        }
        self.warn_cut_short(listed, "it has too many pages");
        Ok(items)
    }

    async fn fetch_page(
        &self,
        listed: &ListMethod,
        params: Option<&RawValue>,
    ) -> Result<RawJson, ListFailure> {
        let members = self.handshake.and_then(|handshake| handshake.meta_members(None));
        let never = CancellationToken::new();
        let answer = self.rpc.send_request(OutgoingRequest {
            method: listed.method,
            params,
            meta: MetaMembers::of_revision(members.as_deref()),
            progress: None,
            timeout: self.limits.page_timeout,
            cancel: &never,
        });
        match answer.await {
            Ok(ServerAnswer::Result(result)) => Ok(result.into_exposed()),
            Ok(ServerAnswer::Error(error)) if is_unknown_method(&error) => {
                Ok(json::serialize_raw(&RawObject::default()))
            }
            Ok(ServerAnswer::Error(_)) => {
                tracing::warn!(server = %self.rpc.server, list = listed.method, "a list was refused");
                Err(ListFailure::Refused)
            }
            Err(error) => Err(ListFailure::Failed(error)),
        }
    }

    fn warn_cut_short(&self, listed: &ListMethod, why: &str) {
        tracing::warn!(server = %self.rpc.server, list = listed.method, why, "a list was cut short");
    }
}

/// Some servers declare capabilities that they don't have.
fn is_unknown_method(error: &Real<RawJson>) -> bool {
    let code = RawObject::read(error.expose()).ok().and_then(|object| object.get("code")?.get().parse().ok());
    code == Some(codes::METHOD_NOT_FOUND)
}
