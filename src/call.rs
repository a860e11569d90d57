//! An agent's request to a server, as Portero carries it: concealed, and with the server's own names.
//!
//! A [`Call`] holds only what the agent's side may see. It is revealed only in [`crate::pipeline`], and only
//! for its own server.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::anonymize::Fake;
use crate::clock::Moment;
use crate::names::{Operation, ToolId};
use crate::policy::definition_pins::DefinitionItem;
use crate::policy::{CallIdentity, CallerIdentity, Decision, Policy};

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

    /// The operation that policy decides on; none for a tool's call, where policy decides on the tool.
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
/// A call from the socket or the store is checked on the way in: policy must decide on what the server will be
/// asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(try_from = "UncheckedCall")]
pub struct Call {
    /// The tool or operation that policy decides on.
    pub tool: ToolId,
    /// The MCP method.
    pub method: Method,
    /// The `params` object for the server, but concealed. It has the server's own tool name or URI and all of
    /// the client's members in their order, without `_meta`.
    pub params: Fake<Box<RawValue>>,
    /// The client's `_meta` without `progressToken` and `io.modelcontextprotocol/…` keys, if anything is left.
    /// An approval doesn't bind to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meta: Option<Fake<Box<RawValue>>>,
}

/// A call before its check.
#[derive(Deserialize)]
struct UncheckedCall {
    tool: ToolId,
    method: Method,
    params: Fake<Box<RawValue>>,
    #[serde(default)]
    meta: Option<Fake<Box<RawValue>>>,
}

/// A call whose tool differs from the one in its `params`.
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
                // A second `name` could be the one that the server reads, so there must be exactly one.
                let only = names.next().is_none() && tool.tool.operation().is_none();
                only && name.is_some_and(|name| tool.tool.matches_original(&name))
            }
        };
        if agrees { Ok(Self { tool, method, params, meta }) } else { Err(ToolMismatch) }
    }
}

impl Call {
    /// The part of `params` that people read as the arguments: `arguments` of tools and prompts, otherwise all
    /// of `params`.
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

    /// The parts of the call that policy looks at.
    #[must_use]
    pub fn identity(&self) -> CallIdentity<'_> {
        let (tool, method) = (&self.tool, self.method.as_str());
        CallIdentity { tool, method, params: self.params.get(), arguments: self.arguments() }
    }

    /// Policy's decision on this call of `asker`. Without an asker only grants for everyone count, and no
    /// denial of a single call.
    #[must_use]
    pub fn decide(&self, policy: &Policy, asker: Option<CallerIdentity<'_>>, now: Moment) -> Decision {
        match asker {
            Some(asker) => policy.decide_call(self.identity(), asker, now, None),
            None => policy.decide_without_denials(self.identity(), None, now),
        }
    }

    /// What of the server's definitions is behind the call; none for resources, which have no definition.
    #[must_use]
    pub fn definition_item(&self) -> Option<DefinitionItem> {
        match self.method {
            Method::CallTool => Some(DefinitionItem::Tool(self.tool.tool.clone())),
            // A prompt's pins go by its concealed name, as the call has it.
            Method::GetPrompt => {
                let params = crate::json::RawObject::read(self.params.get()).ok()?;
                Some(DefinitionItem::Prompt(params.get_text("name")?.into_owned()))
            }
            Method::ReadResource
            | Method::SubscribeResource
            | Method::UnsubscribeResource
            | Method::Complete => None,
        }
    }

    /// The server's own name for a tool, concealed like the rest of the call, if it differs from the name in
    /// policy.
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
