//! `portero passphrase set`: the first time, or with the old one.

use portero::ipc::{Challenge, Failure, Reply};
use portero::secret::Secret;

use super::failure;
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    old: Option<Challenge>,
    new: Challenge,
) -> Result<Reply, Failure> {
    let old = old.map(|old| Secret::new(old.passphrase));
    let set = daemon.passphrase.set(old, Secret::new(new.passphrase), by).await;
    set.map(|()| Reply::Changed(1)).map_err(|error| failure::of_passphrase(&error))
}
