//! `portero grant PATTERN DURATION`. Widens.

use portero::config::duration::show;
use portero::ipc::{Challenge, Failure, FailureKind, Reply, Width};

use super::challenge::confirm;
use super::failure;
use crate::daemon::Daemon;
use crate::rules::Wanted;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    wanted: Wanted,
    challenge: Challenge,
) -> Result<Reply, Failure> {
    let lasts = wanted.lasts;
    let most = daemon.approvals.load().grant_most;
    if lasts > most {
        let message = format!("a grant lasts at most {}, and {} were asked for", show(most), show(lasts));
        return Err(Failure::new(FailureKind::Refused, message)
            .with_hint("ask for less, or raise `approvals.grantMost` in portero.json"));
    }
    let confirmed = confirm(daemon, by, challenge, Width::of_grant(&wanted.pattern, lasts)).await?;
    let granted = daemon.rules.grant(wanted, most, confirmed).await;
    daemon.enforce().await;
    granted.map(Reply::Grant).map_err(|error| failure::of_rules(&error))
}
