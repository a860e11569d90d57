//! The proof that a person confirmed an act, and the acts that it covers.

use portero::clock::Moment;
use portero::ipc::{Act, Risk};
use portero::names::Actor;

use crate::auth::buttons::{ButtonPress, ButtonUse, ConfirmPress};
use crate::auth::remote_confirmation::NumberMatch;

/// Proof that a person confirmed one act, up to a risk, with a second factor. Only the checks of those
/// factors make one.
#[derive(Debug)]
pub struct Authorization {
    by: Actor,
    factor: Factor,
}

/// The factor that a person confirmed with.
#[derive(Debug)]
enum Factor {
    /// The passphrase, with a code if the act is of high risk.
    Passphrase(Risk),
    /// A button below a card, which stands for one act about one task.
    Button(ButtonPress),
    /// A button below the preview of a command.
    ConfirmButton(ConfirmPress),
    /// The number, pressed on the phone, that the terminal showed.
    NumberMatch(NumberMatch),
}

impl Authorization {
    /// The source of the confirmation, for the audit: a process such as `terminal pid 4711`, or a person such
    /// as `telegram user 4711`.
    #[must_use]
    pub const fn by(&self) -> &Actor {
        &self.by
    }

    /// Confirms the act of the pressed button, and no other.
    #[must_use]
    pub fn from_button(tapped: ButtonPress) -> Self {
        Self { by: tapped.by(), factor: Factor::Button(tapped) }
    }

    /// Confirms the change that the preview above the button showed, and no other.
    #[must_use]
    pub fn from_confirm_button(affirmed: ConfirmPress) -> Self {
        Self { by: affirmed.by(), factor: Factor::ConfirmButton(affirmed) }
    }

    /// Confirms the act that was shown with the number, and no other.
    #[must_use]
    pub fn from_number_match(consented: NumberMatch) -> Self {
        Self { by: consented.by(), factor: Factor::NumberMatch(consented) }
    }

    /// Whether it confirms this act. The passphrase confirms any act of its risk; a button or number confirms
    /// the act that it was shown with.
    #[must_use]
    pub fn covers(&self, act: &Act) -> bool {
        match &self.factor {
            Factor::Passphrase(Risk::High) => true,
            Factor::Passphrase(Risk::Low) => act.risk() == Risk::Low,
            Factor::Button(tapped) => {
                let (decided, follows) = tapped.acts();
                decided.covers(act) || follows.is_some_and(|follows| follows.covers(act))
            }
            Factor::ConfirmButton(affirmed) => affirmed.widening().what.covers(act),
            Factor::NumberMatch(consented) => consented.requested_act().covers(act),
        }
    }

    /// The button that the approval of a call uses up; it is the first step of that button.
    pub(crate) fn consumes_for_call(&self) -> Option<ButtonUse> {
        match &self.factor {
            Factor::Passphrase(_) | Factor::ConfirmButton(_) => None,
            Factor::Button(tapped) => Some(tapped.ticket().step(1)),
            Factor::NumberMatch(consented) => Some(consented.ticket().step(1)),
        }
    }

    /// The voter's user number on Telegram, if this can be one of several votes on a call. Only a button
    /// below the call's card is a vote.
    pub(crate) fn voter(&self) -> Option<u64> {
        match &self.factor {
            Factor::Passphrase(_) | Factor::ConfirmButton(_) | Factor::NumberMatch(_) => None,
            Factor::Button(tapped) => u64::try_from(tapped.user()).ok().filter(|user| *user > 0),
        }
    }

    /// The button that a change uses up. Below a card the change is the second step, because the first
    /// approves the call.
    pub(crate) fn consumes(&self) -> Option<ButtonUse> {
        match &self.factor {
            Factor::Passphrase(_) => None,
            Factor::Button(tapped) => Some(tapped.ticket().step(2)),
            Factor::ConfirmButton(affirmed) => Some(affirmed.ticket().step(1)),
            Factor::NumberMatch(consented) => Some(consented.ticket().step(1)),
        }
    }

    /// When the press was first received, which may be before a crash; `None` for a passphrase.
    pub(crate) const fn pressed_at(&self) -> Option<Moment> {
        match &self.factor {
            Factor::Passphrase(_) => None,
            Factor::Button(tapped) => Some(tapped.ticket().at),
            Factor::ConfirmButton(affirmed) => Some(affirmed.ticket().at),
            Factor::NumberMatch(consented) => Some(consented.ticket().at),
        }
    }

    pub(super) const fn from_passphrase(by: Actor, width: Risk) -> Self {
        Self { by, factor: Factor::Passphrase(width) }
    }

    #[cfg(test)]
    pub(crate) fn for_test() -> Self {
        Self::for_test_with_risk(Risk::High)
    }

    #[cfg(test)]
    pub(crate) fn for_test_with_risk(width: Risk) -> Self {
        Self::from_passphrase(Actor::terminal("test"), width)
    }
}
