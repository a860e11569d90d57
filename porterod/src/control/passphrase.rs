//! `portero passphrase set`: the first time, which seals the configuration, or with the old one.

use portero::ipc::{Challenge, Failure, FailureKind, Reply};

use super::challenge::typed;
use super::failure;
use crate::configuration;
use crate::daemon::Daemon;

/// How a terminal derives the passphrase.
pub(super) fn salt(daemon: &Daemon) -> Result<Reply, Failure> {
    daemon.passphrase.salted().map(Reply::Salted).map_err(|error| failure::of_store(&error))
}

pub(super) async fn answer(
    daemon: &Daemon,
    by: &str,
    old: Option<Challenge>,
    new: Challenge,
) -> Result<Reply, Failure> {
    let (old, new) = (old.map(typed).transpose()?, typed(new)?);
    let old = old.map(|old| old.take().0);
    let new =
        new.take_new().ok_or_else(|| Failure::new(FailureKind::Invalid, "no new passphrase was given"))?;
    let set = daemon.passphrase.set(old, new, by).await;
    set.map_err(|error| failure::of_passphrase(&error))?;
    // Until now nobody could confirm anything. A daemon that dies here does it when it starts.
    configuration::seal(daemon, by).await.map_err(|error| failure::of_store(&error))?;
    Ok(Reply::Changed(1))
}
