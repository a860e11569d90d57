//! The last known denies, which hold while no daemon can be asked (guarantee D4).

use portero::paths::Paths;
use portero::policy::offline_denies::{self, OfflineDeniesError};
use portero::policy::{Action, Overrides, PolicyRule};

/// Reads what the daemon wrote before each deny command returned.
pub(crate) fn read_denies(paths: &Paths) -> Result<Overrides, OfflineDeniesError> {
    offline_denies::read(&paths.offline_denies(), &paths.store()).map(|standing| standing.restrictive_only())
}

/// What holds when the denies cannot be known: everything is denied.
pub(crate) fn deny_everything() -> Overrides {
    let all = "**".parse().expect("a pattern");
    let rule = PolicyRule { id: 0, pattern: all, action: Action::Deny, made: jiff::Timestamp::UNIX_EPOCH };
    Overrides { rules: vec![rule], ..Overrides::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portero::clock::{Clock as _, SystemClock};
    use portero::policy::{ConfigPolicy, Policy};

    #[test]
    fn everything_denies_even_what_the_files_allow() {
        let config = ConfigPolicy { default: Action::Allow, ..ConfigPolicy::default() };
        let policy = Policy::new(config, deny_everything());
        let decision = policy.decide(&"office/read_mail".parse().unwrap(), None, None, SystemClock.now());
        assert_eq!(decision.action, Action::Deny);
    }
}
