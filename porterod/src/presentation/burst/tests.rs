//! Which calls share a list, what the list says of them, and when they can be approved together.

use portero::task::{ChildLoss, TaskState};
use serde_json::{Value, json};

use super::super::buttons::ButtonRows;
use super::super::card::{DecidedBy, RecordedDecision};
use super::super::tests::{listed_call, task_of, with_context};
use super::*;
use crate::auth::buttons::{ButtonAction, ListDecision, TaskDecision};

fn at(seconds: i64) -> jiff::Timestamp {
    jiff::Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
}

#[test]
fn calls_of_one_moment_share_a_message() {
    // First and last call of the message, how many, whether untouched; the new call; whether it joins.
    for (first, last, count, is_untouched, arrived, expected) in [
        (0, 0, 1, true, 0, true),
        (0, 0, 1, true, 10, true),
        (0, 0, 1, true, 11, false),
        (0, 50, 8, true, 60, true),
        (0, 55, 8, true, 61, false),
        (0, 0, 49, true, 1, true),
        (0, 0, 50, true, 1, false),
        (0, 0, 1, false, 1, false),
        // The clock went back.
        (0, 0, 1, true, -3_600, true),
    ] {
        let message = RecentMessage { first: at(first), last: at(last), count, is_untouched };
        assert_eq!(joins(&message, at(arrived)), expected, "{message:?} at {arrived}");
    }
}

fn calls(count: u64) -> Vec<ListedCall> {
    let call = |n: u64| {
        let mut task =
            task_of("gmail/send_email", &json!({ "to": format!("{n}@example.org"), "subject": "Hi" }));
        task.id = format!("019a9f3e-7c1d-7b4e-8f60-{n:012x}").parse().expect("an id");
        listed_call(&task)
    };
    (0..count).map(call).collect()
}

fn rows_of(calls: &[ListedCall], state: &ListState) -> Vec<String> {
    with_context(|view| overview(calls, state, view)).rows.iter().map(|row| row.plain_text()).collect()
}

fn with_arguments(arguments: &Value) -> ListedCall {
    listed_call(&task_of("a/b", arguments))
}

#[test]
fn a_list_says_who_asks_and_what_matters_of_each_call() {
    let list = with_context(|view| overview(&calls(2), &ListState::default(), view));
    insta::assert_snapshot!(list.head.plain_text(), @"
    Calls wait for you: 2
    Asks: claude-code 2.1.328
    Project: /home/ada/shop, session 456789ab
    Until: 14:15 +01, in 14 min
    ");
    let rows: Vec<_> = list.rows.iter().map(|row| row.plain_text()).collect();
    assert_eq!(rows[1], "2. gmail/send_email\nTo: 1@example.org, Subject: Hi");
    assert_eq!(list.foot.plain_text(), "Look through shows each call in full.");
}

#[test]
fn a_row_that_shows_less_than_all_says_so() {
    for (arguments, is_shortened) in [
        (json!({ "x": "short" }), false),
        (json!({ "x": "y".repeat(80) }), false),
        (json!({ "x": "y".repeat(81) }), true),
        (json!({ "x": "two\nlines" }), false),
        (json!({ "a": 1, "b": 2, "c": 3 }), false),
        (json!({ "a": 1, "b": 2, "c": 3, "d": 4 }), true),
        (json!({ "a".repeat(100): 1 }), true),
        (json!({}), false),
        (json!({ "x": "y".repeat(600_000) }), true),
    ] {
        let calls = [with_arguments(&arguments)];
        let row = &rows_of(&calls, &ListState::default())[0];
        assert_eq!(row.contains("(shortened)") || row.contains("too long"), is_shortened, "{row}");
        assert!(row.lines().count() <= 3 && row.chars().count() < 500, "{row}");
        let foot = with_context(|view| overview(&calls, &ListState::default(), view)).foot.plain_text();
        assert_eq!(foot.contains("less than all"), is_shortened, "{foot}");
    }
}

#[test]
fn only_calls_that_are_equal_in_everything_are_counted_together() {
    let one = with_arguments(&json!({ "n": 1 }));
    let spelled = with_arguments(&json!({ "n": 1.0 }));
    let mut lost = one.clone();
    lost.obstacle = Some(ChildLoss::SessionEnded.to_string());
    let mut denied = one.clone();
    denied.look.task.state = TaskState::Denied;
    let rows = |calls: &[ListedCall]| rows_of(calls, &ListState::default());
    assert_eq!(rows(&[one.clone(), one.clone(), one.clone()]), ["1. 3 × a/b\nn: 1"]);
    for other in [spelled, lost, denied] {
        assert_eq!(rows(&[one.clone(), other]).len(), 2);
    }
}

#[test]
fn each_call_says_what_became_of_it() {
    let mut calls = calls(4);
    let decided = |by| Some(RecordedDecision { by, at: at(0) });
    calls[0].look.task.state = TaskState::Completed;
    calls[0].look.task.result =
        serde_json::from_value(json!({ "content": [{ "type": "text", "text": "Sent.\nid 5" }] }))
            .expect("a result");
    calls[0].decided = decided(DecidedBy::ThisPhone);
    (calls[1].look.task.state, calls[1].decided) = (TaskState::Denied, decided(DecidedBy::Terminal));
    calls[1].look.task.note = serde_json::from_value(json!("not now")).expect("a note");
    (calls[2].look.task.state, calls[2].decided) = (TaskState::Interrupted, decided(DecidedBy::User(7)));
    let state = ListState {
        left_out: vec![(calls[3].look.task.id, "a rule denies it".to_owned())],
        ..ListState::default()
    };
    let list = with_context(|view| overview(&calls, &state, view));
    assert!(
        list.head
            .plain_text()
            .starts_with("Calls: 1 waiting, 1 done, 1 denied, 1 interrupted, effect unknown\n"),
        "{}",
        list.head.plain_text()
    );
    insta::assert_snapshot!(rows_of(&calls, &state).join("\n"), @"
    1. gmail/send_email 00000000
    Approved on this phone: done, Sent.⏎id 5
    2. gmail/send_email 00000001
    Denied at the terminal, not now
    3. gmail/send_email 00000002
    Approved by telegram user 7: interrupted, effect unknown
    4. gmail/send_email
    To: 3@example.org, Subject: Hi
    Not approved, since a rule denies it
    ");
}

/// The labels of a keyboard, a line for each row.
fn labels(rows: &ButtonRows) -> Vec<String> {
    let row = |row: &Vec<super::super::buttons::Button>| {
        row.iter().map(|button| button.label.as_str()).collect::<Vec<_>>().join(" | ")
    };
    rows.iter().map(row).collect()
}

fn decides(rows: &ButtonRows) -> usize {
    rows.iter().flatten().filter(|button| !matches!(button.action, ButtonAction::Show(_))).count()
}

fn screen(call: &ListedCall) -> CallScreen {
    CallScreen {
        task: call.look.task.id,
        waits: true,
        page: 0,
        pages: 1,
        must_read: false,
        is_lost: false,
        is_void: false,
        shown: Some(ShownCall::of(&call.look)),
        previous: None,
        next: None,
        approvable: None,
    }
}

#[test]
fn no_button_of_a_list_decides_and_turning_keeps_its_place() {
    let calls = calls(3);
    let id = |index: usize| Some(calls[index].look.task.id);
    let list = overview_buttons((1, 3), id(0));
    assert_eq!(labels(&list), ["🔎 Look through", "‹ Page 1 | Page 3 ›", "❌ Deny all…"]);
    assert_eq!(decides(&list), 0);
    assert!(overview_buttons((0, 1), None).is_empty());
    assert_eq!(labels(&overview_buttons((0, 2), None)), ["Page 2 ›"]);
    let open = call_buttons(&CallScreen { previous: id(0), next: id(2), ..screen(&calls[1]) });
    assert_eq!(labels(&open), ["✅ Approve | ❌ Deny", "‹ Previous | Next ›", "Back to the list"]);
    let settled = call_buttons(&CallScreen { waits: false, next: id(2), ..screen(&calls[1]) });
    assert_eq!(labels(&settled), ["Next ›", "Back to the list"]);
    let unread = CallScreen { must_read: true, shown: None, pages: 2, ..screen(&calls[1]) };
    assert_eq!(
        labels(&call_buttons(&unread)),
        ["📄 I have read the document | ❌ Deny", "Page 2 ›", "Back to the list"]
    );
    let lost = call_buttons(&CallScreen { is_lost: true, ..screen(&calls[1]) });
    assert_eq!(labels(&lost)[0], "⚠️ Run in another process | ❌ Deny");
    let void = call_buttons(&CallScreen { is_void: true, ..screen(&calls[1]) });
    assert_eq!(labels(&void)[0], "❌ Deny");
    let all = calls.iter().map(|call| ShownCall::of(&call.look)).collect();
    let last = call_buttons(&CallScreen { approvable: Some(all), previous: id(1), ..screen(&calls[2]) });
    assert_eq!(labels(&last)[1..], ["✅ Approve all 3", "‹ Previous", "Back to the list"]);
    let ButtonAction::DecideList(ListDecision::Approve(named)) = &last[1][0].action else {
        panic!("{last:?}")
    };
    assert_eq!(named.len(), 3);
    assert_eq!(last[0][0].action, ButtonAction::Decide(TaskDecision::Approve));
}

#[test]
fn steps_survive_the_store_and_no_other_button_reads_as_one() {
    let shown = ShownCall::of(&calls(1)[0].look);
    let rows = call_buttons(&CallScreen { next: Some(shown.task), ..screen(&calls(1)[0]) });
    let ButtonAction::Show(next) = &rows[1][0].action else { panic!("{rows:?}") };
    assert_eq!(
        ListStep::parse_shown(next),
        Some(ListStep::Turn(ListView::Call(shown.task, 0), Some(shown.clone())))
    );
    for other in ["\"more\"", "talk no", "list", "list {}"] {
        assert_eq!(ListStep::parse_shown(other), None, "{other}");
    }
    let mut state = ListState { view: ListView::Call(shown.task, 1), ..ListState::default() };
    state.note_shown(shown);
    assert_eq!(ListState::parse(&state.serialize()), state);
    // What an earlier version wrote there is no list's state.
    assert_eq!(ListState::parse("\"card\""), ListState::default());
    assert_eq!(ListState::parse(""), ListState::default());
}

#[test]
fn a_call_counts_as_shown_only_with_the_content_that_was_on_the_screen() {
    let call = &calls(1)[0];
    let mut state = ListState::default();
    state.note_shown(ShownCall::of(&call.look));
    assert!(state.has_shown(&ShownCall::of(&call.look)));
    let changed = |change: fn(&mut portero::task::Task)| {
        let mut look = call.look.clone();
        change(&mut look.task);
        ShownCall::of(&look)
    };
    for other in [
        changed(|task| task.call = task_of("gmail/send_email", &json!({ "to": "eve@example.org" })).call),
        changed(|task| task.call.tool = "gmail/delete".parse().expect("a tool")),
        changed(|task| task.binding = "v2.other".to_owned()),
        changed(|task| task.id = "019a9f3e-7c1d-7b4e-8f60-00000000ffff".parse().expect("an id")),
    ] {
        assert!(!state.has_shown(&other));
    }
    // Its deadline and its state are no part of what an approval covers.
    assert!(state.has_shown(&changed(|task| task.expires = task.asked)));
}

#[test]
fn what_one_person_was_shown_counts_for_no_other() {
    let shown = ShownCall::of(&calls(1)[0].look);
    let mut state = ListState::default();
    state.open_view(ListView::Call(shown.task, 0), 501);
    state.note_shown(shown.clone());
    state.open_view(ListView::List(0), 501);
    assert!(state.has_shown(&shown));
    state.open_view(ListView::Call(shown.task, 0), 502);
    assert!(!state.has_shown(&shown) && state.viewer == Some(502));
}

#[test]
fn a_list_takes_more_calls_until_a_person_opens_one() {
    let shown = ShownCall::of(&calls(1)[0].look);
    let untouched = |state: ListState| state.is_untouched();
    assert!(untouched(ListState::default()));
    assert!(untouched(ListState { view: ListView::List(2), ..ListState::default() }));
    assert!(!untouched(ListState { view: ListView::Call(shown.task, 0), ..ListState::default() }));
    assert!(!untouched(ListState { view: ListView::Deny, ..ListState::default() }));
    assert!(!untouched(ListState { shown: vec![shown.clone()], ..ListState::default() }));
    assert!(!untouched(ListState { left_out: vec![(shown.task, String::new())], ..ListState::default() }));
}

#[test]
fn the_heading_of_a_call_says_what_is_left_out_and_what_came_since() {
    let mut calls = calls(60);
    let heading = |calls: &[ListedCall], note| call_heading(calls, 1, note).plain_text();
    assert_eq!(heading(&calls, CallNote::Unshown(3)), "Call 2 of 60. Not shown in full yet: 3.\n\n");
    for (index, call) in calls.iter_mut().enumerate().skip(2) {
        call.obstacle = Some(format!("{}: {}", index % 7, "why ".repeat(100)));
    }
    let note = CallNote::AllShown { approvable: 2, later: 1 };
    let said = call_heading(&calls, 1, note);
    let text = said.plain_text();
    assert!(
        text.starts_with(
            "Call 2 of 60. All that wait were shown. Approve all covers 2 of them.\nLeft out: 8, 15,"
        ),
        "{text}"
    );
    assert!(text.contains("Others are left out too. The list says why."), "{text}");
    assert!(text.ends_with("Not among them: 1 that came since, in a message of its own.\n\n"), "{text}");
    assert!(text.encode_utf16().count() <= 1_100 && said.styled_count() <= 14, "{text}");
}
