//! Why a task was not changed.

use std::fmt;

use portero::names::TaskId;
use portero::policy::Quorum;
use portero::policy::quorum::describe_progress;
use portero::task::{ChildLoss, Task, TaskState};

use crate::store::StoreError;

/// Why a task was not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApprovalError {
    /// There is no such task, or it is another principal's.
    #[error("there is no task {0}")]
    NotFound(TaskId),
    /// The task is not in a state from which this change is possible.
    #[error("task {0} is {1}")]
    WrongState(TaskId, TaskState),
    /// The authorization covers another act.
    #[error("task {0} runs only after a confirmation, and there was none")]
    Unauthorized(TaskId),
    /// An approval would not make the task run; the text says why.
    #[error("task {0} would not run any more: {1}")]
    Void(TaskId, String),
    /// An approval would not make it run in the process that its session uses.
    #[error("task {0} would not run where its session's other calls run: {1}")]
    OtherProcess(TaskId, ChildLoss),
    /// The call needs several people, so it isn't approved together with others.
    #[error("task {0} takes several people, each for themselves")]
    SeveralPeople(TaskId),
    /// The call needs several people, and this vote adds nothing.
    #[error(transparent)]
    Vote(#[from] VoteError),
    /// The task is rejected and will not run, but the store doesn't hold that yet.
    #[error("task {0} is rejected and does not run, but that could not be saved in the store yet: {1}")]
    Unsaved(TaskId, String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApprovalError {
    /// Why, without the task's name, to be put beside the task.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Void(_, why) => why.clone(),
            Self::OtherProcess(_, loss) => loss.to_string(),
            Self::SeveralPeople(_) => "it takes several people, each for themselves".to_owned(),
            Self::WrongState(_, state) => format!("it is {state}"),
            Self::NotFound(_)
            | Self::Unauthorized(_)
            | Self::Vote(_)
            | Self::Unsaved(..)
            | Self::Store(_) => self.to_string(),
        }
    }

    /// The store's error; none if the task's state is the reason, so that a retry is useless.
    pub(super) fn store_failure(self) -> Option<StoreError> {
        match self {
            Self::Store(error) => Some(error),
            Self::NotFound(_)
            | Self::WrongState(..)
            | Self::Unauthorized(_)
            | Self::Void(..)
            | Self::OtherProcess(..)
            | Self::SeveralPeople(_)
            | Self::Vote(_)
            | Self::Unsaved(..) => None,
        }
    }
}

/// Why an approval of a call that needs several people changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VoteError {
    /// It came from a terminal, which has no Telegram user whose vote could count.
    #[error(
        "task {0} takes {1}. A terminal is none of these people: they approve on Telegram, each for themselves"
    )]
    NotOnTelegram(TaskId, QuorumProgress),
    /// The user is not among those whose vote counts.
    #[error("task {0} takes {1}; telegram user {2} is none of these people")]
    NotEligible(TaskId, QuorumProgress, u64),
    /// The same person voted before.
    #[error("telegram user {2} approved task {0} already; it takes {1}")]
    AlreadyVoted(TaskId, QuorumProgress, u64),
}

/// The required votes and the progress, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumProgress(String);

impl QuorumProgress {
    pub(super) fn from_votes(quorums: &[Quorum], task: &Task) -> Self {
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
