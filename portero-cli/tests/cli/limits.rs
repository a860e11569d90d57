//! The programs where no file may get longer (`ulimit -f`), which is a disk that is full and no silent end.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::test_support::{CommandOutput, TestHome};

/// Sets the limit, in units that are 512 or 1024 bytes, and is the program.
const ULIMIT_SCRIPT: &str = r#"ulimit -f "$0"; exec "$@""#;

/// `portero` with these words, and whatever it starts, under a limit.
fn limited_command(world: &TestHome, units: usize, words: &[&str]) -> Command {
    let plain = world.command(words);
    let mut command = Command::new("sh");
    command.args(["-c", ULIMIT_SCRIPT, &units.to_string()]).arg(plain.get_program()).args(plain.get_args());
    command.env_clear().current_dir(plain.get_current_dir().unwrap());
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command
}

#[test]
fn a_session_that_can_record_nothing_answers_its_handshake_and_says_why() {
    let world = TestHome::with_office();
    let mut session = limited_command(&world, 0, &["mcp"]);
    let mut session =
        session.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut input = session.stdin.take().unwrap();
    for line in [
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-06-18"}}"#,
        r#"{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"office__list_mail"}}"#,
    ] {
        writeln!(input, "{line}").unwrap();
    }
    drop(input);
    let said = CommandOutput::from_output(session.wait_with_output().unwrap());
    let answers: Vec<Value> = said.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let why = answers[0]["result"]["instructions"].as_str().unwrap();
    assert!(why.contains("audit"), "{why}");
    assert!(answers[1].to_string().contains("audit"), "{}", answers[1]);
    assert_ne!(said.code, 0, "{}", said.stderr);
    assert!(world.received_calls().is_empty());
}

#[test]
fn a_daemon_that_can_save_nothing_more_goes_on_denies_and_marks_what_is_not_saved() {
    let world = TestHome::with_office();
    let mut unsaved = None;
    for number in 0..150 {
        let pattern = format!("office/read_{number}");
        let said =
            CommandOutput::from_output(limited_command(&world, 600, &["deny", &pattern]).output().unwrap());
        if said.code != 0 {
            assert!(said.stderr.contains("in force, but could not be saved yet"), "{}", said.stderr);
            unsaved = Some(pattern);
            break;
        }
    }
    let unsaved = unsaved.expect("the limit is reached");
    let (status, rules) = (world.run(&["status"]), world.run(&["rules"]));
    assert!(status.code == 0 && status.stdout.contains("UNSAVED"), "{}{}", status.stdout, status.stderr);
    let marked: Vec<_> = rules.stdout.lines().filter(|line| line.contains("deny (unsaved)")).collect();
    assert!(marked.len() == 1 && marked[0].contains(&unsaved), "{}", rules.stdout);
    assert!(world.json(&["rules"])["unsaved"]["rules"].as_array().is_some_and(|rules| rules.len() == 1));
    let paused = world.run(&["pause"]);
    assert!(paused.stderr.contains("in force, but could not be saved yet"), "{}", paused.stderr);
    assert!(world.run(&["status"]).stdout.contains("PAUSED"));
}
