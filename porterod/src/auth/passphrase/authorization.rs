//! The proof that a person confirmed an act, and what it covers.

use std::time::Duration;

use portero::clock::Moment;
use portero::ipc::Risk;
use portero::names::{Actor, TaskId};
use portero::pattern::Pattern;
use portero::policy::GrantLimits;

use crate::auth::buttons::{ButtonPress, ButtonUse, ConfirmPress, WideningAct};
use crate::auth::remote_confirmation::{NumberMatch, RequestedAct};

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

/// An act that needs to be confirmed.
#[derive(Debug, Clone, Copy)]
pub enum Act<'a> {
    /// That a call runs.
    Approve(TaskId),
    /// A grant, for so long, with these limits.
    Grant(&'a Pattern, Duration, &'a GrantLimits),
    /// A persistent rule that allows.
    Allow(&'a Pattern),
    /// That a rule that is no allow ends.
    RemoveRule(u64, &'a Pattern),
    /// That a pause ends.
    Resume,
    /// That a task's real values are shown at the terminal.
    Reveal(TaskId),
    /// That the files are put in force as they stand, by what tells them from others.
    ConfirmConfig(&'a str),
    /// Something of this width that nobody confirms on a phone, such as what changes a second factor itself.
    Other(Risk),
}

impl Act<'_> {
    /// How much it widens.
    #[must_use]
    pub fn risk(&self) -> Risk {
        match self {
            Self::Approve(_) | Self::Reveal(_) => Risk::Low,
            Self::Grant(pattern, lasts, _) => Risk::of_grant(pattern, *lasts),
            Self::Allow(_) => Risk::ALLOW,
            Self::RemoveRule(_, pattern) => Risk::of_pattern(pattern),
            Self::Resume => Risk::RESUME,
            Self::ConfirmConfig(_) => Risk::CONFIG,
            Self::Other(width) => *width,
        }
    }
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

    /// Whether it confirms this act.
    #[must_use]
    pub fn covers(&self, what: &Act<'_>) -> bool {
        match (&self.factor, what) {
            (Factor::Passphrase(width), what) => match (width, what.risk()) {
                (Risk::High, Risk::Low | Risk::High) | (Risk::Low, Risk::Low) => true,
                (Risk::Low, Risk::High) => false,
            },
            (Factor::Button(tapped), Act::Approve(task)) => tapped.approves_task(*task),
            (Factor::Button(tapped), Act::Grant(pattern, lasts, _)) => tapped.covers_grant(pattern, *lasts),
            (Factor::Button(tapped), Act::Allow(pattern)) => tapped.covers_allow_rule(pattern),
            (
                Factor::Button(_),
                Act::RemoveRule(..) | Act::Resume | Act::Reveal(_) | Act::ConfirmConfig(_) | Act::Other(_),
            ) => false,
            (Factor::ConfirmButton(affirmed), what) => widening_covers(&affirmed.widening().what, what),
            (Factor::NumberMatch(consented), what) => request_covers(consented.requested_act(), what),
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

/// Whether a button that confirms this confirms that act.
fn widening_covers(wider: &WideningAct, what: &Act<'_>) -> bool {
    match (wider, what) {
        (WideningAct::Grant(pattern, millis, limits), Act::Grant(wanted, lasts, within)) => {
            pattern == *wanted && *lasts <= Duration::from_millis(*millis) && limits == *within
        }
        (WideningAct::Allow(pattern), Act::Allow(wanted)) => pattern == *wanted,
        (WideningAct::Unrule(id, pattern, _), Act::RemoveRule(wanted, of)) => (id, pattern) == (wanted, *of),
        (WideningAct::Resume, Act::Resume) => true,
        (
            WideningAct::Grant(..) | WideningAct::Allow(_) | WideningAct::Unrule(..) | WideningAct::Resume,
            _,
        ) => false,
    }
}

/// Whether what a person consented to is that act.
fn request_covers(wish: &RequestedAct, what: &Act<'_>) -> bool {
    match (wish, what) {
        (RequestedAct::Approve(task), Act::Approve(wanted))
        | (RequestedAct::Reveal(task), Act::Reveal(wanted)) => task == wanted,
        (RequestedAct::Grant(pattern, millis, limits), Act::Grant(wanted, lasts, within)) => {
            pattern == *wanted && *lasts <= Duration::from_millis(*millis) && limits == *within
        }
        (RequestedAct::Allow(pattern), Act::Allow(wanted)) => pattern == *wanted,
        (RequestedAct::RemoveRule(id, pattern, _), Act::RemoveRule(wanted, of)) => {
            (id, pattern) == (wanted, *of)
        }
        (RequestedAct::Resume, Act::Resume) => true,
        (RequestedAct::ConfirmConfig(shown), Act::ConfirmConfig(wanted)) => shown == wanted,
        (
            RequestedAct::Approve(_)
            | RequestedAct::Grant(..)
            | RequestedAct::Allow(_)
            | RequestedAct::RemoveRule(..)
            | RequestedAct::Resume
            | RequestedAct::Reveal(_)
            | RequestedAct::ConfirmConfig(_),
            _,
        ) => false,
    }
}
