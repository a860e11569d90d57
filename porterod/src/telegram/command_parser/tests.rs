//! Every command, right and wrong.

use super::super::text::ToMessages as _;
use super::super::text::tests::text_outside_entities;
use super::*;

fn parse_typed(text: &str) -> Result<ChatCommand, CommandError> {
    parse_command(text, "portero_bot")
}

fn spec_of(name: &str) -> &'static CommandSpec {
    COMMANDS.iter().find(|known| known.name == name).expect("a command")
}

fn parse_value<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("well written")
}

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn every_command_is_read() {
    let filter = LogQuery {
        within: Some(HOUR),
        server: Some(parse_value("office")),
        tool: Some(parse_value("github/*")),
        decided: Some(DecisionKind::Refused),
    };
    let grant = |bounds| ChatCommand::Elevate(ElevatingCommand::Grant(parse_value("github/*"), HOUR, bounds));
    let table = [
        ("/start", ChatCommand::View(ViewCommand::Help)),
        ("/start ABCDEFGH", ChatCommand::View(ViewCommand::Help)),
        ("/help", ChatCommand::View(ViewCommand::Help)),
        ("/status", ChatCommand::View(ViewCommand::Status)),
        ("/pending", ChatCommand::View(ViewCommand::Pending)),
        ("/rules", ChatCommand::View(ViewCommand::Rules)),
        ("/whoami", ChatCommand::View(ViewCommand::Whoami)),
        ("/pins", ChatCommand::View(ViewCommand::Pins)),
        ("/pins office", ChatCommand::Elevate(ElevatingCommand::AcceptDefinitions(parse_value("office")))),
        ("/tasks", ChatCommand::View(ViewCommand::Tasks(None))),
        ("/tasks Completed", ChatCommand::View(ViewCommand::Tasks(Some(TaskState::Completed)))),
        ("/logs", ChatCommand::View(ViewCommand::Logs(LogQuery::default()))),
        ("/logs REFUSED github/* 1H office", ChatCommand::View(ViewCommand::Logs(filter))),
        ("/why github/create_issue", ChatCommand::View(ViewCommand::Why(parse_value("github/create_issue")))),
        (
            "/grant github/* 1h",
            ChatCommand::Elevate(ElevatingCommand::Grant(
                parse_value("github/*"),
                HOUR,
                TypedLimits::default(),
            )),
        ),
        (
            "/grant github/* 1H",
            ChatCommand::Elevate(ElevatingCommand::Grant(
                parse_value("github/*"),
                HOUR,
                TypedLimits::default(),
            )),
        ),
        (
            "/grant github/* 1h Uses 10",
            grant(TypedLimits { uses: NonZeroU32::new(10), ..TypedLimits::default() }),
        ),
        (
            "/grant github/* 1h session 456789ab uses 3 project /home/ada/my shop",
            grant(TypedLimits {
                uses: NonZeroU32::new(3),
                session: Some("456789ab".to_owned()),
                project: Some("/home/ada/my shop".to_owned()),
            }),
        ),
        ("/allow github/*", ChatCommand::Elevate(ElevatingCommand::Allow(parse_value("github/*")))),
        ("/resume", ChatCommand::Elevate(ElevatingCommand::Resume)),
        ("/revoke", ChatCommand::Restrict(RestrictingCommand::Revoke(None))),
        ("/revoke 7", ChatCommand::Restrict(RestrictingCommand::Revoke(Some(7)))),
        ("/ask github/*", ChatCommand::Restrict(RestrictingCommand::Ask(parse_value("github/*")))),
        (
            "/require_approval github/*",
            ChatCommand::Restrict(RestrictingCommand::Ask(parse_value("github/*"))),
        ),
        ("/deny */delete_*", ChatCommand::Restrict(RestrictingCommand::Deny(parse_value("*/delete_*")))),
        ("/pause", ChatCommand::Restrict(RestrictingCommand::Pause)),
        ("/unrule 3", ChatCommand::Unrule(3)),
    ];
    for (text, command) in table {
        assert_eq!(parse_typed(text), Ok(command), "{text}");
    }
}

#[test]
fn blanks_case_and_the_bots_own_name_change_nothing() {
    let grant = parse_typed("/grant github/* 1h");
    for text in [
        "  /grant   github/*\t1h  ",
        "/GRANT github/* 1h",
        "/Grant@portero_bot github/* 1h",
        "/grant@Portero_Bot\ngithub/*\n1h",
    ] {
        assert_eq!(parse_typed(text), grant, "{text}");
    }
}

#[test]
fn what_is_wrong_is_told() {
    let unknown =
        |word: &str, near: Option<&str>| CommandError::UnknownCommand(word.to_owned(), near.map(spec_of));
    let much = |name: &str, rest: &str| CommandError::ExtraArgument(spec_of(name), rest.to_owned());
    let table = [
        ("hello", CommandError::NotACommand),
        ("", CommandError::NotACommand),
        ("grant github/* 1h", CommandError::NotACommand),
        ("/status@other_bot", CommandError::ForOtherBot),
        ("/statsu", unknown("statsu", Some("status"))),
        ("/Grand x", unknown("Grand", Some("grant"))),
        ("/frobnicate", unknown("frobnicate", None)),
        ("/", unknown("", None)),
        ("/status now", much("status", "now")),
        ("/pause for good", much("pause", "for good")),
        ("/resume 1h", much("resume", "1h")),
        ("/grant", CommandError::MissingArgument(spec_of("grant"), "what to permit")),
        ("/grant github/*", CommandError::MissingArgument(spec_of("grant"), "for how long")),
        ("/grant github/* 1h 2h", much("grant", "2h")),
        ("/allow", CommandError::MissingArgument(spec_of("allow"), "the tool or pattern")),
        ("/allow a/b c/d", much("allow", "c/d")),
        ("/ask", CommandError::MissingArgument(spec_of("ask"), "the tool or pattern")),
        ("/deny", CommandError::MissingArgument(spec_of("deny"), "the tool or pattern")),
        ("/unrule", CommandError::MissingArgument(spec_of("unrule"), "the number")),
        ("/revoke 1 2", much("revoke", "2")),
        ("/why", CommandError::MissingArgument(spec_of("why"), "the tool")),
        ("/why a/b c", much("why", "c")),
        ("/logs 1h 2h", much("logs", "2h")),
        ("/tasks completed failed", much("tasks", "failed")),
    ];
    for (text, mistake) in table {
        assert_eq!(parse_typed(text), Err(mistake), "{text}");
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
        let Err(CommandError::InvalidArgument(known, typed, why)) = parse_typed(text) else {
            panic!("{text}: {:?}", parse_typed(text))
        };
        assert_eq!((known.name, typed.as_str()), (name, word), "{text}");
        assert!(!why.is_empty());
    }
    let Err(CommandError::InvalidArgument(_, typed, _)) = parse_typed(&format!("/why {}", "x".repeat(4000)))
    else {
        panic!()
    };
    assert_eq!(typed.len(), MAX_ECHO_CHARS, "what is told back is short");
}

#[test]
fn every_example_is_right_and_every_command_can_stand_in_the_menu() {
    for known in &COMMANDS {
        assert!(parse_typed(known.example).is_ok(), "{}", known.example);
        assert!(
            parse_typed(known.example).is_ok_and(|_| known.example.starts_with(&format!("/{}", known.name)))
        );
        assert!(super::super::client::MenuCommand::new(known.name, known.summary).is_ok(), "{}", known.name);
    }
}

#[test]
fn a_limit_that_is_not_understood_is_told() {
    for (text, mistake) in [
        ("/grant a/* 1h uses", "MissingArgument"),
        ("/grant a/* 1h session", "MissingArgument"),
        ("/grant a/* 1h project", "MissingArgument"),
        ("/grant a/* 1h uses 0", "InvalidArgument"),
        ("/grant a/* 1h uses +3", "InvalidArgument"),
        ("/grant a/* 1h uses 3 uses 4", "ExtraArgument"),
        ("/grant a/* 1h often", "ExtraArgument"),
    ] {
        let wrong = format!("{:?}", parse_typed(text).expect_err(text));
        assert!(wrong.starts_with(mistake), "{text}: {wrong}");
    }
}

#[test]
fn what_is_wrong_comes_with_an_example() {
    let told = |text: &str| error_text(&parse_command(text, "bot").unwrap_err()).plain_text();
    assert_eq!(told("/Statsu"), "There is no command /Statsu. Did you mean /status?");
    assert_eq!(told("/xyzzy"), "There is no command /xyzzy. All of them: /help");
    assert_eq!(told("hello"), "I understand commands only: /help");
    assert_eq!(told("/grant a/*"), "Something is missing: for how long.\nFor example: /grant github/* 30m");
    assert_eq!(
        told("/deny github"),
        "github is not valid: a pattern needs a `/` between server and tool; did you mean `github/*` or `*/github`?\n\
         For example: /deny shell/*"
    );
}

#[test]
fn what_was_typed_stands_in_code_only() {
    for text in ["/@all", "/grant @all/x 1h", "/status #x http://evil.example", "/why @all"] {
        for page in error_text(&parse_command(text, "bot").unwrap_err()).to_pages() {
            let outside = text_outside_entities(&page);
            assert!(!outside.contains(['@', '#']) && !outside.contains("evil"), "{outside}");
        }
    }
}
