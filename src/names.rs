//! Checked names and ids: what a server, a tool, a task and a principal are called.
//!
//! Text becomes one of these types once, at the edge, and is trusted from then on. People, rules, logs
//! and `portero/call` use the canonical spelling `server/tool`.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("a {what} name must not be empty")]
    Empty {
        /// What the name is of.
        what: &'static str,
    },
    /// The name is longer than `most` characters.
    #[error("a {what} name has at most {most} characters")]
    TooLong {
        /// What the name is of.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The name holds a character that is not allowed.
    #[error("a {what} name may not hold {bad:?}; letters, digits, `_`, `-` and `.` are allowed")]
    Character {
        /// What the name is of.
        what: &'static str,
        /// The first offending character.
        bad: char,
    },
    /// The name is reserved for Portero itself.
    #[error("`portero` is reserved for Portero's own tools")]
    Reserved,
    /// A canonical name has no `/`.
    #[error("expected `server/tool`")]
    NoSlash,
}

/// The most characters of a server's name.
pub const SERVER_NAME_MOST: usize = 64;
/// The most characters of a tool's name: MCP 2025-11-25, Server Features, Tools, "Tool Names".
pub const TOOL_NAME_MOST: usize = 128;
/// The server name under which Portero's own tools stand.
pub const OWN_SERVER: &str = "portero";

fn check(what: &'static str, most: usize, text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty { what });
    }
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'))) {
        return Err(NameError::Character { what, bad });
    }
    if text.len() > most {
        return Err(NameError::TooLong { what, most });
    }
    Ok(())
}

/// The name of a child server, as `mcps.json` gives it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(Arc<str>);

/// The name of a tool on its server, or of one of the [`Operation`]s that are not tools.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolName(Arc<str>);

/// What a client can ask of a server besides calling a tool.
///
/// Each has a name that policy decides on like a tool's; the `:` keeps it apart from every real tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// `resources/read`
    ReadResource,
    /// `resources/subscribe`
    SubscribeResource,
    /// `prompts/get`
    GetPrompt,
    /// `completion/complete`
    Complete,
}

impl Operation {
    /// Every operation.
    pub const ALL: [Self; 4] = [Self::ReadResource, Self::SubscribeResource, Self::GetPrompt, Self::Complete];

    /// The name that policy decides on, such as `resources:read`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ReadResource => "resources:read",
            Self::SubscribeResource => "resources:subscribe",
            Self::GetPrompt => "prompts:get",
            Self::Complete => "completion:complete",
        }
    }
}

/// A tool (or operation) of a server: the canonical `server/tool`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolId {
    /// The server.
    pub server: ServerName,
    /// The tool on it.
    pub tool: ToolName,
}

impl ServerName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The reserved name under which Portero's own tools stand.
    #[must_use]
    pub fn own() -> Self {
        Self(OWN_SERVER.into())
    }
}

impl ToolName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A name as a child server lists it; the operations' names are not among them.
    ///
    /// # Errors
    /// When it is empty, longer than [`TOOL_NAME_MOST`] or holds another character than MCP's
    /// letters, digits, `_`, `-` and `.`.
    pub fn from_child(text: &str) -> Result<Self, NameError> {
        check("tool", TOOL_NAME_MOST, text)?;
        Ok(Self(text.into()))
    }

    /// The operation that this names, if it is no tool.
    #[must_use]
    pub fn operation(&self) -> Option<Operation> {
        Operation::ALL.into_iter().find(|operation| operation.name() == &*self.0)
    }
}

impl From<Operation> for ToolName {
    fn from(operation: Operation) -> Self {
        Self(operation.name().into())
    }
}

impl ToolId {
    /// The canonical name of a tool.
    #[must_use]
    pub fn new(server: ServerName, tool: impl Into<ToolName>) -> Self {
        Self { server, tool: tool.into() }
    }

    /// Whether this is one of Portero's own tools.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.server.as_str() == OWN_SERVER
    }
}

impl FromStr for ServerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check("server", SERVER_NAME_MOST, text)?;
        if text == OWN_SERVER { Err(NameError::Reserved) } else { Ok(Self(text.into())) }
    }
}

impl FromStr for ToolName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some(operation) = Operation::ALL.into_iter().find(|operation| operation.name() == text) {
            return Ok(operation.into());
        }
        Self::from_child(text)
    }
}

impl FromStr for ToolId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (server, tool) = text.split_once('/').ok_or(NameError::NoSlash)?;
        let server = if server == OWN_SERVER { ServerName::own() } else { server.parse()? };
        Ok(Self { server, tool: tool.parse()? })
    }
}

impl fmt::Display for ToolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.server, self.tool)
    }
}

impl fmt::Debug for ToolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

macro_rules! text_type {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }
    )*};
}
text_type!(ServerName, ToolName, AgentSession);

macro_rules! through_text {
    ($($name:ident),*) => {$(
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.to_string()
            }
        }
    )*};
}
through_text!(ServerName, ToolName, ToolId, AgentSession);

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(uuid::Uuid);

        impl $name {
            /// A new id, unguessable and ordered by time (UUID version 7, RFC 9562 section 5.7).
            #[must_use]
            pub fn fresh() -> Self {
                Self(uuid::Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self).map_err(|_| IdError($what))
            }
        }
    };
}

/// A text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("that is not the id of a {0}; ids look like 019a9f3e-7c1d-7b4e-8f60-3d2c1b0a9e8f")]
pub struct IdError(&'static str);

id_type!(
    /// The id of a task: a call that waits for a person, or waited.
    TaskId,
    "task"
);
id_type!(
    /// The id of one agent's session with Portero.
    SessionId,
    "session"
);

/// On whose behalf a call is made: the project that the agent works in, whatever session it is.
///
/// Only the principal that made a task can see it, cancel it or fetch its result (guarantee A6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Principal(String);

impl Principal {
    /// The principal of a project directory.
    #[must_use]
    pub fn of_project(directory: &std::path::Path) -> Self {
        Self(directory.to_string_lossy().into_owned())
    }

    /// The project directory as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The id that an agent's own program gives its session, as that program says it: `CLAUDE_CODE_SESSION_ID` of
/// Claude Code. It stays the same when the program starts `portero mcp` again. Nothing proves it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentSession(Arc<str>);

/// The most characters of an [`AgentSession`].
pub const AGENT_SESSION_MOST: usize = 128;

impl AgentSession {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentSession {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check("session", AGENT_SESSION_MOST, text)?;
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canonical_name_reads_back() {
        let id: ToolId = "github/create_issue".parse().expect("a good name");
        assert_eq!(id.to_string(), "github/create_issue");
        assert_eq!(id.server.as_str(), "github");
    }

    #[test]
    fn an_operation_is_never_a_tool_of_a_child() {
        for operation in Operation::ALL {
            assert!(ToolName::from_child(operation.name()).is_err());
            assert_eq!(operation.name().parse::<ToolName>().expect("named").operation(), Some(operation));
        }
    }

    #[test]
    fn the_id_that_an_agent_gives_its_session_is_checked() {
        let id = "0199c1de-1a2b-7c3d-8e4f-a1b2c3d4e5f6";
        assert_eq!(id.parse::<AgentSession>().expect("an id").as_str(), id);
        for bad in ["", "a b", "a\n", "../x/y", "é", &"x".repeat(129)] {
            assert!(bad.parse::<AgentSession>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn bad_names_say_what_is_wrong() {
        assert_eq!("".parse::<ServerName>(), Err(NameError::Empty { what: "server" }));
        assert_eq!("a b".parse::<ServerName>(), Err(NameError::Character { what: "server", bad: ' ' }));
        assert_eq!("portero".parse::<ServerName>(), Err(NameError::Reserved));
        assert!("x".repeat(129).parse::<ToolName>().is_err());
        assert_eq!("github".parse::<ToolId>(), Err(NameError::NoSlash));
        assert!("a/b/c".parse::<ToolId>().is_err());
    }
}
