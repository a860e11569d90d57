//! The acts of a paired person on Telegram: the same requests as a terminal's, confirmed by a button.
//!
//! A button with two effects decides about its call first, so a late press allows nothing.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::{Actor, ToolId};
use portero::pattern::Pattern;
use portero::policy::{Action, Grant, GrantLimits, Overrides, PolicyRule};
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Attempt};
use super::challenge::Confirming;
use super::{PersonCaller, PersonRequest, approvals, failure, overrides, preview, route};
use crate::auth::buttons::{ButtonPress, ConfirmPress, Restriction, RestrictionPress, TaskDecision};
use crate::auth::pairing::ChatUser;
use crate::daemon::Daemon;
use crate::overrides::{GrantRequest, OverridesError, RestrictionOutcome};

/// The change that an act on Telegram made.
#[derive(Debug)]
pub enum Change {
    /// A new grant.
    Granted(Grant),
    /// A new rule.
    Ruled(PolicyRule),
    /// Calls are paused.
    Paused(Overrides),
    /// The number of changed entries.
    Count(u64),
}

/// Makes a request for a paired person; it can't widen, because it has no proof.
///
/// # Errors
/// The daemon's refusal, which is recorded.
pub async fn request_as<R: PersonRequest>(
    daemon: &Arc<Daemon>,
    person: ChatUser,
    request: R,
) -> Result<R::Response, DaemonFailure> {
    let by = Actor::TelegramUser(person.user);
    let caller = PersonCaller { by: &by, withdrawn: CancellationToken::new(), beside: None };
    route::answer_person(daemon, &caller, request).await
}

/// Returns the tools that a widening covers and changes, each with its present action. Denied ones come
/// first.
///
/// # Errors
/// The refusal, if the act could not be done at all; it is recorded.
pub async fn preview_widening(
    daemon: &Arc<Daemon>,
    person: ChatUser,
    act: &Act,
) -> Result<Vec<(ToolId, Action)>, DaemonFailure> {
    // Refused before the preview: a person should not confirm an act that must fail.
    let looked = match act {
        Act::Grant(_, millis, _) => {
            overrides::check_grant_duration(daemon, Duration::from_millis(*millis)).map(drop)
        }
        _ => Ok(()),
    };
    let by = Actor::TelegramUser(person.user);
    attempt::written_down(daemon, Some(act.into()), &by, looked).await?;
    preview::tools(daemon, act).await
}

/// Makes the change that the person confirmed with a button.
///
/// # Errors
/// Why the change was not made; a refusal is recorded.
pub async fn widen(daemon: &Arc<Daemon>, affirmed: ConfirmPress) -> Result<Change, DaemonFailure> {
    let (by, act) = (affirmed.by(), affirmed.widening().what.clone());
    let attempt = Attempt::from(&act);
    let confirming = Confirming::Affirmed(affirmed);
    let done = match act {
        Act::Grant(pattern, millis, limits) => {
            let wanted = GrantRequest { pattern, duration: Duration::from_millis(millis), limits };
            overrides::grant(daemon, &by, wanted, confirming).await.map(Change::Granted)
        }
        Act::Allow(pattern) => overrides::allow(daemon, &by, pattern, confirming).await.map(Change::Ruled),
        Act::RemoveRule(id, ..) => {
            overrides::remove_rule(daemon, &by, id, Some(confirming)).await.map(|()| Change::Count(1))
        }
        Act::Resume => {
            overrides::resume(daemon, &by, confirming).await.map(|was| Change::Count(u64::from(was)))
        }
        // A chat asks for the four acts above only.
        _ => Err(DaemonFailure::new(FailureKind::Invalid, "this is not confirmed below a preview")),
    };
    attempt::written_down(daemon, Some(attempt), &by, done).await
}

/// Why a press was not carried out in full.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undone {
    /// The whole press failed.
    All(DaemonFailure),
    /// The call was decided, but its rule or grant was not made.
    Rest(DaemonFailure),
}

/// Carries out a press. A repeated press does only the part that is still missing.
///
/// # Errors
/// Why a part was not done. Refusals are recorded, like those of a terminal.
pub async fn tapped(
    daemon: &Arc<Daemon>,
    tapped: ButtonPress,
    reason: Option<String>,
    begun: bool,
) -> Result<(), Undone> {
    let by = tapped.by();
    // A press that came before a crash has decided its call already.
    if !begun {
        let decided = decide(daemon, &tapped, reason).await;
        let attempt = Attempt { word: audit_word(&tapped), about: format!("task {}", tapped.task()) };
        attempt::written_down(daemon, Some(attempt), &by, decided).await.map_err(Undone::All)?;
    }
    #[cfg(test)]
    crate::crash::crash_at("tap half done");
    let followed = follow(daemon, &by, &tapped).await;
    let attempt = Attempt { word: audit_word(&tapped), about: tapped.tool().to_string() };
    attempt::written_down(daemon, Some(attempt), &by, followed).await.map_err(Undone::Rest)
}

/// Decides about the call.
async fn decide(
    daemon: &Arc<Daemon>,
    tapped: &ButtonPress,
    reason: Option<String>,
) -> Result<(), DaemonFailure> {
    match tapped.decision() {
        TaskDecision::ApproveFor(_) | TaskDecision::Allow
            if !daemon.approval_queue.quorums(tapped.tool()).is_empty() =>
        {
            let words = "this tool takes several people, each time: nothing permits it for longer";
            Err(DaemonFailure::new(FailureKind::Refused, words))
        }
        TaskDecision::Approve | TaskDecision::ApproveFor(_) | TaskDecision::Allow => {
            let confirming = Confirming::Tapped(tapped.clone());
            approvals::approve(daemon, &tapped.by(), tapped.task(), confirming).await.map(drop)
        }
        TaskDecision::Deny | TaskDecision::DenyWithReason | TaskDecision::Forbid => {
            let reason = reason.map(|reason| daemon.anonymizer.load().conceal_text(&reason));
            let rejected = daemon.approval_queue.reject_by_button(tapped, reason).await;
            rejected.map(drop).map_err(|error| failure::of_desk(&error))
        }
    }
}

/// Makes the rule or grant. Its pattern is the tool's literal name.
async fn follow(daemon: &Arc<Daemon>, by: &Actor, tapped: &ButtonPress) -> Result<(), DaemonFailure> {
    let pattern = Pattern::from(tapped.tool());
    let confirming = Confirming::Tapped(tapped.clone());
    match tapped.decision() {
        TaskDecision::Approve | TaskDecision::Deny | TaskDecision::DenyWithReason => Ok(()),
        TaskDecision::ApproveFor(minutes) => {
            let lasts = Duration::from_secs(60 * u64::from(minutes));
            let wanted = GrantRequest { pattern, duration: lasts, limits: GrantLimits::default() };
            overrides::grant(daemon, by, wanted, confirming).await.map(drop)
        }
        TaskDecision::Allow => overrides::allow(daemon, by, pattern, confirming).await.map(drop),
        // This press may have made the rule before a crash.
        TaskDecision::Forbid if is_forbidden(daemon, tapped.tool()) => Ok(()),
        TaskDecision::Forbid => overrides::deny(daemon, by, pattern).await.map(drop),
    }
}

fn is_forbidden(daemon: &Daemon, tool: &ToolId) -> bool {
    daemon.overrides.overrides().restricting_rule(tool, Action::Deny, daemon.clock.now()).is_some()
}

/// The acts of a button as the audit names them, such as `approve and grant`.
fn audit_word(tapped: &ButtonPress) -> String {
    let (decided, follows) = tapped.acts();
    match follows {
        None => decided.word().to_owned(),
        Some(follows) => format!("{} and {}", decided.word(), follows.word()),
    }
}

/// Makes the restricting rule. It applies in every session when this returns.
///
/// # Errors
/// See [`crate::overrides::OverrideStore::restrict_by_button`]; a refusal is recorded.
pub async fn restricted(
    daemon: &Daemon,
    tapped: &RestrictionPress,
) -> Result<RestrictionOutcome, OverridesError> {
    let done = daemon.overrides.restrict_by_button(tapped).await;
    if let Err(error) = &done {
        let Restriction { tool, to } = tapped.restriction();
        let attempt = Attempt::from(&Act::make_rule(Pattern::from(tool), to.action()));
        let refused = Err::<(), _>(failure::of_rules(error));
        let _ = attempt::written_down(daemon, Some(attempt), &tapped.by(), refused).await;
    }
    done
}
