//! `kill -9` of the daemon while an approved call runs and while shared servers do.

#![cfg(target_os = "linux")]

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::agent::{Agent, text};
use crate::terminal::{confirm, set_passphrase};
use crate::world::{World, eventually};

/// A server whose `hang` never answers, and which has a child that knows of no end of input.
const SERVER: &str = r#"
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

fn world(shared: bool) -> World {
    let world = World::with_office();
    let (script, record) = (world.path("server.sh"), world.path("record"));
    std::fs::write(&script, SERVER).unwrap();
    let server = json!({
        "name": "slow", "command": "sh", "args": [script, record], "shared": shared,
    });
    world.write("mcps.json", &json!({"mcps": [server]}));
    world.write(
        "policies.json",
        &json!({"policies": {"slow/hang": "require-approval", "slow/quick": "allow"}}),
    );
    world
}

fn reached(world: &World, what: &str) -> usize {
    let text = std::fs::read_to_string(world.path("record")).unwrap_or_default();
    text.lines().filter(|line| *line == what).count()
}

/// The children of this world that are not Portero's own programs.
fn servers(world: &World) -> Vec<String> {
    let mark = world.path("record").to_str().unwrap().to_owned();
    let commands = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    commands.filter(|command| command.contains(&mark)).collect()
}

pub(crate) fn kill_daemon(world: &World) {
    let pid = world.json(&["daemon", "status"])["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_call_that_ran_when_the_daemon_was_killed_is_interrupted_and_never_runs_again() {
    let world = world(false);
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    let pending = agent.call("slow__hang", &json!({}));
    let id = pending["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    confirm(&world, &["approve", &id], "portero task");
    eventually("the server has the call", || (reached(&world, "hang") == 1).then_some(()));
    let waiting = agent.begin(
        "tools/call",
        &json!({
            "name": "portero__check_task", "arguments": {"task_id": id, "wait_seconds": 60},
        }),
    );
    kill_daemon(&world);
    let broken = agent.answer(waiting);
    assert_eq!(broken["result"]["isError"], true, "{broken}");
    assert!(broken.to_string().contains("list_tasks"), "it says how to find out: {broken}");

    let told = agent.call("portero__check_task", &json!({"task_id": id}));
    assert_eq!(told["result"]["structuredContent"]["status"], "interrupted", "{told}");
    assert!(text(&told).contains("whether it took effect is unknown"), "{told}");
    let known = world.json(&["daemon", "status"])["pid"].clone();
    let task = world.json(&["task", &id]);
    assert_eq!((&task["state"], &world.json(&["daemon", "status"])["pid"]), (&json!("interrupted"), &known));
    assert_eq!(reached(&world, "hang"), 1);
    assert_eq!(world.run(&["logs", "verify"]).code, 0);
    drop(agent);
    eventually("the children of the killed daemon are gone", || servers(&world).is_empty().then_some(()));
}

/// A world whose shared server may be called without a question.
fn allowing() -> World {
    let world = world(true);
    world.write("policies.json", &json!({"policies": {"slow/*": "allow"}}));
    world
}

#[test]
fn a_forwarded_call_whose_daemon_is_killed_may_have_run_and_is_no_task() {
    let world = allowing();
    let mut agent = Agent::connect(&world, &[]);
    let call = agent.begin("tools/call", &json!({"name": "slow__hang", "arguments": {}}));
    eventually("the server has the call", || (reached(&world, "hang") == 1).then_some(()));
    kill_daemon(&world);
    let broken = agent.answer(call);
    assert_eq!(broken["result"]["isError"], true, "{broken}");
    let said = text(&broken);
    assert!(said.contains("may have run, and whether it took effect is unknown"), "{said}");
    assert!(said.contains("Find out whether it took effect before you repeat it"), "{said}");
    assert!(!said.contains("list_tasks"), "it is no task: {said}");
    assert_eq!(
        agent.call("portero__list_tasks", &json!({}))["result"]["structuredContent"]["tasks"],
        json!([])
    );
    assert_eq!(reached(&world, "hang"), 1, "nothing repeats it");
}

#[test]
fn a_forwarded_call_whose_daemon_hangs_is_answered_and_may_have_run() {
    let world = allowing();
    world.write("portero.json", &json!({"limits": {"start": "2s", "request": "2s"}}));
    let mut agent = Agent::connect(&world, &[]);
    text(&agent.call("slow__quick", &json!({})));
    let daemon = world.json(&["daemon", "status"])["pid"].as_i64().unwrap();
    let daemon = Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap();
    // It keeps its connections open, and says nothing.
    kill_process(daemon, Signal::STOP).unwrap();
    let call = agent.begin("tools/call", &json!({"name": "slow__quick", "arguments": {}}));
    let list = agent.begin("tools/call", &json!({"name": "portero__list_tasks", "arguments": {}}));
    // A question that runs nothing is given up on sooner.
    let listed = agent.answer(list);
    let answer = agent.answer(call);
    kill_process(daemon, Signal::KILL).unwrap();
    assert_eq!(answer["result"]["isError"], true, "{answer}");
    let said = text(&answer);
    assert!(said.contains("did not answer within") && said.contains("may have run"), "{said}");
    assert!(said.contains("Find out whether it took effect before you repeat it"), "{said}");
    assert!(!said.contains("list_tasks"), "it is no task: {said}");
    assert!(text(&listed).contains("did not answer within"), "{listed}");
}

#[test]
fn a_forwarded_call_that_asks_and_whose_daemon_is_killed_may_be_a_task() {
    let world = world(true);
    let mut agent = Agent::connect(&world, &[]);
    text(&agent.call("slow__quick", &json!({})));
    let daemon = world.json(&["daemon", "status"])["pid"].as_i64().unwrap();
    let daemon = Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap();
    kill_process(daemon, Signal::STOP).unwrap();
    let call = agent.begin("tools/call", &json!({"name": "slow__hang", "arguments": {}}));
    // The session answers this once it has read the call before.
    let listed = agent.begin("tools/list", &json!({}));
    agent.answer(listed);
    kill_process(daemon, Signal::KILL).unwrap();
    let answer = agent.answer(call);
    let said = text(&answer);
    assert!(said.contains("portero/list_tasks shows it") || said.contains("safe to do it again"), "{said}");
}

#[test]
fn an_answer_that_is_too_long_to_pass_on_says_that_the_call_ran() {
    let world = allowing();
    let mut agent = Agent::connect(&world, &[]);
    let answer = agent.call("slow__big", &json!({}));
    let start: String = answer.to_string().chars().take(600).collect();
    assert!(
        start.contains("the call ran and was answered, but the answer could not be passed on"),
        "{start}"
    );
    assert_eq!(reached(&world, "big"), 1);
    let logged = world.run(&["logs", "--tool", "slow/*"]);
    assert!(logged.out.contains("done"), "{}{}", logged.out, logged.err);
}

#[test]
fn shared_servers_end_with_a_killed_daemon_and_come_back_with_the_next() {
    let world = world(true);
    let mut agent = Agent::connect(&world, &[]);
    assert!(text(&agent.call("slow__quick", &json!({}))).contains("done"));
    assert!(!servers(&world).is_empty());
    kill_daemon(&world);
    eventually("the shared server and its child are gone", || servers(&world).is_empty().then_some(()));
    eventually("the next call starts the daemon and the server", || {
        let answer = agent.call("slow__quick", &json!({}));
        answer.to_string().contains("done").then_some(())
    });
}
