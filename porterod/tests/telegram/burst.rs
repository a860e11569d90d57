//! Many questions at once are one message, which approves nothing.

use std::time::Duration;

use portero::ipc::TelegramState;
use portero::task::{Task, TaskState};
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, ShownMessage, TOKEN};
use crate::fake_user::{FakeUser, button_labels, short_id};
use crate::fixture::{JANE, WAIT_TIMEOUT};

/// Longer than any question waits.
const DAY: Duration = Duration::from_secs(25 * 3600);

async fn submit_many(user: &mut FakeUser, count: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    for n in 0..count {
        tasks.push(user.submit_call(&format!("call {n}")).await);
    }
    tasks
}

/// Waits for a list that offers these, and no others.
async fn wait_for_list(user: &FakeUser, tasks: &[Task]) -> ShownMessage {
    let wanted: Vec<_> = tasks.iter().map(|task| format!("Show {}", short_id(task))).collect();
    let found = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|shown| {
            let all = button_labels(shown);
            let singles: Vec<_> = all.iter().filter(|words| words.starts_with("Show ")).cloned().collect();
            singles == wanted
        })
    };
    user.telegram().wait_until("the list", found).await
}

#[tokio::test]
async fn more_than_five_at_once_stand_in_a_list() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 8).await;
    for task in &tasks[..5] {
        user.wait_for_card(task).await;
    }
    let shown = wait_for_list(&user, &tasks[5..]).await;
    assert!(shown.text.starts_with("Calls wait for you: 3"), "{}", shown.text);
    assert!(!button_labels(&shown).iter().any(|words| words.contains("✅")), "nothing approves several");
    let asked =
        user.telegram().bot_messages(JANE).iter().filter(|it| it.text.starts_with("May this run?")).count();
    assert_eq!(asked, 5);
}

#[tokio::test]
async fn one_of_a_list_is_shown_and_decided_by_itself() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 7).await;
    let shown = wait_for_list(&user, &tasks[5..]).await;
    let query = user.telegram().press(JANE, shown.id, &format!("Show {}", short_id(&tasks[6])));
    user.wait_for_answer(&query).await;
    assert_eq!(user.press_button(&tasks[6], "✅ Approve").await, "Approved.");
    user.wait_for_outcome_with(&tasks[6], "Done.").await;
    wait_for_list(&user, &tasks[5..6]).await;
    assert_eq!(user.received_texts(), ["call 6"]);
}

#[tokio::test]
async fn all_of_a_list_are_denied_with_one_tap() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 8).await;
    let shown = wait_for_list(&user, &tasks[5..]).await;
    let query = user.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert_eq!(user.wait_for_answer(&query).await, "Denied 3.");
    for task in &tasks[5..] {
        user.wait_for_task_state(task.id, TaskState::Denied).await;
    }
    for task in &tasks[..5] {
        assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    }
    let over = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|it| it.id == shown.id && it.keyboard.is_none())
    };
    let over = user.telegram().wait_until("the list's end", over).await;
    assert!(over.text.starts_with("Denied: 3"), "{}", over.text);
}

/// Another program holds the store meanwhile.
#[tokio::test]
async fn all_of_a_list_are_denied_also_where_that_cannot_be_saved() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 8).await;
    let shown = wait_for_list(&user, &tasks[5..]).await;
    let store = rusqlite::Connection::open(user.fixture.paths().store()).unwrap();
    store.busy_timeout(WAIT_TIMEOUT).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let query = user.telegram().press(JANE, shown.id, "❌ Deny all of these");
    let told = user.wait_for_answer(&query).await;
    assert!(told.starts_with("Denied 3. That is in force, but not saved yet"), "{told}");
    for task in &tasks[5..] {
        user.wait_for_task_state(task.id, TaskState::Denied).await;
    }
    assert_eq!(user.fetch_task(tasks[0].id).await.state, TaskState::PendingApproval);
    store.execute_batch("ROLLBACK").unwrap();
    let mut user = user.restart().await;
    for task in &tasks[5..] {
        user.wait_for_task_state(task.id, TaskState::Denied).await;
    }
    let later = user.submit_call("later").await;
    assert_eq!(user.fetch_task(later.id).await.state, TaskState::PendingApproval);
}

#[tokio::test]
async fn denying_a_list_counts_what_it_denied_and_not_what_had_expired() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 7).await;
    user.fixture.clock.advance(Duration::from_secs(5));
    let last = user.submit_call("last").await;
    let listed = [tasks[5..].to_vec(), vec![last.clone()]].concat();
    wait_for_list(&user, &listed).await;
    user.fixture.clock.advance(Duration::from_secs(24 * 3600 - 2));
    // The timer may notice first, and then the list is drawn again; the count is the same.
    let shown = user.telegram().wait_until("the list", |it: &FakeTelegram| {
        let denies_all =
            |shown: &ShownMessage| button_labels(shown).iter().any(|it| it == "❌ Deny all of these");
        it.bot_messages(JANE).into_iter().find(denies_all)
    });
    let shown = shown.await;
    let query = user.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert_eq!(user.wait_for_answer(&query).await, "Denied 1; 2 had expired.");
    user.wait_for_task_state(tasks[5].id, TaskState::Expired).await;
    user.wait_for_task_state(last.id, TaskState::Denied).await;
}

#[tokio::test]
async fn a_list_outlives_a_restart_and_later_calls_have_cards_again() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 7).await;
    wait_for_list(&user, &tasks[5..]).await;
    let mut user = user.restart().await;
    user.fixture.clock.advance(Duration::from_secs(11));
    let later = user.submit_call("later").await;
    user.wait_for_card(&later).await;
    let shown = wait_for_list(&user, &tasks[5..]).await;
    let query = user.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert!(user.wait_for_answer(&query).await.starts_with("Denied"));
    user.wait_for_task_state(tasks[5].id, TaskState::Denied).await;
    assert_eq!(user.fetch_task(later.id).await.state, TaskState::PendingApproval);
}

/// Waits until a list says that so many expired, and offers nothing.
async fn wait_until_list_expired(user: &FakeUser, list: &ShownMessage, count: usize) {
    let says = format!("Expired: {count}");
    let over = |it: &FakeTelegram| {
        let shown = it.bot_messages(JANE).into_iter().find(|it| it.id == list.id)?;
        (shown.keyboard.is_none() && shown.text.starts_with(&says)).then_some(())
    };
    user.telegram().wait_until("the list's end", over).await;
}

#[tokio::test]
async fn a_list_of_calls_that_expired_says_so() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 8).await;
    let shown = wait_for_list(&user, &tasks[5..]).await;
    user.fixture.clock.advance(DAY);
    // A new question wakes the timer, whose sleep this clock does not shorten.
    user.submit_call("later").await;
    wait_until_list_expired(&user, &shown, 3).await;
}

#[tokio::test]
async fn a_list_says_what_expired_while_the_daemon_was_down() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 8).await;
    let shown = wait_for_list(&user, &tasks[5..]).await;
    user.fixture.shut_down().await;
    user.fixture.clock.advance(DAY);
    let user = user.restart().await;
    wait_until_list_expired(&user, &shown, 3).await;
}

/// The channel is not registered meanwhile, so it hears nothing of what ends.
#[tokio::test]
async fn lists_and_cards_say_what_ended_while_the_bot_served_nobody() {
    let mut user = FakeUser::new().await;
    let tasks = submit_many(&mut user, 8).await;
    let shown = wait_for_list(&user, &tasks[5..]).await;
    let card = user.wait_for_card(&tasks[0]).await;
    user.fixture.write_config("portero.json", "{}");
    user.fixture.wait_for_state(TelegramState::Off).await;
    user.fixture.clock.advance(DAY);
    user.submit_call("later").await;
    for task in &tasks {
        user.wait_for_task_state(task.id, TaskState::Expired).await;
    }
    let url = user.telegram().api_url();
    user.fixture.write_telegram_config(&json!({"token": TOKEN, "apiUrl": url, "admin": JANE}));
    user.fixture.confirm_config().await;
    wait_until_list_expired(&user, &shown, 3).await;
    let ended = |it: &FakeTelegram| {
        let shown = it.bot_messages(JANE).into_iter().find(|it| it.id == card.id)?;
        shown.text.starts_with("Expired").then_some(())
    };
    user.telegram().wait_until("the card's end", ended).await;
}
