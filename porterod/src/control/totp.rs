//! `portero totp`: an authenticator beside the passphrase, enrolled in two steps and removed in one.

use portero::ipc::{Challenge, Failure, Reply};

use super::challenge::typed;
use super::failure;
use crate::daemon::Daemon;

/// A new secret, for whoever knows the passphrase; it has no effect yet.
pub(super) async fn offer(daemon: &Daemon, challenge: Challenge) -> Result<Reply, Failure> {
    let offered = daemon.passphrase.offer(typed(challenge)?.take().0).await;
    offered.map(|secret| Reply::TotpSecret(secret.into())).map_err(|error| failure::of_passphrase(&error))
}

/// Puts that secret in force, once a first code shows that an authenticator has it.
pub(super) async fn enroll(daemon: &Daemon, by: &str, challenge: Challenge) -> Result<Reply, Failure> {
    let (given, code) = typed(challenge)?.take();
    let enrolled = daemon.passphrase.enroll(given, code, by).await;
    enrolled
        .map(|codes| Reply::RecoveryCodes(codes.into_iter().map(Into::into).collect()))
        .map_err(|error| failure::of_passphrase(&error))
}

/// From then on the passphrase alone confirms what is wide.
pub(super) async fn remove(daemon: &Daemon, by: &str, challenge: Challenge) -> Result<Reply, Failure> {
    let (given, code) = typed(challenge)?.take();
    let removed = daemon.passphrase.remove(given, code, by).await;
    removed.map(|()| Reply::Changed(1)).map_err(|error| failure::of_passphrase(&error))
}
