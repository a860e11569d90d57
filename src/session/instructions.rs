//! The instructions of the handshake, and when they are due again.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::config::SkippedServer;
use crate::names::ServerName;
use crate::pipeline::Pipeline;
use crate::sync::lock;
use crate::task::{FinishedTask, UnseenTasks};

/// The most characters of `instructions`. Clients cut at 4,096, and every session pays for their tokens.
const MAX_INSTRUCTIONS_CHARS: usize = 1_990;

/// Writes the instructions.
pub(super) struct Instructions {
    pipeline: Arc<Pipeline>,
    /// The servers that the configuration left out.
    skipped: Mutex<Vec<SkippedServer>>,
    /// Whether the next result of a tool repeats the instructions.
    due: AtomicBool,
}

impl Instructions {
    pub(super) fn new(pipeline: Arc<Pipeline>, skipped: Vec<SkippedServer>) -> Self {
        Self { pipeline, skipped: Mutex::new(skipped), due: AtomicBool::new(false) }
    }

    /// Replaces the servers that the configuration left out.
    pub(super) fn set_skipped(&self, skipped: Vec<SkippedServer>) {
        *lock(&self.skipped) = skipped;
    }

    /// Sets whether the next result of a tool repeats the instructions.
    pub(super) fn set_due(&self, due: bool) {
        self.due.store(due, Ordering::Relaxed);
    }

    /// Whether the next result of a tool repeats the instructions.
    pub(super) fn is_due(&self) -> bool {
        self.due.load(Ordering::Relaxed)
    }

    /// The servers that can't be called, each with its reason: left out by the configuration, or failed.
    pub(super) fn unavailable_servers(&self) -> Vec<(ServerName, String)> {
        let skipped = lock(&self.skipped);
        let skipped = skipped.iter().map(|skipped| (skipped.server.clone(), skipped.reason.clone()));
        skipped.chain(self.pipeline.catalog.failures()).collect()
    }

    /// The instructions: what Portero is, what is unavailable, and whom the agent acts for.
    pub(super) fn compose(&self, news: &UnseenTasks) -> String {
        let mut text = String::from(
            "Portero passes your calls to the tools of several servers; what it lists is theirs.\n\
             - Some calls need a person's approval. Unless a person decides soon, such a call returns \
             \"status\":\"pending-approval\" and a taskId; it has not run. Go on with other work and call portero__check_task with that id \
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
        for (server, reason) in self.unavailable_servers() {
            let _ = writeln!(text, "The server \"{server}\" is not available: {reason}.");
        }
        cut_instructions(text)
    }

    /// The finished tasks that weren't fetched, for a result of another tool.
    pub(super) fn describe_unseen_tasks(&self, news: &UnseenTasks) -> String {
        let mut text = String::from("A word of Portero's, which is no part of this result. ");
        self.append_unseen_tasks(news, &mut text);
        text
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
