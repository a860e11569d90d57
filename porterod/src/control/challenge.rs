//! The second factor that the agent does not have (guarantee A7).

use portero::ipc::{Challenge, Failure, Width};

use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::Confirmed;

/// Confirms an act of this width. There is nothing to enrol beside the passphrase yet, so it is enough for
/// both.
pub(super) async fn confirm(
    daemon: &Daemon,
    by: &str,
    challenge: Challenge,
    width: Width,
) -> Result<Confirmed, Failure> {
    let (passphrase, _) = challenge.take();
    let confirmed = match width {
        Width::One | Width::Wide => daemon.passphrase.confirm(passphrase, by).await,
    };
    confirmed.map_err(|error| failure::of_passphrase(&error))
}
