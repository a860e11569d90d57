//! Many questions at once are one message, which approves nothing.

use std::time::Duration;

use portero::ipc::TelegramState;
use portero::task::{State, Task};
use serde_json::json;

use crate::hands::{Hands, buttons, short};
use crate::standin::{Shown, StandIn, TOKEN};
use crate::world::{JANE, SOON};

/// Longer than any question waits.
const DAY: Duration = Duration::from_secs(25 * 3600);

async fn many(hands: &mut Hands, count: usize) -> Vec<Task> {
    let mut tasks = Vec::new();
    for n in 0..count {
        tasks.push(hands.submit(&format!("call {n}")).await);
    }
    tasks
}

/// Waits for a list that offers these, and no others.
async fn list(hands: &Hands, tasks: &[Task]) -> Shown {
    let wanted: Vec<_> = tasks.iter().map(|task| format!("Show {}", short(task))).collect();
    let found = |it: &StandIn| {
        it.by_bot(JANE).into_iter().find(|shown| {
            let all = buttons(shown);
            let singles: Vec<_> = all.iter().filter(|words| words.starts_with("Show ")).cloned().collect();
            singles == wanted
        })
    };
    hands.telegram().until("the list", found).await
}

#[tokio::test]
async fn more_than_five_at_once_stand_in_a_list() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 8).await;
    for task in &tasks[..5] {
        hands.card(task).await;
    }
    let shown = list(&hands, &tasks[5..]).await;
    assert!(shown.text.starts_with("Calls wait for you: 3"), "{}", shown.text);
    assert!(!buttons(&shown).iter().any(|words| words.contains("✅")), "nothing approves several");
    let asked =
        hands.telegram().by_bot(JANE).iter().filter(|it| it.text.starts_with("May this run?")).count();
    assert_eq!(asked, 5);
}

#[tokio::test]
async fn one_of_a_list_is_shown_and_decided_by_itself() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 7).await;
    let shown = list(&hands, &tasks[5..]).await;
    let query = hands.telegram().press(JANE, shown.id, &format!("Show {}", short(&tasks[6])));
    hands.told(&query).await;
    assert_eq!(hands.press(&tasks[6], "✅ Approve").await, "Approved.");
    hands.outcome_with(&tasks[6], "Done.").await;
    list(&hands, &tasks[5..6]).await;
    assert_eq!(hands.ran(), ["call 6"]);
}

#[tokio::test]
async fn all_of_a_list_are_denied_with_one_tap() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 8).await;
    let shown = list(&hands, &tasks[5..]).await;
    let query = hands.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert_eq!(hands.told(&query).await, "Denied 3.");
    for task in &tasks[5..] {
        hands.is(task.id, State::Denied).await;
    }
    for task in &tasks[..5] {
        assert_eq!(hands.task(task.id).await.state, State::PendingApproval);
    }
    let over =
        |it: &StandIn| it.by_bot(JANE).into_iter().find(|it| it.id == shown.id && it.keyboard.is_none());
    let over = hands.telegram().until("the list's end", over).await;
    assert!(over.text.starts_with("Denied: 3"), "{}", over.text);
}

/// Another program holds the store meanwhile.
#[tokio::test]
async fn all_of_a_list_are_denied_also_where_that_cannot_be_saved() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 8).await;
    let shown = list(&hands, &tasks[5..]).await;
    let store = rusqlite::Connection::open(hands.world.paths().store()).unwrap();
    store.busy_timeout(SOON).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let query = hands.telegram().press(JANE, shown.id, "❌ Deny all of these");
    let told = hands.told(&query).await;
    assert!(told.starts_with("Denied 3. That is in force, but not saved yet"), "{told}");
    for task in &tasks[5..] {
        hands.is(task.id, State::Denied).await;
    }
    assert_eq!(hands.task(tasks[0].id).await.state, State::PendingApproval);
    store.execute_batch("ROLLBACK").unwrap();
    let mut hands = hands.restarted().await;
    for task in &tasks[5..] {
        hands.is(task.id, State::Denied).await;
    }
    let later = hands.submit("later").await;
    assert_eq!(hands.task(later.id).await.state, State::PendingApproval);
}

#[tokio::test]
async fn denying_a_list_counts_what_it_denied_and_not_what_had_expired() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 7).await;
    hands.world.clock.advance(Duration::from_secs(5));
    let last = hands.submit("last").await;
    let listed = [tasks[5..].to_vec(), vec![last.clone()]].concat();
    list(&hands, &listed).await;
    hands.world.clock.advance(Duration::from_secs(24 * 3600 - 2));
    // The timer may notice first, and then the list is drawn again; the count is the same.
    let shown = hands.telegram().until("the list", |it: &StandIn| {
        let denies_all = |shown: &Shown| buttons(shown).iter().any(|it| it == "❌ Deny all of these");
        it.by_bot(JANE).into_iter().find(denies_all)
    });
    let shown = shown.await;
    let query = hands.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert_eq!(hands.told(&query).await, "Denied 1; 2 had expired.");
    hands.is(tasks[5].id, State::Expired).await;
    hands.is(last.id, State::Denied).await;
}

#[tokio::test]
async fn a_list_outlives_a_restart_and_later_calls_have_cards_again() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 7).await;
    list(&hands, &tasks[5..]).await;
    let mut hands = hands.restarted().await;
    hands.world.clock.advance(Duration::from_secs(11));
    let later = hands.submit("later").await;
    hands.card(&later).await;
    let shown = list(&hands, &tasks[5..]).await;
    let query = hands.telegram().press(JANE, shown.id, "❌ Deny all of these");
    assert!(hands.told(&query).await.starts_with("Denied"));
    hands.is(tasks[5].id, State::Denied).await;
    assert_eq!(hands.task(later.id).await.state, State::PendingApproval);
}

/// Waits until a list says that so many expired, and offers nothing.
async fn expired(hands: &Hands, list: &Shown, count: usize) {
    let says = format!("Expired: {count}");
    let over = |it: &StandIn| {
        let shown = it.by_bot(JANE).into_iter().find(|it| it.id == list.id)?;
        (shown.keyboard.is_none() && shown.text.starts_with(&says)).then_some(())
    };
    hands.telegram().until("the list's end", over).await;
}

#[tokio::test]
async fn a_list_of_calls_that_expired_says_so() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 8).await;
    let shown = list(&hands, &tasks[5..]).await;
    hands.world.clock.advance(DAY);
    // A new question wakes the timer, whose sleep this clock does not shorten.
    hands.submit("later").await;
    expired(&hands, &shown, 3).await;
}

#[tokio::test]
async fn a_list_says_what_expired_while_the_daemon_was_down() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 8).await;
    let shown = list(&hands, &tasks[5..]).await;
    hands.world.end().await;
    hands.world.clock.advance(DAY);
    let hands = hands.restarted().await;
    expired(&hands, &shown, 3).await;
}

/// The channel is not registered meanwhile, so it hears nothing of what ends.
#[tokio::test]
async fn lists_and_cards_say_what_ended_while_the_bot_served_nobody() {
    let mut hands = Hands::new().await;
    let tasks = many(&mut hands, 8).await;
    let shown = list(&hands, &tasks[5..]).await;
    let card = hands.card(&tasks[0]).await;
    hands.world.write("portero.json", "{}");
    hands.world.is(TelegramState::Off).await;
    hands.world.clock.advance(DAY);
    hands.submit("later").await;
    for task in &tasks {
        hands.is(task.id, State::Expired).await;
    }
    let url = hands.telegram().api_url();
    hands.world.configure(&json!({"token": TOKEN, "apiUrl": url, "admin": JANE}));
    hands.world.confirm_config().await;
    expired(&hands, &shown, 3).await;
    let ended = |it: &StandIn| {
        let shown = it.by_bot(JANE).into_iter().find(|it| it.id == card.id)?;
        shown.text.starts_with("Expired").then_some(())
    };
    hands.telegram().until("the card's end", ended).await;
}
