//! Portero's own tools: what they are called, what they take, and what they say.

mod arguments;
mod cancel;
mod check;
mod definitions;
mod search;

use std::sync::Arc;

use self::arguments::Arguments;
pub(super) use self::definitions::definitions;
pub use self::definitions::listed;
use super::answers;
use super::request::Request;
use super::state::Shared;
use crate::anonymize::Fake;
use crate::json::{self, Object, RawJson};
use crate::names::{OWN_SERVER, ServerName, ToolId, ToolName};
use crate::pipeline::{Refusal, Reply};
use crate::task::State;

/// One of Portero's own tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Own {
    /// Finds tools.
    SearchTools,
    /// Calls any tool by its full name.
    Call,
    /// Tells how a task stands, or its result.
    CheckTask,
    /// Lists tasks.
    ListTasks,
    /// Takes a task back.
    CancelTask,
}

impl Own {
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

    /// The tool that is meant by `portero__name` or `portero/name`.
    pub(super) fn named(spelled: &str) -> Option<Self> {
        let rest = spelled.strip_prefix(OWN_SERVER)?;
        let name = rest.strip_prefix("__").or_else(|| rest.strip_prefix('/'))?;
        Self::ALL.into_iter().find(|own| own.name() == name)
    }

    /// The canonical name.
    pub(super) fn id(self) -> ToolId {
        ToolId::new(ServerName::own(), self.name().parse::<ToolName>().expect("our own names are names"))
    }
}

impl Shared {
    /// Runs one of Portero's own tools.
    pub(super) async fn own_tool(
        self: &Arc<Self>,
        own: Own,
        params: &Object<'_>,
        meta: Option<RawJson>,
        request: &Request,
    ) -> Reply {
        let context = self.context.load_full();
        let work = async {
            let arguments = match Arguments::read(own, params.get("arguments")) {
                Ok(arguments) => arguments,
                Err(wrong) => return Reply::Refused(Refusal::Invalid(wrong)),
            };
            let done = match own {
                Own::SearchTools => self.search_tools(&arguments).await,
                Own::Call => self.call_named(&arguments, meta, request).await,
                Own::CheckTask => self.check_task(&arguments, request).await,
                Own::ListTasks => self.list_tasks(&arguments).await,
                Own::CancelTask => self.cancel_task(&arguments).await,
            };
            done.unwrap_or_else(Reply::Refused)
        };
        self.pipeline.own(&own.id(), &context, work).await
    }

    /// `portero/call`: the whole pipeline, as the named tool.
    async fn call_named(
        self: &Arc<Self>,
        arguments: &Arguments<'_>,
        meta: Option<RawJson>,
        request: &Request,
    ) -> Result<Reply, Refusal> {
        let name = arguments.required_text("tool")?;
        if Own::named(&name).is_some() {
            return Err(Refusal::Invalid(format!("`{name}` is Portero's own tool; call it directly")));
        }
        let tool = request.unless_cancelled(self.resolve_tool(&name)).await?;
        let spelled = json::raw(&self.own_name(&tool));
        let none = json::raw(&serde_json::Map::new());
        let args = arguments.object("args")?.unwrap_or(&none);
        let params = Object::default().with("name", &spelled).with("arguments", args);
        let call = self.tool_call(tool, params, meta)?;
        Ok(self.run(call, request.follow()).await)
    }

    /// `portero/list_tasks`
    async fn list_tasks(&self, arguments: &Arguments<'_>) -> Result<Reply, Refusal> {
        let status = arguments.text("status")?;
        let state = status
            .map(|status| status.parse::<State>())
            .transpose()
            .map_err(|unknown| Refusal::Invalid(format!("`status` is {unknown}")))?;
        let limit = arguments.number("limit", 1, 100)?.unwrap_or(20);
        let tasks = self.tasks.list(state, u32::try_from(limit).unwrap_or(100)).await?;
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
        self.own_reply(answers::structured(&json::raw(&serde_json::json!({ "tasks": tasks })), false))
    }

    /// A result of Portero's own, concealed as everything is.
    fn own_reply(&self, result: RawJson) -> Result<Reply, Refusal> {
        self.conceal_own(result).map(Reply::Result).map_err(Refusal::Withheld)
    }
}
