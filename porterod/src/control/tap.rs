//! A button on the phone: the same requests as the terminal's, confirmed by a tap.
//!
//! A button that does two things decides about its call first: a tap that comes too late permits nothing.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::{Failure, FailureKind};
use portero::names::ToolId;
use portero::pattern::Pattern;
use portero::policy::{Action, Limits};

use super::attempt::{self, Attempt};
use super::challenge::Confirming;
use super::{approve, failure, grant, rule};
use crate::daemon::Daemon;
use crate::rules::Wanted;
use crate::taps::{Deed, Tapped};

/// Why not all of it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// Nothing was.
    All(Failure),
    /// The call was decided, but the rule or grant was not made.
    Rest(Failure),
}

/// Does what was tapped; what it did before, when this press came already, it does not do again.
///
/// # Errors
/// Why not all of it was done. Refusals are written down, as those of a terminal.
pub async fn tapped(
    daemon: &Arc<Daemon>,
    tapped: Tapped,
    reason: Option<String>,
    begun: bool,
) -> Result<(), Undone> {
    let by = tapped.by();
    if !begun {
        let decided = decide(daemon, &tapped, reason).await;
        let attempt = Attempt::new(word(tapped.deed()), format!("task {}", tapped.task()));
        attempt::written_down(daemon, Some(attempt), &by, decided).await.map_err(Undone::All)?;
    }
    #[cfg(test)]
    crate::crash::reached("tap half done");
    let followed = follow(daemon, &by, &tapped).await;
    let attempt = Attempt::new(word(tapped.deed()), tapped.tool().to_string());
    attempt::written_down(daemon, Some(attempt), &by, followed).await.map_err(Undone::Rest)
}

/// The call.
async fn decide(daemon: &Arc<Daemon>, tapped: &Tapped, reason: Option<String>) -> Result<(), Failure> {
    match tapped.deed() {
        Deed::ApproveFor(_) | Deed::Allow if !daemon.desk.quorums(tapped.tool()).is_empty() => {
            let words = "this tool takes several people, each time: nothing permits it for longer";
            Err(Failure::new(FailureKind::Refused, words))
        }
        Deed::Approve | Deed::ApproveFor(_) | Deed::Allow => {
            let confirming = Confirming::Tapped(tapped.clone());
            approve::answer(daemon, &tapped.by(), tapped.task(), confirming).await.map(drop)
        }
        Deed::Deny | Deed::DenyWithReason | Deed::Forbid => {
            let reason = reason.map(|reason| daemon.anonymizer.load().conceal_text(&reason));
            let rejected = daemon.desk.reject_tapped(tapped, reason).await;
            rejected.map(drop).map_err(|error| failure::of_desk(&error))
        }
    }
}

/// The rule or grant. Its pattern is the tool's literal name.
async fn follow(daemon: &Arc<Daemon>, by: &str, tapped: &Tapped) -> Result<(), Failure> {
    let pattern = Pattern::from(tapped.tool());
    let confirming = Confirming::Tapped(tapped.clone());
    match tapped.deed() {
        Deed::Approve | Deed::Deny | Deed::DenyWithReason => Ok(()),
        Deed::ApproveFor(minutes) => {
            let lasts = Duration::from_secs(60 * u64::from(minutes));
            let wanted = Wanted { pattern, lasts, limits: Limits::default() };
            grant::answer(daemon, by, wanted, confirming).await.map(drop)
        }
        Deed::Allow => rule::answer(daemon, by, pattern, Action::Allow, Some(confirming)).await.map(drop),
        // This press may have made it before a crash.
        Deed::Forbid if is_forbidden(daemon, tapped.tool()) => Ok(()),
        Deed::Forbid => rule::answer(daemon, by, pattern, Action::Deny, None).await.map(drop),
    }
}

fn is_forbidden(daemon: &Daemon, tool: &ToolId) -> bool {
    daemon.rules.standing().restricts(tool, Action::Deny, daemon.clock.now()).is_some()
}

/// The act in the words of the audit.
const fn word(deed: Deed) -> &'static str {
    match deed {
        Deed::Approve => "approve",
        Deed::ApproveFor(_) => "approve and grant",
        Deed::Allow => "approve and allow",
        Deed::Deny | Deed::DenyWithReason => "reject",
        Deed::Forbid => "reject and deny",
    }
}
