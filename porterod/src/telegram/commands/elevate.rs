//! What widens: shown first, then confirmed by a button that is bound to exactly what was shown.

use std::time::Duration;

use portero::config::duration::format_duration;
use portero::json::serialize_raw;
use portero::names::ToolId;
use portero::policy::Action;

use super::super::client::MessageId;
use super::paged_reply::PagedReply;
use super::{CommandHandler, ReplyContext, typed_limits};
use crate::api;
use crate::auth::buttons::{ConfirmPress, MessageRef, ShownWidening, WideningAct};
use crate::presentation::views;
use crate::store::StoreError;

impl CommandHandler {
    /// Asks whether this is wanted.
    pub(super) async fn ask_confirmation(
        &self,
        wider: &WideningAct,
        here: &ReplyContext,
    ) -> Result<(), StoreError> {
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

    /// Asks it again in the same message, with this page open.
    pub(super) async fn reask_confirmation(
        &self,
        wider: &WideningAct,
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

    /// The person confirmed. Where something changed since they were shown what would change, they are shown that
    /// and asked again.
    pub(super) async fn handle_confirmation(
        &self,
        affirmed: ConfirmPress,
        message: MessageId,
        here: &ReplyContext,
    ) -> Result<(), StoreError> {
        let ShownWidening { what, seen } = affirmed.widening().clone();
        let at = (affirmed.message_ref().clone(), message);
        let text = match api::preview_widening(&self.daemon, here.person, &what).await {
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
            Ok(_) => self.outcome_text(&api::widen(&self.daemon, affirmed).await, here.person),
            Err(failure) => views::failure_text(&failure),
        };
        self.edit_paged(here, at, &PagedReply::new(&text, "")).await
    }
}

fn widening_of(what: &WideningAct, tools: &[(ToolId, Action)]) -> ShownWidening {
    ShownWidening { what: what.clone(), seen: reach_digest(tools) }
}

fn reach_digest(tools: &[(ToolId, Action)]) -> String {
    blake3::hash(serialize_raw(&tools).get().as_bytes()).to_hex().to_string()
}

/// The command that asks for it.
fn command_text(what: &WideningAct) -> String {
    match what {
        WideningAct::Grant(pattern, millis, limits) => {
            let lasts = format_duration(Duration::from_millis(*millis));
            format!("/grant {pattern} {lasts}{}", typed_limits::limits_as_typed(limits))
        }
        WideningAct::Allow(pattern) => format!("/allow {pattern}"),
        WideningAct::Unrule(id, ..) => format!("/unrule {id}"),
        WideningAct::Resume => "/resume".to_owned(),
    }
}
