//! What went wrong in the Portero that this one follows, as tests that pass here.

use serde_json::json;

use crate::agent::result_text;
use crate::approvals::filesystem_home;
use crate::peers::peers;
use crate::test_support::TestHome;

fn check_fails_with(home: &TestHome, words: &[&str]) {
    let output = home.run(&["check"]);
    assert_eq!(output.status.code(), Some(2));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    for word in words {
        assert!(said.contains(word), "`{word}` is missing in:\n{said}");
    }
}

#[test]
fn a_mistyped_action_is_an_error_and_not_an_allow() {
    let home = filesystem_home();
    home.write("policies.json", &json!({"policies": {"files/*": "requre-approval"}}));
    check_fails_with(&home, &["policies.json:1:", "require-approval"]);
    let mut agent = home.start_agent();
    let answer = agent.request(
        "tools/call",
        json!({"name": "files__write_file", "arguments": {"path": "x", "content": "y"}}),
    );
    assert!(format!("{answer:?}").contains("portero check"), "nothing runs until it is mended: {answer:?}");
    assert!(!home.path("project").join("x").exists());
}

#[test]
fn an_empty_real_name_is_an_error_and_not_a_rule_that_matches_everywhere() {
    let mut home = filesystem_home();
    home.variables.push(("REAL_NAME", String::new()));
    home.write(
        "replacements.json",
        &json!({"replacements": [{"fake": "John Doe", "real": "${REAL_NAME}", "bidirectional": true}]}),
    );
    check_fails_with(&home, &["replacements.json:1:", "REAL_NAME"]);
}

#[test]
fn a_corrupt_store_stops_the_daemon_and_is_not_replaced_by_an_empty_one() {
    let home = filesystem_home();
    assert!(home.run(&["deny", "files/write_file"]).status.success());
    assert!(home.run(&["daemon", "stop"]).status.success());
    let store = home.path("state").join("portero.db");
    let mut bytes = std::fs::read(&store).expect("the store");
    let middle = bytes.len() / 2;
    for byte in &mut bytes[0..100.min(middle)] {
        *byte ^= 0x5a;
    }
    std::fs::write(&store, &bytes).expect("writable");
    let output = home.run(&["rules"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("portero.db"), "it says which file");
    assert!(std::fs::read(&store).expect("still there") == bytes, "it was left as it is");
}

#[test]
fn two_quick_approvals_run_the_call_once() {
    let home = filesystem_home();
    home.set_passphrase();
    let log = home.path("project").join("log.txt");
    let mut agent = home.start_agent();
    let task = crate::approvals::ask_to_write(&mut agent, &log, "once");
    std::thread::scope(|scope| {
        let hands: Vec<_> = (0..2)
            .map(|_| {
                scope
                    .spawn(|| home.run_at_terminal(&["approve", &task], &[crate::test_support::PASSPHRASE]).0)
            })
            .collect();
        let mut codes: Vec<i32> = hands.into_iter().map(|hand| hand.join().expect("no panic")).collect();
        codes.sort_unstable();
        assert_eq!(codes, [0, 1], "one yes counts, the other is told so");
    });
    crate::approvals::check_task(&mut agent, &task);
    let records = home.run(&["logs", "--json"]).stdout;
    let records = String::from_utf8(records).expect("JSON lines");
    let writes = |line: &&str| line.contains(r#""intent":"#) && line.contains("files/write_file");
    assert_eq!(records.lines().filter(writes).count(), 1, "{records}");
}

#[test]
fn resources_and_errors_are_concealed_too() {
    let home = TestHome::new(&json!({}), &json!({"policies": {"**": "allow"}}));
    let project = home.path("project");
    let secret = project.join("Ada Lovelace.txt");
    home.write(
        "mcps.json",
        &json!({"mcps": [
            crate::approvals::filesystem_server(&project),
            {"name": "everything", "command": "node", "args": [peers().npm_server("server-everything")]},
        ]}),
    );
    home.write(
        "replacements.json",
        &json!({"replacements": [
            {"fake": "John Doe", "real": "Ada Lovelace", "bidirectional": true},
            // The text of server-everything's first resources.
            {"fake": "Harmless words", "real": "Resource 1", "bidirectional": true},
        ]}),
    );
    let mut agent = home.start_agent();
    agent.wait_for_tool("files__read_text_file");
    let missing = agent.call_tool("files__read_text_file", json!({"path": project.join("John Doe.txt")}));
    assert_eq!(missing["isError"], true, "{missing}");
    assert!(
        !missing.to_string().contains("Ada"),
        "an error about {} tells no name: {}",
        secret.display(),
        result_text(&missing)
    );
    agent.wait_for_tool("everything__echo");
    let list = agent.request("resources/list", json!({})).expect("a list");
    for resource in list["resources"].as_array().expect("resources").iter().take(3) {
        agent.request("resources/read", json!({"uri": resource["uri"]})).expect("a resource");
    }
    assert!(
        !agent
            .received_lines
            .iter()
            .any(|line| line.contains("Ada Lovelace") || line.contains("Resource 1\""))
    );
}

#[test]
fn the_order_of_policies_never_matters() {
    for policies in [
        r#"{"policies":{"files/*":"allow","*/write_*":"deny"}}"#,
        r#"{"policies":{"*/write_*":"deny","files/*":"allow"}}"#,
    ] {
        let home = filesystem_home();
        std::fs::write(home.path("config").join("policies.json"), policies).expect("writable");
        let first = home.json(&["why", "files/write_file"]);
        assert!(first.to_string().contains("deny"), "{first}");
    }
}
