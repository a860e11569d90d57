//! The second factor, which the agent does not have (guarantee A7). Every widening request passes here.

use portero::ipc::{Act, Challenge, DaemonFailure, Risk};
use portero::names::Actor;

use super::consent::{self, Beside};
use super::failure;
use crate::auth::buttons::{ButtonPress, ConfirmPress};
use crate::auth::passphrase::Authorization;
use crate::daemon::Daemon;

/// The factor that a person confirms with.
pub(super) enum Confirming {
    /// The proof that they typed at a terminal.
    Typed(Challenge),
    /// A button below a card.
    Tapped(ButtonPress),
    /// A button below a preview.
    Affirmed(ConfirmPress),
    /// A number on their phone, which this terminal shows.
    Asked(Beside),
}

/// Confirms an act with the given factor. A high-risk act needs a code beside the passphrase if an
/// authenticator is enrolled.
pub(super) async fn confirm(
    daemon: &Daemon,
    by: &Actor,
    confirming: Confirming,
    act: &Act,
) -> Result<Authorization, DaemonFailure> {
    let challenge = match confirming {
        // A press was checked when its button was found, and covers its own act only.
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

/// The typed proof, for a change of a second factor itself: one factor must not replace another.
pub(super) fn typed(challenge: Challenge) -> Result<Challenge, DaemonFailure> {
    if challenge.telegram { Err(consent::only_typed()) } else { Ok(challenge) }
}
