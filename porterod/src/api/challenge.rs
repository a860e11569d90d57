//! The second factor that the agent does not have (guarantee A7), and the one place that takes it.

use portero::ipc::{Challenge, Failure, Width};

use super::consent::{self, Beside};
use super::failure;
use crate::daemon::Daemon;
use crate::passphrase::{Confirmed, What};
use crate::taps::{Affirmed, Tapped};

/// With what a person confirms an act.
pub(super) enum Confirming {
    /// With what they typed at a terminal.
    Typed(Challenge),
    /// With a button on their phone.
    Tapped(Tapped),
    /// With a button on their phone, below what would change.
    Affirmed(Affirmed),
    /// With a number on their phone, which this terminal shows.
    Asked(Beside),
}

/// Confirms an act: with the passphrase, and a code beside it where the act is wide and an authenticator is
/// enrolled; or with a tap on the button that stands for this very act, or on the number that the terminal shows.
pub(super) async fn confirm(
    daemon: &Daemon,
    by: &str,
    confirming: Confirming,
    what: What<'_>,
) -> Result<Confirmed, Failure> {
    let challenge = match confirming {
        Confirming::Tapped(tapped) => return Ok(Confirmed::of_tap(tapped)),
        Confirming::Affirmed(affirmed) => return Ok(Confirmed::of_affirmed(affirmed)),
        Confirming::Asked(beside) => return consent::ask(daemon, by, beside, what).await,
        Confirming::Typed(challenge) => challenge,
    };
    let (given, code) = challenge.take();
    let confirmed = match what.width() {
        Width::One => daemon.passphrase.confirm(given, by).await,
        Width::Wide => daemon.passphrase.confirm_wide(given, code, by).await,
    };
    confirmed.map_err(|error| failure::of_passphrase(&error))
}

/// What was typed, for what changes a second factor itself: one factor does not replace another one.
pub(super) fn typed(challenge: Challenge) -> Result<Challenge, Failure> {
    if challenge.telegram { Err(consent::only_typed()) } else { Ok(challenge) }
}
