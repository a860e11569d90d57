//! The change that a terminal's act would make, and the act's outcome.

use portero::ipc::requests::definitions::ServerDefinitions;
use portero::ipc::{DaemonFailure, InspectedTask, UnconfirmedConfig};
use portero::json::serialize_raw;
use portero::names::ToolId;
use portero::policy::{Action, Grant, PolicyRule};

use super::ConfirmationEnd;

/// The change that an act would make, as a person sees it.
#[derive(Debug)]
pub enum ActPreview {
    /// The tools that are not allowed now, each with its action; denied ones first.
    Tools(Vec<(ToolId, Action)>),
    /// A task.
    Task(Box<InspectedTask>),
    /// A task, and the tools that are not allowed now and that a grant or rule covers.
    TaskAndTools(Box<InspectedTask>, Vec<(ToolId, Action)>),
    /// The difference of the configurations.
    Configuration(Box<UnconfirmedConfig>),
    /// The definitions of a server that wait.
    Definitions(Box<ServerDefinitions>),
}

impl ActPreview {
    /// Returns a digest that tells this preview from any other.
    #[must_use]
    pub fn digest(&self) -> String {
        let json = match self {
            Self::Tools(tools) => serialize_raw(tools),
            Self::Task(look) => serialize_raw(look),
            Self::TaskAndTools(look, tools) => serialize_raw(&(look, tools)),
            Self::Configuration(waiting) => serialize_raw(waiting),
            Self::Definitions(waiting) => serialize_raw(waiting),
        };
        blake3::hash(json.get().as_bytes()).to_hex().to_string()
    }
}

/// The outcome of a confirmed act.
#[derive(Debug, Clone)]
pub enum ActOutcome {
    /// The act made this grant.
    Granted(Box<Grant>),
    /// The act made this rule.
    RuleMade(Box<PolicyRule>),
    /// The act is done.
    Done,
    /// The previewed state had changed.
    Changed,
    /// The act failed.
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
