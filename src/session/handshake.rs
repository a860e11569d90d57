//! The first words: `initialize` of the earlier revisions, `server/discover` of the modern one.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError};

use futures_util::FutureExt as _;
use serde_json::value::RawValue;

use super::request::{Request, object};
use super::run::Work;
use super::state::Shared;
use crate::json::{self, Object, RawJson};
use crate::pipeline::BoxFuture;
use crate::task::{Finished, News};
use crate::wire::{Revision, modern};

/// The most characters of `instructions`; clients cut at 4,096, and every session pays for them.
const INSTRUCTIONS_MOST: usize = 1_990;

const CAPABILITIES: &str = r#"{"tools":{"listChanged":true},"resources":{"subscribe":true,"listChanged":true},"prompts":{"listChanged":true},"completions":{},"logging":{}}"#;

impl Shared {
    /// `initialize` (2024-11-05 to 2025-11-25).
    pub(super) fn initialize(self: &Arc<Self>, request: Request, params: Option<&RawValue>, work: &mut Work) {
        let params = object(params);
        let revision = Revision::negotiate(&params.text("protocolVersion").unwrap_or_default());
        self.client_is(params.get("clientInfo"));
        self.speech.initialize(revision);
        self.greet(work, move |shared, news| {
            let result = serde_json::json!({
                "protocolVersion": revision.as_str(),
                "capabilities": capabilities(),
                "serverInfo": server_info(),
                "instructions": shared.instructions(news),
            });
            request.own_result(json::raw(&result));
        });
    }

    /// `server/discover` (2026-07-28).
    pub(super) fn discover(self: &Arc<Self>, request: Request, work: &mut Work) {
        self.greet(work, move |shared, news| {
            let info = json::raw(&server_info());
            let instructions = shared.instructions(news);
            request.own_result(modern::discover_result(&info, &capabilities(), Some(&instructions)));
        });
    }

    /// Answers once it is known what finished meanwhile, at once where that is known at once.
    fn greet(self: &Arc<Self>, work: &mut Work, answer: impl FnOnce(&Self, &News) + Send + 'static) {
        let shared = Arc::clone(self);
        let mut greeting: BoxFuture<'static, ()> = Box::pin(async move {
            let news = shared.tasks.news().await;
            answer(&shared, &news);
            shared.start_missing();
        });
        if (&mut greeting).now_or_never().is_none() {
            work.push(greeting);
        }
    }

    /// Takes the client's `Implementation`.
    pub(super) fn client_is(&self, info: Option<&RawValue>) {
        let Some(info) = info.and_then(|info| Object::read(info).ok()) else { return };
        let name = info.text("name").unwrap_or_default();
        self.introduce(&name, &info.text("version").unwrap_or_default());
    }

    /// What the agent is told about Portero, what is missing, and whom it acts for.
    pub(super) fn instructions(&self, news: &News) -> String {
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
        self.tell_news(news, &mut text);
        for skipped in self.skipped.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = writeln!(text, "The server \"{}\" is not available: {}.", skipped.server, skipped.reason);
        }
        for (server, reason) in self.pipeline.catalog.failures() {
            let _ = writeln!(text, "The server \"{server}\" is not available: {reason}.");
        }
        cut(text)
    }

    /// What finished and was not fetched, in Portero's own words.
    fn tell_news(&self, news: &News, text: &mut String) {
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
        for Finished { task, tool, state } in news.last.iter().take(News::MOST) {
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

/// What a session can do, as the handshake tells it.
///
/// # Panics
/// Never: the text is our own.
#[must_use]
pub fn capabilities() -> RawJson {
    json::parse_raw(CAPABILITIES.to_owned()).expect("our capabilities are JSON")
}

fn server_info() -> serde_json::Value {
    serde_json::json!({ "name": "portero", "title": "Portero", "version": env!("CARGO_PKG_VERSION") })
}
