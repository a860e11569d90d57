//! The seam: what the bot sends, reads and makes of failures.

use std::time::Duration;

use portero::secret::Secret;
use porterod::channels::telegram::bot::{
    Address, Bot, BotError, Button, ChatId, Command, Document, Incoming, Keyboard, MessageId, Network,
    QueryId, Refusal, RetryAfter, Update, UpdateId,
};
use porterod::channels::telegram::text::{Entity, Message, Style};
use serde_json::json;

use crate::standin::{Fault, StandIn, TOKEN, USERNAME};

const JANE: i64 = 501;
const CHAT: ChatId = ChatId(JANE);
const NO_WAIT: Duration = Duration::ZERO;

pub(crate) fn address(telegram: &StandIn) -> Address {
    Address {
        token: Secret::new(TOKEN),
        api_url: Some(telegram.api_url()),
        proxy: None,
        patience: Duration::from_secs(10),
    }
}

/// A bot that Jane has written to, with the update confirmed.
async fn known_to_jane() -> (StandIn, Bot) {
    let telegram = StandIn::start().await;
    let bot = Bot::new(&address(&telegram)).unwrap();
    let update = telegram.say(JANE, "/start");
    bot.updates(Some(UpdateId(update + 1)), NO_WAIT).await.unwrap();
    (telegram, bot)
}

fn text(text: &str) -> Message {
    Message { text: text.to_owned(), entities: Vec::new() }
}

fn yes_or_no() -> Keyboard {
    let button = |text: &str| Button::new(text, format!("{text}-token")).unwrap();
    Keyboard::new(vec![vec![button("Yes"), button("No")]]).unwrap()
}

fn words(update: &Update) -> String {
    match &update.what {
        Incoming::Message(message) => message.text.clone().unwrap_or_default(),
        Incoming::Press(_) | Incoming::Moved { .. } | Incoming::Membership(_) | Incoming::Other => {
            String::new()
        }
    }
}

#[tokio::test]
async fn a_bot_knows_its_name() {
    let telegram = StandIn::start().await;
    assert_eq!(Bot::new(&address(&telegram)).unwrap().me().await.unwrap().username, USERNAME);
}

#[tokio::test]
async fn a_message_arrives_with_its_marks_and_buttons() {
    let (telegram, bot) = known_to_jane().await;
    let bold = Entity { style: Style::Bold, offset: 0, length: 2 };
    let message = Message { text: "🦀 <b>*raw*</b>".to_owned(), entities: vec![bold] };
    let id = bot.send(CHAT, &message, Some(&yes_or_no())).await.unwrap();
    let shown = telegram.by_bot(JANE).pop().unwrap();
    assert_eq!((MessageId(shown.id), shown.text.as_str()), (id, "🦀 <b>*raw*</b>"));
    assert_eq!(shown.entities, json!([{"type": "bold", "offset": 0, "length": 2}]));
    assert_eq!(shown.keyboard.unwrap()[0][1], json!({"text": "No", "callback_data": "No-token"}));
}

#[tokio::test]
async fn a_message_is_edited_until_it_is_removed() {
    let (telegram, bot) = known_to_jane().await;
    let id = bot.send(CHAT, &text("before"), Some(&yes_or_no())).await.unwrap();
    bot.edit(CHAT, id, &text("after"), Some(&yes_or_no())).await.unwrap();
    bot.edit_keyboard(CHAT, id, None).await.unwrap();
    let shown = telegram.by_bot(JANE).pop().unwrap();
    assert_eq!((shown.text.as_str(), shown.keyboard), ("after", None));
    let again = bot.edit(CHAT, id, &text("after"), None).await;
    assert_eq!(again, Err(BotError::Refused(Refusal::NotModified)));
    telegram.remove(JANE, id.0);
    let gone = bot.edit(CHAT, id, &text("x"), None).await;
    assert_eq!(gone, Err(BotError::Refused(Refusal::MessageGone)));
}

#[tokio::test]
async fn a_file_arrives_byte_for_byte() {
    let (telegram, bot) = known_to_jane().await;
    let bytes: Vec<u8> = (0..=255).chain(*b"\r\n--portero-\r\n").collect();
    let code = Entity { style: Style::Code, offset: 4, length: 5 };
    let caption = Message { text: "the whole call".to_owned(), entities: vec![code] };
    let document = Document::new("call-1.json", bytes.clone(), Some(caption)).unwrap();
    bot.send_document(CHAT, &document).await.unwrap();
    let shown = telegram.by_bot(JANE).pop().unwrap();
    assert_eq!(shown.document, Some(("call-1.json".to_owned(), bytes)));
    assert_eq!((shown.text.as_str(), &shown.entities[0]["type"]), ("the whole call", &json!("code")));
}

#[tokio::test]
async fn commands_are_offered_in_one_chat() {
    let (telegram, bot) = known_to_jane().await;
    bot.set_commands(CHAT, &[Command::new("status", "how things stand").unwrap()]).await.unwrap();
    let call = telegram.calls("setMyCommands").pop().unwrap();
    assert_eq!(call.body["scope"], json!({"type": "chat", "chat_id": JANE}));
    assert_eq!(telegram.menu(JANE), ["status"]);
    bot.clear_commands(CHAT).await.unwrap();
    assert!(telegram.menu(JANE).is_empty());
}

#[tokio::test]
async fn what_people_write_is_read_until_it_is_confirmed() {
    let (telegram, bot) = known_to_jane().await;
    let (first, second) = (telegram.say(JANE, "one"), telegram.say(JANE, "two"));
    let both = bot.updates(None, NO_WAIT).await.unwrap();
    assert_eq!(both.iter().map(words).collect::<Vec<_>>(), ["one", "two"]);
    let rest = bot.updates(Some(UpdateId(first + 1)), NO_WAIT).await.unwrap();
    assert_eq!(rest.iter().map(|update| update.id).collect::<Vec<_>>(), [UpdateId(second)]);
    assert!(bot.updates(Some(UpdateId(second + 1)), NO_WAIT).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_poll_waits_for_what_comes() {
    let (telegram, bot) = known_to_jane().await;
    let asked = telegram.calls("getUpdates").len();
    let polling = tokio::spawn(async move { bot.updates(None, Duration::from_secs(30)).await });
    telegram.until("a poll", |it| (it.calls("getUpdates").len() > asked).then_some(())).await;
    telegram.say(JANE, "now");
    assert_eq!(words(&polling.await.unwrap().unwrap()[0]), "now");
}

#[tokio::test]
async fn every_poll_says_what_it_wants() {
    let (telegram, bot) = known_to_jane().await;
    telegram.fault("getUpdates", Fault::Server(502), 1);
    assert_eq!(bot.updates(None, NO_WAIT).await, Err(BotError::Server(502)));
    bot.updates(None, NO_WAIT).await.unwrap();
    for call in telegram.calls("getUpdates") {
        assert_eq!(call.body["allowed_updates"], json!(["message", "callback_query", "my_chat_member"]));
    }
}

#[tokio::test]
async fn what_nobody_knows_hides_no_later_message() {
    let (telegram, bot) = known_to_jane().await;
    let strange = telegram.something_new();
    telegram.say(JANE, "after it");
    let updates = bot.updates(None, NO_WAIT).await.unwrap();
    assert_eq!(updates[0], Update { id: UpdateId(strange), what: Incoming::Other });
    assert_eq!(words(&updates[1]), "after it");
}

#[tokio::test]
async fn a_press_is_read_and_answered() {
    let (telegram, bot) = known_to_jane().await;
    let id = bot.send(CHAT, &text("May it?"), Some(&yes_or_no())).await.unwrap();
    let query = telegram.press(JANE, id.0, "Yes");
    let updates = bot.updates(None, NO_WAIT).await.unwrap();
    let Incoming::Press(press) = &updates[0].what else { panic!("{updates:?}") };
    assert_eq!((press.place, press.data.as_deref()), (Some((CHAT, true, id)), Some("Yes-token")));
    bot.answer(&press.query, Some(&"long ".repeat(100)), true).await.unwrap();
    assert_eq!(telegram.answer_to(&query).unwrap()["show_alert"], true);
    telegram.age_presses();
    let late = bot.answer(&QueryId(query), None, false).await;
    assert_eq!(late, Err(BotError::Refused(Refusal::QueryTooOld)));
}

#[tokio::test]
async fn every_failure_has_its_name_and_none_is_waited_for() {
    let (telegram, bot) = known_to_jane().await;
    let began = std::time::Instant::now();
    for (fault, error) in [
        (Fault::RetryAfter(37), BotError::RetryAfter(RetryAfter::asked(Duration::from_secs(37)))),
        (Fault::Server(500), BotError::Server(500)),
        (Fault::Server(502), BotError::Server(502)),
        (Fault::Unauthorized, BotError::Unauthorized),
        (Fault::NotFound, BotError::Refused(Refusal::NotFound)),
        (Fault::Forbidden, BotError::Blocked),
        (Fault::Conflict, BotError::Conflict),
        (Fault::Nonsense, BotError::Nonsense),
        (Fault::Drop, BotError::Network(Network::Lost)),
        (Fault::DropAfter, BotError::Network(Network::Lost)),
    ] {
        telegram.fault("sendMessage", fault, 1);
        assert_eq!(bot.send(CHAT, &text("x"), None).await, Err(error), "{fault:?}");
    }
    telegram.fault("sendMessage", Fault::NotFound, 1);
    telegram.fault("getMe", Fault::NotFound, 1);
    assert_eq!(bot.send(CHAT, &text("x"), None).await, Err(BotError::Unauthorized));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(telegram.by_bot(JANE).len(), 1, "only what was done before the connection broke");
}

#[tokio::test]
async fn whoever_blocks_the_bot_or_never_wrote_is_told_apart() {
    let (telegram, bot) = known_to_jane().await;
    telegram.block(JANE);
    assert_eq!(bot.send(CHAT, &text("x"), None).await, Err(BotError::Blocked));
    let unknown = bot.send(ChatId(999), &text("x"), None).await;
    assert_eq!(unknown, Err(BotError::Refused(Refusal::ChatUnknown)));
}

#[tokio::test]
async fn a_call_that_hangs_ends() {
    let telegram = StandIn::start().await;
    let bot = Bot::new(&Address { patience: Duration::from_millis(200), ..address(&telegram) }).unwrap();
    telegram.fault("getMe", Fault::Hang, 1);
    assert_eq!(bot.me().await.err(), Some(BotError::Network(Network::Slow)));
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let telegram = StandIn::start().await;
    let bot = Bot::new(&Address { api_url: Some(url), ..address(&telegram) }).unwrap();
    assert_eq!(bot.me().await.err(), Some(BotError::Network(Network::Unreachable)));
}

#[tokio::test]
async fn of_two_that_poll_the_older_is_told() {
    let (telegram, bot) = known_to_jane().await;
    let asked = telegram.calls("getUpdates").len();
    let other = bot.clone();
    let polling = tokio::spawn(async move { other.updates(None, Duration::from_secs(30)).await });
    telegram.until("a poll", |it| (it.calls("getUpdates").len() > asked).then_some(())).await;
    bot.updates(None, NO_WAIT).await.unwrap();
    assert_eq!(polling.await.unwrap(), Err(BotError::Conflict));
}

#[tokio::test]
async fn another_token_is_nobodys() {
    let telegram = StandIn::start().await;
    let bot = Bot::new(&Address { token: Secret::new("4711:other"), ..address(&telegram) }).unwrap();
    assert_eq!(bot.me().await.err(), Some(BotError::Unauthorized));
}

#[tokio::test]
async fn no_failure_holds_the_token() {
    let telegram = StandIn::start().await;
    let bot = Bot::new(&Address { patience: Duration::from_millis(200), ..address(&telegram) }).unwrap();
    telegram.say(JANE, "hi");
    for fault in [
        Fault::RetryAfter(1),
        Fault::Server(500),
        Fault::Unauthorized,
        Fault::Nonsense,
        Fault::Drop,
        Fault::Hang,
    ] {
        telegram.fault("sendMessage", fault, 1);
        let error = bot.send(CHAT, &text("x"), None).await.unwrap_err();
        let shown = format!("{error} {error:?} {error:#?}");
        assert!(!shown.contains("stand_in") && !shown.contains("127.0.0.1"), "{shown}");
    }
}
