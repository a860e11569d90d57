//! The proof that a person confirmed an act.

use portero::clock::Moment;
use portero::ipc::Act;
use portero::names::Actor;

use crate::store::buttons::ButtonUse;

/// Proof that a person confirmed one act, with factors that the agent doesn't have (guarantee A7). Only what checks a
/// factor makes it, and it can't be copied: the change that it permits takes it.
#[derive(Debug)]
pub struct Authorization {
    act: Act,
    actor: Actor,
    factors: Vec<Factor>,
}

/// A factor that a person confirmed with.
#[derive(Debug)]
pub(super) enum Factor {
    /// The passphrase, typed at a terminal.
    Passphrase,
    /// A code of the authenticator, or a recovery code.
    Totp,
    /// A button on Telegram that stands for the act.
    Button(ButtonUse),
    /// The number on Telegram that the person's terminal showed.
    NumberMatch(ButtonUse),
}

impl Factor {
    /// The same factor, for the second part of an act.
    fn following_step(&self) -> Self {
        match self {
            Self::Passphrase => Self::Passphrase,
            Self::Totp => Self::Totp,
            Self::Button(button) => Self::Button(button.following_step()),
            Self::NumberMatch(button) => Self::NumberMatch(button.following_step()),
        }
    }
}

impl Authorization {
    pub(super) const fn new(act: Act, actor: Actor, factors: Vec<Factor>) -> Self {
        Self { act, actor, factors }
    }

    /// The confirmed act.
    #[must_use]
    pub const fn act(&self) -> &Act {
        &self.act
    }

    /// The process that asked, such as `terminal pid 4711`, or the person who pressed, such as `telegram user 4711`.
    #[must_use]
    pub const fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Whether it confirms this act: the one that was confirmed, or a grant of the same that is shorter.
    #[must_use]
    pub fn covers(&self, act: &Act) -> bool {
        self.act.covers(act)
    }

    /// The proofs of the two parts of an approval that permits more: of the call, then of the grant or rule. None if
    /// another act was confirmed. A button is used up by the first part, and its second step counts only after that.
    pub(crate) fn split(self) -> Option<(Self, Self)> {
        let Self { act: Act::ApproveWith(task, fresh, permit), actor, factors } = self else { return None };
        let following = factors.iter().map(Factor::following_step).collect();
        let of_call = Self::new(Act::approve(task, fresh), actor.clone(), factors);
        Some((of_call, Self::new(Act::from(&*permit), actor, following)))
    }

    /// The button to use up in the transaction of the act; none where no button was pressed.
    pub(crate) fn button(&self) -> Option<&ButtonUse> {
        self.factors.iter().find_map(|factor| match factor {
            Factor::Button(button) | Factor::NumberMatch(button) => Some(button),
            Factor::Passphrase | Factor::Totp => None,
        })
    }

    /// When the button was first pressed, which may be before a crash; none where no button was pressed.
    pub(crate) fn pressed_at(&self) -> Option<Moment> {
        self.button().map(ButtonUse::pressed_at)
    }

    /// The Telegram user whose vote on a call this is. Only a button under a card is a vote: what a terminal asked for
    /// is the terminal's act, whoever tapped the number.
    pub(crate) fn voter(&self) -> Option<u64> {
        match (self.factors.as_slice(), &self.actor) {
            ([Factor::Button(_)], Actor::TelegramUser(user)) => {
                u64::try_from(*user).ok().filter(|user| *user > 0)
            }
            _ => None,
        }
    }

    /// As if the passphrase had been typed for this act.
    #[cfg(test)]
    pub(crate) fn for_test(act: Act) -> Self {
        Self::new(act, Actor::terminal("test"), vec![Factor::Passphrase])
    }
}
