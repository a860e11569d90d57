//! The proof that a person confirmed an act, and what it covers.

use portero::clock::Moment;
use portero::ipc::{Act, Risk};
use portero::names::Actor;

use crate::auth::buttons::{ButtonPress, ButtonUse, ConfirmPress};
use crate::auth::remote_confirmation::NumberMatch;

/// Proof that a person confirmed one act, of this width at most, with a second factor. Only what checks one
/// makes it.
#[derive(Debug)]
pub struct Authorization {
    by: Actor,
    factor: Factor,
}

/// With what a person confirmed.
#[derive(Debug)]
enum Factor {
    /// With the passphrase, and a code where it is wide.
    Passphrase(Risk),
    /// With a button on their phone, which stands for one act about one task.
    Button(ButtonPress),
    /// With a button on their phone, which stands for what they asked for in words.
    ConfirmButton(ConfirmPress),
    /// With the number, tapped on their phone, that their terminal showed.
    NumberMatch(NumberMatch),
}

impl Authorization {
    /// Where the confirmation came from, for the audit: the process that asked, such as `terminal pid 4711`, or
    /// the person who tapped, such as `telegram user 4711`.
    #[must_use]
    pub const fn by(&self) -> &Actor {
        &self.by
    }

    /// By a tap: of what its button stands for, and of nothing else.
    #[must_use]
    pub fn from_button(tapped: ButtonPress) -> Self {
        Self { by: tapped.by(), factor: Factor::Button(tapped) }
    }

    /// By a tap below what would change: of that, and of nothing else.
    #[must_use]
    pub fn from_confirm_button(affirmed: ConfirmPress) -> Self {
        Self { by: affirmed.by(), factor: Factor::ConfirmButton(affirmed) }
    }

    /// By a tap on the number that the terminal showed: of what was shown with it, and of nothing else.
    #[must_use]
    pub fn from_number_match(consented: NumberMatch) -> Self {
        Self { by: consented.by(), factor: Factor::NumberMatch(consented) }
    }

    /// Whether it confirms this act. The passphrase confirms any act of its risk; a button or a number the act that
    /// was shown with it.
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

    /// The button to use up with the approval of a call, where it was a tap: the first step of what it does.
    pub(crate) fn consumes_for_call(&self) -> Option<ButtonUse> {
        match &self.factor {
            Factor::Passphrase(_) | Factor::ConfirmButton(_) => None,
            Factor::Button(tapped) => Some(tapped.ticket().step(1)),
            Factor::NumberMatch(consented) => Some(consented.ticket().step(1)),
        }
    }

    /// Who gave it, by their user's number on Telegram, where it is one of several people's to the same call: with a
    /// button under its card, and nothing else.
    pub(crate) fn voter(&self) -> Option<u64> {
        match &self.factor {
            Factor::Passphrase(_) | Factor::ConfirmButton(_) | Factor::NumberMatch(_) => None,
            Factor::Button(tapped) => u64::try_from(tapped.user()).ok().filter(|user| *user > 0),
        }
    }

    /// The button to use up with a change, where it was a tap. Under a card the change is the second step: the first one
    /// approves the call.
    pub(crate) fn consumes(&self) -> Option<ButtonUse> {
        match &self.factor {
            Factor::Passphrase(_) => None,
            Factor::Button(tapped) => Some(tapped.ticket().step(2)),
            Factor::ConfirmButton(affirmed) => Some(affirmed.ticket().step(1)),
            Factor::NumberMatch(consented) => Some(consented.ticket().step(1)),
        }
    }

    /// When a tap was first taken up, which may be before a crash; none where it was no tap.
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
