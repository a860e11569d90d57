//! The headers of MCP over HTTP.

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use portero::wire::modern::unsupported_version_error;
use portero::wire::{Revision, codes};

use super::refusal::McpRefusal;

/// The session's id (2025-03-26 to 2025-11-25).
pub(super) const SESSION_ID: &str = "mcp-session-id";
/// The revision (since 2025-06-18).
const PROTOCOL_VERSION: &str = "mcp-protocol-version";

/// The only value of a header as text; none if it is missing.
///
/// # Errors
/// If it comes twice or isn't visible ASCII: a proxy might have read another value.
pub(super) fn single_value<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, McpRefusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text)),
            Err(_) => Err(McpRefusal::header_mismatch(&format!("the header {name} is not visible ASCII"))),
        },
        (Some(_), Some(_)) => {
            Err(McpRefusal::header_mismatch(&format!("the header {name} may come once only")))
        }
    }
}

/// What kinds of response a client takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AcceptedTypes {
    pub(super) json: bool,
    pub(super) events: bool,
}

impl AcceptedTypes {
    /// Reads `Accept` (RFC 9110, section 12.5.1). Clients must list both kinds; one that lists one gets that one.
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, McpRefusal> {
        let mut accepted = Self { json: false, events: false };
        let mut values = headers.get_all(ACCEPT).iter().peekable();
        if values.peek().is_none() {
            // Without the header a client takes everything.
            return Ok(Self { json: true, events: true });
        }
        for range in values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')) {
            let range = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            accepted.json |= matches!(range.as_str(), "application/json" | "application/*" | "*/*");
            accepted.events |= matches!(range.as_str(), "text/event-stream" | "text/*" | "*/*");
        }
        match accepted {
            Self { json: false, events: false } => {
                let message = "Accept must list application/json and text/event-stream";
                Err(McpRefusal::new(StatusCode::NOT_ACCEPTABLE, codes::INVALID_REQUEST, message))
            }
            accepted => Ok(accepted),
        }
    }
}

/// The revision that the header names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NamedVersion {
    /// There is no header, as in the first revisions and on `initialize`.
    None,
    /// A revision that Portero speaks.
    Known(Revision),
    /// Any other text.
    Unknown(String),
}

impl NamedVersion {
    pub(super) fn read(headers: &HeaderMap) -> Result<Self, McpRefusal> {
        Ok(match single_value(headers, PROTOCOL_VERSION)? {
            None => Self::None,
            Some(text) => text.parse().map_or_else(|_| Self::Unknown(text.to_owned()), Self::Known),
        })
    }

    pub(super) fn is_modern(&self) -> bool {
        matches!(self, Self::Known(revision) if revision.is_modern())
    }

    /// Refuses an unknown revision (2025-06-18, Streamable HTTP, "Protocol Version Header").
    pub(super) fn refuse_unknown(&self) -> Result<(), McpRefusal> {
        match self {
            Self::None | Self::Known(_) => Ok(()),
            Self::Unknown(text) => {
                let error = unsupported_version_error(text);
                Err(McpRefusal::of_error(StatusCode::BAD_REQUEST, error))
            }
        }
    }

    /// The header's text.
    pub(super) fn as_text(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Known(revision) => Some(revision.as_str()),
            Self::Unknown(text) => Some(text),
        }
    }
}
