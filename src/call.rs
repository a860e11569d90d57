//! An agent's request to a server, as Portero carries it: concealed, with the server's own names in it.
//!
//! A [`Call`] holds only what the agent side may see. It becomes real text only in
//! [`crate::pipeline`], and only for the server that it goes to.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::anonymize::Fake;
use crate::names::{Operation, ToolId};

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

    /// The operation that policy decides on; none for a tool's call, where it decides on the tool.
    #[must_use]
    pub const fn operation(self) -> Option<Operation> {
        match self {
            Self::CallTool => None,
            Self::ReadResource => Some(Operation::ReadResource),
            Self::SubscribeResource | Self::UnsubscribeResource => Some(Operation::SubscribeResource),
            Self::GetPrompt => Some(Operation::GetPrompt),
            Self::Complete => Some(Operation::Complete),
        }
    }
}

/// One request of an agent to one server.
///
/// What is read from the socket or the store is checked: what policy decides on is what the server is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "UncheckedCall")]
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

/// A call as somebody wrote it.
#[derive(Deserialize)]
struct UncheckedCall {
    tool: ToolId,
    method: Method,
    params: Fake<Box<RawValue>>,
    #[serde(default)]
    meta: Option<Fake<Box<RawValue>>>,
}

/// A call says that it is for one tool and asks its server for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the call is not for the tool that it names")]
pub struct ToolMismatch;

impl TryFrom<UncheckedCall> for Call {
    type Error = ToolMismatch;

    fn try_from(UncheckedCall { tool, method, params, meta }: UncheckedCall) -> Result<Self, ToolMismatch> {
        let agrees = match method.operation() {
            Some(operation) => tool.tool.operation() == Some(operation),
            None => {
                let object = crate::json::RawObject::read(params.get()).map_err(|_| ToolMismatch)?;
                let mut names = object.iter().filter(|(key, _)| *key == "name");
                let name = names.next().and_then(|(_, value)| crate::json::as_text(value));
                let only = names.next().is_none() && tool.tool.operation().is_none();
                only && name.is_some_and(|name| tool.tool.matches_original(&name))
            }
        };
        if agrees { Ok(Self { tool, method, params, meta }) } else { Err(ToolMismatch) }
    }
}

impl Call {
    /// The member of `params` that a person reads as the call's arguments: `arguments` for tools and
    /// prompts, the whole `params` otherwise.
    #[must_use]
    pub fn arguments(&self) -> Option<&RawValue> {
        let params = self.params.get();
        match self.method {
            Method::CallTool | Method::GetPrompt => {
                crate::json::RawObject::read(params).ok()?.get("arguments")
            }
            Method::ReadResource
            | Method::SubscribeResource
            | Method::UnsubscribeResource
            | Method::Complete => Some(params),
        }
    }

    /// The server's own name for a tool, concealed as all of the call is, where policy spells it in another way.
    #[must_use]
    pub fn odd_name(&self) -> Option<String> {
        if self.method != Method::CallTool {
            return None;
        }
        let name = crate::json::RawObject::read(self.params.get()).ok()?.get_text("name")?.into_owned();
        (name != self.tool.tool.as_str()).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_names_one_tool_and_asks_for_another_is_not_read() {
        let reads = |text: &str| serde_json::from_str::<Call>(text).is_ok();
        assert!(reads(r#"{"tool":"a/read","method":"tools/call","params":{"name":"read","arguments":{}}}"#));
        for text in [
            r#"{"tool":"a/read","method":"tools/call","params":{"name":"delete"}}"#,
            r#"{"tool":"a/read","method":"tools/call","params":{"name":"read","name":"delete"}}"#,
            r#"{"tool":"a/read","method":"tools/call","params":{"name":"read","n\u0061me":"delete"}}"#,
            r#"{"tool":"a/read","method":"tools/call","params":{}}"#,
            r#"{"tool":"a/read","method":"tools/call","params":[]}"#,
            r#"{"tool":"a/read","method":"resources/read","params":{"uri":"x:y"}}"#,
            r#"{"tool":"a/resources:read","method":"prompts/get","params":{"name":"x"}}"#,
            r#"{"tool":"a/resources:read","method":"tools/call","params":{"name":"resources:read"}}"#,
        ] {
            assert!(!reads(text), "{text}");
        }
    }
}
