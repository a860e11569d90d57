//! `portero approve` and `portero reject` at a real terminal: asking about each call, several at once, and the outcome.

#![cfg(unix)]

use std::process::Command;
use std::time::Duration;

use expectrl::session::OsSession;
use expectrl::{Eof, Expect as _, Session};
use serde_json::{Value, json};

use crate::agent::{Agent, result_text};
use crate::terminal::{PASSPHRASE, confirm_with_passphrase, set_passphrase, spawn_on_terminal};
use crate::test_support::{TEST_TIMEOUT, TestHome, eventually};

/// A server whose `act` answers, whose `fail` answers with an error, and whose `hang` answers once the file exists.
const SHELL: &str = r#"
while read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  answer='"result":{"content":[{"type":"text","text":"acted"}]}'
  case "$line" in
    *'"method":"initialize"'*) answer='"result":{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"method":"tools/list"'*) answer='"result":{"tools":[{"name":"act","inputSchema":{"type":"object"}},{"name":"fail","inputSchema":{"type":"object"}},{"name":"hang","inputSchema":{"type":"object"}}]}' ;;
    *'"name":"fail"'*) answer='"error":{"code":-32000,"message":"the disk is full"}' ;;
    *'"name":"hang"'*) while [ ! -e "$1" ]; do sleep 0.05; done ;;
    *'"name":"act"'*) ;;
    *) continue ;;
  esac
  printf '{"jsonrpc":"2.0","id":%s,%s}\n' "$id" "$answer"
done
"#;

/// A home with that server, which asks for everything, and with a passphrase.
fn shell_home() -> TestHome {
    shell_home_with(&json!({}))
}

/// The same, with this `portero.json`.
pub(crate) fn shell_home_with(settings: &Value) -> TestHome {
    let home = TestHome::with_office();
    let script = home.path("shell.sh");
    std::fs::write(&script, SHELL).unwrap();
    let server = json!({"name": "shell", "command": "sh", "args": [script, home.path("released")]});
    home.write("mcps.json", &json!({"mcps": [server]}));
    home.write("policies.json", &json!({"policies": {"shell/*": "require-approval"}}));
    home.write("portero.json", settings);
    set_passphrase(&home);
    home
}

/// The agent asks for a call; gives the task's id.
pub(crate) fn ask(agent: &mut Agent, tool: &str, label: &str) -> String {
    let pending = agent.call_tool(tool, &json!({ "label": label }));
    let id = &pending["result"]["structuredContent"]["taskId"];
    id.as_str().unwrap_or_else(|| panic!("{pending}")).to_owned()
}

fn state(home: &TestHome, id: &str) -> String {
    home.json(&["task", id])["state"].as_str().unwrap().to_owned()
}

/// Types the passphrase at its prompt; gives what was shown before.
pub(crate) fn type_passphrase(terminal: &mut OsSession, passphrase: &str) -> String {
    let asked = terminal.expect("Passphrase, to ").unwrap();
    let shown = String::from_utf8_lossy(asked.before()).into_owned();
    terminal.expect(": ").unwrap();
    // The terminal echoes until the prompt's reader turned that off.
    std::thread::sleep(Duration::from_millis(50));
    terminal.send_line(passphrase).unwrap();
    shown
}

/// Waits for the question about a call, and answers it; gives what was shown before.
pub(crate) fn answer(terminal: &mut OsSession, line: &str) -> String {
    let asked = terminal.expect("a number of the list: ").unwrap();
    let shown = String::from_utf8_lossy(asked.before()).into_owned();
    terminal.send_line(line).unwrap();
    shown
}

/// Presses Ctrl-C at a prompt for a passphrase until the command ends. A press that comes before the prompt took over
/// the keys is a signal, which that prompt doesn't hear.
pub(crate) fn interrupt(terminal: &mut OsSession) {
    terminal.set_expect_timeout(Some(Duration::from_secs(1)));
    for _ in 0..60 {
        let _ = terminal.send("\u{3}");
        if terminal.expect(Eof).is_ok() {
            return;
        }
    }
    panic!("Ctrl-C does not end it");
}

/// Waits for the end; gives the rest of the screen and the exit code.
pub(crate) fn end(terminal: &mut OsSession) -> (String, i32) {
    use expectrl::process::unix::WaitStatus;
    let rest = terminal.expect(Eof).unwrap();
    let rest = String::from_utf8_lossy(rest.as_bytes()).replace("\r\n", "\n");
    match terminal.get_process().wait().unwrap() {
        WaitStatus::Exited(_, code) => (rest, code),
        other => panic!("{other:?}: {rest}"),
    }
}

#[test]
fn without_an_id_each_waiting_call_is_shown_and_asked_about() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let ids = ["Alder", "Birch", "Cedar"].map(|label| ask(&mut agent, "shell__act", label));
    let mut terminal = spawn_on_terminal(&home, &["approve"]);
    let shown = answer(&mut terminal, "y");
    assert!(shown.contains("3 calls wait for you") && shown.contains("Call 1 of 3"), "{shown}");
    assert!(shown.contains(&ids[0]) && shown.contains(r#""label": "Alder""#), "the oldest, whole: {shown}");
    type_passphrase(&mut terminal, "not the one");
    terminal.expect("Not approved: that is not the approval passphrase").unwrap();
    answer(&mut terminal, "y");
    type_passphrase(&mut terminal, PASSPHRASE);
    terminal.expect("shell/act is completed").unwrap();
    let shown = answer(&mut terminal, "d");
    assert!(shown.contains("acted"), "the result of the first: {shown}");
    assert!(shown.contains("Call 2 of 3") && shown.contains(r#""label": "Birch""#), "{shown}");
    terminal.expect("The reason, which the agent is given: ").unwrap();
    terminal.send_line("ask me on Monday").unwrap();
    terminal.expect("shell/act is denied").unwrap();
    // What comes meanwhile is asked about too.
    let late = ask(&mut agent, "shell__act", "Dogwood");
    answer(&mut terminal, "");
    terminal.expect("`` is none of these").unwrap();
    answer(&mut terminal, "s");
    terminal.expect("1 call waits for you").unwrap();
    let shown = answer(&mut terminal, "n");
    assert!(shown.contains(&late), "{shown}");
    let (rest, code) = end(&mut terminal);
    assert!(rest.contains("1 call still wait") && code == 0, "{rest}");
    let states = [&ids[0], &ids[1], &ids[2], &late].map(|id| state(&home, id));
    assert_eq!(states, ["completed", "denied", "pending-approval", "denied"]);
    assert_eq!(home.json(&["task", &ids[1]])["note"], "ask me on Monday");
}

#[test]
fn reject_without_an_id_asks_too_and_a_number_goes_to_a_call() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let ids = ["Alder", "Birch"].map(|label| ask(&mut agent, "shell__act", label));
    let mut terminal = spawn_on_terminal(&home, &["reject"]);
    answer(&mut terminal, "2");
    let shown = answer(&mut terminal, "y");
    assert!(shown.contains("Call 2 of 2") && shown.contains("Birch"), "{shown}");
    let shown = answer(&mut terminal, "q");
    assert!(shown.contains("Call 1 of 2"), "then the one before: {shown}");
    assert_eq!(end(&mut terminal).1, 0);
    assert_eq!(ids.map(|id| state(&home, &id)), ["pending-approval", "denied"]);
}

#[test]
fn an_answer_to_a_call_that_was_decided_elsewhere_counts_for_nothing() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let ids = ["Alder", "Birch"].map(|label| ask(&mut agent, "shell__act", label));
    let mut terminal = spawn_on_terminal(&home, &["approve"]);
    terminal.expect("a number of the list: ").unwrap();
    assert_eq!(home.run(&["reject", &ids[0]]).code, 0);
    terminal.expect("This call is denied now, and no answer to it counts. Press Enter to go on.").unwrap();
    // Meant for the first call, and typed a moment too late.
    terminal.send_line("n").unwrap();
    let shown = answer(&mut terminal, "q");
    assert!(shown.contains("Call 2 of 2"), "{shown}");
    assert_eq!(end(&mut terminal).1, 0);
    assert_eq!(ids.map(|id| state(&home, &id)), ["denied", "pending-approval"]);
}

#[test]
fn a_call_that_is_decided_elsewhere_while_the_passphrase_is_typed_does_not_run() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let id = ask(&mut agent, "shell__act", "Alder");
    let mut terminal = spawn_on_terminal(&home, &["approve"]);
    answer(&mut terminal, "y");
    terminal.expect("Passphrase, to ").unwrap();
    terminal.expect(": ").unwrap();
    assert_eq!(home.run(&["reject", &id]).code, 0);
    terminal.send_line(PASSPHRASE).unwrap();
    terminal.expect("Not approved: ").unwrap();
    let (rest, code) = end(&mut terminal);
    assert!(rest.contains("shell/act") && rest.contains("is denied now") && code == 0, "{rest}");
    assert!(rest.contains("Nothing waits for you"), "{rest}");
}

#[test]
fn without_a_terminal_or_with_json_it_says_what_to_type() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let id = ask(&mut agent, "shell__act", "Alder");
    for command in ["approve", "reject"] {
        for words in [&[command][..], &[command, "--json"]] {
            let said = home.run(words);
            assert_eq!(said.code, 2, "{}", said.stderr);
            let hint = format!("type the IDs: `portero {command} ID…`; `portero pending` lists them");
            assert!(said.stderr.contains(&hint) && said.stdout.is_empty(), "{}", said.stderr);
        }
    }
    assert_eq!(state(&home, &id), "pending-approval");
}

#[test]
fn several_ids_take_one_passphrase_and_each_outcome_is_shown() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let ids = ["Alder", "Birch"].map(|label| ask(&mut agent, "shell__act", label));
    let failing = ask(&mut agent, "shell__fail", "Cedar");
    let ended = ask(&mut agent, "shell__act", "Dogwood");
    let other = ask(&mut agent, "shell__act", "Elm");
    assert_eq!(home.run(&["reject", &ended]).code, 0);

    // A mistyped id is found before anything is decided.
    let said = home.run(&["approve", &ids[0], "nosuch"]);
    assert_eq!(said.code, 1);
    assert!(
        said.stderr.contains("no waiting task has an id that begins or ends with `nosuch`"),
        "{}",
        said.stderr
    );

    let words = ["approve", &ids[0], &ended, &failing, &ids[1], &ids[0]];
    let mut terminal = spawn_on_terminal(&home, &words);
    let shown = type_passphrase(&mut terminal, PASSPHRASE);
    let (told, calls) = shown.split_once("Call 1 of 3").expect("three calls are shown");
    assert!(
        told.contains("NOT shell/act") && told.contains("does not wait any more: it is denied"),
        "{told}"
    );
    for label in ["Alder", "Birch", "Cedar"] {
        assert!(calls.contains(label), "{calls}");
    }
    let (rest, code) = end(&mut terminal);
    assert_eq!(code, 1, "{rest}");
    for (id, state) in [(&ids[0], "completed"), (&ids[1], "completed"), (&failing, "failed")] {
        assert!(
            rest.contains(&format!("{id}: shell/")) && rest.contains(&format!(" is {state}\n")),
            "{rest}"
        );
    }
    assert!(rest.contains("the disk is full") && rest.contains("2 of 4 calls completed"), "{rest}");
    assert_eq!(state(&home, &other), "pending-approval", "exactly those that were shown");
    let logs = home.run(&["logs"]).stdout;
    assert_eq!(logs.matches(" is approved, by portero").count(), 3, "{logs}");
}

#[test]
fn a_wrong_passphrase_for_several_calls_is_one_wrong_try() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let ids = ["Alder", "Birch", "Cedar"].map(|label| ask(&mut agent, "shell__act", label));
    let mut terminal = spawn_on_terminal(&home, &["approve", &ids[0], &ids[1], &ids[2]]);
    type_passphrase(&mut terminal, "not the one");
    let (rest, code) = end(&mut terminal);
    assert!(rest.contains("4 more tries before a pause") && code == 1, "{rest}");
    assert!(ids.iter().all(|id| state(&home, id) == "pending-approval"));
}

#[test]
fn the_outcome_of_a_run_is_shown_and_decides_the_exit_code() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    for (tool, expected, answered) in [("act", 0, "acted"), ("fail", 1, "the disk is full")] {
        let id = ask(&mut agent, &format!("shell__{tool}"), tool);
        let mut terminal = spawn_on_terminal(&home, &["approve", &id]);
        type_passphrase(&mut terminal, PASSPHRASE);
        let (rest, code) = end(&mut terminal);
        assert!(rest.contains(answered) && code == expected, "{tool}: {code}: {rest}");
    }
    // With `--json` the task is printed as it ended.
    let id = ask(&mut agent, "shell__act", "json");
    let out = home.path("out");
    let mut terminal = spawn_in_shell(&home, &["approve", &id, "--json"], &format!("> '{}'", out.display()));
    type_passphrase(&mut terminal, PASSPHRASE);
    assert_eq!(end(&mut terminal).1, 0);
    let task: Value = serde_json::from_str(&std::fs::read_to_string(out).unwrap()).unwrap();
    assert_eq!((&task["id"], &task["state"]), (&json!(id), &json!("completed")));
}

/// Runs `portero` on a terminal through a shell that redirects something.
fn spawn_in_shell(home: &TestHome, words: &[&str], redirection: &str) -> OsSession {
    let portero = home.command(words);
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!(r#""$@" {redirection}"#), "sh"]).arg(portero.get_program());
    shell.args(portero.get_args()).env_clear().current_dir(home.path("project"));
    for (name, value) in portero.get_envs() {
        shell.env(name, value.unwrap());
    }
    let mut session: OsSession = Session::spawn(shell).unwrap();
    session.set_expect_timeout(Some(TEST_TIMEOUT));
    session
}

#[test]
fn progress_is_a_line_that_changes_on_a_terminal_and_plain_lines_elsewhere() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let id = ask(&mut agent, "shell__hang", "Alder");
    let mut terminal = spawn_on_terminal(&home, &["approve", &id]);
    terminal.get_process_mut().set_window_size(100, 40).unwrap();
    type_passphrase(&mut terminal, PASSPHRASE);
    for _ in 0..2 {
        terminal.expect("\rshell/hang is executing, ").unwrap();
        terminal.expect("s; Ctrl-C stops waiting, not the call").unwrap();
    }
    std::fs::write(home.path("released"), "").unwrap();
    terminal.expect("shell/hang is completed").unwrap();
    assert_eq!(end(&mut terminal).1, 0);

    let id = ask(&mut agent, "shell__hang", "Birch");
    let notes = home.path("notes");
    let mut terminal = spawn_in_shell(&home, &["approve", &id], &format!("2> '{}'", notes.display()));
    type_passphrase(&mut terminal, PASSPHRASE);
    assert_eq!(end(&mut terminal).1, 0);
    let notes = std::fs::read_to_string(notes).unwrap();
    assert!(!notes.contains('\u{1b}') && !notes.contains('\r'), "{notes:?}");
    assert!(notes.contains("shell/hang is approved; `portero task"), "{notes}");
}

#[test]
fn ctrl_c_stops_waiting_and_the_call_goes_on() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let id = ask(&mut agent, "shell__hang", "Alder");
    let mut terminal = spawn_on_terminal(&home, &["approve", &id]);
    type_passphrase(&mut terminal, PASSPHRASE);
    terminal.expect("is executing").unwrap();
    terminal.send("\u{3}").unwrap();
    let (rest, code) = end(&mut terminal);
    assert!(rest.contains("stopped waiting for shell/hang, which is executing and goes on"), "{rest}");
    assert!(rest.contains("`portero task ") && code == 1, "{rest}");
    std::fs::write(home.path("released"), "").unwrap();
    eventually("it completes", || (state(&home, &id) == "completed").then_some(()));
}

#[test]
fn no_wait_returns_at_once() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let id = ask(&mut agent, "shell__hang", "Alder");
    confirm_with_passphrase(&home, &["approve", &id, "--no-wait"], "is approved; `portero task");
    std::fs::write(home.path("released"), "").unwrap();
    let checked = agent.call_tool("portero__check_task", &json!({"task_id": id, "wait_seconds": 20}));
    assert!(result_text(&checked).contains("acted"), "{checked}");
}

#[test]
fn a_run_that_is_interrupted_says_so() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let id = ask(&mut agent, "shell__hang", "Alder");
    let mut terminal = spawn_on_terminal(&home, &["approve", &id]);
    type_passphrase(&mut terminal, PASSPHRASE);
    terminal.expect("is executing").unwrap();
    agent.child.kill().unwrap();
    let (rest, code) = end(&mut terminal);
    assert!(
        rest.contains("shell/hang is interrupted") && rest.contains("whether it took effect is unknown"),
        "{rest}"
    );
    assert_eq!(code, 1);
}

#[test]
fn a_pause_is_told_with_the_time_that_is_left_and_the_call_runs_after_it() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let id = ask(&mut agent, "shell__act", "Alder");
    assert_eq!(home.run(&["pause"]).code, 0);
    let mut terminal = spawn_on_terminal(&home, &["approve", &id]);
    type_passphrase(&mut terminal, PASSPHRASE);
    terminal
        .expect("everything is paused; shell/act starts after `portero resume`, if that is before ")
        .unwrap();
    terminal.expect("(in 1").unwrap();
    terminal.expect("shell/act waits for `portero resume`").unwrap();
    confirm_with_passphrase(&home, &["resume"], "Calls run again");
    let (rest, code) = end(&mut terminal);
    assert!(rest.contains("shell/act is completed") && code == 0, "{rest}");
}

#[test]
fn a_call_is_approved_with_a_grant_for_calls_like_it_after_its_effect_was_shown() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let first = ask(&mut agent, "shell__act", "Alder");
    let other = ask(&mut agent, "shell__act", "Birch");
    let mut terminal = spawn_on_terminal(&home, &["approve", &first, "--grant", "10m", "--with", "label"]);
    let shown = type_passphrase(&mut terminal, PASSPHRASE);
    assert!(shown.contains("This permits, too: Every call of shell/act with"), "{shown}");
    assert!(shown.contains("Alder") && shown.contains("for 10m"), "{shown}");
    terminal.expect("grant 1: ").unwrap();
    let (rest, code) = end(&mut terminal);
    assert!(rest.contains("shell/act is completed") && code == 0, "{rest}");
    // The same label runs, and another one asks.
    let runs = agent.call_tool("shell__act", &json!({"label": "Alder"}));
    assert_eq!(result_text(&runs), "acted", "{runs}");
    ask(&mut agent, "shell__act", "Cedar");
    assert_eq!(state(&home, &other), "pending-approval");

    let mut terminal = spawn_on_terminal(&home, &["approve", &other, "--always"]);
    let shown = type_passphrase(&mut terminal, PASSPHRASE);
    assert!(shown.contains("Every call of shell/act, from now on, until you remove the rule"), "{shown}");
    assert!(shown.contains("1 other waiting call is covered, and still to be approved: "), "{shown}");
    terminal.expect("`portero unrule ").unwrap();
    assert_eq!(end(&mut terminal).1, 0);
    let runs = agent.call_tool("shell__act", &json!({"label": "Dogwood"}));
    assert_eq!(result_text(&runs), "acted", "{runs}");
}

#[test]
fn what_fits_no_call_is_refused_before_the_passphrase() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let ids = ["Alder", "Birch"].map(|label| ask(&mut agent, "shell__act", label));
    for (words, code, told) in [
        (&["approve", &ids[0], &ids[1], "--always"][..], 2, "confirmed with one call"),
        (&["approve", "--always"], 2, "confirmed with one call"),
        (&["approve", &ids[0], "--with", "label"], 2, "need `--grant DURATION` or `--session`"),
        (&["approve", &ids[0], "--exact", "--always"], 2, "cannot be used with"),
        (&["approve", &ids[0], "--session", "--with", "nosuch"], 1, "can't be fixed"),
        (&["approve", &ids[0], "--grant", "48h"], 1, "a grant lasts at most"),
    ] {
        let said = home.run(words);
        assert_eq!(said.code, code, "{words:?}: {}", said.stderr);
        assert!(said.stderr.contains(told), "{words:?}: {}", said.stderr);
    }
    assert!(ids.iter().all(|id| state(&home, id) == "pending-approval"));
}

#[test]
fn where_each_call_is_asked_about_more_can_be_permitted_too() {
    let home = shell_home();
    let mut agent = Agent::connect(&home, &[]);
    let id = ask(&mut agent, "shell__act", "Alder");
    let mut terminal = spawn_on_terminal(&home, &["approve"]);
    answer(&mut terminal, "m");
    let offered =
        terminal.expect("Run it, and permit which of these? A number, or Enter to go back: ").unwrap();
    let offered = String::from_utf8_lossy(offered.before()).into_owned();
    let wanted = "  Every call of shell/act, for 10m";
    let line = offered.lines().find(|line| line.trim_end().ends_with(wanted)).expect("it is offered");
    terminal.send_line(line.trim_start().split_once(' ').unwrap().0).unwrap();
    let shown = type_passphrase(&mut terminal, PASSPHRASE);
    assert!(shown.contains("This permits, too: Every call of shell/act, for 10m."), "{shown}");
    terminal.expect("grant 1: `shell/act` runs unasked").unwrap();
    assert_eq!(end(&mut terminal).1, 0);
    assert_eq!(state(&home, &id), "completed");
    assert_eq!(result_text(&agent.call_tool("shell__act", &json!({"label": "Birch"}))), "acted");
}
