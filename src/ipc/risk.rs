//! How much an act widens, and so what a person confirms it with (guarantee A7).
//!
//! The terminal asks by it and the daemon, which decides, goes by it: one definition, so that they agree.

use std::time::Duration;

use crate::pattern::Pattern;

/// The longest grant on one tool that is not wide.
pub const MAX_NARROW_GRANT: Duration = Duration::from_secs(3600);

/// How much an act widens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// One call, or one tool for a while: the passphrase is enough.
    Low,
    /// Many tools, or for long: where an authenticator is enrolled, its code is needed too.
    High,
}

impl Risk {
    /// Of a persistent rule that allows.
    pub const ALLOW: Self = Self::High;

    /// Of a changed configuration: it may change everything.
    pub const CONFIG: Self = Self::High;

    /// Of ending a pause: it is as lifting a deny of everything.
    pub const RESUME: Self = Self::High;

    /// Of letting a person decide on Telegram, and of ending that: another could be let in then.
    pub const PAIR: Self = Self::High;

    /// Of lifting a rule that denies, with this pattern: wide unless it names one tool.
    #[must_use]
    pub fn of_pattern(pattern: &Pattern) -> Self {
        if pattern.is_exact() { Self::Low } else { Self::High }
    }

    /// Of a grant: wide unless it names one tool and lasts [`MAX_NARROW_GRANT`] at most.
    #[must_use]
    pub fn of_grant(pattern: &Pattern, lasts: Duration) -> Self {
        if lasts > MAX_NARROW_GRANT { Self::High } else { Self::of_pattern(pattern) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().unwrap()
    }

    #[test]
    fn anything_but_one_literal_tool_is_wide() {
        assert_eq!(Risk::of_pattern(&pattern("github/create_issue")), Risk::Low);
        for wide in ["github/*", "*", "github/create_issu?", "{github,gitlab}/create_issue", "a/{b}"] {
            assert_eq!(Risk::of_pattern(&pattern(wide)), Risk::High, "{wide}");
        }
    }

    #[test]
    fn a_grant_of_more_than_an_hour_is_wide() {
        let one = pattern("github/create_issue");
        assert_eq!(Risk::of_grant(&one, MAX_NARROW_GRANT), Risk::Low);
        assert_eq!(Risk::of_grant(&one, MAX_NARROW_GRANT + Duration::from_millis(1)), Risk::High);
        assert_eq!(Risk::of_grant(&pattern("github/*"), Duration::from_secs(60)), Risk::High);
    }
}
