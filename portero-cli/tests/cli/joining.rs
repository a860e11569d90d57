//! A call that is allowed by now and identical to one that waits: the real programs, and a slow server.

#![cfg(unix)]

use std::fs;

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::terminal::{confirm_with_passphrase, set_passphrase};
use crate::test_support::{TestHome, eventually};

/// A server that writes each call of `act` down, and answers once the file of its second argument is there.
const SLOW_SERVER: &str = r#"
while read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case "$line" in
    *'"method":"initialize"'*) result='{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*) result='{"tools":[{"name":"act","inputSchema":{"type":"object"}}]}' ;;
    *'"name":"act"'*)
      echo "$$" >> "$1"
      while [ ! -e "$2" ]; do sleep 0.02; done
      result="{\"content\":[{\"type\":\"text\",\"text\":\"run $(wc -l < "$1")\"}]}" ;;
    *) continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
"#;

/// A world with that server; `more` is added to its entry. `act` asks.
fn slow_home(more: &Value) -> TestHome {
    let world = TestHome::with_office();
    let script = world.path("slow.sh");
    fs::write(&script, SLOW_SERVER).unwrap();
    let arguments = json!([script, world.path("acted"), world.path("go")]);
    let mut server = json!({"name": "slow", "command": "sh", "args": arguments});
    server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.write("mcps.json", &json!({"mcps": [server]}));
    world.write("policies.json", &json!({"policies": {"slow/act": "require-approval"}}));
    set_passphrase(&world);
    world
}

fn count_runs(world: &TestHome) -> usize {
    fs::read_to_string(world.path("acted")).unwrap_or_default().lines().count()
}

fn let_it_answer(world: &TestHome) {
    fs::write(world.path("go"), "").unwrap();
}

/// Asks for `act`, and gives the task that waits.
fn ask(agent: &mut Agent) -> String {
    let pending = agent.call_tool("slow__act", &json!({}));
    pending["result"]["structuredContent"]["taskId"]
        .as_str()
        .unwrap_or_else(|| panic!("{pending}"))
        .to_owned()
}

fn send_call(agent: &mut Agent) -> u64 {
    agent.send_request("tools/call", &json!({"name": "slow__act", "arguments": {}}))
}

fn grant(world: &TestHome) {
    confirm_with_passphrase(world, &["grant", "slow/act", "10m"], "runs unasked for 10m");
}

fn wait_for_state(world: &TestHome, task: &str, state: &str) -> Value {
    eventually(state, || {
        let task = world.json(&["task", task]);
        (task["state"] == state).then_some(task)
    })
}

#[test]
fn an_allowed_call_joins_the_one_that_waits_in_its_session_and_both_are_one_run() {
    let world = slow_home(&json!({}));
    let mut agent = Agent::connect(&world, &[]);
    let task = ask(&mut agent);
    grant(&world);
    let calls = [send_call(&mut agent), send_call(&mut agent)];
    // The session has both once it answers this.
    agent.request("ping", &json!({}));
    wait_for_state(&world, &task, "executing");
    let_it_answer(&world);
    for call in calls {
        let answer = agent.wait_for_answer(call);
        assert_eq!(result_text(&answer), "run 1", "{answer}");
    }
    let ended = wait_for_state(&world, &task, "completed");
    let note = ended["note"].as_str().unwrap();
    assert!(note.contains("the same call came again") && note.contains("(grant 1)"), "{note}");
    assert_eq!(count_runs(&world), 1);
    let logs = world.run(&["logs"]).stdout;
    assert!(logs.contains("by session "), "the audit names the session whose call it was: {logs}");

    // Nothing waits any more, so the next one is a call of its own.
    assert_eq!(result_text(&agent.call_tool("slow__act", &json!({}))), "run 2");
    assert_eq!(world.run(&["logs", "verify"]).code, 0);
}

#[test]
fn two_sessions_of_a_project_join_one_call_of_their_server_and_another_project_does_not() {
    let mut world = slow_home(&json!({"instance": "user"}));
    let (mut one, mut two) = (Agent::connect(&world, &[]), Agent::connect(&world, &[]));
    let elsewhere = world.path("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let elsewhere: &'static str = elsewhere.to_string_lossy().into_owned().leak();
    world.variables = vec![("CLAUDE_PROJECT_DIR", elsewhere)];
    let mut other = Agent::connect(&world, &[]);
    world.variables.clear();
    let task = ask(&mut one);
    grant(&world);
    let (first, second) = (send_call(&mut one), send_call(&mut two));
    wait_for_state(&world, &task, "executing");
    let third = send_call(&mut other);
    let_it_answer(&world);
    let answers = [one.wait_for_answer(first), two.wait_for_answer(second)];
    assert_eq!(result_text(&answers[0]), result_text(&answers[1]));
    assert!(result_text(&other.wait_for_answer(third)).contains("run"));
    assert_eq!(count_runs(&world), 2, "one for the project, one for the other");
}

#[test]
fn a_session_that_is_killed_leaves_the_joined_call_interrupted_and_it_never_runs_again() {
    let world = slow_home(&json!({}));
    let mut agent = Agent::connect(&world, &[]);
    let task = ask(&mut agent);
    grant(&world);
    send_call(&mut agent);
    eventually("the server has the call", || (count_runs(&world) == 1).then_some(()));
    agent.child.kill().unwrap();
    agent.child.wait().unwrap();
    wait_for_state(&world, &task, "interrupted");
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    assert_eq!(world.run(&["daemon", "start"]).code, 0);
    wait_for_state(&world, &task, "interrupted");
    assert_eq!(count_runs(&world), 1);
}

#[test]
fn a_daemon_that_is_killed_leaves_the_joined_call_interrupted_and_it_never_runs_again() {
    let world = slow_home(&json!({}));
    let mut agent = Agent::connect(&world, &[]);
    let task = ask(&mut agent);
    grant(&world);
    let call = send_call(&mut agent);
    eventually("the server has the call", || (count_runs(&world) == 1).then_some(()));
    kill_daemon(&world);
    let refused = agent.wait_for_answer(call).to_string();
    assert!(refused.contains(&task) || refused.contains("list_tasks"), "{refused}");
    let_it_answer(&world);
    assert_eq!(world.run(&["daemon", "start"]).code, 0);
    wait_for_state(&world, &task, "interrupted");
    assert_eq!(count_runs(&world), 1);
}

/// Ends the daemon as `kill -9` does.
fn kill_daemon(world: &TestHome) {
    let pid = world.json(&["status"])["pid"].as_i64().unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    eventually("the daemon is gone", || rustix::process::test_kill_process(pid).is_err().then_some(()));
}

#[test]
fn a_call_that_the_files_allow_by_now_does_not_run_while_an_identical_one_may_wait_unseen() {
    let world = slow_home(&json!({}));
    let_it_answer(&world);
    assert_eq!(world.run(&["daemon", "start"]).code, 0);
    let mut agent = Agent::connect(&world, &["--no-start"]);
    let task = ask(&mut agent);
    world.write("policies.json", &json!({"policies": {"slow/act": "allow"}}));
    eventually("the edit waits", || world.run(&["config", "diff"]).stdout.contains("slow/act").then_some(()));
    confirm_with_passphrase(&world, &["config", "confirm"], "in force");
    eventually("the session follows", || {
        let explained = json!({"tool": "slow/act", "args": {"other": true}});
        let explained = agent.call_tool("portero__explain", &explained);
        (explained["result"]["structuredContent"]["outcome"] == "runs").then_some(())
    });
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    // Its task may run once the daemon is back, and the session can't know.
    let refused = agent.call_tool("slow__act", &json!({}));
    assert_eq!(refused["result"]["isError"], true, "{refused}");
    assert_eq!(count_runs(&world), 0);
    // Every other call goes on.
    let other = agent.call_tool("slow__act", &json!({"other": true}));
    assert_eq!(result_text(&other), "run 1", "{other}");

    assert_eq!(world.run(&["daemon", "start"]).code, 0);
    let joined = eventually("the session is connected again", || {
        let joined = agent.call_tool("slow__act", &json!({}));
        (joined["result"]["isError"] != true).then_some(joined)
    });
    assert_eq!(result_text(&joined), "run 2");
    wait_for_state(&world, &task, "completed");
    assert_eq!(count_runs(&world), 2);
}
