//! The terminal itself: the device that a person sits at, whatever stdin and stdout are.
//!
//! What widens is shown here and confirmed here (guarantee A7). The passphrase is never read from stdin, a
//! flag, a variable or a file, so a pipe can't answer for the person.

use std::fs::File;
use std::io::Write as _;

use portero::files;

use crate::failure::{Failure, Outcome};

/// What is written to reaches the person.
#[cfg(unix)]
pub(crate) const DEVICE: &str = "/dev/tty";
/// What is written to reaches the person.
#[cfg(windows)]
pub(crate) const DEVICE: &str = "CONOUT$";

/// The terminal that this process belongs to.
pub(crate) struct Terminal {
    output: File,
}

impl Terminal {
    /// Opens the terminal, for `act`.
    ///
    /// # Errors
    /// When the process has none.
    pub(crate) fn open(act: &str) -> Outcome<Self> {
        let output = files::open_device_to_write(DEVICE).map_err(|error| {
            Failure::refused(format!("{act} needs a person at a terminal, and there is no terminal here"))
                .because(&error)
                .hint("run it yourself, in a terminal of your own; the passphrase is never read from stdin")
        })?;
        Ok(Self { output })
    }

    /// Shows a line; what comes from outside must already be visible.
    pub(crate) fn say(&mut self, text: impl std::fmt::Display) -> Outcome {
        writeln!(self.output, "{text}")
            .map_err(|error| Failure::refused("could not write to the terminal").because(&error))
    }

    /// Asks for a passphrase, without showing it.
    pub(crate) fn passphrase(&mut self, prompt: &str) -> Outcome<String> {
        Self::hidden(prompt, "passphrase")
    }

    /// Asks for a code of an authenticator, without showing it.
    pub(crate) fn code(&mut self, prompt: &str) -> Outcome<String> {
        Self::hidden(prompt, "code")
    }

    /// Asks for a passphrase, without showing it; none where Enter alone was typed.
    pub(crate) fn passphrase_or_enter(&mut self, prompt: &str) -> Outcome<Option<String>> {
        let typed = Self::read(prompt, "passphrase")?;
        Ok(Some(typed).filter(|typed| !typed.is_empty()))
    }

    fn hidden(prompt: &str, what: &str) -> Outcome<String> {
        let typed = Self::read(prompt, what)?;
        if typed.is_empty() {
            return Err(Failure::refused(format!("no {what} was given; nothing changed")));
        }
        Ok(typed)
    }

    fn read(prompt: &str, what: &str) -> Outcome<String> {
        rpassword::prompt_password(format!("{prompt}: "))
            .map_err(|error| Failure::refused(format!("no {what} was given")).because(&error))
    }
}
