//! The waiting calls that a grant on a card allows, offered after it with one button.

use portero::ipc::requests::approvals::RejectTask;
use portero::task::{Task, TaskState};

use crate::fake_telegram::{FakeTelegram, ShownMessage};
use crate::fake_user::{FakeUser, button_labels, callback_data, short_id};
use crate::fixture::JANE;

/// One call asks by itself, and the others in another session.
async fn submit_apart(user: &mut FakeUser, first: &str, others: &[&str]) -> (Task, Vec<Task>) {
    let mut waiting = Vec::new();
    user.work_in("elsewhere");
    for text in others {
        waiting.push(user.submit_call(text).await);
    }
    user.work_in("project");
    (user.submit_call(first).await, waiting)
}

async fn wait_for_offer(user: &FakeUser, button: &str) -> ShownMessage {
    let found = |it: &FakeTelegram| {
        let mut messages = it.bot_messages(user.chat).into_iter();
        messages.find(|shown| {
            shown.text.starts_with("Allowed by now")
                && button_labels(shown).iter().any(|label| label == button)
        })
    };
    user.telegram().wait_until(&format!("an offer with `{button}`"), found).await
}

#[tokio::test]
async fn a_grant_on_a_card_offers_the_other_calls_and_one_tap_runs_them() {
    let mut user = FakeUser::new().await;
    let (task, others) = submit_apart(&mut user, "first", &["second John Doe", "third"]).await;
    assert!(user.press_button(&task, "✅ Approve + 10 min").await.starts_with("Approved, and"));
    let offer = wait_for_offer(&user, "▶️ Run the other 2").await;
    for (other, text) in others.iter().zip(["second John Doe", "third"]) {
        assert!(offer.text.contains(&short_id(other)) && offer.text.contains(text), "{}", offer.text);
    }
    assert!(!offer.text.contains("Jane Roe") && !offer.text.contains(&short_id(&task)), "{}", offer.text);
    for other in &others {
        assert_eq!(user.fetch_task(other.id).await.state, TaskState::PendingApproval, "only a tap runs them");
    }
    let query = user.telegram().press_in(JANE, user.chat, offer.id, "▶️ Run the other 2");
    assert_eq!(user.wait_for_answer(&query).await, "Approved 2.");
    for other in &others {
        user.wait_for_task_state(other.id, TaskState::Completed).await;
    }
    let mut received = user.received_texts();
    received.sort();
    assert_eq!(received, ["first", "second Jane Roe", "third"]);
    let audited = user.audited_states();
    let approved = audited.iter().filter(|record| *record == "approved by telegram user 501").count();
    assert_eq!(approved, 3, "each has a record of its own: {audited:?}");
    let told = |it: &FakeTelegram| {
        let mut messages = it.bot_messages(user.chat).into_iter();
        messages.find(|shown| shown.id == offer.id && shown.text.starts_with("Run with the others"))
    };
    let told = user.telegram().wait_until("what came of each", told).await;
    assert_eq!(told.text.matches(" runs").count(), 2, "{}", told.text);
    assert_eq!(button_labels(&told), [""; 0]);
}

#[tokio::test]
async fn what_ended_before_the_tap_is_named_and_a_second_tap_runs_nothing() {
    let mut user = FakeUser::new().await;
    let (task, others) = submit_apart(&mut user, "first", &["second", "third"]).await;
    user.press_button(&task, "✅ Approve + 10 min").await;
    let offer = wait_for_offer(&user, "▶️ Run the other 2").await;
    let reject = RejectTask { task: others[0].id, reason: None, for_now: false };
    user.fixture.request(reject).await.unwrap();
    let carried = callback_data(&offer, "▶️ Run the other 2");
    let queries = [(); 2].map(|()| user.telegram().press_data(JANE, offer.id, &carried));
    let mut answers = Vec::new();
    for query in &queries {
        answers.push(user.wait_for_answer(query).await);
    }
    answers.sort();
    assert!(answers[0].starts_with("Approved 1. Not approved: 1"), "{answers:?}");
    assert!(answers[1].contains("Nothing was changed"), "{answers:?}");
    user.wait_for_task_state(others[1].id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["first", "third"]);
    let told = |it: &FakeTelegram| {
        let mut messages = it.bot_messages(user.chat).into_iter();
        messages.find(|shown| shown.id == offer.id && shown.text.contains("does not run"))
    };
    let told = user.telegram().wait_until("which one does not run", told).await;
    assert!(told.text.contains(&format!("{} does not run", short_id(&others[0]))), "{}", told.text);
}

#[tokio::test]
async fn a_call_that_does_not_fit_into_the_offer_is_not_run_by_it() {
    let mut user = FakeUser::new().await;
    let long = "x".repeat(5_000);
    let (task, others) = submit_apart(&mut user, "first", &["short", &long]).await;
    user.press_button(&task, "✅ Approve + 10 min").await;
    let offer = wait_for_offer(&user, "▶️ Run this one").await;
    assert!(offer.text.contains("One more does not fit here"), "{}", offer.text);
    let query = user.telegram().press_in(JANE, user.chat, offer.id, "▶️ Run this one");
    assert_eq!(user.wait_for_answer(&query).await, "Approved 1.");
    user.wait_for_task_state(others[0].id, TaskState::Completed).await;
    assert_eq!(user.fetch_task(others[1].id).await.state, TaskState::PendingApproval);
}

#[tokio::test]
async fn a_card_that_approves_once_offers_nothing() {
    let mut user = FakeUser::new().await;
    let (task, others) = submit_apart(&mut user, "first", &["second"]).await;
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
    user.wait_for_outcome_with(&task, "Done.").await;
    assert!(user.telegram().bot_messages(user.chat).iter().all(|it| !it.text.starts_with("Allowed by now")));
    assert_eq!(user.fetch_task(others[0].id).await.state, TaskState::PendingApproval);
}
