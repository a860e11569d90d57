//! `portero/cancel_task`: the agent takes back a call that has not started.

use super::super::answers::{self, TaskStatus};
use super::super::state::SessionState;
use super::arguments::BuiltinArguments;
use crate::json;
use crate::pipeline::{CallReply, Refusal};

impl SessionState {
    pub(super) async fn cancel_task(&self, arguments: &BuiltinArguments<'_>) -> Result<CallReply, Refusal> {
        let task = self.tasks.cancel_task(arguments.task_id()?).await?;
        self.own_outcome(answers::structured_result(
            &json::serialize_raw(&TaskStatus::from_task(&task)),
            false,
        ))
    }
}
