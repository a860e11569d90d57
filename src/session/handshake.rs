//! The handshake: `initialize` of the earlier revisions, `server/discover` of the modern one.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::value::RawValue;

use super::event_loop::RequestFutures;
use super::request::{ClientRequest, params_object};
use super::state::SessionState;
use crate::json::{self, RawJson, RawObject};
use crate::pipeline::BoxFuture;
use crate::sync::lock;
use crate::task::{FinishedTask, UnseenTasks};
use crate::wire::{Revision, modern};

/// The most characters of `instructions`. Clients cut at 4,096, and every session pays for their tokens.
const MAX_INSTRUCTIONS_CHARS: usize = 1_990;

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
        self.protocol.initialize(revision);
        self.answer_handshake(work, move |shared, news| {
            let result = serde_json::json!({
                "protocolVersion": revision.as_str(),
                "capabilities": capabilities(),
                "serverInfo": server_info(),
                "instructions": shared.instructions(news),
            });
            request.answer_own_result(json::serialize_raw(&result));
        });
    }

    /// `server/discover` (2026-07-28).
    pub(super) fn discover(self: &Arc<Self>, request: ClientRequest, work: &mut RequestFutures) {
        self.answer_handshake(work, move |shared, news| {
            let info = json::serialize_raw(&server_info());
            let instructions = shared.instructions(news);
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
            shared.fetch_unknown_listings();
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

    /// The instructions: what Portero is, what is unavailable, and whom the agent acts for.
    pub(super) fn instructions(&self, news: &UnseenTasks) -> String {
        let mut text = String::from(
            "Portero stands between you and the tools of several servers; what it lists is theirs.\n\
             - Some calls need a person's approval. Such a call returns at once with \"status\":\"pending-approval\" \
             and a taskId; it has not run. Go on with other work and call portero__check_task with that id \
             later (wait_seconds lets it wait). Do not repeat the call, and do not try to reach the same effect \
             another way.\n\
             - Not every tool is listed. portero__search_tools finds the others; portero__call calls any tool by \
             its full name \"server/tool\".\n\
             - portero__list_tasks shows what waits or was decided, also from earlier sessions; \
             portero__cancel_task takes back what waits.\n",
        );
        let identity: Vec<String> = self
            .pipeline
            .anonymizer
            .load()
            .identity()
            .map(|(label, fake)| format!("{label}: {fake}"))
            .collect();
        if !identity.is_empty() {
            let _ = writeln!(
                text,
                "You act for this person; use these values as they are: {}.",
                identity.join(", ")
            );
        }
        self.append_unseen_tasks(news, &mut text);
        for skipped in lock(&self.skipped).iter() {
            let _ = writeln!(text, "The server \"{}\" is not available: {}.", skipped.server, skipped.reason);
        }
        for (server, reason) in self.pipeline.catalog.failures() {
            let _ = writeln!(text, "The server \"{server}\" is not available: {reason}.");
        }
        cut_instructions(text)
    }

    /// Appends the finished tasks that weren't fetched, without any of the servers' text.
    fn append_unseen_tasks(&self, news: &UnseenTasks, text: &mut String) {
        if news.count == 0 {
            return;
        }
        let calls = if news.count == 1 { "1 call" } else { &format!("{} calls", news.count) };
        let _ = writeln!(
            text,
            "Decided or done since they were asked for, and not looked at yet: {calls} of this project. \
             portero__check_task tells what came of one; none runs again by itself."
        );
        let anonymizer = self.pipeline.anonymizer.load();
        for FinishedTask { task, tool, state } in news.last.iter().take(UnseenTasks::MAX_LISTED) {
            let tool = match anonymizer.is_private_tool(&tool.tool) {
                true => "a tool".to_owned(),
                false => tool.to_string(),
            };
            let _ = writeln!(text, "- {task} {tool}: {state}");
        }
        if news.count > news.last.len() as u64 {
            let _ = writeln!(text, "- and others: portero__list_tasks");
        }
    }
}

/// Cuts a text that is too long at a line's end, and says so.
fn cut_instructions(mut text: String) -> String {
    const CUT_NOTE: &str = "(More servers are not available.)\n";
    if text.chars().count() > MAX_INSTRUCTIONS_CHARS {
        let room = MAX_INSTRUCTIONS_CHARS - CUT_NOTE.len();
        let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
        text.truncate(text[..end].rfind('\n').map_or(end, |at| at + 1));
        text.push_str(CUT_NOTE);
    }
    text
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
