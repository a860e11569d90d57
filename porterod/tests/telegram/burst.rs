//! Many questions at once are one message, which approves nothing.

use std::time::Duration;

use portero::ipc::TelegramState;
use portero::task::{Task, TaskState};
use serde_json::json;

use crate::fake_user::{FakeUser, button_labels, short_id};
use crate::fixture::{JANE, WAIT_TIMEOUT};
use crate::standin::{Shown, StandIn, TOKEN};

/// Longer than any question waits.
const DAY: Duration = Duration::from_secs(25 * 3600);

async fn submit_many(hands: &mut FakeUser, count: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    for n in 0..count {
        tasks.push(hands.submit_call(&format!("call {n}")).await);
    }
    tasks
}

/// Waits for a list that offers these, and no others.
async fn wait_for_list(hands: &FakeUser, tasks: &[Task]) -> Shown {
    let wanted: Vec<_> = tasks.iter().map(|task| format!("Show {}", short_id(task))).collect();
    let found = |it: &StandIn| {
        it.by_bot(JANE).into_iter().find(|shown| {
            let all = button_labels(shown);
            let singles: Vec<_> = all.iter().filter(|words| words.starts_with("Show ")).cloned().collect();
            singles == wanted
        })
    };
    hands.telegram().until("the list", found).await
}

#[tokio::test]
async fn more_than_five_at_once_stand_in_a_list() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 8).await;
    for task in &tasks[..5] {
        hands.wait_for_card(task).await;
    }
    let shown = wait_for_list(&hands, &tasks[5..]).await;
    assert!(shown.text.starts_with("Calls wait for you: 3"), "{}", shown.text);
    assert!(!button_labels(&shown).iter().any(|words| words.contains("✅")), "nothing approves several");
    let asked =
        hands.telegram().by_bot(JANE).iter().filter(|it| it.text.starts_with("May this run?")).count();
    assert_eq!(asked, 5);
}

#[tokio::test]
async fn one_of_a_list_is_shown_and_decided_by_itself() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 7).await;
    let shown = wait_for_list(&hands, &tasks[5..]).await;
    let query = hands.telegram().press(JANE, shown.id, &format!("Show {}", short_id(&tasks[6])));
    hands.wait_for_answer(&query).await;
    assert_eq!(hands.press_button(&tasks[6], "✅ Approve").await, "Approved.");
    hands.wait_for_outcome_with(&tasks[6], "Done.").await;
    wait_for_list(&hands, &tasks[5..6]).await;
    assert_eq!(hands.received_texts(), ["call 6"]);
}

#[tokio::test]
async fn all_of_a_list_are_denied_with_one_tap() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 8).await;
    let shown = wait_for_list(&hands, &tasks[5..]).await;
    let query = hands.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert_eq!(hands.wait_for_answer(&query).await, "Denied 3.");
    for task in &tasks[5..] {
        hands.wait_for_task_state(task.id, TaskState::Denied).await;
    }
    for task in &tasks[..5] {
        assert_eq!(hands.fetch_task(task.id).await.state, TaskState::PendingApproval);
    }
    let over =
        |it: &StandIn| it.by_bot(JANE).into_iter().find(|it| it.id == shown.id && it.keyboard.is_none());
    let over = hands.telegram().until("the list's end", over).await;
    assert!(over.text.starts_with("Denied: 3"), "{}", over.text);
}

/// Another program holds the store meanwhile.
#[tokio::test]
async fn all_of_a_list_are_denied_also_where_that_cannot_be_saved() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 8).await;
    let shown = wait_for_list(&hands, &tasks[5..]).await;
    let store = rusqlite::Connection::open(hands.fixture.paths().store()).unwrap();
    store.busy_timeout(WAIT_TIMEOUT).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let query = hands.telegram().press(JANE, shown.id, "❌ Deny all of these");
    let told = hands.wait_for_answer(&query).await;
    assert!(told.starts_with("Denied 3. That is in force, but not saved yet"), "{told}");
    for task in &tasks[5..] {
        hands.wait_for_task_state(task.id, TaskState::Denied).await;
    }
    assert_eq!(hands.fetch_task(tasks[0].id).await.state, TaskState::PendingApproval);
    store.execute_batch("ROLLBACK").unwrap();
    let mut hands = hands.restart().await;
    for task in &tasks[5..] {
        hands.wait_for_task_state(task.id, TaskState::Denied).await;
    }
    let later = hands.submit_call("later").await;
    assert_eq!(hands.fetch_task(later.id).await.state, TaskState::PendingApproval);
}

#[tokio::test]
async fn denying_a_list_counts_what_it_denied_and_not_what_had_expired() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 7).await;
    hands.fixture.clock.advance(Duration::from_secs(5));
    let last = hands.submit_call("last").await;
    let listed = [tasks[5..].to_vec(), vec![last.clone()]].concat();
    wait_for_list(&hands, &listed).await;
    hands.fixture.clock.advance(Duration::from_secs(24 * 3600 - 2));
    // The timer may notice first, and then the list is drawn again; the count is the same.
    let shown = hands.telegram().until("the list", |it: &StandIn| {
        let denies_all = |shown: &Shown| button_labels(shown).iter().any(|it| it == "❌ Deny all of these");
        it.by_bot(JANE).into_iter().find(denies_all)
    });
    let shown = shown.await;
    let query = hands.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert_eq!(hands.wait_for_answer(&query).await, "Denied 1; 2 had expired.");
    hands.wait_for_task_state(tasks[5].id, TaskState::Expired).await;
    hands.wait_for_task_state(last.id, TaskState::Denied).await;
}

#[tokio::test]
async fn a_list_outlives_a_restart_and_later_calls_have_cards_again() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 7).await;
    wait_for_list(&hands, &tasks[5..]).await;
    let mut hands = hands.restart().await;
    hands.fixture.clock.advance(Duration::from_secs(11));
    let later = hands.submit_call("later").await;
    hands.wait_for_card(&later).await;
    let shown = wait_for_list(&hands, &tasks[5..]).await;
    let query = hands.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert!(hands.wait_for_answer(&query).await.starts_with("Denied"));
    hands.wait_for_task_state(tasks[5].id, TaskState::Denied).await;
    assert_eq!(hands.fetch_task(later.id).await.state, TaskState::PendingApproval);
}

/// Waits until a list says that so many expired, and offers nothing.
async fn wait_until_list_expired(hands: &FakeUser, list: &Shown, count: usize) {
    let says = format!("Expired: {count}");
    let over = |it: &StandIn| {
        let shown = it.by_bot(JANE).into_iter().find(|it| it.id == list.id)?;
        (shown.keyboard.is_none() && shown.text.starts_with(&says)).then_some(())
    };
    hands.telegram().until("the list's end", over).await;
}

#[tokio::test]
async fn a_list_of_calls_that_expired_says_so() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 8).await;
    let shown = wait_for_list(&hands, &tasks[5..]).await;
    hands.fixture.clock.advance(DAY);
    // A new question wakes the timer, whose sleep this clock does not shorten.
    hands.submit_call("later").await;
    wait_until_list_expired(&hands, &shown, 3).await;
}

#[tokio::test]
async fn a_list_says_what_expired_while_the_daemon_was_down() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 8).await;
    let shown = wait_for_list(&hands, &tasks[5..]).await;
    hands.fixture.shut_down().await;
    hands.fixture.clock.advance(DAY);
    let hands = hands.restart().await;
    wait_until_list_expired(&hands, &shown, 3).await;
}

/// The channel is not registered meanwhile, so it hears nothing of what ends.
#[tokio::test]
async fn lists_and_cards_say_what_ended_while_the_bot_served_nobody() {
    let mut hands = FakeUser::new().await;
    let tasks = submit_many(&mut hands, 8).await;
    let shown = wait_for_list(&hands, &tasks[5..]).await;
    let card = hands.wait_for_card(&tasks[0]).await;
    hands.fixture.write_config("portero.json", "{}");
    hands.fixture.wait_for_state(TelegramState::Off).await;
    hands.fixture.clock.advance(DAY);
    hands.submit_call("later").await;
    for task in &tasks {
        hands.wait_for_task_state(task.id, TaskState::Expired).await;
    }
    let url = hands.telegram().api_url();
    hands.fixture.write_telegram_config(&json!({"token": TOKEN, "apiUrl": url, "admin": JANE}));
    hands.fixture.confirm_config().await;
    wait_until_list_expired(&hands, &shown, 3).await;
    let ended = |it: &StandIn| {
        let shown = it.by_bot(JANE).into_iter().find(|it| it.id == card.id)?;
        shown.text.starts_with("Expired").then_some(())
    };
    hands.telegram().until("the card's end", ended).await;
}
