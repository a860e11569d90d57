//! Settles a task: a person approves or denies it, or the agent cancels it.

use std::sync::Arc;

use portero::anonymize::Fake;
use portero::ipc::Act;
use portero::names::{Actor, Principal, TaskId};
use portero::task::{Task, TaskState};

use super::error::ApprovalError;
use super::queue::ApprovalQueue;
use super::transition::{deadline_after, record_denial, store_transition, transition_record};
use crate::auth::Authorization;
use crate::auth::buttons::{ButtonPress, CardDecision, ListAction};
use crate::journal::AuditMode;
use crate::store::StoreError;
use crate::store::buttons::ButtonUse;
use crate::store::tasks::{self, Transition, TransitionRequest};

/// The result of denying all calls of a list with one button.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRejection {
    /// How many were waiting and are denied now.
    pub denied: usize,
    /// How many had expired before, so that nothing was left to deny.
    pub expired: usize,
    /// Why the denial isn't saved in the store yet, if it isn't.
    pub unsaved: Option<String>,
}

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
        let act = if fresh { Act::ApproveFresh(task) } else { Act::Approve(task) };
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
        self.task_approved.notify_one();
        self.task_opened.notify_one();
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

    /// Denies every listed task that still waits, in one change, which also uses up the list's button. If the
    /// change can't be saved, the tasks are denied all the same and the button stays usable.
    ///
    /// [`StoreError::Refused`] if the button was used before.
    /// [`StoreError::Refused`] when the button was used before.
    pub async fn reject_listed(
        &self,
        tasks: Vec<TaskId>,
        turned: &ButtonPress<ListAction>,
    ) -> Result<ListRejection, StoreError> {
        let (now, button) = (self.now(), turned.ticket().step(1));
        let by = turned.by();
        let journal = Arc::clone(&self.deps.journal);
        let (listed, rejecter) = (tasks.clone(), by.clone());
        let saving = async move {
            let rejecting = move |store: &rusqlite::Connection| {
                button.consume(store)?;
                let mut records = Vec::new();
                let mut rejection = ListRejection::default();
                for id in &listed {
                    // An overdue task counts as expired even if the timer hasn't noticed, so the person isn't
                    // told that they denied it.
                    let denial =
                        TransitionRequest::new(*id, &[TaskState::PendingApproval], TaskState::Denied, now);
                    let stepped =
                        tasks::transition(store, &TransitionRequest { must_be_alive: true, ..denial })?;
                    records.extend(transition_record(&stepped, &rejecter, None));
                    match stepped {
                        Transition::Done(task) => {
                            record_denial(store, &task)?;
                            rejection.denied += 1;
                        }
                        Transition::Expired(_) | Transition::WrongState(TaskState::Expired) => {
                            rejection.expired += 1;
                        }
                        Transition::WrongState(_) | Transition::NotFound => {}
                    }
                }
                Ok((rejection, records))
            };
            journal.change(AuditMode::BestEffort, rejecting).await
        };
        match self.rejections.wait_for_save(saving).await {
            Ok(rejection) => {
                self.notify_waiters();
                Ok(rejection)
            }
            // A refusal concerns the button, so nothing is denied. Every other error concerns the disk, and a
            // denial doesn't wait for a disk.
            Err(error @ StoreError::Refused(_)) => Err(error),
            Err(error) => Ok(self.reject_list_unsaved(tasks, &by, &error).await),
        }
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

    /// Rejects these tasks without the store. Tasks that no longer wait are left alone.
    pub(super) async fn reject_list_unsaved(
        &self,
        listed: Vec<TaskId>,
        by: &Actor,
        error: &StoreError,
    ) -> ListRejection {
        let mut rejection = ListRejection::default();
        let now = self.now();
        for id in listed {
            let task =
                self.deps.journal.store().read(move |store| tasks::get_task(store, id, None)).ok().flatten();
            if self.rejections.is_rejected(id) {
                continue;
            }
            if task
                .is_some_and(|task| task.state == TaskState::PendingApproval && tasks::is_expired(&task, now))
            {
                rejection.expired += 1;
                continue;
            }
            let denial = TransitionRequest::new(id, &[TaskState::PendingApproval], TaskState::Denied, now);
            let denial = TransitionRequest { must_be_alive: true, deny_cooldown: true, ..denial };
            rejection.denied += usize::from(self.rejections.put_in_force(denial, by, error).is_ok());
        }
        if rejection.denied > 0 {
            rejection.unsaved = Some(self.rejections.keep_beside_store(error).await);
        }
        rejection
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
