//! How much an act widens, which decides how a person confirms it (guarantee A7).
//!
//! The terminal asks by it, and the daemon, which decides, uses the same definition, so they always agree.

use std::time::Duration;

use crate::pattern::Pattern;

/// The longest grant on one tool that isn't high risk.
pub const MAX_NARROW_GRANT: Duration = Duration::from_secs(3600);

/// How much an act widens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Risk {
    /// One call, or one tool for a while. The passphrase is enough.
    Low,
    /// Many tools, or a long time. If an authenticator is enrolled, its code is needed too.
    High,
}

impl Risk {
    /// A persistent rule that allows.
    pub const ALLOW: Self = Self::High;

    /// A changed configuration, which may change everything.
    pub const CONFIG: Self = Self::High;

    /// Definitions that servers changed, after which allowed calls run again.
    pub const DEFINITIONS: Self = Self::High;

    /// The end of a pause, which is like lifting a deny of everything.
    pub const RESUME: Self = Self::High;

    /// Letting a person decide on Telegram, or ending that, after which another could be paired.
    pub const PAIR: Self = Self::High;

    /// A login, which decides whose account at one server the calls use.
    pub const LOGIN: Self = Self::Low;

    /// Letting someone ask from another machine.
    pub const TOKEN: Self = Self::High;

    /// Lifting a denying rule with this pattern: high unless it names one tool.
    #[must_use]
    pub fn of_pattern(pattern: &Pattern) -> Self {
        if pattern.is_exact() { Self::Low } else { Self::High }
    }

    /// A grant: high unless it names one tool and lasts at most [`MAX_NARROW_GRANT`].
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
