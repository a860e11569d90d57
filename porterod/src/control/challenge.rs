//! The second factor that the agent does not have (guarantee A7).

use portero::ipc::{Challenge, Failure, Width};

use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::Confirmed;

/// Confirms an act of this width: with the passphrase, and a code beside it where the act is wide and an
/// authenticator is enrolled.
pub(super) async fn confirm(
    daemon: &Daemon,
    by: &str,
    challenge: Challenge,
    width: Width,
) -> Result<Confirmed, Failure> {
    let (passphrase, code) = challenge.take();
    let confirmed = match width {
        Width::One => daemon.passphrase.confirm(passphrase, by).await,
        Width::Wide => daemon.passphrase.confirm_wide(passphrase, code, by).await,
    };
    confirmed.map_err(|error| failure::of_passphrase(&error))
}
