//! Settling a task: a person's yes, their no, and the agent that takes its call back.

use std::sync::Arc;

use portero::anonymize::Fake;
use portero::names::{Principal, TaskId};
use portero::task::{State, Task};

use super::desk::{Desk, DeskError, later};
use super::open;
use crate::journal::{Weight, about_task};
use crate::passphrase::{Confirmed, What};
use crate::store::StoreError;
use crate::store::tasks::{self, Step, Stepped};
use crate::taps::{Tapped, Turned};

/// What one tap against all calls of a list did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRejection {
    /// How many waited and are denied now.
    pub denied: usize,
    /// How many had expired before, so that nothing was left to deny.
    pub expired: usize,
    /// Why that is in force and not saved in the store yet, where that is so.
    pub unsaved: Option<String>,
}

impl Desk {
    /// A person says yes. The executor is woken, unless others have to say so too: then the task still waits.
    ///
    /// # Errors
    /// [`DeskError::Settled`] for everyone but the first; [`DeskError::Void`] where the call would not run even so;
    /// [`DeskError::Vote`] where it takes several people and this yes adds nothing.
    pub async fn approve(&self, task: TaskId, confirmed: Confirmed) -> Result<Task, DeskError> {
        if !confirmed.covers(&What::Call(task)) {
            return Err(DeskError::Unconfirmed(task));
        }
        let waiting = self.task(task, None)?;
        if self.rejections.is_rejected(task) {
            return Err(DeskError::Settled(task, State::Denied));
        }
        if waiting.state == State::PendingApproval {
            self.check_configured(&waiting)?;
        }
        let quorums = self.quorums(&waiting.call.tool);
        if !quorums.is_empty() {
            return self.vote(waiting, &confirmed, quorums).await;
        }
        let now = self.now();
        let step = Step {
            alive: true,
            spends: confirmed.ticket(),
            expires: Some(later(now, self.parts.settings.load().start)),
            ..Step::new(task, &[State::PendingApproval], State::Approved, now)
        };
        let task = self.step(step, confirmed.by(), Weight::Strict).await?;
        self.approved.notify_one();
        self.opened.notify_one();
        Ok(task)
    }

    /// A person says no, also after a yes as long as it has not started. The same call does not ask again for
    /// as long as the settings say.
    ///
    /// # Errors
    /// [`DeskError::Settled`] when it is too late.
    pub async fn reject(
        &self,
        task: TaskId,
        reason: Option<Fake<String>>,
        by: &str,
    ) -> Result<Task, DeskError> {
        let step = Step { cools: true, ..self.denial(task, reason) };
        self.reject_by(step, by).await
    }

    /// As [`Desk::reject`], but the same call may ask again at once.
    ///
    /// # Errors
    /// [`DeskError::Settled`] when it is too late.
    pub async fn reject_for_now(
        &self,
        task: TaskId,
        reason: Option<Fake<String>>,
        by: &str,
    ) -> Result<Task, DeskError> {
        self.reject_by(self.denial(task, reason), by).await
    }

    /// As [`Desk::reject`], by a tap, which is used up with it.
    ///
    /// # Errors
    /// [`DeskError::Settled`] when it is too late.
    pub async fn reject_tapped(
        &self,
        tapped: &Tapped,
        reason: Option<Fake<String>>,
    ) -> Result<Task, DeskError> {
        let denial = self.denial(tapped.task(), reason);
        let step = Step { cools: true, spends: Some(tapped.ticket().clone()), ..denial };
        self.reject_by(step, &tapped.by()).await
    }

    /// Denies every one of these that still waits, in one change. A tap on the one button against all of them is
    /// used up with it. Where that cannot be saved they are denied all the same, and the button can be used again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the button was used before.
    pub async fn reject_listed(
        &self,
        tasks: Vec<TaskId>,
        turned: &Turned,
    ) -> Result<ListRejection, StoreError> {
        let (now, ticket) = (self.now(), turned.ticket.clone());
        let by = turned.by();
        let journal = Arc::clone(&self.parts.journal);
        let (listed, rejecter) = (tasks.clone(), by.clone());
        let saving = async move {
            let rejecting = move |store: &rusqlite::Connection| {
                ticket.spend(store, 1)?;
                let mut records = Vec::new();
                let mut rejection = ListRejection::default();
                for id in &listed {
                    // One that is overdue has expired, even if the timer has not noticed: it is not denied.
                    let denial = Step::new(*id, &[State::PendingApproval], State::Denied, now);
                    match tasks::step(store, &Step { alive: true, ..denial })? {
                        Stepped::Done(task) => {
                            open::cool(store, &task)?;
                            rejection.denied += 1;
                            records.push(about_task(&task, &rejecter, None));
                        }
                        Stepped::Expired(task) => {
                            rejection.expired += 1;
                            records.push(about_task(&task, "expiry", None));
                        }
                        Stepped::Elsewhere(State::Expired) => rejection.expired += 1,
                        Stepped::Elsewhere(_) | Stepped::Missing => {}
                    }
                }
                Ok((rejection, records))
            };
            journal.change(Weight::Lenient, rejecting).await
        };
        match self.save_rejection(saving).await {
            Ok(rejection) => {
                self.wake();
                Ok(rejection)
            }
            Err(error @ StoreError::Refused(_)) => Err(error),
            Err(error) => Ok(self.reject_list_unsaved(tasks, &by, &error).await),
        }
    }

    fn denial(&self, task: TaskId, reason: Option<Fake<String>>) -> Step {
        let from = &[State::PendingApproval, State::Approved];
        Step { note: reason, ..Step::new(task, from, State::Denied, self.now()) }
    }

    /// The agent takes its own task back.
    ///
    /// # Errors
    /// [`DeskError::NotFound`] for another principal's.
    pub async fn cancel(&self, task: TaskId, principal: &Principal) -> Result<Task, DeskError> {
        let from = &[State::PendingApproval, State::Approved];
        let step = Step::new(task, from, State::Cancelled, self.now());
        let step = Step { principal: Some(principal.clone()), ..step };
        self.step(step, "agent", Weight::Lenient).await
    }
}
