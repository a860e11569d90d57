use super::*;
use crate::json::parse_raw;
use crate::policy::{Action, ConfigPolicy, Overrides};

fn call(tool: &str, arguments: &str) -> Call {
    let (_, name) = tool.split_once('/').unwrap();
    serde_json::from_str(&format!(
        r#"{{"tool":"{tool}","method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
    ))
    .unwrap()
}

fn policy(reads: &[&str], locked: &[&str]) -> Policy {
    let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let config = ConfigPolicy { reads: patterns(reads), locked: patterns(locked), ..ConfigPolicy::default() };
    let mut overrides = Overrides { boot_id: "boot".to_owned(), ..Overrides::default() };
    overrides.denials.key = [7; 32];
    Policy::new(config, overrides)
}

fn session(agent: Option<&str>) -> AskingSession {
    AskingSession { session: SessionId::fresh(), agent_session: agent.map(|id| id.parse().unwrap()) }
}

fn terms<'a>(
    call: &'a Call,
    principal: &'a Principal,
    session: Option<&'a AskingSession>,
    policy: &'a Policy,
) -> ScopeTerms<'a> {
    ScopeTerms { call, principal, session, policy, max_grant: Duration::from_secs(24 * 3600) }
}

fn project() -> Principal {
    Principal::from_project("/home/me/site".as_ref())
}

fn pointers(names: &[&str]) -> Vec<ArgumentPointer> {
    names.iter().map(|name| ArgumentPointer::parse_typed(name).unwrap()).collect()
}

const HOUR: ScopeDuration = ScopeDuration::Millis(3_600_000);

#[test]
fn a_person_reads_what_each_scope_allows_and_for_how_long() {
    let issue = call("github/create_issue", r#"{"title":"x","repo":"site","owner":"acme"}"#);
    let (project, session, policy) = (project(), session(Some("claude-1")), policy(&["github/*"], &[]));
    let terms = terms(&issue, &project, Some(&session), &policy);
    for (scope, sentence) in [
        (
            ApprovalScope::ExactCall,
            "This exact call of github/create_issue, in this session, for at most 24h",
        ),
        (
            ApprovalScope::FixedArguments { pointers: pointers(&["repo", "owner"]), lasts: HOUR },
            r#"Every call of github/create_issue with owner = "acme", repo = "site", for 1h"#,
        ),
        (
            ApprovalScope::Tool { lasts: ScopeDuration::Millis(600_000) },
            "Every call of github/create_issue, for 10m",
        ),
        (
            ApprovalScope::Tool { lasts: ScopeDuration::Session },
            "Every call of github/create_issue, in this session, for at most 24h",
        ),
        (
            ApprovalScope::ServerReads { lasts: HOUR },
            "Every call of the tools of github that policies.json lists as reading, for 1h",
        ),
        (ApprovalScope::Always, "Every call of github/create_issue, from now on, until you remove the rule"),
    ] {
        let change = terms.resolve(&scope).unwrap().expect("more than this call");
        assert_eq!(change.describe(), sentence);
    }
    assert_eq!(terms.resolve(&ApprovalScope::Once), Ok(None));
}

#[test]
fn the_narrowest_scope_comes_first_and_the_useful_fields_are_fixed() {
    let issue = call("github/create_issue", r#"{"title":"x","repo":"site","owner":"acme"}"#);
    let (project, session, policy) = (project(), session(None), policy(&["github/get_*"], &[]));
    let scopes = terms(&issue, &project, Some(&session), &policy).fitting_scopes();
    assert_eq!(scopes.len(), 9, "{scopes:?}");
    assert_eq!(scopes[..2], [ApprovalScope::Once, ApprovalScope::ExactCall]);
    let ApprovalScope::FixedArguments { pointers, .. } = &scopes[2] else { panic!("{scopes:?}") };
    assert_eq!(pointers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["repo", "owner"]);
    assert_eq!(scopes.last(), Some(&ApprovalScope::Always));
}

#[test]
fn a_scope_that_does_not_fit_is_refused_and_not_offered() {
    let issue = call("github/create_issue", r#"{"title":"x","labels":["a"],"more":{"n":1}}"#);
    let (project, session) = (project(), session(None));
    let (open, locked) = (policy(&["github/get_*"], &[]), policy(&["*"], &["github/*"]));
    let fixed = |names: &[&str]| ApprovalScope::FixedArguments { pointers: pointers(names), lasts: HOUR };
    let here = terms(&issue, &project, Some(&session), &open);
    assert!(here.resolve(&fixed(&["title"])).is_ok() && here.resolve(&fixed(&["/more/n"])).is_ok());
    for names in [&["labels"][..], &["more"], &["/labels/0"], &["gone"], &[], &["title", "title"]] {
        assert!(here.resolve(&fixed(names)).is_err(), "{names:?}");
    }
    assert!(matches!(
        here.resolve(&ApprovalScope::ServerReads { lasts: HOUR }),
        Err(ScopeError::NotListed(_))
    ));
    for millis in [0, 24 * 3_600_000 + 1] {
        let lasts = ScopeDuration::Millis(millis);
        assert!(matches!(here.resolve(&ApprovalScope::Tool { lasts }), Err(ScopeError::Duration(_))));
    }
    let gone = terms(&issue, &project, None, &open);
    assert_eq!(gone.resolve(&ApprovalScope::ExactCall), Err(ScopeError::SessionEnded));
    assert_eq!(gone.fitting_scopes().len(), 4, "once, the tool for two times, always");
    let locked = terms(&issue, &project, Some(&session), &locked);
    assert_eq!(locked.fitting_scopes(), [ApprovalScope::Once]);
}

#[test]
fn the_grant_of_a_scope_covers_the_call_that_asked_and_no_other_value() {
    let (project, asking) = (project(), session(Some("claude-1")));
    let policy = policy(&["mail/*"], &[]);
    let send = |to: &str, text: &str| call("mail/send", &format!(r#"{{"to":"{to}","text":"{text}"}}"#));
    let (asked, same_to, other) = (send("ann", "hi"), send("ann", "bye"), send("bob", "hi"));
    let now = crate::clock::TestClock::at("2026-11-20T12:00:00Z".parse().unwrap());
    let now = crate::clock::Clock::now(&now);
    let caller = crate::policy::CallerIdentity {
        principal: &project,
        session: asking.session,
        agent_session: asking.agent_session.as_ref(),
    };
    for (scope, allowed) in [
        (ApprovalScope::ExactCall, [true, false, false]),
        (ApprovalScope::FixedArguments { pointers: pointers(&["to"]), lasts: HOUR }, [true, true, false]),
        (ApprovalScope::Tool { lasts: HOUR }, [true, true, true]),
        (ApprovalScope::ServerReads { lasts: HOUR }, [true, true, true]),
    ] {
        let change = terms(&asked, &project, Some(&asking), &policy).resolve(&scope).unwrap();
        let Some(ScopeChange::Grant { pattern, duration, limits }) = change else { panic!("{change:?}") };
        let mut overrides = policy.overrides().clone();
        let millis = u64::try_from(duration.as_millis()).unwrap();
        let boot_id = "boot".to_owned();
        overrides.grants =
            vec![crate::policy::Grant { id: 1, pattern, made: now, boot_id, millis, limits, used: 0 }];
        let granted = policy.with_overrides(overrides);
        let runs = [&asked, &same_to, &other]
            .map(|call| granted.decide_call(call.identity(), caller, now, None).action == Action::Allow);
        assert_eq!(runs, allowed, "{scope:?}");
    }
}

#[test]
fn the_fields_of_a_call_are_offered_by_what_they_are() {
    let names = |arguments: &str| {
        let fields = choosable_fields(&parse_raw(arguments.to_owned()).unwrap());
        let suggested = suggested_pointers(&fields);
        let text = |pointers: Vec<ArgumentPointer>| {
            pointers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        (text(fields.into_iter().map(|field| field.pointer).collect()), text(suggested))
    };
    for (arguments, all, suggested) in [
        (r#"{"title":"x","repo":"r","owner":"o"}"#, "repo owner title", "repo owner"),
        (r#"{"text":"hi","channel_id":"C1"}"#, "channel_id text", "channel_id"),
        (r#"{"parent":{"page_id":"p"},"n":1}"#, "/parent/page_id n", "/parent/page_id"),
        (r#"{"sql":"select 1","projectId":"p"}"#, "projectId sql", "projectId"),
        (r#"{"text":"a\nb","list":[1],"deep":{"a":{"b":1}}}"#, "", ""),
        (r#"{"a":"x"}"#, "a", ""),
        (r#"{"to":"a","To":"b","n":1}"#, "n", ""),
        (r#"{"to":"a","to":"b"}"#, "", ""),
        ("[1]", "", ""),
    ] {
        assert_eq!(names(arguments), (all.to_owned(), suggested.to_owned()), "{arguments}");
    }
}

#[test]
fn a_relative_path_is_fixed_for_its_project_only() {
    let (project, session, policy) = (project(), session(None), policy(&[], &[]));
    for (path, is_bound) in [("src/main.rs", true), ("/srv/app", false), ("C:\\\\x", false), ("~/x", false)] {
        let write = call("files/write", &format!(r#"{{"path":"{path}"}}"#));
        let scope = ApprovalScope::FixedArguments { pointers: pointers(&["path"]), lasts: HOUR };
        let change = terms(&write, &project, Some(&session), &policy).resolve(&scope).unwrap();
        let Some(ScopeChange::Grant { limits, .. }) = change else { panic!("{change:?}") };
        assert_eq!(limits.project.is_some(), is_bound, "{path}");
    }
}

#[test]
fn a_scope_of_an_earlier_build_still_reads() {
    for (stored, scope) in [
        (r#""once""#, ApprovalScope::Once),
        (r#""exact-call""#, ApprovalScope::ExactCall),
        (
            r#"{"fixed-arguments":{"pointers":["/repo"],"lasts":"session"}}"#,
            ApprovalScope::FixedArguments { pointers: pointers(&["repo"]), lasts: ScopeDuration::Session },
        ),
        (r#"{"tool":{"lasts":{"millis":3600000}}}"#, ApprovalScope::Tool { lasts: HOUR }),
        (
            r#"{"server-reads":{"lasts":"session"}}"#,
            ApprovalScope::ServerReads { lasts: ScopeDuration::Session },
        ),
        (r#""always""#, ApprovalScope::Always),
    ] {
        assert_eq!(serde_json::from_str::<ApprovalScope>(stored).expect(stored), scope);
        assert_eq!(serde_json::to_string(&scope).expect("JSON"), stored);
    }
}
