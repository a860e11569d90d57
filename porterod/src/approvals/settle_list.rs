//! Settles several tasks of a list with one button, in one change.

use std::sync::Arc;

use portero::anonymize::Fake;
use portero::ipc::Act;
use portero::names::{Actor, TaskId};
use portero::task::TaskState;

use super::error::ApprovalError;
use super::queue::ApprovalQueue;
use super::transition::{record_denial, transition_record};
use crate::auth::Authorization;
use crate::auth::buttons::{ButtonPress, ListDecision};
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

/// The result of approving several calls of a list with one button.
#[derive(Debug, Default)]
pub struct ListApproval {
    /// The tasks that are approved now.
    pub approved: Vec<TaskId>,
    /// The tasks that are not, and why.
    pub left_out: Vec<(TaskId, ApprovalError)>,
}

impl ApprovalQueue {
    /// Approves each of these tasks that still waits, in one change with a record for each, and wakes the
    /// executor. The button of the authorizations is used up in the same change. If no task can be approved,
    /// nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the button was used before, or if the authorizations are not one button's.
    pub async fn approve_listed(&self, confirmed: Vec<Authorization>) -> Result<ListApproval, StoreError> {
        let mut approval = ListApproval::default();
        let mut steps = Vec::new();
        let first = confirmed.first().map(|first| (first.button().cloned(), first.actor().clone()));
        let Some((Some(button), by)) = first else { return Ok(approval) };
        for authorization in &confirmed {
            let Act::Approve(task) = *authorization.act() else {
                return Err(StoreError::Refused("a list's button approves single calls".to_owned()));
            };
            if authorization.button() != Some(&button) {
                return Err(StoreError::Refused("the calls were not confirmed by one button".to_owned()));
            }
            match self.check_approvable_with_others(task) {
                Ok(()) => steps.push(self.approval_transition(task, None)),
                Err(error) => approval.left_out.push((task, error)),
            }
        }
        if steps.is_empty() {
            return Ok(approval);
        }
        for (task, stepped) in self.store_approvals(steps, button, by).await? {
            match self.finish_transition(task, stepped) {
                Ok(_) => approval.approved.push(task),
                Err(error) => approval.left_out.push((task, error)),
            }
        }
        self.announce_approval();
        Ok(approval)
    }

    async fn store_approvals(
        &self,
        steps: Vec<TransitionRequest>,
        button: ButtonUse,
        by: Actor,
    ) -> Result<Vec<(TaskId, Transition)>, StoreError> {
        let approving = move |store: &rusqlite::Connection| {
            button.consume(store)?;
            let (mut stepped, mut records) = (Vec::new(), Vec::new());
            for step in &steps {
                let transition = tasks::transition(store, step)?;
                records.extend(transition_record(&transition, &by, None));
                stepped.push((step.id, transition));
            }
            Ok((stepped, records))
        };
        self.deps.journal.change(AuditMode::Required, approving).await
    }

    /// Checks what a list's approval needs of one task, without asking a server.
    ///
    /// # Errors
    /// Why this task is left out.
    pub fn check_approvable_with_others(&self, task: TaskId) -> Result<(), ApprovalError> {
        let waiting = self.find_task(task, None)?;
        if waiting.state != TaskState::PendingApproval {
            return Err(ApprovalError::WrongState(task, waiting.state));
        }
        // It is not expired here: that would redraw the list, and void the button that is being pressed.
        if tasks::is_expired(&waiting, self.now()) {
            return Err(ApprovalError::WrongState(task, TaskState::Expired));
        }
        self.check_config_unchanged(&waiting)?;
        self.agreed_place(&waiting, false)?;
        match self.quorums(&waiting.call.tool).is_empty() {
            true => Ok(()),
            false => Err(ApprovalError::SeveralPeople(task)),
        }
    }

    /// Denies every listed task that still waits, in one change, which also uses up the list's button. If the
    /// change can't be saved, the tasks are denied all the same and the button stays usable.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the button was used before.
    pub async fn reject_listed(
        &self,
        press: &ButtonPress<ListDecision>,
        reason: Option<Fake<String>>,
    ) -> Result<ListRejection, StoreError> {
        let ListDecision::Deny(tasks) = press.action().clone() else {
            return Err(StoreError::Refused("the button denies nothing".to_owned()));
        };
        let (now, button) = (self.now(), press.ticket().step(1));
        let by = press.by();
        let journal = Arc::clone(&self.deps.journal);
        let (listed, rejecter, note) = (tasks.clone(), by.clone(), reason.clone());
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
                    let denial = TransitionRequest { must_be_alive: true, note: note.clone(), ..denial };
                    let stepped = tasks::transition(store, &denial)?;
                    records.extend(transition_record(&stepped, &rejecter, note.as_ref()));
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
            Err(error) => Ok(self.reject_list_unsaved(tasks, reason, &by, &error).await),
        }
    }

    /// Rejects these tasks without the store. Tasks that no longer wait are left alone.
    pub(super) async fn reject_list_unsaved(
        &self,
        listed: Vec<TaskId>,
        reason: Option<Fake<String>>,
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
            let denial = TransitionRequest {
                must_be_alive: true,
                deny_cooldown: true,
                note: reason.clone(),
                ..denial
            };
            rejection.denied += usize::from(self.rejections.put_in_force(denial, by, error).is_ok());
        }
        if rejection.denied > 0 {
            rejection.unsaved = Some(self.rejections.keep_beside_store(error).await);
        }
        rejection
    }
}
