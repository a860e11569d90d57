//! Portero's own tools: their names, their definitions and their arguments.

mod arguments;
mod definitions;

use std::time::Duration;

pub(super) use self::arguments::BuiltinArguments;
pub use self::definitions::builtin_list_result;
pub(super) use self::definitions::definitions_json;
use crate::names::{BUILTIN_SERVER, ServerName, ToolId, ToolName};

/// The longest that `check_task` waits.
pub(super) const MAX_WAIT: Duration = Duration::from_secs(600);

/// One of Portero's own tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BuiltinTool {
    /// Finds tools.
    SearchTools,
    /// Calls any tool by its full name.
    Call,
    /// Returns what would come of a call.
    Explain,
    /// Returns a task's status, or its result.
    CheckTask,
    /// Lists tasks.
    ListTasks,
    /// Cancels a task that hasn't started.
    CancelTask,
}

/// The names of Portero's own tools, after `portero/`.
pub fn builtin_tool_names() -> impl Iterator<Item = &'static str> {
    BuiltinTool::ALL.into_iter().map(BuiltinTool::name)
}

impl BuiltinTool {
    pub(super) const ALL: [Self; 6] =
        [Self::SearchTools, Self::Call, Self::Explain, Self::CheckTask, Self::ListTasks, Self::CancelTask];

    /// The name after `portero/`.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::SearchTools => "search_tools",
            Self::Call => "call",
            Self::Explain => "explain",
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
