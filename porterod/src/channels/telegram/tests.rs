//! The screens in `docs/telegram.md` and the pictures in `docs/screens` are those of the present code.
//! `PORTERO_UPDATE=1 cargo test -p porterod` writes them anew.

mod picture;

use std::fs;
use std::path::Path;

use portero::anonymize::Anonymizer;
use portero::catalog::Hints;
use portero::clock::{Clock as _, TestClock};
use portero::policy::{
    Action, ConfigPolicy, Decision, Limits, Policy, Quorum, Rule, Source, Standing as Ruled, Vote,
};
use portero::task::{State, Task};
use serde_json::json;

use super::card::tests::{task, with_view};
use super::card::{Decided, Door, card, outcome};
use super::keyboard::{Choice, Key, Keyboard, Standing, Token, View, of_card, of_pages};
use super::screens;
use super::screens::activity::{self, Fate, Told};
use super::text::tests::covered;
use super::text::{MESSAGE_MOST, Message, Style};
use crate::consent::{Numbers, Question, Sight, Wish};

/// A message as a person sees it: what is bold between stars, what is code between strokes or indented.
fn drawn(message: &Message, keyboard: &Keyboard) -> String {
    let wide: Vec<u16> = message.text.encode_utf16().collect();
    let plain = |from: usize, to: usize| String::from_utf16(&wide[from..to]).expect("no letter is split");
    let (mut text, mut at) = (String::new(), 0);
    for entity in &message.entities {
        text.push_str(&plain(at, entity.offset));
        let inside = covered(message, entity);
        match entity.style {
            Style::Bold => text.push_str(&format!("**{inside}**")),
            Style::Code => text.push_str(&format!("`{inside}`")),
            Style::Pre => text.push_str(&format!("    {}", inside.replace('\n', "\n    "))),
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

fn token(choice: Choice) -> Token {
    Token::try_from(format!("{choice:?}")).expect("short")
}

const LOOSENS: Standing =
    Standing { page: 0, pages: 1, unread: false, loosens: true, grant_most: 60, view: View::Card };

fn asked(task: &Task, hints: Option<Hints>, open: View) -> String {
    let (message, keyboard) = question(task, hints, open);
    drawn(&message, &keyboard)
}

fn question(task: &Task, hints: Option<Hints>, open: View) -> (Message, Keyboard) {
    let mut card = with_view(hints, |view| card(task, view));
    let loosens = task.quorums.is_empty();
    let unread = card.needs_second_tap;
    let standing = Standing { pages: card.pages.len(), unread, loosens, view: open, ..LOOSENS };
    (card.pages.swap_remove(0), of_card(&standing, token))
}

fn mail() -> Task {
    task(
        "gmail/send_email",
        &json!({
            "to": ["bob@example.org"], "cc": ["sales@example.org"], "subject": "Our offer",
            "body": "Dear Bob,\n\nthe price is as we said.\n\nAda", "mimeType": "text/plain",
        }),
    )
}

const OPEN: Hints =
    Hints { read_only: Some(false), destructive: Some(false), idempotent: None, open_world: Some(true) };

fn edit() -> Task {
    task(
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

fn long() -> Task {
    let rows: Vec<_> = (0..150).map(|row| json!({ "id": row, "note": "hidden \u{202e}here" })).collect();
    task("warehouse/import_rows", &json!({ "table": "stock", "rows": rows }))
}

/// Only the first and last lines of a long screen.
fn ends(screen: &str) -> String {
    let lines: Vec<&str> = screen.lines().collect();
    format!("{}\n    (and so on)\n{}", lines[..22].join("\n"), lines[lines.len() - 5..].join("\n"))
}

fn settled() -> Message {
    let mut task = mail();
    task.state = State::Completed;
    task.result = serde_json::from_value(json!({
        "content": [{ "type": "text", "text": "Email sent successfully with ID: 18f2c0ffee" }],
    }))
    .expect("a result");
    let decided = Decided { door: Door::ThisPhone, at: "2026-11-20T13:00:40Z".parse().expect("a time") };
    with_view(None, |view| outcome(&task, decided, view))
}

fn burst() -> String {
    let mut tasks = [
        mail(),
        task(
            "gmail/send_email",
            &json!({ "to": ["carol@example.org"], "subject": "Our offer", "body": "Dear Carol" }),
        ),
        task("stripe/create_refund", &json!({ "payment_intent": "pi_3Q", "amount": 2000 })),
    ];
    for (task, end) in tasks.iter_mut().zip(["3d2c1b0a9e8f", "77d01e5c2b9a", "5f0e8a6641c3"]) {
        task.id = format!("019a9f3e-7c1d-7b4e-8f60-{end}").parse().expect("an id");
    }
    let pages =
        with_view(None, |view| screens::digest(&tasks, &screens::View { now: view.now, zone: view.zone }));
    drawn(&pages[0], &of_pages(0, pages.len(), token))
}

/// What ran without asking: the message, or a page of its tools.
fn ran(page: Option<usize>) -> String {
    let told = |tools: &[(Fate, &str, u64)]| Told {
        counts: tools
            .iter()
            .map(|(fate, tool, count)| (*fate, tool.parse().expect("a tool"), *count))
            .collect(),
        others: 0,
    };
    let message = [
        (Fate::Refused, "shell/run", 1),
        (Fate::Ran, "files/read_file", 200),
        (Fate::Ran, "github/create_issue", 2),
    ];
    let more =
        [(Fate::Ran, "files/list", 1), (Fate::Ran, "github/get_issue", 1), (Fate::Ran, "mail/read", 4)];
    let rule = |id, pattern: &str, action| Rule {
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
    let stands = activity::stands(
        &told,
        &policy,
        TestClock::at("2026-11-20T13:01:00Z".parse().expect("a time")).now(),
    );
    let text = page.map_or_else(|| told.text(&stands), |page| told.list(page, &stands));
    let key = |(label, _)| Key { label, token: Token::try_from("x".to_owned()).expect("short") };
    let rows = activity::rows(&stands, page);
    let keyboard: Keyboard = rows.into_iter().map(|row| row.into_iter().map(key).collect()).collect();
    drawn(&text.message(MESSAGE_MOST).expect("it fits"), &keyboard)
}

/// A refund that two of three people have to approve, and these did.
fn refund(votes: &[(u64, &str)]) -> Task {
    let mut task = task("stripe/create_refund", &json!({ "payment_intent": "pi_3Q", "amount": 2000 }));
    let source = Source::Quorum { line: 9, column: 7 };
    let tools = vec!["stripe/*".parse().expect("a pattern")];
    task.decision = Decision { source: source.clone(), locked: true, ..task.decision };
    task.quorums = vec![Quorum { tools, approvals: 2, of: vec![11, 22, 33], source }];
    let vote = |(user, at): &(u64, &str)| Vote { user: *user, at: at.parse().expect("a time") };
    task.votes = votes.iter().map(vote).collect();
    task
}

/// As the last of them left it.
fn refunded() -> String {
    let both = [(11, "2026-11-20T13:00:20Z"), (33, "2026-11-20T13:00:50Z")];
    let mut task = Task { quorums: Vec::new(), state: State::Approved, ..refund(&both) };
    task.changed = task.votes[1].at;
    let decided = Decided { door: Door::People, at: task.changed };
    drawn(&with_view(None, |view| outcome(&task, decided, view)), &Keyboard::new())
}

fn price() -> Task {
    task("stripe/create_price", &json!({ "product": "prod_QeJ", "unit_amount": 4900, "currency": "chf" }))
}

/// What a terminal asks.
fn terminal() -> String {
    let tools = [("github/delete_repo", Action::Deny), ("github/create_issue", Action::RequireApproval)];
    let tools = tools.map(|(tool, action)| (tool.parse().expect("a tool"), action)).to_vec();
    let question = Question {
        id: 1,
        wish: Wish::Grant("github/*".parse().expect("a pattern"), 3_600_000, Limits::default()),
        sight: Sight::Tools(tools),
        by: "portero (pid 4711; started by zsh < tmux: server)".to_owned(),
        until: "2026-11-20T13:03:00Z".parse().expect("a time"),
        numbers: Numbers::test([12, 47, 83], 1),
    };
    let pages = with_view(None, |view| {
        screens::asked(&question, &Anonymizer::none(), &screens::View { now: view.now, zone: view.zone })
    });
    format!("{}\n[ 12 ] [ 47 ] [ 83 ]\n[ ❌ Refuse ]", drawn(&pages[0], &Keyboard::new()))
}

#[test]
fn the_screens_in_the_documentation_are_up_to_date() {
    let screens = [
        ("mail", asked(&mail(), Some(OPEN), View::Card)),
        (
            "more",
            asked(&mail(), Some(OPEN), View::More)
                .lines()
                .rev()
                .take(5)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect::<Vec<_>>()
                .join("\n"),
        ),
        ("edit", asked(&edit(), Some(Hints { destructive: Some(true), ..OPEN }), View::Card)),
        ("payment", asked(&price(), None, View::Card)),
        ("several", asked(&refund(&[(11, "2026-11-20T13:00:20Z")]), None, View::Card)),
        ("several-outcome", refunded()),
        ("long", ends(&asked(&long(), None, View::Card))),
        ("outcome", drawn(&settled(), &Keyboard::new())),
        ("digest", burst()),
        ("ran", ran(None)),
        ("ran-list", ran(Some(0))),
        ("terminal", terminal()),
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
    let destroys = Some(Hints { destructive: Some(true), ..OPEN });
    let pictures = [
        ("mail", question(&mail(), Some(OPEN), View::Card)),
        ("edit", question(&edit(), destroys, View::Card)),
        ("payment", question(&price(), None, View::Card)),
        ("outcome", (settled(), Keyboard::new())),
    ];
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").join("docs/screens");
    let mut old = Vec::new();
    for (name, (message, keyboard)) in &pictures {
        let (path, fresh) = (directory.join(format!("{name}.svg")), picture::svg(message, keyboard));
        if std::env::var_os("PORTERO_UPDATE").is_some() {
            fs::write(&path, &fresh).expect("the documentation");
        } else if fs::read_to_string(&path).ok() != Some(fresh) {
            old.push(*name);
        }
    }
    assert_eq!(old, [""; 0], "out of date in docs/screens; run with PORTERO_UPDATE=1");
}
