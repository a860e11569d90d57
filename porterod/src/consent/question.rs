//! A question: what is asked, why it may not be, and what a tap on an answer to it came to.

use jiff::Timestamp;

use super::{End, Hold, Numbers, Sight, UNANSWERED_MOST, Wish};
use crate::store::StoreError;

/// What a terminal asks for.
#[derive(Debug)]
pub struct Asked {
    /// What it wants.
    pub wish: Wish,
    /// What that would change.
    pub sight: Sight,
    /// Its process, in words.
    pub by: String,
    /// The bot and the chat that are to be asked.
    pub place: (i64, i64),
}

/// Why nobody was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConsentError {
    /// Another question is open.
    #[error("another question is open on Telegram already, asked by {0}")]
    Busy(String),
    /// For a while.
    #[error("{}, so none is asked there for another {} min", why(*.0), .1)]
    Held(Hold, u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ConsentError {
    pub(super) fn held(hold: Hold, now: Timestamp) -> Self {
        let until = match hold {
            Hold::Refused(until) | Hold::Unanswered(until) => until,
        };
        let seconds = u64::try_from(until.duration_since(now).as_secs()).unwrap_or(0);
        Self::Held(hold, seconds.div_ceil(60).max(1))
    }
}

fn why(hold: Hold) -> String {
    match hold {
        Hold::Refused(_) => {
            "the last question on Telegram was refused, or answered with a wrong number".to_owned()
        }
        Hold::Unanswered(_) => {
            format!("{UNANSWERED_MOST} questions on Telegram within an hour had no answer")
        }
    }
}

/// A question to the person.
#[derive(Debug)]
pub struct Question {
    /// Its number.
    pub id: i64,
    /// What the terminal wants.
    pub wish: Wish,
    /// What it would change, as it was when it was asked.
    pub sight: Sight,
    /// The process that asked, in words.
    pub by: String,
    /// Until when an answer is waited for.
    pub until: Timestamp,
    /// What the person chooses from.
    pub numbers: Numbers,
}

/// What a tap on an answer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was the right number: what was asked for is being done.
    Consented,
    /// It ended the question.
    Ended(End),
    /// The right number was tapped before.
    UnderWay,
    /// The question was over, and how.
    Over(Option<End>),
}
