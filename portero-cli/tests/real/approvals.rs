//! From a question to its result, with a real server behind.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::peers::peers;
use crate::test_support::{PASSPHRASE, TestHome};

/// A person whose filesystem server may read, must ask to write, and never moves a file.
pub(crate) fn filesystem_home() -> TestHome {
    let home = TestHome::new(
        &json!({}),
        &json!({"policies": {"files/read_*": "allow", "files/write_file": "require-approval", "files/move_*": "deny"}}),
    );
    home.write("mcps.json", &json!({"mcps": [filesystem_server(&home.path("project"))]}));
    home
}

/// server-filesystem under the name `files`, on one directory.
pub(crate) fn filesystem_server(directory: &Path) -> Value {
    let script = peers().npm_server("server-filesystem");
    json!({"name": "files", "command": "node", "args": [script, directory]})
}

/// Asks to write a file and returns the task's id from the pending answer.
pub(crate) fn ask_to_write(agent: &mut Agent, file: &Path, content: &str) -> String {
    agent.wait_for_tool("files__write_file");
    let answer = agent.call_tool("files__write_file", json!({"path": file, "content": content}));
    // The tool has an output schema, and a client that checks it would throw a structured answer away.
    assert_eq!((&answer["isError"], &answer["structuredContent"]), (&json!(true), &Value::Null), "{answer}");
    let pending: Value = serde_json::from_str(result_text(&answer)).expect("an object");
    assert_eq!(pending["status"], "pending-approval", "{answer}");
    assert_eq!(pending["toolName"], "files/write_file");
    pending["taskId"].as_str().expect("an id").to_owned()
}

/// The result of a task once it is final.
pub(crate) fn check_task(agent: &mut Agent, task: &str) -> Value {
    agent.call_tool("portero__check_task", json!({"task_id": task, "wait_seconds": 30}))
}

#[test]
fn an_approved_write_happens_once_and_its_own_result_is_fetched() {
    let home = filesystem_home();
    home.set_passphrase();
    let mut agent = home.start_agent();
    let file = home.path("project").join("new.txt");
    let task = ask_to_write(&mut agent, &file, "written once");
    assert!(!file.exists(), "nothing happens before the person decides");
    assert_eq!(home.json(&["pending"]).as_array().map(Vec::len), Some(1));

    home.approve_task(&task);
    let result = check_task(&mut agent, &task);
    assert!(result_text(&result).contains("Successfully wrote"), "the tool's own result: {result}");
    assert_eq!(fs::read_to_string(&file).expect("written"), "written once");

    fs::remove_file(&file).expect("there");
    let (code, screen) = home.run_at_terminal(&["approve", &task], &[PASSPHRASE]);
    assert_eq!(code, 1, "a second yes changes nothing: {screen}");
    assert!(!file.exists());
    let listed = agent.call_tool("portero__list_tasks", json!({"status": "completed"}));
    assert!(listed.to_string().contains(&task), "{listed}");
}

#[test]
fn a_rejected_call_never_runs_and_the_agent_reads_the_reason() {
    let home = filesystem_home();
    let mut agent = home.start_agent();
    let file = home.path("project").join("new.txt");
    let task = ask_to_write(&mut agent, &file, "never");
    let output = home.run(&["reject", &task, "--reason", "not today"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result = check_task(&mut agent, &task);
    assert!(result.to_string().contains("not today"), "{result}");
    assert!(!file.exists());
}

#[test]
fn a_denied_tool_is_not_listed_and_not_called() {
    let home = filesystem_home();
    let mut agent = home.start_agent();
    agent.wait_for_tool("files__write_file");
    assert!(!agent.tool_names().iter().any(|name| name.contains("move_file")));
    let refused = agent.call_tool(
        "portero__call",
        json!({"tool": "files/move_file", "args": {"source": "a", "destination": "b"}}),
    );
    assert_eq!(refused["isError"], true);
    assert!(result_text(&refused).contains("files/move_*"), "the refusal names the rule: {refused}");
}

#[test]
fn a_grant_lets_calls_through_until_it_is_revoked() {
    let home = filesystem_home();
    home.set_passphrase();
    let mut agent = home.start_agent();
    agent.wait_for_tool("files__write_file");
    let (code, screen) = home.run_at_terminal(&["grant", "files/write_file", "10m"], &[PASSPHRASE]);
    assert_eq!(code, 0, "{screen}");
    let file = home.path("project").join("granted.txt");
    let done = agent.call_tool("files__write_file", json!({"path": file, "content": "granted"}));
    assert!(
        result_text(&done).contains("Successfully wrote"),
        "in force before the command returned: {done}"
    );
    assert!(home.run(&["revoke", "--all"]).status.success());
    ask_to_write(&mut agent, &file, "again");
}

#[test]
fn a_deny_is_in_force_in_every_session_before_its_command_returns() {
    let home = filesystem_home();
    let (mut one, mut two) = (home.start_agent(), home.start_agent());
    for agent in [&mut one, &mut two] {
        agent.wait_for_tool("files__read_text_file");
    }
    assert!(home.run(&["deny", "files/read_*"]).status.success());
    for agent in [&mut one, &mut two] {
        let refused =
            agent.call_tool("files__read_text_file", json!({"path": home.path("project").join("x")}));
        assert_eq!(refused["isError"], true);
        assert!(result_text(&refused).contains("files/read_*"), "{refused}");
    }
}

#[test]
fn a_shared_server_is_one_process_for_two_sessions() {
    let home = TestHome::new(&json!({}), &json!({"policies": {"memory/*": "allow"}}));
    let memory = home.path("state").join("memory.json");
    home.write(
        "mcps.json",
        &json!({"mcps": [{"name": "memory", "command": "node", "args": [peers().npm_server("server-memory")],
                          "env": {"MEMORY_FILE_PATH": memory}, "instance": "user"}]}),
    );
    let (mut one, mut two) = (home.start_agent(), home.start_agent());
    for agent in [&mut one, &mut two] {
        agent.wait_for_tool("memory__create_entities");
    }
    let entity =
        json!({"entities": [{"name": "A", "entityType": "letter", "observations": ["from session one"]}]});
    one.call_tool("memory__create_entities", entity);
    let graph = two.call_tool("memory__read_graph", json!({}));
    assert!(graph.to_string().contains("from session one"), "{graph}");
    let status = home.json(&["status"]);
    assert_eq!(status["sessions"].as_array().map(Vec::len), Some(2), "{status}");
}

#[test]
fn real_values_reach_the_server_and_fakes_the_agent() {
    let mut home = filesystem_home();
    home.variables.push(("REAL_NAME", "Ada Lovelace".to_owned()));
    home.write(
        "replacements.json",
        &json!({"replacements": [{"fake": "John Doe", "real": "${REAL_NAME}", "bidirectional": true, "label": "name"}]}),
    );
    home.set_passphrase();
    let mut agent = home.start_agent();
    assert!(agent.welcome["instructions"].to_string().contains("John Doe"), "{}", agent.welcome);
    let file = home.path("project").join("letter.txt");
    let task = ask_to_write(&mut agent, &file, "Yours, John Doe");
    home.approve_task(&task);
    check_task(&mut agent, &task);
    assert_eq!(fs::read_to_string(&file).expect("written"), "Yours, Ada Lovelace");
    let read = agent.call_tool("files__read_text_file", json!({"path": file}));
    assert!(read.to_string().contains("Yours, John Doe"), "{read}");
    assert!(
        !agent.received_lines.iter().any(|line| line.contains("Ada Lovelace")),
        "no line holds the real name"
    );
    let logs = home.run(&["logs"]);
    assert!(!String::from_utf8_lossy(&logs.stdout).contains("Ada Lovelace"));
}
