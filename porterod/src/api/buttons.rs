//! The acts of a paired person on Telegram: the same requests as a terminal's, confirmed by a button.
//!
//! A button with two effects decides about its call first, so a late press allows nothing.

use std::sync::Arc;
use std::time::Duration;

use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::{Actor, ServerName, ToolId};
use portero::policy::{Action, Grant, Overrides, PolicyRule};
use tokio_util::sync::CancellationToken;

use super::attempt::{self, Attempt};
use super::confirmation::Confirmation;
use super::{PersonCaller, PersonRequest, approvals, definitions, failure, overrides, preview, route};
use crate::auth::Authorization;
use crate::auth::buttons::{ButtonPress, CardDecision, Restriction, ShownWidening, TaskDecision};
use crate::auth::pairing::ChatUser;
use crate::auth::remote_confirmation::ActPreview;
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
    /// How many definitions of this server are accepted now.
    Accepted(ServerName, u64),
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
    let caller = PersonCaller { by: &by, withdrawn: CancellationToken::new(), prompt: None };
    route::answer_person(daemon, &caller, request).await
}

/// Returns what a widening would change: the tools that it covers, or the definitions that it accepts.
///
/// # Errors
/// The refusal, if the act could not be done at all; it is recorded.
pub async fn preview_widening(
    daemon: &Arc<Daemon>,
    person: ChatUser,
    act: &Act,
) -> Result<ActPreview, DaemonFailure> {
    let looked = check_widening(daemon, act);
    let by = Actor::TelegramUser(person.user);
    attempt::written_down(daemon, Some(act.into()), &by, looked).await?;
    preview::of_act(daemon, act).await
}

/// As [`preview_widening`], for a card, which is drawn without a person's request. A refusal isn't recorded.
///
/// # Errors
/// The refusal, if the act could not be done at all.
pub async fn preview_on_card(daemon: &Daemon, act: &Act) -> Result<Vec<(ToolId, Action)>, DaemonFailure> {
    check_widening(daemon, act)?;
    preview::tools(daemon, act).await
}

/// Refuses what must fail, before the preview: a person should not confirm it.
fn check_widening(daemon: &Daemon, act: &Act) -> Result<(), DaemonFailure> {
    match act {
        Act::Grant(_, millis, _) => {
            overrides::check_grant_duration(daemon, Duration::from_millis(*millis)).map(drop)
        }
        Act::Allow(_) | Act::RemoveRule(..) | Act::Resume | Act::AcceptDefinitions(..) => Ok(()),
        Act::Approve(_)
        | Act::ApproveFresh(_)
        | Act::ApproveWith(..)
        | Act::Reject(_)
        | Act::Repeat(_)
        | Act::Reveal(_)
        | Act::Revoke(_)
        | Act::Ask(_)
        | Act::Deny(_)
        | Act::Pause
        | Act::ConfirmConfig(_)
        | Act::AcceptDefinition(..)
        | Act::SetPassphrase
        | Act::EnrollTotp
        | Act::RemoveTotp
        | Act::Pair
        | Act::Unpair
        | Act::Login(_)
        | Act::Logout(_)
        | Act::SetSecret(_)
        | Act::ClearSecrets(_)
        | Act::CreateToken(..)
        | Act::RevokeToken(_)
        | Act::StopDaemon => Err(no_such_button()),
    }
}

/// The act that accepts what waits of a server now.
///
/// # Errors
/// When nothing waits, or the server was never seen.
pub fn acceptance_of(daemon: &Daemon, server: &ServerName) -> Result<Act, DaemonFailure> {
    let pins = daemon.overrides.definition_pins();
    let waiting = pins.server(server).filter(|pins| !pins.waiting.is_empty()).ok_or_else(|| {
        let words = format!("no definition of a server `{server}` waits for you");
        DaemonFailure::new(FailureKind::NotFound, words).with_hint("`/pins` lists the servers")
    })?;
    Ok(Act::AcceptDefinitions(server.clone(), waiting.waiting_digest()))
}

/// Makes the change that the person confirmed with a button.
///
/// # Errors
/// Why the change was not made; a refusal is recorded.
pub async fn widen(
    daemon: &Arc<Daemon>,
    affirmed: &ButtonPress<ShownWidening>,
) -> Result<Change, DaemonFailure> {
    let attempt = Attempt::from(&affirmed.action().what);
    let done = apply(daemon, affirmed.authorize()).await;
    attempt::written_down(daemon, Some(attempt), &affirmed.by(), done).await
}

/// Makes the change of rules and grants that a button authorizes.
async fn apply(daemon: &Arc<Daemon>, authorization: Authorization) -> Result<Change, DaemonFailure> {
    let (by, act) = (authorization.actor().clone(), authorization.act().clone());
    let confirmation = Confirmation::Pressed(authorization);
    match act {
        Act::Grant(pattern, millis, limits) => {
            let wanted = GrantRequest { pattern, duration: Duration::from_millis(millis), limits };
            overrides::grant(daemon, &by, wanted, confirmation).await.map(Change::Granted)
        }
        Act::Allow(pattern) => overrides::allow(daemon, &by, pattern, confirmation).await.map(Change::Ruled),
        Act::Deny(pattern) => overrides::deny(daemon, &by, pattern).await.map(Change::Ruled),
        Act::RemoveRule(id, ..) => {
            overrides::remove_rule(daemon, &by, id, Some(confirmation)).await.map(|()| Change::Count(1))
        }
        Act::Resume => {
            overrides::resume(daemon, &by, confirmation).await.map(|was| Change::Count(u64::from(was)))
        }
        Act::AcceptDefinitions(server, shown) => {
            let count = definitions::accept(daemon, &by, (&server, &shown), confirmation).await?;
            Ok(Change::Accepted(server, count))
        }
        Act::AcceptDefinition(server, item, shown) => {
            let act = Act::AcceptDefinition(server.clone(), item.clone(), shown);
            let confirmed = confirmation.authorize(daemon, &by, &act).await?;
            let accepted = daemon.overrides.accept_definition(&server, &item, shown, confirmed).await;
            accepted
                .map(|count| Change::Accepted(server, count))
                .map_err(|error| failure::of_overrides(&error))
        }
        // No button does anything else to rules and grants.
        Act::Approve(_)
        | Act::ApproveFresh(_)
        | Act::ApproveWith(..)
        | Act::Reject(_)
        | Act::Repeat(_)
        | Act::Reveal(_)
        | Act::Revoke(_)
        | Act::Ask(_)
        | Act::Pause
        | Act::ConfirmConfig(_)
        | Act::SetPassphrase
        | Act::EnrollTotp
        | Act::RemoveTotp
        | Act::Pair
        | Act::Unpair
        | Act::Login(_)
        | Act::Logout(_)
        | Act::SetSecret(_)
        | Act::ClearSecrets(_)
        | Act::CreateToken(..)
        | Act::RevokeToken(_)
        | Act::StopDaemon => Err(no_such_button()),
    }
}

fn no_such_button() -> DaemonFailure {
    DaemonFailure::new(FailureKind::Invalid, "a button does not do this")
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
    tapped: ButtonPress<CardDecision>,
    reason: Option<String>,
    begun: bool,
) -> Result<(), Undone> {
    let by = tapped.by();
    // A press that came before a crash has decided its call already.
    if !begun {
        let decided = decide(daemon, &tapped, reason).await;
        let (act, _) = tapped.action().acts();
        let attempt = Attempt { word: audit_word(tapped.action()), about: act.about() };
        attempt::written_down(daemon, Some(attempt), &by, decided).await.map_err(Undone::All)?;
    }
    #[cfg(test)]
    crate::crash::crash_at("tap half done");
    let followed = follow(daemon, &tapped).await;
    let CardDecision { tool, .. } = tapped.action();
    let attempt = Attempt { word: audit_word(tapped.action()), about: tool.to_string() };
    attempt::written_down(daemon, Some(attempt), &by, followed).await.map_err(Undone::Rest)
}

/// Decides about the call.
async fn decide(
    daemon: &Arc<Daemon>,
    tapped: &ButtonPress<CardDecision>,
    reason: Option<String>,
) -> Result<(), DaemonFailure> {
    let CardDecision { decision, task, tool } = tapped.action();
    match decision {
        TaskDecision::ApproveFor(_)
        | TaskDecision::ApproveWith(_)
        | TaskDecision::Allow
        | TaskDecision::ApproveAndAccept(_)
            if !daemon.approval_queue.quorums(tool).is_empty() =>
        {
            let words = "this tool takes several people, each time: nothing permits it for longer";
            Err(DaemonFailure::new(FailureKind::Refused, words))
        }
        TaskDecision::Approve
        | TaskDecision::ApproveFor(_)
        | TaskDecision::ApproveWith(_)
        | TaskDecision::Allow
        | TaskDecision::ApproveAndAccept(_) => {
            let confirmation = Confirmation::Pressed(tapped.authorize_call());
            approvals::approve(daemon, &tapped.by(), (*task, false), confirmation).await.map(drop)
        }
        TaskDecision::ApproveFresh => {
            let confirmation = Confirmation::Pressed(tapped.authorize_call());
            approvals::approve(daemon, &tapped.by(), (*task, true), confirmation).await.map(drop)
        }
        TaskDecision::Deny | TaskDecision::DenyWithReason | TaskDecision::Forbid => {
            let reason = reason.map(|reason| daemon.anonymizer.load().conceal_text(&reason));
            let rejected = daemon.approval_queue.reject_by_button(tapped, reason).await;
            approvals::enforce_denials(daemon).await;
            rejected.map(drop).map_err(|error| failure::of_approval(&error))
        }
    }
}

/// Makes the rule or grant. Its pattern is the tool's literal name.
async fn follow(daemon: &Arc<Daemon>, tapped: &ButtonPress<CardDecision>) -> Result<(), DaemonFailure> {
    let CardDecision { decision, tool, .. } = tapped.action();
    // This press may have made the rule before a crash.
    if *decision == TaskDecision::Forbid && is_forbidden(daemon, tool) {
        return Ok(());
    }
    match tapped.authorize_follow_up() {
        Some(authorization) => apply(daemon, authorization).await.map(drop),
        None => Ok(()),
    }
}

fn is_forbidden(daemon: &Daemon, tool: &ToolId) -> bool {
    daemon.overrides.overrides().restricting_rule(tool, Action::Deny, daemon.clock.now()).is_some()
}

/// The acts of a button as the audit names them, such as `approve and grant`.
fn audit_word(card: &CardDecision) -> String {
    let (decided, follows) = card.acts();
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
    tapped: &ButtonPress<Restriction>,
) -> Result<RestrictionOutcome, OverridesError> {
    let done = daemon.overrides.restrict_by_button(tapped).await;
    if let Err(error) = &done {
        let attempt = Attempt::from(&tapped.action().act());
        let refused = Err::<(), _>(failure::of_overrides(error));
        let _ = attempt::written_down(daemon, Some(attempt), &tapped.by(), refused).await;
    }
    done
}
