//! `kill -9` of the daemon while an approved call runs and while shared servers do.

#![cfg(target_os = "linux")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::agent::{Agent, result_text};
use crate::terminal::{confirm_with_passphrase, set_passphrase};
use crate::test_support::{TestHome, eventually};

/// A server whose `hang` never answers, and which has a child that knows of no end of input.
const SERVER_SCRIPT: &str = r#"
(exec sh -c 'sleep 100000' "$1") < /dev/null &
while read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case "$line" in
    *'"method":"initialize"'*) result='{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*) result='{"tools":[{"name":"hang","inputSchema":{"type":"object"}},{"name":"quick","inputSchema":{"type":"object"}},{"name":"big","inputSchema":{"type":"object"}}]}' ;;
    *'"name":"hang"'*) echo hang >> "$1"; continue ;;
    *'"name":"big"'*) echo big >> "$1"; result="{\"content\":[{\"type\":\"text\",\"text\":\"$(head -c 17000000 /dev/zero | tr '\0' x)\"}]}" ;;
    *'"name":"quick"'*) echo quick >> "$1"; result='{"content":[{"type":"text","text":"done"}]}' ;;
    *) continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
"#;

fn crash_home(shared: bool) -> TestHome {
    let world = TestHome::with_office();
    let (script, record) = (world.path("server.sh"), world.path("record"));
    std::fs::write(&script, SERVER_SCRIPT).unwrap();
    let server = json!({
        "name": "slow", "command": "sh", "args": [script, record], "instance": if shared { "user" } else { "session" },
    });
    world.write("mcps.json", &json!({"mcps": [server]}));
    world.write(
        "policies.json",
        &json!({"policies": {"slow/hang": "require-approval", "slow/quick": "allow"}}),
    );
    world
}

fn count_reached(world: &TestHome, what: &str) -> usize {
    let text = std::fs::read_to_string(world.path("record")).unwrap_or_default();
    text.lines().filter(|line| *line == what).count()
}

/// The children of this world that are not Portero's own programs.
fn server_processes(world: &TestHome) -> Vec<String> {
    let mark = world.path("record").to_str().unwrap().to_owned();
    let commands = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    commands.filter(|command| command.contains(&mark)).collect()
}

pub(crate) fn kill_daemon(world: &TestHome) {
    let pid = world.json(&["daemon", "status"])["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_call_that_ran_when_the_daemon_was_killed_is_interrupted_and_never_runs_again() {
    let world = crash_home(false);
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    let pending = agent.call_tool("slow__hang", &json!({}));
    let id = pending["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    confirm_with_passphrase(&world, &["approve", &id, "--no-wait"], "portero task");
    eventually("the server has the call", || (count_reached(&world, "hang") == 1).then_some(()));
    let waiting = agent.send_request(
        "tools/call",
        &json!({
            "name": "portero__check_task", "arguments": {"task_id": id, "wait_seconds": 60},
        }),
    );
    kill_daemon(&world);
    let broken = agent.wait_for_answer(waiting);
    assert_eq!(broken["result"]["isError"], true, "{broken}");
    assert!(broken.to_string().contains("list_tasks"), "it says how to find out: {broken}");

    let told = agent.call_tool("portero__check_task", &json!({"task_id": id}));
    assert_eq!(told["result"]["structuredContent"]["status"], "interrupted", "{told}");
    assert!(result_text(&told).contains("whether it took effect is unknown"), "{told}");
    let known = world.json(&["daemon", "status"])["pid"].clone();
    let task = world.json(&["task", &id]);
    assert_eq!((&task["state"], &world.json(&["daemon", "status"])["pid"]), (&json!("interrupted"), &known));
    assert_eq!(count_reached(&world, "hang"), 1);
    assert_eq!(world.run(&["logs", "verify"]).code, 0);
    drop(agent);
    eventually("the children of the killed daemon are gone", || {
        server_processes(&world).is_empty().then_some(())
    });
}

/// A world whose shared server may be called without a question.
fn allowing_home() -> TestHome {
    let world = crash_home(true);
    world.write("policies.json", &json!({"policies": {"slow/*": "allow"}}));
    world
}

#[test]
fn a_forwarded_call_whose_daemon_is_killed_may_have_run_and_is_no_task() {
    let world = allowing_home();
    let mut agent = Agent::connect(&world, &[]);
    let call = agent.send_request("tools/call", &json!({"name": "slow__hang", "arguments": {}}));
    eventually("the server has the call", || (count_reached(&world, "hang") == 1).then_some(()));
    kill_daemon(&world);
    let broken = agent.wait_for_answer(call);
    assert_eq!(broken["result"]["isError"], true, "{broken}");
    let said = result_text(&broken);
    assert!(said.contains("may have run, and whether it took effect is unknown"), "{said}");
    assert!(said.contains("Find out whether it took effect before you repeat it"), "{said}");
    assert!(!said.contains("list_tasks"), "it is no task: {said}");
    assert_eq!(
        agent.call_tool("portero__list_tasks", &json!({}))["result"]["structuredContent"]["tasks"],
        json!([])
    );
    assert_eq!(count_reached(&world, "hang"), 1, "nothing repeats it");
}

#[test]
fn a_forwarded_call_whose_daemon_hangs_is_answered_and_may_have_run() {
    let world = allowing_home();
    world.write("portero.json", &json!({"limits": {"start": "2s", "request": "2s"}}));
    let mut agent = Agent::connect(&world, &[]);
    result_text(&agent.call_tool("slow__quick", &json!({})));
    let daemon = world.json(&["daemon", "status"])["pid"].as_i64().unwrap();
    let daemon = Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap();
    // It keeps its connections open, and says nothing.
    kill_process(daemon, Signal::STOP).unwrap();
    let call = agent.send_request("tools/call", &json!({"name": "slow__quick", "arguments": {}}));
    let list = agent.send_request("tools/call", &json!({"name": "portero__list_tasks", "arguments": {}}));
    // A question that runs nothing is given up on sooner.
    let listed = agent.wait_for_answer(list);
    let answer = agent.wait_for_answer(call);
    kill_process(daemon, Signal::KILL).unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let said = result_text(&answer);
    assert!(said.contains("did not answer within") && said.contains("may have run"), "{said}");
    assert!(said.contains("Find out whether it took effect before you repeat it"), "{said}");
    assert!(!said.contains("list_tasks"), "it is no task: {said}");
    assert!(result_text(&listed).contains("did not answer within"), "{listed}");
}

#[test]
fn a_forwarded_call_that_asks_and_whose_daemon_is_killed_may_be_a_task() {
    let world = crash_home(true);
    let mut agent = Agent::connect(&world, &[]);
    result_text(&agent.call_tool("slow__quick", &json!({})));
    let daemon = world.json(&["daemon", "status"])["pid"].as_i64().unwrap();
    let daemon = Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap();
    kill_process(daemon, Signal::STOP).unwrap();
    let call = agent.send_request("tools/call", &json!({"name": "slow__hang", "arguments": {}}));
    // The session answers this once it has read the call before.
    let listed = agent.send_request("tools/list", &json!({}));
    agent.wait_for_answer(listed);
    kill_process(daemon, Signal::KILL).unwrap();
    let answer = agent.wait_for_answer(call);
    let said = result_text(&answer);
    assert!(said.contains("portero/list_tasks shows it") || said.contains("safe to do it again"), "{said}");
}

#[test]
fn an_answer_that_is_too_long_to_pass_on_says_that_the_call_ran() {
    let world = allowing_home();
    let mut agent = Agent::connect(&world, &[]);
    let answer = agent.call_tool("slow__big", &json!({}));
    let start: String = answer.to_string().chars().take(600).collect();
    assert!(
        start.contains("the call ran and was answered, but the answer could not be passed on"),
        "{start}"
    );
    assert_eq!(count_reached(&world, "big"), 1);
    let logged = world.run(&["logs", "--tool", "slow/*"]);
    assert!(logged.stdout.contains("done"), "{}{}", logged.stdout, logged.stderr);
}

#[test]
fn shared_servers_end_with_a_killed_daemon_and_come_back_with_the_next() {
    let world = crash_home(true);
    let mut agent = Agent::connect(&world, &[]);
    assert!(result_text(&agent.call_tool("slow__quick", &json!({}))).contains("done"));
    assert!(!server_processes(&world).is_empty());
    kill_daemon(&world);
    eventually("the shared server and its child are gone", || {
        server_processes(&world).is_empty().then_some(())
    });
    eventually("the next call starts the daemon and the server", || {
        let answer = agent.call_tool("slow__quick", &json!({}));
        answer.to_string().contains("done").then_some(())
    });
}
