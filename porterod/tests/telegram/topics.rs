//! A group with topics: one for each project, made once, and made again.

use portero::audit::{AuditEvent, AuditRecord, AuditWriter};
use portero::clock::Clock as _;
use portero::ipc::TelegramStatus;
use portero::names::Principal;
use portero::task::TaskState;

use crate::fake_user::{FakeUser, button_labels, short_id};
use crate::fixture::{ADA, GROUP, JANE};
use crate::standin::{Fault, Shown, StandIn, USERNAME};

/// Waits for a message in the group that begins so, in this topic.
async fn wait_for_message_in(hands: &FakeUser, topic: Option<i64>, words: &str) -> Shown {
    let found = |it: &StandIn| {
        it.by_bot(GROUP).into_iter().find(|shown| shown.thread == topic && shown.text.starts_with(words))
    };
    hands.telegram().until(words, found).await
}

#[tokio::test]
async fn each_project_has_its_own_topic_also_where_two_have_the_same_name() {
    let mut hands = FakeUser::in_forum().await;
    hands.work_in("one/shop");
    let (first, second) = (hands.submit_call("first").await, hands.submit_call("second").await);
    hands.work_in("two/shop");
    let third = hands.submit_call("third").await;
    let cards = [
        hands.wait_for_card(&first).await,
        hands.wait_for_card(&second).await,
        hands.wait_for_card(&third).await,
    ];
    assert_eq!(hands.telegram().topics(GROUP), ["shop", "shop (2)"]);
    let [one, two] = ["shop", "shop (2)"].map(|name| hands.telegram().topic(GROUP, name));
    assert_eq!(cards.map(|card| card.thread), [one, one, two]);

    // Documents and reasons of a project stand there, too.
    let long = hands.submit_call(&"long ".repeat(2_000)).await;
    hands.wait_for_card(&long).await;
    let document = |it: &StandIn| it.by_bot(GROUP).into_iter().find(|shown| shown.document.is_some());
    assert_eq!(hands.telegram().until("a document", document).await.thread, two);
    hands.press_button_as(ADA, &first, "More…").await;
    hands.press_button_as(ADA, &first, "Deny with a reason").await;
    let question = wait_for_message_in(&hands, one, "Why not?").await;
    hands.telegram().answer_in(ADA, GROUP, question.id, "no");
    hands.wait_for_task_state(first.id, TaskState::Denied).await;
    wait_for_message_in(&hands, one, "Denied. The agent reads your reason.").await;
    hands.wait_for_outcome(&first, "Denied by telegram user 502").await;
    assert_eq!(hands.telegram().calls("createForumTopic").len(), 2);
}

#[tokio::test]
async fn what_ran_without_asking_is_told_in_the_projects_topic() {
    let mut hands = FakeUser::in_forum().await;
    let task = hands.submit_call("one").await;
    let topic = hands.wait_for_card(&task).await.thread;
    assert!(topic.is_some());
    let audit = hands.fixture.paths().audit();
    let segment = AuditWriter::open(&audit, "portero test", hands.fixture.clock.now()).unwrap();
    let told = |project: &std::path::Path, tool: &str| {
        let event = AuditEvent::Refused { tool: tool.parse().unwrap(), reason: "denied".to_owned() };
        let principal = Some(Principal::from_project(project));
        segment
            .append(&AuditRecord { at: hands.fixture.clock.now().wall, session: None, principal, event })
            .unwrap();
    };
    told(&hands.project, "notes/here");
    told(&hands.fixture.path_of("elsewhere"), "notes/elsewhere");
    assert_eq!(wait_for_message_in(&hands, topic, "Refused").await.text, "Refused\n1 × notes/here");
    assert_eq!(wait_for_message_in(&hands, None, "Refused").await.text, "Refused\n1 × notes/elsewhere");

    hands.telegram().remove_topic(GROUP, topic.unwrap());
    told(&hands.project, "notes/later");
    wait_for_message_in(&hands, None, "Refused\n1 × notes/later").await;
}

#[tokio::test]
async fn a_topic_stays_the_projects_across_a_restart() {
    let mut hands = FakeUser::in_forum().await;
    let task = hands.submit_call("one").await;
    hands.wait_for_card(&task).await;
    let mut hands = hands.restart().await;
    let other = hands.submit_call("two").await;
    let topic = hands.telegram().topic(GROUP, "project");
    assert_eq!(
        (hands.wait_for_card(&other).await.thread, hands.wait_for_card(&task).await.thread),
        (topic, topic)
    );
    assert_eq!(hands.telegram().calls("createForumTopic").len(), 1);
}

#[tokio::test]
async fn a_command_is_answered_where_it_was_written() {
    let mut hands = FakeUser::in_forum().await;
    let task = hands.submit_call("one").await;
    let topic = hands.wait_for_card(&task).await.thread;
    assert!(topic.is_some());
    hands.telegram().say_in(JANE, (GROUP, topic), "/whoami");
    wait_for_message_in(&hands, topic, "Your user: 501").await;
    hands.telegram().say_in(ADA, (GROUP, None), "/whoami");
    wait_for_message_in(&hands, None, "Your user: 502").await;
    hands.telegram().say_in(ADA, (GROUP, topic), &format!("/deny@{USERNAME} notes/wait"));
    wait_for_message_in(&hands, topic, "Denied from now on").await;
    // An answer to a message in General is in a thread of its own, into which nobody can write.
    let general = wait_for_message_in(&hands, None, "Your user: 502").await;
    hands.telegram().answer_in(JANE, GROUP, general.id, "/rules");
    let rules = |it: &StandIn| {
        it.by_bot(GROUP).into_iter().find(|shown| shown.thread.is_none() && shown.text.contains("notes/wait"))
    };
    hands.telegram().until("the rules in General", rules).await;
}

#[tokio::test]
async fn what_waited_in_a_topic_that_was_removed_comes_again_in_a_new_one() {
    let mut hands = FakeUser::in_forum().await;
    let (one, two) = (hands.submit_call("one").await, hands.submit_call("two").await);
    let topic = hands.wait_for_card(&one).await.thread.unwrap();
    hands.wait_for_card(&two).await;
    hands.telegram().remove_topic(GROUP, topic);
    let three = hands.submit_call("three").await;
    let new = hands.wait_for_card(&three).await.thread.unwrap();
    assert_ne!(new, topic);
    for task in [&one, &two] {
        assert_eq!(hands.wait_for_card(task).await.thread, Some(new));
    }
    assert_eq!(hands.press_button_as(ADA, &two, "✅ Approve").await, "Approved.");
    hands.wait_for_task_state(two.id, TaskState::Completed).await;
    assert_eq!(hands.telegram().topics(GROUP), ["project"]);
}

#[tokio::test]
async fn a_topic_that_was_closed_is_opened_again() {
    let mut hands = FakeUser::in_forum().await;
    let one = hands.submit_call("one").await;
    let topic = hands.wait_for_card(&one).await.thread;
    hands.telegram().close_topic(GROUP, topic.unwrap());
    let two = hands.submit_call("two").await;
    assert_eq!(hands.wait_for_card(&two).await.thread, topic);
    assert_eq!(hands.telegram().calls("createForumTopic").len(), 1);

    hands.telegram().close_topic(GROUP, topic.unwrap());
    hands.telegram().change_group(GROUP, |it| it.manages = false);
    let three = hands.submit_call("three").await;
    assert_eq!(hands.wait_for_card(&three).await.thread, None, "in General rather than nowhere");
    hands
        .fixture
        .wait_for_status("what to do", |status| has_group_trouble(status, "a topic is closed"))
        .await;
}

#[tokio::test]
async fn without_the_right_to_make_topics_all_stands_in_general_and_status_says_what_to_do() {
    let mut hands = FakeUser::in_forum().await;
    hands.telegram().change_group(GROUP, |it| it.manages = false);
    for text in ["one", "two", "three"] {
        let task = hands.submit_call(text).await;
        assert_eq!(hands.wait_for_card(&task).await.thread, None);
    }
    assert_eq!(hands.telegram().calls("createForumTopic").len(), 1, "it is not tried for each");
    let status = hands
        .fixture
        .wait_for_status("what to do", |status| has_group_trouble(status, "may not manage topics"))
        .await;
    assert_eq!(status.sending_trouble, None);
    hands.telegram().change_group(GROUP, |it| it.manages = true);
    let mut hands = hands.restart().await;
    let task = hands.submit_call("four").await;
    assert_eq!(hands.wait_for_card(&task).await.thread, hands.telegram().topic(GROUP, "project"));
    assert_eq!(hands.fixture.status().await.group.unwrap().trouble, None);
}

#[tokio::test]
async fn where_topics_are_turned_off_again_all_stands_in_the_one_chat() {
    let mut hands = FakeUser::in_forum().await;
    let one = hands.submit_call("one").await;
    assert!(hands.wait_for_card(&one).await.thread.is_some());
    hands.telegram().change_group(GROUP, |it| it.forum = false);
    let two = hands.submit_call("two").await;
    assert_eq!(hands.wait_for_card(&two).await.thread, None);
    assert_eq!(hands.press_button_as(ADA, &two, "✅ Approve").await, "Approved.");
    assert_eq!(hands.fixture.status().await.group.unwrap().trouble, None);
}

#[tokio::test]
async fn an_answer_that_is_lost_while_a_topic_is_made_loses_no_card() {
    let mut hands = FakeUser::in_forum().await;
    hands.telegram().fault("createForumTopic", Fault::DropAfter, 1);
    let task = hands.submit_call("one").await;
    let card = hands.wait_for_card(&task).await;
    assert!(card.thread.is_some());
    assert!(hands.telegram().topics(GROUP).len() == 2, "at worst an empty one is left");
    assert_eq!(hands.press_button(&task, "✅ Approve").await, "Approved.");
}

#[tokio::test]
async fn many_questions_at_once_are_a_list_in_general_and_each_goes_to_its_project() {
    let mut hands = FakeUser::in_forum().await;
    let mut tasks = Vec::new();
    for number in 0..7 {
        tasks.push(hands.submit_call(&format!("number {number}")).await);
    }
    let single = |task| format!("Show {}", short_id(task));
    let whole = |it: &StandIn| {
        let lists = it.by_bot(GROUP).into_iter().filter(|shown| shown.thread.is_none());
        let mut lists = lists.filter(|shown| shown.text.starts_with("Calls wait for you"));
        lists.find(|shown| tasks[5..].iter().all(|task| button_labels(shown).contains(&single(task))))
    };
    let list = hands.telegram().until("the list in General", whole).await;
    hands.telegram().press_in(JANE, GROUP, list.id, &single(&tasks[6]));
    assert_eq!(hands.wait_for_card(&tasks[6]).await.thread, hands.telegram().topic(GROUP, "project"));
}

fn has_group_trouble(status: &TelegramStatus, words: &str) -> bool {
    let trouble = status.group.as_ref().and_then(|group| group.trouble.as_deref());
    trouble.is_some_and(|trouble| trouble.contains(words))
}
