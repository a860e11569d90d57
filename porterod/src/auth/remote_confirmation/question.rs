//! A question: what is asked, why it may not be, and what a tap on an answer to it came to.

use jiff::Timestamp;

use portero::ipc::Act;
use portero::names::Actor;

use super::{ActPreview, ConfirmationEnd, ConfirmationHold, MAX_UNANSWERED, NumberChoices};
use crate::store::StoreError;

/// What a terminal asks for.
#[derive(Debug)]
pub struct ConfirmationRequest {
    /// What it wants.
    pub act: Act,
    /// What that would change.
    pub preview: ActPreview,
    /// Its process, in words.
    pub by: Actor,
    /// The bot and the chat that are to be asked.
    pub chat: (i64, i64),
}

/// Why nobody was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteConfirmationError {
    /// Another question is open.
    #[error("another question is open on Telegram already, asked by {0}")]
    Busy(String),
    /// For a while.
    #[error("{}, so none is asked there for another {} min", describe_hold(*.0), .1)]
    OnHold(ConfirmationHold, u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl RemoteConfirmationError {
    pub(super) fn on_hold(hold: ConfirmationHold, now: Timestamp) -> Self {
        let until = match hold {
            ConfirmationHold::Refused(until) | ConfirmationHold::Unanswered(until) => until,
        };
        let seconds = u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0);
        Self::OnHold(hold, seconds.div_ceil(60).max(1))
    }
}

fn describe_hold(hold: ConfirmationHold) -> String {
    match hold {
        ConfirmationHold::Refused(_) => {
            "the last question on Telegram was refused, or answered with a wrong number".to_owned()
        }
        ConfirmationHold::Unanswered(_) => {
            format!("{MAX_UNANSWERED} questions on Telegram within an hour had no answer")
        }
    }
}

/// A question to the person.
#[derive(Debug)]
pub struct ConfirmationQuestion {
    /// Its number.
    pub id: i64,
    /// What the terminal wants.
    pub act: Act,
    /// What it would change, as it was when it was asked.
    pub preview: ActPreview,
    /// The process that asked, in words.
    pub by: Actor,
    /// Until when an answer is waited for.
    pub until: Timestamp,
    /// What the person chooses from.
    pub numbers: NumberChoices,
}

/// What a tap on an answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// It was the right number: what was asked for is being done.
    Matched,
    /// It ended the question.
    EndedQuestion(ConfirmationEnd),
    /// The right number was tapped before.
    UnderWay,
    /// The question was over, and how.
    AlreadyEnded(Option<ConfirmationEnd>),
}
