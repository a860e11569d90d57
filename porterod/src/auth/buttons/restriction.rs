//! Buttons that restrict one tool. A late press does no harm, so they count as long as they are kept.

use portero::names::{Actor, ToolId};
use portero::policy::Action;
use serde::{Deserialize, Serialize};

use crate::store::buttons::{ButtonTicket, MessageRef};

/// A restriction of one tool, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Restriction {
    /// The tool, by its literal name.
    pub tool: ToolId,
    /// The new level.
    pub to: RestrictionLevel,
}

/// The level that a restriction sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestrictionLevel {
    /// Each call of the tool asks.
    Ask,
    /// Each call of the tool is denied.
    Deny,
}

impl RestrictionLevel {
    /// The action of the rule that the restriction makes.
    #[must_use]
    pub const fn action(self) -> Action {
        match self {
            Self::Ask => Action::RequireApproval,
            Self::Deny => Action::Deny,
        }
    }
}

/// A press on a button that restricts one tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestrictionPress {
    pub(super) ticket: ButtonTicket,
    pub(super) user: i64,
    pub(super) restriction: Restriction,
    pub(super) message_ref: MessageRef,
}

impl RestrictionPress {
    /// The restriction of the button.
    #[must_use]
    pub const fn restriction(&self) -> &Restriction {
        &self.restriction
    }

    /// The message with the button.
    #[must_use]
    pub const fn message_ref(&self) -> &MessageRef {
        &self.message_ref
    }

    /// The person who pressed, as the audit names them.
    #[must_use]
    pub const fn by(&self) -> Actor {
        Actor::TelegramUser(self.user)
    }

    pub(crate) const fn ticket(&self) -> &ButtonTicket {
        &self.ticket
    }
}
