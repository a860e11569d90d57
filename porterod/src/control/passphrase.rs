//! `portero passphrase set`: the first time, which seals the configuration, or with the old one.

use portero::ipc::{Challenge, Failure, Reply};

use super::challenge::typed;
use super::failure;
use crate::configuration;
use crate::daemon::Daemon;

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    old: Option<Challenge>,
    new: Challenge,
) -> Result<Reply, Failure> {
    let (old, new) = (old.map(typed).transpose()?, typed(new)?);
    let (old, (new, _)) = (old.map(|old| old.take().0), new.take());
    let set = daemon.passphrase.set(old, new, by).await;
    set.map_err(|error| failure::of_passphrase(&error))?;
    // Until now nobody could confirm anything. A daemon that dies here does it when it starts.
    configuration::seal(daemon, by).await.map_err(|error| failure::of_store(&error))?;
    Ok(Reply::Changed(1))
}
