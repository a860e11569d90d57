//! Groups: who is in them, their topics, and what becomes of them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::FakeTelegram;
use super::methods::{ApiRefusal, ApiResult, RequestBody};
use super::state::FakeState;
use super::users::{DATE, private_chat_json, user_json};

/// The account in whose name administrators write who do not show themselves.
const GROUP_ANONYMOUS_BOT: i64 = 1_087_968_824;

/// A group that the bot is in, or was.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    /// Whether it is a plain group; else a supergroup.
    pub(crate) plain: bool,
    /// Whether it has topics.
    pub(crate) forum: bool,
    /// Whether the bot may make and reopen topics.
    pub(crate) manages: bool,
    /// Whether the bot was removed.
    pub(crate) removed: bool,
    /// Whether members may not write.
    pub(crate) silenced: bool,
    /// The supergroup that it became.
    pub(crate) became: Option<i64>,
    /// Topics that there are, by their numbers; General has none.
    pub(crate) topics: BTreeMap<i64, Topic>,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) closed: bool,
}

impl Default for Group {
    /// A supergroup without topics.
    fn default() -> Self {
        Self {
            plain: false,
            forum: false,
            manages: false,
            removed: false,
            silenced: false,
            became: None,
            topics: BTreeMap::new(),
        }
    }
}

impl FakeTelegram {
    /// There is a supergroup with topics, which the bot may manage.
    pub(crate) fn create_forum(&self, group: i64) {
        self.change_group(group, |it| (it.forum, it.manages) = (true, true));
    }

    /// Changes a group, which is there from now on.
    pub(crate) fn change_group(&self, group: i64, change: impl FnOnce(&mut Group)) {
        self.shared.change_state(|state| change(state.groups.entry(group).or_default()));
    }

    /// The names of a group's topics.
    pub(crate) fn topics(&self, group: i64) -> Vec<String> {
        let topics = self.shared.lock_state().groups.get(&group).map(|group| group.topics.clone());
        topics.unwrap_or_default().into_values().map(|topic| topic.name).collect()
    }

    /// The number of the topic with this name.
    pub(crate) fn topic(&self, group: i64, name: &str) -> Option<i64> {
        let state = self.shared.lock_state();
        let topics = &state.groups.get(&group)?.topics;
        topics.iter().find(|(_, topic)| topic.name == name).map(|(number, _)| *number)
    }

    /// Somebody removes a topic with all that stands in it.
    pub(crate) fn remove_topic(&self, group: i64, topic: i64) {
        self.shared.change_state(|state| {
            state.groups.get_mut(&group).expect("a group").topics.remove(&topic).expect("a topic");
            state.messages.retain(|(chat, _), shown| *chat != group || shown.thread != Some(topic));
        });
    }

    /// Somebody closes a topic.
    pub(crate) fn close_topic(&self, group: i64, topic: i64) {
        self.change_group(group, |it| it.topics.get_mut(&topic).expect("a topic").closed = true);
    }

    /// A person writes in a group, in one of its topics or in General.
    pub(crate) fn send_text_in_topic(
        &self,
        person: i64,
        (group, topic): (i64, Option<i64>),
        text: &str,
    ) -> i64 {
        self.change_group(group, |_| ());
        let more = topic.map_or_else(|| json!({}), topic_fields);
        self.write_message(person, (group, topic), text, more)
    }

    /// A person answers a message in a group.
    pub(crate) fn send_reply_in_group(&self, person: i64, group: i64, message: i64, text: &str) -> i64 {
        let topic = self.shared.lock_state().messages.get(&(group, message)).and_then(|shown| shown.thread);
        // Elsewhere than in a topic, answers make a thread of their own, into which nobody can write.
        let mut more = topic.map_or_else(|| json!({"message_thread_id": message}), topic_fields);
        more["reply_to_message"] = json!({"message_id": message, "date": DATE});
        more["reply_to_message"]["chat"] = self.shared.lock_state().chat_json(group);
        self.write_message(person, (group, topic), text, more)
    }

    /// An administrator who does not show themselves writes in a group.
    pub(crate) fn send_anonymous_text(&self, group: i64, text: &str) -> i64 {
        self.change_group(group, |_| ());
        let from = json!({"id": GROUP_ANONYMOUS_BOT, "is_bot": true, "first_name": "Group"});
        let sender = self.shared.lock_state().chat_json(group);
        self.write_message(
            GROUP_ANONYMOUS_BOT,
            (group, None),
            text,
            json!({"from": from, "sender_chat": sender}),
        )
    }

    /// A person forwards somebody's words into a group.
    pub(crate) fn forward_text_to_group(&self, person: i64, group: i64, text: &str) -> i64 {
        let origin = json!({"type": "user", "sender_user": user_json(person), "date": DATE});
        self.write_message(
            person,
            (group, None),
            text,
            json!({"forward_origin": origin, "forward_date": DATE}),
        )
    }

    /// An administrator changes what the bot may do in a group; Telegram tells the bot.
    pub(crate) fn change_bot_rights(&self, group: i64, change: impl FnOnce(&mut Group)) -> i64 {
        self.change_group(group, change);
        self.shared.change_state(|state| {
            let bot = json!({"id": 4711, "is_bot": true, "first_name": "Portero"});
            let changed = json!({
                "chat": state.chat_json(group), "from": user_json(1), "date": DATE,
                "old_chat_member": {"user": bot, "status": "restricted", "can_send_messages": false},
                "new_chat_member": {"user": bot, "status": "member"},
            });
            state.push_update("my_chat_member", changed)
        })
    }

    /// A group becomes a supergroup, which has another number, and nothing is said of it but by refusals.
    pub(crate) fn upgrade_silently(&self, group: i64, to: i64) {
        self.change_group(to, |_| ());
        self.change_group(group, |it| it.became = Some(to));
    }

    /// A group becomes a supergroup, and this is said in the new one alone.
    pub(crate) fn upgrade_told_after(&self, group: i64, to: i64) -> i64 {
        self.upgrade_silently(group, to);
        self.shared.change_state(|state| {
            let id = state.next_message_id();
            let message = json!({
                "message_id": id, "date": DATE, "from": user_json(1), "chat": state.chat_json(to),
                "migrate_from_chat_id": group,
            });
            state.push_update("message", message)
        })
    }

    /// A group becomes a supergroup, which has another number.
    pub(crate) fn upgrade(&self, group: i64, to: i64) -> i64 {
        self.upgrade_silently(group, to);
        self.shared.change_state(|state| {
            let id = state.next_message_id();
            let message = json!({
                "message_id": id, "date": DATE, "from": user_json(1), "chat": state.chat_json(group),
                "migrate_to_chat_id": to,
            });
            state.push_update("message", message)
        })
    }
}

impl FakeState {
    /// A chat as it stands in messages.
    pub(super) fn chat_json(&self, id: i64) -> Value {
        let Some(group) = self.groups.get(&id) else { return private_chat_json(id) };
        let kind = if group.plain { "group" } else { "supergroup" };
        let mut chat = json!({"id": id, "type": kind, "title": "Approvals"});
        if group.forum {
            chat["is_forum"] = json!(true);
        }
        chat
    }
}

/// What a message in a topic says of it: it also answers the message that made the topic.
fn topic_fields(topic: i64) -> Value {
    json!({
        "message_thread_id": topic,
        "is_topic_message": true,
        "reply_to_message": {"message_id": topic, "date": DATE, "forum_topic_created": {"name": "x"}},
    })
}

/// Whether the bot is in a group that is there.
pub(super) fn require_membership(state: &FakeState, chat: i64) -> ApiResult<()> {
    match state.groups.get(&chat) {
        None => Err(ApiRefusal::bad_request("chat not found")),
        Some(Group { became: Some(to), .. }) => Err(ApiRefusal::migrated(*to)),
        Some(Group { removed: true, .. }) => {
            Err(ApiRefusal::new(403, "Forbidden: bot was kicked from the supergroup chat"))
        }
        Some(_) => Ok(()),
    }
}

/// Whether members may write there.
pub(super) fn require_write_access(state: &FakeState, chat: i64) -> ApiResult<()> {
    require_membership(state, chat)?;
    match state.groups.get(&chat) {
        Some(Group { silenced: true, .. }) => {
            Err(ApiRefusal::bad_request("not enough rights to send text messages to the chat"))
        }
        _ => Ok(()),
    }
}

/// The topic into which something is to be sent, if the bot may write there. General is named by nothing.
pub(super) fn find_thread(state: &FakeState, chat: i64, body: &RequestBody) -> ApiResult<Option<i64>> {
    if body.fields.get("message_thread_id").is_none() {
        return Ok(None);
    }
    let missing = || ApiRefusal::bad_request("message thread not found");
    let thread = body.number_field("message_thread_id").ok_or_else(missing)?;
    let group = state.groups.get(&chat).filter(|group| group.forum).ok_or_else(missing)?;
    match group.topics.get(&thread) {
        None => Err(missing()),
        Some(Topic { closed: true, .. }) => Err(ApiRefusal::bad_request("TOPIC_CLOSED")),
        Some(_) => Ok(Some(thread)),
    }
}

pub(super) fn get_chat(state: &FakeState, body: &RequestBody) -> ApiResult<Value> {
    let chat = body.number_field("chat_id").ok_or_else(|| ApiRefusal::bad_request("chat_id is empty"))?;
    if !state.has_blocked.contains_key(&chat) {
        require_membership(state, chat)?;
    }
    let mut answer = state.chat_json(chat);
    answer["accent_color_id"] = json!(3);
    answer["max_reaction_count"] = json!(11);
    Ok(answer)
}

pub(super) fn create_topic(state: &mut FakeState, body: &RequestBody) -> ApiResult<Value> {
    let chat = body.number_field("chat_id").unwrap_or(0);
    require_membership(state, chat)?;
    let name = body.text_field("name").to_owned();
    let group = &state.groups[&chat];
    if !group.forum {
        return Err(ApiRefusal::bad_request("the chat is not a forum"));
    }
    if !group.manages {
        return Err(ApiRefusal::bad_request("not enough rights to create a topic"));
    }
    if name.trim().is_empty() {
        return Err(ApiRefusal::bad_request("TOPIC_TITLE_EMPTY"));
    }
    if name.encode_utf16().count() > 128 {
        return Err(ApiRefusal::bad_request("topic name is too long"));
    }
    let number = state.next_message_id();
    let topic = Topic { name: name.clone(), closed: false };
    state.groups.get_mut(&chat).expect("a group").topics.insert(number, topic);
    Ok(json!({"message_thread_id": number, "name": name, "icon_color": 7_322_096}))
}

pub(super) fn reopen_topic(state: &mut FakeState, body: &RequestBody) -> ApiResult<Value> {
    let chat = body.number_field("chat_id").unwrap_or(0);
    require_membership(state, chat)?;
    let group = state.groups.get_mut(&chat).expect("a group");
    if !group.manages {
        return Err(ApiRefusal::bad_request("not enough rights to manage topics"));
    }
    let topic = group.topics.get_mut(&body.number_field("message_thread_id").unwrap_or(0));
    let topic = topic.ok_or_else(|| ApiRefusal::bad_request("message thread not found"))?;
    if !topic.closed {
        return Err(ApiRefusal::bad_request("TOPIC_NOT_MODIFIED"));
    }
    topic.closed = false;
    Ok(json!(true))
}
