//! Who there is, what was written, what waits for the bot.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde_json::Value;

use super::faults::Fault;
use super::groups::Group;

/// What Telegram knows.
#[derive(Default)]
pub(super) struct FakeState {
    /// People who ever wrote to the bot; whether they blocked it.
    pub(super) has_blocked: BTreeMap<i64, bool>,
    /// Groups that the bot is in, or was.
    pub(super) groups: BTreeMap<i64, Group>,
    pub(super) messages: BTreeMap<(i64, i64), ShownMessage>,
    pub(super) queries: BTreeMap<String, PressedButton>,
    /// What the bot has not confirmed, in the order in which it is delivered.
    pub(super) updates: Vec<(i64, Value)>,
    /// Everything that was ever delivered, to be delivered again.
    pub(super) delivered: BTreeMap<i64, Value>,
    /// What comes once more, confirmed or not.
    pub(super) redeliveries: Vec<Value>,
    pub(super) allowed_kinds: Option<Vec<String>>,
    /// Grows with each poll, so that an older one learns of a newer.
    pub(super) poll_count: u64,
    pub(super) commands: BTreeMap<i64, Value>,
    pub(super) calls: Vec<ApiCall>,
    pub(super) complaints: Vec<String>,
    pub(super) faults: BTreeMap<String, VecDeque<Fault>>,
    pub(super) is_down: bool,
    pub(super) is_reversed: bool,
    last_message: i64,
    last_update: i64,
    last_query: i64,
}

/// A message as it looks in the chat.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ShownMessage {
    pub(crate) id: i64,
    /// The topic of a group that it stands in; none for General, and elsewhere.
    pub(crate) thread: Option<i64>,
    pub(crate) by_bot: bool,
    pub(crate) text: String,
    pub(crate) entities: Value,
    /// Rows of buttons, as Telegram's JSON.
    pub(crate) keyboard: Option<Value>,
    /// A file's name and content.
    pub(crate) document: Option<(String, Vec<u8>)>,
    /// How often it was edited.
    pub(crate) edits: usize,
}

/// A button that was pressed.
#[derive(Default)]
pub(super) struct PressedButton {
    pub(super) is_too_old: bool,
    pub(super) answer: Option<Value>,
}

/// A call that the bot made.
#[derive(Debug, Clone)]
pub(crate) struct ApiCall {
    pub(crate) method: String,
    pub(crate) body: Value,
    pub(crate) at: Instant,
    /// The code of the answer; none where there was none.
    pub(crate) code: Option<u16>,
}

impl FakeState {
    pub(super) fn messages_in(&self, chat: i64) -> Vec<ShownMessage> {
        self.messages.range((chat, 0)..=(chat, i64::MAX)).map(|(_, shown)| shown.clone()).collect()
    }

    pub(super) fn next_message_id(&mut self) -> i64 {
        self.last_message += 1;
        self.last_message
    }

    pub(super) fn next_query_id(&mut self) -> String {
        self.last_query += 1;
        format!("9{:018}", self.last_query)
    }

    /// Leaves numbers out, as Telegram does.
    pub(super) fn skip_updates(&mut self, count: i64) {
        self.last_update += count;
    }

    /// Lets something wait for the bot; returns its number.
    pub(super) fn push_update(&mut self, kind: &str, what: Value) -> i64 {
        // Telegram begins with some positive number.
        self.last_update = self.last_update.max(1000) + 1;
        let id = self.last_update;
        let update = serde_json::json!({"update_id": id, kind: what});
        self.updates.push((id, update.clone()));
        self.delivered.insert(id, update);
        id
    }

    /// What is there for a poll; those before `offset` are done with.
    pub(super) fn take_updates(&mut self, offset: i64, limit: usize) -> Vec<Value> {
        self.updates.retain(|(id, _)| *id >= offset);
        let mut found = std::mem::take(&mut self.redeliveries);
        let allowed = |update: &Value| {
            let kinds = self.allowed_kinds.as_ref();
            kinds.is_none_or(|kinds| kinds.iter().any(|kind| update.get(kind).is_some()))
        };
        let fresh = self.updates.iter().map(|(_, update)| update).filter(|update| allowed(update));
        found.extend(fresh.cloned());
        found.truncate(limit);
        if self.is_reversed {
            found.reverse();
        }
        found
    }
}
