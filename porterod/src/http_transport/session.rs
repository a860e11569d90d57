//! The session that a server assigns, and the revision that was agreed on (MCP, Streamable HTTP).

use std::sync::Mutex;

use portero::json::RawObject;
use portero::sync::lock;
use reqwest::RequestBuilder;
use reqwest::header::{HeaderMap, HeaderValue};

/// The header of the session's id.
pub(super) const SESSION_ID: &str = "mcp-session-id";
/// The header of the revision.
const PROTOCOL_VERSION: &str = "mcp-protocol-version";

/// What a server said at `initialize`.
#[derive(Debug, Default)]
pub(super) struct ServerSession(Mutex<SessionHeaders>);

#[derive(Debug, Default, Clone)]
struct SessionHeaders {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
}

impl ServerSession {
    /// Takes the session's id from the headers of the answer to `initialize`.
    pub(super) fn take_id(&self, headers: &HeaderMap) {
        if let Some(id) = headers.get(SESSION_ID) {
            let mut id = id.clone();
            id.set_sensitive(true);
            lock(&self.0).id = Some(id);
        }
    }

    /// Takes the revision from the answer to `initialize`.
    pub(super) fn take_version(&self, answer: &[u8]) {
        let version = std::str::from_utf8(answer).ok().and_then(|answer| {
            let answer: &serde_json::value::RawValue = serde_json::from_str(answer).ok()?;
            let result = RawObject::read(answer).ok()?.get("result")?;
            HeaderValue::from_str(&RawObject::read(result).ok()?.get_text("protocolVersion")?).ok()
        });
        if version.is_some() {
            lock(&self.0).version = version;
        }
    }

    /// Whether the server assigned an id.
    pub(super) fn has_id(&self) -> bool {
        lock(&self.0).id.is_some()
    }

    /// Adds the session's headers. A message of a stateless revision names its own.
    pub(super) fn add_headers(&self, request: RequestBuilder, revision: Option<&str>) -> RequestBuilder {
        let SessionHeaders { id, version } = lock(&self.0).clone();
        if let Some(revision) = revision {
            return request.header(PROTOCOL_VERSION, revision);
        }
        let request = id.into_iter().fold(request, |request, id| request.header(SESSION_ID, id));
        version.into_iter().fold(request, |request, version| request.header(PROTOCOL_VERSION, version))
    }
}
