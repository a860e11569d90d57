//! What each method does, and what Telegram refuses, in its own words.

use serde_json::{Map, Value, json};

use super::state::{FakeState, ShownMessage};
use super::{USERNAME, groups};

/// What Telegram refuses.
pub(super) struct ApiRefusal {
    pub(super) code: u16,
    pub(super) description: String,
    pub(super) retry_after: Option<u64>,
    pub(super) migrate_to: Option<i64>,
}

impl ApiRefusal {
    pub(super) fn new(code: u16, description: &str) -> Self {
        Self { code, description: description.to_owned(), retry_after: None, migrate_to: None }
    }

    pub(super) fn too_many_requests(seconds: u64) -> Self {
        let description = format!("Too Many Requests: retry after {seconds}");
        Self { code: 429, description, retry_after: Some(seconds), migrate_to: None }
    }

    /// The group is a supergroup now.
    pub(super) fn migrated(to: i64) -> Self {
        Self { migrate_to: Some(to), ..Self::bad_request("group chat was upgraded to a supergroup chat") }
    }

    pub(super) fn bad_request(text: &str) -> Self {
        Self::new(400, &format!("Bad Request: {text}"))
    }
}

pub(super) type ApiResult<T> = Result<T, ApiRefusal>;

/// What a call carries.
pub(super) struct RequestBody {
    pub(super) fields: Value,
    file: Option<(String, Vec<u8>)>,
}

impl RequestBody {
    pub(super) fn parse_request(content: &str, bytes: &[u8]) -> ApiResult<Self> {
        if let Some((_, border)) = content.split_once("multipart/form-data; boundary=") {
            return Self::parse_multipart(border, bytes);
        }
        if bytes.is_empty() {
            return Ok(Self { fields: json!({}), file: None });
        }
        let fields =
            serde_json::from_slice(bytes).map_err(|_| ApiRefusal::bad_request("can't parse JSON object"))?;
        Ok(Self { fields, file: None })
    }

    fn parse_multipart(border: &str, bytes: &[u8]) -> ApiResult<Self> {
        let bad = || ApiRefusal::bad_request("can't parse multipart");
        // Latin-1 keeps every byte in its place.
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let raw = |part: &str| part.chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect::<Vec<u8>>();
        let (mut fields, mut file) = (Map::new(), None);
        let inner = text.strip_suffix(&format!("--{border}--\r\n")).ok_or_else(bad)?;
        for part in inner.split(&format!("--{border}\r\n")).filter(|part| !part.is_empty()) {
            let (head, value) = part.split_once("\r\n\r\n").ok_or_else(bad)?;
            let value = raw(value.strip_suffix("\r\n").ok_or_else(bad)?);
            let of =
                |key: &str| Some(head.split_once(&format!(" {key}=\""))?.1.split_once('"')?.0.to_owned());
            match of("filename") {
                Some(name) => file = Some((name, value)),
                None => {
                    let value = String::from_utf8(value).map_err(|_| bad())?;
                    fields.insert(of("name").ok_or_else(bad)?, value.into());
                }
            }
        }
        Ok(Self { fields: Value::Object(fields), file })
    }

    /// A number, which may be written as a text.
    pub(super) fn number_field(&self, name: &str) -> Option<i64> {
        let value = &self.fields[name];
        value.as_i64().or_else(|| value.as_str()?.parse().ok())
    }

    pub(super) fn text_field(&self, name: &str) -> &str {
        self.fields[name].as_str().unwrap_or_default()
    }

    /// JSON, which may be written as a text.
    fn json_field(&self, name: &str) -> Value {
        match &self.fields[name] {
            Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Null),
            other => other.clone(),
        }
    }
}

pub(super) fn execute_method(state: &mut FakeState, method: &str, body: &RequestBody) -> ApiResult<Value> {
    if body.fields.get("parse_mode").is_some() {
        state.complaints.push(format!("{method} uses a parse mode"));
    }
    match method {
        "getMe" => Ok(json!({"id": 4711, "is_bot": true, "first_name": "Portero", "username": USERNAME})),
        "sendMessage" => send_message(state, body),
        "sendDocument" => send_document(state, body),
        "editMessageText" => edit_text(state, body),
        "answerCallbackQuery" => answer_callback_query(state, body),
        "setMyCommands" => set_commands(state, body),
        "deleteMyCommands" => clear_commands(state, body),
        "getChat" => groups::get_chat(state, body),
        "createForumTopic" => groups::create_topic(state, body),
        "reopenForumTopic" => groups::reopen_topic(state, body),
        _ => Err(ApiRefusal::new(404, "Not Found")),
    }
}

fn send_message(state: &mut FakeState, body: &RequestBody) -> ApiResult<Value> {
    let chat = writable_chat(state, body)?;
    let thread = groups::find_thread(state, chat, body)?;
    let text = checked_text(state, body)?;
    let entities = checked_entities(&body.json_field("entities"), &text)?;
    let keyboard = checked_keyboard(body)?;
    Ok(insert_message(state, chat, ShownMessage { thread, text, entities, keyboard, ..empty_message() }))
}

fn send_document(state: &mut FakeState, body: &RequestBody) -> ApiResult<Value> {
    let chat = writable_chat(state, body)?;
    let thread = groups::find_thread(state, chat, body)?;
    let Some((name, bytes)) = &body.file else {
        return Err(ApiRefusal::bad_request("there is no document in the request"));
    };
    if bytes.is_empty() {
        return Err(ApiRefusal::bad_request("file must be non-empty"));
    }
    let text = body.text_field("caption").to_owned();
    if text.encode_utf16().count() > 1024 {
        return Err(ApiRefusal::bad_request("message caption is too long"));
    }
    let entities = checked_entities(&body.json_field("caption_entities"), &text)?;
    let document = Some((name.clone(), bytes.clone()));
    Ok(insert_message(state, chat, ShownMessage { thread, text, entities, document, ..empty_message() }))
}

fn edit_text(state: &mut FakeState, body: &RequestBody) -> ApiResult<Value> {
    let chat = writable_chat(state, body)?;
    let text = checked_text(state, body)?;
    let entities = checked_entities(&body.json_field("entities"), &text)?;
    let keyboard = checked_keyboard(body)?;
    edit_message(state, chat, body, |shown| ShownMessage { text, entities, keyboard, ..shown })
}

fn edit_message(
    state: &mut FakeState,
    chat: i64,
    body: &RequestBody,
    change: impl FnOnce(ShownMessage) -> ShownMessage,
) -> ApiResult<Value> {
    let id = body.number_field("message_id").unwrap_or(0);
    let shown = state.messages.get_mut(&(chat, id)).filter(|shown| shown.by_bot);
    let Some(shown) = shown else { return Err(ApiRefusal::bad_request("message to edit not found")) };
    let changed = change(shown.clone());
    if changed == *shown {
        return Err(ApiRefusal::bad_request(
            "message is not modified: specified new message content and reply markup are exactly the same as a \
             current content and reply markup of the message",
        ));
    }
    *shown = ShownMessage { edits: shown.edits + 1, ..changed };
    Ok(json!({"message_id": id, "date": 0, "chat": state.chat_json(chat)}))
}

fn answer_callback_query(state: &mut FakeState, body: &RequestBody) -> ApiResult<Value> {
    if body.text_field("text").chars().count() > 200 {
        return Err(ApiRefusal::bad_request("MESSAGE_TOO_LONG"));
    }
    match state.queries.get_mut(body.text_field("callback_query_id")) {
        Some(query) if !query.is_too_old => {
            query.answer = Some(body.fields.clone());
            Ok(json!(true))
        }
        _ => Err(ApiRefusal::bad_request(
            "query is too old and response timeout expired or query ID is invalid",
        )),
    }
}

fn set_commands(state: &mut FakeState, body: &RequestBody) -> ApiResult<Value> {
    let commands = body.fields["commands"].as_array().cloned().unwrap_or_default();
    for command in &commands {
        let name = command["command"].as_str().unwrap_or_default();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || name.len() > 32 || !name.chars().all(plain) {
            return Err(ApiRefusal::bad_request("BOT_COMMAND_INVALID"));
        }
        if !(1..=256).contains(&command["description"].as_str().unwrap_or_default().chars().count()) {
            return Err(ApiRefusal::bad_request("BOT_COMMAND_DESCRIPTION_INVALID"));
        }
    }
    let chat = body.fields["scope"]["chat_id"].as_i64().unwrap_or(0);
    if commands.len() > 100 {
        return Err(ApiRefusal::bad_request("BOT_COMMANDS_TOO_MUCH"));
    }
    if !state.has_blocked.contains_key(&chat) {
        groups::require_membership(state, chat)?;
    }
    state.commands.insert(chat, commands.into());
    Ok(json!(true))
}

fn clear_commands(state: &mut FakeState, body: &RequestBody) -> ApiResult<Value> {
    let chat = body.fields["scope"]["chat_id"].as_i64().unwrap_or(0);
    if !state.has_blocked.contains_key(&chat) {
        groups::require_membership(state, chat)?;
    }
    state.commands.remove(&chat);
    Ok(json!(true))
}

/// The chat, if the bot may write there.
fn writable_chat(state: &FakeState, body: &RequestBody) -> ApiResult<i64> {
    let Some(chat) = body.number_field("chat_id") else {
        return Err(ApiRefusal::bad_request("chat_id is empty"));
    };
    match state.has_blocked.get(&chat) {
        Some(true) => Err(ApiRefusal::new(403, "Forbidden: bot was blocked by the user")),
        Some(false) => Ok(chat),
        None => groups::require_write_access(state, chat).map(|()| chat),
    }
}

fn checked_text(state: &mut FakeState, body: &RequestBody) -> ApiResult<String> {
    let text = body.text_field("text");
    if body.fields["link_preview_options"]["is_disabled"] != true {
        state.complaints.push("a text is sent with previews of its links".to_owned());
    }
    if text.trim().is_empty() {
        return Err(ApiRefusal::bad_request("message text is empty"));
    }
    if text.encode_utf16().count() > 4096 {
        return Err(ApiRefusal::bad_request("message is too long"));
    }
    Ok(text.to_owned())
}

/// Entities that lie in the text; Telegram drops those after the hundredth, which nobody must rely on.
fn checked_entities(entities: &Value, text: &str) -> ApiResult<Value> {
    let length = i64::try_from(text.encode_utf16().count()).unwrap();
    let list = entities.as_array().cloned().unwrap_or_default();
    for entity in &list {
        let (offset, long) =
            (entity["offset"].as_i64().unwrap_or(-1), entity["length"].as_i64().unwrap_or(0));
        if offset < 0 || long < 1 || offset + long > length {
            return Err(ApiRefusal::bad_request("ENTITY_BOUNDS_INVALID"));
        }
    }
    if list.len() > 100 {
        return Err(ApiRefusal::bad_request("ENTITIES_TOO_LONG"));
    }
    Ok(list.into())
}

fn checked_keyboard(body: &RequestBody) -> ApiResult<Option<Value>> {
    let Some(markup) = body.fields.get("reply_markup") else { return Ok(None) };
    if markup["force_reply"] == true {
        return Ok(Some(markup.clone()));
    }
    let rows = markup["inline_keyboard"].as_array();
    let Some(rows) = rows else { return Err(ApiRefusal::bad_request("object expected as reply markup")) };
    let mut count = 0;
    for row in rows {
        let Some(row) = row.as_array() else {
            return Err(ApiRefusal::bad_request("can't parse inline keyboard: row must be an Array"));
        };
        for button in row {
            count += 1;
            check_button(button)?;
        }
    }
    if count > 100 {
        return Err(ApiRefusal::bad_request("reply markup is too long"));
    }
    Ok((count > 0).then(|| rows.clone().into()))
}

fn check_button(button: &Value) -> ApiResult<()> {
    if button["text"].as_str().is_none_or(|text| text.trim().is_empty()) {
        return Err(ApiRefusal::bad_request("can't parse inline keyboard button: Field \"text\" is empty"));
    }
    if let Some(data) = button.get("callback_data") {
        let fits = data.as_str().is_some_and(|data| (1..=64).contains(&data.len()));
        return if fits { Ok(()) } else { Err(ApiRefusal::bad_request("BUTTON_DATA_INVALID")) };
    }
    let acts = ["url", "copy_text"].iter().any(|act| button.get(act).is_some());
    if acts {
        return Ok(());
    }
    Err(ApiRefusal::bad_request(
        "can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard",
    ))
}

fn empty_message() -> ShownMessage {
    ShownMessage {
        id: 0,
        thread: None,
        by_bot: true,
        text: String::new(),
        entities: json!([]),
        keyboard: None,
        document: None,
        edits: 0,
    }
}

fn insert_message(state: &mut FakeState, chat: i64, shown: ShownMessage) -> Value {
    let id = state.next_message_id();
    state.messages.insert((chat, id), ShownMessage { id, ..shown });
    json!({"message_id": id, "date": 0, "chat": state.chat_json(chat)})
}
