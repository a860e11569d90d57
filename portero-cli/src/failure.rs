//! Failures of commands: one form, printed in one place.
//!
//! ```text
//! error: could not start server `github`
//!   caused by: `npx` is not on PATH
//!   hint: run `portero doctor github`
//! ```

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use portero::ipc;

/// The result of a command.
pub(crate) type CommandResult<T = ()> = Result<T, CommandFailure>;

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct CommandFailure {
    kind: ExitReason,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

/// The kinds of failure, each with its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitReason {
    /// Refused or failed: 1.
    Refused,
    /// Wrong usage or configuration: 2.
    Usage,
    /// The daemon cannot be reached: 3.
    Unreachable,
    /// The reader closed the output, as `head` does. That is no failure: 0.
    OutputClosed,
}

impl CommandFailure {
    /// A refusal or a failure.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(ExitReason::Refused, message)
    }

    /// A wrong command line or configuration.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitReason::Usage, message)
    }

    /// A daemon that can't be reached.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(ExitReason::Unreachable, message)
    }

    /// The command has already printed the problems of the configuration.
    pub(crate) fn already_reported() -> Self {
        Self::new(ExitReason::Usage, "")
    }

    fn new(kind: ExitReason, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// Adds an error and all of its sources as causes.
    pub(crate) fn caused_by(mut self, error: &dyn Error) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            let text = error.to_string();
            if self.causes.last() != Some(&text) && self.message != text {
                self.causes.push(text);
            }
            next = error.source();
        }
        self
    }

    /// Adds the next step.
    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The failure and its next step in one line, for a command that goes on. Text from outside is escaped.
    pub(crate) fn describe_in_line(&self) -> String {
        let hint = self.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        crate::output::escape_hidden(&format!("{}{hint}", self.message)).into_owned()
    }

    /// Prints the failure on stderr, and returns the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        use std::io::Write as _;
        if !self.message.is_empty() {
            // A closed stderr has no reader, so the error is ignored.
            let _ = write!(anstream::stderr(), "{}", StyledFailure(self));
        }
        ExitCode::from(match self.kind {
            ExitReason::OutputClosed => 0,
            ExitReason::Refused => 1,
            ExitReason::Usage => 2,
            ExitReason::Unreachable => 3,
        })
    }
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The failure with styles for a terminal; `anstream` removes them elsewhere.
struct StyledFailure<'a>(&'a CommandFailure);

impl fmt::Display for StyledFailure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let CommandFailure { message, causes, hint, .. } = self.0;
        let visible = crate::output::escape_hidden;
        writeln!(f, "\x1b[1;31merror:\x1b[0m {}", visible(message))?;
        for cause in causes {
            writeln!(f, "  caused by: {}", visible(cause))?;
        }
        if let Some(hint) = hint {
            writeln!(f, "  \x1b[36mhint:\x1b[0m {}", visible(hint))?;
        }
        Ok(())
    }
}

impl From<ipc::DaemonFailure> for CommandFailure {
    fn from(failure: ipc::DaemonFailure) -> Self {
        let kind = match failure.kind {
            ipc::FailureKind::Configuration => ExitReason::Usage,
            ipc::FailureKind::Version
            | ipc::FailureKind::Invalid
            | ipc::FailureKind::NotFound
            | ipc::FailureKind::Refused
            | ipc::FailureKind::Void
            | ipc::FailureKind::OtherProcess
            | ipc::FailureKind::Challenge
            | ipc::FailureKind::Server
            | ipc::FailureKind::Interrupted
            | ipc::FailureKind::Malformed
            | ipc::FailureKind::Busy
            | ipc::FailureKind::Storage
            | ipc::FailureKind::Unsaved
            | ipc::FailureKind::Internal => ExitReason::Refused,
        };
        Self { kind, message: failure.message, causes: Vec::new(), hint: failure.hint }
    }
}

/// Only writing to stdout returns a bare I/O error; all other errors get their own message.
impl From<std::io::Error> for CommandFailure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(ExitReason::OutputClosed, "");
        }
        Self::refused("could not write the output").caused_by(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_act_its_causes_and_the_next_step() {
        let cause = std::io::Error::other("`npx` is not on PATH");
        let failure = CommandFailure::refused("could not start server `github`")
            .caused_by(&cause)
            .with_hint("run `portero doctor github`");
        let text = anstream::adapter::strip_str(&StyledFailure(&failure).to_string()).to_string();
        assert_eq!(
            text,
            "error: could not start server `github`\n  caused by: `npx` is not on PATH\n  hint: run \
             `portero doctor github`\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = CommandFailure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(failure.kind, ExitReason::OutputClosed);
    }
}
