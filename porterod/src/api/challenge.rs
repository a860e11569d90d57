//! The second factor that the agent does not have (guarantee A7), and the one place that takes it.

use portero::ipc::{Act, Challenge, DaemonFailure, Risk};
use portero::names::Actor;

use super::consent::{self, Beside};
use super::failure;
use crate::auth::buttons::{ButtonPress, ConfirmPress};
use crate::auth::passphrase::Authorization;
use crate::daemon::Daemon;

/// With what a person confirms an act.
pub(super) enum Confirming {
    /// With what they typed at a terminal.
    Typed(Challenge),
    /// With a button on their phone.
    Tapped(ButtonPress),
    /// With a button on their phone, below what would change.
    Affirmed(ConfirmPress),
    /// With a number on their phone, which this terminal shows.
    Asked(Beside),
}

/// Confirms an act: with the passphrase, and a code beside it where the act is wide and an authenticator is
/// enrolled; or with a tap on the button that stands for this very act, or on the number that the terminal shows.
pub(super) async fn confirm(
    daemon: &Daemon,
    by: &Actor,
    confirming: Confirming,
    act: &Act,
) -> Result<Authorization, DaemonFailure> {
    let challenge = match confirming {
        Confirming::Tapped(tapped) => return Ok(Authorization::from_button(tapped)),
        Confirming::Affirmed(affirmed) => return Ok(Authorization::from_confirm_button(affirmed)),
        Confirming::Asked(beside) => return consent::ask(daemon, by, beside, act).await,
        Confirming::Typed(challenge) => challenge,
    };
    let (given, code) = challenge.into_given();
    let confirmed = match act.risk() {
        Risk::Low => daemon.passphrase.authorize_low_risk(given, by).await,
        Risk::High => daemon.passphrase.authorize_high_risk(given, code, by).await,
    };
    confirmed.map_err(|error| failure::of_passphrase(&error))
}

/// What was typed, for what changes a second factor itself: one factor does not replace another one.
pub(super) fn typed(challenge: Challenge) -> Result<Challenge, DaemonFailure> {
    if challenge.telegram { Err(consent::only_typed()) } else { Ok(challenge) }
}
