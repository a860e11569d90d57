//! Runs Portero's own tools.

mod check;
mod explain;
mod search;

use super::answers::{self, TaskStatus};
use super::builtin_tools::{BuiltinArguments, BuiltinTool};
use super::request::ClientRequest;
use super::state::SessionState;
use crate::anonymize::Fake;
use crate::call::Call;
use crate::json::{self, RawJson, RawObject};
use crate::names::ToolId;
use crate::pipeline::{CallReply, Refusal};
use crate::task::TaskState;

impl SessionState {
    /// Runs one of Portero's own tools.
    pub(super) async fn run_builtin_tool(
        &self,
        own: BuiltinTool,
        params: &RawObject<'_>,
        meta: Option<RawJson>,
        request: &ClientRequest,
    ) -> CallReply {
        let context = self.agent.call_context();
        let work = async {
            let arguments = match BuiltinArguments::read(own, params.get("arguments")) {
                Ok(arguments) => arguments,
                Err(wrong) => return CallReply::Refused(Refusal::Invalid(wrong)),
            };
            let done = match own {
                BuiltinTool::SearchTools => self.search_tools(&arguments).await,
                BuiltinTool::Call => self.call_named(&arguments, meta, request).await,
                BuiltinTool::Explain => self.explain_call(&arguments, request).await,
                BuiltinTool::CheckTask => self.check_task(&arguments, request).await,
                BuiltinTool::ListTasks => self.list_tasks(&arguments).await,
                BuiltinTool::CancelTask => self.cancel_task(&arguments).await,
            };
            done.unwrap_or_else(CallReply::Refused)
        };
        self.agent.pipeline.run_builtin(&own.id(), &context, work).await
    }

    /// `portero/call`: runs the named tool through the whole pipeline.
    async fn call_named(
        &self,
        arguments: &BuiltinArguments<'_>,
        meta: Option<RawJson>,
        request: &ClientRequest,
    ) -> Result<CallReply, Refusal> {
        let name = arguments.required_text("tool")?;
        // A nested call of an own tool would be decided and recorded twice.
        if BuiltinTool::from_name(&name).is_some() {
            return Err(Refusal::Invalid(format!("`{name}` is Portero's own tool; call it directly")));
        }
        let tool = request.unless_cancelled(self.calls.resolve_tool(&name)).await?;
        let call = self.build_named_call(tool, arguments, meta)?;
        Ok(self.calls.run_tool_call(call, request.call_options()).await)
    }

    /// The call of a tool with the arguments in `args`.
    fn build_named_call(
        &self,
        tool: ToolId,
        arguments: &BuiltinArguments<'_>,
        meta: Option<RawJson>,
    ) -> Result<Call, Refusal> {
        let spelled = json::serialize_raw(&self.calls.server_tool_name(&tool));
        // A missing `args` becomes an empty object, because servers expect the member.
        let none = json::serialize_raw(&serde_json::Map::new());
        let args = arguments.optional_object("args")?.unwrap_or(&none);
        let params = RawObject::default().with_member("name", &spelled).with_member("arguments", args);
        self.calls.build_tool_call(tool, params, meta)
    }

    /// `portero/list_tasks`
    async fn list_tasks(&self, arguments: &BuiltinArguments<'_>) -> Result<CallReply, Refusal> {
        let status = arguments.optional_text("status")?;
        let state = status
            .map(|status| status.parse::<TaskState>())
            .transpose()
            .map_err(|unknown| Refusal::Invalid(format!("`status` is {unknown}")))?;
        let limit = arguments.optional_number("limit", 1, 100)?.unwrap_or(20);
        let tasks = self.tasks.list_tasks(state, u32::try_from(limit).unwrap_or(100)).await?;
        let tasks: Vec<_> = tasks
            .iter()
            .map(|task| {
                serde_json::json!({
                    "taskId": task.id.to_string(),
                    "toolName": task.call.tool.to_string(),
                    "status": task.state.as_str(),
                    "asked": task.asked.to_string(),
                    "changed": task.changed.to_string(),
                    "note": task.note.as_ref().map(Fake::get),
                    "repeats": task.repeats.map(|task| task.to_string()),
                })
            })
            .collect();
        self.own_outcome(answers::structured_result(
            &json::serialize_raw(&serde_json::json!({ "tasks": tasks })),
            false,
        ))
    }

    /// `portero/cancel_task`: cancels a call that waits.
    async fn cancel_task(&self, arguments: &BuiltinArguments<'_>) -> Result<CallReply, Refusal> {
        let task = self.tasks.cancel_task(arguments.task_id()?).await?;
        let status = json::serialize_raw(&TaskStatus::from_task(&task));
        self.own_outcome(answers::structured_result(&status, false))
    }

    /// Conceals a result of Portero's own, like all that leaves.
    fn own_outcome(&self, result: RawJson) -> Result<CallReply, Refusal> {
        self.client.conceal_own(result).map(CallReply::Result).map_err(Refusal::Withheld)
    }
}
