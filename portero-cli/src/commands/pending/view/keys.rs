//! What a key does: from state and key to state and effect.

use portero::names::TaskId;
use portero::secret::Secret;

use super::super::super::task;
use super::layout;
use super::state::{Mode, View};

/// The most bytes that are typed as a passphrase; room for them is made at once, so that no copy is left behind.
const TYPED_MOST: usize = 1024;
/// The most characters of a reason.
const REASON_MOST: usize = 500;

/// A key, as this view knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Letter(char),
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-U
    Clear,
    /// Ctrl-C
    Interrupt,
}

/// What is to be done outside the view.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// To be looked at while the passphrase is asked for.
    Check {
        task: TaskId,
    },
    Approve {
        task: TaskId,
        passphrase: Secret,
    },
    Reject {
        task: TaskId,
        reason: Option<String>,
    },
    Pause,
    Quit,
}

impl View {
    /// Takes a key.
    pub(super) fn key(&mut self, key: Key) -> Option<Effect> {
        if key == Key::Interrupt {
            return Some(Effect::Quit);
        }
        if self.read_on(key) {
            return None;
        }
        let effect = match &self.mode {
            // What is on its way cannot be taken back.
            _ if self.busy => None,
            Mode::Browse => self.browse(key),
            Mode::Help => {
                self.mode = Mode::Browse;
                None
            }
            Mode::Approve { .. } => self.approve(key),
            Mode::Reject { .. } => self.reject(key),
            Mode::Pause => self.pause(key),
            Mode::Gone => {
                if matches!(key, Key::Enter | Key::Escape) {
                    self.mode = Mode::Browse;
                }
                None
            }
        };
        self.busy |= !matches!(effect, None | Some(Effect::Check { .. } | Effect::Quit));
        self.settle();
        effect
    }

    /// Takes what was pasted: into what is typed, and nowhere else.
    pub(super) fn paste(&mut self, text: &str) {
        if !matches!(self.mode, Mode::Approve { .. } | Mode::Reject { .. }) {
            return;
        }
        for letter in text.chars().filter(|letter| !letter.is_control()) {
            self.key(Key::Letter(letter));
        }
    }

    /// The call can be read at any time.
    fn read_on(&mut self, key: Key) -> bool {
        let page = isize::try_from(layout::page(self).max(2) - 1).unwrap_or(1);
        let by = match key {
            Key::PageUp => -page,
            Key::PageDown => page,
            Key::Home => isize::MIN + 1,
            Key::End => isize::MAX,
            Key::Letter(_)
            | Key::Up
            | Key::Down
            | Key::Enter
            | Key::Escape
            | Key::Backspace
            | Key::Clear
            | Key::Interrupt => return false,
        };
        self.scroll_by(by);
        true
    }

    fn browse(&mut self, key: Key) -> Option<Effect> {
        match key {
            Key::Letter('q') => return Some(Effect::Quit),
            Key::Letter('j') | Key::Down => self.go(1),
            Key::Letter('k') | Key::Up => self.go(-1),
            Key::Letter('?') => self.mode = Mode::Help,
            Key::Letter('a') => {
                if let Some(task) = self.decidable().filter(|task| self.takes_one(*task)) {
                    let typed = String::with_capacity(TYPED_MOST);
                    self.mode = Mode::Approve { task, typed, problem: None };
                    return Some(Effect::Check { task });
                }
            }
            Key::Letter('r') => {
                if let Some(task) = self.decidable() {
                    self.mode = Mode::Reject { task, reason: String::new() };
                }
            }
            Key::Letter('p') if self.paused => {
                "everything is paused already; `portero resume` ends that".clone_into(&mut self.says);
            }
            Key::Letter('p') if self.is_connected() => self.mode = Mode::Pause,
            Key::Letter(_)
            | Key::PageUp
            | Key::PageDown
            | Key::Home
            | Key::End
            | Key::Enter
            | Key::Escape
            | Key::Backspace
            | Key::Clear
            | Key::Interrupt => {}
        }
        None
    }

    /// The selected task, if it can be decided; else says why not.
    fn decidable(&mut self) -> Option<TaskId> {
        if !self.is_connected() {
            return None;
        }
        let Some(item) = self.selected() else {
            "nothing waits for you".clone_into(&mut self.says);
            return None;
        };
        if let Some(how) = &item.ended {
            self.says = format!("that one is {how}; move on with j or k");
            return None;
        }
        Some(item.task.id)
    }

    /// Whether one person is enough; else says who has to approve.
    fn takes_one(&mut self, id: TaskId) -> bool {
        let Some(item) = self.item(id) else { return false };
        match task::several(&item.task) {
            None => true,
            Some(words) => {
                self.says = words;
                false
            }
        }
    }

    fn is_connected(&mut self) -> bool {
        if self.lost.is_some() {
            "there is no daemon at present, so nothing can be decided".clone_into(&mut self.says);
        }
        self.lost.is_none()
    }

    fn approve(&mut self, key: Key) -> Option<Effect> {
        let Mode::Approve { task, typed, problem } = &mut self.mode else { return None };
        match key {
            Key::Letter(letter) if typed.len() + letter.len_utf8() <= TYPED_MOST => typed.push(letter),
            Key::Backspace => drop(typed.pop()),
            Key::Clear => drop(self.mode.take_typed()),
            Key::Enter if typed.is_empty() => {
                *problem = Some("nothing was typed; Esc goes back".to_owned());
            }
            Key::Enter => {
                let task = *task;
                *problem = None;
                return Some(Effect::Approve { task, passphrase: self.mode.take_typed() });
            }
            Key::Escape => {
                drop(self.mode.take_typed());
                self.mode = Mode::Browse;
                "nothing was approved".clone_into(&mut self.says);
            }
            Key::Letter(_)
            | Key::Up
            | Key::Down
            | Key::PageUp
            | Key::PageDown
            | Key::Home
            | Key::End
            | Key::Interrupt => {}
        }
        None
    }

    fn reject(&mut self, key: Key) -> Option<Effect> {
        let Mode::Reject { task, reason } = &mut self.mode else { return None };
        match key {
            Key::Letter(letter) if reason.chars().count() < REASON_MOST => reason.push(letter),
            Key::Backspace => drop(reason.pop()),
            Key::Clear => reason.clear(),
            Key::Enter => {
                let reason = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
                return Some(Effect::Reject { task: *task, reason });
            }
            Key::Escape => {
                self.mode = Mode::Browse;
                "nothing was rejected".clone_into(&mut self.says);
            }
            Key::Letter(_)
            | Key::Up
            | Key::Down
            | Key::PageUp
            | Key::PageDown
            | Key::Home
            | Key::End
            | Key::Interrupt => {}
        }
        None
    }

    fn pause(&mut self, key: Key) -> Option<Effect> {
        match key {
            Key::Letter('y') => Some(Effect::Pause),
            _ => {
                self.mode = Mode::Browse;
                "nothing was paused".clone_into(&mut self.says);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
