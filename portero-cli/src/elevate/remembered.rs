//! The passphrase that an interactive command remembers for some minutes (`approvals.remember`).
//!
//! Its keys are in the memory of this process alone, which other processes of the user can't read
//! (`portero::hardening`). No other process is asked for them, so an agent with a shell finds nothing to ask. A process
//! that can type into the terminal must also see it: each use takes a new number that only the terminal shows.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use portero::clock::Clock;
use portero::ipc::{Challenge, Risk};
use tokio::task::AbortHandle;

/// Variables of programs through which other processes read a terminal and type into it, with the programs' names.
const SHARED_TERMINALS: [(&str, &str); 8] = [
    ("TMUX", "tmux"),
    ("STY", "screen"),
    ("ZELLIJ", "zellij"),
    ("WEZTERM_PANE", "wezterm"),
    ("KITTY_LISTEN_ON", "kitty's remote control"),
    ("NVIM", "neovim"),
    ("VIM_TERMINAL", "vim"),
    ("INSIDE_EMACS", "emacs"),
];

/// The program through which other processes can read this terminal and type into it; none as far as known. `variable`
/// reads the environment.
pub(crate) fn find_shared_terminal(variable: &dyn Fn(&str) -> Option<OsString>) -> Option<&'static str> {
    SHARED_TERMINALS.iter().find(|(name, _)| variable(name).is_some()).map(|(_, program)| *program)
}

/// A remembered passphrase, or none. It is wiped when its time is over, at the latest with the process.
pub(crate) struct RememberedPassphrase {
    clock: Arc<dyn Clock>,
    slot: Arc<Mutex<Option<KeptPassphrase>>>,
}

struct KeptPassphrase {
    /// It holds the derived keys, not the passphrase.
    challenge: Challenge,
    /// When it was typed, since boot.
    typed_at: Duration,
    /// How long it is kept from then on.
    limit: Duration,
    wipe: AbortHandle,
}

impl Drop for KeptPassphrase {
    fn drop(&mut self) {
        self.wipe.abort();
    }
}

impl RememberedPassphrase {
    /// Remembers nothing so far.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, slot: Arc::default() }
    }

    /// Remembers the keys that the daemon accepted just now. They are wiped after `limit`, whether they are used or not.
    pub(crate) fn keep(&self, challenge: &Challenge, limit: Duration) {
        let slot = Arc::downgrade(&self.slot);
        let wipe = tokio::spawn(async move {
            tokio::time::sleep(limit).await;
            if let Some(slot) = slot.upgrade() {
                drop(slot.lock().unwrap_or_else(PoisonError::into_inner).take());
            }
        });
        let typed_at = self.clock.now().boot;
        let kept =
            KeptPassphrase { challenge: challenge.clone(), typed_at, limit, wipe: wipe.abort_handle() };
        *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// The keys with the time that is left, for an act of this risk; none if they were typed longer ago than `limit`.
    /// What is wide always takes the passphrase itself.
    pub(crate) fn find(&self, risk: Risk, limit: Duration) -> Option<(Challenge, Duration)> {
        match risk {
            Risk::Low => {}
            Risk::High => return None,
        }
        let mut slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        // The timer stops while the machine is suspended, and this clock doesn't.
        let passed = self.clock.now().boot.saturating_sub(slot.as_ref()?.typed_at);
        let left = limit.checked_sub(passed).filter(|left| !left.is_zero());
        let Some(left) = left else {
            drop(slot.take());
            return None;
        };
        Some((slot.as_ref()?.challenge.clone(), left))
    }

    /// How long the keys are still kept; none where there are none.
    pub(crate) fn time_left(&self) -> Option<Duration> {
        let slot = self.slot.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = slot.as_ref()?;
        let passed = self.clock.now().boot.saturating_sub(kept.typed_at);
        kept.limit.checked_sub(passed).filter(|left| !left.is_zero())
    }

    /// Forgets the keys.
    pub(crate) fn forget(&self) {
        drop(self.slot.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[cfg(test)]
mod tests {
    use portero::clock::TestClock;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(600);

    fn on_runtime(test: impl AsyncFnOnce()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(test());
    }

    fn clock() -> Arc<TestClock> {
        Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().unwrap()))
    }

    #[test]
    fn it_is_found_until_its_time_is_over_and_never_for_what_is_wide() {
        on_runtime(async || {
            let clock = clock();
            let remembered = RememberedPassphrase::new(Arc::clone(&clock) as _);
            assert!(remembered.find(Risk::Low, LIMIT).is_none());
            remembered.keep(&Challenge::new("correct horse"), LIMIT);
            clock.advance(Duration::from_secs(599));
            assert_eq!(remembered.find(Risk::Low, LIMIT).unwrap().1, Duration::from_secs(1));
            assert!(remembered.find(Risk::High, LIMIT).is_none());
            // A use makes it no longer, and a wall clock that is set back neither.
            clock.set_wall("2026-11-20T07:00:00Z".parse().unwrap());
            clock.advance(Duration::from_secs(1));
            assert!(remembered.find(Risk::Low, LIMIT).is_none());
            clock.set_wall("2026-11-20T07:00:00Z".parse().unwrap());
            assert!(remembered.find(Risk::Low, Duration::MAX).is_none(), "it was wiped");
        });
    }

    #[test]
    fn a_shorter_limit_counts_at_once_and_forgetting_too() {
        on_runtime(async || {
            let clock = clock();
            let remembered = RememberedPassphrase::new(Arc::clone(&clock) as _);
            remembered.keep(&Challenge::new("correct horse"), LIMIT);
            clock.advance(Duration::from_secs(61));
            assert!(remembered.find(Risk::Low, Duration::from_secs(60)).is_none());
            for limit in [Duration::ZERO, LIMIT] {
                remembered.keep(&Challenge::new("correct horse"), LIMIT);
                if limit == LIMIT {
                    remembered.forget();
                }
                assert!(remembered.find(Risk::Low, limit).is_none());
            }
        });
    }

    #[test]
    fn it_is_wiped_when_its_time_is_over_without_being_asked_for() {
        on_runtime(async || {
            let remembered = RememberedPassphrase::new(clock() as _);
            remembered.keep(&Challenge::new("correct horse"), Duration::from_millis(1));
            let wiped = async {
                while remembered.slot.lock().unwrap().is_some() {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(Duration::from_secs(30), wiped).await.unwrap();
        });
    }

    #[test]
    fn a_terminal_that_others_type_into_is_known_by_its_variables() {
        let within = |name: &'static str| move |asked: &str| (asked == name).then(OsString::new);
        assert_eq!(find_shared_terminal(&within("TMUX")), Some("tmux"));
        assert_eq!(find_shared_terminal(&within("INSIDE_EMACS")), Some("emacs"));
        assert_eq!(find_shared_terminal(&within("TERM")), None);
    }
}
