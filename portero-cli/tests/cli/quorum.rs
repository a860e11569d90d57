//! Tools that take the yes of several people on Telegram: what the terminal says of them.

#![cfg(unix)]

use expectrl::{Eof, Expect as _};
use serde_json::json;

use crate::agent::Agent;
use crate::terminal::{set_passphrase, spawn_on_terminal};
use crate::test_support::TestHome;

/// A set-up in which mail is only sent when two of three people approve, whatever its policies allow.
fn home_with_quorum() -> TestHome {
    let world = TestHome::with_office();
    world.write("policies.json", &json!({"policies": {"office/*": "allow", "office/delete_*": "deny"}}));
    let telegram = json!({
        "token": "4711:test", "apiUrl": "http://127.0.0.1:9", "chat": -5, "deciders": [11, 22, 33],
        "quorum": [{"tools": ["office/send_*", "office/delete_*"], "approvals": 2}],
    });
    world.write("portero.json", &json!({ "telegram": telegram }));
    world
}

#[test]
fn why_and_policy_test_name_the_entry_with_its_place_and_whom_it_takes() {
    let world = home_with_quorum();
    for live in [false, true] {
        if live {
            assert_eq!(world.run(&["daemon", "start"]).code, 0);
        }
        let said = world.run(&["why", "office/send_mail"]);
        assert!(
            said.stdout.starts_with("office/send_mail: require-approval"),
            "{}{}",
            said.stdout,
            said.stderr
        );
        let because = "because needs the approval of several people by `office/send_*` (portero.json:1:";
        assert!(said.stdout.contains(because), "{}", said.stdout);
        assert!(
            said.stdout.contains("it needs 2 of 3 people (user 11, 22, 33) on Telegram"),
            "{}",
            said.stdout
        );
        assert!(said.stdout.contains("stronger than allowed by `office/*`"), "{}", said.stdout);
        assert!(world.run(&["why", "office/delete_mail"]).stdout.starts_with("office/delete_mail: deny"));
        assert_eq!(world.json(&["why", "office/send_mail"])["quorums"][0]["approvals"], 2);
    }
    let file = world.path("cases.json");
    std::fs::write(&file, r#"[{"tool": "office/send_mail", "expect": "allow"}]"#).unwrap();
    let said = world.run(&["policy", "test", file.to_str().unwrap()]);
    assert_eq!(said.code, 1);
    assert!(
        said.stdout.contains("+ require-approval: needs the approval of several people"),
        "{}",
        said.stdout
    );
}

#[test]
fn approve_says_who_has_to_before_it_asks_for_a_passphrase_and_reject_works() {
    let world = home_with_quorum();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    let mail = json!({"to": "a@b.test", "subject": "x", "body": "y"});
    let waits = agent.call_tool("office__send_mail", &mail);
    assert_eq!(waits["result"]["structuredContent"]["status"], "pending-approval", "{waits}");
    let task = world.json(&["pending"])[0]["id"].as_str().unwrap().to_owned();

    let mut terminal = spawn_on_terminal(&world, &["approve", &task]);
    let shown = terminal.expect(Eof).unwrap();
    let shown = String::from_utf8_lossy(shown.as_bytes()).replace("\r\n", " ");
    assert!(!shown.contains("Passphrase"), "{shown}");
    let said = "office/send_mail needs 2 of 3 people (user 11, 22, 33) on Telegram, and has 0 of 2 approvals";
    assert!(shown.contains(said) && shown.contains("portero reject"), "{shown}");

    assert!(world.run(&["pending"]).stdout.contains("pending-approval, 0 of 2 approvals"));
    let told = world.run(&["task", &task]).stdout;
    assert!(told.contains("needs     2 of 3 people (user 11, 22, 33)"), "{told}");
    assert!(told.contains("has       0 of 2 approvals"), "{told}");
    assert!(world.run(&["status"]).stdout.contains("office/send_mail: 0 of 2 approvals"));

    assert_eq!(world.run(&["reject", &task]).code, 0);
    assert_eq!(world.json(&["task", &task])["state"], "denied");
}
