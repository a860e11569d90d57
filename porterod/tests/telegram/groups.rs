//! A group in which several people decide, and nobody else.

use portero::ipc::FailureKind;
use portero::ipc::requests::auth::PairTelegram;
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::requests::overrides::{Pause, Resume};
use portero::task::TaskState;
use serde_json::json;

use crate::fake_user::{FakeUser, button_labels, callback_data};
use crate::fixture::{ADA, GROUP, JANE, MALLORY, MIN_BACKOFF, TelegramFixture};
use crate::standin::{TOKEN, USERNAME};

#[tokio::test]
async fn any_decider_decides_and_it_is_told_and_recorded_which() {
    let mut hands = FakeUser::in_group().await;
    let (one, other) = (hands.submit_call("one").await, hands.submit_call("other").await);
    assert_eq!(hands.press_button_as(ADA, &one, "✅ Approve").await, "Approved.");
    hands.wait_for_task_state(one.id, TaskState::Completed).await;
    let card = hands.wait_for_outcome_with(&one, "Done.").await;
    assert!(card.text.starts_with("Approved by telegram user 502, "), "{}", card.text);
    assert!(hands.press_button_as(JANE, &other, "❌ Deny").await.starts_with("Denied."));
    hands.wait_for_outcome(&other, "Denied by telegram user 501, ").await;
    let audited = hands.audited_states();
    for record in ["approved by telegram user 502", "denied by telegram user 501"] {
        assert!(audited.contains(&record.to_owned()), "{record}: {audited:?}");
    }
    assert!(hands.telegram().by_bot(JANE).is_empty(), "nothing goes to a private chat");
}

#[tokio::test]
async fn of_two_deciders_who_press_at_once_one_decides() {
    let mut hands = FakeUser::in_group().await;
    let task = hands.submit_call("once").await;
    let card = hands.wait_for_card(&task).await;
    let (yes, no) = (callback_data(&card, "✅ Approve"), callback_data(&card, "❌ Deny"));
    let queries: Vec<_> = (0..20)
        .map(|n| {
            let (person, data) = if n % 2 == 0 { (JANE, &yes) } else { (ADA, &no) };
            hands.telegram().press_with_in(person, GROUP, card.id, data)
        })
        .collect();
    let mut did = 0;
    for query in &queries {
        did += usize::from(!hands.wait_for_answer(query).await.contains("Nothing was changed"));
    }
    let decided: Vec<_> =
        hands.audited_states().into_iter().filter(|it| it.contains("by telegram user")).collect();
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
    let mut hands = FakeUser::in_group().await;
    let task = hands.submit_call("one").await;
    let card = hands.wait_for_card(&task).await;
    let approve = callback_data(&card, "✅ Approve");
    let telegram = hands.telegram();
    telegram.say(JANE, "/start");
    telegram.change_group(-7, |_| ());
    let silent = [
        telegram.press_with_in(MALLORY, GROUP, card.id, &approve),
        // A card that was forwarded stands elsewhere.
        telegram.press_with_in(JANE, -7, card.id, &approve),
        telegram.press_with(JANE, card.id, &approve),
    ];
    for text in ["/status", "/pause", "/whoami", "/pair AAAA-AAAA", &format!("/pause@{USERNAME}"), "hunter2"]
    {
        telegram.say(JANE, text);
        telegram.say_in_group(MALLORY, GROUP, text);
        telegram.say_in_group(JANE, -7, text);
        telegram.say_anonymously(GROUP, text);
        telegram.forward_into(JANE, GROUP, text);
    }
    let before = telegram.by_bot(GROUP).len();
    telegram.say_in_group(ADA, GROUP, "/whoami");
    hands.fixture.wait_for_message(GROUP, "Your user: 502").await;
    let telegram = hands.telegram();
    assert_eq!(telegram.by_bot(GROUP).len(), before + 1, "she alone is answered");
    assert!([JANE, MALLORY, -7].iter().all(|chat| telegram.by_bot(*chat).is_empty()));
    assert!(silent.iter().all(|query| telegram.answer_to(query).is_none()));
    assert_eq!(hands.fetch_task(task.id).await.state, TaskState::PendingApproval);
    assert!(
        !hands.fixture.audited_acts().iter().any(|act| act.starts_with("pause")),
        "{:?}",
        hands.fixture.audited_acts()
    );
}

#[tokio::test]
async fn a_command_of_any_decider_acts_and_another_may_confirm_it() {
    let hands = FakeUser::in_group().await;
    hands.telegram().say_in_group(JANE, GROUP, "/allow notes/send");
    let found = |it: &crate::standin::StandIn| {
        it.by_bot(GROUP).into_iter().find(|shown| button_labels(shown).contains(&"✅ Confirm".to_owned()))
    };
    let shown = hands.telegram().until("what it would change", found).await;
    let confirm = callback_data(&shown, "✅ Confirm");
    let foreign = hands.telegram().press_with_in(MALLORY, GROUP, shown.id, &confirm);
    hands.telegram().press_with_in(ADA, GROUP, shown.id, &confirm);
    let done = hands.fixture.wait_for_message(GROUP, "Permitted from now on").await;
    assert!(done.ends_with("By telegram user 502"), "{done}");
    assert!(hands.telegram().answer_to(&foreign).is_none());
    assert_eq!(hands.fetch_overrides().await.rules.len(), 1);
    hands.telegram().say_in_group(ADA, GROUP, &format!("/pause@{USERNAME}"));
    assert!(
        hands
            .fixture
            .wait_for_message(GROUP, "Everything is paused, since")
            .await
            .contains("By telegram user 502")
    );
}

#[tokio::test]
async fn people_talk_to_each_other_and_to_other_bots_there() {
    let hands = FakeUser::in_group().await;
    for text in ["what do you think?", "/weather", "/status@other_bot", "status"] {
        hands.telegram().say_in_group(JANE, GROUP, text);
    }
    hands.telegram().say_in_group(JANE, GROUP, &format!("/weather@{USERNAME}"));
    hands.fixture.wait_for_message(GROUP, "There is no command /weather").await;
    assert_eq!(hands.telegram().by_bot(GROUP).len(), 1);
}

#[tokio::test]
async fn only_who_pressed_deny_with_a_reason_gives_it() {
    let mut hands = FakeUser::in_group().await;
    let task = hands.submit_call("one").await;
    hands.press_button_as(JANE, &task, "More…").await;
    hands.press_button_as(ADA, &task, "Deny with a reason").await;
    assert!(
        hands
            .fixture
            .wait_for_message(GROUP, "Why not?")
            .await
            .contains("Only the answer of telegram user 502")
    );
    let asked = |it: &crate::standin::StandIn| {
        it.by_bot(GROUP).into_iter().find(|shown| shown.text.starts_with("Why not?"))
    };
    let question = hands.telegram().until("the question", asked).await;
    hands.telegram().answer_in(MALLORY, GROUP, question.id, "from Mallory");
    hands.telegram().answer_in(JANE, GROUP, question.id, "from Jane");
    hands.fixture.wait_for_message(GROUP, "This came too late, twice, or from someone else.").await;
    assert_eq!(hands.fetch_task(task.id).await.state, TaskState::PendingApproval);
    hands.telegram().answer_in(ADA, GROUP, question.id, "from Ada");
    let task = hands.wait_for_task_state(task.id, TaskState::Denied).await;
    assert_eq!(task.note.as_ref().unwrap().get(), "from Ada");
    hands.wait_for_outcome(&task, "Denied by telegram user 502").await;
}

#[tokio::test]
async fn who_is_taken_out_decides_no_more_and_what_waits_goes_on() {
    let mut hands = FakeUser::in_group().await;
    let task = hands.submit_call("one").await;
    let card = hands.wait_for_card(&task).await;
    let url = hands.telegram().api_url();
    hands
        .fixture
        .write_telegram_config(&json!({"token": TOKEN, "apiUrl": url, "chat": GROUP, "deciders": [ADA]}));
    let one = |status: &portero::ipc::TelegramStatus| {
        status.group.as_ref().is_some_and(|group| group.deciders == [ADA]) && status.last_poll.is_some()
    };
    hands.fixture.wait_for_status("one decider", one).await;
    let query = hands.telegram().press_in(JANE, GROUP, card.id, "✅ Approve");
    assert_eq!(hands.press_button_as(ADA, &task, "✅ Approve").await, "Approved.");
    assert!(hands.telegram().answer_to(&query).is_none());
    hands.wait_for_task_state(task.id, TaskState::Completed).await;
    assert!(hands.audited_states().contains(&"approved by telegram user 502".to_owned()));
}

#[tokio::test]
async fn a_restart_in_between_changes_nothing() {
    let mut hands = FakeUser::in_group().await;
    let task = hands.submit_call("one").await;
    hands.wait_for_card(&task).await;
    let hands = hands.restart().await;
    hands.fixture.wait_until_serving().await;
    assert_eq!(hands.press_button_as(ADA, &task, "✅ Approve").await, "Approved.");
    hands.wait_for_task_state(task.id, TaskState::Completed).await;
    assert_eq!(hands.received_texts(), ["one"]);
}

#[tokio::test]
async fn a_bot_that_was_removed_says_so_and_goes_on_once_it_is_back() {
    let mut hands = FakeUser::in_group().await;
    hands.telegram().change_group(GROUP, |it| it.removed = true);
    let task = hands.submit_call("one").await;
    let removed = |status: &portero::ipc::TelegramStatus| {
        status.sending_trouble.as_ref().is_some_and(|words| words.contains("not in the group"))
    };
    hands.fixture.wait_for_status("what is wrong", removed).await;
    hands.telegram().change_group(GROUP, |it| it.removed = false);
    hands.telegram().say_in_group(ADA, GROUP, "/status");
    assert_eq!(hands.press_button_as(ADA, &task, "✅ Approve").await, "Approved.");
    hands.wait_for_task_state(task.id, TaskState::Completed).await;
}

/// Telegram tells the bot what it may do from now on: nobody has to write anything.
#[tokio::test]
async fn what_a_bot_without_the_right_to_write_could_not_send_comes_once_it_has_it() {
    let mut hands = FakeUser::in_group().await;
    let shown = hands.submit_call("shown").await;
    hands.wait_for_card(&shown).await;
    hands.telegram().change_group(GROUP, |it| it.silenced = true);
    let task = hands.submit_call("one").await;
    hands.fixture.request(Pause).await.unwrap();
    let silenced = |status: &portero::ipc::TelegramStatus| {
        status.sending_trouble.as_ref().is_some_and(|words| words.contains("no right to write"))
            && status.waiting > 0
            && status.refused.is_none()
    };
    hands.fixture.wait_for_status("what is wrong", silenced).await;
    hands.telegram().let_bot(-7, |_| ());
    hands.telegram().let_bot(GROUP, |it| it.silenced = false);
    hands.wait_for_card(&task).await;
    hands.fixture.wait_for_message(GROUP, "Everything is paused").await;
    hands.fixture.wait_for_status("all is well", |status| status.sending_trouble.is_none()).await;
}

#[tokio::test]
async fn the_right_to_write_is_also_tried_for_at_intervals() {
    let mut hands = FakeUser::in_group().await;
    hands.fixture.chat_backoff = MIN_BACKOFF;
    let mut hands = hands.restart().await;
    hands.fixture.wait_until_serving().await;
    hands.telegram().change_group(GROUP, |it| it.silenced = true);
    let task = hands.submit_call("one").await;
    let tried = |it: &crate::standin::StandIn| {
        let refused = it.calls("sendMessage").into_iter().filter(|call| call.code == Some(400));
        (refused.count() >= 3).then_some(())
    };
    hands.telegram().until("three tries", tried).await;
    hands.telegram().change_group(GROUP, |it| it.silenced = false);
    hands.wait_for_card(&task).await;
}

const SUPERGROUP: i64 = -1_009;

/// However the bot learns that the group moved: said in the old chat, said in the new one, or from a refusal alone.
#[tokio::test]
async fn a_group_that_became_a_supergroup_is_followed_and_all_that_waits_comes_there() {
    for way in 0..3 {
        let mut hands = FakeUser::in_group().await;
        let before = hands.submit_call("before").await;
        hands.wait_for_card(&before).await;
        match way {
            0 => drop(hands.telegram().upgrade(GROUP, SUPERGROUP)),
            1 => drop(hands.telegram().upgrade_told_after(GROUP, SUPERGROUP)),
            _ => hands.telegram().upgrade_silently(GROUP, SUPERGROUP),
        }
        hands.fixture.request(Pause).await.unwrap();
        hands.fixture.wait_for_message(SUPERGROUP, "Everything is paused").await;
        hands.fixture.request(Resume { challenge: crate::fake_user::passphrase_challenge() }).await.unwrap();
        let after = hands.submit_call("after").await;
        hands.chat = SUPERGROUP;
        let hands = hands.restart().await;
        assert_eq!(hands.press_button(&after, "✅ Approve").await, "Approved.", "{way}");
        assert_eq!(hands.press_button_as(ADA, &before, "✅ Approve").await, "Approved.", "{way}");
        hands.wait_for_task_state(before.id, TaskState::Completed).await;
        let group = hands.fixture.status().await.group.unwrap();
        assert_eq!(group.chat, SUPERGROUP);
        assert!(group.trouble.unwrap().contains("write -1009 as `telegram.chat`"), "{way}");
        let moved = format!("telegram move: group {GROUP} is supergroup {SUPERGROUP}: true");
        assert_eq!(hands.fixture.audited_acts().iter().filter(|act| **act == moved).count(), 1, "{way}");

        let url = hands.telegram().api_url();
        let deciders = [JANE, ADA];
        hands.fixture.write_telegram_config(
            &json!({"token": TOKEN, "apiUrl": url, "chat": SUPERGROUP, "deciders": deciders}),
        );
        hands.fixture.confirm_config().await;
        let well = |status: &portero::ipc::TelegramStatus| {
            status.group.as_ref().is_some_and(|group| group.trouble.is_none()) && status.last_poll.is_some()
        };
        hands.fixture.wait_for_status("nothing to write", well).await;
    }
}

#[tokio::test]
async fn a_stranger_moves_no_group() {
    let hands = FakeUser::in_group().await;
    hands.telegram().upgrade(-7, -8);
    hands.telegram().upgrade_told_after(-9, -10);
    hands.telegram().say_in_group(JANE, GROUP, "/whoami");
    hands.telegram().say_in_group(JANE, GROUP, "/rules");
    hands.fixture.wait_for_answers(GROUP, 1).await;
    assert_eq!(hands.fixture.status().await.group.unwrap().chat, GROUP);
}

/// An edit of the chat changes the outbox and the link at once, and either may be what wakes.
#[tokio::test]
async fn what_waits_comes_to_each_chat_that_the_configuration_names() {
    let mut hands = FakeUser::in_group().await;
    let task = hands.submit_call("one").await;
    hands.wait_for_card(&task).await;
    let url = hands.telegram().api_url();
    for group in (-1_120..-1_100).rev() {
        hands.telegram().change_group(group, |_| ());
        hands.fixture.write_telegram_config(
            &json!({"token": TOKEN, "apiUrl": url, "chat": group, "deciders": [JANE, ADA]}),
        );
        hands.fixture.confirm_config().await;
        hands.chat = group;
        hands.wait_for_card(&task).await;
    }
}

#[tokio::test]
async fn where_a_group_is_named_nobody_is_paired() {
    let hands = FakeUser::in_group().await;
    let refused = hands
        .fixture
        .request(PairTelegram { challenge: Some(crate::fake_user::passphrase_challenge()) })
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.kind, FailureKind::Refused);
    assert!(refused.message.contains("names the group -1001000"), "{refused:?}");
    assert!(refused.hint.unwrap().contains("telegram.deciders"));
    let status = hands.fixture.status().await;
    let group = status.group.unwrap();
    assert_eq!((group.chat, &group.deciders[..]), (GROUP, &[JANE, ADA][..]));
    assert_eq!(status.person, None);
}

#[tokio::test]
async fn a_groups_number_is_told_in_it_while_nobody_is_configured() {
    let world = TelegramFixture::new().await;
    world.telegram.say_in_group(JANE, GROUP, "/whoami");
    let told = world.wait_for_message(GROUP, "Your user: 501").await;
    assert_eq!(
        told,
        "Your user: 501\nThis chat: -1001000\nTopics: off\nTo be asked here, write into portero.json, in telegram:\n\
         \"chat\": -1001000,\n\"deciders\": [501]"
    );
    world.telegram.forum(-7);
    world.telegram.say_in_group(JANE, -7, "/whoami");
    assert!(world.wait_for_message(-7, "Your user: 501").await.contains("Topics: on"));
    let code = world.new_pairing_code().await.code;
    world.telegram.say_in_group(MALLORY, GROUP, &format!("/pair {code}"));
    world.pair_jane().await;
    world.telegram.say_in_group(MALLORY, GROUP, "/whoami");
    world.telegram.say_in_group(JANE, GROUP, "/whoami");
    world.wait_for_answers(GROUP, 2).await;
    assert_eq!(world.telegram.by_bot(GROUP).len(), 2, "the paired person alone is answered from now on");
    world.request(GetStatus).await.unwrap();
}
