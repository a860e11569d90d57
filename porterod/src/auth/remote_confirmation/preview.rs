//! What an act that a terminal asks for would change, and what came of it.

use portero::ipc::{DaemonFailure, Look, Waiting};
use portero::json::serialize_raw;
use portero::names::ToolId;
use portero::policy::{Action, Grant, PolicyRule};

use super::ConfirmationEnd;

/// What an act would change, as a person is shown it.
#[derive(Debug)]
pub enum ActPreview {
    /// The tools that are not allowed now, with what is decided for each, denied ones first.
    Tools(Vec<(ToolId, Action)>),
    /// A task.
    Task(Box<Look>),
    /// How the configuration differs.
    Configuration(Box<Waiting>),
}

impl ActPreview {
    /// Tells it from any other.
    #[must_use]
    pub fn digest(&self) -> String {
        let json = match self {
            Self::Tools(tools) => serialize_raw(tools),
            Self::Task(look) => serialize_raw(look),
            Self::Configuration(waiting) => serialize_raw(waiting),
        };
        blake3::hash(json.get().as_bytes()).to_hex().to_string()
    }
}

/// What came of what was confirmed.
#[derive(Debug, Clone)]
pub enum ActOutcome {
    /// This grant.
    Granted(Box<Grant>),
    /// This rule.
    RuleMade(Box<PolicyRule>),
    /// It is done.
    Done,
    /// What had been shown was not so any more.
    Changed,
    /// It could not be done.
    Failed(Box<DaemonFailure>),
}

impl ActOutcome {
    pub(super) const fn end(&self) -> ConfirmationEnd {
        match self {
            Self::Granted(_) | Self::RuleMade(_) | Self::Done => ConfirmationEnd::Done,
            Self::Changed => ConfirmationEnd::Changed,
            Self::Failed(_) => ConfirmationEnd::Failed,
        }
    }
}
