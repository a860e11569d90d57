//! Starting, stopping and asking the daemon.

use serde_json::json;

#[cfg(target_os = "linux")]
use crate::agent::Agent;
use crate::test_support::TestHome;
use crate::test_support::eventually;

#[test]
fn without_a_daemon_the_exit_code_is_3_and_the_next_step_is_told() {
    let world = TestHome::with_office();
    for words in [&["pending", "--no-start"][..], &["daemon", "status"], &["revoke", "--all", "--no-start"]] {
        let said = world.run(words);
        assert_eq!(said.code, 3, "{words:?}: {}", said.stderr);
        assert!(
            said.stderr.starts_with("error: ") && said.stderr.contains("portero daemon start"),
            "{}",
            said.stderr
        );
        assert!(said.stdout.is_empty());
    }
}

#[test]
fn the_daemon_starts_tells_that_it_runs_and_stops() {
    let world = TestHome::with_office();
    let started = world.json(&["daemon", "start"]);
    assert_eq!(started["running"], true);
    assert_eq!(world.json(&["daemon", "status"])["pid"], started["pid"]);
    // A second start finds the first.
    assert_eq!(world.json(&["daemon", "start"])["pid"], started["pid"]);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    assert_eq!(world.run(&["daemon", "status"]).code, 3);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0, "stopping twice is no failure");
}

#[test]
fn a_command_starts_the_daemon_when_it_needs_it() {
    let world = TestHome::with_office();
    assert_eq!(world.json(&["pending"]), json!([]));
    assert_eq!(world.run(&["daemon", "status"]).code, 0);
}

#[test]
fn many_commands_at_once_start_one_daemon() {
    let world = TestHome::with_office();
    let children: Vec<_> = (0..6)
        .map(|_| {
            world
                .command(&["daemon", "start", "--json"])
                .stdout(std::process::Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    let pids: std::collections::HashSet<_> = children
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            value["pid"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(pids.len(), 1);
}

#[test]
fn what_narrows_acts_at_once_without_a_terminal() {
    let world = TestHome::with_office();
    let rule = world.json(&["deny", "office/read_*"]);
    assert_eq!(rule["action"], "deny");
    let rules = world.json(&["rules"]);
    assert_eq!(rules["rules"][0]["pattern"], "office/read_*");
    assert_eq!(world.json(&["why", "office/read_mail"])["decision"]["action"], "deny");
    assert_eq!(world.json(&["revoke", "--all"])["revoked"], 0);
    // The last known denies hold without the daemon too.
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    assert_eq!(world.json(&["why", "office/read_mail"])["decision"]["action"], "deny");
}

#[test]
fn status_tells_that_no_passphrase_is_set() {
    let world = TestHome::with_office();
    let said = world.run(&["status"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("portero passphrase set"), "{}", said.stdout);
    assert_eq!(world.json(&["status"])["pending"], 0);
}

#[test]
fn status_and_check_say_that_the_last_valid_configuration_stays_in_force() {
    let world = TestHome::with_office();
    assert_eq!(world.json(&["status"])["config_valid"], true);
    assert!(world.run(&["status"]).stdout.contains("office"), "every server is listed");
    world.write("policies.json", &json!({"policies": {"office/*": "alow"}}));
    let told = eventually("the daemon reads the files", || {
        let said = world.run(&["status"]);
        said.stdout.contains("policies.json:1").then_some(said.stdout)
    });
    assert!(told.contains("the last valid configuration stays in force"), "{told}");
    assert_eq!(world.json(&["status"])["config_valid"], false);
    let said = world.run(&["check"]);
    assert!(
        said.code == 2 && said.stderr.contains("the last valid configuration stays in force"),
        "{}",
        said.stderr
    );
    assert_eq!(world.json(&["why", "office/read_mail"])["decision"]["action"], "allow");
}

#[test]
fn an_unknown_task_is_told_as_such() {
    let world = TestHome::with_office();
    let said = world.run(&["task", "abcdef"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    assert!(said.stderr.contains("abcdef") && said.stderr.contains("hint:"), "{}", said.stderr);
}

#[test]
fn doctor_says_what_works_and_what_does_not() {
    let world = TestHome::with_office();
    let said = world.run(&["doctor"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("office: 8 tools"), "{}", said.stdout);
    world.write(
        "mcps.json",
        &json!({"mcps": [
            {"name": "ghost", "command": "/nonexistent/server"},
            {"name": "unset", "command": "x", "env": {"TOKEN": "${NOT_SET_ANYWHERE}"}},
            {"name": "remote", "type": "http", "url": "http://127.0.0.1:1/mcp"},
        ]}),
    );
    let said = world.run(&["doctor"]);
    assert_eq!(said.code, 1, "{}", said.stdout);
    assert!(said.stdout.contains("failed  ghost"), "{}", said.stdout);
    assert!(
        said.stdout.contains("skipped unset") && said.stdout.contains("NOT_SET_ANYWHERE"),
        "{}",
        said.stdout
    );
    assert!(
        said.stdout.contains("failed  remote") && said.stdout.contains("the connection was refused"),
        "{}",
        said.stdout
    );
    for (typed, hint) in
        [("nobody", "mcps.json names ghost, remote, unset"), ("gohst", "did you mean `ghost`?")]
    {
        let said = world.run(&["doctor", typed]);
        assert_eq!(said.code, 2);
        assert!(said.stderr.contains(hint), "{typed}: {}", said.stderr);
    }
}

/// The process and everything above it.
#[cfg(target_os = "linux")]
fn ancestors(mut process: u64) -> Vec<u64> {
    let mut found = vec![process];
    while process > 1 {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
        process = parent.trim().parse().unwrap();
        found.push(process);
    }
    found
}

#[cfg(target_os = "linux")]
#[test]
fn the_daemon_that_a_session_starts_is_not_in_that_sessions_tree() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &[]);
    agent.request("tools/list", &json!({}));
    let pid = eventually("the session starts the daemon", || {
        let said = world.run(&["daemon", "status", "--json"]);
        serde_json::from_str::<serde_json::Value>(&said.stdout).ok()?["pid"].as_u64()
    });
    eventually("the session is connected", || {
        (world.json(&["status"])["sessions"].as_array().unwrap().len() == 1).then_some(())
    });
    let session = u64::from(agent.child.id());
    assert!(!ancestors(pid).contains(&session), "whoever kills the session's tree kills the daemon");
    // Nor does what started it stay behind as a zombie.
    let children = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let process: u64 = entry.file_name().to_str()?.parse().ok()?;
        let status = std::fs::read_to_string(entry.path().join("status")).ok()?;
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
        (parent.trim().parse() == Ok(session) && status.contains("State:\tZ")).then_some(process)
    });
    assert_eq!(children.count(), 0);
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let world = TestHome::with_office();
    std::fs::create_dir_all(world.path("state")).unwrap();
    std::fs::write(world.path("state").join("portero.db"), "not a store").unwrap();
    let said = world.run(&["pending"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("could not start the daemon"), "{}", said.stderr);
    assert!(said.stderr.contains("not a database"), "{}", said.stderr);
}
