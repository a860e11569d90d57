//! Buttons that narrow what one tool may do. Lateness does no harm, so they count as long as they are known.

use portero::names::ToolId;
use portero::policy::Action;
use serde::{Deserialize, Serialize};

use crate::store::buttons::{Spot, Ticket};

/// What a tool may do less, from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Restriction {
    /// The tool, by its literal name.
    pub tool: ToolId,
    /// How much less.
    pub to: Stricter,
}

/// How much less a tool may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stricter {
    /// It asks.
    Ask,
    /// It is denied.
    Deny,
}

impl Stricter {
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
pub struct Restricting {
    pub(super) ticket: Ticket,
    pub(super) user: i64,
    pub(super) restriction: Restriction,
    pub(super) spot: Spot,
}

impl Restricting {
    /// What it does.
    #[must_use]
    pub const fn restriction(&self) -> &Restriction {
        &self.restriction
    }

    /// Under which message the button stands.
    #[must_use]
    pub const fn spot(&self) -> &Spot {
        &self.spot
    }

    /// Who tapped, in the words of the audit.
    #[must_use]
    pub fn by(&self) -> String {
        format!("telegram user {}", self.user)
    }

    pub(crate) const fn ticket(&self) -> &Ticket {
        &self.ticket
    }
}
