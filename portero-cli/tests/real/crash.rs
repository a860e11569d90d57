//! `kill -9` of each process: nothing runs twice, nothing is lost, nobody is left behind.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::agent::{TEST_TIMEOUT, result_text};
use crate::approvals::{ask_to_write, check_task, filesystem_home};
use crate::peers::peers;
use crate::test_support::{PASSPHRASE, TestHome, processes_naming};

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + TEST_TIMEOUT;
    while !holds() {
        assert!(Instant::now() < end, "{what} never came true");
        std::thread::yield_now();
    }
}

fn kill_9(pid: u64) {
    assert!(Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs").success());
}

/// server-everything ignores the end of its input, so only Portero can end it.
fn stubborn_home() -> TestHome {
    let home = TestHome::new(&json!({}), &json!({"policies": {"**": "allow"}}));
    // The path of the state directory among the arguments makes the process recognizable.
    let script = peers().npm_server("server-everything");
    home.write(
        "mcps.json",
        &json!({"mcps": [{"name": "everything", "command": "sh",
                          "args": ["-c", "exec 3<&0; node \"$1\" stdio \"$2\" <&3 & wait", "sh", script, home.path("state")]}]}),
    );
    home
}

#[test]
fn the_end_of_input_ends_every_descendant_within_300_ms() {
    let home = stubborn_home();
    let mut agent = home.start_agent();
    agent.wait_for_tool("everything__echo");
    let marker = home.path("state");
    assert!(!processes_naming(&marker).is_empty());
    let took = agent.close();
    assert!(took < Duration::from_millis(300), "it took {took:?}");
    wait_until("the end of every descendant", || servers_left(&marker).is_empty());
}

#[test]
fn a_killed_session_leaves_no_descendant() {
    let home = stubborn_home();
    let mut agent = home.start_agent();
    agent.wait_for_tool("everything__echo");
    let marker = home.path("state");
    agent.kill();
    wait_until("the end of every descendant", || servers_left(&marker).is_empty());
}

fn servers_left(marker: &std::path::Path) -> Vec<String> {
    processes_naming(marker).into_iter().filter(|line| line.contains("server-everything")).collect()
}

#[test]
fn a_server_killed_in_mid_session_is_started_again_for_the_next_call() {
    let home = filesystem_home();
    fs::write(home.path("project").join("a.txt"), "still here").expect("writable");
    let mut agent = home.start_agent();
    agent.wait_for_tool("files__read_text_file");
    let file = home.path("project").join("a.txt");
    assert!(
        result_text(&agent.call_tool("files__read_text_file", json!({"path": file}))).contains("still here")
    );
    for line in processes_naming(&home.path("project")) {
        if line.contains("server-filesystem") && !line.contains("guard") {
            kill_9(line.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a pid"));
        }
    }
    wait_until("an answer from the new process", || {
        agent.call_tool("files__read_text_file", json!({"path": file})).to_string().contains("still here")
    });
}

#[test]
fn a_pending_call_survives_the_daemons_death_and_runs_once() {
    let home = filesystem_home();
    home.set_passphrase();
    let mut agent = home.start_agent();
    let file = home.path("project").join("survives.txt");
    let task = ask_to_write(&mut agent, &file, "survived");
    kill_9(home.json(&["daemon", "status"])["pid"].as_u64().expect("a pid"));
    assert_eq!(home.json(&["pending"])[0]["id"], json!(task), "started anew, it still asks");
    // Until the session is connected again, its process counts as lost.
    wait_until("the session is connected again", || {
        home.run_at_terminal(&["approve", &task], &[PASSPHRASE]).0 == 0
    });
    let mut result = check_task(&mut agent, &task);
    wait_until("the session finds the new daemon", || {
        result = check_task(&mut agent, &task);
        result_text(&result).contains("Successfully wrote")
    });
    assert_eq!(fs::read_to_string(&file).expect("written"), "survived");
}

#[test]
fn a_deny_rule_survives_the_daemons_death_and_holds_without_it() {
    let home = filesystem_home();
    let mut agent = home.start_agent();
    agent.wait_for_tool("files__read_text_file");
    assert!(home.run(&["deny", "files/read_*"]).status.success());
    kill_9(home.json(&["daemon", "status"])["pid"].as_u64().expect("a pid"));
    let refused = agent.call_tool("files__read_text_file", json!({"path": "a.txt"}));
    assert_eq!(refused["isError"], true, "{refused}");
    let mut without_daemon = crate::agent::Agent::start(&mut home.portero_command(&["mcp", "--no-start"]));
    without_daemon.wait_for_tool("files__write_file");
    let refused = without_daemon.call_tool("files__read_text_file", json!({"path": "a.txt"}));
    assert_eq!(refused["isError"], true, "{refused}");
}
