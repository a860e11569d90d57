//! Every open task has its card, in any weather and across restarts, and the card shows what became of it.

use std::time::Duration;

use portero::ipc::requests::approvals::{ApproveTask, RejectTask};
use portero::task::TaskState;

use crate::fake_telegram::{FakeTelegram, Fault};
use crate::fake_user::{FakeUser, ODD_TOOL, button_labels, callback_data, passphrase_challenge, short_id};
use crate::fixture::JANE;

fn count_cards(telegram: &FakeTelegram, task: &portero::task::Task) -> usize {
    let asks = |text: &str| text.starts_with("May this run?") && text.contains(&short_id(task));
    telegram.bot_messages(JANE).iter().filter(|it| asks(&it.text)).count()
}

#[tokio::test]
async fn a_restart_keeps_the_card_and_its_buttons() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    let user = user.restart().await;
    let query = user.telegram().press(JANE, card.id, "✅ Approve");
    assert_eq!(user.wait_for_answer(&query).await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    user.wait_for_outcome_with(&task, "Done.").await;
    assert_eq!(
        user.telegram().bot_messages(JANE).iter().filter(|it| it.text.contains(&short_id(&task))).count(),
        1
    );
}

#[tokio::test]
async fn what_was_decided_while_the_daemon_was_away_is_shown() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    user.wait_for_card(&task).await;
    user.telegram().inject_fault("editMessageText", Fault::Server(502), 1_000_000);
    user.fixture
        .request(ApproveTask { task: task.id, fresh: false, challenge: passphrase_challenge() })
        .await
        .unwrap();
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    user.fixture.shut_down().await;
    user.telegram().clear_faults("editMessageText");
    let user = user.restart().await;
    let card = user.wait_for_outcome_with(&task, "Done.").await;
    assert!(card.text.starts_with("Approved at the terminal"), "{}", card.text);
}

#[tokio::test]
async fn a_card_that_came_twice_counts_once() {
    let mut user = FakeUser::new().await;
    user.telegram().inject_fault("sendMessage", Fault::DropAfter, 1);
    let task = user.submit_call("one").await;
    let two = |it: &FakeTelegram| (count_cards(it, &task) == 2).then_some(());
    user.telegram().wait_until("two cards", two).await;
    let all: Vec<_> = user
        .telegram()
        .bot_messages(JANE)
        .into_iter()
        .filter(|it| it.text.contains(&short_id(&task)))
        .collect();
    let older = user.telegram().press_data(JANE, all[0].id, &callback_data(&all[0], "✅ Approve"));
    assert!(user.wait_for_answer(&older).await.contains("Nothing was changed"));
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["one"]);
}

#[tokio::test]
async fn what_waits_is_asked_when_telegram_is_back() {
    for fault in [Fault::RetryAfter(0), Fault::Server(500), Fault::Drop, Fault::Nonsense] {
        let mut user = FakeUser::new().await;
        user.telegram().inject_fault("sendMessage", fault, 3);
        let task = user.submit_call("one").await;
        user.wait_for_card(&task).await;
        assert_eq!(count_cards(user.telegram(), &task), 1, "{fault:?}");
        assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
    }
}

#[tokio::test]
async fn an_outage_over_a_restart_loses_no_card() {
    let mut user = FakeUser::new().await;
    user.telegram().set_down(true);
    let (one, two) = (user.submit_call("one").await, user.submit_call("two").await);
    user.fixture.request(RejectTask { task: two.id, reason: None, for_now: false }).await.unwrap();
    let user = user.restart().await;
    user.telegram().set_down(false);
    user.wait_for_card(&one).await;
    assert_eq!(count_cards(user.telegram(), &one), 1);
    assert_eq!(count_cards(user.telegram(), &two), 0, "nobody has to decide about it any more");
}

#[tokio::test]
async fn who_blocked_the_bot_is_asked_when_they_are_back() {
    let mut user = FakeUser::new().await;
    user.telegram().block(JANE);
    let task = user.submit_call("one").await;
    let refused =
        |it: &FakeTelegram| it.calls("sendMessage").iter().any(|call| call.code == Some(403)).then_some(());
    user.telegram().wait_until("a refusal", refused).await;
    user.telegram().unblock(JANE);
    user.telegram().send_text(JANE, "/start");
    user.wait_for_card(&task).await;
}

#[tokio::test]
async fn what_is_decided_elsewhere_is_shown_with_its_door() {
    let mut user = FakeUser::new().await;
    let (one, two, three) =
        (user.submit_call("1").await, user.submit_call("2").await, user.submit_call("3").await);
    for task in [&one, &two, &three] {
        user.wait_for_card(task).await;
    }
    user.fixture
        .request(ApproveTask { task: one.id, fresh: false, challenge: passphrase_challenge() })
        .await
        .unwrap();
    user.wait_for_outcome(&one, "Approved at the terminal").await;
    let reason = Some("not now".to_owned());
    user.fixture.request(RejectTask { task: two.id, reason, for_now: false }).await.unwrap();
    assert!(user.wait_for_outcome(&two, "Denied at the terminal").await.text.contains("not now"));
    user.fixture.clock.advance(Duration::from_secs(7 * 24 * 3600));
    // Another call lets the daemon look at the clock.
    user.submit_call("4").await;
    let card = user.wait_for_outcome(&three, "Expired because no decision came in time").await;
    assert_eq!(button_labels(&card), [""; 0]);
}

#[tokio::test]
async fn a_project_with_a_real_name_is_concealed_wherever_it_is_told() {
    let mut user = FakeUser::new().await;
    user.work_in("papers of Jane Roe");
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    assert!(card.text.contains("papers of John Doe"), "{}", card.text);
    let project = user.fixture.path_of("papers of Jane Roe");
    let mut last = card.id;
    for command in ["/status".to_owned(), format!("/grant notes/send 10m project {}", project.display())] {
        user.telegram().send_text(JANE, &command);
        let told = |it: &FakeTelegram| {
            it.bot_messages(JANE)
                .into_iter()
                .find(|it| it.id > last && it.text.contains("papers of John Doe"))
        };
        last = user.telegram().wait_until(&command, told).await.id;
    }
    user.press_button(&task, "❌ Deny").await;
    user.wait_for_outcome(&task, "Denied on this phone").await;
    let all: String = user.telegram().bot_messages(JANE).into_iter().map(|it| it.text).collect();
    assert!(!all.contains("Jane Roe"), "{all}");
}

#[tokio::test]
async fn a_card_shows_a_tools_odd_name_as_its_server_has_it_and_the_approved_call_goes_there_under_it() {
    let mut user = FakeUser::new().await;
    let task = user.submit_tool_call(ODD_TOOL, "one").await.unwrap();
    let card = user.wait_for_card(&task).await;
    assert!(card.text.contains("notes/github%2Fcreate_issue"), "as policy has it: {}", card.text);
    assert!(card.text.contains("Named by its server: github/create_issue\n"), "{}", card.text);
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    let record = std::fs::read_to_string(user.fixture.path_of("record")).unwrap();
    let called: serde_json::Value = serde_json::from_str(record.lines().next().unwrap()).unwrap();
    assert_eq!(called["params"]["name"], ODD_TOOL);
    let plain = user.submit_call("two").await;
    let card = user.wait_for_card(&plain).await;
    assert!(!card.text.contains("Named by its server"), "{}", card.text);
}

const READ_BUTTON: &str = "📄 I have read the document";

fn sent_document(telegram: &FakeTelegram) -> Option<Vec<u8>> {
    telegram.bot_messages(JANE).into_iter().find_map(|it| it.document).map(|(_, bytes)| bytes)
}

#[tokio::test]
async fn what_is_too_long_is_read_before_it_is_approved() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call(&"long ".repeat(3000)).await;
    let card = user.wait_for_card_with(&task, READ_BUTTON).await;
    assert!(!button_labels(&card).iter().any(|words| words.contains("✅")), "{:?}", button_labels(&card));
    // It comes unasked.
    let document = user.telegram().wait_until("the document", sent_document).await;
    assert!(String::from_utf8(document).unwrap().contains(&"long ".repeat(3000)));
    assert_eq!(user.press_button(&task, READ_BUTTON).await, "Now it can be approved.");
    let card = user.wait_for_card_with(&task, "✅ Approve").await;
    assert!(button_labels(&card).contains(&"Page 2 ›".to_owned()));
    user.press_button(&task, "Page 2 ›").await;
    let second = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|it| button_labels(it).contains(&"‹ Page 1".to_owned()))
    };
    let second = user.telegram().wait_until("the second page", second).await;
    let query = user.telegram().press(JANE, second.id, "✅ Approve");
    assert_eq!(user.wait_for_answer(&query).await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    let documents = user.telegram().bot_messages(JANE).into_iter().filter(|it| it.document.is_some());
    assert_eq!(documents.count(), 1);
}

#[tokio::test]
async fn what_did_not_arrive_is_not_read() {
    let mut user = FakeUser::new().await;
    user.telegram().inject_fault("sendDocument", Fault::TooLarge, 1);
    // As a server says that does not know the method; the bot is there all the same.
    user.telegram().inject_fault("sendDocument", Fault::NotFound, 1);
    let task = user.submit_call(&"long ".repeat(3000)).await;
    user.wait_for_card_with(&task, READ_BUTTON).await;
    let missing = "The document has not arrived";
    assert!(user.press_button(&task, READ_BUTTON).await.starts_with(missing));
    // Each press tries again, until it is taken.
    let mut told = user.press_button(&task, READ_BUTTON).await;
    for _ in 0..20 {
        if told == "Now it can be approved." {
            break;
        }
        // The card was drawn again between the look and the press.
        assert!(told.starts_with(missing) || told.contains("Nothing was changed"), "{told}");
        told = user.press_button(&task, READ_BUTTON).await;
    }
    assert_eq!(told, "Now it can be approved.");
    assert!(sent_document(user.telegram()).is_some());
    user.press_button(&task, "✅ Approve").await;
    user.wait_for_task_state(task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn the_call_is_shown_as_json_and_back() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    user.press_button(&task, "More…").await;
    user.press_button(&task, "Show as JSON").await;
    let json = |it: &FakeTelegram| {
        it.bot_messages(JANE).into_iter().find(|it| it.text.starts_with("The call as JSON"))
    };
    let shown = user.telegram().wait_until("JSON", json).await;
    let query = user.telegram().press(JANE, shown.id, "Back to the card");
    user.wait_for_answer(&query).await;
    user.wait_for_card_with(&task, "More…").await;
    let query = user.telegram().press_data(JANE, shown.id, &callback_data(&shown, "✅ Approve"));
    assert!(
        user.wait_for_answer(&query).await.contains("Nothing was changed"),
        "a button of the view before"
    );
}

#[tokio::test]
async fn the_identical_call_has_one_card() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("same").await;
    user.wait_for_card(&task).await;
    assert_eq!(user.submit_call("same").await.id, task.id);
    let other = user.submit_call("other").await;
    user.wait_for_card(&other).await;
    assert_eq!(count_cards(user.telegram(), &task), 1);
}

#[tokio::test]
async fn a_question_whose_message_was_removed_comes_again_once() {
    let mut user = FakeUser::new().await;
    let (one, two) = (user.submit_call("one").await, user.submit_call("two").await);
    let (gone, kept) = (user.wait_for_card(&one).await, user.wait_for_card(&two).await);
    for _ in 0..2 {
        let card = user.wait_for_card(&one).await;
        user.telegram().remove_message(JANE, card.id);
        user.fixture.say_and_wait("/pending").await;
        let again = user.wait_for_card(&one).await;
        assert!(again.id > card.id);
    }
    user.fixture.say_and_wait("/pending").await;
    let edited = |it: &FakeTelegram| {
        it.bot_messages(JANE).iter().any(|it| it.id == kept.id && it.edits > 2).then_some(())
    };
    user.telegram().wait_until("a third look at the other", edited).await;
    assert_eq!((count_cards(user.telegram(), &one), count_cards(user.telegram(), &two)), (1, 1));
    let void = user.telegram().press_data(JANE, gone.id, &callback_data(&gone, "✅ Approve"));
    assert!(user.wait_for_answer(&void).await.contains("Nothing was changed"));
    for task in [&one, &two] {
        let mut answer = user.press_button(task, "✅ Approve").await;
        for _ in 0..10 {
            // A press that a drawing overtook changes nothing, and the person presses what is shown then.
            if answer.contains("Nothing was changed") {
                answer = user.press_button(task, "✅ Approve").await;
            }
        }
        assert!(answer.starts_with("Approved"), "{answer}");
        user.wait_for_task_state(task.id, TaskState::Completed).await;
    }
}

#[tokio::test]
async fn while_a_card_is_drawn_anew_the_buttons_that_it_shows_go_on_working() {
    let mut user = FakeUser::new().await;
    let tasks =
        [user.submit_call("one").await, user.submit_call("two").await, user.submit_call("three").await];
    for task in &tasks {
        user.wait_for_card(task).await;
    }
    // Nothing that is changed arrives, for as long as it takes.
    user.telegram().inject_fault("editMessageText", Fault::Server(502), 1_000_000);
    user.fixture.say_and_wait("/pending").await;
    for task in &tasks {
        user.press_button(task, "More…").await;
    }
    let tried = |it: &FakeTelegram| (it.calls("editMessageText").len() > 2).then_some(());
    user.telegram().wait_until("some tries", tried).await;
    assert_eq!(user.press_button(&tasks[0], "✅ Approve").await, "Approved.");
    assert!(user.press_button(&tasks[1], "❌ Deny").await.starts_with("Denied."));
    assert!(user.press_button(&tasks[2], "✅ Approve + 10 min").await.starts_with("Approved, and"));
    // Each of them decided: the one that still stands there beside it does nothing more.
    let late = user.press_button(&tasks[0], "✅ Approve + 10 min").await;
    assert!(late.contains("Nothing was changed"), "{late}");
    user.wait_for_task_state(tasks[0].id, TaskState::Completed).await;
    user.wait_for_task_state(tasks[1].id, TaskState::Denied).await;
    assert_eq!(user.fetch_overrides().await.grants.len(), 1);
    user.telegram().clear_faults("editMessageText");
    user.wait_for_outcome(&tasks[1], "Denied on this phone").await;
    assert_eq!(user.received_texts().iter().filter(|text| *text == "one").count(), 1);
}

#[tokio::test]
async fn once_a_card_shows_new_buttons_its_former_ones_count_no_more() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    let former = callback_data(&user.wait_for_card(&task).await, "✅ Approve");
    user.press_button(&task, "More…").await;
    let card = user.wait_for_card_with(&task, "Less").await;
    // It is drawn once Telegram's word is noted; the next drawing comes after that.
    user.press_button(&task, "Less").await;
    user.wait_for_card_with(&task, "More…").await;
    let query = user.telegram().press_data(JANE, card.id, &former);
    assert!(user.wait_for_answer(&query).await.contains("does not count any more"));
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
}

#[tokio::test]
async fn a_question_that_was_removed_is_missed_by_whatever_changes_it() {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    user.telegram().remove_message(JANE, card.id);
    // Another screen still shows it.
    user.telegram().press_data(JANE, card.id, &callback_data(&card, "More…"));
    let again = user.wait_for_card_with(&task, "Less").await;
    assert!(again.id > card.id);
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
}

#[tokio::test]
async fn what_is_decided_after_its_message_was_removed_is_not_told_again() {
    let mut user = FakeUser::new().await;
    let (one, two) = (user.submit_call("one").await, user.submit_call("two").await);
    for task in [&one, &two] {
        user.wait_for_card(task).await;
    }
    user.telegram().remove_message(JANE, user.wait_for_card(&one).await.id);
    for task in [&one, &two] {
        let reject = RejectTask { task: task.id, reason: None, for_now: false };
        user.fixture.request(reject).await.unwrap();
    }
    user.wait_for_outcome(&two, "Denied at the terminal").await;
    let tried =
        |it: &FakeTelegram| it.calls("editMessageText").iter().any(|it| it.code == Some(400)).then_some(());
    user.telegram().wait_until("a try to change it", tried).await;
    assert!(!user.telegram().bot_messages(JANE).iter().any(|it| it.text.contains(&short_id(&one))));
}
