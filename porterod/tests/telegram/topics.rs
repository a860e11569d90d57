//! A group with topics: one for each project, made once, and made again.

use portero::audit::{AuditEvent, AuditRecord, AuditWriter};
use portero::clock::Clock as _;
use portero::ipc::TelegramStatus;
use portero::names::Principal;
use portero::task::TaskState;

use crate::fake_telegram::{FakeTelegram, Fault, ShownMessage, USERNAME};
use crate::fake_user::FakeUser;
use crate::fixture::{ADA, GROUP, JANE};

/// Waits for a message in the group that begins so, in this topic.
async fn wait_for_message_in(user: &FakeUser, topic: Option<i64>, words: &str) -> ShownMessage {
    let found = |it: &FakeTelegram| {
        it.bot_messages(GROUP)
            .into_iter()
            .find(|shown| shown.thread == topic && shown.text.starts_with(words))
    };
    user.telegram().wait_until(words, found).await
}

#[tokio::test]
async fn each_project_has_its_own_topic_also_where_two_have_the_same_name() {
    let mut user = FakeUser::in_forum().await;
    user.work_in("one/shop");
    let (first, second) = (user.submit_call("first").await, user.submit_call("second").await);
    user.work_in("two/shop");
    let third = user.submit_call("third").await;
    let cards = [
        user.wait_for_card(&first).await,
        user.wait_for_card(&second).await,
        user.wait_for_card(&third).await,
    ];
    assert_eq!(user.telegram().topics(GROUP), ["shop", "shop (2)"]);
    let [one, two] = ["shop", "shop (2)"].map(|name| user.telegram().topic(GROUP, name));
    assert_eq!(cards.map(|card| card.thread), [one, one, two]);

    // Documents and reasons of a project stand there, too.
    let long = user.submit_call(&"long ".repeat(2_000)).await;
    user.wait_for_card(&long).await;
    let document =
        |it: &FakeTelegram| it.bot_messages(GROUP).into_iter().find(|shown| shown.document.is_some());
    assert_eq!(user.telegram().wait_until("a document", document).await.thread, two);
    user.press_button_as(ADA, &first, "More…").await;
    user.press_button_as(ADA, &first, "Deny with a reason").await;
    let question = wait_for_message_in(&user, one, "Why not?").await;
    user.telegram().send_reply_in_group(ADA, GROUP, question.id, "no");
    user.wait_for_task_state(first.id, TaskState::Denied).await;
    wait_for_message_in(&user, one, "Denied. The agent reads your reason.").await;
    user.wait_for_outcome(&first, "Denied by telegram user 502").await;
    assert_eq!(user.telegram().calls("createForumTopic").len(), 2);
}

#[tokio::test]
async fn what_ran_without_asking_is_told_in_the_projects_topic() {
    let mut user = FakeUser::in_forum().await;
    let task = user.submit_call("one").await;
    let topic = user.wait_for_card(&task).await.thread;
    assert!(topic.is_some());
    let audit = user.fixture.paths().audit();
    let segment = AuditWriter::open(&audit, "portero test", user.fixture.clock.now()).unwrap();
    let told = |project: &std::path::Path, tool: &str| {
        let event = AuditEvent::Refused { tool: tool.parse().unwrap(), reason: "denied".to_owned() };
        let principal = Some(Principal::from_project(project));
        segment
            .append(&AuditRecord {
                at: user.fixture.clock.now().wall,
                session: None,
                principal,
                address: None,
                event,
            })
            .unwrap();
    };
    told(&user.project, "notes/here");
    told(&user.fixture.path_of("elsewhere"), "notes/elsewhere");
    assert_eq!(wait_for_message_in(&user, topic, "Refused").await.text, "Refused\n1 × notes/here");
    assert_eq!(wait_for_message_in(&user, None, "Refused").await.text, "Refused\n1 × notes/elsewhere");

    user.telegram().remove_topic(GROUP, topic.unwrap());
    told(&user.project, "notes/later");
    wait_for_message_in(&user, None, "Refused\n1 × notes/later").await;
}

#[tokio::test]
async fn a_topic_stays_the_projects_across_a_restart() {
    let mut user = FakeUser::in_forum().await;
    let task = user.submit_call("one").await;
    user.wait_for_card(&task).await;
    let mut user = user.restart().await;
    let other = user.submit_call("two").await;
    let topic = user.telegram().topic(GROUP, "project");
    assert_eq!(
        (user.wait_for_card(&other).await.thread, user.wait_for_card(&task).await.thread),
        (topic, topic)
    );
    assert_eq!(user.telegram().calls("createForumTopic").len(), 1);
}

#[tokio::test]
async fn a_command_is_answered_where_it_was_written() {
    let mut user = FakeUser::in_forum().await;
    let task = user.submit_call("one").await;
    let topic = user.wait_for_card(&task).await.thread;
    assert!(topic.is_some());
    user.telegram().send_text_in_topic(JANE, (GROUP, topic), "/whoami");
    wait_for_message_in(&user, topic, "Your user: 501").await;
    user.telegram().send_text_in_topic(ADA, (GROUP, None), "/whoami");
    wait_for_message_in(&user, None, "Your user: 502").await;
    user.telegram().send_text_in_topic(ADA, (GROUP, topic), &format!("/deny@{USERNAME} notes/wait"));
    wait_for_message_in(&user, topic, "Denied from now on").await;
    // An answer to a message in General is in a thread of its own, into which nobody can write.
    let general = wait_for_message_in(&user, None, "Your user: 502").await;
    user.telegram().send_reply_in_group(JANE, GROUP, general.id, "/rules");
    let rules = |it: &FakeTelegram| {
        it.bot_messages(GROUP)
            .into_iter()
            .find(|shown| shown.thread.is_none() && shown.text.contains("notes/wait"))
    };
    user.telegram().wait_until("the rules in General", rules).await;
}

#[tokio::test]
async fn what_waited_in_a_topic_that_was_removed_comes_again_in_a_new_one() {
    let mut user = FakeUser::in_forum().await;
    let (one, two) = (user.submit_call("one").await, user.submit_call("two").await);
    let topic = user.wait_for_card(&one).await.thread.unwrap();
    user.wait_for_card(&two).await;
    user.telegram().remove_topic(GROUP, topic);
    let three = user.submit_call("three").await;
    let new = user.wait_for_card(&three).await.thread.unwrap();
    assert_ne!(new, topic);
    for task in [&one, &two] {
        assert_eq!(user.wait_for_card(task).await.thread, Some(new));
    }
    assert_eq!(user.press_button_as(ADA, &two, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(two.id, TaskState::Completed).await;
    assert_eq!(user.telegram().topics(GROUP), ["project"]);
}

#[tokio::test]
async fn a_topic_that_was_closed_is_opened_again() {
    let mut user = FakeUser::in_forum().await;
    let one = user.submit_call("one").await;
    let topic = user.wait_for_card(&one).await.thread;
    user.telegram().close_topic(GROUP, topic.unwrap());
    let two = user.submit_call("two").await;
    assert_eq!(user.wait_for_card(&two).await.thread, topic);
    assert_eq!(user.telegram().calls("createForumTopic").len(), 1);

    user.telegram().close_topic(GROUP, topic.unwrap());
    user.telegram().change_group(GROUP, |it| it.manages = false);
    let three = user.submit_call("three").await;
    assert_eq!(user.wait_for_card(&three).await.thread, None, "in General rather than nowhere");
    user.fixture.wait_for_status("what to do", |status| has_group_trouble(status, "a topic is closed")).await;
}

#[tokio::test]
async fn without_the_right_to_make_topics_all_stands_in_general_and_status_says_what_to_do() {
    let mut user = FakeUser::in_forum().await;
    user.telegram().change_group(GROUP, |it| it.manages = false);
    for text in ["one", "two", "three"] {
        let task = user.submit_call(text).await;
        assert_eq!(user.wait_for_card(&task).await.thread, None);
    }
    assert_eq!(user.telegram().calls("createForumTopic").len(), 1, "it is not tried for each");
    let status = user
        .fixture
        .wait_for_status("what to do", |status| has_group_trouble(status, "may not manage topics"))
        .await;
    assert_eq!(status.sending_trouble, None);
    user.telegram().change_group(GROUP, |it| it.manages = true);
    let mut user = user.restart().await;
    let task = user.submit_call("four").await;
    assert_eq!(user.wait_for_card(&task).await.thread, user.telegram().topic(GROUP, "project"));
    assert_eq!(user.fixture.status().await.group.unwrap().trouble, None);
}

#[tokio::test]
async fn where_topics_are_turned_off_again_all_stands_in_the_one_chat() {
    let mut user = FakeUser::in_forum().await;
    let one = user.submit_call("one").await;
    assert!(user.wait_for_card(&one).await.thread.is_some());
    user.telegram().change_group(GROUP, |it| it.forum = false);
    let two = user.submit_call("two").await;
    assert_eq!(user.wait_for_card(&two).await.thread, None);
    assert_eq!(user.press_button_as(ADA, &two, "✅ Approve").await, "Approved.");
    assert_eq!(user.fixture.status().await.group.unwrap().trouble, None);
}

#[tokio::test]
async fn an_answer_that_is_lost_while_a_topic_is_made_loses_no_card() {
    let mut user = FakeUser::in_forum().await;
    user.telegram().inject_fault("createForumTopic", Fault::DropAfter, 1);
    let task = user.submit_call("one").await;
    let card = user.wait_for_card(&task).await;
    assert!(card.thread.is_some());
    assert!(user.telegram().topics(GROUP).len() == 2, "at worst an empty one is left");
    assert_eq!(user.press_button(&task, "✅ Approve").await, "Approved.");
}

fn has_group_trouble(status: &TelegramStatus, words: &str) -> bool {
    let trouble = status.group.as_ref().and_then(|group| group.trouble.as_deref());
    trouble.is_some_and(|trouble| trouble.contains(words))
}
