//! Every command, right and wrong.

use super::*;

fn said(text: &str) -> Result<Command, Mistake> {
    read(text, "portero_bot")
}

fn of(name: &str) -> &'static Known {
    COMMANDS.iter().find(|known| known.name == name).expect("a command")
}

fn a<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("well written")
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn every_command_is_read() {
    let filter = Wanted {
        within: Some(HOUR),
        server: Some(a("office")),
        tool: Some(a("github/*")),
        decided: Some(Decided::Refused),
    };
    let grant = |bounds| Command::Widen(Widen::Grant(a("github/*"), HOUR, bounds));
    let table = [
        ("/start", Command::Look(Look::Help)),
        ("/start ABCDEFGH", Command::Look(Look::Help)),
        ("/help", Command::Look(Look::Help)),
        ("/status", Command::Look(Look::Status)),
        ("/pending", Command::Look(Look::Pending)),
        ("/rules", Command::Look(Look::Rules)),
        ("/whoami", Command::Look(Look::Whoami)),
        ("/tasks", Command::Look(Look::Tasks(None))),
        ("/tasks Completed", Command::Look(Look::Tasks(Some(State::Completed)))),
        ("/logs", Command::Look(Look::Logs(Wanted::default()))),
        ("/logs REFUSED github/* 1H office", Command::Look(Look::Logs(filter))),
        ("/why github/create_issue", Command::Look(Look::Why(a("github/create_issue")))),
        ("/grant github/* 1h", Command::Widen(Widen::Grant(a("github/*"), HOUR, Bounds::default()))),
        ("/grant github/* 1H", Command::Widen(Widen::Grant(a("github/*"), HOUR, Bounds::default()))),
        ("/grant github/* 1h Uses 10", grant(Bounds { uses: NonZeroU32::new(10), ..Bounds::default() })),
        (
            "/grant github/* 1h session 456789ab uses 3 project /home/ada/my shop",
            grant(Bounds {
                uses: NonZeroU32::new(3),
                session: Some("456789ab".to_owned()),
                project: Some("/home/ada/my shop".to_owned()),
            }),
        ),
        ("/allow github/*", Command::Widen(Widen::Allow(a("github/*")))),
        ("/resume", Command::Widen(Widen::Resume)),
        ("/revoke", Command::Narrow(Narrow::Revoke(None))),
        ("/revoke 7", Command::Narrow(Narrow::Revoke(Some(7)))),
        ("/ask github/*", Command::Narrow(Narrow::Ask(a("github/*")))),
        ("/require_approval github/*", Command::Narrow(Narrow::Ask(a("github/*")))),
        ("/deny */delete_*", Command::Narrow(Narrow::Deny(a("*/delete_*")))),
        ("/pause", Command::Narrow(Narrow::Pause)),
        ("/unrule 3", Command::Unrule(3)),
    ];
    for (text, command) in table {
        assert_eq!(said(text), Ok(command), "{text}");
    }
}

#[test]
fn blanks_case_and_the_bots_own_name_change_nothing() {
    let grant = said("/grant github/* 1h");
    for text in [
        "  /grant   github/*\t1h  ",
        "/GRANT github/* 1h",
        "/Grant@portero_bot github/* 1h",
        "/grant@Portero_Bot\ngithub/*\n1h",
    ] {
        assert_eq!(said(text), grant, "{text}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let unknown = |word: &str, near: Option<&str>| Mistake::Unknown(word.to_owned(), near.map(of));
    let much = |name: &str, rest: &str| Mistake::TooMuch(of(name), rest.to_owned());
    let table = [
        ("hello", Mistake::NoCommand),
        ("", Mistake::NoCommand),
        ("grant github/* 1h", Mistake::NoCommand),
        ("/status@other_bot", Mistake::Elsewhere),
        ("/statsu", unknown("statsu", Some("status"))),
        ("/Grand x", unknown("Grand", Some("grant"))),
        ("/frobnicate", unknown("frobnicate", None)),
        ("/", unknown("", None)),
        ("/status now", much("status", "now")),
        ("/pause for good", much("pause", "for good")),
        ("/resume 1h", much("resume", "1h")),
        ("/grant", Mistake::Missing(of("grant"), "what to permit")),
        ("/grant github/*", Mistake::Missing(of("grant"), "for how long")),
        ("/grant github/* 1h 2h", much("grant", "2h")),
        ("/allow", Mistake::Missing(of("allow"), "the tool or pattern")),
        ("/allow a/b c/d", much("allow", "c/d")),
        ("/ask", Mistake::Missing(of("ask"), "the tool or pattern")),
        ("/deny", Mistake::Missing(of("deny"), "the tool or pattern")),
        ("/unrule", Mistake::Missing(of("unrule"), "the number")),
        ("/revoke 1 2", much("revoke", "2")),
        ("/why", Mistake::Missing(of("why"), "the tool")),
        ("/why a/b c", much("why", "c")),
        ("/logs 1h 2h", much("logs", "2h")),
        ("/tasks completed failed", much("tasks", "failed")),
    ];
    for (text, mistake) in table {
        assert_eq!(said(text), Err(mistake), "{text}");
    }
}

#[test]
fn an_argument_that_is_not_what_it_should_be_is_told_with_the_reason() {
    let table = [
        ("/grant github 1h", "grant", "github"),
        ("/grant github/* soon", "grant", "soon"),
        ("/grant github/* 30", "grant", "30"),
        ("/grant github/* 0m", "grant", "0m"),
        ("/grant 1h github/*", "grant", "1h"),
        ("/allow github", "allow", "github"),
        ("/deny a/b/c", "deny", "a/b/c"),
        ("/unrule three", "unrule", "three"),
        ("/unrule -3", "unrule", "-3"),
        ("/unrule +3", "unrule", "+3"),
        ("/revoke 99999999999999999999", "revoke", "99999999999999999999"),
        ("/why github/*", "why", "github/*"),
        ("/why github", "why", "github"),
        ("/tasks done", "tasks", "done"),
        ("/logs 1hour", "logs", "1hour"),
        ("/logs a/b/c", "logs", "a/b/c"),
    ];
    for (text, name, word) in table {
        let Err(Mistake::Wrong(known, typed, why)) = said(text) else { panic!("{text}: {:?}", said(text)) };
        assert_eq!((known.name, typed.as_str()), (name, word), "{text}");
        assert!(!why.is_empty());
    }
    let Err(Mistake::Wrong(_, typed, _)) = said(&format!("/why {}", "x".repeat(4000))) else { panic!() };
    assert_eq!(typed.len(), TOLD_MOST, "what is told back is short");
}

#[test]
fn every_example_is_right_and_every_command_can_stand_in_the_menu() {
    for known in &COMMANDS {
        assert!(said(known.example).is_ok(), "{}", known.example);
        assert!(said(known.example).is_ok_and(|_| known.example.starts_with(&format!("/{}", known.name))));
        assert!(super::super::super::bot::Command::new(known.name, known.what).is_ok(), "{}", known.name);
    }
}

#[test]
fn a_limit_that_is_not_understood_is_told() {
    for (text, mistake) in [
        ("/grant a/* 1h uses", "Missing"),
        ("/grant a/* 1h session", "Missing"),
        ("/grant a/* 1h project", "Missing"),
        ("/grant a/* 1h uses 0", "Wrong"),
        ("/grant a/* 1h uses +3", "Wrong"),
        ("/grant a/* 1h uses 3 uses 4", "TooMuch"),
        ("/grant a/* 1h often", "TooMuch"),
    ] {
        let wrong = format!("{:?}", said(text).expect_err(text));
        assert!(wrong.starts_with(mistake), "{text}: {wrong}");
    }
}
