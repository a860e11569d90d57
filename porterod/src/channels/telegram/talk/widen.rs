//! What widens: shown first, then confirmed by a button that is bound to exactly what was shown.

use std::time::Duration;

use portero::config::duration::show;
use portero::json::raw;
use portero::names::ToolId;
use portero::policy::Action;

use super::super::bot::MessageId;
use super::super::screens;
use super::page::Sheet;
use super::{Here, Talk, bounds};
use crate::api;
use crate::store::StoreError;
use crate::taps::{Affirmed, Spot, Widening, Wider};

impl Talk {
    /// Asks whether this is wanted.
    pub(super) async fn ask(&self, wider: &Wider, here: &Here) -> Result<(), StoreError> {
        let words = words(wider);
        match api::preview_widening(&self.daemon, here.person, wider).await {
            Ok(tools) => {
                let pages = screens::change(wider, &tools, false, &self.view());
                self.send(here, &Sheet::new(pages, &words).confirming(widening(wider, &tools))).await
            }
            Err(failure) => self.answer(here, screens::failure(&failure)).await,
        }
    }

    /// Asks it again in the same message, with this page open.
    pub(super) async fn ask_again(
        &self,
        wider: &Wider,
        page: usize,
        at: (Spot, MessageId),
        here: &Here,
    ) -> Result<(), StoreError> {
        let words = words(wider);
        match api::preview_widening(&self.daemon, here.person, wider).await {
            Ok(tools) => {
                let pages = screens::change(wider, &tools, false, &self.view());
                let sheet = Sheet::new(pages, &words).at(page).confirming(widening(wider, &tools));
                self.put(here, at, &sheet).await
            }
            Err(failure) => self.put(here, at, &Sheet::new(screens::failure(&failure), "")).await,
        }
    }

    /// The person confirmed. Where something changed since they were shown what would change, they are shown that
    /// and asked again.
    pub(super) async fn confirmed(
        &self,
        affirmed: Affirmed,
        message: MessageId,
        here: &Here,
    ) -> Result<(), StoreError> {
        let Widening { what, seen } = affirmed.widening().clone();
        let at = (affirmed.spot().clone(), message);
        let pages = match api::preview_widening(&self.daemon, here.person, &what).await {
            Ok(tools) if digest(&tools) != seen => {
                let pages = screens::change(&what, &tools, true, &self.view());
                let words = words(&what);
                return self
                    .put(here, at, &Sheet::new(pages, &words).confirming(widening(&what, &tools)))
                    .await;
            }
            Ok(_) => self.outcome(&api::widen(&self.daemon, affirmed).await, here.person),
            Err(failure) => screens::failure(&failure),
        };
        self.put(here, at, &Sheet::new(pages, "")).await
    }
}

fn widening(what: &Wider, tools: &[(ToolId, Action)]) -> Widening {
    Widening { what: what.clone(), seen: digest(tools) }
}

fn digest(tools: &[(ToolId, Action)]) -> String {
    blake3::hash(raw(&tools).get().as_bytes()).to_hex().to_string()
}

/// The command that asks for it.
fn words(what: &Wider) -> String {
    match what {
        Wider::Grant(pattern, millis, limits) => {
            let lasts = show(Duration::from_millis(*millis));
            format!("/grant {pattern} {lasts}{}", bounds::words(limits))
        }
        Wider::Allow(pattern) => format!("/allow {pattern}"),
        Wider::Unrule(id, ..) => format!("/unrule {id}"),
        Wider::Resume => "/resume".to_owned(),
    }
}
