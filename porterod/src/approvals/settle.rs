//! Settles a task: a person approves or denies it, or the agent cancels it.

use std::sync::Arc;

use portero::anonymize::Fake;
use portero::ipc::Act;
use portero::names::{Actor, Principal, TaskId};
use portero::task::{Task, TaskState};

use super::error::ApprovalError;
use super::queue::ApprovalQueue;
use super::transition::{deadline_after, store_transition};
use crate::auth::Authorization;
use crate::auth::buttons::{ButtonPress, CardDecision};
use crate::journal::AuditMode;
use crate::store::StoreError;
use crate::store::buttons::ButtonUse;
use crate::store::tasks::TransitionRequest;

impl ApprovalQueue {
    /// Approves a task and wakes the executor. If the call needs several people, this is one vote and the
    /// task may still wait.
    ///
    /// # Errors
    /// [`ApprovalError::WrongState`] for all but the first approval; [`ApprovalError::Void`] if the call
    /// would not run;
    /// [`ApprovalError::Vote`] if the call needs several people and this vote adds nothing.
    pub async fn approve(&self, task: TaskId, confirmed: Authorization) -> Result<Task, ApprovalError> {
        self.approve_in(task, confirmed, false).await
    }

    /// As [`ApprovalQueue::approve`]; the person agrees that the call runs in another process than the one that its
    /// session uses.
    ///
    /// # Errors
    /// As [`ApprovalQueue::approve`], and [`ApprovalError::Void`] where it takes several people: none of them can agree
    /// for the others.
    pub async fn approve_fresh(&self, task: TaskId, confirmed: Authorization) -> Result<Task, ApprovalError> {
        self.approve_in(task, confirmed, true).await
    }

    async fn approve_in(
        &self,
        task: TaskId,
        confirmed: Authorization,
        fresh: bool,
    ) -> Result<Task, ApprovalError> {
        let act = Act::approve(task, fresh);
        if !confirmed.covers(&act) {
            return Err(ApprovalError::Unauthorized(task));
        }
        let waiting = self.find_task(task, None)?;
        if self.rejections.is_rejected(task) {
            return Err(ApprovalError::WrongState(task, TaskState::Denied));
        }
        if waiting.state == TaskState::PendingApproval {
            self.check_config_unchanged(&waiting)?;
            // The session may have left since the person was asked.
            self.agreed_place(&waiting, fresh)?;
        }
        let quorums = self.quorums(&waiting.call.tool);
        if !quorums.is_empty() {
            if fresh {
                let why = "it takes several people, who approve it only where its session's other calls run";
                return Err(ApprovalError::Void(task, why.to_owned()));
            }
            return self.cast_vote(waiting, &confirmed, quorums).await;
        }
        let step = self.approval_transition(task, confirmed.button().cloned());
        let step = TransitionRequest { fresh, ..step };
        let task = self.transition_task(step, confirmed.actor(), AuditMode::Required).await?;
        self.announce_approval();
        Ok(task)
    }

    /// The transition to `approved`. The call must then start within the start timeout, or it expires.
    pub(super) fn approval_transition(&self, task: TaskId, consumes: Option<ButtonUse>) -> TransitionRequest {
        let now = self.now();
        TransitionRequest {
            must_be_alive: true,
            consumes,
            expires: Some(deadline_after(now, self.deps.settings.load().start_timeout)),
            ..TransitionRequest::new(task, &[TaskState::PendingApproval], TaskState::Approved, now)
        }
    }

    /// Denies a task, also after its approval as long as it hasn't started. The same call is refused without
    /// a question for the configured cool-down.
    ///
    /// # Errors
    /// [`ApprovalError::WrongState`] if the task has started or ended.
    pub async fn reject(
        &self,
        task: TaskId,
        reason: Option<Fake<String>>,
        by: &Actor,
    ) -> Result<Task, ApprovalError> {
        let step = TransitionRequest { deny_cooldown: true, ..self.denial_transition(task, reason) };
        self.save_rejection(step, by).await
    }

    /// As [`ApprovalQueue::reject`], but the same call may ask again at once.
    ///
    /// [`ApprovalError::WrongState`] if the task has started or ended.
    /// [`ApprovalError::WrongState`] when it is too late.
    pub async fn reject_without_cooldown(
        &self,
        task: TaskId,
        reason: Option<Fake<String>>,
        by: &Actor,
    ) -> Result<Task, ApprovalError> {
        self.save_rejection(self.denial_transition(task, reason), by).await
    }

    /// As [`ApprovalQueue::reject`], by a button, which is used up in the same change.
    ///
    /// # Errors
    /// [`ApprovalError::WrongState`] if the task has started or ended.
    pub async fn reject_by_button(
        &self,
        tapped: &ButtonPress<CardDecision>,
        reason: Option<Fake<String>>,
    ) -> Result<Task, ApprovalError> {
        let denial = self.denial_transition(tapped.action().task, reason);
        let step =
            TransitionRequest { deny_cooldown: true, consumes: Some(tapped.ticket().step(1)), ..denial };
        self.save_rejection(step, &tapped.by()).await
    }

    /// Rejects a task. If the change can't be saved, the task is rejected all the same.
    ///
    /// # Errors
    /// [`ApprovalError::Unsaved`] in that case, and as [`ApprovalQueue::reject`].
    async fn save_rejection(&self, step: TransitionRequest, by: &Actor) -> Result<Task, ApprovalError> {
        let journal = Arc::clone(&self.deps.journal);
        let saving = store_transition(journal, step.clone(), by.clone(), AuditMode::BestEffort);
        match self.rejections.wait_for_save(saving).await {
            Ok(stepped) => self.finish_transition(step.id, stepped),
            Err(error @ StoreError::Refused(_)) => Err(error.into()),
            Err(error) => {
                let id = step.id;
                self.rejections.put_in_force(step, by, &error)?;
                Err(ApprovalError::Unsaved(id, self.rejections.keep_beside_store(&error).await))
            }
        }
    }

    fn denial_transition(&self, task: TaskId, reason: Option<Fake<String>>) -> TransitionRequest {
        let from = &[TaskState::PendingApproval, TaskState::Approved];
        TransitionRequest {
            note: reason,
            ..TransitionRequest::new(task, from, TaskState::Denied, self.now())
        }
    }

    /// Cancels a task for its agent.
    ///
    /// # Errors
    /// [`ApprovalError::NotFound`] for another principal's task.
    pub async fn cancel(&self, task: TaskId, principal: &Principal) -> Result<Task, ApprovalError> {
        let from = &[TaskState::PendingApproval, TaskState::Approved];
        let step = TransitionRequest::new(task, from, TaskState::Cancelled, self.now());
        let step = TransitionRequest { principal: Some(principal.clone()), ..step };
        self.transition_task(step, &Actor::Agent, AuditMode::BestEffort).await
    }
}
