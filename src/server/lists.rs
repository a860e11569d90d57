//! Paging through what a server offers, with an end to it whatever the server says.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Request};
use super::envelope::Meta;
use super::{Answer, List, Offer, ServerError};
use crate::anonymize::Real;
use crate::json::{self, Object, RawJson};
use crate::wire::codes;

/// The most pages of one list.
const PAGES_MOST: usize = 1_000;

/// How far a list is followed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// How long one page may take.
    pub(super) page: Duration,
    /// How many bytes all pages may have together.
    pub(super) bytes: usize,
}

/// A list on the wire.
struct Listed {
    list: List,
    capability: &'static str,
    method: &'static str,
    key: &'static str,
}

const TOOLS: Listed = Listed { list: List::Tools, capability: "tools", method: "tools/list", key: "tools" };
const RESOURCES: Listed =
    Listed { list: List::Resources, capability: "resources", method: "resources/list", key: "resources" };
const TEMPLATES: Listed = Listed {
    list: List::Resources,
    capability: "resources",
    method: "resources/templates/list",
    key: "resourceTemplates",
};
const PROMPTS: Listed =
    Listed { list: List::Prompts, capability: "prompts", method: "prompts/list", key: "prompts" };

/// Everything that the server offers. A list that the server refuses counts as empty, except that of its
/// tools: a server without its tools is a broken one.
pub(super) async fn offer(connection: &Connection, bounds: Bounds) -> Result<Offer, ServerError> {
    let greeting = connection.greeting.get();
    let lister = Lister { connection, bounds };
    // Side by side: most servers answer one after the other anyway, but none of us waits for each.
    let (tools, resources, templates, prompts) = tokio::join!(
        lister.all(&TOOLS),
        lister.all(&RESOURCES),
        lister.all(&TEMPLATES),
        lister.all(&PROMPTS),
    );
    let tools = tools.map_err(|stop| stop.of_tools(connection))?;
    Ok(Offer {
        instructions: greeting.and_then(|greeting| greeting.instructions.clone()),
        capabilities: greeting.and_then(|greeting| greeting.capabilities.clone()),
        tools,
        resources: or_empty(resources)?,
        templates: or_empty(templates)?,
        prompts: or_empty(prompts)?,
    })
}

/// The names of the tools that the server lists.
pub(super) async fn tool_names(
    connection: &Connection,
    bounds: Bounds,
) -> Result<HashSet<String>, ServerError> {
    let tools = Lister { connection, bounds }.all(&TOOLS).await.map_err(|stop| stop.of_tools(connection))?;
    Ok(names(&tools))
}

/// The names of listed tools.
pub(super) fn names(tools: &[RawJson]) -> HashSet<String> {
    let name = |tool: &RawJson| Some(Object::read(tool).ok()?.text("name")?.into_owned());
    tools.iter().filter_map(name).collect()
}

/// Why a list came to no end.
enum Stop {
    Refused,
    Failed(ServerError),
}

impl Stop {
    /// A server without its tools is a broken one.
    fn of_tools(self, connection: &Connection) -> ServerError {
        match self {
            Self::Refused => {
                let reason = "it refused to list its tools".to_owned();
                ServerError::Start(connection.server.clone(), reason)
            }
            Self::Failed(error) => not_listed(error),
        }
    }
}

/// Listing is Portero's own question. Where it fails, no call was sent, so that no effect is in doubt.
fn not_listed(error: ServerError) -> ServerError {
    let (server, reason) = match error {
        ServerError::Gone(server) => (server, "it stopped before it had listed what it offers".to_owned()),
        ServerError::Timeout(server, seconds) => {
            (server, format!("it did not list what it offers within {seconds} s"))
        }
        ServerError::TooLong(server, most) => {
            (server, format!("it listed what it offers with more than {most} bytes"))
        }
        ServerError::Malformed(server, why) => {
            (server, format!("it listed what it offers with what is no MCP message: {why}"))
        }
        other @ (ServerError::Unknown(_)
        | ServerError::Start(..)
        | ServerError::NotListed(..)
        | ServerError::Cancelled) => return other,
    };
    ServerError::Start(server, reason)
}

fn or_empty(list: Result<Vec<RawJson>, Stop>) -> Result<Vec<RawJson>, ServerError> {
    match list {
        Ok(list) => Ok(list),
        Err(
            Stop::Refused
            | Stop::Failed(ServerError::Timeout(..) | ServerError::TooLong(..) | ServerError::Malformed(..)),
        ) => Ok(Vec::new()),
        Err(Stop::Failed(error)) => Err(not_listed(error)),
    }
}

struct Lister<'a> {
    connection: &'a Connection,
    bounds: Bounds,
}

impl Lister<'_> {
    /// All pages of a list. A server that goes on for ever, or in circles, gets its list cut there.
    async fn all(&self, listed: &Listed) -> Result<Vec<RawJson>, Stop> {
        let mut items = Vec::new();
        let declared = self.connection.greeting.get().is_some_and(|told| told.declares(listed.capability));
        if !declared {
            return Ok(items);
        }
        self.connection.events.about_to_list(listed.list);
        let (mut cursor, mut bytes) = (None, 0);
        let mut cursors = HashSet::new();
        for _ in 0..PAGES_MOST {
            let page = self.page(listed, cursor.as_deref()).await?;
            bytes += page.get().len();
            if bytes > self.bounds.bytes {
                self.cut(listed, "it is too long");
                return Ok(items);
            }
            let object = Object::read(&page).unwrap_or_default();
            let entries: Option<Vec<&RawValue>> =
                object.get(listed.key).and_then(|list| serde_json::from_str(list.get()).ok());
            items.extend(entries.unwrap_or_default().into_iter().map(ToOwned::to_owned));
            let next =
                object.text("nextCursor").filter(|next| !next.is_empty()).map(|next| next.into_owned());
            let Some(next) = next else { return Ok(items) };
            if !cursors.insert(next.clone()) {
                self.cut(listed, "its pages go in circles");
                return Ok(items);
            }
            cursor = Some(json::parse_raw(format!("{{\"cursor\":{}}}", json::raw(&next).get())))
                .transpose()
                .unwrap_or_default();
        }
        self.cut(listed, "it has too many pages");
        Ok(items)
    }

    async fn page(&self, listed: &Listed, params: Option<&RawValue>) -> Result<RawJson, Stop> {
        let greeting = self.connection.greeting.get();
        let members = greeting.and_then(|greeting| greeting.members(None));
        let never = CancellationToken::new();
        let answer = self.connection.request(Request {
            method: listed.method,
            params,
            meta: Meta { client: None, era: members.as_deref(), token: None },
            progress: None,
            limit: self.bounds.page,
            cancel: &never,
        });
        match answer.await {
            Ok(Answer::Result(result)) => Ok(result.into_exposed()),
            Ok(Answer::Error(error)) if is_unknown_method(&error) => Ok(json::raw(&Object::default())),
            Ok(Answer::Error(_)) => {
                tracing::warn!(server = %self.connection.server, list = listed.method, "a list was refused");
                Err(Stop::Refused)
            }
            Err(error) => Err(Stop::Failed(error)),
        }
    }

    fn cut(&self, listed: &Listed, why: &str) {
        tracing::warn!(server = %self.connection.server, list = listed.method, why, "a list was cut short");
    }
}

/// Some servers declare more than they have.
fn is_unknown_method(error: &Real<RawJson>) -> bool {
    let code = Object::read(error.expose()).ok().and_then(|object| object.get("code")?.get().parse().ok());
    code == Some(codes::METHOD_NOT_FOUND)
}
