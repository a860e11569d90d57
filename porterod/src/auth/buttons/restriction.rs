//! Buttons that narrow what one tool may do. Lateness does no harm, so they count as long as they are known.

use portero::names::{Actor, ToolId};
use portero::policy::Action;
use serde::{Deserialize, Serialize};

use crate::store::buttons::{ButtonTicket, MessageRef};

/// What a tool may do less, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Restriction {
    /// The tool, by its literal name.
    pub tool: ToolId,
    /// How much less.
    pub to: RestrictionLevel,
}

/// How much less a tool may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestrictionLevel {
    /// It asks.
    Ask,
    /// It is denied.
    Deny,
}

impl RestrictionLevel {
    /// What the rule says.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Ask => Action::RequireApproval,
            Self::Deny => Action::Deny,
        }
    }
}

/// A tap of the person on a button that narrows what one tool may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestrictionPress {
    pub(super) ticket: ButtonTicket,
    pub(super) user: i64,
    pub(super) restriction: Restriction,
    pub(super) message_ref: MessageRef,
}

impl RestrictionPress {
    /// What it does.
    #[must_use]
    pub const fn restriction(&self) -> &Restriction {
        &self.restriction
    }

    /// Under which message the button stands.
    #[must_use]
    pub const fn message_ref(&self) -> &MessageRef {
        &self.message_ref
    }

    /// Who tapped, in the words of the audit.
    #[must_use]
    pub const fn by(&self) -> Actor {
        Actor::TelegramUser(self.user)
    }

    pub(crate) const fn ticket(&self) -> &ButtonTicket {
        &self.ticket
    }
}
