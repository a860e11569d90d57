//! `portero policy test` and `portero policy replay`.

use serde_json::json;

use crate::agent::Agent;
use crate::test_support::TestHome;

fn home_with_cases() -> TestHome {
    let world = TestHome::with_office();
    world.write(
        "policies.json",
        &json!({"policies": {
            "office/send_mail": {
                "cases": [{"when": {"/to": {"equals": "jane@example.com"}}, "then": "allow"}],
                "otherwise": "require-approval",
            },
            "office/delete_*": "deny",
        }}),
    );
    world
}

#[test]
fn cases_that_hold_end_with_zero_and_others_are_shown_as_a_difference() {
    let world = home_with_cases();
    let file = world.path("cases.json");
    let test = |cases: &str| {
        std::fs::write(&file, cases).unwrap();
        world.run(&["policy", "test", file.to_str().unwrap()])
    };
    let said = test(
        r#"[{"tool": "office/send_mail", "arguments": {"to": "jane@example.com"}, "expect": "allow"},
            {"tool": "office/send_mail", "arguments": {"to": "x@y.test"}, "expect": "require-approval"},
            {"tool": "office/send_mail", "expect": "require-approval"},
            {"tool": "office/delete_mail", "arguments": {}, "expect": "deny"}]"#,
    );
    assert_eq!((said.code, said.stdout.trim()), (0, "4 of 4 cases are as expected"), "{}", said.stderr);

    let said = test(
        r#"[{"tool": "office/send_mail", "arguments": {"to": "x@y.test"}, "expect": "allow"},
            {"tool": "office/delete_mail", "expect": "deny"}]"#,
    );
    assert_eq!(said.code, 1, "{}", said.stderr);
    let shown =
        "case 1: office/send_mail\n  - allow\n  + require-approval: needs approval by `office/send_mail`";
    assert!(said.stdout.starts_with(shown), "{}", said.stdout);
    assert!(!said.stdout.contains("y.test"), "{}", said.stdout);

    for wrong in ["[]", "{}", r#"[{"tool":"office/a","expect":"maybe"}]"#, r#"[{"tool":"a","tol":1}]"#] {
        assert_eq!(test(wrong).code, 2, "{wrong}");
    }
}

#[test]
fn a_case_tells_by_which_reading_of_its_arguments_it_was_decided() {
    let world = TestHome::with_office();
    let cases = json!([
        {"when": {"/hosts_json": {"equals": "web2"}}, "then": "deny"},
        {"when": {"/command": {"command": ["rm **"]}}, "then": "deny"},
        {"when": {"/command": {"command": ["git status", "ls **"]}}, "then": "allow"},
    ]);
    let entry = json!({"cases": cases, "otherwise": "require-approval"});
    world.write("policies.json", &json!({"policies": {
        "office/send_mail": entry,
        "office/read_mail": {"cases": [{"when": {"/command": {"command": "rm **"}}, "then": "deny"}], "otherwise": "allow"},
    }}));
    let file = world.path("cases.json");
    let test = |arguments: &str, expected: &str| {
        let case =
            format!(r#"[{{"tool": "office/send_mail", "arguments": {arguments}, "expect": "{expected}"}}]"#);
        std::fs::write(&file, case).unwrap();
        world.run(&["policy", "test", file.to_str().unwrap()])
    };
    for (arguments, expected) in [
        (r#"{"command": "git status && ls -l"}"#, "allow"),
        (r#"{"command": "git status; rm x"}"#, "deny"),
        (r#"{"command": "git status; make"}"#, "require-approval"),
        (r#"{"command": "ls $(date)"}"#, "require-approval"),
        (r#"{"command": "ls", "hosts_json": "[\"we\\u00622\"]"}"#, "deny"),
        (r#"{"command": "ls", "hosts_json": ["web2"]}"#, "deny"),
        (r#"{"command": "ls", "hosts_json": "[\"db1\"]"}"#, "allow"),
    ] {
        let said = test(arguments, expected);
        assert_eq!(said.code, 0, "{arguments}: {}{}", said.stdout, said.stderr);
    }
    let said = test(r#"{"hosts_json": "[\"web2\"]"}"#, "allow");
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(
        said.stdout.contains(
            "    `/hosts_json equals` cannot be told: it does not hold for the text as it is, it holds for the JSON in its text"
        ),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("web2"), "{}", said.stdout);
    std::fs::write(
        &file,
        r#"[{"tool": "office/read_mail", "arguments": {"command": "ls $(date)"}, "expect": "deny"}]"#,
    )
    .unwrap();
    let said = world.run(&["policy", "test", file.to_str().unwrap()]);
    let asked = "  + require-approval: needs approval by `office/read_mail`, case 1 (policies.json:";
    assert!(said.stdout.contains(asked), "{}{}", said.stdout, said.stderr);
    let reading = "`/command command` cannot be read: it cannot be read for the commands that a shell runs";
    assert!(said.stdout.contains(reading), "{}", said.stdout);
}

#[test]
fn a_replay_tells_what_the_changed_files_would_have_decided() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    agent.call_tool("office__read_mail", &json!({"id": 1}));
    agent.call_tool("office__list_mail", &json!({}));
    agent.call_tool("office__delete_mail", &json!({"id": 1}));
    drop(agent);

    let replay = world.json(&["policy", "replay"]);
    assert_eq!((&replay["calls"], &replay["same"]), (&json!(3), &json!(3)), "{replay}");

    world.write(
        "policies.json",
        &json!({"policies": {
            "office/list_*": "allow",
            "office/read_mail": {
                "cases": [{"when": {"/id": {"equals": 1}}, "then": "allow"}],
                "otherwise": "deny",
            },
            "office/delete_*": "require-approval",
        }}),
    );
    let said = world.run(&["policy", "replay", "--since", "1h"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    for expected in [
        "allow to deny, by the arguments",
        "3 calls since",
        "1 as before, 1 changed, 1 depend on their arguments",
    ] {
        assert!(said.stdout.contains(expected), "{expected} in {}", said.stdout);
    }
    assert!(said.stderr.contains("the audit holds no arguments"), "{}", said.stderr);
    assert!(!said.stdout.contains("office/list_mail"), "{}", said.stdout);
}
