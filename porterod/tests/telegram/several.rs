//! A tool that takes two of three people, in a group with a fourth who decides too.

use portero::ipc::Challenge;
use portero::ipc::requests::approvals::ApproveTask;
use portero::task::State;

use crate::hands::{Hands, buttons, carried};
use crate::standin::{Shown, StandIn};
use crate::world::{ADA, BOB, CLEO, GROUP, JANE, PASSPHRASE};

/// Waits until the card says that this person approved, with new buttons.
async fn approved_so_far(hands: &Hands, person: i64) -> Shown {
    let words = format!("Approved so far: user {person}, ");
    let found = |it: &StandIn| it.by_bot(GROUP).into_iter().find(|shown| shown.text.contains(&words));
    hands.telegram().until(&words, found).await
}

#[tokio::test]
async fn a_call_runs_once_two_of_three_approved_it_and_the_card_says_who_is_missing() {
    let mut hands = Hands::of_three().await;
    let task = hands.submit("refund").await;
    let asked = hands.card(&task).await;
    assert!(asked.text.contains("Needs: 2 of 3 people (user 501, 502, 503)"), "{}", asked.text);
    assert!(
        asked.text.contains("Why: needs the approval of several people by `notes/send` (portero.json:1:")
    );
    assert!(!asked.text.contains("Approved so far"), "{}", asked.text);
    assert_eq!(buttons(&asked), ["✅ Approve", "❌ Deny", "More…"], "nothing permits it for longer");

    let told = hands.press_of(CLEO, &task, "✅ Approve").await;
    assert!(told.starts_with("Your approval does not count for this tool, so nothing was changed"), "{told}");
    assert!(
        hands.press_of(JANE, &task, "✅ Approve").await.starts_with("Your approval counts. It does not run")
    );
    let redrawn = approved_so_far(&hands, JANE).await;
    assert_eq!(redrawn.id, asked.id, "the same message, edited");
    let old = hands.telegram().press_with_in(ADA, GROUP, asked.id, &carried(&asked, "✅ Approve"));
    assert!(hands.told(&old).await.contains("Nothing was changed"), "the buttons of before are void");
    let told = hands.press_of(JANE, &task, "✅ Approve").await;
    assert!(told.starts_with("You approved this already, and nothing was changed"), "{told}");
    let waiting = hands.task(task.id).await;
    assert_eq!(waiting.state, State::PendingApproval);
    assert_eq!(waiting.progress().unwrap(), "1 of 2 approvals: telegram user 501");
    let refused = ApproveTask { task: task.id, challenge: Challenge::new(PASSPHRASE) };
    let refused = hands.world.request(refused).await.unwrap_err().message;
    assert!(refused.contains("has 1 of 2 approvals: telegram user 501. A terminal is none of"), "{refused}");
    assert!(hands.ran().is_empty());

    assert_eq!(hands.press_of(ADA, &task, "✅ Approve").await, "Approved.");
    hands.is(task.id, State::Completed).await;
    let card = hands.outcome_with(&task, "Done.").await;
    assert!(card.text.starts_with("Approved by several people, "), "{}", card.text);
    assert!(
        card.text.contains("Approved by: user 501, ") && card.text.contains("; user 502, "),
        "{}",
        card.text
    );
    assert!(hands.audited().contains(&"approved by telegram user 501, 502".to_owned()));
    let votes: Vec<String> = hands.world.acts().into_iter().filter(|act| act.starts_with("vote: ")).collect();
    assert_eq!(votes.len(), 1, "{votes:?}");
    assert_eq!(hands.ran(), ["refund"]);
}

#[tokio::test]
async fn of_two_last_approvals_at_once_one_lets_it_run() {
    let mut hands = Hands::of_three().await;
    let task = hands.submit("once").await;
    hands.press_of(BOB, &task, "✅ Approve").await;
    let card = approved_so_far(&hands, BOB).await;
    let yes = carried(&card, "✅ Approve");
    let press = |n| hands.telegram().press_with_in(if n % 2 == 0 { JANE } else { ADA }, GROUP, card.id, &yes);
    let queries: Vec<_> = (0..20).map(press).collect();
    let mut did = 0;
    for query in &queries {
        did += usize::from(hands.told(query).await == "Approved.");
    }
    assert_eq!(did, 1);
    hands.is(task.id, State::Completed).await;
    assert_eq!(hands.ran(), ["once"]);
    assert_eq!(hands.audited().iter().filter(|it| it.starts_with("approved by")).count(), 1);
}

#[tokio::test]
async fn one_denial_of_any_decider_is_enough_after_an_approval() {
    let mut hands = Hands::of_three().await;
    let task = hands.submit("no").await;
    hands.press_of(JANE, &task, "✅ Approve").await;
    approved_so_far(&hands, JANE).await;
    assert!(hands.press_of(CLEO, &task, "❌ Deny").await.starts_with("Denied."));
    hands.outcome(&task, "Denied by telegram user 504, ").await;
    assert_eq!(hands.task(task.id).await.state, State::Denied);
    assert!(hands.ran().is_empty());
}

#[tokio::test]
async fn an_approval_outlives_a_restart_and_the_card_goes_on_showing_it() {
    let mut hands = Hands::of_three().await;
    let task = hands.submit("later").await;
    hands.press_of(JANE, &task, "✅ Approve").await;
    approved_so_far(&hands, JANE).await;
    let hands = hands.restarted().await;
    hands.world.serves().await;
    assert_eq!(hands.press_of(BOB, &task, "✅ Approve").await, "Approved.");
    hands.is(task.id, State::Completed).await;
    assert_eq!(hands.ran(), ["later"]);
}
