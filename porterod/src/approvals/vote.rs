//! Calls that take the yes of several people: each yes is a vote, and the last one that is needed settles the task.
//!
//! A vote is stored, recorded and told like a change of the task. What counts is decided when a vote comes, by the
//! policy in force then, and once more when the call is to start ([`Task::claim`]): who is no longer named counts
//! no more.

use std::fmt;

use portero::audit::{AuditEvent, AuditRecord};
use portero::names::{Actor, TaskId, ToolId};
use portero::notice::Notice;
use portero::policy::Quorum;
use portero::policy::quorum::{counting_votes, describe_progress};
use portero::task::{Task, TaskState};
use rusqlite::Connection;

use super::queue::{ApprovalError, ApprovalQueue, transition_record};
use crate::auth::buttons::ButtonUse;
use crate::auth::passphrase::Authorization;
use crate::journal::{AuditMode, ChangeReport};
use crate::store::StoreError;
use crate::store::tasks::{self, Transition, TransitionRequest};

/// Why a yes to a call that takes several people changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// It was not given with a button on Telegram, so it is nobody's of those whose approval counts.
    #[error(
        "task {0} takes {1}. A terminal is none of these people: they approve on Telegram, each for themselves"
    )]
    NotOnTelegram(TaskId, QuorumProgress),
    /// It is somebody else's.
    #[error("task {0} takes {1}; telegram user {2} is none of these people")]
    NotEligible(TaskId, QuorumProgress, u64),
    /// The same person said so before.
    #[error("telegram user {2} approved task {0} already; it takes {1}")]
    AlreadyVoted(TaskId, QuorumProgress, u64),
}

/// What is needed, and how far it has come, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumProgress(String);

impl QuorumProgress {
    fn from_votes(quorums: &[Quorum], task: &Task) -> Self {
        let wanted: Vec<String> = quorums.iter().map(ToString::to_string).collect();
        let far = describe_progress(quorums, &task.votes).unwrap_or_default();
        Self(format!("{}, and has {far}", wanted.join(" and ")))
    }
}

impl fmt::Display for QuorumProgress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ApprovalQueue {
    /// What several people must say of a tool; nothing where one is enough.
    #[must_use]
    pub fn quorums(&self, tool: &ToolId) -> Vec<Quorum> {
        self.deps.policy.load().quorums(tool).into_iter().cloned().collect()
    }

    /// Whether one person can settle a task, wherever they are.
    ///
    /// # Errors
    /// [`VoteError::NotOnTelegram`] where it waits for several on Telegram.
    pub fn check_single_approval(&self, task: TaskId) -> Result<(), ApprovalError> {
        let task = self.find_task(task, None)?;
        let quorums = self.quorums(&task.call.tool);
        if quorums.is_empty() || task.state != TaskState::PendingApproval {
            return Ok(());
        }
        Err(VoteError::NotOnTelegram(task.id, QuorumProgress::from_votes(&quorums, &task)).into())
    }

    /// Counts one person's yes. The task is approved once all that is needed is there, and waits until then.
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
        let (Some(user), Some(button)) = (confirmed.voter(), confirmed.consumes_for_call()) else {
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
                self.task_approved.notify_one();
                self.task_opened.notify_one();
                Ok(task)
            }
        }
    }
}

/// One person's yes, to be counted.
struct VoteAttempt {
    /// As it was read before.
    task: Task,
    user: u64,
    button: ButtonUse,
    quorums: Vec<Quorum>,
    /// The step that the last yes makes: the same as where one person is enough.
    approval: TransitionRequest,
}

/// What came of it.
enum VoteOutcome {
    /// It counts, and others are needed still.
    Counted(Box<Task>),
    /// It counted before.
    AlreadyVoted,
    /// It was the last one that was needed; or the task had moved meanwhile.
    Transitioned(Transition),
}

impl VoteAttempt {
    fn count_vote(&self, store: &Connection) -> Result<(VoteOutcome, ChangeReport), StoreError> {
        let (id, now) = (self.task.id, self.approval.now);
        // A vote counts only for a task that still waits and is alive, as it is in this transaction.
        match tasks::expire_task(store, id, now)? {
            Transition::WrongState(TaskState::PendingApproval) => {}
            moved => return Ok(transitioned(moved, &Actor::Expiry)),
        }
        let is_new = tasks::record_vote(store, &self.task, self.user, now)?;
        let all = counting_votes(&self.quorums, &tasks::votes_of_task(store, id)?);
        if self.quorums.iter().all(|quorum| quorum.is_met(&all)) {
            // Whose approval counts no more is not among those who approved.
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

    /// What is said of a vote that is not the last one.
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
