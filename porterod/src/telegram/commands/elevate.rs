//! Widening commands: their effect is shown first, then confirmed by a button bound to exactly that.

use std::path::Path;
use std::time::Duration;

use portero::config::duration::format_duration;
use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::json::serialize_raw;
use portero::names::{Principal, ToolId};
use portero::policy::{Action, GrantLimits};

use super::super::client::MessageId;
use super::super::command_parser::TypedLimits;
use super::paged_reply::PagedReply;
use super::{CommandHandler, ReplyContext};
use crate::api;
use crate::auth::buttons::{ButtonPress, MessageRef, ShownWidening};
use crate::daemon::Daemon;
use crate::presentation::views;
use crate::store::StoreError;

impl CommandHandler {
    /// Asks for the confirmation of an act.
    pub(super) async fn ask_confirmation(&self, wider: &Act, here: &ReplyContext) -> Result<(), StoreError> {
        let words = command_text(wider);
        match api::preview_widening(&self.daemon, here.person, wider).await {
            Ok(tools) => {
                let text = views::elevation_question(wider, &tools, false, &self.view_context());
                self.send_paged(
                    here,
                    &PagedReply::new(&text, &words).with_confirmation(widening_of(wider, &tools)),
                )
                .await
            }
            Err(failure) => self.reply(here, &views::failure_text(&failure)).await,
        }
    }

    /// Asks again in the same message, with this page open.
    pub(super) async fn reask_confirmation(
        &self,
        wider: &Act,
        page: usize,
        at: (MessageRef, MessageId),
        here: &ReplyContext,
    ) -> Result<(), StoreError> {
        let words = command_text(wider);
        match api::preview_widening(&self.daemon, here.person, wider).await {
            Ok(tools) => {
                let text = views::elevation_question(wider, &tools, false, &self.view_context());
                let sheet = PagedReply::new(&text, &words)
                    .at_page(page)
                    .with_confirmation(widening_of(wider, &tools));
                self.edit_paged(here, at, &sheet).await
            }
            Err(failure) => {
                self.edit_paged(here, at, &PagedReply::new(&views::failure_text(&failure), "")).await
            }
        }
    }

    /// Handles a confirmation. If the effect has changed since it was shown, the new effect is shown and the
    /// person is asked again.
    pub(super) async fn handle_confirmation(
        &self,
        affirmed: ButtonPress<ShownWidening>,
        message: MessageId,
        here: &ReplyContext,
    ) -> Result<(), StoreError> {
        let ShownWidening { what, seen } = affirmed.action().clone();
        let at = (affirmed.message_ref().clone(), message);
        let text = match api::preview_widening(&self.daemon, here.person, &what).await {
            // The person confirmed the effect that they saw, so a changed one needs another confirmation.
            Ok(tools) if reach_digest(&tools) != seen => {
                let text = views::elevation_question(&what, &tools, true, &self.view_context());
                let words = command_text(&what);
                return self
                    .edit_paged(
                        here,
                        at,
                        &PagedReply::new(&text, &words).with_confirmation(widening_of(&what, &tools)),
                    )
                    .await;
            }
            Ok(_) => self.outcome_text(&api::widen(&self.daemon, &affirmed).await, here.person),
            Err(failure) => views::failure_text(&failure),
        };
        self.edit_paged(here, at, &PagedReply::new(&text, "")).await
    }
}

fn widening_of(what: &Act, tools: &[(ToolId, Action)]) -> ShownWidening {
    ShownWidening { what: what.clone(), seen: reach_digest(tools) }
}

fn reach_digest(tools: &[(ToolId, Action)]) -> String {
    blake3::hash(serialize_raw(&tools).get().as_bytes()).to_hex().to_string()
}

/// The command for an act.
fn command_text(what: &Act) -> String {
    match what {
        Act::Grant(pattern, millis, limits) => {
            let lasts = format_duration(Duration::from_millis(*millis));
            format!("/grant {pattern} {lasts}{}", limits_as_typed(limits))
        }
        Act::RemoveRule(id, ..) => format!("/unrule {id}"),
        as_typed => format!("/{as_typed}"),
    }
}

/// Resolves the typed session and project.
pub(super) fn resolve_limits(daemon: &Daemon, bounds: &TypedLimits) -> Result<GrantLimits, DaemonFailure> {
    let within = match &bounds.session {
        Some(typed) => {
            let (sessions, agents) = (daemon.sessions.list_sessions(), daemon.sessions.agent_sessions());
            GrantLimits::for_session(&sessions, &agents, typed).map_err(|error| {
                DaemonFailure::new(FailureKind::NotFound, error.to_string())
                    .with_hint("`/status` lists the sessions")
            })?
        }
        None => GrantLimits::default(),
    };
    let project = bounds.project.as_deref().map(resolve_project).transpose()?;
    Ok(GrantLimits { project, uses: bounds.uses, ..within })
}

/// The principal of a directory, as its sessions have it.
fn resolve_project(typed: &str) -> Result<Principal, DaemonFailure> {
    let directory = Path::new(typed);
    // A relative path would depend on the daemon's own directory.
    let found = if directory.is_absolute() { directory.canonicalize().ok() } else { None };
    match found.filter(|found| found.is_dir()) {
        Some(found) => Ok(Principal::from_project(&found)),
        None => {
            Err(DaemonFailure::new(FailureKind::NotFound, format!("there is no project directory `{typed}`"))
                .with_hint("type its whole path; `/status` shows those of the sessions"))
        }
    }
}

/// The limits as a person types them; empty without limits.
fn limits_as_typed(limits: &GrantLimits) -> String {
    let GrantLimits { session, agent_session, project, uses } = limits;
    let session = session.map(|id| id.to_string());
    let agent = agent_session.as_ref().map(|id| id.as_str().to_owned());
    let words = [
        uses.map(|uses| format!(" uses {uses}")),
        // A session of an agent is named by either id, so one of them suffices.
        session.or(agent).map(|id| format!(" session {id}")),
        project.as_ref().map(|project| format!(" project {}", project.as_str())),
    ];
    words.into_iter().flatten().collect()
}
