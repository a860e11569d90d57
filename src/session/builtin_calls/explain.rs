//! `portero/explain`: what would come of a call, without making it.

use serde::Serialize;

use super::super::answers;
use super::super::builtin_tools::{BuiltinArguments, BuiltinTool};
use super::super::request::ClientRequest;
use super::super::state::SessionState;
use crate::json;
use crate::pipeline::{CallForecast, CallReply, Refusal};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CallExplanation {
    /// The tool's canonical name.
    tool_name: String,
    /// `runs`, `asks`, `denied` or `refused`.
    outcome: &'static str,
    /// Why.
    reason: String,
    /// The identical call that waits already.
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_as: Option<String>,
    /// What doesn't fit the tool's `inputSchema`.
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<String>,
}

impl SessionState {
    /// Says what policy, the server and the schema say of a call. It says nothing that making the call would not say,
    /// and takes the same road up to the permit.
    pub(super) async fn explain_call(
        &self,
        arguments: &BuiltinArguments<'_>,
        request: &ClientRequest,
    ) -> Result<CallReply, Refusal> {
        let name = arguments.required_text("tool")?;
        let (tool_name, forecast) = match BuiltinTool::from_name(&name) {
            Some(own) => {
                let tool = own.id();
                let forecast = match self.agent.pipeline.builtin_denial(&tool) {
                    Some(decision) => CallForecast::Denied(decision),
                    None => CallForecast::Runs("it is Portero's own tool".to_owned(), None),
                };
                (tool.to_string(), forecast)
            }
            None => match request.unless_cancelled(self.calls.resolve_tool(&name)).await {
                Ok(tool) => {
                    let call = self.build_named_call(tool, arguments, None)?;
                    let context = self.agent.call_context();
                    // A private name is folded in the canonical one, where it would no longer be found.
                    let named = match self.agent.pipeline.anonymizer.load().is_private_tool(&call.tool.tool) {
                        true => name.into_owned(),
                        false => call.tool.to_string(),
                    };
                    (named, self.agent.pipeline.forecast_call(call, &context, &request.call_options()).await)
                }
                Err(Refusal::Cancelled) => return Err(Refusal::Cancelled),
                Err(refusal) => (name.into_owned(), CallForecast::Refused(refusal)),
            },
        };
        let explanation = CallExplanation::new(tool_name, forecast);
        self.own_outcome(answers::structured_result(&json::serialize_raw(&explanation), false))
    }
}

impl CallExplanation {
    fn new(tool_name: String, forecast: CallForecast) -> Self {
        let plain = |outcome, reason| Self {
            tool_name: String::new(),
            outcome,
            reason,
            waits_as: None,
            arguments: None,
        };
        let explanation = match forecast {
            CallForecast::Runs(reason, arguments) => Self { arguments, ..plain("runs", reason) },
            CallForecast::Asks(decision, waiting) => {
                let waits_as = waiting.map(|task| task.to_string());
                Self { waits_as, ..plain("asks", decision.to_string()) }
            }
            CallForecast::Denied(decision) => plain("denied", decision.to_string()),
            CallForecast::Refused(refusal) => plain("refused", answers::refusal_message(&refusal)),
        };
        Self { tool_name, ..explanation }
    }
}
