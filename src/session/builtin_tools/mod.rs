//! Portero's own tools: their names, arguments and answers.

mod arguments;
mod check;
mod definitions;
mod search;

use std::sync::Arc;

use self::arguments::BuiltinArguments;
pub use self::definitions::builtin_list_result;
pub(super) use self::definitions::definitions_json;
use super::answers::{self, TaskStatus};
use super::request::ClientRequest;
use super::state::SessionState;
use crate::anonymize::Fake;
use crate::json::{self, RawJson, RawObject};
use crate::names::{BUILTIN_SERVER, ServerName, ToolId, ToolName};
use crate::pipeline::{CallReply, Refusal};
use crate::task::TaskState;

/// One of Portero's own tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuiltinTool {
    /// Finds tools.
    SearchTools,
    /// Calls any tool by its full name.
    Call,
    /// Returns a task's status, or its result.
    CheckTask,
    /// Lists tasks.
    ListTasks,
    /// Cancels a task that hasn't started.
    CancelTask,
}

impl BuiltinTool {
    pub(super) const ALL: [Self; 5] =
        [Self::SearchTools, Self::Call, Self::CheckTask, Self::ListTasks, Self::CancelTask];

    /// The name after `portero/`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SearchTools => "search_tools",
            Self::Call => "call",
            Self::CheckTask => "check_task",
            Self::ListTasks => "list_tasks",
            Self::CancelTask => "cancel_task",
        }
    }

    /// Reads `portero__name` or `portero/name`.
    pub(super) fn from_name(spelled: &str) -> Option<Self> {
        let rest = spelled.strip_prefix(BUILTIN_SERVER)?;
        let name = rest.strip_prefix("__").or_else(|| rest.strip_prefix('/'))?;
        Self::ALL.into_iter().find(|own| own.name() == name)
    }

    /// The canonical name.
    pub(super) fn id(self) -> ToolId {
        ToolId::new(ServerName::builtin(), self.name().parse::<ToolName>().expect("our own names are names"))
    }
}

impl SessionState {
    /// Runs one of Portero's own tools.
    pub(super) async fn run_builtin_tool(
        self: &Arc<Self>,
        own: BuiltinTool,
        params: &RawObject<'_>,
        meta: Option<RawJson>,
        request: &ClientRequest,
    ) -> CallReply {
        let context = self.context.load_full();
        let work = async {
            let arguments = match BuiltinArguments::read(own, params.get("arguments")) {
                Ok(arguments) => arguments,
                Err(wrong) => return CallReply::Refused(Refusal::Invalid(wrong)),
            };
            let done = match own {
                BuiltinTool::SearchTools => self.search_tools(&arguments).await,
                BuiltinTool::Call => self.call_named(&arguments, meta, request).await,
                BuiltinTool::CheckTask => self.check_task(&arguments, request).await,
                BuiltinTool::ListTasks => self.list_tasks(&arguments).await,
                BuiltinTool::CancelTask => self.cancel_task(&arguments).await,
            };
            done.unwrap_or_else(CallReply::Refused)
        };
        self.pipeline.run_builtin(&own.id(), &context, work).await
    }

    /// `portero/call`: runs the named tool through the whole pipeline.
    async fn call_named(
        self: &Arc<Self>,
        arguments: &BuiltinArguments<'_>,
        meta: Option<RawJson>,
        request: &ClientRequest,
    ) -> Result<CallReply, Refusal> {
        let name = arguments.required_text("tool")?;
        // A nested call of an own tool would be decided and recorded twice.
        if BuiltinTool::from_name(&name).is_some() {
            return Err(Refusal::Invalid(format!("`{name}` is Portero's own tool; call it directly")));
        }
        let tool = request.unless_cancelled(self.resolve_tool(&name)).await?;
        let spelled = json::serialize_raw(&self.server_tool_name(&tool));
        // A missing `args` becomes an empty object, because servers expect the member.
        let none = json::serialize_raw(&serde_json::Map::new());
        let args = arguments.optional_object("args")?.unwrap_or(&none);
        let params = RawObject::default().with_member("name", &spelled).with_member("arguments", args);
        let call = self.build_tool_call(tool, params, meta)?;
        Ok(self.run_tool_call(call, request.call_options()).await)
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
        self.conceal_own(result).map(CallReply::Result).map_err(Refusal::Withheld)
    }
}
