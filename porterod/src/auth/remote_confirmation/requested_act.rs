//! What a terminal wants, what that would change, and what came of it.

use std::fmt;
use std::time::Duration;

use portero::config::duration::format_duration;
use portero::ipc::{DaemonFailure, Look, Waiting};
use portero::json::serialize_raw;
use portero::names::{TaskId, ToolId};
use portero::pattern::Pattern;
use portero::policy::{Action, Grant, GrantLimits, PolicyRule};

use super::ConfirmationEnd;
use crate::auth::buttons::WideningAct;

/// What a terminal wants to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestedAct {
    /// That a call runs.
    Approve(TaskId),
    /// A grant, for so many milliseconds.
    Grant(Pattern, u64, GrantLimits),
    /// A rule that allows.
    Allow(Pattern),
    /// This rule, which has this pattern and says this, ends.
    RemoveRule(u64, Pattern, Action),
    /// A pause ends.
    Resume,
    /// The real values of a task are shown at the terminal.
    Reveal(TaskId),
    /// The files are put in force as they stand, by what tells them from others.
    ConfirmConfig(String),
}

impl RequestedAct {
    /// What a person could ask for in the chat, too.
    #[must_use]
    pub fn widening_act(&self) -> Option<WideningAct> {
        match self {
            Self::Grant(pattern, millis, limits) => {
                Some(WideningAct::Grant(pattern.clone(), *millis, limits.clone()))
            }
            Self::Allow(pattern) => Some(WideningAct::Allow(pattern.clone())),
            Self::RemoveRule(id, pattern, action) => Some(WideningAct::Unrule(*id, pattern.clone(), *action)),
            Self::Resume => Some(WideningAct::Resume),
            Self::Approve(_) | Self::Reveal(_) | Self::ConfirmConfig(_) => None,
        }
    }
}

/// As it is typed at the terminal.
impl fmt::Display for RequestedAct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Approve(task) => write!(f, "approve {task}"),
            Self::Grant(pattern, millis, limits) => {
                write!(f, "grant {pattern} {}", format_duration(Duration::from_millis(*millis)))?;
                if limits.is_none() { Ok(()) } else { write!(f, ", {limits}") }
            }
            Self::Allow(pattern) => write!(f, "allow {pattern}"),
            Self::RemoveRule(id, pattern, _) => write!(f, "unrule {id}, {pattern}"),
            Self::Resume => f.write_str("resume"),
            Self::Reveal(task) => write!(f, "task {task} --real"),
            Self::ConfirmConfig(_) => f.write_str("config confirm"),
        }
    }
}

/// What a wish would change, as a person is shown it.
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
