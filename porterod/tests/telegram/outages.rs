//! Listening in any weather: nothing lost, nothing acted on twice, no busy loop, and status tells.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portero::ipc::TelegramState;
use portero::ipc::requests::overrides::CreateRule;
use portero::policy::Action;
use portero::task::{Task, TaskState};
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, Fault, TOKEN, USERNAME};
use crate::fake_user::FakeUser;
use crate::fixture::{JANE, MALLORY, MIN_BACKOFF, TelegramFixture, WAIT_TIMEOUT};

#[tokio::test]
async fn status_tells_how_the_bot_fares() {
    let world = TelegramFixture::new().await;
    let status = world.wait_until_serving().await;
    assert_eq!(status.bot.as_deref(), Some(USERNAME));
    assert_eq!(status.last_poll, Some("2026-11-20T12:00:00Z".parse().unwrap()));
    assert_eq!((status.last_trouble, status.waiting), (None, 0));
}

#[tokio::test]
async fn a_token_in_the_environment_is_enough() {
    // Without a section there is no address but Telegram's own, so this bot is not reached here.
    let world = TelegramFixture::without_bot().await.with_environment("TELEGRAM_BOT_TOKEN", "no token");
    let world = world.start().await;
    let status = world.wait_for_state(TelegramState::Invalid).await;
    assert_eq!(status.last_trouble.unwrap().kind, "invalid");
}

#[tokio::test]
async fn what_is_said_is_answered_once() {
    let world = TelegramFixture::with_jane().await;
    let before = world.telegram.bot_messages(JANE).len();
    let update = world.telegram.send_text(JANE, "one");
    world.wait_for_answers(JANE, before + 1).await;
    world.telegram.redeliver(update);
    world.telegram.send_text(JANE, "two");
    world.wait_for_answers(JANE, before + 2).await;
    assert_eq!(world.telegram.bot_messages(JANE).len(), before + 2);
}

#[tokio::test]
async fn nothing_is_lost_or_done_twice_across_a_restart() {
    let mut world = TelegramFixture::with_jane().await;
    world.telegram.send_text(JANE, "before");
    world.wait_for_answers(JANE, 2).await;
    // What was answered last is not confirmed to Telegram before the next poll begins.
    world.telegram.inject_fault("getUpdates", Fault::Server(502), 1_000_000);
    world.telegram.send_text(JANE, "at the end");
    world.shut_down().await;
    world.telegram.send_text(JANE, "meanwhile");
    world.telegram.clear_faults("getUpdates");
    let world = world.start().await;
    world.wait_for_answers(JANE, 4).await;
    world.telegram.send_text(JANE, "after");
    world.wait_for_answers(JANE, 5).await;
    assert_eq!(world.telegram.bot_messages(JANE).len(), 5, "one answer each, the first /start among them");
}

#[tokio::test]
async fn an_answer_to_a_poll_that_is_lost_comes_again() {
    let world = TelegramFixture::with_jane().await;
    world.telegram.inject_fault("getUpdates", Fault::DropAfter, 3);
    world.telegram.send_text(JANE, "one");
    world.wait_for_answers(JANE, 2).await;
    world.telegram.send_text(JANE, "two");
    world.wait_for_answers(JANE, 3).await;
    assert_eq!(world.telegram.bot_messages(JANE).len(), 3);
}

#[tokio::test]
async fn numbers_may_be_left_out_and_come_in_any_order() {
    let mut world = TelegramFixture::with_jane().await;
    world.wait_for_answers(JANE, 1).await;
    world.shut_down().await;
    world.telegram.reverse_updates(true);
    for text in ["one", "two", "three"] {
        world.telegram.send_text(JANE, text);
        world.telegram.skip_updates(7);
    }
    world.telegram.send_unknown_update();
    let world = world.start().await;
    world.wait_for_answers(JANE, 4).await;
    world.telegram.send_text(JANE, "four");
    world.wait_for_answers(JANE, 5).await;
    assert_eq!(world.telegram.bot_messages(JANE).len(), 5);
}

#[tokio::test]
async fn it_comes_through_a_long_outage_without_a_busy_loop() {
    let world = TelegramFixture::with_jane().await;
    world.telegram.set_down(true);
    let status = world.wait_for_state(TelegramState::Troubled).await;
    assert_eq!(status.last_trouble.unwrap().kind, "network");
    world.clock.advance(Duration::from_secs(3600));
    world.telegram.inject_fault("getUpdates", Fault::Server(502), 1_000_000);
    world.telegram.set_down(false);
    world
        .wait_for_status("the gateway's failure", |it| {
            it.last_trouble.as_ref().is_some_and(|it| it.kind == "server-error")
        })
        .await;
    let (tries, began) = (world.telegram.calls("getUpdates").len(), Instant::now());
    let more = |it: &FakeTelegram| (it.calls("getUpdates").len() >= tries + 6).then_some(());
    world.telegram.wait_until("six more tries", more).await;
    assert!(began.elapsed() >= 5 * MIN_BACKOFF, "{:?}", began.elapsed());
    world.telegram.send_text(JANE, "still there?");
    let before = world.telegram.bot_messages(JANE).len();
    world.telegram.clear_faults("getUpdates");
    world.wait_for_answers(JANE, before + 1).await;
    let status = world.wait_for_state(TelegramState::Serving).await;
    assert_eq!(status.last_poll, Some("2026-11-20T13:00:00Z".parse().unwrap()));
    assert!(status.last_trouble.is_some(), "what was wrong is still told");
}

#[tokio::test]
async fn every_kind_of_failure_is_told_and_got_over() {
    let world = TelegramFixture::with_jane().await;
    for (fault, kind) in [
        (Fault::RetryAfter(0), "retry-after"),
        (Fault::Server(500), "server-error"),
        (Fault::Nonsense, "nonsense"),
        (Fault::Drop, "network"),
        (Fault::Forbidden, "blocked"),
        (Fault::Conflict, "conflict"),
    ] {
        let answered = world.telegram.bot_messages(JANE).len();
        world.telegram.inject_fault("getUpdates", fault, 2);
        world.telegram.send_text(JANE, kind);
        world.wait_for_status(kind, |it| it.last_trouble.as_ref().is_some_and(|it| it.kind == kind)).await;
        world.wait_for_answers(JANE, answered + 1).await;
        world.wait_for_state(TelegramState::Serving).await;
    }
}

/// teloxide's own calls would sleep ten seconds on each of these failures.
#[tokio::test]
async fn a_servers_failure_on_one_card_delays_no_other_decision() {
    let mut user = FakeUser::new().await;
    let (one, two) = (user.submit_call("one").await, user.submit_call("two").await);
    for task in [&one, &two] {
        user.wait_for_card(task).await;
    }
    let began = Instant::now();
    user.telegram().inject_fault("editMessageText", Fault::Server(500), 1_000_000);
    user.telegram().inject_fault("sendMessage", Fault::Server(502), 2);
    assert_eq!(user.press_button(&one, "✅ Approve").await, "Approved.");
    let failed = |it: &FakeTelegram| it.calls("editMessageText").iter().any(|call| call.code == Some(500));
    user.telegram().wait_until("a failure", |it| failed(it).then_some(())).await;
    assert_eq!(user.press_button(&two, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(two.id, TaskState::Completed).await;
    let three = user.submit_call("three").await;
    user.wait_for_card(&three).await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    user.telegram().clear_faults("editMessageText");
    user.wait_for_outcome_with(&two, "Done.").await;
}

/// Nothing that changes the view of this task's card can be stored.
fn break_task_row(user: &FakeUser, task: &Task) -> rusqlite::Connection {
    let store = rusqlite::Connection::open(user.fixture.paths().store()).unwrap();
    let trigger = format!(
        "CREATE TRIGGER poison BEFORE UPDATE OF view ON telegram_cards WHEN NEW.task = '{}'
         BEGIN SELECT RAISE(ABORT, 'poison'); END",
        task.id
    );
    store.execute_batch(&trigger).unwrap();
    store
}

#[tokio::test]
async fn an_update_that_fails_for_ever_holds_up_no_other_and_is_given_up_and_told() {
    let mut user = FakeUser::new().await;
    let (one, two) = (user.submit_call("one").await, user.submit_call("two").await);
    let card = user.wait_for_card(&one).await;
    user.wait_for_card(&two).await;
    let store = break_task_row(&user, &one);
    user.telegram().press(JANE, card.id, "More…");
    user.telegram().send_text(JANE, "/pause");
    user.fixture.wait_for_message(JANE, "Everything is paused, since").await;
    assert!(user.press_button(&two, "❌ Deny").await.starts_with("Denied."));
    user.fixture.wait_for_status("it is given up", |status| status.given_up == 1).await;
    user.fixture.wait_for_message(JANE, "Something that you wrote or tapped here could not be done").await;
    user.fixture.wait_until_serving().await;
    store.execute_batch("DROP TRIGGER poison").unwrap();
    // It stays given up, and its button can be pressed anew.
    user.press_button(&one, "More…").await;
    user.wait_for_card_with(&one, "Less").await;
    assert_eq!(user.fixture.status().await.given_up, 1);
    let paused = user.fixture.audited_acts().iter().filter(|act| act.starts_with("pause")).count();
    assert_eq!(paused, 1, "what was dealt with is not done again");
}

/// Another program that holds the store: nothing can be written, and no update is at fault.
#[tokio::test]
async fn while_nothing_can_be_stored_no_update_is_given_up() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    let store = rusqlite::Connection::open(user.fixture.paths().store()).unwrap();
    // The daemon has noted that the card is there.
    let is_drawn = || {
        let sql = "SELECT min(drawn = version) FROM telegram_cards";
        store.query_row(sql, [], |row| row.get::<_, Option<bool>>(0)).unwrap() == Some(true)
    };
    let drawn = async {
        while !is_drawn() {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, drawn).await.expect("in time");
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    user.telegram().press(JANE, card.id, "More…");
    let troubled = |status: &portero::ipc::TelegramStatus| {
        status.last_trouble.as_ref().is_some_and(|trouble| trouble.kind == "store")
    };
    user.fixture.wait_for_status("the store's failure", troubled).await;
    store.execute_batch("ROLLBACK").unwrap();
    user.wait_for_card_with(&task, "Less").await;
    assert_eq!(user.fixture.status().await.given_up, 0);
}

#[tokio::test]
async fn another_program_on_the_same_bot_is_an_alarm() {
    let world = TelegramFixture::with_jane().await;
    world.telegram.inject_fault("getUpdates", Fault::Conflict, 1_000_000);
    world.telegram.send_text(JANE, "hi");
    world.wait_for_state(TelegramState::Conflict).await;
    world.telegram.clear_faults("getUpdates");
    world.wait_for_state(TelegramState::Serving).await;
}

#[tokio::test]
async fn a_revoked_token_is_hardly_tried_until_another_is_configured() {
    let world = TelegramFixture::with_jane().await;
    world.telegram.inject_fault("getUpdates", Fault::Unauthorized, 1);
    world.telegram.send_text(JANE, "hi");
    let status = world.wait_for_state(TelegramState::Unauthorized).await;
    assert_eq!(status.last_trouble.unwrap().kind, "unauthorized");
    let calls = |it: &FakeTelegram| it.calls("getUpdates").len() + it.calls("getMe").len();
    let before = calls(&world.telegram);
    tokio::time::timeout(
        10 * MIN_BACKOFF,
        world.telegram.wait_until("another try", |it| (calls(it) > before).then_some(())),
    )
    .await
    .expect_err("it is not tried for a long while");
    world.write_telegram_config(
        &json!({"token": format!("{TOKEN}x"), "apiUrl": world.telegram.api_url(), "admin": JANE}),
    );
    world.telegram.wait_until("another try", |it| (calls(it) > before).then_some(())).await;
    world.wait_for_state(TelegramState::Unauthorized).await;
    world.write_telegram_config(&json!({"token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE}));
    world.wait_until_serving().await;
    world.wait_for_message(JANE, "I understand commands only").await;
}

#[tokio::test]
async fn a_bot_that_is_said_to_be_unknown_by_mistake_serves_again() {
    let mut world = TelegramFixture::with_jane().await;
    (world.initial_unknown_bot_backoff, world.max_unknown_bot_backoff) = (MIN_BACKOFF, MIN_BACKOFF);
    let world = world.restart().await;
    world.wait_until_serving().await;
    world.telegram.inject_fault("getUpdates", Fault::Unauthorized, 1);
    world.telegram.inject_fault("getMe", Fault::Unauthorized, 20);
    world.telegram.send_text(JANE, "hi");
    world.wait_for_state(TelegramState::Unauthorized).await;
    world.wait_for_message(JANE, "I understand commands only").await;
    world.wait_until_serving().await;
}

/// As a person's daemon waits: a moment at first, and at last ten minutes.
#[tokio::test]
async fn a_bot_that_is_unknown_for_a_moment_serves_again_soon() {
    let mut world = TelegramFixture::with_jane().await;
    world.initial_unknown_bot_backoff = MIN_BACKOFF;
    let world = world.restart().await;
    world.wait_until_serving().await;
    world.telegram.inject_fault("getUpdates", Fault::Unauthorized, 1);
    world.telegram.inject_fault("getMe", Fault::Unauthorized, 5);
    let began = Instant::now();
    world.telegram.send_text(JANE, "hi");
    // The poll that was open already may bring the message before the refusals begin.
    world
        .telegram
        .wait_until("each refusal", |telegram| {
            let refused = telegram.calls("getMe").iter().filter(|call| call.code == Some(401)).count();
            (refused == 5).then_some(())
        })
        .await;
    world.wait_for_message(JANE, "I understand commands only").await;
    world.wait_until_serving().await;
    // 1 + 2 + 4 + 8 + 16 + 32 pauses, each shortened by up to half.
    assert!(began.elapsed() >= 63 * MIN_BACKOFF / 2, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_bot_that_is_configured_later_is_served_and_one_that_goes_is_not() {
    let world = TelegramFixture::without_bot().await.start().await;
    assert_eq!(world.status().await.state, TelegramState::Off);
    world.write_telegram_config(&json!({"token": TOKEN, "apiUrl": world.telegram.api_url()}));
    world.wait_until_serving().await;
    world.write_config("portero.json", "{}");
    world.wait_for_state(TelegramState::Off).await;
}

#[tokio::test]
async fn what_is_told_of_calls_can_change_without_another_connection() {
    let world = TelegramFixture::with_jane().await;
    let section = |more: serde_json::Value| {
        let mut telegram = json!({"token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE});
        telegram.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        telegram
    };
    let met = || world.telegram.calls("getMe").len();
    let (before, configured) = (met(), world.config_reload_count());
    world.write_telegram_config(&section(json!({"notices": {"every": "7s"}})));
    world.wait_for_status("the other notices", |_| world.config_reload_count() > configured).await;
    world.write_telegram_config(&section(json!({"admin": 502})));
    world.wait_for_status("the other person", |it| it.person.is_some_and(|person| person.user == 502)).await;
    world.wait_until_serving().await;
    assert_eq!(met(), before + 1, "only the other person took another connection");
}

#[tokio::test]
async fn a_daemon_ends_at_once_though_a_poll_waits() {
    let mut world = TelegramFixture::with_jane().await;
    let began = Instant::now();
    world.shut_down().await;
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}

#[tokio::test]
async fn the_token_is_nowhere() {
    let logged = LogCapture::default();
    let _guard = logged.capture();
    let mut world = TelegramFixture::with_jane().await;
    for fault in [Fault::Server(502), Fault::Nonsense, Fault::Drop, Fault::Conflict, Fault::Unauthorized] {
        world.telegram.inject_fault("getUpdates", fault, 1);
        world.telegram.send_text(JANE, "hunter2-of-jane");
    }
    let status = world.wait_for_state(TelegramState::Unauthorized).await;
    let mut all = format!("{status:?}{}", serde_json::to_string(&status).unwrap());
    world.shut_down().await;
    all.push_str(&world.all_files());
    all.push_str(&logged.captured_text());
    assert!(all.contains("Telegram: "), "the log was caught");
    for secret in ["fake-secret", "hunter2"] {
        assert!(!all.contains(secret), "{secret}");
    }
}

/// What is logged.
#[derive(Clone, Default)]
pub(crate) struct LogCapture(Arc<Mutex<Vec<u8>>>);

impl LogCapture {
    /// Catches it from now on, as long as the guard lives.
    pub(crate) fn capture(&self) -> tracing::subscriber::DefaultGuard {
        let writer = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    pub(crate) fn captured_text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for LogCapture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A disk on which nothing is synced while it is closed. It opens by itself after a while, so that a test that would
/// hang fails.
#[derive(Default)]
struct Gated(Mutex<Gate>, Condvar);

#[derive(Default)]
struct Gate {
    closed: bool,
    waiting: usize,
}

impl Gated {
    fn set_closed(&self, closed: bool) {
        self.0.lock().unwrap().closed = closed;
        self.1.notify_all();
    }

    async fn is_reached(&self) {
        let reached = async {
            while self.0.lock().unwrap().waiting == 0 {
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        tokio::time::timeout(WAIT_TIMEOUT, reached).await.expect("something is to be on the disk");
    }
}

impl portero::files::faults::FileFault for Gated {
    fn before_sync(&self, _: &Path) -> std::io::Result<()> {
        let mut gate = self.0.lock().unwrap();
        gate.waiting += 1;
        let (mut gate, _) = self.1.wait_timeout_while(gate, WAIT_TIMEOUT, |gate| gate.closed).unwrap();
        gate.waiting -= 1;
        Ok(())
    }
}

/// The store itself, and a file that is replaced whole.
#[tokio::test]
async fn a_disk_that_takes_its_time_holds_up_no_poll_no_request_and_no_session() {
    let mut user = FakeUser::new().await;
    let paths = user.fixture.paths();
    for (slow, tool) in [(paths.store(), "notes/one"), (paths.offline_denies(), "notes/two")] {
        let task = user.submit_call(tool).await;
        let disk = Arc::new(Gated::default());
        let _fault = portero::files::faults::inject_fault(&slow, Arc::clone(&disk) as _);
        disk.set_closed(true);
        let pattern = tool.parse().unwrap();
        let deny = CreateRule { pattern, action: Action::Deny, run_waiting: Vec::new(), challenge: None };
        let meanwhile = async {
            disk.is_reached().await;
            for _ in 0..3 {
                let polls = user.telegram().calls("getUpdates").len();
                user.telegram().send_text(MALLORY, "hello");
                let polled = |it: &FakeTelegram| (it.calls("getUpdates").len() > polls).then_some(());
                user.telegram().wait_until("another poll", polled).await;
                user.fixture.status().await;
                assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
            }
        };
        {
            let denying = user.fixture.request(deny);
            tokio::pin!(denying);
            tokio::select! {
                biased;
                denied = &mut denying => panic!("{denied:?} before it is on the disk"),
                () = meanwhile => {}
            }
            disk.set_closed(false);
            denying.await.unwrap();
        }
        assert!(std::fs::read_to_string(paths.offline_denies()).unwrap().contains(tool));
    }
}
