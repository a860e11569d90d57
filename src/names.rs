//! Checked names and ids of servers, tools, tasks, principals and secrets.
//!
//! Text becomes one of these types once, at the edge, and is trusted from then on. People, rules, logs and
//! `portero/call` use the canonical spelling `server/tool`.

mod actor;
mod secret_name;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::actor::Actor;
pub use self::secret_name::{MAX_SECRET_NAME_LENGTH, SecretName};

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// The name is empty.
    #[error("a {what} name must not be empty")]
    Empty {
        /// The kind of name.
        what: &'static str,
    },
    /// The name is longer than `most` characters.
    #[error("a {what} name has at most {most} characters")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// The limit.
        most: usize,
    },
    /// The name holds a character that isn't allowed.
    #[error("a {what} name may not hold {bad:?}; letters, digits, `_`, `-` and `.` are allowed")]
    Character {
        /// The kind of name.
        what: &'static str,
        /// The first such character.
        bad: char,
    },
    /// A tool's name holds a character that must be escaped.
    #[error("a tool name is written without {bad:?}; where its server's own name holds it, write `{}`", escaped(*bad))]
    ToolCharacter {
        /// The first such character.
        bad: char,
    },
    /// A `%` isn't followed by a valid escape.
    #[error(
        "`%` stands before the two hexadecimal digits, in capitals, of a byte that names are written without"
    )]
    Escape,
    /// The name is reserved for Portero.
    #[error("`portero` is reserved for Portero's own tools")]
    Reserved,
    /// A canonical name has no `/`.
    #[error("expected `server/tool`")]
    NoSlash,
}

/// The most characters of a server's name.
pub const MAX_SERVER_NAME_LENGTH: usize = 64;
/// The most characters of a tool's name: MCP 2025-11-25, Server Features, Tools, "Tool Names".
pub const MAX_TOOL_NAME_LENGTH: usize = 128;
/// The server name of Portero's own tools.
pub const BUILTIN_SERVER: &str = "portero";

/// The mark before the digest of a name that was cut.
const DIGEST_MARK: &str = "%~";
const DIGEST_LENGTH: usize = 32;

const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

fn push_escaped_byte(byte: u8, out: &mut String) {
    if is_name_byte(byte) {
        out.push(char::from(byte));
    } else {
        out.push_str(percent_encoding::percent_encode_byte(byte));
    }
}

/// A character as it is written in a tool's name.
fn escaped(character: char) -> String {
    let mut out = String::new();
    character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| push_escaped_byte(byte, &mut out));
    out
}

fn check_name(what: &'static str, most: usize, text: &str) -> Result<(), NameError> {
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

/// The name of a child server in `mcps.json`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServerName(Arc<str>);

/// The name of a tool on its server, or of an [`Operation`].
///
/// A server may use any text. Here each byte except ASCII letters, digits, `_`, `-` and `.` is written as `%`
/// and two hexadecimal digits. So a name never holds a `/` or a wildcard, and no two names look alike. A name
/// that is still too long is cut, and ends in `%~` and a digest of the whole. Every name has exactly one
/// spelling.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ToolName(Arc<str>);

/// A request of a client to a server other than a tool's call.
///
/// Each has a name that policy decides on like on a tool's. The `:` distinguishes it from every real tool.
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

/// A tool or operation of a server: the canonical `server/tool`.
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

    /// The reserved server name of Portero's own tools.
    #[must_use]
    pub fn builtin() -> Self {
        Self(BUILTIN_SERVER.into())
    }
}

impl ToolName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a tool that a child server lists. It never names an operation.
    ///
    /// # Errors
    /// If it is empty.
    pub fn from_child(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty { what: "tool" });
        }
        if text.len() <= MAX_TOOL_NAME_LENGTH && text.bytes().all(is_name_byte) {
            return Ok(Self(text.into()));
        }
        let mut spelled = String::with_capacity(MAX_TOOL_NAME_LENGTH);
        // How much fits before a digest.
        let (mut cut, room) = (0, MAX_TOOL_NAME_LENGTH - DIGEST_MARK.len() - DIGEST_LENGTH);
        // A single pass: `cut` follows the last whole escape that leaves room for a digest, in case the name
        // turns out too long.
        for byte in text.bytes() {
            push_escaped_byte(byte, &mut spelled);
            if spelled.len() <= room {
                cut = spelled.len();
            } else if spelled.len() > MAX_TOOL_NAME_LENGTH {
                spelled.truncate(cut);
                spelled.push_str(DIGEST_MARK);
                spelled.push_str(&blake3::hash(text.as_bytes()).to_hex()[..DIGEST_LENGTH]);
                break;
            }
        }
        Ok(Self(spelled.into()))
    }

    /// The server's own name. `None` if the name was cut, since it can't be recovered then.
    #[must_use]
    pub fn original(&self) -> Option<std::borrow::Cow<'_, str>> {
        if self.0.contains(DIGEST_MARK) {
            return None;
        }
        percent_encoding::percent_decode_str(&self.0).decode_utf8().ok()
    }

    /// Whether this is the spelling of a server's own name.
    #[must_use]
    pub fn matches_original(&self, original: &str) -> bool {
        *self.0 == *original && original.bytes().all(is_name_byte)
            || Self::from_child(original).is_ok_and(|spelled| spelled == *self)
    }

    /// Checks a text that should already be in this spelling.
    fn parse_spelling(text: &str) -> Result<Self, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty { what: "tool" });
        }
        if text.len() > MAX_TOOL_NAME_LENGTH {
            return Err(NameError::TooLong { what: "tool", most: MAX_TOOL_NAME_LENGTH });
        }
        let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
        let mut rest = text;
        while let Some(first) = rest.bytes().next() {
            let taken = match first {
                b'%' if rest.starts_with(DIGEST_MARK) => {
                    let digest = &rest[DIGEST_MARK.len()..];
                    let is_digest = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                    if digest.len() != DIGEST_LENGTH || !digest.bytes().all(is_digest) {
                        return Err(NameError::Escape);
                    }
                    rest.len()
                }
                b'%' => match rest.as_bytes().get(1..3) {
                    Some(digits) if digits.iter().copied().all(is_hex) => {
                        // A byte that needs no escape would give the name a second spelling, which rules could
                        // miss.
                        let byte = u8::from_str_radix(&rest[1..3], 16).map_err(|_| NameError::Escape)?;
                        if is_name_byte(byte) {
                            return Err(NameError::Escape);
                        }
                        3
                    }
                    Some(_) | None => return Err(NameError::Escape),
                },
                first if is_name_byte(first) => 1,
                _ => {
                    let bad = rest.chars().next().unwrap_or_default();
                    return Err(NameError::ToolCharacter { bad });
                }
            };
            rest = &rest[taken..];
        }
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
    pub fn is_builtin(&self) -> bool {
        self.server.as_str() == BUILTIN_SERVER
    }
}

impl FromStr for ServerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_name("server", MAX_SERVER_NAME_LENGTH, text)?;
        if text == BUILTIN_SERVER { Err(NameError::Reserved) } else { Ok(Self(text.into())) }
    }
}

impl FromStr for ToolName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if let Some(operation) = Operation::ALL.into_iter().find(|operation| operation.name() == text) {
            return Ok(operation.into());
        }
        Self::parse_spelling(text)
    }
}

impl FromStr for ToolId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let (server, tool) = text.split_once('/').ok_or(NameError::NoSlash)?;
        // A tool's id may have the reserved name, but no server of the configuration may.
        let server = if server == BUILTIN_SERVER { ServerName::builtin() } else { server.parse()? };
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
text_type!(ServerName, ToolName, AgentSessionId, SecretName);

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
through_text!(ServerName, ToolName, ToolId, AgentSessionId, SecretName);

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

/// A text that is no id.
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
id_type!(
    /// One process of a server, from its start to its end.
    ChildGeneration,
    "process"
);
id_type!(
    /// One permit that the daemon handed to a session.
    PermitNonce,
    "permit"
);

/// The project that an agent works in, on whose behalf it calls, whatever the session; or what an agent over HTTPS
/// proved to be.
///
/// Only the principal that made a task can see it, cancel it or fetch its result (guarantee A6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Principal(String);

impl Principal {
    /// The principal of a project directory.
    #[must_use]
    pub fn from_project(directory: &std::path::Path) -> Self {
        Self(directory.to_string_lossy().into_owned())
    }

    /// The principal of what asks over HTTPS, by the name that its credential gives it. No project directory has the
    /// same text, because a project's is an absolute path.
    #[must_use]
    pub fn from_remote(name: &str) -> Self {
        Self(format!("{REMOTE_PREFIX}{name}"))
    }

    /// The name of a principal that asks over HTTPS; none for a project.
    #[must_use]
    pub fn remote_name(&self) -> Option<&str> {
        self.0.strip_prefix(REMOTE_PREFIX)
    }

    /// The project directory as text, or the name over HTTPS with its mark.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the text of a principal over HTTPS begins with.
const REMOTE_PREFIX: &str = "remote:";

/// The session id of the agent's own program, such as `CLAUDE_CODE_SESSION_ID` of Claude Code. It stays the
/// same when the program starts `portero mcp` again. It is not proven.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentSessionId(Arc<str>);

/// The most characters of an [`AgentSessionId`].
pub const MAX_AGENT_SESSION_LENGTH: usize = 128;

impl AgentSessionId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AgentSessionId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        check_name("session", MAX_AGENT_SESSION_LENGTH, text)?;
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
            let tool = ToolName::from_child(operation.name()).expect("a name");
            assert_eq!(tool.operation(), None, "{tool}");
            assert_eq!(operation.name().parse::<ToolName>().expect("named").operation(), Some(operation));
        }
    }

    #[test]
    fn a_servers_name_has_one_spelling_that_reads_back() {
        for (name, spelled) in [
            ("create_issue", "create_issue"),
            ("github/create_issue", "github%2Fcreate_issue"),
            ("list projects", "list%20projects"),
            ("büro", "b%C3%BCro"),
            ("a*{b,c}?[d]!", "a%2A%7Bb%2Cc%7D%3F%5Bd%5D%21"),
            ("50%", "50%25"),
            ("a%2Fb", "a%252Fb"),
            ("resources:read", "resources%3Aread"),
            ("\u{202e}x\n", "%E2%80%AEx%0A"),
        ] {
            let tool = ToolName::from_child(name).expect("a name");
            assert_eq!(tool.as_str(), spelled);
            assert_eq!(spelled.parse::<ToolName>(), Ok(tool.clone()));
            assert_eq!(tool.original().as_deref(), Some(name));
            assert!(tool.matches_original(name) && !tool.matches_original("other"));
        }
        assert!(
            !ToolName::from_child("a/b").expect("a name").matches_original("a%2Fb"),
            "that is another's name"
        );
    }

    #[test]
    fn a_long_name_is_cut_and_told_apart_by_its_digest() {
        let (one, other) = ("é/".repeat(500) + "1", "é/".repeat(500) + "2");
        let [one_name, other_name] = [&one, &other].map(|name| ToolName::from_child(name).expect("a name"));
        assert_ne!(one_name, other_name);
        assert!(
            one_name.as_str().len() <= MAX_TOOL_NAME_LENGTH && one_name.as_str().starts_with("%C3%A9%2F")
        );
        assert_eq!(one_name.as_str().parse::<ToolName>(), Ok(one_name.clone()));
        assert_eq!(one_name.original(), None);
        assert!(one_name.matches_original(&one) && !one_name.matches_original(&other));
        let longest = "x".repeat(MAX_TOOL_NAME_LENGTH);
        assert_eq!(ToolName::from_child(&longest).expect("a name").as_str(), longest);
    }

    #[test]
    fn other_spellings_of_a_tools_name_are_refused() {
        for bad in ["%2f", "%41", "%", "%2", "%~", "%~00", "a%~0123456789abcdef0123456789abcdefx"] {
            assert_eq!(bad.parse::<ToolName>(), Err(NameError::Escape), "{bad}");
        }
        let told = "a b".parse::<ToolName>().expect_err("a blank").to_string();
        assert!(told.contains("`%20`"), "{told}");
    }

    proptest::proptest! {
        #[test]
        fn any_name_is_spelled_so_that_it_reads_back(name in "\\PC{1,60}|[a-z/%*]{1,20}") {
            let tool = ToolName::from_child(&name).expect("a name");
            proptest::prop_assert_eq!(tool.as_str().parse::<ToolName>(), Ok(tool.clone()));
            proptest::prop_assert!(tool.matches_original(&name));
            if let Some(original) = tool.original() {
                proptest::prop_assert_eq!(original, name.as_str());
            }
        }
    }

    #[test]
    fn the_id_that_an_agent_gives_its_session_is_checked() {
        let id = "0199c1de-1a2b-7c3d-8e4f-a1b2c3d4e5f6";
        assert_eq!(id.parse::<AgentSessionId>().expect("an id").as_str(), id);
        for bad in ["", "a b", "a\n", "../x/y", "é", &"x".repeat(129)] {
            assert!(bad.parse::<AgentSessionId>().is_err(), "{bad:?}");
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
