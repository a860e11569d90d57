//! The seam: what the bot sends, reads and makes of failures.

use std::time::Duration;

use portero::secret::Secret;
use porterod::telegram::client::{
    Bot, BotAddress, BotError, ChatId, DocumentUpload, InlineButton, InlineKeyboard, MenuCommand, MessageId,
    NetworkFailure, QueryId, Refusal, RetryAfter, Update, UpdateId, UpdateKind,
};
use porterod::telegram::text::{FormattedText, TextEntity, TextStyle};
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, Fault, TOKEN, USERNAME};

const JANE: i64 = 501;
const CHAT: ChatId = ChatId(JANE);
const NO_WAIT: Duration = Duration::ZERO;

pub(crate) fn address_of(telegram: &FakeTelegram) -> BotAddress {
    BotAddress {
        token: Secret::new(TOKEN),
        api_url: Some(telegram.api_url()),
        proxy: None,
        request_timeout: Duration::from_secs(10),
    }
}

/// A bot that Jane has written to, with the update confirmed.
async fn bot_started_by_jane() -> (FakeTelegram, Bot) {
    let telegram = FakeTelegram::start().await;
    let bot = Bot::new(&address_of(&telegram)).unwrap();
    let update = telegram.send_text(JANE, "/start");
    bot.get_updates(Some(UpdateId(update + 1)), NO_WAIT).await.unwrap();
    (telegram, bot)
}

fn plain_text(text: &str) -> FormattedText {
    FormattedText { text: text.to_owned(), entities: Vec::new() }
}

fn yes_no_keyboard() -> InlineKeyboard {
    let button = |text: &str| InlineButton::new(text, format!("{text}-token")).unwrap();
    InlineKeyboard::new(vec![vec![button("Yes"), button("No")]]).unwrap()
}

fn update_text(update: &Update) -> String {
    match &update.kind {
        UpdateKind::Message(message) => message.text.clone().unwrap_or_default(),
        UpdateKind::CallbackQuery(_)
        | UpdateKind::ChatMigrated { .. }
        | UpdateKind::BotMembership(_)
        | UpdateKind::Other => String::new(),
    }
}

#[tokio::test]
async fn a_bot_knows_its_name() {
    let telegram = FakeTelegram::start().await;
    assert_eq!(Bot::new(&address_of(&telegram)).unwrap().get_me().await.unwrap().username, USERNAME);
}

#[tokio::test]
async fn a_message_arrives_with_its_marks_and_buttons() {
    let (telegram, bot) = bot_started_by_jane().await;
    let bold = TextEntity { style: TextStyle::Bold, offset: 0, length: 2 };
    let message = FormattedText { text: "🦀 <b>*raw*</b>".to_owned(), entities: vec![bold] };
    let id = bot.send_message(CHAT, &message, Some(&yes_no_keyboard())).await.unwrap();
    let shown = telegram.bot_messages(JANE).pop().unwrap();
    assert_eq!((MessageId(shown.id), shown.text.as_str()), (id, "🦀 <b>*raw*</b>"));
    assert_eq!(shown.entities, json!([{"type": "bold", "offset": 0, "length": 2}]));
    assert_eq!(shown.keyboard.unwrap()[0][1], json!({"text": "No", "callback_data": "No-token"}));
}

#[tokio::test]
async fn a_message_is_edited_until_it_is_removed() {
    let (telegram, bot) = bot_started_by_jane().await;
    let id = bot.send_message(CHAT, &plain_text("before"), Some(&yes_no_keyboard())).await.unwrap();
    bot.edit_text(CHAT, id, &plain_text("after"), Some(&yes_no_keyboard())).await.unwrap();
    bot.edit_text(CHAT, id, &plain_text("after"), None).await.unwrap();
    let shown = telegram.bot_messages(JANE).pop().unwrap();
    assert_eq!((shown.text.as_str(), shown.keyboard), ("after", None));
    let again = bot.edit_text(CHAT, id, &plain_text("after"), None).await;
    assert_eq!(again, Err(BotError::Refused(Refusal::NotModified)));
    telegram.remove_message(JANE, id.0);
    let gone = bot.edit_text(CHAT, id, &plain_text("x"), None).await;
    assert_eq!(gone, Err(BotError::Refused(Refusal::MessageGone)));
}

#[tokio::test]
async fn a_file_arrives_byte_for_byte() {
    let (telegram, bot) = bot_started_by_jane().await;
    let bytes: Vec<u8> = (0..=255).chain(*b"\r\n--portero-\r\n").collect();
    let code = TextEntity { style: TextStyle::Code, offset: 4, length: 5 };
    let caption = FormattedText { text: "the whole call".to_owned(), entities: vec![code] };
    let document = DocumentUpload::new("call-1.json", bytes.clone(), Some(caption)).unwrap();
    bot.send_document(CHAT, &document).await.unwrap();
    let shown = telegram.bot_messages(JANE).pop().unwrap();
    assert_eq!(shown.document, Some(("call-1.json".to_owned(), bytes)));
    assert_eq!((shown.text.as_str(), &shown.entities[0]["type"]), ("the whole call", &json!("code")));
}

#[tokio::test]
async fn commands_are_offered_in_one_chat() {
    let (telegram, bot) = bot_started_by_jane().await;
    bot.set_commands(CHAT, &[MenuCommand::new("status", "how things stand").unwrap()]).await.unwrap();
    let call = telegram.calls("setMyCommands").pop().unwrap();
    assert_eq!(call.body["scope"], json!({"type": "chat", "chat_id": JANE}));
    assert_eq!(telegram.menu_commands(JANE), ["status"]);
    bot.clear_commands(CHAT).await.unwrap();
    assert!(telegram.menu_commands(JANE).is_empty());
}

#[tokio::test]
async fn what_people_write_is_read_until_it_is_confirmed() {
    let (telegram, bot) = bot_started_by_jane().await;
    let (first, second) = (telegram.send_text(JANE, "one"), telegram.send_text(JANE, "two"));
    let both = bot.get_updates(None, NO_WAIT).await.unwrap();
    assert_eq!(both.iter().map(update_text).collect::<Vec<_>>(), ["one", "two"]);
    let rest = bot.get_updates(Some(UpdateId(first + 1)), NO_WAIT).await.unwrap();
    assert_eq!(rest.iter().map(|update| update.id).collect::<Vec<_>>(), [UpdateId(second)]);
    assert!(bot.get_updates(Some(UpdateId(second + 1)), NO_WAIT).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_poll_waits_for_what_comes() {
    let (telegram, bot) = bot_started_by_jane().await;
    let asked = telegram.calls("getUpdates").len();
    let polling = tokio::spawn(async move { bot.get_updates(None, Duration::from_secs(30)).await });
    telegram.wait_until("a poll", |it| (it.calls("getUpdates").len() > asked).then_some(())).await;
    telegram.send_text(JANE, "now");
    assert_eq!(update_text(&polling.await.unwrap().unwrap()[0]), "now");
}

#[tokio::test]
async fn every_poll_says_what_it_wants() {
    let (telegram, bot) = bot_started_by_jane().await;
    telegram.inject_fault("getUpdates", Fault::Server(502), 1);
    assert_eq!(bot.get_updates(None, NO_WAIT).await, Err(BotError::ServerError(502)));
    bot.get_updates(None, NO_WAIT).await.unwrap();
    for call in telegram.calls("getUpdates") {
        assert_eq!(call.body["allowed_updates"], json!(["message", "callback_query", "my_chat_member"]));
    }
}

#[tokio::test]
async fn what_nobody_knows_hides_no_later_message() {
    let (telegram, bot) = bot_started_by_jane().await;
    let strange = telegram.send_unknown_update();
    telegram.send_text(JANE, "after it");
    let updates = bot.get_updates(None, NO_WAIT).await.unwrap();
    assert_eq!(updates[0], Update { id: UpdateId(strange), kind: UpdateKind::Other });
    assert_eq!(update_text(&updates[1]), "after it");
}

#[tokio::test]
async fn a_press_is_read_and_answered() {
    let (telegram, bot) = bot_started_by_jane().await;
    let id = bot.send_message(CHAT, &plain_text("May it?"), Some(&yes_no_keyboard())).await.unwrap();
    let query = telegram.press(JANE, id.0, "Yes");
    let updates = bot.get_updates(None, NO_WAIT).await.unwrap();
    let UpdateKind::CallbackQuery(press) = &updates[0].kind else { panic!("{updates:?}") };
    assert_eq!((press.message_place, press.data.as_deref()), (Some((CHAT, true, id)), Some("Yes-token")));
    bot.answer_callback_query(&press.query, Some(&"long ".repeat(100)), true).await.unwrap();
    assert_eq!(telegram.press_answer(&query).unwrap()["show_alert"], true);
    telegram.age_presses();
    let late = bot.answer_callback_query(&QueryId(query), None, false).await;
    assert_eq!(late, Err(BotError::Refused(Refusal::QueryTooOld)));
}

#[tokio::test]
async fn every_failure_has_its_name_and_none_is_waited_for() {
    let (telegram, bot) = bot_started_by_jane().await;
    let began = std::time::Instant::now();
    for (fault, error) in [
        (Fault::RetryAfter(37), BotError::RetryAfter(RetryAfter::from_requested(Duration::from_secs(37)))),
        (Fault::Server(500), BotError::ServerError(500)),
        (Fault::Server(502), BotError::ServerError(502)),
        (Fault::Unauthorized, BotError::Unauthorized),
        (Fault::NotFound, BotError::Refused(Refusal::MethodNotFound)),
        (Fault::Forbidden, BotError::Blocked),
        (Fault::Conflict, BotError::Conflict),
        (Fault::Nonsense, BotError::InvalidResponse),
        (Fault::Drop, BotError::Network(NetworkFailure::Lost)),
        (Fault::DropAfter, BotError::Network(NetworkFailure::Lost)),
    ] {
        telegram.inject_fault("sendMessage", fault, 1);
        assert_eq!(bot.send_message(CHAT, &plain_text("x"), None).await, Err(error), "{fault:?}");
    }
    telegram.inject_fault("sendMessage", Fault::NotFound, 1);
    telegram.inject_fault("getMe", Fault::NotFound, 1);
    assert_eq!(bot.send_message(CHAT, &plain_text("x"), None).await, Err(BotError::Unauthorized));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(telegram.bot_messages(JANE).len(), 1, "only what was done before the connection broke");
}

#[tokio::test]
async fn whoever_blocks_the_bot_or_never_wrote_is_told_apart() {
    let (telegram, bot) = bot_started_by_jane().await;
    telegram.block(JANE);
    assert_eq!(bot.send_message(CHAT, &plain_text("x"), None).await, Err(BotError::Blocked));
    let unknown = bot.send_message(ChatId(999), &plain_text("x"), None).await;
    assert_eq!(unknown, Err(BotError::Refused(Refusal::ChatUnknown)));
}

#[tokio::test]
async fn a_call_that_hangs_ends() {
    let telegram = FakeTelegram::start().await;
    let bot = Bot::new(&BotAddress { request_timeout: Duration::from_millis(200), ..address_of(&telegram) })
        .unwrap();
    telegram.inject_fault("getMe", Fault::Hang, 1);
    assert_eq!(bot.get_me().await.err(), Some(BotError::Network(NetworkFailure::TimedOut)));
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let telegram = FakeTelegram::start().await;
    let bot = Bot::new(&BotAddress { api_url: Some(url), ..address_of(&telegram) }).unwrap();
    assert_eq!(bot.get_me().await.err(), Some(BotError::Network(NetworkFailure::Unreachable)));
}

#[tokio::test]
async fn of_two_that_poll_the_older_is_told() {
    let (telegram, bot) = bot_started_by_jane().await;
    let asked = telegram.calls("getUpdates").len();
    let other = bot.clone();
    let polling = tokio::spawn(async move { other.get_updates(None, Duration::from_secs(30)).await });
    telegram.wait_until("a poll", |it| (it.calls("getUpdates").len() > asked).then_some(())).await;
    bot.get_updates(None, NO_WAIT).await.unwrap();
    assert_eq!(polling.await.unwrap(), Err(BotError::Conflict));
}

#[tokio::test]
async fn another_token_is_nobodys() {
    let telegram = FakeTelegram::start().await;
    let bot = Bot::new(&BotAddress { token: Secret::new("4711:other"), ..address_of(&telegram) }).unwrap();
    assert_eq!(bot.get_me().await.err(), Some(BotError::Unauthorized));
}

#[tokio::test]
async fn no_failure_holds_the_token() {
    let telegram = FakeTelegram::start().await;
    let bot = Bot::new(&BotAddress { request_timeout: Duration::from_millis(200), ..address_of(&telegram) })
        .unwrap();
    telegram.send_text(JANE, "hi");
    for fault in [
        Fault::RetryAfter(1),
        Fault::Server(500),
        Fault::Unauthorized,
        Fault::Nonsense,
        Fault::Drop,
        Fault::Hang,
    ] {
        telegram.inject_fault("sendMessage", fault, 1);
        let error = bot.send_message(CHAT, &plain_text("x"), None).await.unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        assert!(!shown.contains("fake-secret") && !shown.contains("127.0.0.1"), "{shown}");
    }
}
