//! A tool that takes two of three people, in a group with a fourth who decides too.

use portero::ipc::Challenge;
use portero::ipc::requests::approvals::ApproveTask;
use portero::task::TaskState;

use crate::fake_telegram::{FakeTelegram, ShownMessage};
use crate::fake_user::{FakeUser, button_labels, callback_data};
use crate::fixture::{ADA, BOB, CLEO, GROUP, JANE, PASSPHRASE};

/// Waits until the card says that this person approved, with new buttons.
async fn wait_for_votes(user: &FakeUser, person: i64) -> ShownMessage {
    let words = format!("Approved so far: user {person}, ");
    let found =
        |it: &FakeTelegram| it.bot_messages(GROUP).into_iter().find(|shown| shown.text.contains(&words));
    user.telegram().wait_until(&words, found).await
}

#[tokio::test]
async fn a_call_runs_once_two_of_three_approved_it_and_the_card_says_who_is_missing() {
    let mut user = FakeUser::home_with_quorum().await;
    let task = user.submit_call("refund").await;
    let asked = user.wait_for_card(&task).await;
    assert!(asked.text.contains("Needs: 2 of 3 people (user 501, 502, 503)"), "{}", asked.text);
    assert!(
        asked.text.contains("Why: needs the approval of several people by `notes/send` (portero.json:1:")
    );
    assert!(!asked.text.contains("Approved so far"), "{}", asked.text);
    assert_eq!(button_labels(&asked), ["✅ Approve", "❌ Deny", "More…"], "nothing permits it for longer");

    let told = user.press_button_as(CLEO, &task, "✅ Approve").await;
    assert!(told.starts_with("Your approval does not count for this tool, so nothing was changed"), "{told}");
    assert!(
        user.press_button_as(JANE, &task, "✅ Approve")
            .await
            .starts_with("Your approval counts. It does not run")
    );
    let redrawn = wait_for_votes(&user, JANE).await;
    assert_eq!(redrawn.id, asked.id, "the same message, edited");
    let old = user.telegram().press_data_in(ADA, GROUP, asked.id, &callback_data(&asked, "✅ Approve"));
    assert!(
        user.wait_for_answer(&old).await.contains("Nothing was changed"),
        "the buttons of before are void"
    );
    let told = user.press_button_as(JANE, &task, "✅ Approve").await;
    assert!(told.starts_with("You approved this already, and nothing was changed"), "{told}");
    let waiting = user.fetch_task(task.id).await;
    assert_eq!(waiting.state, TaskState::PendingApproval);
    assert_eq!(waiting.quorum_progress().unwrap(), "1 of 2 approvals: telegram user 501");
    let refused = ApproveTask { task: task.id, fresh: false, challenge: Challenge::new(PASSPHRASE) };
    let refused = user.fixture.request(refused).await.unwrap_err().message;
    assert!(refused.contains("has 1 of 2 approvals: telegram user 501. A terminal is none of"), "{refused}");
    assert!(user.received_texts().is_empty());

    assert_eq!(user.press_button_as(ADA, &task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    let card = user.wait_for_outcome_with(&task, "Done.").await;
    assert!(card.text.starts_with("Approved by several people, "), "{}", card.text);
    assert!(
        card.text.contains("Approved by: user 501, ") && card.text.contains("; user 502, "),
        "{}",
        card.text
    );
    assert!(user.audited_states().contains(&"approved by telegram user 501, 502".to_owned()));
    let votes: Vec<String> =
        user.fixture.audited_acts().into_iter().filter(|act| act.starts_with("vote: ")).collect();
    assert_eq!(votes.len(), 1, "{votes:?}");
    assert_eq!(user.received_texts(), ["refund"]);
}

#[tokio::test]
async fn of_two_last_approvals_at_once_one_lets_it_run() {
    let mut user = FakeUser::home_with_quorum().await;
    let task = user.submit_call("once").await;
    user.press_button_as(BOB, &task, "✅ Approve").await;
    let card = wait_for_votes(&user, BOB).await;
    let yes = callback_data(&card, "✅ Approve");
    let press = |n| user.telegram().press_data_in(if n % 2 == 0 { JANE } else { ADA }, GROUP, card.id, &yes);
    let queries: Vec<_> = (0..20).map(press).collect();
    let mut did = 0;
    for query in &queries {
        did += usize::from(user.wait_for_answer(query).await == "Approved.");
    }
    assert_eq!(did, 1);
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["once"]);
    assert_eq!(user.audited_states().iter().filter(|it| it.starts_with("approved by")).count(), 1);
}

#[tokio::test]
async fn one_denial_of_any_decider_is_enough_after_an_approval() {
    let mut user = FakeUser::home_with_quorum().await;
    let task = user.submit_call("no").await;
    user.press_button_as(JANE, &task, "✅ Approve").await;
    wait_for_votes(&user, JANE).await;
    assert!(user.press_button_as(CLEO, &task, "❌ Deny").await.starts_with("Denied."));
    user.wait_for_outcome(&task, "Denied by telegram user 504, ").await;
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::Denied);
    assert!(user.received_texts().is_empty());
}

#[tokio::test]
async fn an_approval_outlives_a_restart_and_the_card_goes_on_showing_it() {
    let mut user = FakeUser::home_with_quorum().await;
    let task = user.submit_call("later").await;
    user.press_button_as(JANE, &task, "✅ Approve").await;
    wait_for_votes(&user, JANE).await;
    let user = user.restart().await;
    user.fixture.wait_until_serving().await;
    assert_eq!(user.press_button_as(BOB, &task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["later"]);
}
