//! How a command fails: one shape, one voice, one place that prints it.
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

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    kind: Kind,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
}

/// Kinds of failure, by exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Refused or failed: 1.
    Refused,
    /// Wrong usage or configuration: 2.
    Usage,
    /// The daemon cannot be reached: 3.
    Unreachable,
    /// Whoever read the output went away, as `head` does; no failure of ours: 0.
    Closed,
}

impl Failure {
    /// Something was refused or failed.
    pub(crate) fn refused(message: impl Into<String>) -> Self {
        Self::new(Kind::Refused, message)
    }

    /// The command line or the configuration is wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, message)
    }

    /// The daemon cannot be reached.
    pub(crate) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unreachable, message)
    }

    /// The command has said itself what is wrong with the configuration.
    pub(crate) fn said_of_configuration() -> Self {
        Self::new(Kind::Usage, "")
    }

    fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), causes: Vec::new(), hint: None }
    }

    /// Adds an error and everything beneath it as causes.
    pub(crate) fn because(mut self, error: &dyn Error) -> Self {
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

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Prints the failure on stderr and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        use std::io::Write as _;
        if !self.message.is_empty() {
            // Nobody is left to tell when stderr is closed.
            let _ = write!(anstream::stderr(), "{}", Styled(self));
        }
        ExitCode::from(match self.kind {
            Kind::Closed => 0,
            Kind::Refused => 1,
            Kind::Usage => 2,
            Kind::Unreachable => 3,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The failure as it stands on a terminal; `anstream` takes the colour out elsewhere.
struct Styled<'a>(&'a Failure);

impl fmt::Display for Styled<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { message, causes, hint, .. } = self.0;
        let visible = crate::output::visible;
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

impl From<ipc::Failure> for Failure {
    fn from(failure: ipc::Failure) -> Self {
        let kind = match failure.kind {
            ipc::FailureKind::Configuration => Kind::Usage,
            ipc::FailureKind::Version
            | ipc::FailureKind::Invalid
            | ipc::FailureKind::NotFound
            | ipc::FailureKind::Refused
            | ipc::FailureKind::Void
            | ipc::FailureKind::Challenge
            | ipc::FailureKind::Server
            | ipc::FailureKind::Interrupted
            | ipc::FailureKind::Malformed
            | ipc::FailureKind::Busy
            | ipc::FailureKind::Storage
            | ipc::FailureKind::Unsaved
            | ipc::FailureKind::Internal => Kind::Refused,
        };
        Self { kind, message: failure.message, causes: Vec::new(), hint: failure.hint }
    }
}

/// Only writing to stdout fails with a bare I/O error; all else says what it was about.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(Kind::Closed, "");
        }
        Self::refused("could not write the output").because(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_act_its_causes_and_the_next_step() {
        let cause = std::io::Error::other("`npx` is not on PATH");
        let failure = Failure::refused("could not start server `github`")
            .because(&cause)
            .hint("run `portero doctor github`");
        let text = anstream::adapter::strip_str(&Styled(&failure).to_string()).to_string();
        assert_eq!(
            text,
            "error: could not start server `github`\n  caused by: `npx` is not on PATH\n  hint: run \
             `portero doctor github`\n"
        );
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(failure.kind, Kind::Closed);
    }
}
