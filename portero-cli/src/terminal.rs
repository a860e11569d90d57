//! The terminal device, at which a person sits whatever stdin and stdout are.
//!
//! Widening acts are shown and confirmed here (guarantee A7). The passphrase is never read from stdin, a
//! flag, a variable or a file, so a pipe can't answer for the person.

use std::fs::File;
use std::io::Write as _;

use portero::files;

use crate::failure::{CommandFailure, CommandResult};

/// The device whose output the person sees.
#[cfg(unix)]
pub(crate) const DEVICE_PATH: &str = "/dev/tty";
/// The device whose output the person sees.
#[cfg(windows)]
pub(crate) const DEVICE_PATH: &str = "CONOUT$";

/// The terminal of this process.
pub(crate) struct TerminalDevice {
    output: File,
}

impl TerminalDevice {
    /// Opens the terminal for `act`.
    ///
    /// # Errors
    /// If the process has no terminal.
    pub(crate) fn open(act: &str) -> CommandResult<Self> {
        let output = files::open_device_to_write(DEVICE_PATH).map_err(|error| {
            CommandFailure::refused(format!(
                "{act} needs a person at a terminal, and there is no terminal here"
            ))
            .caused_by(&error)
            .with_hint("run it yourself, in a terminal of your own; the passphrase is never read from stdin")
        })?;
        Ok(Self { output })
    }

    /// Prints a line; text from outside must already be escaped.
    pub(crate) fn print_line(&mut self, text: impl std::fmt::Display) -> CommandResult {
        writeln!(self.output, "{text}")
            .map_err(|error| CommandFailure::refused("could not write to the terminal").caused_by(&error))
    }

    /// Asks for a passphrase without echo.
    pub(crate) fn read_passphrase(&mut self, prompt: &str) -> CommandResult<String> {
        Self::read_required(prompt, "passphrase")
    }

    /// Asks for an authenticator's code without echo.
    pub(crate) fn read_code(&mut self, prompt: &str) -> CommandResult<String> {
        Self::read_required(prompt, "code")
    }

    /// Asks for a passphrase without echo; none if only Enter was pressed.
    pub(crate) fn read_optional_passphrase(&mut self, prompt: &str) -> CommandResult<Option<String>> {
        let typed = Self::read_hidden(prompt, "passphrase")?;
        Ok(Some(typed).filter(|typed| !typed.is_empty()))
    }

    fn read_required(prompt: &str, what: &str) -> CommandResult<String> {
        let typed = Self::read_hidden(prompt, what)?;
        if typed.is_empty() {
            return Err(CommandFailure::refused(format!("no {what} was given; nothing changed")));
        }
        Ok(typed)
    }

    fn read_hidden(prompt: &str, what: &str) -> CommandResult<String> {
        rpassword::prompt_password(format!("{prompt}: "))
            .map_err(|error| CommandFailure::refused(format!("no {what} was given")).caused_by(&error))
    }
}
