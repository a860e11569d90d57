//! The failures that the daemon answers with.

use serde::{Deserialize, Serialize};

use crate::pipeline::Refusal;

/// Why a request was refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct DaemonFailure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The message for people: what, where and why.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

impl DaemonFailure {
    /// A failure without a hint.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// Adds the next step.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The refusal of a session's request, in words for the agent.
    #[must_use]
    pub fn into_refusal(self) -> Refusal {
        match self.kind {
            FailureKind::Server => Refusal::ServerUnavailable(self.message),
            FailureKind::Interrupted => Refusal::Interrupted(self.message),
            FailureKind::Malformed => Refusal::Malformed(self.message),
            FailureKind::Invalid | FailureKind::NotFound => Refusal::Invalid(self.message),
            FailureKind::Refused | FailureKind::Void | FailureKind::OtherProcess => {
                Refusal::Declined(self.message)
            }
            FailureKind::Version
            | FailureKind::Configuration
            | FailureKind::Challenge
            | FailureKind::Busy
            | FailureKind::Storage
            | FailureKind::Unsaved
            | FailureKind::Internal => Refusal::DaemonUnavailable(self.message),
        }
    }
}

/// The kinds of failure that programs distinguish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Another protocol version.
    Version,
    /// The daemon serves another configuration directory.
    Configuration,
    /// The request makes no sense here, or this peer may not make it.
    Invalid,
    /// There is no such task, rule, grant or server, or it isn't the caller's.
    NotFound,
    /// Policy, state or limits refuse it.
    Refused,
    /// An approval would no longer make the call run, because something that it covers has changed.
    Void,
    /// The call can't run in the process that its session uses: a person may agree to another one.
    OtherProcess,
    /// The passphrase is wrong, missing, or tried too often.
    Challenge,
    /// A server couldn't be reached. The call had no effect.
    Server,
    /// A server stopped during the call. The effect is unknown.
    Interrupted,
    /// A server's answer was unusable. The effect is unknown.
    Malformed,
    /// Another program holds the daemon's store. Nothing was changed.
    Busy,
    /// The disk of the store or audit is full or failing. Nothing was changed.
    Storage,
    /// The change applies, but couldn't be saved yet: see [`Unsaved`](super::UnsavedChanges).
    Unsaved,
    /// The daemon failed internally.
    Internal,
}
