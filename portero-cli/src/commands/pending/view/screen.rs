//! The terminal in use by the view. It is restored in every case, also after a panic.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portero::files;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use tokio::sync::mpsc;

use super::draw;
use super::keys::ViewKey;
use super::state::PendingView;
use crate::failure::{CommandFailure, CommandResult};
use crate::terminal::DEVICE_PATH;

/// How long one wait for a key lasts, before the thread checks whether it should end.
const KEYBOARD_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How many inputs may be queued.
const MAX_QUEUED_INPUTS: usize = 64;

/// Input from the person.
pub(super) enum ViewInput {
    Key(ViewKey),
    Paste(String),
    Resize((u16, u16)),
}

/// The terminal in use. Dropping it restores the terminal.
pub(super) struct TerminalScreen {
    terminal: Terminal<CrosstermBackend<File>>,
    closed: Arc<AtomicBool>,
}

/// Fails if there is no terminal that can show a view.
pub(super) fn check_terminal() -> CommandResult {
    open_device().map(drop)?;
    match std::env::var("TERM") {
        Ok(kind) if kind == "dumb" => {
            Err(with_list_hint(CommandFailure::refused("a terminal of the kind `dumb` cannot show a view")))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn open_device() -> CommandResult<File> {
    files::open_device_to_write(DEVICE_PATH).map_err(|error| {
        with_list_hint(
            CommandFailure::refused("the view needs a terminal, and there is no terminal here")
                .caused_by(&error),
        )
    })
}

fn with_list_hint(failure: CommandFailure) -> CommandFailure {
    failure.with_hint("`portero pending` lists what waits; `portero pending --watch --json` streams it")
}

fn screen_failure(error: &io::Error) -> CommandFailure {
    CommandFailure::refused("the terminal lacks a feature that a view needs").caused_by(error)
}

impl TerminalScreen {
    /// Takes over the terminal, and starts to read its keyboard.
    pub(super) fn open() -> CommandResult<(Self, mpsc::Receiver<ViewInput>)> {
        let mut device = open_device()?;
        // A panic message on the alternate screen would be lost, so the hook restores the terminal first.
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore_terminal();
            before(panic);
        }));
        enable_raw_mode().map_err(|error| screen_failure(&error))?;
        // From here on the guard restores the terminal on an early return.
        let left = Arc::new(AtomicBool::new(false));
        let guard = RestoreGuard;
        execute!(device, EnterAlternateScreen, EnableBracketedPaste)
            .map_err(|error| screen_failure(&error))?;
        let mut terminal =
            Terminal::new(CrosstermBackend::new(device)).map_err(|error| screen_failure(&error))?;
        terminal.hide_cursor().map_err(|error| screen_failure(&error))?;
        // From here on `screen` does that, so the guard must not.
        std::mem::forget(guard);
        let (to, inputs) = mpsc::channel(MAX_QUEUED_INPUTS);
        let screen = Self { terminal, closed: Arc::clone(&left) };
        std::thread::spawn(move || read_inputs(&to, &left));
        Ok((screen, inputs))
    }

    /// The size in columns and rows.
    pub(super) fn size(&self) -> CommandResult<(u16, u16)> {
        let size = self.terminal.size().map_err(|error| screen_failure(&error))?;
        Ok((size.width, size.height))
    }

    pub(super) fn draw(&mut self, view: &PendingView) -> CommandResult {
        self.terminal
            .draw(|frame| draw::draw_view(view, frame))
            .map(drop)
            .map_err(|error| screen_failure(&error))
    }
}

impl Drop for TerminalScreen {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        restore_terminal();
    }
}

/// Restores the terminal if taking it over fails half-way.
struct RestoreGuard;

impl Drop for RestoreGuard {
    fn drop(&mut self) {
        restore_terminal();
    }
}

/// Restores the terminal. A terminal that is gone needs no restoring.
fn restore_terminal() {
    if let Ok(mut device) = files::open_device_to_write(DEVICE_PATH) {
        let _ = execute!(device, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = device.flush();
    }
    let _ = disable_raw_mode();
}

/// Reads inputs until the screen is closed or the terminal is gone.
fn read_inputs(to: &mpsc::Sender<ViewInput>, left: &AtomicBool) {
    while !left.load(Ordering::Relaxed) {
        let event = match event::poll(KEYBOARD_POLL_INTERVAL) {
            // A poll with a limit lets the thread notice that the screen was closed.
            Ok(true) => event::read(),
            Ok(false) => continue,
            Err(error) => Err(error),
        };
        let Ok(event) = event else { return };
        if to_view_input(event).is_some_and(|input| to.blocking_send(input).is_err()) {
            return;
        }
    }
}

fn to_view_input(event: Event) -> Option<ViewInput> {
    match event {
        // Some terminals report the release of a key too, which would act twice.
        Event::Key(pressed) if pressed.kind != KeyEventKind::Release => {
            to_view_key(pressed).map(ViewInput::Key)
        }
        Event::Paste(text) => Some(ViewInput::Paste(text)),
        Event::Resize(width, height) => Some(ViewInput::Resize((width, height))),
        Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    }
}

fn to_view_key(pressed: KeyEvent) -> Option<ViewKey> {
    let with = |modifier| pressed.modifiers.contains(modifier);
    match pressed.code {
        KeyCode::Char('c') if with(KeyModifiers::CONTROL) => Some(ViewKey::Interrupt),
        KeyCode::Char('u') if with(KeyModifiers::CONTROL) => Some(ViewKey::Clear),
        // An unknown control key must not become a letter of the passphrase.
        KeyCode::Char(_) if with(KeyModifiers::CONTROL) && !with(KeyModifiers::ALT) => None,
        KeyCode::Char(letter) => Some(ViewKey::Char(letter)),
        KeyCode::Up => Some(ViewKey::Up),
        KeyCode::Down => Some(ViewKey::Down),
        KeyCode::PageUp => Some(ViewKey::PageUp),
        KeyCode::PageDown => Some(ViewKey::PageDown),
        KeyCode::Home => Some(ViewKey::Home),
        KeyCode::End => Some(ViewKey::End),
        KeyCode::Enter => Some(ViewKey::Enter),
        KeyCode::Esc => Some(ViewKey::Escape),
        KeyCode::Backspace => Some(ViewKey::Backspace),
        _ => None,
    }
}
