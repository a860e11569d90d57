//! `portero unrule ID`. Removing a deny widens.

use portero::ipc::{Challenge, Failure, Reply, Width};

use super::challenge::{Confirming, confirm};
use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::What;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    id: u64,
    challenge: Option<Challenge>,
) -> Result<Reply, Failure> {
    let confirmed = match challenge {
        Some(challenge) => {
            let what = What::Other(width(daemon, id));
            Some(confirm(daemon, by, Confirming::Typed(challenge), what).await?)
        }
        None => None,
    };
    let removed = daemon.rules.unrule(id, confirmed, by).await;
    daemon.enforce().await;
    removed.map(|_| Reply::Changed(1)).map_err(|error| failure::of_rules(&error))
}

/// How much removing this rule widens; the id of one is not used again.
fn width(daemon: &Daemon, id: u64) -> Width {
    let rules = daemon.rules.standing().rules;
    let rule = rules.iter().find(|rule| rule.id == id);
    rule.map_or(Width::Wide, |rule| Width::of_pattern(&rule.pattern))
}
