//! The second factor that the agent does not have (guarantee A7).

use portero::ipc::{Challenge, Failure};
use portero::secret::Secret;

use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::Confirmed;

/// Confirms with the passphrase.
pub(super) async fn confirm(daemon: &Daemon, by: &str, challenge: Challenge) -> Result<Confirmed, Failure> {
    let confirmed = daemon.passphrase.confirm(Secret::new(challenge.passphrase), by).await;
    confirmed.map_err(|error| failure::of_passphrase(&error))
}
