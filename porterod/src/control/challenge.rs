//! The second factor that the agent does not have (guarantee A7).

use portero::ipc::{Challenge, Failure};
use portero::secret::Secret;

use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::Confirmed;

/// What a person wants to widen, for the audit of refused attempts.
pub(super) struct Attempt<'a> {
    /// The command.
    pub(super) act: &'a str,
    /// What it is about, in words.
    pub(super) about: &'a str,
    /// The process that asks.
    pub(super) by: &'a str,
}

/// Confirms with the passphrase; a refused attempt is written down.
pub(super) async fn confirm(
    daemon: &Daemon,
    attempt: &Attempt<'_>,
    challenge: Challenge,
) -> Result<Confirmed, Failure> {
    daemon.passphrase.confirm(Secret::new(challenge.passphrase), attempt.by).await.map_err(|error| {
        // It is refused in any case; a record that cannot be written now follows.
        let _ = daemon.journal.record_act(attempt.act, attempt.about, false, Some(attempt.by));
        failure::of_passphrase(&error)
    })
}
