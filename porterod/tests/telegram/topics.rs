//! A group with topics: one for each project, made once, and made again.

use portero::audit::{Event, Record, Segment};
use portero::clock::Clock as _;
use portero::ipc::TelegramStatus;
use portero::names::Principal;
use portero::task::State;

use crate::hands::{Hands, buttons, short};
use crate::standin::{Fault, Shown, StandIn, USERNAME};
use crate::world::{ADA, GROUP, JANE};

/// Waits for a message in the group that begins so, in this topic.
async fn hears_in(hands: &Hands, topic: Option<i64>, words: &str) -> Shown {
    let found = |it: &StandIn| {
        it.by_bot(GROUP).into_iter().find(|shown| shown.thread == topic && shown.text.starts_with(words))
    };
    hands.telegram().until(words, found).await
}

#[tokio::test]
async fn each_project_has_its_own_topic_also_where_two_have_the_same_name() {
    let mut hands = Hands::in_forum().await;
    hands.work_in("one/shop");
    let (first, second) = (hands.submit("first").await, hands.submit("second").await);
    hands.work_in("two/shop");
    let third = hands.submit("third").await;
    let cards = [hands.card(&first).await, hands.card(&second).await, hands.card(&third).await];
    assert_eq!(hands.telegram().topics(GROUP), ["shop", "shop (2)"]);
    let [one, two] = ["shop", "shop (2)"].map(|name| hands.telegram().topic(GROUP, name));
    assert_eq!(cards.map(|card| card.thread), [one, one, two]);

    // Documents and reasons of a project stand there, too.
    let long = hands.submit(&"long ".repeat(2_000)).await;
    hands.card(&long).await;
    let document = |it: &StandIn| it.by_bot(GROUP).into_iter().find(|shown| shown.document.is_some());
    assert_eq!(hands.telegram().until("a document", document).await.thread, two);
    hands.press_of(ADA, &first, "More…").await;
    hands.press_of(ADA, &first, "Deny with a reason").await;
    let question = hears_in(&hands, one, "Why not?").await;
    hands.telegram().answer_in(ADA, GROUP, question.id, "no");
    hands.is(first.id, State::Denied).await;
    hears_in(&hands, one, "Denied. The agent reads your reason.").await;
    hands.outcome(&first, "Denied by telegram user 502").await;
    assert_eq!(hands.telegram().calls("createForumTopic").len(), 2);
}

#[tokio::test]
async fn what_ran_without_asking_is_told_in_the_projects_topic() {
    let mut hands = Hands::in_forum().await;
    let task = hands.submit("one").await;
    let topic = hands.card(&task).await.thread;
    assert!(topic.is_some());
    let audit = hands.world.paths().audit();
    let segment = Segment::open(&audit, "portero test", hands.world.clock.now()).unwrap();
    let told = |project: &std::path::Path, tool: &str| {
        let event = Event::Refused { tool: tool.parse().unwrap(), reason: "denied".to_owned() };
        let principal = Some(Principal::of_project(project));
        segment
            .append(&Record { at: hands.world.clock.now().wall, session: None, principal, event })
            .unwrap();
    };
    told(&hands.project, "notes/here");
    told(&hands.world.at("elsewhere"), "notes/elsewhere");
    assert_eq!(hears_in(&hands, topic, "Refused").await.text, "Refused\n1 × notes/here");
    assert_eq!(hears_in(&hands, None, "Refused").await.text, "Refused\n1 × notes/elsewhere");

    hands.telegram().remove_topic(GROUP, topic.unwrap());
    told(&hands.project, "notes/later");
    hears_in(&hands, None, "Refused\n1 × notes/later").await;
}

#[tokio::test]
async fn a_topic_stays_the_projects_across_a_restart() {
    let mut hands = Hands::in_forum().await;
    let task = hands.submit("one").await;
    hands.card(&task).await;
    let mut hands = hands.restarted().await;
    let other = hands.submit("two").await;
    let topic = hands.telegram().topic(GROUP, "project");
    assert_eq!((hands.card(&other).await.thread, hands.card(&task).await.thread), (topic, topic));
    assert_eq!(hands.telegram().calls("createForumTopic").len(), 1);
}

#[tokio::test]
async fn a_command_is_answered_where_it_was_written() {
    let mut hands = Hands::in_forum().await;
    let task = hands.submit("one").await;
    let topic = hands.card(&task).await.thread;
    assert!(topic.is_some());
    hands.telegram().say_in(JANE, (GROUP, topic), "/whoami");
    hears_in(&hands, topic, "Your user: 501").await;
    hands.telegram().say_in(ADA, (GROUP, None), "/whoami");
    hears_in(&hands, None, "Your user: 502").await;
    hands.telegram().say_in(ADA, (GROUP, topic), &format!("/deny@{USERNAME} notes/wait"));
    hears_in(&hands, topic, "Denied from now on").await;
    // An answer to a message in General is in a thread of its own, into which nobody can write.
    let general = hears_in(&hands, None, "Your user: 502").await;
    hands.telegram().answer_in(JANE, GROUP, general.id, "/rules");
    let rules = |it: &StandIn| {
        it.by_bot(GROUP).into_iter().find(|shown| shown.thread.is_none() && shown.text.contains("notes/wait"))
    };
    hands.telegram().until("the rules in General", rules).await;
}

#[tokio::test]
async fn what_waited_in_a_topic_that_was_removed_comes_again_in_a_new_one() {
    let mut hands = Hands::in_forum().await;
    let (one, two) = (hands.submit("one").await, hands.submit("two").await);
    let topic = hands.card(&one).await.thread.unwrap();
    hands.card(&two).await;
    hands.telegram().remove_topic(GROUP, topic);
    let three = hands.submit("three").await;
    let new = hands.card(&three).await.thread.unwrap();
    assert_ne!(new, topic);
    for task in [&one, &two] {
        assert_eq!(hands.card(task).await.thread, Some(new));
    }
    assert_eq!(hands.press_of(ADA, &two, "✅ Approve").await, "Approved.");
    hands.is(two.id, State::Completed).await;
    assert_eq!(hands.telegram().topics(GROUP), ["project"]);
}

#[tokio::test]
async fn a_topic_that_was_closed_is_opened_again() {
    let mut hands = Hands::in_forum().await;
    let one = hands.submit("one").await;
    let topic = hands.card(&one).await.thread;
    hands.telegram().close_topic(GROUP, topic.unwrap());
    let two = hands.submit("two").await;
    assert_eq!(hands.card(&two).await.thread, topic);
    assert_eq!(hands.telegram().calls("createForumTopic").len(), 1);

    hands.telegram().close_topic(GROUP, topic.unwrap());
    hands.telegram().change_group(GROUP, |it| it.manages = false);
    let three = hands.submit("three").await;
    assert_eq!(hands.card(&three).await.thread, None, "in General rather than nowhere");
    hands.world.until("what to do", |status| in_the_group(status, "a topic is closed")).await;
}

#[tokio::test]
async fn without_the_right_to_make_topics_all_stands_in_general_and_status_says_what_to_do() {
    let mut hands = Hands::in_forum().await;
    hands.telegram().change_group(GROUP, |it| it.manages = false);
    for text in ["one", "two", "three"] {
        let task = hands.submit(text).await;
        assert_eq!(hands.card(&task).await.thread, None);
    }
    assert_eq!(hands.telegram().calls("createForumTopic").len(), 1, "it is not tried for each");
    let status =
        hands.world.until("what to do", |status| in_the_group(status, "may not manage topics")).await;
    assert_eq!(status.sending_trouble, None);
    hands.telegram().change_group(GROUP, |it| it.manages = true);
    let mut hands = hands.restarted().await;
    let task = hands.submit("four").await;
    assert_eq!(hands.card(&task).await.thread, hands.telegram().topic(GROUP, "project"));
    assert_eq!(hands.world.status().await.group.unwrap().trouble, None);
}

#[tokio::test]
async fn where_topics_are_turned_off_again_all_stands_in_the_one_chat() {
    let mut hands = Hands::in_forum().await;
    let one = hands.submit("one").await;
    assert!(hands.card(&one).await.thread.is_some());
    hands.telegram().change_group(GROUP, |it| it.forum = false);
    let two = hands.submit("two").await;
    assert_eq!(hands.card(&two).await.thread, None);
    assert_eq!(hands.press_of(ADA, &two, "✅ Approve").await, "Approved.");
    assert_eq!(hands.world.status().await.group.unwrap().trouble, None);
}

#[tokio::test]
async fn an_answer_that_is_lost_while_a_topic_is_made_loses_no_card() {
    let mut hands = Hands::in_forum().await;
    hands.telegram().fault("createForumTopic", Fault::DropAfter, 1);
    let task = hands.submit("one").await;
    let card = hands.card(&task).await;
    assert!(card.thread.is_some());
    assert!(hands.telegram().topics(GROUP).len() == 2, "at worst an empty one is left");
    assert_eq!(hands.press(&task, "✅ Approve").await, "Approved.");
}

#[tokio::test]
async fn many_questions_at_once_are_a_list_in_general_and_each_goes_to_its_project() {
    let mut hands = Hands::in_forum().await;
    let mut tasks = Vec::new();
    for number in 0..7 {
        tasks.push(hands.submit(&format!("number {number}")).await);
    }
    let single = |task| format!("Show {}", short(task));
    let whole = |it: &StandIn| {
        let lists = it.by_bot(GROUP).into_iter().filter(|shown| shown.thread.is_none());
        let mut lists = lists.filter(|shown| shown.text.starts_with("Calls wait for you"));
        lists.find(|shown| tasks[5..].iter().all(|task| buttons(shown).contains(&single(task))))
    };
    let list = hands.telegram().until("the list in General", whole).await;
    hands.telegram().press_in(JANE, GROUP, list.id, &single(&tasks[6]));
    assert_eq!(hands.card(&tasks[6]).await.thread, hands.telegram().topic(GROUP, "project"));
}

fn in_the_group(status: &TelegramStatus, words: &str) -> bool {
    let trouble = status.group.as_ref().and_then(|group| group.trouble.as_deref());
    trouble.is_some_and(|trouble| trouble.contains(words))
}
