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
