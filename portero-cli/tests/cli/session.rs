//! An agent's session through the real `portero mcp`, the sample server and the real daemon.

use std::time::Duration;

use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::test_support::{TestHome, eventually};

const REAL_NAME: &str = "Marta Lindqvist";

fn sent_mails(world: &TestHome) -> Vec<Value> {
    world.received_calls().into_iter().filter(|call| call["tool"] == "send_mail").collect()
}

#[test]
fn an_agent_lists_and_reads_without_ever_seeing_a_real_value() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    let listed = agent.request("tools/list", &json!({}));
    let names: Vec<_> = listed["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert!(names.contains(&"office__read_mail"), "{names:?}");
    assert!(!names.contains(&"office__delete_mail"), "denied tools are not listed: {names:?}");
    let found = agent.call_tool("office__search_mail", &json!({"query": "Jane Doe"}));
    assert!(result_text(&found).contains("Invoice 4471"), "{found}");
    let read = agent.call_tool("office__read_mail", &json!({"id": 2}));
    assert!(result_text(&read).contains("Jane Doe <jane@example.com>"), "{read}");
    assert_eq!(world.received_calls()[0]["arguments"]["query"], REAL_NAME);
    assert!(!agent.received_text.contains(REAL_NAME));
}

#[test]
fn a_denied_call_never_reaches_the_server() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    let answer = agent.call_tool("office__delete_mail", &json!({"id": 1}));
    assert!(answer.to_string().contains("office/delete_*"), "the refusal names the rule: {answer}");
    assert!(world.received_calls().is_empty());
    let refused = world.run(&["logs", "--tool", "office/*"]);
    assert!(
        refused.stdout.contains("refused") && refused.stdout.contains("office/delete_mail"),
        "{}",
        refused.stdout
    );
}

#[cfg(unix)]
#[test]
fn an_approved_call_runs_once_and_its_result_is_fetched() {
    use crate::terminal::{confirm_with_passphrase, set_passphrase};
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    let mail = json!({"to": "tomas@printers.test", "subject": "Hello", "body": "From Jane Doe"});
    let pending = agent.call_tool("office__send_mail", &mail);
    let pending = &pending["result"]["structuredContent"];
    assert_eq!(pending["status"], "pending-approval", "{pending}");
    let id = pending["taskId"].as_str().unwrap();
    assert_eq!(world.json(&["pending"])[0]["id"], id);
    assert!(sent_mails(&world).is_empty());

    let shown = confirm_with_passphrase(&world, &["approve", &id[id.len() - 6..]], "portero task");
    assert!(shown.contains("tomas@printers.test") && shown.contains("From Jane Doe"), "{shown}");
    assert!(!shown.contains(REAL_NAME), "the terminal shows concealed values: {shown}");

    let checked = agent.call_tool("portero__check_task", &json!({"task_id": id, "wait_seconds": 20}));
    assert!(checked.to_string().contains("sent to tomas@printers.test"), "{checked}");
    assert_eq!(sent_mails(&world).len(), 1);
    assert_eq!(sent_mails(&world)[0]["arguments"]["body"], format!("From {REAL_NAME}"));
    assert!(!agent.received_text.contains(REAL_NAME));
    assert_eq!(world.json(&["task", id])["state"], "completed");
    assert_eq!(world.run(&["logs", "verify"]).code, 0);
}

#[cfg(unix)]
#[test]
fn approve_names_what_voids_it_before_it_asks_for_a_passphrase() {
    use crate::terminal::{set_passphrase, spawn_on_terminal};
    use expectrl::{Eof, Expect as _};
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    let mail = json!({"to": "a@b.test", "subject": "x", "body": "y"});
    agent.call_tool("office__send_mail", &mail);
    let task = world.json(&["pending"])[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.run(&["deny", "office/send_mail"]).code, 0);
    let mut terminal = spawn_on_terminal(&world, &["approve", &task]);
    let shown = terminal.expect(Eof).unwrap();
    let shown = String::from_utf8_lossy(shown.as_bytes()).replace("\r\n", " ");
    assert!(!shown.contains("Passphrase"), "{shown}");
    assert!(shown.contains("would not run any more: denied by `office/send_mail` (rule 1)"), "{shown}");
    assert!(shown.contains("portero reject"), "{shown}");
    assert_eq!(world.json(&["task", &task])["state"], "pending-approval");
}

#[test]
fn a_rejected_call_never_runs() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &[]);
    let mail = json!({"to": "a@b.test", "subject": "x", "body": "y"});
    let pending = agent.call_tool("office__send_mail", &mail);
    let id = pending["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    assert_eq!(world.run(&["reject", &id, "--reason", "not today"]).code, 0);
    let checked = agent.call_tool("portero__check_task", &json!({"task_id": id, "wait_seconds": 20}));
    assert!(checked.to_string().contains("Reason: not today. Do not"), "{checked}");
    for words in [&["reject", &id][..], &["approve", &id[id.len() - 6..]]] {
        let again = world.run(words);
        assert_eq!(again.code, 1);
        assert!(again.stderr.contains("does not wait any more: it is denied"), "{}", again.stderr);
    }
    assert!(sent_mails(&world).is_empty());
}

#[test]
fn a_deny_made_on_the_terminal_holds_in_a_running_session_at_once() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &[]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    eventually("the session is connected", || {
        (world.json(&["status"])["sessions"].as_array().unwrap().len() == 1).then_some(())
    });
    world.json(&["deny", "office/read_mail"]);
    let refused = agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert!(
        refused.to_string().contains("office/read_mail") && !refused.to_string().contains("Invoice"),
        "{refused}"
    );
}

#[test]
fn without_the_daemon_allowed_calls_work_and_asking_ones_are_refused_clearly() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    let answer =
        agent.call_tool("office__send_mail", &json!({"to": "a@b.test", "subject": "x", "body": "y"}));
    assert!(answer.to_string().contains("portero daemon start"), "{answer}");
    assert!(sent_mails(&world).is_empty());
}

#[test]
fn damaged_denies_mean_that_nothing_is_allowed_without_the_daemon() {
    let world = TestHome::with_office();
    world.json(&["deny", "office/read_note"]);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    std::fs::write(world.path("state").join("denies.json"), "{}").unwrap();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert!(world.received_calls().is_empty());
}

#[test]
fn an_invalid_configuration_still_answers_and_says_what_to_do() {
    let world = TestHome::with_office();
    world.write("policies.json", &json!({"policies": {"office/*": "alow"}}));
    let mut agent = Agent::connect(&world, &[]);
    let answer = agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert!(result_text(&answer).contains("portero check"), "{answer}");
    agent.close();
    assert_eq!(agent.child.wait().unwrap().code(), Some(2));
}

#[test]
fn a_session_ends_promptly_when_the_agent_leaves() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    let took = agent.close();
    assert!(took < 1_000, "it took {took} ms");
}

/// The processes that serve this world, by their command lines.
#[cfg(target_os = "linux")]
fn server_processes(world: &TestHome) -> Vec<String> {
    let mark = world.path("received.jsonl").to_str().unwrap().to_owned();
    let commands = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    commands.filter(|command| command.contains(&mark)).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn however_a_session_ends_its_servers_end_too() {
    use rustix::process::{Pid, Signal, kill_process};
    let world = TestHome::with_office();
    for signal in [Signal::INT, Signal::TERM, Signal::KILL] {
        let mut agent = Agent::connect(&world, &["--no-start"]);
        result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
        assert!(!server_processes(&world).is_empty());
        let begin = std::time::Instant::now();
        kill_process(Pid::from_child(&agent.child), signal).unwrap();
        agent.child.wait().unwrap();
        eventually("no server is left", || server_processes(&world).is_empty().then_some(()));
        let took = begin.elapsed().as_millis();
        // 300 ms on a machine with nothing else to do.
        assert!(took < 1_500, "{signal:?}: it took {took} ms");
    }
}

/// Records of a session that ended; their end is known to the daemon once it said so.
#[test]
fn verify_finds_what_was_cut_off_and_what_is_gone_and_names_it() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &[]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    eventually("the session is connected", || {
        (world.json(&["status"])["sessions"].as_array().unwrap().len() == 1).then_some(())
    });
    let audit = world.path("state/audit");
    let segment = || {
        let files = std::fs::read_dir(&audit).unwrap().map(|entry| entry.unwrap().path());
        let of_session = |path: &std::path::PathBuf| {
            std::fs::read_to_string(path).unwrap().contains("\"tool\":\"office/read_mail\"")
        };
        files.into_iter().find(of_session).unwrap()
    };
    let path = segment();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    let holds = world.json(&["logs", "verify"]);
    assert_eq!(holds["compared"], true);
    drop(agent);

    let whole = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<_> = whole.split_inclusive('\n').collect();
    std::fs::write(&path, lines[..lines.len() - 1].concat()).unwrap();
    let cut = world.run(&["logs", "verify"]);
    assert_eq!(cut.code, 1);
    assert!(cut.stdout.contains(&format!("{name}  BROKEN at line {}", lines.len())), "{}", cut.stdout);

    std::fs::remove_file(&path).unwrap();
    let gone = world.run(&["logs", "verify"]);
    assert_eq!(gone.code, 1);
    assert!(gone.stdout.contains(&name), "{}", gone.stdout);
    assert!(world.run(&["logs"]).stdout.contains(&format!("ALARM     audit segment {name}")));
}

#[test]
fn without_the_daemon_verify_does_not_say_that_all_is_well() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    let said = world.run(&["logs", "verify", "--no-start"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(
        said.stdout.contains("records hold") && said.stderr.contains("only the daemon can tell"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_logs_are_filtered_by_what_was_decided_and_when() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &["--no-start"]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    agent.call_tool("office__delete_mail", &json!({"id": 1}));
    let tools = |words: &[&str]| -> Vec<String> {
        let all: Vec<_> = ["logs", "--json"].iter().chain(words).copied().collect();
        let said = world.run(&all);
        assert_eq!(said.code, 0, "{}", said.stderr);
        let lines = said.stdout.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let tool = |line: Value| {
            let event = line["record"]["event"].as_object().unwrap().values().next().unwrap().clone();
            event["tool"].as_str().unwrap().to_owned()
        };
        lines.map(tool).collect()
    };
    assert_eq!(tools(&["--decision", "allowed"]), ["office/read_mail", "office/read_mail"]);
    assert_eq!(tools(&["--decision", "allowed", "-n", "1"]), ["office/read_mail"]);
    assert_eq!(tools(&["--decision", "refused", "--server", "office"]), ["office/delete_mail"]);
    assert_eq!(tools(&["--tool", "*/delete_*", "--since", "1h"]), ["office/delete_mail"]);
    assert!(tools(&["--decision", "refused", "--server", "other"]).is_empty());
    assert!(tools(&["--decision", "refused", "--until", "2026-01-01T10:00"]).is_empty());
    let soon = (jiff::Timestamp::now() + Duration::from_secs(1)).to_string();
    assert!(tools(&["--decision", "refused", "--follow", "--until", &soon]).len() == 1, "it ends");
    assert!(tools(&["--task", "beef"]).is_empty());
    let wrong = world.run(&["logs", "--since", "yesterday"]);
    assert!(wrong.code == 2 && wrong.stderr.contains("2026-11-20T10:00"), "{}", wrong.stderr);
}
