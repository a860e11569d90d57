//! Answers to the questions of a terminal.

use serde::{Deserialize, Serialize};

use super::{ButtonTicket, MessageRef};

/// An answer to the question of a terminal. It does not tell which number is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ConfirmationAnswer {
    /// The question's number.
    pub question: i64,
    /// The choice of the person.
    pub says: AnswerChoice,
}

/// The choice of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerChoice {
    /// The number at this place, counted from zero.
    Number(u8),
    /// No.
    Refuse,
}

/// A press on an answer. It confirms nothing by itself: only [`crate::auth::remote_confirmation`] knows which
/// number is right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerPress {
    pub(crate) ticket: ButtonTicket,
    /// The user's number of the person who pressed.
    pub(crate) user: i64,
    /// The choice, and the question that it answers.
    pub answer: ConfirmationAnswer,
    /// The message with the button.
    pub message_ref: MessageRef,
}
