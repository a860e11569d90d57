//! Calls that take the yes of several people: each yes is a vote, and the last one that is needed settles the task.
//!
//! A vote is kept, recorded and told as a change of the task is. What counts is decided when a vote comes, by the
//! policy in force then, and once more when the call is to start ([`Task::claim`]): who is no longer named counts
//! no more.

use std::fmt;

use jiff::Timestamp;
use portero::audit::{Event, Record};
use portero::names::{TaskId, ToolId};
use portero::notice::Notice;
use portero::policy::Quorum;
use portero::policy::quorum::{counting, progress, voters};
use portero::task::{State, Task};
use rusqlite::Connection;

use super::desk::{Desk, DeskError, later};
use crate::journal::{Account, Weight, about_task};
use crate::passphrase::Confirmed;
use crate::store::tasks::{self, Step, Stepped};
use crate::store::{StoreError, votes};
use crate::taps::Ticket;

/// Why a yes to a call that takes several people changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// It was not given with a button on Telegram, so it is nobody's of those whose approval counts.
    #[error(
        "task {0} takes {1}. A terminal is none of these people: they approve on Telegram, each for themselves"
    )]
    Nobody(TaskId, Needs),
    /// It is somebody else's.
    #[error("task {0} takes {1}; telegram user {2} is none of these people")]
    Another(TaskId, Needs, u64),
    /// The same person said so before.
    #[error("telegram user {2} approved task {0} already; it takes {1}")]
    Twice(TaskId, Needs, u64),
}

/// What is needed, and how far it has come, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs(String);

impl Needs {
    fn of(quorums: &[Quorum], task: &Task) -> Self {
        let wanted: Vec<String> = quorums.iter().map(ToString::to_string).collect();
        let far = progress(quorums, &task.votes).unwrap_or_default();
        Self(format!("{}, and has {far}", wanted.join(" and ")))
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Desk {
    /// What several people must say of a tool; nothing where one is enough.
    #[must_use]
    pub fn quorums(&self, tool: &ToolId) -> Vec<Quorum> {
        self.parts.policy.load().quorums(tool).into_iter().cloned().collect()
    }

    /// Whether one person can settle a task, wherever they are.
    ///
    /// # Errors
    /// [`VoteError::Nobody`] where it waits for several on Telegram.
    pub fn takes_one(&self, task: TaskId) -> Result<(), DeskError> {
        let task = self.task(task, None)?;
        let quorums = self.quorums(&task.call.tool);
        if quorums.is_empty() || task.state != State::PendingApproval {
            return Ok(());
        }
        Err(VoteError::Nobody(task.id, Needs::of(&quorums, &task)).into())
    }

    /// Counts one person's yes. The task is approved once all that is needed is there, and waits until then.
    pub(super) async fn vote(
        &self,
        task: Task,
        confirmed: &Confirmed,
        quorums: Vec<Quorum>,
    ) -> Result<Task, DeskError> {
        if task.state != State::PendingApproval {
            return Err(DeskError::Settled(task.id, task.state));
        }
        let (id, needs) = (task.id, Needs::of(&quorums, &task));
        let (Some(user), Some(ticket)) = (confirmed.voter(), confirmed.ticket()) else {
            return Err(VoteError::Nobody(id, needs).into());
        };
        if !quorums.iter().any(|quorum| quorum.counts(user)) {
            return Err(VoteError::Another(id, needs, user).into());
        }
        let now = self.now();
        let expires = later(now, self.parts.settings.load().start);
        let ballot = Ballot { task, user, ticket, quorums, now, expires };
        let cast = self.parts.journal.change_and_tell(Weight::Strict, move |store| ballot.cast(store));
        match cast.await? {
            Cast::Kept(task) => {
                self.wake();
                Ok(*task)
            }
            Cast::Twice => Err(VoteError::Twice(id, needs, user).into()),
            Cast::Stepped(stepped) => {
                let task = self.stepped(id, stepped)?;
                self.approved.notify_one();
                self.opened.notify_one();
                Ok(task)
            }
        }
    }
}

/// One person's yes, to be counted.
struct Ballot {
    /// As it was read before.
    task: Task,
    user: u64,
    ticket: Ticket,
    quorums: Vec<Quorum>,
    now: Timestamp,
    /// When the call must have started, if this is the last one.
    expires: Timestamp,
}

/// What came of it.
enum Cast {
    /// It counts, and others are needed still.
    Kept(Box<Task>),
    /// It counted before.
    Twice,
    /// It was the last one that was needed; or the task had moved meanwhile.
    Stepped(Stepped),
}

impl Ballot {
    fn cast(&self, store: &Connection) -> Result<(Cast, Account), StoreError> {
        let id = self.task.id;
        // A step that no state begins only ever expires.
        match tasks::step(store, &Step::new(id, &[], State::Approved, self.now))? {
            Stepped::Elsewhere(State::PendingApproval) => {}
            Stepped::Expired(task) => {
                let record = about_task(&task, "expiry", None);
                return Ok((Cast::Stepped(Stepped::Expired(task)), vec![record].into()));
            }
            moved @ (Stepped::Elsewhere(_) | Stepped::Missing | Stepped::Done(_)) => {
                return Ok((Cast::Stepped(moved), Account::default()));
            }
        }
        let is_new = votes::put(store, &self.task, self.user, self.now)?;
        let all = counting(&self.quorums, &votes::of(store, id)?);
        if self.quorums.iter().all(|quorum| quorum.is_met(&all)) {
            // Whose approval counts no more is not among those who approved.
            votes::keep(store, id, &all)?;
            return self.settle(store, &voters(&all));
        }
        if !is_new {
            return Ok((Cast::Twice, Account::default()));
        }
        self.ticket.spend(store, 1)?;
        let task = Task { votes: all, ..self.task.clone() };
        let account = self.account(&task);
        Ok((Cast::Kept(Box::new(task)), account))
    }

    /// The last one: the same step as where one person is enough, by all of them.
    fn settle(&self, store: &Connection, by: &str) -> Result<(Cast, Account), StoreError> {
        let step = Step {
            alive: true,
            spends: Some(self.ticket.clone()),
            expires: Some(self.expires),
            ..Step::new(self.task.id, &[State::PendingApproval], State::Approved, self.now)
        };
        let stepped = tasks::step(store, &step)?;
        let record = match &stepped {
            Stepped::Done(task) => Some(about_task(task, by, None)),
            Stepped::Expired(task) => Some(about_task(task, "expiry", None)),
            Stepped::Elsewhere(_) | Stepped::Missing => None,
        };
        Ok((Cast::Stepped(stepped), Account::from(record.into_iter().collect::<Vec<_>>())))
    }

    /// What is said of a vote that is not the last one.
    fn account(&self, task: &Task) -> Account {
        let far: Vec<String> = self
            .quorums
            .iter()
            .map(|quorum| format!("{} of {}", quorum.approved(&task.votes), quorum.approvals))
            .collect();
        let by = format!("telegram user {}", self.user);
        let record = Record {
            at: self.now,
            session: Some(task.origin.session),
            principal: Some(task.origin.principal.clone()),
            event: Event::Act {
                act: "vote".to_owned(),
                about: format!("task {} {}: vote {}", task.id, task.call.tool, far.join(" and ")),
                done: true,
                process: Some(by.clone()),
            },
        };
        let notice = Notice::Vote { task: task.id, tool: task.call.tool.clone(), by };
        Account::from(vec![record]).and([notice])
    }
}
