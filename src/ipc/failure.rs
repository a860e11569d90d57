//! Why the daemon refused a request, or could not do it.

use serde::{Deserialize, Serialize};

/// Why a request was refused, or failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct DaemonFailure {
    /// What kind of failure.
    pub kind: FailureKind,
    /// For people: what, where and why.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl DaemonFailure {
    /// A failure without a hint.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hint: None }
    }

    /// With what to do next.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Kinds of failure that a program acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// Another protocol version.
    Version,
    /// The daemon serves another configuration directory.
    Configuration,
    /// The request makes no sense here, or is not for this peer to make.
    Invalid,
    /// There is no such task, rule, grant or server, or it is not the asker's.
    NotFound,
    /// Policy, state or limits refuse it.
    Refused,
    /// A yes would not make the call run any more, since what it was asked on changed.
    Void,
    /// The passphrase is wrong, missing, or tried too often.
    Challenge,
    /// A server could not be reached; the call had no effect.
    Server,
    /// A server stopped while the call was with it: whether it took effect is unknown.
    Interrupted,
    /// A server answered with something that is no answer: whether the call took effect is unknown.
    Malformed,
    /// Another program holds the daemon's store, so nothing was changed.
    Busy,
    /// The disk under the store or the audit is full or fails, so nothing was changed.
    Storage,
    /// It is in force, and could not be saved yet: see [`Unsaved`](super::UnsavedChanges).
    Unsaved,
    /// The daemon itself failed.
    Internal,
}
