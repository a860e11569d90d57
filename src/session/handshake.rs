//! The first words: `initialize` of the earlier revisions, `server/discover` of the modern one.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};

use serde_json::value::RawValue;

use super::request::{Request, object};
use super::state::Shared;
use crate::json::{self, Object, RawJson};
use crate::wire::{Revision, modern};

/// The most characters of `instructions`; clients cut at 4,096, and every session pays for them.
const INSTRUCTIONS_MOST: usize = 1_990;

const CAPABILITIES: &str = r#"{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{"listChanged":true},"completions":{},"logging":{}}"#;

impl Shared {
    /// `initialize` (2024-11-05 to 2025-11-25).
    pub(super) fn initialize(self: &Arc<Self>, request: Request, params: Option<&RawValue>) {
        let params = object(params);
        let revision = Revision::negotiate(&params.text("protocolVersion").unwrap_or_default());
        self.client_is(params.get("clientInfo"));
        self.speech.initialize(revision);
        let result = serde_json::json!({
            "protocolVersion": revision.as_str(),
            "capabilities": capabilities(),
            "serverInfo": server_info(),
            "instructions": self.instructions(),
        });
        request.own_result(json::raw(&result));
        self.start_missing();
    }

    /// `server/discover` (2026-07-28).
    pub(super) fn discover(self: &Arc<Self>, request: Request) {
        let info = json::raw(&server_info());
        let result = modern::discover_result(&info, &capabilities(), Some(&self.instructions()));
        request.own_result(result);
        self.start_missing();
    }

    /// Takes the client's `Implementation`.
    pub(super) fn client_is(&self, info: Option<&RawValue>) {
        let Some(info) = info.and_then(|info| Object::read(info).ok()) else { return };
        let name = info.text("name").unwrap_or_default();
        self.introduce(&name, &info.text("version").unwrap_or_default());
    }

    /// What the agent is told about Portero, what is missing, and whom it acts for.
    fn instructions(&self) -> String {
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
        for skipped in self.skipped.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(text, "The server \"{}\" is not available: {}.", skipped.server, skipped.reason);
        }
        for (server, reason) in self.pipeline.catalog.failures() {
            let _ = writeln!(text, "The server \"{server}\" is not available: {reason}.");
        }
        cut(text)
    }
}

/// Cuts at a line where it is too long, and says so.
fn cut(mut text: String) -> String {
    const MORE: &str = "(More servers are not available.)\n";
    if text.chars().count() > INSTRUCTIONS_MOST {
        let room = INSTRUCTIONS_MOST - MORE.len();
        let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
        text.truncate(text[..end].rfind('\n').map_or(end, |at| at + 1));
        text.push_str(MORE);
    }
    text
}

fn capabilities() -> RawJson {
    json::parse_raw(CAPABILITIES.to_owned()).expect("our capabilities are JSON")
}

fn server_info() -> serde_json::Value {
    serde_json::json!({ "name": "portero", "title": "Portero", "version": env!("CARGO_PKG_VERSION") })
}
