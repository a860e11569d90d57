//! Calls of one session that arrive together are one message: looked through, decided one by one or together,
//! and told of there.

use std::collections::BTreeSet;
use std::time::Duration;

use portero::ipc::TelegramState;
use portero::ipc::requests::approvals::RejectTask;
use portero::ipc::requests::overrides::CreateRule;
use portero::policy::Action;
use portero::task::{Task, TaskState};
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, Fault, ShownMessage, TOKEN};
use crate::fake_user::{FakeUser, ODD_TOOL, button_labels, callback_data, short_id};
use crate::fixture::{ADA, GROUP, JANE, WAIT_TIMEOUT};

/// Longer than any question waits.
const DAY: Duration = Duration::from_secs(25 * 3600);

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("call {n}")).collect()
}

async fn submit_burst(user: &mut FakeUser, count: usize) -> Vec<Task> {
    let texts = texts(count);
    user.submit_burst(&texts.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Waits for a message of the chat with these words.
async fn wait_for_words(user: &FakeUser, words: &str) -> ShownMessage {
    let found =
        |it: &FakeTelegram| it.bot_messages(user.chat).into_iter().find(|shown| shown.text.contains(words));
    user.telegram().wait_until(words, found).await
}

/// Waits for the list of so many calls that all wait.
async fn wait_for_list(user: &FakeUser, count: usize) -> ShownMessage {
    wait_for_words(user, &format!("Calls wait for you: {count}\n")).await
}

/// Waits until this message has these words.
async fn wait_until_says(user: &FakeUser, message: i64, words: &str) -> ShownMessage {
    let found = |it: &FakeTelegram| {
        it.bot_messages(user.chat).into_iter().find(|shown| shown.id == message && shown.text.contains(words))
    };
    user.telegram().wait_until(words, found).await
}

/// Waits until this message has a button.
async fn wait_for_button(user: &FakeUser, message: i64, label: &str) -> ShownMessage {
    let found = |it: &FakeTelegram| {
        let all = it.bot_messages(user.chat).into_iter();
        all.filter(|shown| shown.id == message)
            .find(|shown| button_labels(shown).iter().any(|it| it == label))
    };
    user.telegram().wait_until(label, found).await
}

/// Presses a button of this message; what that is answered with.
async fn press(user: &FakeUser, message: i64, label: &str) -> String {
    wait_for_button(user, message, label).await;
    let query = user.telegram().press_in(JANE, user.chat, message, label);
    user.wait_for_answer(&query).await
}

/// Opens the first of `count` calls.
async fn open_first(user: &FakeUser, message: i64, count: usize) {
    assert_eq!(press(user, message, "🔎 Look through").await, "");
    wait_until_says(user, message, &format!("Call 1 of {count}")).await;
}

/// Looks through all calls of a list; the last screen.
async fn look_through(user: &FakeUser, message: i64, count: usize) -> ShownMessage {
    open_first(user, message, count).await;
    for place in 2..=count {
        assert_eq!(press(user, message, "Next ›").await, "");
        wait_until_says(user, message, &format!("Call {place} of {count}")).await;
    }
    wait_until_says(user, message, &format!("Call {count} of {count}")).await
}

fn has_approve_all(shown: &ShownMessage) -> bool {
    button_labels(shown).iter().any(|label| label.starts_with("✅ Approve all"))
}

/// What the server got, sorted.
fn sorted_texts(user: &FakeUser) -> Vec<String> {
    let mut texts = user.received_texts();
    texts.sort();
    texts
}

#[tokio::test]
async fn a_second_call_turns_the_first_ones_message_into_a_list() {
    let mut user = FakeUser::new().await;
    let sent_before = user.telegram().calls("sendMessage").len();
    let first = user.submit_call("call 0").await;
    let card = user.wait_for_card(&first).await;
    let old =
        ["✅ Approve", "❌ Deny", "✅ Approve + 10 min", "More…"].map(|label| callback_data(&card, label));
    user.submit_tool_call_now("send", "call 1").await.unwrap();
    let list = wait_for_list(&user, 2).await;
    assert_eq!(list.id, card.id, "one message, edited");
    assert_eq!(user.telegram().calls("sendMessage").len() - sent_before, 1, "one notification");
    assert_eq!(button_labels(&list), ["🔎 Look through", "❌ Deny all…"]);
    assert!(list.text.contains("Asks: claude 1\nProject: "), "{}", list.text);
    assert!(
        list.text.contains("\n1. notes/send\ntext: call 0\n2. notes/send\ntext: call 1\n"),
        "{}",
        list.text
    );
    // The next drawing comes after Telegram's word for this one was noted.
    open_first(&user, list.id, 2).await;
    for data in old {
        let query = user.telegram().press_data(JANE, card.id, &data);
        let told = user.wait_for_answer(&query).await;
        assert!(told.contains("does not count any more. Nothing was changed"), "{told}");
    }
    assert_eq!(user.fetch_task(first.id).await.state, TaskState::PendingApproval);
}

#[tokio::test]
async fn while_the_list_does_not_arrive_the_cards_buttons_decide_about_their_own_call_alone() {
    let mut user = FakeUser::new().await;
    let first = user.submit_call("call 0").await;
    let card = user.wait_for_card(&first).await;
    user.telegram().inject_fault("editMessageText", Fault::Server(502), 1_000_000);
    let second = user.submit_tool_call_now("send", "call 1").await.unwrap();
    let tried = |it: &FakeTelegram| (it.calls("editMessageText").len() > 1).then_some(());
    user.telegram().wait_until("a try", tried).await;
    // A view of the card can't be opened any more, but what it says is still decided.
    let more = user.telegram().press(JANE, card.id, "More…");
    assert!(user.wait_for_answer(&more).await.contains("does not count any more"));
    let approve = user.telegram().press(JANE, card.id, "✅ Approve");
    assert_eq!(user.wait_for_answer(&approve).await, "Approved.");
    user.wait_for_task_state(first.id, TaskState::Completed).await;
    assert_eq!(user.fetch_task(second.id).await.state, TaskState::PendingApproval);
    user.telegram().clear_faults("editMessageText");
    wait_until_says(&user, card.id, "Calls: 1 waiting, 1 done").await;
    assert_eq!(user.received_texts(), ["call 0"]);
}

#[tokio::test]
async fn a_card_that_a_person_acts_on_stays_as_it_is() {
    let mut user = FakeUser::new().await;
    let first = user.submit_call("call 0").await;
    user.press_button(&first, "More…").await;
    user.press_button(&first, "Less").await;
    let second = user.submit_tool_call_now("send", "call 1").await.unwrap();
    let own = user.wait_for_card(&second).await;
    let card = user.wait_for_card(&first).await;
    assert_ne!(own.id, card.id);
    // The second is untouched, so the third joins that one.
    let third = user.submit_tool_call_now("send", "call 2").await.unwrap();
    assert_eq!(wait_for_list(&user, 2).await.id, own.id);
    assert_eq!(user.press_button(&first, "✅ Approve").await, "Approved.");
    user.wait_for_task_state(first.id, TaskState::Completed).await;
    for task in [&second, &third] {
        assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    }
}

#[tokio::test]
async fn seven_calls_are_approved_together_once_each_was_shown_and_each_runs_once() {
    let mut user = FakeUser::new().await;
    let tasks = submit_burst(&mut user, 7).await;
    let list = wait_for_list(&user, 7).await;
    open_first(&user, list.id, 7).await;
    for (place, task) in (1..).zip(&tasks) {
        let shown = wait_until_says(&user, list.id, &format!("Call {place} of 7")).await;
        assert!(shown.text.contains(&format!("Task: {}", short_id(task))), "{}", shown.text);
        assert!(shown.text.contains(&format!("text: call {}", place - 1)), "{}", shown.text);
        assert_eq!(has_approve_all(&shown), place == 7, "{}", shown.text);
        if place < 7 {
            press(&user, list.id, "Next ›").await;
        }
    }
    assert_eq!(press(&user, list.id, "✅ Approve all 7").await, "Approved 7.");
    for task in &tasks {
        user.wait_for_task_state(task.id, TaskState::Completed).await;
    }
    let done = wait_until_says(&user, list.id, "Calls: 7 done").await;
    assert!(done.keyboard.is_none(), "{:?}", button_labels(&done));
    for task in &tasks {
        assert!(
            done.text.contains(&format!("{}\nApproved on this phone: done", short_id(task))),
            "{}",
            done.text
        );
    }
    user.telegram().redeliver_last();
    user.fixture.say_and_wait("/pending").await;
    assert_eq!(sorted_texts(&user), texts(7));
    let approvals = user.audited_states().into_iter().filter(|it| it == "approved by telegram user 501");
    assert_eq!(approvals.count(), 7, "each has a record of its own");
    let cards = user.telegram().bot_messages(JANE).into_iter().filter(|it| it.text.contains("notes/send"));
    assert_eq!(cards.count(), 1);
}

#[tokio::test]
async fn forty_calls_have_pages_and_none_is_cut() {
    let mut user = FakeUser::new().await;
    let telegram = json!({"token": TOKEN, "apiUrl": user.telegram().api_url(), "admin": JANE});
    let settings = json!({"telegram": telegram, "approvals": {"pendingMost": 40}});
    user.fixture.write_config("portero.json", &settings.to_string());
    user.fixture.confirm_config().await;
    let tasks = submit_burst(&mut user, 40).await;
    let list = wait_for_list(&user, 40).await;
    let mut rows = BTreeSet::new();
    let mut page = list.clone();
    let pages = (2..).map(|page| format!("Page {page} ›"));
    for next in pages {
        let numbers = page.text.lines().filter_map(|line| line.strip_suffix(". notes/send"));
        rows.extend(numbers.map(|number| number.parse::<usize>().unwrap()));
        assert!(page.text.encode_utf16().count() <= 4096);
        if !button_labels(&page).contains(&next) {
            break;
        }
        press(&user, list.id, &next).await;
        page = wait_until_says(&user, list.id, &format!("{} of", next.trim_end_matches(" ›"))).await;
    }
    assert_eq!(rows, (1..=40).collect());
    let last = look_through(&user, list.id, 40).await;
    assert!(last.text.contains("Approve all covers 40 of them"), "{}", last.text);
    assert_eq!(press(&user, list.id, "✅ Approve all 40").await, "Approved 40.");
    for task in &tasks {
        user.wait_for_task_state(task.id, TaskState::Completed).await;
    }
    let mut expected = texts(40);
    expected.sort();
    assert_eq!(sorted_texts(&user), expected);
    // What is over and longer than a page can still be turned.
    let over = wait_until_says(&user, list.id, "Calls: 40 done").await;
    assert_eq!(button_labels(&over), ["Page 2 ›"]);
    press(&user, list.id, "Page 2 ›").await;
    wait_until_says(&user, list.id, "Page 2 of").await;
}

#[tokio::test]
async fn the_calls_of_two_sessions_are_two_lists() {
    let mut user = FakeUser::new().await;
    let mut other = None;
    for n in 0..6 {
        user.submit_tool_call_now("send", &format!("call {n}")).await.unwrap();
        user.swap_session(&mut other);
    }
    let lists = |it: &FakeTelegram| {
        let all =
            it.bot_messages(JANE).into_iter().filter(|it| it.text.starts_with("Calls wait for you: 3\n"));
        Some(all.collect::<Vec<_>>()).filter(|all| all.len() == 2)
    };
    let lists = user.telegram().wait_until("two lists", lists).await;
    for (list, calls) in lists.iter().zip([["call 0", "call 2", "call 4"], ["call 1", "call 3", "call 5"]]) {
        assert!(calls.iter().all(|call| list.text.contains(call)), "{}", list.text);
    }
    look_through(&user, lists[1].id, 3).await;
    assert_eq!(press(&user, lists[1].id, "✅ Approve all 3").await, "Approved 3.");
    wait_until_says(&user, lists[1].id, "Calls: 3 done").await;
    assert_eq!(sorted_texts(&user), ["call 1", "call 3", "call 5"]);
}

#[tokio::test]
async fn a_call_that_comes_much_later_has_a_card_of_its_own() {
    let mut user = FakeUser::new().await;
    submit_burst(&mut user, 2).await;
    wait_for_list(&user, 2).await;
    user.fixture.clock.advance(Duration::from_secs(10));
    user.submit_tool_call_now("send", "call 2").await.unwrap();
    let list = wait_for_list(&user, 3).await;
    let later = user.submit_call("later").await;
    assert_ne!(user.wait_for_card(&later).await.id, list.id);
}

#[tokio::test]
async fn one_that_is_denied_elsewhere_meanwhile_is_not_among_those_approved_together() {
    let mut user = FakeUser::new().await;
    let tasks = submit_burst(&mut user, 4).await;
    let list = wait_for_list(&user, 4).await;
    look_through(&user, list.id, 4).await;
    let button =
        callback_data(&wait_for_button(&user, list.id, "✅ Approve all 4").await, "✅ Approve all 4");
    user.telegram().inject_fault("editMessageText", Fault::Server(502), 1_000_000);
    user.fixture.request(RejectTask { task: tasks[1].id, reason: None, for_now: false }).await.unwrap();
    // The button that names it still is there.
    let query = user.telegram().press_data(JANE, list.id, &button);
    assert_eq!(user.wait_for_answer(&query).await, "Approved 3. Not approved: 1, the list says why.");
    user.telegram().clear_faults("editMessageText");
    wait_until_says(&user, list.id, "Calls: 3 done, 1 denied").await;
    assert_eq!(sorted_texts(&user), ["call 0", "call 2", "call 3"]);
}

#[tokio::test]
async fn what_arrives_while_a_person_looks_is_not_approved_with_what_they_saw() {
    let mut user = FakeUser::new().await;
    let tasks = submit_burst(&mut user, 3).await;
    let list = wait_for_list(&user, 3).await;
    open_first(&user, list.id, 3).await;
    let late = user.submit_tool_call_now("send", "late").await.unwrap();
    let own = user.wait_for_card(&late).await;
    assert_ne!(own.id, list.id);
    for place in 2..=3 {
        press(&user, list.id, "Next ›").await;
        wait_until_says(&user, list.id, &format!("Call {place} of 3")).await;
    }
    let last = wait_until_says(&user, list.id, "Not among them: 1 that came since").await;
    assert!(last.text.contains("Approve all covers 3 of them"), "{}", last.text);
    assert_eq!(press(&user, list.id, "✅ Approve all 3").await, "Approved 3.");
    for task in &tasks {
        user.wait_for_task_state(task.id, TaskState::Completed).await;
    }
    assert_eq!(user.fetch_task(late.id).await.state, TaskState::PendingApproval);
    assert_eq!(sorted_texts(&user), texts(3));
}

#[tokio::test]
async fn calls_are_decided_one_by_one_in_the_same_message() {
    let mut user = FakeUser::new().await;
    let tasks = submit_burst(&mut user, 4).await;
    let list = wait_for_list(&user, 4).await;
    open_first(&user, list.id, 4).await;
    press(&user, list.id, "Next ›").await;
    wait_until_says(&user, list.id, "Call 2 of 4").await;
    assert_eq!(press(&user, list.id, "✅ Approve").await, "Approved.");
    // It stays open with what came of it, so that a second tap does not meet the next call.
    let ran = wait_until_says(&user, list.id, "Done. It answered:").await;
    assert_eq!(button_labels(&ran), ["‹ Previous", "Next ›", "Back to the list"]);
    press(&user, list.id, "Next ›").await;
    wait_until_says(&user, list.id, "Call 3 of 4").await;
    assert!(press(&user, list.id, "❌ Deny").await.starts_with("Denied."));
    wait_until_says(&user, list.id, "Denied on this phone").await;
    press(&user, list.id, "‹ Previous").await;
    wait_until_says(&user, list.id, "Call 1 of 4").await;
    press(&user, list.id, "Back to the list").await;
    let now = wait_until_says(&user, list.id, "Calls: 2 waiting, 1 done, 1 denied").await;
    assert!(now.text.contains(&format!("{}\nDenied on this phone", short_id(&tasks[2]))), "{}", now.text);
    // One of the two that wait was not shown yet.
    press(&user, list.id, "🔎 Look through").await;
    let last = wait_until_says(&user, list.id, "Call 4 of 4").await;
    assert!(last.text.contains("Approve all covers 2 of them"), "{}", last.text);
    assert_eq!(press(&user, list.id, "✅ Approve all 2").await, "Approved 2.");
    wait_until_says(&user, list.id, "Calls: 3 done, 1 denied").await;
    assert_eq!(sorted_texts(&user), ["call 0", "call 1", "call 3"]);
}

#[tokio::test]
async fn what_is_too_long_is_read_in_its_document_before_it_is_approved_with_others() {
    let mut user = FakeUser::new().await;
    let long = "long ".repeat(3000);
    user.submit_burst(&["short", &long]).await;
    let list = wait_for_list(&user, 2).await;
    assert!(list.text.contains("text: long long") && list.text.contains("(shortened)"), "{}", list.text);
    assert!(!user.telegram().bot_messages(JANE).iter().any(|it| it.document.is_some()));
    let last = look_through(&user, list.id, 2).await;
    assert!(last.text.contains("Not shown in full yet: 1."), "{}", last.text);
    let labels = button_labels(&last);
    assert_eq!(
        labels,
        ["📄 I have read the document", "❌ Deny", "Page 2 ›", "‹ Previous", "Back to the list"]
    );
    let arrived = |it: &FakeTelegram| it.bot_messages(JANE).into_iter().find_map(|it| it.document);
    user.telegram().wait_until("the document", arrived).await;
    assert_eq!(press(&user, list.id, "📄 I have read the document").await, "Now it can be approved.");
    assert_eq!(press(&user, list.id, "✅ Approve all 2").await, "Approved 2.");
    wait_until_says(&user, list.id, "Calls: 2 done").await;
    assert_eq!(user.received_texts().len(), 2);
}

#[tokio::test]
async fn a_document_that_did_not_arrive_was_not_read() {
    let mut user = FakeUser::new().await;
    user.telegram().inject_fault("sendDocument", Fault::TooLarge, 1);
    user.submit_burst(&["short", &"long ".repeat(3000)]).await;
    let list = wait_for_list(&user, 2).await;
    look_through(&user, list.id, 2).await;
    let refused = |it: &FakeTelegram| (it.calls("sendDocument").len() == 1).then_some(());
    user.telegram().wait_until("a refusal", refused).await;
    let told = press(&user, list.id, "📄 I have read the document").await;
    assert!(told.starts_with("The document has not arrived"), "{told}");
    assert!(!has_approve_all(&wait_until_says(&user, list.id, "Call 2 of 2").await));
}

#[tokio::test]
async fn what_expired_is_left_out_and_named() {
    let mut user = FakeUser::new().await;
    let mut tasks = submit_burst(&mut user, 2).await;
    user.fixture.clock.advance(Duration::from_secs(5));
    tasks.push(user.submit_tool_call_now("send", "call 2").await.unwrap());
    tasks.push(user.submit_tool_call_now("send", "call 3").await.unwrap());
    let list = wait_for_list(&user, 4).await;
    look_through(&user, list.id, 4).await;
    let last = wait_for_button(&user, list.id, "✅ Approve all 4").await;
    user.fixture.clock.advance(Duration::from_secs(24 * 3600 - 2));
    let query = user.telegram().press_data(JANE, list.id, &callback_data(&last, "✅ Approve all 4"));
    assert_eq!(user.wait_for_answer(&query).await, "Approved 2. Not approved: 2, the list says why.");
    wait_until_says(&user, list.id, "Calls: 2 done, 2 expired").await;
    assert_eq!(sorted_texts(&user), ["call 2", "call 3"]);
}

#[tokio::test]
async fn a_call_that_takes_several_people_is_left_out_and_decided_by_itself() {
    let mut user = FakeUser::home_with_quorum().await;
    let several = user.submit_call("several").await;
    for text in ["one", "two"] {
        user.submit_tool_call_now(ODD_TOOL, text).await.unwrap();
    }
    let list = wait_for_list(&user, 3).await;
    assert!(list.text.contains("Not with the others, since it takes several people"), "{}", list.text);
    let last = look_through(&user, list.id, 3).await;
    assert!(last.text.contains("Left out: 1, since it takes several people"), "{}", last.text);
    assert_eq!(press(&user, list.id, "✅ Approve all 2").await, "Approved 2.");
    wait_until_says(&user, list.id, "Calls: 1 waiting, 2 done").await;
    assert_eq!(sorted_texts(&user), ["one", "two"]);
    press(&user, list.id, "🔎 Look through").await;
    assert!(press(&user, list.id, "✅ Approve").await.starts_with("Your approval counts"));
    wait_until_says(&user, list.id, "Approved so far: user 501").await;
    let query = user.telegram().press_in(ADA, GROUP, list.id, "✅ Approve");
    assert_eq!(user.wait_for_answer(&query).await, "Approved.");
    user.wait_for_task_state(several.id, TaskState::Completed).await;
    let over = wait_until_says(&user, list.id, "Calls: 3 done").await;
    assert!(over.text.contains("Approved by several people: done"), "{}", over.text);
    assert!(over.text.contains("Approved by telegram user 501: done"), "{}", over.text);
}

#[tokio::test]
async fn in_a_group_only_the_person_who_looked_approves_all() {
    let mut user = FakeUser::in_group().await;
    submit_burst(&mut user, 3).await;
    let list = wait_for_list(&user, 3).await;
    look_through(&user, list.id, 3).await;
    wait_for_button(&user, list.id, "✅ Approve all 3").await;
    let query = user.telegram().press_in(ADA, GROUP, list.id, "✅ Approve all 3");
    assert!(user.wait_for_answer(&query).await.starts_with("These calls were shown to someone else"));
    // She turns a page: now it is she who looks, and begins anew.
    let query = user.telegram().press_in(ADA, GROUP, list.id, "‹ Previous");
    assert_eq!(user.wait_for_answer(&query).await, "");
    assert!(!has_approve_all(&wait_until_says(&user, list.id, "Call 2 of 3").await));
    press(&user, list.id, "Back to the list").await;
    wait_for_button(&user, list.id, "🔎 Look through").await;
    look_through(&user, list.id, 3).await;
    assert_eq!(press(&user, list.id, "✅ Approve all 3").await, "Approved 3.");
    wait_until_says(&user, list.id, "Calls: 3 done").await;
    assert_eq!(sorted_texts(&user), texts(3));
}

#[tokio::test]
async fn a_call_that_a_rule_denies_by_then_is_left_out_and_named() {
    let mut user = FakeUser::new().await;
    submit_burst(&mut user, 2).await;
    let odd = user.submit_tool_call_now(ODD_TOOL, "odd").await.unwrap();
    let list = wait_for_list(&user, 3).await;
    look_through(&user, list.id, 3).await;
    let last = wait_for_button(&user, list.id, "✅ Approve all 3").await;
    let rule = CreateRule {
        pattern: odd.call.tool.to_string().parse().unwrap(),
        action: Action::Deny,
        run_waiting: Vec::new(),
        challenge: None,
    };
    user.fixture.request(rule).await.unwrap();
    // The rule draws the list again, without that call among those that can be approved.
    let redrawn = wait_for_button(&user, list.id, "✅ Approve all 2").await;
    assert!(redrawn.text.contains("Left out: 3, since denied by"), "{}", redrawn.text);
    assert!(redrawn.text.contains("This would not run any more"), "{}", redrawn.text);
    assert!(!button_labels(&redrawn).contains(&"✅ Approve".to_owned()), "{:?}", button_labels(&redrawn));
    assert_eq!(press(&user, list.id, "✅ Approve all 2").await, "Approved 2.");
    wait_until_says(&user, list.id, "Calls: 1 waiting, 2 done").await;
    assert_eq!(user.fetch_task(odd.id).await.state, TaskState::PendingApproval);
    let former = user.telegram().press_data(JANE, list.id, &callback_data(&last, "✅ Approve all 3"));
    assert!(user.wait_for_answer(&former).await.contains("does not count any more"));
    assert_eq!(sorted_texts(&user), ["call 0", "call 1"]);
}

/// Opens the question whether to deny all of a list; its message.
async fn ask_to_deny(user: &FakeUser, count: usize) -> i64 {
    let list = wait_for_list(user, count).await;
    assert_eq!(press(user, list.id, "❌ Deny all…").await, "");
    let asked = wait_for_button(user, list.id, &format!("❌ Deny all {count}")).await;
    assert!(asked.text.starts_with(&format!("Deny all that wait? These are {count}.")), "{}", asked.text);
    list.id
}

#[tokio::test]
async fn all_of_a_list_are_denied_after_a_question() {
    let mut user = FakeUser::new().await;
    let tasks = submit_burst(&mut user, 3).await;
    let list = ask_to_deny(&user, 3).await;
    press(&user, list, "Back to the list").await;
    wait_for_button(&user, list, "❌ Deny all…").await;
    for task in &tasks {
        assert_eq!(user.fetch_task(task.id).await.state, TaskState::PendingApproval);
    }
    ask_to_deny(&user, 3).await;
    assert_eq!(press(&user, list, "❌ Deny all 3").await, "Denied 3.");
    let over = wait_until_says(&user, list, "Calls: 3 denied").await;
    assert!(over.keyboard.is_none() && over.text.contains("Denied on this phone"), "{}", over.text);
    assert_eq!(user.received_texts(), [""; 0]);
}

#[tokio::test]
async fn all_of_a_list_are_denied_with_a_reason_that_the_agent_reads() {
    let mut user = FakeUser::new().await;
    let tasks = submit_burst(&mut user, 2).await;
    let list = ask_to_deny(&user, 2).await;
    press(&user, list, "Deny all with a reason").await;
    let question = wait_for_words(&user, "Why not? The agent reads").await;
    assert!(question.text.contains("It denies all 2 that waited."), "{}", question.text);
    user.telegram().send_reply(JANE, question.id, "Jane Roe is away");
    wait_for_words(&user, "Denied 2.").await;
    for task in &tasks {
        let denied = user.wait_for_task_state(task.id, TaskState::Denied).await;
        assert_eq!(denied.note.unwrap().get(), "John Doe is away");
    }
    wait_until_says(&user, list, "Denied on this phone, John Doe is away").await;
}

/// Another program holds the store meanwhile.
#[tokio::test]
async fn all_of_a_list_are_denied_also_where_that_cannot_be_saved() {
    let mut user = FakeUser::new().await;
    let before = user.submit_call("before").await;
    let tasks = submit_burst(&mut user, 3).await;
    let list = ask_to_deny(&user, 3).await;
    let store = rusqlite::Connection::open(user.fixture.paths().store()).unwrap();
    store.busy_timeout(WAIT_TIMEOUT).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let told = press(&user, list, "❌ Deny all 3").await;
    assert!(told.starts_with("Denied 3. That is in force, but not saved yet"), "{told}");
    for task in &tasks {
        user.wait_for_task_state(task.id, TaskState::Denied).await;
    }
    assert_eq!(user.fetch_task(before.id).await.state, TaskState::PendingApproval);
    store.execute_batch("ROLLBACK").unwrap();
    let user = user.restart().await;
    for task in &tasks {
        user.wait_for_task_state(task.id, TaskState::Denied).await;
    }
    wait_until_says(&user, list, "Calls: 3 denied").await;
}

#[tokio::test]
async fn denying_a_list_counts_what_it_denied_and_not_what_had_expired() {
    let mut user = FakeUser::new().await;
    let tasks = submit_burst(&mut user, 2).await;
    user.fixture.clock.advance(Duration::from_secs(5));
    let last = user.submit_tool_call_now("send", "last").await.unwrap();
    let list = ask_to_deny(&user, 3).await;
    let asked = wait_for_button(&user, list, "❌ Deny all 3").await;
    user.fixture.clock.advance(Duration::from_secs(24 * 3600 - 2));
    let query = user.telegram().press_data(JANE, list, &callback_data(&asked, "❌ Deny all 3"));
    assert_eq!(user.wait_for_answer(&query).await, "Denied 1; 2 had expired.");
    user.wait_for_task_state(tasks[0].id, TaskState::Expired).await;
    user.wait_for_task_state(last.id, TaskState::Denied).await;
}

#[tokio::test]
async fn a_list_and_what_was_shown_of_it_outlive_a_restart() {
    let mut user = FakeUser::new().await;
    submit_burst(&mut user, 3).await;
    let list = wait_for_list(&user, 3).await;
    open_first(&user, list.id, 3).await;
    press(&user, list.id, "Next ›").await;
    wait_until_says(&user, list.id, "Call 2 of 3").await;
    let mut user = user.restart().await;
    let later = user.submit_call("later").await;
    assert_ne!(user.wait_for_card(&later).await.id, list.id);
    press(&user, list.id, "Next ›").await;
    wait_until_says(&user, list.id, "Call 3 of 3").await;
    assert_eq!(press(&user, list.id, "✅ Approve all 3").await, "Approved 3.");
    wait_until_says(&user, list.id, "Calls: 3 done").await;
    assert_eq!(sorted_texts(&user), texts(3));
}

#[tokio::test]
async fn a_burst_during_an_outage_is_one_message_when_telegram_is_back() {
    let mut user = FakeUser::new().await;
    user.telegram().set_down(true);
    submit_burst(&mut user, 5).await;
    let user = user.restart().await;
    user.telegram().set_down(false);
    wait_for_list(&user, 5).await;
    let cards = user.telegram().bot_messages(JANE).into_iter().filter(|it| it.text.contains("notes/send"));
    assert_eq!(cards.count(), 1);
}

#[tokio::test]
async fn a_list_that_was_removed_comes_again() {
    let mut user = FakeUser::new().await;
    submit_burst(&mut user, 3).await;
    let shown = wait_for_list(&user, 3).await;
    user.telegram().remove_message(JANE, shown.id);
    user.fixture.say_and_wait("/pending").await;
    let again = wait_for_list(&user, 3).await;
    assert!(again.id > shown.id, "{}", again.text);
    look_through(&user, again.id, 3).await;
    assert_eq!(press(&user, again.id, "✅ Approve all 3").await, "Approved 3.");
    wait_until_says(&user, again.id, "Calls: 3 done").await;
}

#[tokio::test]
async fn a_list_stands_in_its_projects_topic() {
    let mut user = FakeUser::in_forum().await;
    submit_burst(&mut user, 2).await;
    let list = wait_for_list(&user, 2).await;
    assert!(list.thread.is_some());
    user.telegram().remove_topic(GROUP, list.thread.unwrap());
    user.submit_tool_call_now("send", "call 2").await.unwrap();
    let again = wait_for_list(&user, 3).await;
    assert!(again.thread.is_some() && again.thread != list.thread, "{again:?}");
}

/// Waits until a list says that so many expired, and offers nothing.
async fn wait_until_list_expired(user: &FakeUser, list: &ShownMessage, count: usize) {
    let says = format!("Calls: {count} expired");
    let over = wait_until_says(user, list.id, &says).await;
    assert!(over.keyboard.is_none(), "{:?}", button_labels(&over));
}

#[tokio::test]
async fn a_list_of_calls_that_expired_says_so() {
    let mut user = FakeUser::new().await;
    submit_burst(&mut user, 3).await;
    let shown = wait_for_list(&user, 3).await;
    user.fixture.clock.advance(DAY);
    // A new question wakes the timer, whose sleep this clock does not shorten.
    user.submit_call("later").await;
    wait_until_list_expired(&user, &shown, 3).await;
}

#[tokio::test]
async fn a_list_says_what_expired_while_the_daemon_was_down() {
    let mut user = FakeUser::new().await;
    submit_burst(&mut user, 3).await;
    let shown = wait_for_list(&user, 3).await;
    user.fixture.shut_down().await;
    user.fixture.clock.advance(DAY);
    let user = user.restart().await;
    wait_until_list_expired(&user, &shown, 3).await;
}

/// The channel is not registered meanwhile, so it hears nothing of what ends.
#[tokio::test]
async fn lists_and_cards_say_what_ended_while_the_bot_served_no_chat() {
    let mut user = FakeUser::new().await;
    let single = user.submit_call("single").await;
    let card = user.wait_for_card(&single).await;
    let tasks = submit_burst(&mut user, 3).await;
    let shown = wait_for_list(&user, 3).await;
    user.fixture.write_config("portero.json", "{}");
    user.fixture.wait_for_state(TelegramState::Off).await;
    user.fixture.clock.advance(DAY);
    user.submit_call("later").await;
    for task in tasks.iter().chain([&single]) {
        user.wait_for_task_state(task.id, TaskState::Expired).await;
    }
    let url = user.telegram().api_url();
    user.fixture.write_telegram_config(&json!({"token": TOKEN, "apiUrl": url, "admin": JANE}));
    user.fixture.confirm_config().await;
    wait_until_list_expired(&user, &shown, 3).await;
    wait_until_says(&user, card.id, "Expired").await;
}
