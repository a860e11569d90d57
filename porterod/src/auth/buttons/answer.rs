//! Answers to what a terminal asks for.

use serde::{Deserialize, Serialize};

use super::{ButtonTicket, MessageRef};

/// An answer to what a terminal asks for. Which number is the right one is not told here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConfirmationAnswer {
    /// The question's number.
    pub question: i64,
    /// What it says.
    pub says: AnswerChoice,
}

/// What an answer says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerChoice {
    /// The number in this place, from zero.
    Number(u8),
    /// No.
    Refuse,
}

/// A tap on a button that answers what a terminal asks for. It confirms nothing by itself: whoever asked knows
/// which number is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPress {
    pub(crate) ticket: ButtonTicket,
    /// Who tapped.
    pub(crate) user: i64,
    /// What it says, and to which question.
    pub answer: ConfirmationAnswer,
    /// Under which message it stands.
    pub message_ref: MessageRef,
}
