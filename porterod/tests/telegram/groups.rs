//! A group in which several people decide, and nobody else.

use portero::ipc::FailureKind;
use portero::ipc::requests::auth::PairTelegram;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::{Pause, Resume};
use portero::task::TaskState;
use serde_json::json;

use crate::fake_telegram::{TOKEN, USERNAME};
use crate::fake_user::{FakeUser, button_labels, callback_data};
use crate::fixture::{ADA, GROUP, JANE, MALLORY, MIN_BACKOFF, TelegramFixture};

#[tokio::test]
async fn any_decider_decides_and_it_is_told_and_recorded_which() {
    let mut user = FakeUser::in_group().await;
    let (one, other) = (user.submit_call("one").await, user.submit_call("other").await);
    assert_eq!(user.press_button_as(ADA, &one, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(one.id, TaskState::Completed).await;
    let card = user.wait_for_outcome_with(&one, "Done.").await;
    assert!(card.text.starts_with("Approved by telegram user 502, "), "{}", card.text);
    assert!(user.press_button_as(JANE, &other, "❌ Deny").await.starts_with("Denied."));
    user.wait_for_outcome(&other, "Denied by telegram user 501, ").await;
    let audited = user.audited_states();
    for record in ["approved by telegram user 502", "denied by telegram user 501"] {
        assert!(audited.contains(&record.to_owned()), "{record}: {audited:?}");
    }
    assert!(user.telegram().bot_messages(JANE).is_empty(), "nothing goes to a private chat");
}

#[tokio::test]
async fn of_two_deciders_who_press_at_once_one_decides() {
    let mut user = FakeUser::in_group().await;
    let task = user.submit_call("once").await;
    let card = user.wait_for_card(&task).await;
    let (yes, no) = (callback_data(&card, "✅ Approve"), callback_data(&card, "❌ Deny"));
    let queries: Vec<_> = (0..20)
        .map(|n| {
            let (person, data) = if n % 2 == 0 { (JANE, &yes) } else { (ADA, &no) };
            user.telegram().press_data_in(person, GROUP, card.id, data)
        })
        .collect();
    let mut did = 0;
    for query in &queries {
        did += usize::from(!user.wait_for_answer(query).await.contains("Nothing was changed"));
    }
    let decided: Vec<_> =
        user.audited_states().into_iter().filter(|it| it.contains("by telegram user")).collect();
    assert_eq!(decided.len(), did);
    match decided.as_slice() {
        [_] => {}
        // What was approved and did not begin yet can be denied still; nothing else comes after a decision.
        [yes, no] => assert!(yes.starts_with("approved") && no.starts_with("denied"), "{decided:?}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nobody_else_decides_there_and_no_decider_elsewhere() {
    let mut user = FakeUser::in_group().await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    let approve = callback_data(&card, "✅ Approve");
    let telegram = user.telegram();
    telegram.send_text(JANE, "/start");
    telegram.change_group(-7, |_| ());
    let silent = [
        telegram.press_data_in(MALLORY, GROUP, card.id, &approve),
        // A card that was forwarded stands elsewhere.
        telegram.press_data_in(JANE, -7, card.id, &approve),
        telegram.press_data(JANE, card.id, &approve),
    ];
    for text in ["/status", "/pause", "/whoami", "/pair AAAA-AAAA", &format!("/pause@{USERNAME}"), "hunter2"]
    {
        telegram.send_text(JANE, text);
        telegram.send_text_in_group(MALLORY, GROUP, text);
        telegram.send_text_in_group(JANE, -7, text);
        telegram.send_anonymous_text(GROUP, text);
        telegram.forward_text_to_group(JANE, GROUP, text);
    }
    let before = telegram.bot_messages(GROUP).len();
    telegram.send_text_in_group(ADA, GROUP, "/whoami");
    user.fixture.wait_for_message(GROUP, "Your user: 502").await;
    let telegram = user.telegram();
    assert_eq!(telegram.bot_messages(GROUP).len(), before + 1, "she alone is answered");
    assert!([JANE, MALLORY, -7].iter().all(|chat| telegram.bot_messages(*chat).is_empty()));
    assert!(silent.iter().all(|query| telegram.press_answer(query).is_none()));
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    assert!(
        !user.fixture.audited_acts().iter().any(|act| act.starts_with("pause")),
        "{:?}",
        user.fixture.audited_acts()
    );
}

#[tokio::test]
async fn a_command_of_any_decider_acts_and_another_may_confirm_it() {
    let user = FakeUser::in_group().await;
    user.telegram().send_text_in_group(JANE, GROUP, "/allow notes/send");
    let found = |it: &crate::fake_telegram::FakeTelegram| {
        it.bot_messages(GROUP)
            .into_iter()
            .find(|shown| button_labels(shown).contains(&"✅ Confirm".to_owned()))
    };
    let shown = user.telegram().wait_until("what it would change", found).await;
    let confirm = callback_data(&shown, "✅ Confirm");
    let foreign = user.telegram().press_data_in(MALLORY, GROUP, shown.id, &confirm);
    user.telegram().press_data_in(ADA, GROUP, shown.id, &confirm);
    let done = user.fixture.wait_for_message(GROUP, "Permitted from now on").await;
    assert!(done.ends_with("By telegram user 502"), "{done}");
    assert!(user.telegram().press_answer(&foreign).is_none());
    assert_eq!(user.fetch_overrides().await.rules.len(), 1);
    user.telegram().send_text_in_group(ADA, GROUP, &format!("/pause@{USERNAME}"));
    assert!(
        user.fixture
            .wait_for_message(GROUP, "Everything is paused, since")
            .await
            .contains("By telegram user 502")
    );
}

#[tokio::test]
async fn people_talk_to_each_other_and_to_other_bots_there() {
    let user = FakeUser::in_group().await;
    for text in ["what do you think?", "/weather", "/status@other_bot", "status"] {
        user.telegram().send_text_in_group(JANE, GROUP, text);
    }
    user.telegram().send_text_in_group(JANE, GROUP, &format!("/weather@{USERNAME}"));
    user.fixture.wait_for_message(GROUP, "There is no command /weather").await;
    assert_eq!(user.telegram().bot_messages(GROUP).len(), 1);
}

#[tokio::test]
async fn only_who_pressed_deny_with_a_reason_gives_it() {
    let mut user = FakeUser::in_group().await;
    let task = user.submit_call("one").await;
    user.press_button_as(JANE, &task, "More…").await;
    user.press_button_as(ADA, &task, "Deny with a reason").await;
    assert!(
        user.fixture
            .wait_for_message(GROUP, "Why not?")
            .await
            .contains("Only the answer of telegram user 502")
    );
    let asked = |it: &crate::fake_telegram::FakeTelegram| {
        it.bot_messages(GROUP).into_iter().find(|shown| shown.text.starts_with("Why not?"))
    };
    let question = user.telegram().wait_until("the question", asked).await;
    user.telegram().send_reply_in_group(MALLORY, GROUP, question.id, "from Mallory");
    user.telegram().send_reply_in_group(JANE, GROUP, question.id, "from Jane");
    user.fixture.wait_for_message(GROUP, "This came too late, twice, or from someone else.").await;
    assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    user.telegram().send_reply_in_group(ADA, GROUP, question.id, "from Ada");
    let task = user.wait_for_task_state(task.id, TaskState::Denied).await;
    assert_eq!(task.note.as_ref().unwrap().get(), "from Ada");
    user.wait_for_outcome(&task, "Denied by telegram user 502").await;
}

#[tokio::test]
async fn who_is_taken_out_decides_no_more_and_what_waits_goes_on() {
    let mut user = FakeUser::in_group().await;
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    let url = user.telegram().api_url();
    user.fixture
        .write_telegram_config(&json!({"token": TOKEN, "apiUrl": url, "chat": GROUP, "deciders": [ADA]}));
    let one = |status: &portero::ipc::TelegramStatus| {
        status.group.as_ref().is_some_and(|group| group.deciders == [ADA]) && status.last_poll.is_some()
    };
    user.fixture.wait_for_status("one decider", one).await;
    let query = user.telegram().press_in(JANE, GROUP, card.id, "✅ Approve");
    assert_eq!(user.press_button_as(ADA, &task, "✅ Approve").await, "Approved.");
    assert!(user.telegram().press_answer(&query).is_none());
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert!(user.audited_states().contains(&"approved by telegram user 502".to_owned()));
}

#[tokio::test]
async fn a_restart_in_between_changes_nothing() {
    let mut user = FakeUser::in_group().await;
    let task = user.submit_call("one").await;
    user.wait_for_card(&task).await;
    let user = user.restart().await;
    user.fixture.wait_until_serving().await;
    assert_eq!(user.press_button_as(ADA, &task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(user.received_texts(), ["one"]);
}

#[tokio::test]
async fn a_bot_that_was_removed_says_so_and_goes_on_once_it_is_back() {
    let mut user = FakeUser::in_group().await;
    user.telegram().change_group(GROUP, |it| it.removed = true);
    let task = user.submit_call("one").await;
    let removed = |status: &portero::ipc::TelegramStatus| {
        status.sending_trouble.as_ref().is_some_and(|words| words.contains("not in the group"))
    };
    user.fixture.wait_for_status("what is wrong", removed).await;
    user.telegram().change_group(GROUP, |it| it.removed = false);
    user.telegram().send_text_in_group(ADA, GROUP, "/status");
    assert_eq!(user.press_button_as(ADA, &task, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(task.id, TaskState::Completed).await;
}

/// Telegram tells the bot what it may do from now on: nobody has to write anything.
#[tokio::test]
async fn what_a_bot_without_the_right_to_write_could_not_send_comes_once_it_has_it() {
    let mut user = FakeUser::in_group().await;
    let shown = user.submit_call("shown").await;
    user.wait_for_card(&shown).await;
    user.telegram().change_group(GROUP, |it| it.silenced = true);
    let task = user.submit_call("one").await;
    user.fixture.request(Pause).await.unwrap();
    let silenced = |status: &portero::ipc::TelegramStatus| {
        status.sending_trouble.as_ref().is_some_and(|words| words.contains("no right to write"))
            && status.waiting > 0
            && status.refused.is_none()
    };
    user.fixture.wait_for_status("what is wrong", silenced).await;
    user.telegram().change_bot_rights(-7, |_| ());
    user.telegram().change_bot_rights(GROUP, |it| it.silenced = false);
    user.wait_for_card(&task).await;
    user.fixture.wait_for_message(GROUP, "Everything is paused").await;
    user.fixture.wait_for_status("all is well", |status| status.sending_trouble.is_none()).await;
}

#[tokio::test]
async fn the_right_to_write_is_also_tried_for_at_intervals() {
    let mut user = FakeUser::in_group().await;
    user.fixture.chat_backoff = MIN_BACKOFF;
    let mut user = user.restart().await;
    user.fixture.wait_until_serving().await;
    user.telegram().change_group(GROUP, |it| it.silenced = true);
    let task = user.submit_call("one").await;
    let tried = |it: &crate::fake_telegram::FakeTelegram| {
        let refused = it.calls("sendMessage").into_iter().filter(|call| call.code == Some(400));
        (refused.count() >= 3).then_some(())
    };
    user.telegram().wait_until("three tries", tried).await;
    user.telegram().change_group(GROUP, |it| it.silenced = false);
    user.wait_for_card(&task).await;
}

const SUPERGROUP: i64 = -1_009;

/// However the bot learns that the group moved: said in the old chat, said in the new one, or from a refusal alone.
#[tokio::test]
async fn a_group_that_became_a_supergroup_is_followed_and_all_that_waits_comes_there() {
    for way in 0..3 {
        let mut user = FakeUser::in_group().await;
        let before = user.submit_call("before").await;
        user.wait_for_card(&before).await;
        match way {
            0 => drop(user.telegram().upgrade(GROUP, SUPERGROUP)),
            1 => drop(user.telegram().upgrade_told_after(GROUP, SUPERGROUP)),
            _ => user.telegram().upgrade_silently(GROUP, SUPERGROUP),
        }
        user.fixture.request(Pause).await.unwrap();
        user.fixture.wait_for_message(SUPERGROUP, "Everything is paused").await;
        user.fixture.request(Resume { challenge: crate::fake_user::passphrase_challenge() }).await.unwrap();
        let after = user.submit_call("after").await;
        user.chat = SUPERGROUP;
        let user = user.restart().await;
        assert_eq!(user.press_button(&after, "✅ Approve").await, "Approved.", "{way}");
        assert_eq!(user.press_button_as(ADA, &before, "✅ Approve").await, "Approved.", "{way}");
        user.wait_for_task_state(before.id, TaskState::Completed).await;
        let group = user.fixture.status().await.group.unwrap();
        assert_eq!(group.chat, SUPERGROUP);
        assert!(group.trouble.unwrap().contains("write -1009 as `telegram.chat`"), "{way}");
        let moved = format!("telegram move: group {GROUP} is supergroup {SUPERGROUP}: true");
        assert_eq!(user.fixture.audited_acts().iter().filter(|act| **act == moved).count(), 1, "{way}");

        let url = user.telegram().api_url();
        let deciders = [JANE, ADA];
        user.fixture.write_telegram_config(
            &json!({"token": TOKEN, "apiUrl": url, "chat": SUPERGROUP, "deciders": deciders}),
        );
        user.fixture.confirm_config().await;
        let well = |status: &portero::ipc::TelegramStatus| {
            status.group.as_ref().is_some_and(|group| group.trouble.is_none()) && status.last_poll.is_some()
        };
        user.fixture.wait_for_status("nothing to write", well).await;
    }
}

#[tokio::test]
async fn a_stranger_moves_no_group() {
    let user = FakeUser::in_group().await;
    user.telegram().upgrade(-7, -8);
    user.telegram().upgrade_told_after(-9, -10);
    user.telegram().send_text_in_group(JANE, GROUP, "/whoami");
    user.telegram().send_text_in_group(JANE, GROUP, "/rules");
    user.fixture.wait_for_answers(GROUP, 1).await;
    assert_eq!(user.fixture.status().await.group.unwrap().chat, GROUP);
}

/// An edit of the chat changes the outbox and the link at once, and either may be what wakes.
#[tokio::test]
async fn what_waits_comes_to_each_chat_that_the_configuration_names() {
    let mut user = FakeUser::in_group().await;
    let task = user.submit_call("one").await;
    user.wait_for_card(&task).await;
    let url = user.telegram().api_url();
    for group in (-1_120..-1_100).rev() {
        user.telegram().change_group(group, |_| ());
        user.fixture.write_telegram_config(
            &json!({"token": TOKEN, "apiUrl": url, "chat": group, "deciders": [JANE, ADA]}),
        );
        user.fixture.confirm_config().await;
        user.chat = group;
        user.wait_for_card(&task).await;
    }
}

#[tokio::test]
async fn where_a_group_is_named_nobody_is_paired() {
    let user = FakeUser::in_group().await;
    let refused = user
        .fixture
        .request(PairTelegram { challenge: Some(crate::fake_user::passphrase_challenge()) })
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.message.contains("names the group -1001000"), "{refused:?}");
    assert!(refused.hint.unwrap().contains("telegram.deciders"));
    let status = user.fixture.status().await;
    let group = status.group.unwrap();
    assert_eq!((group.chat, &group.deciders[..]), (GROUP, &[JANE, ADA][..]));
    assert_eq!(status.person, None);
}

#[tokio::test]
async fn a_groups_number_is_told_in_it_while_nobody_is_configured() {
    let world = TelegramFixture::new().await;
    world.telegram.send_text_in_group(JANE, GROUP, "/whoami");
    let told = world.wait_for_message(GROUP, "Your user: 501").await;
    assert_eq!(
        told,
        "Your user: 501\nThis chat: -1001000\nTopics: off\nTo be asked here, write into portero.json, in telegram:\n\
         \"chat\": -1001000,\n\"deciders\": [501]"
    );
    world.telegram.create_forum(-7);
    world.telegram.send_text_in_group(JANE, -7, "/whoami");
    assert!(world.wait_for_message(-7, "Your user: 501").await.contains("Topics: on"));
    let code = world.new_pairing_code().await.code;
    world.telegram.send_text_in_group(MALLORY, GROUP, &format!("/pair {code}"));
    world.pair_jane().await;
    world.telegram.send_text_in_group(MALLORY, GROUP, "/whoami");
    world.telegram.send_text_in_group(JANE, GROUP, "/whoami");
    world.wait_for_answers(GROUP, 2).await;
    assert_eq!(
        world.telegram.bot_messages(GROUP).len(),
        2,
        "the paired person alone is answered from now on"
    );
    world.request(GetStatus).await.unwrap();
}
