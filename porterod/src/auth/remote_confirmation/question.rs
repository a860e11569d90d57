//! A question: its act, the reasons against asking, and the effect of an answer.

use jiff::Timestamp;

use portero::ipc::Act;
use portero::names::Actor;

use super::{ActPreview, ConfirmationEnd, ConfirmationHold, MAX_UNANSWERED, NumberChoices};
use crate::store::StoreError;

/// The request of a terminal.
#[derive(Debug)]
pub struct ConfirmationRequest {
    /// The act that it asks for.
    pub act: Act,
    /// The change that the act would make.
    pub preview: ActPreview,
    /// The process that asked.
    pub by: Actor,
    /// The bot and the chat that receive the question.
    pub chat: (i64, i64),
}

/// Why no question was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RemoteConfirmationError {
    /// Another question is open.
    #[error("another question is open on Telegram already, asked by {0}")]
    Busy(String),
    /// Questions are on hold for a while.
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
    /// The question's number.
    pub id: i64,
    /// The act that the terminal asks for.
    pub act: Act,
    /// The change that the act would make, as it was when the question was asked.
    pub preview: ActPreview,
    /// The process that asked.
    pub by: Actor,
    /// When the question expires.
    pub until: Timestamp,
    /// The choices of the person.
    pub numbers: NumberChoices,
}

/// The effect of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AnswerOutcome {
    /// The number was right, and the act is running.
    Matched,
    /// The answer ended the question.
    EndedQuestion(ConfirmationEnd),
    /// The right number was pressed before.
    UnderWay,
    /// The question was over, with this end.
    AlreadyEnded(Option<ConfirmationEnd>),
}
