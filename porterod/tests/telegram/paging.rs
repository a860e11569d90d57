//! Answers that are as long as what is kept: every part of them is reached with buttons, and each press costs a
//! page.

use std::collections::HashSet;
use std::time::Duration;

use portero::audit::{AuditEvent, AuditRecord, AuditWriter, RecordedOutcome};
use portero::clock::Clock as _;
use portero::ipc::requests::approvals::{ListTasks, RejectTask};

use portero::task::TaskState;
use serde_json::json;

use crate::fake_telegram::{FakeTelegram, ShownMessage};
use crate::fake_user::{FakeUser, button_labels};
use crate::fixture::{JANE, TelegramFixture};

/// So many calls that were asked for, one a second, in these states by turns.
async fn fixture_with_tasks(count: u32, states: &[&str]) -> TelegramFixture {
    let mut user = FakeUser::new().await;
    let task = user.submit_call("first").await;
    user.wait_for_card(&task).await;
    let reject = RejectTask { task: task.id, reason: None, for_now: false };
    user.fixture.request(reject).await.unwrap();
    user.wait_for_outcome(&task, "Denied").await;
    let mut world = user.fixture;
    world.shut_down().await;
    let store = rusqlite::Connection::open(world.paths().store()).unwrap();
    let copy = "INSERT INTO tasks (id, state, tool, call, decision, principal, session, client, directory,
                    binding, asked, expires, changed, note)
                SELECT printf('019f0000-0000-7000-8000-%012x', ?1), 'pending-approval', tool,
                    replace(call, 'first', printf('call %05d', ?1)), decision, principal, session, client,
                    directory, printf('%d', ?1), asked + 1000000000 * ?1, expires, changed, note
                FROM tasks LIMIT 1";
    store.execute_batch("BEGIN").unwrap();
    for number in 1..=count {
        let state = &states[number as usize % states.len()];
        store.execute(copy, [number]).unwrap();
        let steps: &[_] = match *state {
            "completed" | "failed" => &["approved", "executing", state],
            "pending-approval" => &[],
            _ => &[state],
        };
        for step in steps {
            let id = format!("019f0000-0000-7000-8000-{number:012x}");
            store.execute("UPDATE tasks SET state = ?1 WHERE id = ?2", [step, &id.as_str()]).unwrap();
        }
    }
    store.execute_batch("COMMIT").unwrap();
    drop(store);
    let world = world.start().await;
    world.wait_until_serving().await;
    world
}

/// The numbers of the calls on a page, in their order.
fn task_numbers(shown: &ShownMessage) -> Vec<u32> {
    shown.text.split("call ").skip(1).map(|rest| rest[..5].parse().unwrap()).collect()
}

/// More pages than any test has.
const MAX_PAGES: usize = 1000;

/// Presses until there is no such button, and tells what every page showed.
async fn press_through(world: &TelegramFixture, first: ShownMessage, words: &str) -> Vec<ShownMessage> {
    let mut pages = vec![first];
    for _ in 0..MAX_PAGES {
        if !button_labels(&pages[pages.len() - 1]).iter().any(|button| button == words) {
            return pages;
        }
        let next = world.press_and_wait(&pages[pages.len() - 1], words).await;
        pages.push(next);
    }
    panic!("there is no end after {MAX_PAGES} pages");
}

#[tokio::test]
async fn two_thousand_tasks_are_paged_through_and_none_is_left_out() {
    let world = fixture_with_tasks(2000, &["completed", "failed", "denied", "cancelled"]).await;
    let first = world.say_and_wait("/tasks").await;
    assert!(first.text.starts_with("1 to 20 of 2001, the newest first\nDone: 500\n"), "{}", first.text);
    assert_eq!(button_labels(&first), ["Older ›"]);
    let pages = press_through(&world, first, "Older ›").await;
    let last = &pages[pages.len() - 1];
    assert!(last.text.starts_with("2001 to 2001 of 2001"), "{}", last.text);
    assert_eq!(button_labels(last), ["« Newest", "‹ Newer"]);
    let all: Vec<u32> = pages.iter().flat_map(task_numbers).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 2000, "each once");
    assert_eq!(all.len(), 2000);
    // Those of a state together, the newest first.
    assert_eq!(all[..3], [2000, 1996, 1992]);
    let back = world.press_and_wait(last, "‹ Newer").await;
    assert_eq!(back.text, pages[pages.len() - 2].text);
    let newest = world.press_and_wait(&back, "« Newest").await;
    assert_eq!((&newest.text, button_labels(&newest)), (&pages[0].text, vec!["Older ›".to_owned()]));
}

#[tokio::test]
async fn one_state_is_paged_by_itself_also_after_a_restart() {
    let world = fixture_with_tasks(90, &["completed", "failed"]).await;
    let first = world.say_and_wait("/tasks failed").await;
    assert!(first.text.starts_with("1 to 20 of 45"), "{}", first.text);
    let second = world.press_and_wait(&first, "Older ›").await;
    let world = world.restart().await;
    world.wait_until_serving().await;
    let third = world.press_and_wait(&second, "Older ›").await;
    assert!(third.text.starts_with("41 to 45 of 45, the newest first\nFailed: 45\n"), "{}", third.text);
    assert_eq!(task_numbers(&third), [9, 7, 5, 3, 1]);
    assert_eq!(button_labels(&third), ["« Newest", "‹ Newer"]);
}

#[tokio::test]
async fn what_is_removed_or_added_meanwhile_costs_nobody_their_place() {
    let world = fixture_with_tasks(90, &["completed"]).await;
    let first = world.say_and_wait("/tasks completed").await;
    let second = world.press_and_wait(&first, "Older ›").await;
    assert_eq!(task_numbers(&second)[0], 70);
    let mut world = world;
    world.shut_down().await;
    let store = rusqlite::Connection::open(world.paths().store()).unwrap();
    store.execute("DELETE FROM tasks WHERE id LIKE '%000000000033'", []).unwrap();
    drop(store);
    let world = world.start().await;
    world.wait_until_serving().await;
    let third = world.press_and_wait(&second, "Older ›").await;
    assert_eq!(task_numbers(&third)[..2], [50, 49], "the place is a time and an id, not a row");
}

#[tokio::test]
async fn what_waits_is_paged_too() {
    let world = fixture_with_tasks(45, &["pending-approval"]).await;
    // The chat meets all of them at once, so they share a list.
    let asked = |it: &FakeTelegram| {
        let lists = it.bot_messages(JANE).into_iter();
        lists.filter(|shown| shown.text.contains("Calls wait for you: 45\n")).map(drop).next()
    };
    world.telegram.wait_until("a list of all", asked).await;
    let first = world.say_and_wait("/pending").await;
    assert!(
        first.text.starts_with("1 to 20 of 45, the newest first\nThese wait for you: 45\n"),
        "{}",
        first.text
    );
    let pages = press_through(&world, first, "Older ›").await;
    assert_eq!(pages.iter().flat_map(task_numbers).collect::<Vec<_>>(), (1..=45).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn the_terminal_gets_all_of_them_in_pages_too() {
    let world = fixture_with_tasks(300, &["completed"]).await;
    let (mut found, mut after) = (Vec::new(), None);
    for _ in 0..MAX_PAGES {
        let ask = ListTasks { state: Some(TaskState::Completed), after, limit: 70 };
        let tasks = world.request(ask).await.unwrap();
        let Some(last) = tasks.last() else { break };
        after = Some(last.cursor());
        found.extend(tasks);
    }
    assert_eq!(found.len(), 300);
    assert!(found.windows(2).all(|two| two[0].asked > two[1].asked));
}

/// A session's records: calls of this tool, one a second, over many files.
fn append_outcomes(world: &TelegramFixture, tool: &str, calls: std::ops::Range<u64>) {
    let now = world.clock.now();
    let segment = AuditWriter::open(&world.paths().audit(), "test", now).unwrap();
    segment.set_max_segment_bytes(40_000);
    for call in calls {
        let at = now.wall + Duration::from_secs(call);
        let tool = format!("{tool}_{call:05}").parse().unwrap();
        let event = AuditEvent::Outcome { call, tool, outcome: RecordedOutcome::Done, micros: 7 };
        segment.append(&AuditRecord { at, session: None, principal: None, address: None, event }).unwrap();
    }
}

/// The numbers of the calls on a page, the newest first.
fn call_numbers(shown: &ShownMessage, tool: &str) -> Vec<u64> {
    let marked = format!("{tool}_");
    let found = shown.text.split(&marked).skip(1).map(|rest| rest[..5].parse().unwrap());
    found.collect::<Vec<_>>().into_iter().rev().collect()
}

#[tokio::test]
async fn thousands_of_records_of_several_processes_are_paged_through() {
    let world = TelegramFixture::with_jane_and_github().await;
    append_outcomes(&world, "github/one", 0..2000);
    append_outcomes(&world, "github/two", 500..1500);
    let first = world.say_and_wait("/logs").await;
    assert!(first.text.starts_with("Log, times in UTC, page 1 from the newest\n"), "{}", first.text);
    let pages = press_through(&world, first, "Older ›").await;
    let all = |tool: &str| pages.iter().flat_map(|page| call_numbers(page, tool)).collect::<Vec<_>>();
    assert_eq!(all("github/one"), (0..2000).rev().collect::<Vec<_>>());
    assert_eq!(all("github/two"), (500..1500).rev().collect::<Vec<_>>());
    let last = &pages[pages.len() - 1];
    assert!(last.text.contains("started"), "the beginning is reached: {}", last.text);
    let back = world.press_and_wait(last, "‹ Newer").await;
    assert_eq!(back.text, pages[pages.len() - 2].text);
}

#[tokio::test]
async fn a_filtered_log_is_paged_and_what_is_written_meanwhile_moves_nothing() {
    let world = TelegramFixture::with_jane_and_github().await;
    append_outcomes(&world, "github/one", 0..1000);
    let first = world.say_and_wait("/logs github/one_00* allowed").await;
    assert_eq!(call_numbers(&first, "github/one")[0], 999);
    append_outcomes(&world, "github/one", 1000..1400);
    let pages = press_through(&world, first, "Older ›").await;
    let all: Vec<u64> = pages.iter().flat_map(|page| call_numbers(page, "github/one")).collect();
    assert_eq!(all, (0..1000).rev().collect::<Vec<_>>());
    assert!(!pages.iter().any(|page| page.text.contains("test started")), "only what is wanted");
}

#[tokio::test]
async fn a_record_that_is_longer_than_a_message_is_shown_whole() {
    let world = TelegramFixture::with_jane_and_github().await;
    let now = world.clock.now();
    let segment = AuditWriter::open(&world.paths().audit(), "test", now).unwrap();
    let reason = format!("begin {} end", "long ".repeat(2000));
    let event = AuditEvent::Refused { tool: "github/x".parse().unwrap(), reason };
    let at = now.wall + Duration::from_secs(5);
    segment.append(&AuditRecord { at, session: None, principal: None, address: None, event }).unwrap();
    let first = world.say_and_wait("/logs refused").await;
    assert!(first.text.starts_with("Page 1 of 3") && first.text.contains("begin"), "{}", first.text);
    let second = world.press_and_wait(&first, "Page 2 ›").await;
    let third = world.press_and_wait(&second, "Page 3 ›").await;
    let words = |shown: &ShownMessage| shown.text.matches("long").count();
    assert!(third.text.ends_with("end"), "{}", third.text);
    assert!(words(&first) + words(&second) + words(&third) >= 1998, "at most two words are on two pages");
}

#[tokio::test]
async fn another_persons_press_turns_nothing() {
    let world = fixture_with_tasks(45, &["completed"]).await;
    let first = world.say_and_wait("/tasks").await;
    let data = first.keyboard.as_ref().unwrap()[0][0]["callback_data"].as_str().unwrap().to_owned();
    world.telegram.press_data(crate::fixture::MALLORY, first.id, &data);
    world.say_and_wait("/whoami").await;
    let now = |it: &FakeTelegram| it.bot_messages(JANE).into_iter().find(|it| it.id == first.id);
    let shown = world.telegram.wait_until("the list", now).await;
    assert_eq!((shown.text, shown.edits), (first.text, first.edits));
    assert_eq!(json!(shown.keyboard), json!(first.keyboard));
}
