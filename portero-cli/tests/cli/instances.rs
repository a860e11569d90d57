//! Guarantee A10 through the real programs: an approved call runs in the process that the session's other calls use.

#![cfg(unix)]

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::terminal::{confirm_with_passphrase, set_passphrase};
use crate::test_support::{TestHome, eventually};

/// A server that is a shell: it has a directory, a variable from outside, and something that is open. `act` and `tell`
/// say all of it, with the process id, and `act` writes it down.
const SHELL: &str = r#"
while read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  told="$$ in $PWD as ${ACCOUNT:-none} with ${opened:-nothing}"
  text=done
  case "$line" in
    *'"method":"initialize"'*) result='{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*) result='{"tools":[{"name":"enter","inputSchema":{"type":"object"}},{"name":"open","inputSchema":{"type":"object"}},{"name":"tell","inputSchema":{"type":"object"}},{"name":"act","inputSchema":{"type":"object"}}]}' ;;
    *'"name":"enter"'*) cd "$1"; result= ;;
    *'"name":"open"'*) opened=tunnel; result= ;;
    *'"name":"tell"'*) text=$told; result= ;;
    *'"name":"act"'*) echo "$told" >> "$2"; text=$told; result= ;;
    *) continue ;;
  esac
  [ -n "$result" ] || result="{\"content\":[{\"type\":\"text\",\"text\":\"$text\"}]}"
  printf '{"jsonrpc":"2.0","id":%s,"result":%s}\n' "$id" "$result"
done
"#;

/// A world with that server; `more` is added to its entry.
fn shell_home(more: &Value) -> TestHome {
    let world = TestHome::with_office();
    let (script, record, entered) = (world.path("shell.sh"), world.path("acted"), world.path("entered"));
    std::fs::write(&script, SHELL).unwrap();
    std::fs::create_dir(&entered).unwrap();
    let mut server = json!({"name": "shell", "command": "sh", "args": [script, entered, record]});
    server.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    world.write("mcps.json", &json!({"mcps": [server]}));
    world.write("policies.json", &json!({"policies": {"shell/*": "allow", "shell/act": "require-approval"}}));
    set_passphrase(&world);
    world
}

fn tell(agent: &mut Agent) -> String {
    result_text(&agent.call_tool("shell__tell", &json!({}))).to_owned()
}

/// Asks for `act`, and gives the task's id.
fn ask(agent: &mut Agent) -> String {
    let pending = agent.call_tool("shell__act", &json!({}));
    pending["result"]["structuredContent"]["taskId"]
        .as_str()
        .unwrap_or_else(|| panic!("{pending}"))
        .to_owned()
}

/// How a task ended, once it did.
fn outcome(agent: &mut Agent, id: &str) -> String {
    agent.call_tool("portero__check_task", &json!({"task_id": id, "wait_seconds": 25})).to_string()
}

fn acted(world: &TestHome) -> Vec<String> {
    let text = std::fs::read_to_string(world.path("acted")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn an_approved_call_meets_the_directory_and_the_open_state_of_its_session() {
    let world = shell_home(&json!({}));
    let mut agent = Agent::connect(&world, &[]);
    agent.call_tool("shell__enter", &json!({}));
    agent.call_tool("shell__open", &json!({}));
    let before = tell(&mut agent);
    assert!(before.contains("/entered as none with tunnel"), "{before}");
    let id = ask(&mut agent);
    confirm_with_passphrase(&world, &["approve", &id], "portero task");
    let told = outcome(&mut agent, &id);
    assert!(told.contains(&before), "{told}");
    assert_eq!(acted(&world), [before], "in that very process, once");
    assert_eq!(world.run(&["logs", "verify"]).code, 0);
}

#[test]
fn each_of_two_shells_has_its_approved_call_run_with_its_own_variables() {
    let mut world = shell_home(&json!({"env": {"ACCOUNT": "${ACCOUNT}"}}));
    // The daemon has no such variable, so it knows no such server.
    assert_eq!(world.run(&["daemon", "status"]).code, 0);
    let mut agents = ["first", "second"].map(|account| {
        world.variables = vec![("ACCOUNT", account)];
        Agent::connect(&world, &[])
    });
    world.variables.clear();
    let before = agents.each_mut().map(tell);
    let ids = agents.each_mut().map(ask);
    for id in ids.iter().rev() {
        confirm_with_passphrase(&world, &["approve", id], "portero task");
    }
    for (at, account) in ["first", "second"].iter().enumerate() {
        let told = outcome(&mut agents[at], &ids[at]);
        assert!(told.contains(&before[at]) && before[at].contains(&format!("as {account}")), "{told}");
    }
    assert_eq!(acted(&world).len(), 2);
}

#[test]
fn a_person_is_told_that_the_session_has_ended_and_may_have_it_run_elsewhere() {
    let world = shell_home(&json!({}));
    let mut agent = Agent::connect(&world, &[]);
    agent.call_tool("shell__enter", &json!({}));
    let before = tell(&mut agent);
    let id = ask(&mut agent);
    agent.close();
    let refused = eventually("the daemon noticed", || {
        let refused = world.run(&["approve", &id]);
        refused.stderr.contains("the session that asked has ended").then_some(refused)
    });
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("--fresh"), "{}", refused.stderr);
    assert!(acted(&world).is_empty(), "nothing ran");

    let mut other = Agent::connect(&world, &[]);
    let shown = confirm_with_passphrase(&world, &["approve", &id, "--fresh"], "portero task");
    assert!(shown.contains("what is open there"), "the prompt says what it lacks: {shown}");
    let told = outcome(&mut other, &id);
    assert!(told.contains("with nothing"), "{told}");
    let acted = acted(&world);
    assert_eq!(acted.len(), 1);
    assert!(!acted[0].contains("/entered") && before.contains("/entered"), "{acted:?}");
}

#[test]
fn a_person_is_told_that_the_server_was_restarted() {
    let world = shell_home(&json!({}));
    let mut agent = Agent::connect(&world, &[]);
    let before = tell(&mut agent);
    let id = ask(&mut agent);
    let pid = before.split_once(' ').unwrap().0.parse().unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let refused = eventually("the daemon noticed", || {
        let refused = world.run(&["approve", &id]);
        refused.stderr.contains("its server was restarted since").then_some(refused)
    });
    assert_ne!(refused.code, 0);
    assert!(acted(&world).is_empty(), "nothing ran");
}

#[test]
fn an_approved_call_of_a_project_server_meets_what_all_its_sessions_share() {
    let world = shell_home(&json!({"instance": "project"}));
    let (mut agent, mut other) = (Agent::connect(&world, &[]), Agent::connect(&world, &[]));
    agent.call_tool("shell__open", &json!({}));
    let before = tell(&mut agent);
    assert_eq!(tell(&mut other), before, "one process for the project");
    let id = ask(&mut other);
    confirm_with_passphrase(&world, &["approve", &id], "portero task");
    let told = outcome(&mut other, &id);
    assert!(told.contains(&before), "{told}");
    assert_eq!(acted(&world), [before]);
}
