//! A button below a notice on the phone: a rule that narrows what one tool may do, at once.

use super::attempt::{self, Attempt};
use super::failure;
use crate::daemon::Daemon;
use crate::rules::{Restricted, RulesError};
use crate::taps::{Restricting, Restriction, Stricter};

/// Makes the rule. It is in force in every session when this returns.
///
/// # Errors
/// See [`crate::rules::Rules::restrict_tapped`]; a refusal is written down.
pub async fn restricted(daemon: &Daemon, tapped: &Restricting) -> Result<Restricted, RulesError> {
    let done = daemon.rules.restrict_tapped(tapped).await;
    daemon.enforce().await;
    if let Err(error) = &done {
        let Restriction { tool, to } = tapped.restriction();
        let act = match to {
            Stricter::Ask => "ask",
            Stricter::Deny => "deny",
        };
        let attempt = Attempt::new(act, tool.to_string());
        let refused = Err::<(), _>(failure::of_rules(error));
        let _ = attempt::written_down(daemon, Some(attempt), &tapped.by(), refused).await;
    }
    done
}
