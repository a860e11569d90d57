//! The terminal while the view is on it: taken, and given back as it was, whatever happens.

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
use super::keys::Key;
use super::state::View;
use crate::failure::{Failure, Outcome};
use crate::terminal::DEVICE;

/// How long the keyboard is listened to before looking whether that is still wanted.
const LISTEN: Duration = Duration::from_millis(100);
/// How many keys may wait.
const KEYS: usize = 64;

/// What comes from the person.
pub(super) enum Input {
    Key(Key),
    Paste(String),
    Resize((u16, u16)),
}

/// The terminal, taken. Dropping it gives it back.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<File>>,
    left: Arc<AtomicBool>,
}

/// Fails where there is no terminal that can show a view.
pub(super) fn check() -> Outcome {
    device().map(drop)?;
    match std::env::var("TERM") {
        Ok(kind) if kind == "dumb" => {
            Err(hinted(Failure::refused("a terminal of the kind `dumb` cannot show a view")))
        }
        Ok(_) | Err(_) => Ok(()),
    }
}

fn device() -> Outcome<File> {
    files::open_device_to_write(DEVICE).map_err(|error| {
        hinted(Failure::refused("the view needs a terminal, and there is no terminal here").because(&error))
    })
}

fn hinted(failure: Failure) -> Failure {
    failure.hint("`portero pending` lists what waits; `portero pending --watch --json` streams it")
}

fn broken(error: &io::Error) -> Failure {
    Failure::refused("the terminal does not do what a view needs").because(error)
}

impl Screen {
    /// Takes the terminal, and listens to its keyboard.
    pub(super) fn open() -> Outcome<(Self, mpsc::Receiver<Input>)> {
        let mut device = device()?;
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back();
            before(panic);
        }));
        enable_raw_mode().map_err(|error| broken(&error))?;
        // From here on it is given back by dropping this.
        let left = Arc::new(AtomicBool::new(false));
        let guard = Guard;
        execute!(device, EnterAlternateScreen, EnableBracketedPaste).map_err(|error| broken(&error))?;
        let mut terminal = Terminal::new(CrosstermBackend::new(device)).map_err(|error| broken(&error))?;
        terminal.hide_cursor().map_err(|error| broken(&error))?;
        std::mem::forget(guard);
        let (to, inputs) = mpsc::channel(KEYS);
        let screen = Self { terminal, left: Arc::clone(&left) };
        std::thread::spawn(move || listen(&to, &left));
        Ok((screen, inputs))
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> Outcome<(u16, u16)> {
        let size = self.terminal.size().map_err(|error| broken(&error))?;
        Ok((size.width, size.height))
    }

    pub(super) fn draw(&mut self, view: &View) -> Outcome {
        self.terminal.draw(|frame| draw::draw(view, frame)).map(drop).map_err(|error| broken(&error))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.left.store(true, Ordering::Relaxed);
        give_back();
    }
}

/// Gives the terminal back where taking it failed half-way.
struct Guard;

impl Drop for Guard {
    fn drop(&mut self) {
        give_back();
    }
}

/// The terminal as it was. Where it is gone there is nothing to give back.
fn give_back() {
    if let Ok(mut device) = files::open_device_to_write(DEVICE) {
        let _ = execute!(device, DisableBracketedPaste, LeaveAlternateScreen, Show);
        let _ = device.flush();
    }
    let _ = disable_raw_mode();
}

/// Listens until the screen is left or the terminal is gone.
fn listen(to: &mpsc::Sender<Input>, left: &AtomicBool) {
    while !left.load(Ordering::Relaxed) {
        let event = match event::poll(LISTEN) {
            Ok(true) => event::read(),
            Ok(false) => continue,
            Err(error) => Err(error),
        };
        let Ok(event) = event else { return };
        if input(event).is_some_and(|input| to.blocking_send(input).is_err()) {
            return;
        }
    }
}

fn input(event: Event) -> Option<Input> {
    match event {
        Event::Key(pressed) if pressed.kind != KeyEventKind::Release => key(pressed).map(Input::Key),
        Event::Paste(text) => Some(Input::Paste(text)),
        Event::Resize(width, height) => Some(Input::Resize((width, height))),
        Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) => None,
    }
}

fn key(pressed: KeyEvent) -> Option<Key> {
    let with = |modifier| pressed.modifiers.contains(modifier);
    match pressed.code {
        KeyCode::Char('c') if with(KeyModifiers::CONTROL) => Some(Key::Interrupt),
        KeyCode::Char('u') if with(KeyModifiers::CONTROL) => Some(Key::Clear),
        KeyCode::Char(_) if with(KeyModifiers::CONTROL) && !with(KeyModifiers::ALT) => None,
        KeyCode::Char(letter) => Some(Key::Letter(letter)),
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::Home),
        KeyCode::End => Some(Key::End),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Backspace => Some(Key::Backspace),
        _ => None,
    }
}
