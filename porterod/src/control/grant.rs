//! `portero grant PATTERN DURATION`. Widens.

use std::time::Duration;

use portero::config::duration::show;
use portero::ipc::{Failure, FailureKind, Reply};

use super::challenge::{Confirming, confirm};
use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::What;
use crate::rules::Wanted;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    wanted: Wanted,
    confirming: Confirming,
) -> Result<Reply, Failure> {
    let lasts = wanted.lasts;
    let most = fits(daemon, lasts)?;
    let confirmed =
        confirm(daemon, by, confirming, What::Grant(&wanted.pattern, lasts, &wanted.limits)).await?;
    let granted = daemon.rules.grant(wanted, most, confirmed).await;
    daemon.enforce().await;
    granted.map(Reply::Grant).map_err(|error| failure::of_rules(&error))
}

/// The longest that a grant may last, where `lasts` is not more.
pub(super) fn fits(daemon: &Daemon, lasts: Duration) -> Result<Duration, Failure> {
    let most = daemon.approvals.load().grant_most;
    if lasts <= most {
        return Ok(most);
    }
    let message = format!("a grant lasts at most {}, and {} were asked for", show(most), show(lasts));
    Err(Failure::new(FailureKind::Refused, message)
        .with_hint("ask for less, or raise `approvals.grantMost` in portero.json"))
}
