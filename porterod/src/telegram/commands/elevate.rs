//! Widening commands: their effect is shown first, then confirmed by a button bound to exactly that.

use std::path::Path;
use std::time::Duration;

use portero::config::duration::format_duration;
use portero::ipc::{Act, DaemonFailure, FailureKind};
use portero::names::Principal;
use portero::policy::GrantLimits;

use super::super::client::MessageId;
use super::super::command_parser::TypedLimits;
use super::super::text::StyledText;
use super::paged_reply::PagedReply;
use super::{CommandHandler, ReplyContext};
use crate::api;
use crate::auth::buttons::{ButtonPress, MessageRef, ShownWidening};
use crate::auth::remote_confirmation::ActPreview;
use crate::daemon::Daemon;
use crate::presentation::views;
use crate::store::StoreError;

impl CommandHandler {
    /// Asks for the confirmation of an act.
    pub(super) async fn ask_confirmation(&self, wider: &Act, here: &ReplyContext) -> Result<(), StoreError> {
        match api::preview_widening(&self.daemon, here.person, wider).await {
            Ok(preview) => {
                let (text, words) = self.question(wider, &preview, false);
                let sheet = PagedReply::new(&text, &words).with_confirmation(widening_of(wider, &preview));
                self.send_paged(here, &sheet).await
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
        match api::preview_widening(&self.daemon, here.person, wider).await {
            Ok(preview) => {
                let (text, words) = self.question(wider, &preview, false);
                let sheet = PagedReply::new(&text, &words)
                    .at_page(page)
                    .with_confirmation(widening_of(wider, &preview));
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
        // Other definitions may wait by now than those that the person saw.
        let present = match &what {
            Act::AcceptDefinitions(server, _) => api::acceptance_of(&self.daemon, server),
            _ => Ok(what.clone()),
        };
        let preview = match &present {
            Ok(present) => api::preview_widening(&self.daemon, here.person, present).await,
            Err(failure) => Err(failure.clone()),
        };
        let text = match (present, preview) {
            // The person confirmed the effect that they saw, so a changed one needs another confirmation.
            (Ok(present), Ok(preview)) if present != what || preview.digest() != seen => {
                let (text, words) = self.question(&present, &preview, true);
                let sheet = PagedReply::new(&text, &words).with_confirmation(widening_of(&present, &preview));
                return self.edit_paged(here, at, &sheet).await;
            }
            (Ok(_), Ok(_)) => self.outcome_text(&api::widen(&self.daemon, &affirmed).await, here.person),
            (_, Err(failure)) | (Err(failure), _) => views::failure_text(&failure),
        };
        self.edit_paged(here, at, &PagedReply::new(&text, "")).await
    }

    /// The question whether an act is to be done, and the command that asks it. `again` means that the effect has
    /// changed since it was last shown.
    fn question(&self, what: &Act, preview: &ActPreview, again: bool) -> (StyledText, String) {
        let text = views::elevation_question(what, preview, again, &self.view_context());
        (text, command_text(what))
    }
}

fn widening_of(what: &Act, preview: &ActPreview) -> ShownWidening {
    ShownWidening { what: what.clone(), seen: preview.digest() }
}

/// The command for an act.
fn command_text(what: &Act) -> String {
    match what {
        Act::Grant(pattern, millis, limits) => {
            let lasts = format_duration(Duration::from_millis(*millis));
            format!("/grant {pattern} {lasts}{}", limits_as_typed(limits))
        }
        Act::RemoveRule(id, ..) => format!("/unrule {id}"),
        Act::AcceptDefinitions(server, _) => format!("/pins {server}"),
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
    let GrantLimits { session, agent_session, project, uses, arguments, reads_only } = limits;
    let session = session.map(|id| id.to_string());
    let agent = agent_session.as_ref().map(|id| id.as_str().to_owned());
    let words = [
        uses.map(|uses| format!(" uses {uses}")),
        // A session of an agent is named by either id, so one of them suffices.
        session.or(agent).map(|id| format!(" session {id}")),
        project.as_ref().map(|project| format!(" project {}", project.as_str())),
        arguments.as_ref().map(|arguments| format!(", {arguments}")),
        reads_only.then(|| ", only what reads".to_owned()),
    ];
    words.into_iter().flatten().collect()
}
