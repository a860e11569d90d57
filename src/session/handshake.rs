//! The handshake: `initialize` of the earlier revisions, `server/discover` of the modern one.

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::value::RawValue;

use super::request::{ClientRequest, RequestFutures, params_object};
use super::state::SessionState;
use crate::json::{self, RawJson, RawObject};
use crate::pipeline::BoxFuture;
use crate::task::UnseenTasks;
use crate::wire::{Revision, modern};

const CAPABILITIES_JSON: &str = r#"{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{"listChanged":true},"completions":{},"logging":{}}"#;

impl SessionState {
    /// `initialize` (2024-11-05 to 2025-11-25).
    pub(super) fn initialize(
        self: &Arc<Self>,
        request: ClientRequest,
        params: Option<&RawValue>,
        work: &mut RequestFutures,
    ) {
        let params = params_object(params);
        let revision = Revision::negotiate(&params.get_text("protocolVersion").unwrap_or_default());
        self.set_client_from(params.get("clientInfo"));
        self.client.protocol.initialize(revision);
        self.answer_handshake(work, move |shared, news| {
            let result = serde_json::json!({
                "protocolVersion": revision.as_str(),
                "capabilities": capabilities(),
                "serverInfo": server_info(),
                "instructions": shared.instructions.compose(news),
            });
            request.answer_own_result(json::serialize_raw(&result));
        });
    }

    /// `server/discover` (2026-07-28).
    pub(super) fn discover(self: &Arc<Self>, request: ClientRequest, work: &mut RequestFutures) {
        self.answer_handshake(work, move |shared, news| {
            let info = json::serialize_raw(&server_info());
            let instructions = shared.instructions.compose(news);
            request.answer_own_result(modern::discover_result(&info, &capabilities(), Some(&instructions)));
        });
    }

    /// Answers once the unseen tasks are known. If they are known at once, the answer is sent at once.
    fn answer_handshake(
        self: &Arc<Self>,
        work: &mut RequestFutures,
        answer: impl FnOnce(&Self, &UnseenTasks) + Send + 'static,
    ) {
        let shared = Arc::clone(self);
        let mut greeting: BoxFuture<'static, ()> = Box::pin(async move {
            let news = shared.tasks.unseen_tasks().await;
            // After the answer, so that starting servers doesn't delay it.
            answer(&shared, &news);
            shared.listings.fetch_unknown_listings();
        });
        // Polled once right here: if the unseen tasks are known, the answer leaves in this very step.
        if (&mut greeting).now_or_never().is_none() {
            work.push(greeting);
        }
    }

    /// Takes the client's `Implementation` object.
    pub(super) fn set_client_from(&self, info: Option<&RawValue>) {
        let Some(info) = info.and_then(|info| RawObject::read(info).ok()) else { return };
        let name = info.get_text("name").unwrap_or_default();
        self.set_client(&name, &info.get_text("version").unwrap_or_default());
    }
}

/// The capabilities of a session, as the handshake announces them.
///
/// # Panics
/// Never, because the text is a constant.
#[must_use]
pub fn capabilities() -> RawJson {
    json::parse_raw(CAPABILITIES_JSON.to_owned()).expect("our capabilities are JSON")
}

fn server_info() -> serde_json::Value {
    serde_json::json!({ "name": "portero", "title": "Portero", "version": env!("CARGO_PKG_VERSION") })
}
