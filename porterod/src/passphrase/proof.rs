//! The proof that a person confirmed an act, and what it covers.

use std::time::Duration;

use portero::clock::Moment;
use portero::ipc::Width;
use portero::names::TaskId;
use portero::pattern::Pattern;
use portero::policy::Limits;

use crate::consent::{Consented, Wish};
use crate::taps::{Affirmed, Tapped, Ticket, Wider};

/// Proof that a person confirmed one act, of this width at most, with a second factor. Only what checks one
/// makes it.
#[derive(Debug)]
pub struct Confirmed {
    by: String,
    with: Factor,
}

/// With what a person confirmed.
#[derive(Debug)]
enum Factor {
    /// With the passphrase, and a code where it is wide.
    Typed(Width),
    /// With a button on their phone, which stands for one act about one task.
    Tapped(Tapped),
    /// With a button on their phone, which stands for what they asked for in words.
    Affirmed(Affirmed),
    /// With the number, tapped on their phone, that their terminal showed.
    Consented(Consented),
}

/// An act that needs to be confirmed.
#[derive(Debug, Clone, Copy)]
pub enum What<'a> {
    /// That a call runs.
    Call(TaskId),
    /// A grant, for so long, with these limits.
    Grant(&'a Pattern, Duration, &'a Limits),
    /// A persistent rule that allows.
    Allow(&'a Pattern),
    /// That a rule that is no allow ends.
    Unrule(u64, &'a Pattern),
    /// That a pause ends.
    Resume,
    /// That a task's real values are shown at the terminal.
    Reveal(TaskId),
    /// That the files are put in force as they stand, by what tells them from others.
    Configuration(&'a str),
    /// Something of this width that nobody confirms on a phone, such as what changes a second factor itself.
    Other(Width),
}

impl What<'_> {
    /// How much it widens.
    #[must_use]
    pub fn width(&self) -> Width {
        match self {
            Self::Call(_) | Self::Reveal(_) => Width::One,
            Self::Grant(pattern, lasts, _) => Width::of_grant(pattern, *lasts),
            Self::Allow(_) => Width::ALLOW,
            Self::Unrule(_, pattern) => Width::of_pattern(pattern),
            Self::Resume => Width::RESUME,
            Self::Configuration(_) => Width::CONFIG,
            Self::Other(width) => *width,
        }
    }
}

impl Confirmed {
    /// Where the confirmation came from, for the audit: the process that asked, such as `terminal pid 4711`, or
    /// the person who tapped, such as `telegram user 4711`.
    #[must_use]
    pub fn by(&self) -> &str {
        &self.by
    }

    /// By a tap: of what its button stands for, and of nothing else.
    #[must_use]
    pub fn of_tap(tapped: Tapped) -> Self {
        Self { by: tapped.by(), with: Factor::Tapped(tapped) }
    }

    /// By a tap below what would change: of that, and of nothing else.
    #[must_use]
    pub fn of_affirmed(affirmed: Affirmed) -> Self {
        Self { by: affirmed.by(), with: Factor::Affirmed(affirmed) }
    }

    /// By a tap on the number that the terminal showed: of what was shown with it, and of nothing else.
    #[must_use]
    pub fn of_consented(consented: Consented) -> Self {
        Self { by: consented.by(), with: Factor::Consented(consented) }
    }

    /// Whether it confirms this act.
    #[must_use]
    pub fn covers(&self, what: &What<'_>) -> bool {
        match (&self.with, what) {
            (Factor::Typed(width), what) => match (width, what.width()) {
                (Width::Wide, Width::One | Width::Wide) | (Width::One, Width::One) => true,
                (Width::One, Width::Wide) => false,
            },
            (Factor::Tapped(tapped), What::Call(task)) => tapped.approves(*task),
            (Factor::Tapped(tapped), What::Grant(pattern, lasts, _)) => tapped.grants(pattern, *lasts),
            (Factor::Tapped(tapped), What::Allow(pattern)) => tapped.allows(pattern),
            (
                Factor::Tapped(_),
                What::Unrule(..) | What::Resume | What::Reveal(_) | What::Configuration(_) | What::Other(_),
            ) => false,
            (Factor::Affirmed(affirmed), what) => affirms(&affirmed.widening().what, what),
            (Factor::Consented(consented), what) => consents(consented.wish(), what),
        }
    }

    /// The button to use up with the call, where it was a tap.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        match &self.with {
            Factor::Typed(_) | Factor::Affirmed(_) => None,
            Factor::Tapped(tapped) => Some(tapped.ticket().clone()),
            Factor::Consented(consented) => Some(consented.ticket().clone()),
        }
    }

    /// Who gave it, by their user's number on Telegram, where it is one of several people's to the same call: with a
    /// button under its card, and nothing else.
    pub(crate) fn voter(&self) -> Option<u64> {
        match &self.with {
            Factor::Typed(_) | Factor::Affirmed(_) | Factor::Consented(_) => None,
            Factor::Tapped(tapped) => u64::try_from(tapped.user()).ok().filter(|user| *user > 0),
        }
    }

    /// The button to use up with the change, where it was a tap, and which step of what it does that is.
    pub(crate) fn spends(&self) -> Option<(Ticket, u8)> {
        match &self.with {
            Factor::Typed(_) => None,
            Factor::Tapped(tapped) => Some((tapped.ticket().clone(), 2)),
            Factor::Affirmed(affirmed) => Some((affirmed.ticket().clone(), 1)),
            Factor::Consented(consented) => Some((consented.ticket().clone(), 1)),
        }
    }

    /// When a tap was first taken up, which may be before a crash; none where it was no tap.
    pub(crate) const fn since(&self) -> Option<Moment> {
        match &self.with {
            Factor::Typed(_) => None,
            Factor::Tapped(tapped) => Some(tapped.ticket().at),
            Factor::Affirmed(affirmed) => Some(affirmed.ticket().at),
            Factor::Consented(consented) => Some(consented.ticket().at),
        }
    }

    pub(super) const fn typed(by: String, width: Width) -> Self {
        Self { by, with: Factor::Typed(width) }
    }

    #[cfg(test)]
    pub(crate) fn by_test() -> Self {
        Self::of_width(Width::Wide)
    }

    #[cfg(test)]
    pub(crate) fn of_width(width: Width) -> Self {
        Self::typed("test".to_owned(), width)
    }
}

/// Whether a button that confirms this confirms that act.
fn affirms(wider: &Wider, what: &What<'_>) -> bool {
    match (wider, what) {
        (Wider::Grant(pattern, millis, limits), What::Grant(wanted, lasts, within)) => {
            pattern == *wanted && *lasts <= Duration::from_millis(*millis) && limits == *within
        }
        (Wider::Allow(pattern), What::Allow(wanted)) => pattern == *wanted,
        (Wider::Unrule(id, pattern, _), What::Unrule(wanted, of)) => (id, pattern) == (wanted, *of),
        (Wider::Resume, What::Resume) => true,
        (Wider::Grant(..) | Wider::Allow(_) | Wider::Unrule(..) | Wider::Resume, _) => false,
    }
}

/// Whether what a person consented to is that act.
fn consents(wish: &Wish, what: &What<'_>) -> bool {
    match (wish, what) {
        (Wish::Run(task), What::Call(wanted)) | (Wish::Reveal(task), What::Reveal(wanted)) => task == wanted,
        (Wish::Grant(pattern, millis, limits), What::Grant(wanted, lasts, within)) => {
            pattern == *wanted && *lasts <= Duration::from_millis(*millis) && limits == *within
        }
        (Wish::Allow(pattern), What::Allow(wanted)) => pattern == *wanted,
        (Wish::Unrule(id, pattern, _), What::Unrule(wanted, of)) => (id, pattern) == (wanted, *of),
        (Wish::Resume, What::Resume) => true,
        (Wish::Configuration(shown), What::Configuration(wanted)) => shown == wanted,
        (
            Wish::Run(_)
            | Wish::Grant(..)
            | Wish::Allow(_)
            | Wish::Unrule(..)
            | Wish::Resume
            | Wish::Reveal(_)
            | Wish::Configuration(_),
            _,
        ) => false,
    }
}
