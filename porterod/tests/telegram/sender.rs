//! Sending: at Telegram's pace, in any weather, once for each cause.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portero::anonymize::Anonymizer;
use portero::audit::AuditWriter;
use portero::clock::{Clock as _, TestClock};
use porterod::journal::Journal;
use porterod::store::Store;
use porterod::telegram::client::{Bot, BotError, ChatId, InlineButton, InlineKeyboard, MessageId, QueryId};
use porterod::telegram::sender::{
    DeliveryError, MessageEdit, MessageKey, OutgoingMessage, SendPriority, SendTiming, SenderExit,
    TelegramSender,
};
use porterod::telegram::text::FormattedText;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::bot::address_of;
use crate::fake_telegram::{FakeTelegram, Fault};
use crate::fixture::WAIT_TIMEOUT;

const JANE: i64 = 501;
const CHAT: ChatId = ChatId(JANE);

/// A store, a Telegram that Jane uses, and a courier that can be ended and begun anew.
struct SenderFixture {
    _directory: TempDir,
    journal: Arc<Journal>,
    telegram: FakeTelegram,
    sender: TelegramSender,
    stop: CancellationToken,
    running: JoinHandle<SenderExit>,
}

impl SenderFixture {
    async fn new() -> Self {
        Self::with_interval(Duration::from_millis(1)).await
    }

    async fn with_interval(gap: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()));
        let audit =
            Arc::new(AuditWriter::open(&directory.path().join("audit"), "test", clock.now()).unwrap());
        let store = Store::open(&directory.path().join("portero.db"), None, Box::new(|| Ok(()))).unwrap();
        let journal = Journal::new(store, audit, Arc::default(), clock);
        let telegram = FakeTelegram::start().await;
        telegram.send_text(JANE, "/start");
        let (courier, stop, running) = start_sender(&telegram, &journal, gap);
        Self { _directory: directory, journal, telegram, sender: courier, stop, running }
    }

    /// Ends the courier and begins another on the same store.
    async fn restart_sender(&mut self) {
        self.stop.cancel();
        (&mut self.running).await.unwrap();
        (self.sender, self.stop, self.running) =
            start_sender(&self.telegram, &self.journal, Duration::from_millis(1));
    }

    fn send_card(&self, name: &str) -> impl Future<Output = Result<MessageId, DeliveryError>> + use<> {
        self.sender
            .send(CHAT, message_with_button(name), SendPriority::Required, MessageKey::new("card", name))
            .outcome()
    }

    fn shown_texts(&self) -> Vec<String> {
        self.telegram.bot_messages(JANE).into_iter().map(|message| message.text).collect()
    }
}

fn start_sender(
    telegram: &FakeTelegram,
    journal: &Arc<Journal>,
    gap: Duration,
) -> (TelegramSender, CancellationToken, JoinHandle<SenderExit>) {
    let pause = Duration::from_millis(5);
    let pace = SendTiming {
        chat_interval: gap,
        initial_backoff: pause,
        max_backoff: 4 * pause,
        ..SendTiming::default()
    };
    let courier = TelegramSender::new(
        Bot::new(&address_of(telegram)).unwrap(),
        Arc::clone(journal),
        empty_anonymizer(),
        pace,
    );
    let stop = CancellationToken::new();
    let (running, until) = (courier.clone(), stop.clone());
    (courier, stop, tokio::spawn(async move { running.run(until).await }))
}

fn empty_anonymizer() -> Arc<ArcSwap<Anonymizer>> {
    Arc::new(ArcSwap::from_pointee(Anonymizer::empty()))
}

fn plain_message(text: &str) -> FormattedText {
    FormattedText { text: text.to_owned(), entities: Vec::new() }
}

fn message_with_button(text: &str) -> OutgoingMessage {
    let button = InlineButton::new("Yes", "token").unwrap();
    OutgoingMessage::Text(plain_message(text), Some(InlineKeyboard::new(vec![vec![button]]).unwrap()))
}

#[tokio::test]
async fn a_card_arrives_in_any_weather_and_once() {
    let post = SenderFixture::new().await;
    for fault in [
        Fault::RetryAfter(0),
        Fault::Server(500),
        Fault::Server(502),
        Fault::Conflict,
        Fault::Nonsense,
        Fault::Drop,
    ] {
        post.telegram.inject_fault("sendMessage", fault, 3);
    }
    let id = post.send_card("card").await.unwrap();
    let shown = post.telegram.bot_messages(JANE);
    assert_eq!(shown.iter().map(|shown| MessageId(shown.id)).collect::<Vec<_>>(), [id]);
    assert_eq!(post.sender.current_error(), None);
}

#[tokio::test]
async fn what_was_confirmed_is_not_sent_again_after_a_restart() {
    let mut post = SenderFixture::new().await;
    let id = post.send_card("card").await.unwrap();
    post.restart_sender().await;
    assert_eq!(post.send_card("card").await, Ok(id));
    post.send_card("other").await.unwrap();
    assert_eq!(post.shown_texts(), ["card", "other"]);
}

#[tokio::test]
async fn what_was_under_way_at_the_end_can_be_handed_in_again() {
    let mut post = SenderFixture::new().await;
    post.telegram.inject_fault("sendMessage", Fault::Server(502), 1_000_000);
    let waiting = post.send_card("card");
    post.telegram.wait_until("a try", |it| (!it.calls("sendMessage").is_empty()).then_some(())).await;
    post.restart_sender().await;
    assert_eq!(waiting.await, Err(DeliveryError::Closed));
    post.telegram.clear_faults("sendMessage");
    post.send_card("card").await.unwrap();
    assert_eq!(post.shown_texts(), ["card"]);
}

#[tokio::test]
async fn a_lost_answer_may_send_twice_but_never_loses() {
    let post = SenderFixture::new().await;
    post.telegram.inject_fault("sendMessage", Fault::DropAfter, 1);
    let id = post.send_card("card").await.unwrap();
    let shown = post.telegram.bot_messages(JANE);
    assert_eq!(
        shown.last().map(|shown| MessageId(shown.id)),
        Some(id),
        "the later one is the one that is known"
    );
    assert_eq!(shown.len(), 2);
}

#[tokio::test]
async fn messages_keep_their_distance() {
    let gap = Duration::from_millis(60);
    let post = SenderFixture::with_interval(gap).await;
    let (one, two, three) = (post.send_card("one"), post.send_card("two"), post.send_card("three"));
    for card in [one, two, three] {
        card.await.unwrap();
    }
    let times: Vec<_> = post.telegram.calls("sendMessage").iter().map(|call| call.at).collect();
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= gap), "{times:?}");
    assert_eq!(post.shown_texts(), ["one", "two", "three"]);
}

#[tokio::test]
async fn an_answer_does_not_wait_for_a_message_that_hangs() {
    let post = SenderFixture::new().await;
    post.telegram.inject_fault("sendMessage", Fault::Hang, 1);
    drop(post.send_card("card"));
    let query = post.telegram.press_data(JANE, 1, "token");
    post.sender.answer_callback(QueryId(query.clone()), Some("noted".to_owned()), false);
    let answer = post.telegram.wait_until("the answer", |it| it.press_answer(&query)).await;
    assert_eq!(answer["text"], "noted");
}

#[tokio::test]
async fn a_message_changes_to_the_last_of_its_changes() {
    let post = SenderFixture::with_interval(Duration::from_millis(40)).await;
    let id = post.send_card("card").await.unwrap();
    let changes: Vec<_> = ["one", "two", "three"]
        .into_iter()
        .map(|text| post.sender.edit_message(CHAT, id, MessageEdit(plain_message(text), None)).outcome())
        .collect();
    for change in changes {
        assert_eq!(change.await, Ok(id));
    }
    let shown = post.telegram.bot_messages(JANE).pop().unwrap();
    assert_eq!((shown.text.as_str(), shown.edits, shown.keyboard), ("three", 1, None));
    let same = post.sender.edit_message(CHAT, id, MessageEdit(plain_message("three"), None)).outcome().await;
    assert_eq!(same, Ok(id), "what is so already is done");
}

#[tokio::test]
async fn what_waits_for_a_person_who_blocked_the_bot_arrives_once_they_let_it() {
    let post = SenderFixture::new().await;
    post.telegram.block(JANE);
    let card = post.send_card("card");
    post.telegram.wait_until("a try", |it| (!it.calls("sendMessage").is_empty()).then_some(())).await;
    let waiting = async {
        while post.sender.current_error() != Some(BotError::Blocked) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, waiting).await.expect("what is wrong is told");
    assert_eq!(post.telegram.calls("sendMessage").len(), 1, "it is hardly tried");
    let prompt = post.sender.send(
        CHAT,
        message_with_button("now"),
        SendPriority::Immediate,
        MessageKey::new("card", "now"),
    );
    assert_eq!(prompt.outcome().await, Err(DeliveryError::Unreachable), "it is worth nothing later");
    post.telegram.unblock(JANE);
    post.sender.retry_chat(CHAT);
    card.await.unwrap();
    assert_eq!((post.shown_texts(), post.sender.current_error()), (vec!["card".to_owned()], None));
}

/// `retry_after` is a number of any size: the sum of it and a time must not be too much for a clock.
#[tokio::test]
async fn an_absurd_wait_is_told_and_not_kept_to() {
    let post = SenderFixture::new().await;
    post.telegram.inject_fault("sendMessage", Fault::RetryAfter(u64::MAX), 1);
    drop(post.send_card("card"));
    let told = async {
        loop {
            if let Some(error) = post.sender.current_error() {
                return error.to_string();
            }
            tokio::task::yield_now().await;
        }
    };
    let told = tokio::time::timeout(WAIT_TIMEOUT, told).await.expect("what is wrong is told");
    let asked = u64::MAX;
    assert_eq!(told, format!("too many requests; again in 900 s, though Telegram asks for {asked} s"));
    assert!(!post.running.is_finished());
}

#[tokio::test]
async fn a_revoked_token_ends_it_and_tells_who_waits() {
    let post = SenderFixture::new().await;
    post.telegram.inject_fault("sendMessage", Fault::Unauthorized, 1);
    let (one, two) = (post.send_card("one"), post.send_card("two"));
    assert_eq!((one.await, two.await), (Err(DeliveryError::Closed), Err(DeliveryError::Closed)));
    assert_eq!(post.running.await.unwrap(), SenderExit::Unauthorized);
    assert_eq!(
        post.sender
            .send(CHAT, message_with_button("x"), SendPriority::Required, MessageKey::new("card", 3))
            .outcome()
            .await,
        Err(DeliveryError::Closed)
    );
    assert_eq!(post.telegram.calls("sendMessage").len(), 1);
}
