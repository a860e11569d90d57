//! Calls that need the approval of several people. Each approval is a vote, and the last one needed settles
//! the task.
//!
//! A vote is stored, recorded and reported like a change of the task. Votes are counted by the policy at that
//! time, and once more when the call starts ([`Task::claim`]). A voter whom the policy no longer names
//! doesn't count.

use portero::audit::{AuditEvent, AuditRecord};
use portero::names::{Actor, TaskId, ToolId};
use portero::notice::Notice;
use portero::policy::Quorum;
use portero::policy::quorum::counting_votes;
use portero::task::{Task, TaskState};
use rusqlite::Connection;

use super::error::{ApprovalError, QuorumProgress, VoteError};
use super::queue::ApprovalQueue;
use super::transition::transition_record;
use crate::auth::Authorization;
use crate::journal::{AuditMode, ChangeReport};
use crate::store::StoreError;
use crate::store::buttons::ButtonUse;
use crate::store::tasks::{self, Transition, TransitionRequest};

impl ApprovalQueue {
    /// The quorums of a tool; empty if one approval is enough.
    #[must_use]
    pub fn quorums(&self, tool: &ToolId) -> Vec<Quorum> {
        self.deps.policy.load().quorums(tool).into_iter().cloned().collect()
    }

    /// Checks that one person can settle a task from anywhere.
    ///
    /// # Errors
    /// [`VoteError::NotOnTelegram`] if the task needs several people on Telegram.
    pub fn check_single_approval(&self, task: TaskId) -> Result<(), ApprovalError> {
        let task = self.find_task(task, None)?;
        let quorums = self.quorums(&task.call.tool);
        if quorums.is_empty() || task.state != TaskState::PendingApproval {
            return Ok(());
        }
        Err(VoteError::NotOnTelegram(task.id, QuorumProgress::from_votes(&quorums, &task)).into())
    }

    /// Counts one person's vote. The task is approved once every quorum is met, and waits until then.
    pub(super) async fn cast_vote(
        &self,
        task: Task,
        confirmed: &Authorization,
        quorums: Vec<Quorum>,
    ) -> Result<Task, ApprovalError> {
        if task.state != TaskState::PendingApproval {
            return Err(ApprovalError::WrongState(task.id, task.state));
        }
        let (id, needs) = (task.id, QuorumProgress::from_votes(&quorums, &task));
        let (Some(user), Some(button)) = (confirmed.voter(), confirmed.button().cloned()) else {
            return Err(VoteError::NotOnTelegram(id, needs).into());
        };
        if !quorums.iter().any(|quorum| quorum.counts_user(user)) {
            return Err(VoteError::NotEligible(id, needs, user).into());
        }
        let approval = self.approval_transition(id, Some(button.clone()));
        let ballot = VoteAttempt { task, user, button, quorums, approval };
        let cast =
            self.deps.journal.change_and_notify(AuditMode::Required, move |store| ballot.count_vote(store));
        match cast.await? {
            VoteOutcome::Counted(task) => {
                self.notify_waiters();
                Ok(*task)
            }
            VoteOutcome::AlreadyVoted => Err(VoteError::AlreadyVoted(id, needs, user).into()),
            VoteOutcome::Transitioned(stepped) => {
                let task = self.finish_transition(id, stepped)?;
                self.announce_approval();
                Ok(task)
            }
        }
    }
}

/// One person's vote before it is counted.
struct VoteAttempt {
    /// The task as it was read before the transaction.
    task: Task,
    user: u64,
    button: ButtonUse,
    quorums: Vec<Quorum>,
    /// The transition that the last vote makes; the same as with a single approval.
    approval: TransitionRequest,
}

/// The result of a vote.
enum VoteOutcome {
    /// It counts, and more votes are needed.
    Counted(Box<Task>),
    /// The person had voted before.
    AlreadyVoted,
    /// It was the last vote needed, or the task had changed meanwhile.
    Transitioned(Transition),
}

impl VoteAttempt {
    fn count_vote(&self, store: &Connection) -> Result<(VoteOutcome, ChangeReport), StoreError> {
        let (id, now) = (self.task.id, self.approval.now);
        // The task was read outside this transaction: a vote counts only if it still waits and isn't overdue
        // now.
        match tasks::expire_task(store, id, now)? {
            Transition::WrongState(TaskState::PendingApproval) => {}
            moved => return Ok(transitioned(moved, &Actor::Expiry)),
        }
        // A repeated vote can still settle the task: the policy may have been changed so that fewer votes are
        // enough.
        let is_new = tasks::record_vote(store, &self.task, self.user, now)?;
        let all = counting_votes(&self.quorums, &tasks::votes_of_task(store, id)?);
        if self.quorums.iter().all(|quorum| quorum.is_met(&all)) {
            // Voters whom the policy no longer names are removed, so they aren't reported among those who
            // approved.
            tasks::retain_votes(store, id, &all)?;
            let stepped = tasks::transition(store, &self.approval)?;
            let voters = Actor::from_voters(all.iter().map(|vote| vote.user).collect());
            return Ok(transitioned(stepped, &voters));
        }
        if !is_new {
            return Ok((VoteOutcome::AlreadyVoted, ChangeReport::default()));
        }
        self.button.consume(store)?;
        let task = Task { votes: all, ..self.task.clone() };
        let account = self.vote_report(&task);
        Ok((VoteOutcome::Counted(Box::new(task)), account))
    }

    /// The record and the notice of a vote that is not the last one.
    fn vote_report(&self, task: &Task) -> ChangeReport {
        let far: Vec<String> = self
            .quorums
            .iter()
            .map(|quorum| format!("{} of {}", quorum.approval_count(&task.votes), quorum.approvals))
            .collect();
        let by = Actor::from_voters(vec![self.user]);
        let record = AuditRecord {
            at: self.approval.now,
            session: Some(task.origin.session),
            principal: Some(task.origin.principal.clone()),
            address: task.origin.remote_address(),
            event: AuditEvent::Act {
                act: "vote".to_owned(),
                about: format!("task {} {}: vote {}", task.id, task.call.tool, far.join(" and ")),
                done: true,
                process: Some(by.clone()),
            },
        };
        let notice = Notice::Vote { task: task.id, tool: task.call.tool.clone(), by };
        ChangeReport::from(vec![record]).with_notices([notice])
    }
}

fn transitioned(stepped: Transition, by: &Actor) -> (VoteOutcome, ChangeReport) {
    let record = transition_record(&stepped, by, None);
    (VoteOutcome::Transitioned(stepped), ChangeReport::from(record.into_iter().collect::<Vec<_>>()))
}
