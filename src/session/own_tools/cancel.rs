//! `portero/cancel_task`: the agent takes back a call that has not started.

use super::super::answers::{self, Status};
use super::super::state::Shared;
use super::arguments::Arguments;
use crate::json;
use crate::pipeline::{Refusal, Reply};

impl Shared {
    pub(super) async fn cancel_task(&self, arguments: &Arguments<'_>) -> Result<Reply, Refusal> {
        let task = self.tasks.cancel(arguments.task_id()?).await?;
        self.own_reply(answers::structured(&json::raw(&Status::of(&task)), false))
    }
}
