//! The screens in `docs/telegram.md` and the pictures in `docs/screens` are those of the present code.
//! `PORTERO_UPDATE=1 cargo test -p porterod` writes them anew.

mod picture;

use std::fs;
use std::path::Path;

use portero::anonymize::Anonymizer;
use portero::audit::SegmentRecord;
use portero::catalog::ToolHints;
use portero::clock::{Clock as _, TestClock};
use portero::ipc::Act;
use portero::ipc::InspectedTask;
use portero::policy::{
    Action, ConfigPolicy, Decision, DecisionSource, GrantLimits, Overrides as Ruled, Policy, PolicyRule,
    Quorum, Vote,
};
use portero::task::{Task, TaskState};
use proptest::prelude::*;
use serde_json::json;

use super::card_pages::{card_pages, outcome_message};
use super::text::tests::{entity_text, text_outside_entities};
use super::text::{FormattedText, MAX_ENTITIES, MAX_MESSAGE_UNITS, TextStyle, ToMessages as _, utf16_len};
use crate::auth::remote_confirmation::{ActPreview, ConfirmationQuestion, NumberChoices};
use crate::presentation::buttons::{ButtonRows, CardMode, CardState, card_buttons};
use crate::presentation::card::{Card, DecidedBy, RecordedDecision};
use crate::presentation::notices::activity::{self, ActivitySummary, CallFate};
use crate::presentation::tests::{task_of, with_context};
use crate::presentation::views;

/// A message as a person sees it: what is bold between stars, what is code between strokes or indented.
fn draw_screen(message: &FormattedText, keyboard: &ButtonRows) -> String {
    let wide: Vec<u16> = message.text.encode_utf16().collect();
    let plain = |from: usize, to: usize| String::from_utf16(&wide[from..to]).expect("no letter is split");
    let (mut text, mut at) = (String::new(), 0);
    for entity in &message.entities {
        text.push_str(&plain(at, entity.offset));
        let inside = entity_text(message, entity);
        match entity.style {
            TextStyle::Bold => text.push_str(&format!("**{inside}**")),
            TextStyle::Code => text.push_str(&format!("`{inside}`")),
            TextStyle::Pre => text.push_str(&format!("    {}", inside.replace('\n', "\n    "))),
        }
        at = entity.offset + entity.length;
    }
    text.push_str(&plain(at, wide.len()));
    for row in keyboard {
        let keys: Vec<String> = row.iter().map(|key| format!("[ {} ]", key.label)).collect();
        text.push_str(&format!("\n{}", keys.join(" ")));
    }
    text.lines().map(|line| if line.trim().is_empty() { "" } else { line }).collect::<Vec<_>>().join("\n")
}

const PERMITTABLE: CardState = CardState {
    page: 0,
    pages: 1,
    must_read: false,
    is_lost: false,
    can_permit: true,
    max_grant_minutes: 60,
    mode: CardMode::Card,
};

fn draw_question(task: &Task, hints: Option<ToolHints>, open: CardMode) -> String {
    let (message, keyboard) = question_card(task, hints, open);
    draw_screen(&message, &keyboard)
}

fn question_card(task: &Task, hints: Option<ToolHints>, open: CardMode) -> (FormattedText, ButtonRows) {
    let (mut pages, is_whole) = with_context(|view| {
        card_pages(&Card::new(&InspectedTask { task: task.clone(), hints, loss: None }, view))
    });
    let state = CardState {
        pages: pages.len(),
        must_read: !is_whole,
        can_permit: task.quorums.is_empty(),
        mode: open,
        ..PERMITTABLE
    };
    (pages.swap_remove(0), card_buttons(task.id, &state))
}

fn mail_task() -> Task {
    task_of(
        "gmail/send_email",
        &json!({
            "to": ["bob@example.org"], "cc": ["sales@example.org"], "subject": "Our offer",
            "body": "Dear Bob,\n\nthe price is as we said.\n\nAda", "mimeType": "text/plain",
        }),
    )
}

fn patch_task() -> Task {
    task_of(
        "inventory/patch",
        &json!({
            "group": "front",
            "hosts_json": r#"["we\u00622","db1"]"#,
            "patch": r#"{"replicas":3,"labels":{"tier":"web"}}"#,
        }),
    )
}

const WRITES_ELSEWHERE: ToolHints =
    ToolHints { read_only: Some(false), destructive: Some(false), idempotent: None, open_world: Some(true) };

fn edit_task() -> Task {
    task_of(
        "files/edit_file",
        &json!({
            "path": "/home/ada/shop/src/price.rs",
            "edits": [{
                "oldText": "fn price() -> u32 {\n\tlet base = 10;\n\tbase\n}",
                "newText": "fn price() -> u32 {\n\tlet base = 12;\n\tbase\n}",
            }],
            "dryRun": false,
        }),
    )
}

fn long_task() -> Task {
    let rows: Vec<_> = (0..150).map(|row| json!({ "id": row, "note": "hidden \u{202e}here" })).collect();
    task_of("warehouse/import_rows", &json!({ "table": "stock", "rows": rows }))
}

/// Only the first and last lines of a long screen.
fn abbreviate(screen: &str) -> String {
    let lines: Vec<&str> = screen.lines().collect();
    format!("{}\n    (and so on)\n{}", lines[..22].join("\n"), lines[lines.len() - 5..].join("\n"))
}

fn completed_outcome() -> FormattedText {
    let mut task = mail_task();
    task.state = TaskState::Completed;
    task.result = serde_json::from_value(json!({
        "content": [{ "type": "text", "text": "Email sent successfully with ID: 18f2c0ffee" }],
    }))
    .expect("a result");
    let decided =
        RecordedDecision { by: DecidedBy::ThisPhone, at: "2026-11-20T13:00:40Z".parse().expect("a time") };
    with_context(|view| outcome_message(&task, decided, view))
}

fn burst_screen() -> String {
    let mut tasks = [
        mail_task(),
        task_of(
            "gmail/send_email",
            &json!({ "to": ["carol@example.org"], "subject": "Our offer", "body": "Dear Carol" }),
        ),
        task_of("stripe/create_refund", &json!({ "payment_intent": "pi_3Q", "amount": 2000 })),
    ];
    for (task, end) in tasks.iter_mut().zip(["3d2c1b0a9e8f", "77d01e5c2b9a", "5f0e8a6641c3"]) {
        task.id = format!("019a9f3e-7c1d-7b4e-8f60-{end}").parse().expect("an id");
    }
    let pages = with_context(|view| views::burst_text(&tasks, view)).to_pages();
    assert_eq!(pages.len(), 1);
    draw_screen(&pages[0], &ButtonRows::new())
}

/// What ran without asking: the message, or a page of its tools.
fn activity_screen(page: Option<usize>) -> String {
    let told = |tools: &[(CallFate, &str, u64)]| ActivitySummary {
        counts: tools
            .iter()
            .map(|(fate, tool, count)| (*fate, tool.parse().expect("a tool"), *count))
            .collect(),
        others: 0,
    };
    let message = [
        (CallFate::Refused, "shell/run", 1),
        (CallFate::Ran, "files/read_file", 200),
        (CallFate::Ran, "github/create_issue", 2),
    ];
    let more = [
        (CallFate::Ran, "files/list", 1),
        (CallFate::Ran, "github/get_issue", 1),
        (CallFate::Ran, "mail/read", 4),
    ];
    let rule = |id, pattern: &str, action| PolicyRule {
        id,
        pattern: pattern.parse().expect("a pattern"),
        action,
        made: "2026-11-20T13:00:00Z".parse().expect("a time"),
    };
    let rules =
        vec![rule(8, "shell/run", Action::Deny), rule(9, "github/create_issue", Action::RequireApproval)];
    let policy = Policy::new(ConfigPolicy::default(), Ruled { rules, ..Ruled::default() });
    let told = match page {
        None => told(&message),
        Some(_) => told(&[&message[..], &more].concat()),
    };
    let stands = activity::rules_by_tool(
        &told,
        &policy,
        TestClock::at("2026-11-20T13:01:00Z".parse().expect("a time")).now(),
    );
    let text = page.map_or_else(|| told.message_text(&stands), |page| told.tool_list_text(page, &stands));
    draw_screen(&text.fit_message(MAX_MESSAGE_UNITS).expect("it fits"), &activity::button_rows(&stands, page))
}

/// A refund that two of three people have to approve, and these did.
fn refund_task(votes: &[(u64, &str)]) -> Task {
    let mut task = task_of("stripe/create_refund", &json!({ "payment_intent": "pi_3Q", "amount": 2000 }));
    let source = DecisionSource::Quorum { line: 9, column: 7 };
    let tools = vec!["stripe/*".parse().expect("a pattern")];
    task.decision = Decision { source: source.clone(), locked: true, ..task.decision };
    task.quorums = vec![Quorum { tools, approvals: 2, of: vec![11, 22, 33], source }];
    let vote = |(user, at): &(u64, &str)| Vote { user: *user, at: at.parse().expect("a time") };
    task.votes = votes.iter().map(vote).collect();
    task
}

/// As the last of them left it.
fn refund_outcome() -> String {
    let both = [(11, "2026-11-20T13:00:20Z"), (33, "2026-11-20T13:00:50Z")];
    let mut task = Task { quorums: Vec::new(), state: TaskState::Approved, ..refund_task(&both) };
    task.changed = task.votes[1].at;
    let decided = RecordedDecision { by: DecidedBy::People, at: task.changed };
    draw_screen(&with_context(|view| outcome_message(&task, decided, view)), &ButtonRows::new())
}

fn price_task() -> Task {
    task_of("stripe/create_price", &json!({ "product": "prod_QeJ", "unit_amount": 4900, "currency": "chf" }))
}

/// What a terminal asks.
fn remote_prompt_screen() -> String {
    let tools = [("github/delete_repo", Action::Deny), ("github/create_issue", Action::RequireApproval)];
    let tools = tools.map(|(tool, action)| (tool.parse().expect("a tool"), action)).to_vec();
    let question = ConfirmationQuestion {
        id: 1,
        act: Act::Grant("github/*".parse().expect("a pattern"), 3_600_000, GrantLimits::default()),
        preview: ActPreview::Tools(tools),
        by: "portero (pid 4711; started by zsh < tmux: server)".into(),
        until: "2026-11-20T13:03:00Z".parse().expect("a time"),
        numbers: NumberChoices::test([12, 47, 83], 1),
    };
    let pages =
        with_context(|view| views::remote_prompt_text(&question, &Anonymizer::empty(), view)).to_pages();
    format!("{}\n[ 12 ] [ 47 ] [ 83 ]\n[ ❌ Refuse ]", draw_screen(&pages[0], &ButtonRows::new()))
}

#[test]
fn the_screens_in_the_documentation_are_up_to_date() {
    let screens = [
        ("mail", draw_question(&mail_task(), Some(WRITES_ELSEWHERE), CardMode::Card)),
        (
            "more",
            draw_question(&mail_task(), Some(WRITES_ELSEWHERE), CardMode::More)
                .lines()
                .rev()
                .take(5)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n"),
        ),
        (
            "edit",
            draw_question(
                &edit_task(),
                Some(ToolHints { destructive: Some(true), ..WRITES_ELSEWHERE }),
                CardMode::Card,
            ),
        ),
        ("payment", draw_question(&price_task(), None, CardMode::Card)),
        ("decoded", draw_question(&patch_task(), None, CardMode::Card)),
        ("several", draw_question(&refund_task(&[(11, "2026-11-20T13:00:20Z")]), None, CardMode::Card)),
        ("several-outcome", refund_outcome()),
        ("long", abbreviate(&draw_question(&long_task(), None, CardMode::Card))),
        ("outcome", draw_screen(&completed_outcome(), &ButtonRows::new())),
        ("digest", burst_screen()),
        ("ran", activity_screen(None)),
        ("ran-list", activity_screen(Some(0))),
        ("terminal", remote_prompt_screen()),
    ];
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("docs/telegram.md");
    let kept = fs::read_to_string(&path).expect("the documentation");
    let mut fresh = kept.clone();
    for (name, screen) in &screens {
        let start = format!("<!-- screen: {name} -->\n");
        let (before, rest) =
            fresh.split_once(&start).unwrap_or_else(|| panic!("no place for the screen {name}"));
        let (_, after) = rest.split_once("<!-- end -->").expect("an end");
        fresh = format!("{before}{start}```text\n{screen}\n```\n<!-- end -->{after}");
    }
    if std::env::var_os("PORTERO_UPDATE").is_some() {
        fs::write(&path, &fresh).expect("the documentation");
        return;
    }
    assert!(kept == fresh, "docs/telegram.md is out of date; run with PORTERO_UPDATE=1");
    assert_eq!(kept.matches("<!-- screen: ").count(), screens.len(), "a screen belongs to nothing");
}

#[test]
fn the_pictures_in_the_documentation_are_up_to_date() {
    let destroys = Some(ToolHints { destructive: Some(true), ..WRITES_ELSEWHERE });
    let pictures = [
        ("mail", question_card(&mail_task(), Some(WRITES_ELSEWHERE), CardMode::Card)),
        ("edit", question_card(&edit_task(), destroys, CardMode::Card)),
        ("payment", question_card(&price_task(), None, CardMode::Card)),
        ("decoded", question_card(&patch_task(), None, CardMode::Card)),
        ("outcome", (completed_outcome(), ButtonRows::new())),
    ];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("docs/screens");
    let mut old = Vec::new();
    for (name, (message, keyboard)) in &pictures {
        let (path, fresh) = (directory.join(format!("{name}.svg")), picture::render_svg(message, keyboard));
        if std::env::var_os("PORTERO_UPDATE").is_some() {
            fs::write(&path, &fresh).expect("the documentation");
        } else if fs::read_to_string(&path).ok() != Some(fresh) {
            old.push(*name);
        }
    }
    assert_eq!(old, [""; 0], "out of date in docs/screens; run with PORTERO_UPDATE=1");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_list_is_too_long_and_nothing_in_it_stands_outside_of_code(
        texts in proptest::collection::vec("EVIL(@all|/start|\u{202e}|[a-z\n😀]{0,90})", 0..120),
    ) {
        let all: Vec<_> = texts.iter().map(|text| task_of("a/b", &json!({ "x": text }))).collect();
        let entries: Vec<SegmentRecord> = texts.iter().map(|text| serde_json::from_value(json!({
            "segment": "s", "seq": 1,
            "record": { "at": "2026-11-20T12:59:59Z", "event": { "refused": { "tool": "a/b", "reason": text } } },
        })).expect("an entry")).collect();
        let texts = with_context(|view| {
            let rows = entries.iter().map(|entry| views::record_line(entry, view.zone)).collect();
            let log = views::log_text(&views::LogPage { rows, ..views::LogPage::default() }, 1, view);
            [views::all_tasks_text(&all, view), views::burst_text(&all, view), log]
        });
        for page in texts.iter().flat_map(|text| text.to_pages()) {
            prop_assert!(utf16_len(&page.text) <= MAX_MESSAGE_UNITS && page.entities.len() <= MAX_ENTITIES);
            prop_assert!(!text_outside_entities(&page).contains("EVIL"));
        }
    }
}
