//! `portero passphrase set`: the first time, or with the old one.

use portero::ipc::{Challenge, Failure, Reply};

use super::failure;
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    old: Option<Challenge>,
    new: Challenge,
) -> Result<Reply, Failure> {
    let (old, (new, _)) = (old.map(|old| old.take().0), new.take());
    let set = daemon.passphrase.set(old, new, by).await;
    set.map(|()| Reply::Changed(1)).map_err(|error| failure::of_passphrase(&error))
}
