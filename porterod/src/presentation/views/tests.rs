//! Views say what is so, in a text of any length.

use portero::anonymize::{Anonymizer, Direction, ReplacementRule};
use portero::ipc::Act;
use portero::policy::GrantLimits;
use portero::secret::Secret;
use proptest::prelude::*;
use serde_json::json;

use super::super::tests::{task_of, with_context};
use super::super::text::TextStyle;
use portero::task::TaskState;

use super::*;
use crate::auth::remote_confirmation::{ActPreview, ConfirmationEnd, ConfirmationQuestion, NumberChoices};

fn plain(text: StyledText) -> String {
    text.plain_text()
}

/// What stands in neither code nor a block.
fn own_words(text: &StyledText) -> String {
    let own = text.parts().iter().filter(|part| matches!(part.style, None | Some(TextStyle::Bold)));
    own.map(|part| part.text.as_str()).collect()
}

#[test]
fn tasks_stand_by_their_state() {
    let waiting = task_of("gmail/send_email", &json!({ "to": "bob@example.org", "body": "x".repeat(200) }));
    let mut done = task_of("a/b", &json!({}));
    done.state = TaskState::Completed;
    let all = [done, waiting];
    insta::assert_snapshot!(plain(with_context(|view| all_tasks_text(&all, view))), @r#"
    Waiting for you: 1
    • 1b0a9e8f gmail/send_email {"to":"bob@example.org","body":"xxxxxxxxxxxxxxxxxxxxxxxxxxxx… until 14:15 +01, in 14 min

    Done: 1
    • 1b0a9e8f a/b {} 1 min ago
    "#);
    let counts = [(TaskState::PendingApproval, 1)];
    let waiting = TaskListPart { tasks: &all[1..], shown_before: 0, counts: &counts };
    insta::assert_snapshot!(with_context(|view| task_list_text(TaskListKind::Pending, &waiting, view)).plain_text(), @r#"
    These wait for you: 1
    • 1b0a9e8f gmail/send_email {"to":"bob@example.org","body":"xxxxxxxxxxxxxxxxxxxxxxxxxxxx… until 14:15 +01, in 14 min
    "#);
    assert_eq!(plain(with_context(|view| all_tasks_text(&[], view))), "There are no such tasks.");
    let none = |shown| TaskListPart { tasks: &[], shown_before: shown, counts: &[] };
    let said = |list, shown| with_context(|view| task_list_text(list, &none(shown), view)).plain_text();
    assert_eq!(said(TaskListKind::Pending, 0), "Nothing waits for you.");
    assert_eq!(said(TaskListKind::Tasks, 20), "There are no more of them.");
}

#[test]
fn a_part_of_a_list_says_which() {
    let mut done = task_of("a/b", &json!({}));
    done.state = TaskState::Completed;
    let counts = [(TaskState::PendingApproval, 21), (TaskState::Completed, 1999)];
    let tasks = [task_of("a/c", &json!({})), done];
    let shown = TaskListPart { tasks: &tasks, shown_before: 20, counts: &counts };
    insta::assert_snapshot!(with_context(|view| task_list_text(TaskListKind::Tasks, &shown, view)).plain_text(), @"
    21 to 22 of 2020, the newest first
    Waiting for you: 21
    • 1b0a9e8f a/c {} until 14:15 +01, in 14 min

    Done: 1999
    • 1b0a9e8f a/b {} 1 min ago
    ");
    let gone = TaskListPart { tasks: &tasks, shown_before: 20, counts: &counts[..1] };
    let text = with_context(|view| task_list_text(TaskListKind::Tasks, &gone, view)).plain_text();
    assert!(text.starts_with("21 to 22 of 22"), "{text}");
}

#[test]
fn rules_and_grants_are_shown_with_their_ids() {
    let standing = serde_json::from_value(json!({
        "epoch": 3, "boot_id": "b", "paused": "2026-11-20T12:00:00Z",
        "rules": [{ "id": 7, "pattern": "gmail/*", "action": "deny", "made": "2026-11-20T11:01:00Z" }],
        "grants": [{
            "id": 9, "pattern": "fs/read_file", "boot_id": "b", "millis": 600_000,
            "made": { "wall": "2026-11-20T12:56:00Z", "boot": { "secs": 5, "nanos": 0 } },
            "limits": { "project": "/home/ada/shop", "uses": 3 }, "used": 1,
        }],
    }))
    .expect("rules and grants");
    insta::assert_snapshot!(plain(with_context(|view| overrides_text(&standing, view))), @"
    Everything is paused, since 13:00 +01: no call runs.
    Rules
    • rule 7 denies gmail/*, 2 h ago
    Grants
    • grant 9 permits fs/read_file, 5 min left, 2 of 3 uses left, only in project /home/ada/shop
    ");
    let none = with_context(|view| overrides_text(&portero::policy::Overrides::default(), view));
    assert_eq!(plain(none), "No rules and no grants: the configuration alone decides.");
}

#[test]
fn status_says_what_is_wrong() {
    let status = serde_json::from_value(json!({
        "build": "0.1.0", "pid": 77, "started": "2026-11-20T11:00:00Z", "config": "/c",
        "config_problems": ["mcps.json:3:1: unknown field @x"], "config_valid": false,
        "skipped": [["slack", "no `command`"]],
        "servers": [{ "server": "gmail", "condition": { "failed": "not on PATH" }, "pid": null, "tools": 4 }],
        "sessions": [["019a9f3e-7c1d-7b4e-8f60-0123456789ab", "/home/ada/shop"]], "agent_sessions": [["019a9f3e-7c1d-7b4e-8f60-0123456789ab", "claude-7"]], "grant_most": 3_600_000, "pending": 2,
        "standing": { "epoch": 0, "rules": [], "grants": [], "boot_id": "" }, "passphrase": null,
        "config_waits": 2, "totp": null, "audit": { "segments": 3, "bytes": 5000, "oldest": null, "verified": "2026-11-20T12:31:00Z", "problems": 1, "removed": 0 },
        "telegram": {
            "state": "troubled", "bot": "b", "person": null, "last_poll": "2026-11-20T13:00:50Z", "waiting": 4,
            "last_trouble": { "at": "2026-11-20T12:59:00Z", "kind": "network", "what": "no way to @x" },
            "sending_trouble": "Telegram fails",
            "refused": { "count": 2, "last": { "at": "2026-11-20T12:58:00Z", "kind": "update", "what": "it is too long" } },
        }, "counts": { "done": 1, "failed": 2, "refused": 3, "asked": 4 },
    }))
    .expect("a status");
    let text = with_context(|view| status_text(&status, view));
    assert!(!own_words(&text).contains(['@', '/']));
    insta::assert_snapshot!(plain(text), @"
    Portero 0.1.0, process 77, started 2 h 1 min ago
    Waiting: 2
    Calls: 1 done, 2 failed, 3 refused, 4 asked, since the daemon started
    Passphrase: NOT SET: nothing can be approved at the terminal, and every edit of the configuration counts at once
    Authenticator: not enrolled
    Telegram: in trouble, and trying on, last heard 10 s ago, to be sent: 4
    • 2 min ago: no way to @x
    • sending: Telegram fails
    • refused and not shown: 2, the last 3 min ago: it is too long
    Audit: 3 files, 0.0 MB; verified 30 min ago
    • 1 FILE WAS CHANGED, CUT OR REMOVED: look with portero logs verify
    Unconfirmed: changes of the configuration that wait for you and are not in force: 2; look with portero config diff
    NOT VALID as it is now: the last valid configuration stays in force
    Problems
    • mcps.json:3:1: unknown field @x
    Skipped: slack because no `command`
    Servers
    • gmail failed: not on PATH, 4 tools
    Sessions
    • 456789ab in /home/ada/shop, the agent calls it claude-7
    No rules and no grants: the configuration alone decides.
    ");
}

#[test]
fn a_decision_is_explained() {
    let decision = |pattern: &str| json!({ "action": "require-approval", "pattern": pattern, "source": { "rule": 3 }, "locked": false });
    let explanation =
        serde_json::from_value(json!({ "decision": decision("a/b"), "losing": [decision("a/*")] }))
            .expect("one");
    insta::assert_snapshot!(plain(decision_text(&"a/b".parse().expect("a tool"), &explanation)), @"
    a/b: needs approval
    because needs approval by `a/b` (rule 3)
    stronger than needs approval by `a/*` (rule 3)
    ");
    let failure = DaemonFailure::new(portero::ipc::FailureKind::NotFound, "no task `@x`")
        .with_hint("`/tasks` lists them");
    assert_eq!(plain(failure_text(&failure)), "That did not work: no task `@x`\nHint: `/tasks` lists them");
}

#[test]
fn what_widens_is_shown_with_the_denied_first() {
    let tool = |name: &str, action| (name.parse().expect("a tool"), action);
    let tools = [tool("a/b", Action::Deny), tool("a/c", Action::RequireApproval)];
    let shown = |what: Act, tools: &[(ToolId, Action)], again| {
        let preview = ActPreview::Tools(tools.to_vec());
        plain(with_context(|view| elevation_question(&what, &preview, again, view)))
    };
    let pattern = || "a/*".parse().expect("a pattern");
    insta::assert_snapshot!(shown(Act::Grant(pattern(), 1_800_000, GrantLimits::default()), &tools, false), @"
    Permit for a while?
    a/* for 30 min, until 14:31 +01
    It changes 1 tool:
    a/b  denied, and stays denied
    a/c  asks now → would run unasked
    Tools that servers add later and that match are covered too.
    ");
    let limits = serde_json::from_value(json!({ "project": "/home/ada/shop", "uses": 10 })).expect("limits");
    let limited = shown(Act::Grant(pattern(), 1_800_000, limits), &tools, false);
    assert!(
        limited.starts_with("Permit for a while?\na/* for 30 min, until 14:31 +01\nLimited: only in project /home/ada/shop, 10 uses\n"),
        "{limited}"
    );
    insta::assert_snapshot!(shown(Act::Allow(pattern()), &tools, true), @"
    Something changed meanwhile. This is how it stands now.
    Permit from now on?
    a/*
    It changes 2 tools:
    a/b  DENIED now → would run unasked
    a/c  asks now → would run unasked
    Tools that servers add later and that match are covered too.
    ");
    insta::assert_snapshot!(shown(Act::RemoveRule(3, pattern(), Action::Deny), &tools, false), @"
    End a rule that narrows?
    rule 3, a/*
    It changes 1 tool:
    a/b  DENIED now → would no longer be denied by this rule
    Tools that servers add later and that match are covered too.
    ");
    insta::assert_snapshot!(shown(Act::Allow(pattern()), &[], false), @"
    Permit from now on?
    a/*
    That changes nothing for the tools that are known now.
    Tools that servers add later and that match are covered too.
    ");
    insta::assert_snapshot!(shown(Act::Resume, &[], false), @"
    Go on?
    Calls are decided by configuration, rules and grants again, and approved ones run.
    ");
}

#[test]
fn the_log_is_one_line_a_record() {
    let entry = |event: serde_json::Value| -> SegmentRecord {
        serde_json::from_value(json!({
            "segment": "s", "seq": 1, "record": { "at": "2026-11-20T12:59:59Z", "event": event },
        }))
        .expect("an entry")
    };
    let entries = [
        entry(json!({ "refused": { "tool": "a/b", "reason": "denied\n11-20 person approve" } })),
        entry(json!({ "act": { "act": "deny", "about": "gmail/*", "done": true } })),
    ];
    let rows: Vec<_> =
        entries.iter().map(|entry| with_context(|view| record_line(entry, view.zone))).collect();
    let whole = LogPage { rows, ..LogPage::default() };
    insta::assert_snapshot!(plain(with_context(|view| log_text(&whole, 1, view))), @"
    Log, times in +01
    11-20 13:59:59  refused   a/b  denied⏎11-20 person approve
    11-20 13:59:59  person    deny gmail/*
    ");
    insta::assert_snapshot!(plain(with_context(|view| log_text(&LogPage { unreadable: 2, ..whole }, 3, view))), @"
    Log, times in +01, page 3 from the newest
    11-20 13:59:59  refused   a/b  denied⏎11-20 person approve
    11-20 13:59:59  person    deny gmail/*
    Lines that are no records: 2. See what is wrong with portero logs verify
    ");
    let none = |number| plain(with_context(|view| log_text(&LogPage::default(), number, view)));
    assert_eq!(none(1), "There are no such records.");
    assert_eq!(none(2), "There are no older records.");
    let back_to = Some("2026-11-20T12:00:00Z".parse().expect("a time"));
    let far = LogPage {
        searched_back_to: back_to,
        next: serde_json::from_value(json!({
            "at": "2026-11-20T12:00:00Z", "segment": "s", "left": [],
        }))
        .expect("a place"),
        ..LogPage::default()
    };
    assert_eq!(
        plain(with_context(|view| log_text(&far, 1, view))),
        "None of the records that were looked at is wanted.\nLooked back to 13:00 +01; there may be more before.",
    );
}

#[test]
fn help_lists_commands_that_can_be_tapped() {
    let text = help_text(&[("status", "how things stand"), ("pending", "what waits for you")]);
    assert_eq!(plain(text), "What I understand\n/status  how things stand\n/pending  what waits for you");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_list_names_all_and_nothing_from_outside_stands_outside_of_code(
        texts in proptest::collection::vec("EVIL(@all|/start|\u{202e}|[a-z\n😀]{0,90})", 0..120),
    ) {
        let all: Vec<_> = texts.iter().map(|text| task_of("a/b", &json!({ "x": text }))).collect();
        let entries: Vec<SegmentRecord> = texts.iter().map(|text| serde_json::from_value(json!({
            "segment": "s", "seq": 1,
            "record": { "at": "2026-11-20T12:59:59Z", "event": { "refused": { "tool": "a/b", "reason": text } } },
        })).expect("an entry")).collect();
        let (listed, logged) =
            with_context(|view| {
                let rows = entries.iter().map(|entry| record_line(entry, view.zone)).collect();
                let log = log_text(&LogPage { rows, ..LogPage::default() }, 1, view);
                (all_tasks_text(&all, view), log)
            });
        for text in [&listed, &logged] {
            prop_assert!(!own_words(text).contains("EVIL"));
        }
        let named = |text: &StyledText| text.plain_text().matches("a/b").count();
        prop_assert_eq!(named(&listed), texts.len());
        prop_assert_eq!(named(&logged), texts.len());
    }
}

/// A question of a terminal.
fn prompt_question(wish: Act, sight: ActPreview) -> ConfirmationQuestion {
    let until = "2026-11-20T13:03:00Z".parse().expect("a time");
    let numbers = NumberChoices::test([12, 47, 83], 1);
    ConfirmationQuestion { id: 1, act: wish, preview: sight, by: "portero (pid 4711)".into(), until, numbers }
}

fn prompt_text(wish: Act, sight: ActPreview) -> String {
    plain(with_context(|view| remote_prompt_text(&prompt_question(wish, sight), &Anonymizer::empty(), view)))
}

#[test]
fn a_terminals_question_shows_a_grant_with_its_limits() {
    let limits = GrantLimits { uses: "3".parse().ok(), ..GrantLimits::default() };
    let wish = Act::Grant("gmail/*".parse().expect("a pattern"), 3_600_000, limits);
    let tools = vec![("gmail/send".parse().expect("a tool"), Action::RequireApproval)];
    insta::assert_snapshot!(prompt_text(wish, ActPreview::Tools(tools)), @r#"
    A terminal of yours asks: portero grant gmail/* 1h, 3 uses
    by portero (pid 4711)

    Permit for a while?
    gmail/* for 1 h, until 15:01 +01
    Limited: 3 uses
    It changes 1 tool:
    gmail/send  asks now → would run unasked
    Tools that servers add later and that match are covered too.

    Tap the number that your terminal shows now.
    An agent with a shell of yours could ask this too. If that was not you just now, or if no terminal in front of you shows a number: Refuse.
    Until 14:03 +01, in 2 min
    "#);
}

#[test]
fn a_terminals_question_shows_all_of_a_changed_configuration() {
    let waiting = serde_json::from_value(json!({
        "note": null, "shown": "digest",
        "changes": {
            "widens": [{ "file": "policies.json", "words": "`notes/*`: deny → allow" }],
            "narrows": [{ "file": "mcps.json", "words": "server `old` is not started any more" }],
        },
        "tools": [["notes/erase", "deny", "allow"]],
    }))
    .expect("what waits");
    let wish = Act::ConfirmConfig("digest".to_owned());
    insta::assert_snapshot!(prompt_text(wish, ActPreview::Configuration(Box::new(waiting))), @r#"
    A terminal of yours asks: portero config confirm
    by portero (pid 4711)

    Put the changed configuration in force?
    Waits for you, because it permits more:
    policies.json: `notes/*`: deny → allow
    In force already, because it restricts or changes nothing:
    mcps.json: server `old` is not started any more
    Known tools that would become looser:
    notes/erase  DENIED now → would run unasked

    Tap the number that your terminal shows now.
    An agent with a shell of yours could ask this too. If that was not you just now, or if no terminal in front of you shows a number: Refuse.
    Until 14:03 +01, in 2 min
    "#);
}

#[test]
fn a_terminals_question_conceals_what_is_private() {
    let rule = ReplacementRule {
        fake: "Jane Doe".to_owned(),
        real: Secret::new("Marta Lindqvist".to_owned()),
        direction: Direction::Both,
        case_sensitive: true,
        matching: None,
        label: None,
        servers: None,
    };
    let anonymizer = Anonymizer::new(&[rule]).expect("a rule");
    let project = portero::names::Principal::from_project("/home/Marta Lindqvist/shop".as_ref());
    let limits = GrantLimits { project: Some(project), ..GrantLimits::default() };
    let wish = Act::Grant("gmail/*".parse().expect("a pattern"), 60_000, limits);
    let question = prompt_question(wish, ActPreview::Tools(Vec::new()));
    let text = plain(with_context(|view| remote_prompt_text(&question, &anonymizer, view)));
    assert!(text.contains("/home/Jane Doe/shop") && !text.contains("Lindqvist"), "{text}");
}

#[test]
fn every_end_of_a_terminals_question_says_whether_anything_changed() {
    for end in ConfirmationEnd::ALL {
        let text = plain(ended_prompt_text("grant gmail/* 1h", (end, None), None));
        assert!(text.contains("portero grant gmail/* 1h"), "{text}");
        let nothing = ["Nothing changed", "nothing was done", "could not be done"];
        let nothing = nothing.iter().any(|words| text.contains(words));
        assert_eq!(nothing, end != ConfirmationEnd::Done, "{text}");
    }
}
