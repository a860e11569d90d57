//! An agent's request to a server, as Portero carries it: concealed, with the server's own names in it.
//!
//! A [`Call`] holds only what the agent side may see. It becomes real text only in
//! [`crate::pipeline`], and only for the server that it goes to.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::anonymize::Fake;
use crate::names::ToolId;

/// The MCP method that a call uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Method {
    /// `tools/call`
    #[serde(rename = "tools/call")]
    CallTool,
    /// `resources/read`
    #[serde(rename = "resources/read")]
    ReadResource,
    /// `resources/subscribe`
    #[serde(rename = "resources/subscribe")]
    SubscribeResource,
    /// `resources/unsubscribe`
    #[serde(rename = "resources/unsubscribe")]
    UnsubscribeResource,
    /// `prompts/get`
    #[serde(rename = "prompts/get")]
    GetPrompt,
    /// `completion/complete`
    #[serde(rename = "completion/complete")]
    Complete,
}

impl Method {
    /// The method's name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CallTool => "tools/call",
            Self::ReadResource => "resources/read",
            Self::SubscribeResource => "resources/subscribe",
            Self::UnsubscribeResource => "resources/unsubscribe",
            Self::GetPrompt => "prompts/get",
            Self::Complete => "completion/complete",
        }
    }
}

/// One request of an agent to one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Call {
    /// What policy decides on.
    pub tool: ToolId,
    /// The MCP method.
    pub method: Method,
    /// The `params` object as the server is to get it, but concealed: the server's own tool name or URI,
    /// every member that the client sent in the client's order, without `_meta`.
    pub params: Fake<Box<RawValue>>,
    /// The client's `_meta` without its `progressToken` and without `io.modelcontextprotocol/…` keys, when
    /// anything is left of it. Not part of what an approval binds to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Fake<Box<RawValue>>>,
}

impl Call {
    /// The member of `params` that a person reads as the call's arguments: `arguments` for tools and
    /// prompts, the whole `params` otherwise.
    #[must_use]
    pub fn arguments(&self) -> Option<&RawValue> {
        let params = self.params.get();
        match self.method {
            Method::CallTool | Method::GetPrompt => crate::json::Object::read(params).ok()?.get("arguments"),
            Method::ReadResource
            | Method::SubscribeResource
            | Method::UnsubscribeResource
            | Method::Complete => Some(params),
        }
    }
}
