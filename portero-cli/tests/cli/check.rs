//! `portero check`.

use serde_json::{Value, json};

use crate::test_support::TestHome;

#[test]
fn a_good_configuration_is_valid() {
    let said = TestHome::with_office().run(&["check"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("is valid"), "{}", said.stdout);
}

#[test]
fn every_error_is_told_at_once_with_its_place_and_the_nearest_word() {
    let world = TestHome::with_office();
    std::fs::write(
        world.path("config").join("policies.json"),
        "{\n  \"policies\": {\n    \"office/*\": \"alow\"\n  },\n  \"defaltPolicy\": \"deny\"\n}\n",
    )
    .unwrap();
    let said = world.run(&["check"]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    for expected in ["policies.json:3", "allow", "policies.json:5", "defaultPolicy"] {
        assert!(said.stdout.contains(expected), "{expected} is missing in:\n{}", said.stdout);
    }
}

#[test]
fn an_unset_real_value_is_an_error_and_no_value_is_printed() {
    let world = TestHome::with_office();
    world.write(
        "replacements.json",
        &json!({"replacements": [
            {"fake": "John Doe", "real": "${REAL_NAME}", "bidirectional": true},
            {"fake": "Jane Doe", "real": "Marta Lindqvist", "bidirectional": true},
        ]}),
    );
    let said = world.run(&["check"]);
    assert_eq!(said.code, 2);
    assert!(said.stdout.contains("REAL_NAME"), "{}", said.stdout);
    assert!(!said.stdout.contains("Marta"), "a value is shown:\n{}", said.stdout);
}

#[cfg(unix)]
#[test]
fn files_that_are_not_read_and_permissions_that_are_too_wide_are_warned_of() {
    use std::os::unix::fs::PermissionsExt as _;

    let home = TestHome::with_office();
    let config = home.path("config");
    std::fs::write(config.join("policy.json"), r#"{"policies": {"*/*": "deny"}}"#).unwrap();
    std::fs::write(config.join(".env"), "KEY=value\n").unwrap();
    std::fs::set_permissions(config.join(".env"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let said = home.run(&["check"]);
    assert_eq!(said.code, 0, "{}", said.stdout);
    for expected in [
        "warning: policy.json: this file is not read\n  hint: move what it says into policies.json, and remove it",
        "warning: .env: other users can read it\n  hint: run `chmod 600 '",
    ] {
        assert!(said.stdout.contains(expected), "{expected} is missing in:\n{}", said.stdout);
    }
}

#[test]
fn json_has_one_entry_for_each_problem() {
    let world = TestHome::with_office();
    std::fs::write(world.path("config").join("policies.json"), "{\"policies\": {\"office/*\": \"alow\"}}")
        .unwrap();
    let said = world.run(&["check", "--json"]);
    assert_eq!(said.code, 2);
    let value: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(value["valid"], false);
    let problem = &value["problems"][0];
    assert_eq!(problem["severity"], "error");
    assert_eq!(problem["file"], "policies.json");
    assert_eq!(problem["line"], 1);
}

#[test]
fn why_works_without_a_daemon_and_says_so() {
    let world = TestHome::with_office();
    let said = world.run(&["why", "office/delete_mail"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.starts_with("office/delete_mail: deny"), "{}", said.stdout);
    assert!(said.stdout.contains("office/delete_*"), "{}", said.stdout);
    assert!(said.stderr.contains("daemon does not run"), "{}", said.stderr);
}

#[test]
fn a_mistyped_tool_or_pattern_gets_the_nearest_one() {
    let world = TestHome::with_office();
    let said = world.run(&["why", "offce/read_mail"]);
    assert_eq!(said.code, 0);
    assert!(said.stderr.contains("did you mean `office/read_mail`?"), "{}", said.stderr);
    let said = world.run(&["deny", "offce/*"]);
    assert_eq!(said.code, 0);
    assert!(said.stderr.contains("did you mean `office/*`?"), "{}", said.stderr);
    // Once the server was asked, its tools are known too.
    let mut agent = crate::agent::Agent::connect(&world, &["--no-start"]);
    agent.request("tools/list", &json!({}));
    let said = world.run(&["why", "office/raed_mail"]);
    assert!(said.stderr.contains("did you mean `office/read_mail`?"), "{}", said.stderr);
    // A deny is made all the same.
    let said = world.run(&["deny", "office/raed_mail"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("`office/raed_mail` is denied"), "{}", said.stdout);
    assert!(said.stderr.contains("did you mean `office/read_mail`?"), "{}", said.stderr);
    world.write("policies.json", &json!({"policies": {"office/raed_mail": "deny", "office/*": "allow"}}));
    for command in ["check", "doctor"] {
        let said = world.run(&[command]);
        let hint = "policies.json:1:14: `office` lists no tool `raed_mail`; did you mean `office/read_mail`?";
        assert!(said.stderr.contains(hint), "{command}: {}", said.stderr);
    }
    for (typed, hint) in [
        ("office__read_mail", "did you mean `office/read_mail`?"),
        ("mcp__portero__office__read_mail", "did you mean `office/read_mail`?"),
        ("office/*", "takes one tool"),
        ("office", "such as `github/create_issue`"),
    ] {
        let said = world.run(&["why", typed]);
        assert_eq!(said.code, 2, "{typed}");
        assert!(said.stderr.contains(hint), "{typed}: {}", said.stderr);
    }
}

#[test]
fn why_says_that_porteros_own_tools_run_unless_a_deny_names_them() {
    let world = TestHome::with_office();
    world.write("policies.json", &json!({"defaultPolicy": "deny", "policies": {"portero/call": "deny"}}));
    for daemon in [false, true] {
        if daemon {
            assert_eq!(world.run(&["daemon", "start"]).code, 0);
        }
        let said = world.run(&["why", "portero/check_task"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let own = "portero/check_task: allow\n  because allowed: it is Portero's own tool, which only a deny that names it \
                   stops\n";
        assert_eq!(said.stdout, own, "{daemon}");
        let said = world.run(&["why", "portero/call"]);
        let denied = "portero/call: deny\n  because denied by `portero/call` (policies.json:";
        assert!(said.stdout.starts_with(denied), "{daemon}: {}", said.stdout);
    }
    let said = world.run(&["why", "portero/chek_task"]);
    assert!(said.stderr.contains("did you mean `portero/check_task`?"), "{}", said.stderr);
}

#[test]
fn why_looks_at_arguments_with_and_without_the_daemon() {
    let world = TestHome::with_office();
    let notes = json!({"cases": [
        {"when": {"/to": {"glob": "*@example.com"}}, "then": "allow"},
        {"when": {"/to": {"glob": "*@evil.test"}}, "then": "deny"},
    ], "otherwise": "require-approval"});
    world.write("policies.json", &json!({"policies": {"office/send_mail": notes}}));
    let file = world.path("arguments.json");
    let ask = |arguments: &str| {
        std::fs::write(&file, arguments).unwrap();
        world.run(&["why", "office/send_mail", "--args", file.to_str().unwrap()])
    };
    for live in [false, true] {
        if live {
            assert_eq!(world.run(&["daemon", "start"]).code, 0);
        }
        // The real address is looked at as the fake one that the agent writes.
        for to in ["jane@example.com", "marta.lindqvist@northwind.test"] {
            let said = ask(&json!({ "to": to }).to_string());
            assert!(
                said.stdout.starts_with("office/send_mail: allow"),
                "{live}: {}{}",
                said.stdout,
                said.stderr
            );
            assert!(said.stdout.contains("case 1 (policies.json:1:"), "{}", said.stdout);
            assert!(
                !said.stdout.contains("example.com") && !said.stdout.contains("northwind"),
                "{}",
                said.stdout
            );
        }
        assert!(ask(r#"{"to":"x@evil.test"}"#).stdout.starts_with("office/send_mail: deny"));
        assert!(ask(r#"{"to":["x@evil.test"]}"#).stdout.starts_with("office/send_mail: deny"));
        let said = ask(r#"{"to":"[\"x@evil.test\"]"}"#);
        assert!(said.stdout.starts_with("office/send_mail: deny"), "{}", said.stdout);
        assert!(
            said.stdout.contains(
                "`/to glob` cannot be told: it does not hold for the text as it is, it holds for the JSON in its text"
            ),
            "{}",
            said.stdout
        );
        assert_eq!(ask(r#"{"to":1,"to":2}"#).code, 2);
        let said = world.run(&["why", "office/send_mail"]);
        assert!(said.stdout.starts_with("office/send_mail: deny"), "{}", said.stdout);
        assert!(said.stderr.contains("depends on the arguments"), "{}", said.stderr);
    }
}

#[test]
fn the_configuration_in_the_readme_is_valid() {
    let readme = include_str!("../../../README.md");
    let mut world = TestHome::empty();
    for name in ["mcps.json", "policies.json", "replacements.json"] {
        let after = readme.split_once(&format!("\n`{name}`, ")).unwrap().1;
        let block = after.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
        world.write(name, &serde_json::from_str(block).unwrap());
    }
    world.variables = vec![
        ("GITHUB_TOKEN", "ghp_0123456789"),
        ("REAL_NAME", "Ada Lovelace"),
        ("REAL_EMAIL", "ada@analytical.test"),
    ];
    let said = world.run(&["check"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(
        said.stdout.contains("2 servers, 0 skipped, 3 policy entries, 2 replacements"),
        "{}",
        said.stdout
    );
}
