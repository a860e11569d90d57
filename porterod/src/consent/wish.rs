//! What a terminal wants, what that would change, and what came of it.

use std::fmt;
use std::time::Duration;

use portero::config::duration::show;
use portero::ipc::{Failure, Look, Waiting};
use portero::json::raw;
use portero::names::{TaskId, ToolId};
use portero::pattern::Pattern;
use portero::policy::{Action, Grant, Limits, Rule};

use super::End;
use crate::taps::Wider;

/// What a terminal wants to be confirmed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// That a call runs.
    Run(TaskId),
    /// A grant, for so many milliseconds.
    Grant(Pattern, u64, Limits),
    /// A rule that allows.
    Allow(Pattern),
    /// This rule, which has this pattern and says this, ends.
    Unrule(u64, Pattern, Action),
    /// A pause ends.
    Resume,
    /// The real values of a task are shown at the terminal.
    Reveal(TaskId),
    /// The files are put in force as they stand, by what tells them from others.
    Configuration(String),
}

impl Wish {
    /// What a person could ask for in the chat, too.
    #[must_use]
    pub fn wider(&self) -> Option<Wider> {
        match self {
            Self::Grant(pattern, millis, limits) => {
                Some(Wider::Grant(pattern.clone(), *millis, limits.clone()))
            }
            Self::Allow(pattern) => Some(Wider::Allow(pattern.clone())),
            Self::Unrule(id, pattern, action) => Some(Wider::Unrule(*id, pattern.clone(), *action)),
            Self::Resume => Some(Wider::Resume),
            Self::Run(_) | Self::Reveal(_) | Self::Configuration(_) => None,
        }
    }
}

/// As it is typed at the terminal.
impl fmt::Display for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run(task) => write!(f, "approve {task}"),
            Self::Grant(pattern, millis, limits) => {
                write!(f, "grant {pattern} {}", show(Duration::from_millis(*millis)))?;
                if limits.is_none() { Ok(()) } else { write!(f, ", {limits}") }
            }
            Self::Allow(pattern) => write!(f, "allow {pattern}"),
            Self::Unrule(id, pattern, _) => write!(f, "unrule {id}, {pattern}"),
            Self::Resume => f.write_str("resume"),
            Self::Reveal(task) => write!(f, "task {task} --real"),
            Self::Configuration(_) => f.write_str("config confirm"),
        }
    }
}

/// What a wish would change, as a person is shown it.
#[derive(Debug)]
pub enum Sight {
    /// The tools that are not allowed now, with what is decided for each, denied ones first.
    Tools(Vec<(ToolId, Action)>),
    /// A task.
    Task(Box<Look>),
    /// How the configuration differs.
    Configuration(Box<Waiting>),
}

impl Sight {
    /// Tells it from any other.
    #[must_use]
    pub fn digest(&self) -> String {
        let json = match self {
            Self::Tools(tools) => raw(tools),
            Self::Task(look) => raw(look),
            Self::Configuration(waiting) => raw(waiting),
        };
        blake3::hash(json.get().as_bytes()).to_hex().to_string()
    }
}

/// What came of what was confirmed.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// This grant.
    Granted(Box<Grant>),
    /// This rule.
    Ruled(Box<Rule>),
    /// It is done.
    Done,
    /// What had been shown was not so any more.
    Changed,
    /// It could not be done.
    Failed(Box<Failure>),
}

impl Outcome {
    pub(super) const fn end(&self) -> End {
        match self {
            Self::Granted(_) | Self::Ruled(_) | Self::Done => End::Done,
            Self::Changed => End::Changed,
            Self::Failed(_) => End::Failed,
        }
    }
}
