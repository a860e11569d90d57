//! The people's side: what they write, press and forward.

use serde_json::{Value, json};

use super::FakeTelegram;
use super::state::{FakeState, PressedButton, ShownMessage};

/// The date of everything; nothing looks at it.
pub(super) const DATE: i64 = 1_700_000_000;

impl FakeTelegram {
    /// A person writes to the bot in their private chat. Returns the update's number.
    pub(crate) fn send_text(&self, person: i64, text: &str) -> i64 {
        self.write_privately(person, text, json!({}))
    }

    /// A person answers a message of the bot.
    pub(crate) fn send_reply(&self, person: i64, message: i64, text: &str) -> i64 {
        let answered = json!({"message_id": message, "date": DATE, "chat": private_chat_json(person)});
        self.write_privately(person, text, json!({"reply_to_message": answered}))
    }

    /// A person writes in a group that the bot is in.
    pub(crate) fn send_text_in_group(&self, person: i64, group: i64, text: &str) -> i64 {
        self.send_text_in_topic(person, (group, None), text)
    }

    /// A person forwards someone else's words to the bot.
    pub(crate) fn forward_text(&self, person: i64, text: &str) -> i64 {
        let origin = json!({"type": "hidden_user", "sender_user_name": "Someone", "date": DATE});
        self.write_privately(person, text, json!({"forward_origin": origin, "forward_date": DATE}))
    }

    /// A person presses the button with these words under a message. Returns the press's name.
    pub(crate) fn press(&self, person: i64, message: i64, words: &str) -> String {
        let data = self.shared.lock_state().button_data(person, message, words);
        self.press_data(person, message, &data)
    }

    /// As [`Self::press`], in any chat.
    pub(crate) fn press_in(&self, person: i64, chat: i64, message: i64, words: &str) -> String {
        let data = self.shared.lock_state().button_data(chat, message, words);
        self.press_data_in(person, chat, message, &data)
    }

    /// A press that holds `data`, whatever the message shows: old keyboards stay on old screens.
    pub(crate) fn press_data(&self, person: i64, message: i64, data: &str) -> String {
        self.press_data_in(person, person, message, data)
    }

    /// As [`Self::press_data`], in any chat.
    pub(crate) fn press_data_in(&self, person: i64, place: i64, message: i64, data: &str) -> String {
        self.shared.change_state(|state| {
            let query = state.next_query_id();
            state.queries.insert(query.clone(), PressedButton::default());
            let press = json!({
                "id": query,
                "from": user_json(person),
                "chat_instance": "-1",
                "message": {"message_id": message, "date": DATE, "chat": state.chat_json(place)},
                "data": data,
            });
            state.push_update("callback_query", press);
            query
        })
    }

    /// A person removes a message from their chat.
    pub(crate) fn remove_message(&self, chat: i64, message: i64) {
        self.shared
            .change_state(|state| state.messages.remove(&(chat, message)).expect("a message to remove"));
    }

    /// A person no longer wants to hear of the bot.
    pub(crate) fn block(&self, person: i64) {
        self.shared.change_state(|state| state.has_blocked.insert(person, true));
    }

    /// And does again.
    pub(crate) fn unblock(&self, person: i64) {
        self.shared.change_state(|state| state.has_blocked.insert(person, false));
    }

    /// Something arrives that no program of today knows.
    pub(crate) fn send_unknown_update(&self) -> i64 {
        self.shared
            .change_state(|state| state.push_update("message", json!({"telepathy": {"waves": [1, 2]}})))
    }

    fn write_privately(&self, person: i64, text: &str, more: Value) -> i64 {
        self.shared.change_state(|state| {
            state.has_blocked.entry(person).or_insert(false);
        });
        self.write_message(person, (person, None), text, more)
    }

    pub(super) fn write_message(
        &self,
        person: i64,
        (place, thread): (i64, Option<i64>),
        text: &str,
        more: Value,
    ) -> i64 {
        self.shared.change_state(|state| {
            let id = state.next_message_id();
            let mut message = json!({
                "message_id": id,
                "date": DATE,
                "from": user_json(person),
                "chat": state.chat_json(place),
                "text": text,
            });
            if text.starts_with('/') {
                let length = text.split_whitespace().next().unwrap_or_default().len();
                message["entities"] = json!([{"type": "bot_command", "offset": 0, "length": length}]);
            }
            for (name, value) in more.as_object().into_iter().flatten() {
                message[name] = value.clone();
            }
            let shown = ShownMessage {
                id,
                thread,
                by_bot: false,
                text: text.to_owned(),
                entities: json!([]),
                keyboard: None,
                document: None,
                edits: 0,
            };
            state.messages.insert((place, id), shown);
            state.push_update("message", message)
        })
    }
}

impl FakeState {
    fn button_data(&self, chat: i64, message: i64, words: &str) -> String {
        let shown = self.messages.get(&(chat, message)).expect("a message to press on");
        let rows = shown.keyboard.as_ref().expect("a keyboard").as_array().unwrap();
        let buttons = rows.iter().flat_map(|row| row.as_array().unwrap());
        let button = buttons.into_iter().find(|button| is_button(button["text"].as_str().unwrap(), words));
        let data = button.unwrap_or_else(|| panic!("no button `{words}` in {rows:?}"));
        data["callback_data"].as_str().expect("a button to press").to_owned()
    }
}

/// Whether a button has this label, apart from the tool at its end.
pub(crate) fn is_button(label: &str, words: &str) -> bool {
    let rest = label.strip_prefix(words);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" of "))
}

pub(super) fn user_json(person: i64) -> Value {
    json!({"id": person, "is_bot": false, "first_name": "Jane", "language_code": "en"})
}

pub(super) fn private_chat_json(person: i64) -> Value {
    json!({"id": person, "type": "private", "first_name": "Jane"})
}
