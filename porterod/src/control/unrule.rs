//! `portero unrule ID`. Removing a deny widens.

use portero::ipc::{Challenge, Failure, Reply};

use super::challenge::confirm;
use super::failure;
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    id: u64,
    challenge: Option<Challenge>,
) -> Result<Reply, Failure> {
    let confirmed = match challenge {
        Some(challenge) => Some(confirm(daemon, by, challenge).await?),
        None => None,
    };
    let removed = daemon.rules.unrule(id, confirmed, by).await;
    daemon.enforce().await;
    removed.map(|_| Reply::Changed(1)).map_err(|error| failure::of_rules(&error))
}
