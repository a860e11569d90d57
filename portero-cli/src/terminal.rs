//! The terminal device, at which a person sits whatever stdin and stdout are.
//!
//! Widening acts are shown and confirmed here (guarantee A7). The passphrase is never read from stdin, a
//! flag, a variable or a file, so a pipe can't answer for the person.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};

use portero::files;
use tokio::task::JoinHandle;

use crate::failure::{CommandFailure, CommandResult};

/// The device whose output the person sees.
#[cfg(unix)]
pub(crate) const DEVICE_PATH: &str = "/dev/tty";
/// The device whose output the person sees.
#[cfg(windows)]
pub(crate) const DEVICE_PATH: &str = "CONOUT$";
/// The device that the person types on.
#[cfg(unix)]
const INPUT_PATH: &str = DEVICE_PATH;
/// The device that the person types on.
#[cfg(windows)]
const INPUT_PATH: &str = "CONIN$";

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

    /// Prints a question, after which the person types on the same line.
    pub(crate) fn print_question(&mut self, text: impl std::fmt::Display) -> CommandResult {
        write!(self.output, "{text} ")
            .and_then(|()| self.output.flush())
            .map_err(|error| CommandFailure::refused("could not write to the terminal").caused_by(&error))
    }

    /// Asks for a passphrase without echo.
    pub(crate) fn read_passphrase(&mut self, prompt: &str) -> CommandResult<String> {
        Self::read_required(prompt, "passphrase")
    }

    /// Asks for a secret of a server without echo.
    pub(crate) fn read_secret(&mut self, prompt: &str) -> CommandResult<String> {
        Self::read_required(prompt, "secret")
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

/// The lines that a person types at the terminal, while other things happen.
pub(crate) struct TerminalLines {
    /// Away while a line is being read.
    device: Option<BufReader<File>>,
    reading: Option<JoinHandle<(BufReader<File>, io::Result<String>)>>,
}

impl TerminalLines {
    /// Opens the keyboard.
    ///
    /// # Errors
    /// If the process has no terminal.
    pub(crate) fn open() -> CommandResult<Self> {
        let device = files::open_device(INPUT_PATH).map_err(|error| unreadable(&error))?;
        Ok(Self { device: Some(BufReader::new(device)), reading: None })
    }

    /// Drops what was typed before the next question: it can't be an answer to it. A line that is being read stays.
    pub(crate) fn drop_typed_ahead(&mut self) {
        #[cfg(unix)]
        if let Some(device) = &self.device {
            use rustix::termios::{QueueSelector, tcflush};
            // What can't be dropped is read as the next answer, which still needs its confirmation.
            let _ = tcflush(device.get_ref(), QueueSelector::IFlush);
        }
    }

    /// Returns the next line, trimmed; none once the terminal is closed or Ctrl-D was pressed. If this is dropped, the
    /// next call returns the line that was being typed.
    ///
    /// # Errors
    /// If the terminal can't be read.
    pub(crate) async fn next_line(&mut self) -> CommandResult<Option<String>> {
        if let Some(mut device) = self.device.take() {
            self.reading = Some(tokio::task::spawn_blocking(move || {
                let mut line = String::new();
                let read = device.read_line(&mut line).map(|_| line);
                (device, read)
            }));
        }
        let Some(reading) = &mut self.reading else { return Ok(None) };
        let ended = reading.await;
        self.reading = None;
        let Ok((device, read)) = ended else { return Ok(None) };
        self.device = Some(device);
        let line = read.map_err(|error| unreadable(&error))?;
        Ok(if line.is_empty() { None } else { Some(line.trim().to_owned()) })
    }
}

fn unreadable(error: &io::Error) -> CommandFailure {
    CommandFailure::refused("could not read from the terminal").caused_by(error)
}
