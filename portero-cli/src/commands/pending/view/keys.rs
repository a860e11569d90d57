//! Keys: from state and key to new state and effect.

use portero::names::TaskId;
use portero::secret::Secret;

use super::layout;
use super::state::{PendingView, ViewMode};
use crate::commands::approvals;

/// The longest typed passphrase. Its buffer is allocated at once, because a growing one would leave copies in
/// memory.
const MAX_PASSPHRASE_BYTES: usize = 1024;
/// The most characters of a reason.
const MAX_REASON_CHARS: usize = 500;

/// A key that the view knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ViewKey {
    Char(char),
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

/// An effect outside of the view.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ViewEffect {
    /// Checked while the passphrase is being typed.
    CheckApprovable {
        task: TaskId,
    },
    Approve {
        task: TaskId,
        passphrase: Secret,
    },
    /// The number was typed in place of the remembered passphrase.
    ApproveRemembered {
        task: TaskId,
    },
    /// Another number was typed.
    ForgetPassphrase,
    Reject {
        task: TaskId,
        reason: Option<String>,
    },
    Pause,
    Quit,
}

impl PendingView {
    /// Handles a key, and returns its effect.
    pub(super) fn handle_key(&mut self, key: ViewKey) -> Option<ViewEffect> {
        // Ctrl-C works in every mode, also while a request is running.
        if key == ViewKey::Interrupt {
            return Some(ViewEffect::Quit);
        }
        if self.handle_scroll_key(key) {
            return None;
        }
        let effect = match &self.mode {
            // A request that was sent can't be taken back, so keys wait for its result.
            _ if self.busy => None,
            ViewMode::Browse => self.handle_browse_key(key),
            ViewMode::Help => {
                self.mode = ViewMode::Browse;
                None
            }
            ViewMode::Approve { .. } => self.handle_approve_key(key),
            ViewMode::Reject { .. } => self.handle_reject_key(key),
            ViewMode::Pause => self.handle_pause_key(key),
            ViewMode::TaskEnded => {
                if matches!(key, ViewKey::Enter | ViewKey::Escape) {
                    self.mode = ViewMode::Browse;
                }
                None
            }
        };
        // The check runs beside the typing, so it doesn't make the view busy.
        self.busy |= match effect {
            None
            | Some(ViewEffect::CheckApprovable { .. } | ViewEffect::ForgetPassphrase | ViewEffect::Quit) => {
                false
            }
            Some(
                ViewEffect::Approve { .. }
                | ViewEffect::ApproveRemembered { .. }
                | ViewEffect::Reject { .. }
                | ViewEffect::Pause,
            ) => true,
        };
        self.normalize();
        effect
    }

    /// Pastes text into the passphrase or the reason, and ignores it elsewhere.
    pub(super) fn handle_paste(&mut self, text: &str) {
        if !matches!(self.mode, ViewMode::Approve { .. } | ViewMode::Reject { .. }) {
            return;
        }
        // A pasted line break would submit, so control characters are dropped.
        for letter in text.chars().filter(|letter| !letter.is_control()) {
            self.handle_key(ViewKey::Char(letter));
        }
    }

    /// Scrolls the call. This works in every mode, so a person can read on while typing.
    fn handle_scroll_key(&mut self, key: ViewKey) -> bool {
        let page = isize::try_from(layout::page_height(self).max(2) - 1).unwrap_or(1);
        let by = match key {
            ViewKey::PageUp => -page,
            ViewKey::PageDown => page,
            ViewKey::Home => isize::MIN + 1,
            ViewKey::End => isize::MAX,
            ViewKey::Char(_)
            | ViewKey::Up
            | ViewKey::Down
            | ViewKey::Enter
            | ViewKey::Escape
            | ViewKey::Backspace
            | ViewKey::Clear
            | ViewKey::Interrupt => return false,
        };
        self.scroll_by(by);
        true
    }

    fn handle_browse_key(&mut self, key: ViewKey) -> Option<ViewEffect> {
        match key {
            ViewKey::Char('q') => return Some(ViewEffect::Quit),
            ViewKey::Char('j') | ViewKey::Down => self.move_selection(1),
            ViewKey::Char('k') | ViewKey::Up => self.move_selection(-1),
            ViewKey::Char('?') => self.mode = ViewMode::Help,
            ViewKey::Char('a') => {
                if let Some(task) = self.decidable_task().filter(|task| self.needs_one_approver(*task)) {
                    // The buffer never grows beyond this, so no copy of the passphrase is left behind.
                    let typed = String::with_capacity(MAX_PASSPHRASE_BYTES);
                    let number = self.remembered.as_ref().map(|(_, number)| number.clone());
                    self.mode = ViewMode::Approve { task, typed, number, problem: None };
                    return Some(ViewEffect::CheckApprovable { task });
                }
            }
            ViewKey::Char('r') => {
                if let Some(task) = self.decidable_task() {
                    self.mode = ViewMode::Reject { task, reason: String::new() };
                }
            }
            ViewKey::Char('p') if self.paused => {
                "everything is paused already; `portero resume` ends that".clone_into(&mut self.message);
            }
            ViewKey::Char('p') if self.require_connection() => self.mode = ViewMode::Pause,
            ViewKey::Char(_)
            | ViewKey::PageUp
            | ViewKey::PageDown
            | ViewKey::Home
            | ViewKey::End
            | ViewKey::Enter
            | ViewKey::Escape
            | ViewKey::Backspace
            | ViewKey::Clear
            | ViewKey::Interrupt => {}
        }
        None
    }

    /// The selected task, if it can be decided; otherwise the message says why not.
    fn decidable_task(&mut self) -> Option<TaskId> {
        if !self.require_connection() {
            return None;
        }
        let Some(item) = self.selected() else {
            "nothing waits for you".clone_into(&mut self.message);
            return None;
        };
        if let Some(how) = &item.end_state {
            self.message = format!("that one is {how}; move on with j or k");
            return None;
        }
        Some(item.task.id)
    }

    /// Whether one approval suffices; otherwise the message says who has to approve.
    fn needs_one_approver(&mut self, id: TaskId) -> bool {
        let Some(item) = self.item(id) else { return false };
        match approvals::explain_quorum(&item.task) {
            None => true,
            Some(words) => {
                self.message = words;
                false
            }
        }
    }

    fn require_connection(&mut self) -> bool {
        if self.daemon_error.is_some() {
            "there is no daemon at present, so nothing can be decided".clone_into(&mut self.message);
        }
        self.daemon_error.is_none()
    }

    fn handle_approve_key(&mut self, key: ViewKey) -> Option<ViewEffect> {
        let ViewMode::Approve { task, typed, number, problem } = &mut self.mode else { return None };
        match key {
            ViewKey::Char(letter) if typed.len() + letter.len_utf8() <= MAX_PASSPHRASE_BYTES => {
                typed.push(letter)
            }
            ViewKey::Backspace => drop(typed.pop()),
            ViewKey::Clear => drop(self.mode.take_typed()),
            ViewKey::Enter if typed.is_empty() => {
                *problem = Some("nothing was typed; Esc goes back".to_owned());
            }
            ViewKey::Enter if number.is_some() => {
                let (task, is_right) = (*task, number.as_ref() == Some(typed));
                typed.clear();
                if is_right {
                    *problem = None;
                    return Some(ViewEffect::ApproveRemembered { task });
                }
                // What typed it may not see the screen, so the number doesn't count again.
                *number = None;
                *problem = Some("that is not the number, so the passphrase is forgotten".to_owned());
                return Some(ViewEffect::ForgetPassphrase);
            }
            ViewKey::Enter => {
                let task = *task;
                *problem = None;
                // The typed text moves into the request, so none of it stays in the view.
                return Some(ViewEffect::Approve { task, passphrase: self.mode.take_typed() });
            }
            ViewKey::Escape => {
                drop(self.mode.take_typed());
                self.mode = ViewMode::Browse;
                "nothing was approved".clone_into(&mut self.message);
            }
            ViewKey::Char(_)
            | ViewKey::Up
            | ViewKey::Down
            | ViewKey::PageUp
            | ViewKey::PageDown
            | ViewKey::Home
            | ViewKey::End
            | ViewKey::Interrupt => {}
        }
        None
    }

    fn handle_reject_key(&mut self, key: ViewKey) -> Option<ViewEffect> {
        let ViewMode::Reject { task, reason } = &mut self.mode else { return None };
        match key {
            ViewKey::Char(letter) if reason.chars().count() < MAX_REASON_CHARS => reason.push(letter),
            ViewKey::Backspace => drop(reason.pop()),
            ViewKey::Clear => reason.clear(),
            ViewKey::Enter => {
                let reason = Some(reason.trim().to_owned()).filter(|reason| !reason.is_empty());
                return Some(ViewEffect::Reject { task: *task, reason });
            }
            ViewKey::Escape => {
                self.mode = ViewMode::Browse;
                "nothing was rejected".clone_into(&mut self.message);
            }
            ViewKey::Char(_)
            | ViewKey::Up
            | ViewKey::Down
            | ViewKey::PageUp
            | ViewKey::PageDown
            | ViewKey::Home
            | ViewKey::End
            | ViewKey::Interrupt => {}
        }
        None
    }

    fn handle_pause_key(&mut self, key: ViewKey) -> Option<ViewEffect> {
        match key {
            ViewKey::Char('y') => Some(ViewEffect::Pause),
            _ => {
                // Any key but `y` cancels, because the question is easily met by a stray key.
                self.mode = ViewMode::Browse;
                "nothing was paused".clone_into(&mut self.message);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
