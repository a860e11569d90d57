//! The last known denies, which hold while no daemon can be asked (guarantee D4).

use portero::paths::Paths;
use portero::policy::denies::{self, DeniesError};
use portero::policy::{Action, Rule, Standing};

/// Reads what the daemon wrote before each deny command returned.
pub(crate) fn read(paths: &Paths) -> Result<Standing, DeniesError> {
    denies::read(&paths.denies(), &paths.store()).map(|standing| standing.denies_only())
}

/// What holds when the denies cannot be known: everything is denied.
pub(crate) fn everything() -> Standing {
    let all = "**".parse().expect("a pattern");
    let rule = Rule { id: 0, pattern: all, action: Action::Deny, made: jiff::Timestamp::UNIX_EPOCH };
    Standing { rules: vec![rule], ..Standing::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use portero::clock::{Clock as _, SystemClock};
    use portero::policy::{ConfigPolicy, Policy};

    #[test]
    fn everything_denies_even_what_the_files_allow() {
        let config = ConfigPolicy { default: Action::Allow, ..ConfigPolicy::default() };
        let policy = Policy::new(config, everything());
        let decision = policy.decide(&"office/read_mail".parse().unwrap(), None, None, SystemClock.now());
        assert_eq!(decision.action, Action::Deny);
    }
}
