//! `portero unrule ID`. Removing anything but an allow widens.

use portero::ipc::{Failure, Reply};

use super::challenge::{Confirming, confirm};
use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::What;
use crate::rules::RulesError;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    id: u64,
    confirming: Option<Confirming>,
) -> Result<Reply, Failure> {
    let confirmed = match confirming {
        Some(confirming) => {
            // The id of one is not used again.
            let rules = daemon.rules.standing().rules;
            let rule = rules.iter().find(|rule| rule.id == id).ok_or_else(|| unknown(id))?;
            Some(confirm(daemon, by, confirming, What::Unrule(id, &rule.pattern)).await?)
        }
        None => None,
    };
    let removed = daemon.rules.unrule(id, confirmed, by).await;
    daemon.enforce().await;
    removed.map(|_| Reply::Changed(1)).map_err(|error| failure::of_rules(&error))
}

fn unknown(id: u64) -> Failure {
    failure::of_rules(&RulesError::NotFound { what: "rule", id })
}
