//! No call without its record, and denies all the same.

#![cfg(unix)]

use serde_json::json;

use crate::agent::{Agent, result_text};
use crate::terminal::{set_passphrase, spawn_on_terminal};
use crate::test_support::{TestHome, eventually};

#[test]
fn where_the_audit_was_removed_no_call_runs_and_nothing_widens_but_a_deny_holds() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    eventually("the session is connected", || {
        (world.json(&["status"])["sessions"].as_array().unwrap().len() == 1).then_some(())
    });
    let reached = world.received_calls().len();
    std::fs::remove_dir_all(world.path("state").join("audit")).unwrap();

    let refused = agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert!(refused.to_string().contains("audit"), "{refused}");
    let refused =
        agent.call_tool("office__send_mail", &json!({"to": "a@b.test", "subject": "x", "body": "y"}));
    assert!(refused.to_string().contains("audit"), "{refused}");
    assert_eq!(world.json(&["pending"]), json!([]));
    assert_eq!(world.received_calls().len(), reached);

    let mut terminal = spawn_on_terminal(&world, &["allow", "office/send_mail"]);
    expectrl::Expect::expect(&mut terminal, "Passphrase, to allow this for good: ").unwrap();
    expectrl::Expect::send_line(&mut terminal, crate::terminal::PASSPHRASE).unwrap();
    expectrl::Expect::expect(&mut terminal, "error: ").unwrap();
    expectrl::Expect::expect(&mut terminal, expectrl::Eof).unwrap();
    world.json(&["deny", "office/read_mail"]);
    let rules = &world.json(&["rules"])["rules"];
    assert_eq!(rules.as_array().unwrap().len(), 1, "{rules}");
    assert_eq!(rules[0]["action"], "deny");
    assert_eq!(world.json(&["revoke", "--all"])["revoked"], 0);
}

#[test]
fn where_no_audit_can_be_begun_no_session_and_no_daemon_starts() {
    let world = TestHome::with_office();
    std::fs::create_dir_all(world.path("state")).unwrap();
    std::fs::write(world.path("state").join("audit"), "in the way").unwrap();
    for words in [&["mcp"][..], &["pending"]] {
        let said = world.run(words);
        assert_ne!(said.code, 0, "{words:?}");
        assert!(said.stderr.contains("audit") && said.stdout.is_empty(), "{words:?}: {}", said.stderr);
    }
}

/// Without the system's word a follower looks again after five seconds only.
#[cfg(target_os = "linux")]
#[test]
fn what_is_written_is_shown_at_once_to_those_who_follow() {
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    const AT_ONCE: Duration = Duration::from_secs(4);
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    let mut follower = world.command(&["logs", "--follow"]);
    let mut follower = follower.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
    let outcome = || {
        let mut lines = std::iter::from_fn(|| told.recv_timeout(crate::test_support::TEST_TIMEOUT).ok());
        assert!(lines.any(|line| line.contains("outcome")), "it shows the outcome");
    };
    outcome();
    // Several, since one may come just as it looks by itself.
    let took = (0..4).map(|_| {
        result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
        let begin = Instant::now();
        outcome();
        begin.elapsed()
    });
    let slowest = took.max();
    follower.kill().and_then(|()| follower.wait()).unwrap();
    assert!(slowest.is_some_and(|slowest| slowest < AT_ONCE), "{slowest:?}");
}
