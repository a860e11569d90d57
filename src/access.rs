//! Who may ask from another machine, and for what: the names and scopes of access tokens.
//!
//! A scope only narrows. Policy decides about what it permits as for any other agent.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::names::{ServerName, ToolId};
use crate::pattern::{Pattern, PatternError};

/// The most patterns of a scope.
pub const MAX_SCOPE_PATTERNS: usize = 64;

/// The most characters of a token's name.
pub const MAX_TOKEN_NAME_LENGTH: usize = 64;

/// What a remote principal may reach: the tools and operations that one of its patterns covers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Pattern>", into = "Vec<Pattern>")]
pub struct AccessScope(Arc<[Pattern]>);

/// Why patterns are no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// There are none, so nothing could be reached.
    #[error("a scope needs at least one pattern")]
    Empty,
    /// There are too many.
    #[error("a scope has at most {MAX_SCOPE_PATTERNS} patterns")]
    TooMany,
    /// A pattern for servers names a tool.
    #[error("`{0}` is a pattern for tools; a server's has no `/`")]
    Tool(String),
    /// A pattern for servers can't be read.
    #[error("`{0}` is no server's name or pattern: {1}")]
    Server(String, PatternError),
}

impl AccessScope {
    /// The scope with these patterns.
    ///
    /// # Errors
    /// [`ScopeError::Empty`] and [`ScopeError::TooMany`].
    pub fn new(patterns: Vec<Pattern>) -> Result<Self, ScopeError> {
        match patterns.len() {
            0 => Err(ScopeError::Empty),
            1..=MAX_SCOPE_PATTERNS => Ok(Self(patterns.into())),
            _ => Err(ScopeError::TooMany),
        }
    }

    /// Every tool and operation of every server.
    ///
    /// # Panics
    /// Never: `*` is a pattern.
    #[must_use]
    pub fn everything() -> Self {
        Self([EVERYTHING.parse().expect("`*` is a pattern")].into())
    }

    /// All of the servers whose names match one of `servers`, and the tools that `tools` cover besides. Without any
    /// of both, everything.
    ///
    /// # Errors
    /// See [`ScopeError`].
    pub fn of_servers_and_tools(servers: &[String], tools: Vec<Pattern>) -> Result<Self, ScopeError> {
        if servers.is_empty() && tools.is_empty() {
            return Ok(Self::everything());
        }
        let mut patterns =
            servers.iter().map(|server| server_pattern(server)).collect::<Result<Vec<_>, _>>()?;
        patterns.extend(tools);
        Self::new(patterns)
    }

    /// What either of the two permits.
    ///
    /// # Errors
    /// [`ScopeError::TooMany`].
    pub fn union(&self, other: &Self) -> Result<Self, ScopeError> {
        let mut patterns = self.0.to_vec();
        patterns.extend(other.0.iter().filter(|pattern| !self.0.contains(pattern)).cloned());
        Self::new(patterns)
    }

    /// Whether it permits this tool or operation.
    #[must_use]
    pub fn permits(&self, tool: &ToolId) -> bool {
        self.0.iter().any(|pattern| pattern.matches(tool))
    }

    /// Whether it may permit something of this server.
    #[must_use]
    pub fn permits_server(&self, server: &ServerName) -> bool {
        let all = Pattern::every_tool_of(server);
        self.0.iter().any(|pattern| pattern.may_overlap(&all))
    }

    /// Whether it permits everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.0.iter().any(|pattern| [EVERYTHING, "*/*", "**"].contains(&pattern.as_str()))
    }

    /// Its patterns.
    #[must_use]
    pub fn patterns(&self) -> &[Pattern] {
        &self.0
    }
}

const EVERYTHING: &str = "*";

/// The pattern of everything that the servers with such names offer.
fn server_pattern(server: &str) -> Result<Pattern, ScopeError> {
    if server.contains('/') {
        return Err(ScopeError::Tool(server.to_owned()));
    }
    format!("{server}/*").parse().map_err(|error| ScopeError::Server(server.to_owned(), error))
}

/// The patterns, separated by commas.
impl fmt::Display for AccessScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, pattern) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            f.write_str(pattern.as_str())?;
        }
        Ok(())
    }
}

impl TryFrom<Vec<Pattern>> for AccessScope {
    type Error = ScopeError;

    fn try_from(patterns: Vec<Pattern>) -> Result<Self, ScopeError> {
        Self::new(patterns)
    }
}

impl From<AccessScope> for Vec<Pattern> {
    fn from(scope: AccessScope) -> Self {
        scope.0.to_vec()
    }
}

/// The name of an access token, by which people and the audit know its holder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TokenName(Arc<str>);

/// Why a text is no token's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a token's name has 1 to {MAX_TOKEN_NAME_LENGTH} letters, digits, `_`, `-` or `.`, such as `laptop`")]
pub struct TokenNameError;

impl TokenName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for TokenName {
    type Err = TokenNameError;

    fn from_str(text: &str) -> Result<Self, TokenNameError> {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let fits = (1..=MAX_TOKEN_NAME_LENGTH).contains(&text.len());
        if fits && text.bytes().all(known) { Ok(Self(text.into())) } else { Err(TokenNameError) }
    }
}

impl TryFrom<String> for TokenName {
    type Error = TokenNameError;

    fn try_from(text: String) -> Result<Self, TokenNameError> {
        text.parse()
    }
}

impl From<TokenName> for String {
    fn from(name: TokenName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for TokenName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An access token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    /// Its name.
    pub name: TokenName,
    /// What its holder may reach.
    pub scope: AccessScope,
    /// When it was made.
    pub made: Timestamp,
    /// When it ends by itself, if it does.
    pub expires: Option<Timestamp>,
    /// When it was last used, to about a minute; none if it never was.
    pub last_used: Option<Timestamp>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(servers: &[&str], tools: &[&str]) -> Result<AccessScope, ScopeError> {
        let servers: Vec<String> = servers.iter().map(|server| (*server).to_owned()).collect();
        AccessScope::of_servers_and_tools(&servers, tools.iter().map(|tool| tool.parse().unwrap()).collect())
    }

    #[test]
    fn a_scope_permits_its_servers_whole_and_its_tools_besides() {
        let scope = scope(&["mail", "note*"], &["github/list_*"]).unwrap();
        for tool in ["mail/send", "mail/resources:read", "notes/read", "github/list_issues"] {
            assert!(scope.permits(&tool.parse().unwrap()), "{tool}");
        }
        for tool in ["github/create_issue", "github/resources:read", "mailer/send"] {
            assert!(!scope.permits(&tool.parse().unwrap()), "{tool}");
        }
        for (server, expected) in [("mail", true), ("notes", true), ("github", true), ("stripe", false)] {
            assert_eq!(scope.permits_server(&server.parse().unwrap()), expected, "{server}");
        }
        assert!(!scope.is_everything());
        assert_eq!(scope.to_string(), "mail/*, note*/*, github/list_*");
    }

    #[test]
    fn without_servers_and_tools_it_is_everything_and_an_empty_list_is_no_scope() {
        assert!(scope(&[], &[]).unwrap().is_everything());
        assert!(scope(&[], &[]).unwrap().permits(&"any/thing".parse().unwrap()));
        assert_eq!(
            serde_json::from_str::<AccessScope>("[]").unwrap_err().to_string(),
            ScopeError::Empty.to_string()
        );
        assert_eq!(scope(&["a/b"], &[]), Err(ScopeError::Tool("a/b".to_owned())));
        assert!(matches!(scope(&["a b"], &[]), Err(ScopeError::Server(..))));
        assert_eq!(
            AccessScope::new(vec!["a/*".parse().unwrap(); MAX_SCOPE_PATTERNS + 1]),
            Err(ScopeError::TooMany)
        );
    }

    #[test]
    fn a_union_permits_what_either_permits() {
        let both = scope(&["a"], &[]).unwrap().union(&scope(&["b", "a"], &[]).unwrap()).unwrap();
        assert_eq!(both.to_string(), "a/*, b/*");
    }

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["laptop", "ci-1", "a.b_c"] {
            assert_eq!(name.parse::<TokenName>().unwrap().as_str(), name);
        }
        for name in ["", "a b", "a:b", "a/b", "é", &"x".repeat(MAX_TOKEN_NAME_LENGTH + 1)] {
            assert_eq!(name.parse::<TokenName>(), Err(TokenNameError), "{name}");
        }
    }
}
