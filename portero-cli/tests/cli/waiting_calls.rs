//! The waiting calls that a grant or rule allows, at the terminal: shown before the confirmation, and run with it.

#![cfg(unix)]

use std::time::Duration;

use expectrl::{Eof, Expect as _};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::terminal::{PASSPHRASE, set_passphrase, spawn_on_terminal};
use crate::test_support::{TestHome, eventually};

fn ask_for_mail(agent: &mut Agent, subject: &str) -> String {
    let mail = json!({"to": "a@b.test", "subject": subject, "body": "y"});
    let pending = agent.call_tool("office__send_mail", &mail);
    let task = &pending["result"]["structuredContent"]["taskId"];
    task.as_str().unwrap_or_else(|| panic!("{pending}")).to_owned()
}

/// A world in which these mails wait.
fn home_with_waiting(subjects: &[&str]) -> (TestHome, Agent, Vec<String>) {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    let tasks = subjects.iter().map(|subject| ask_for_mail(&mut agent, subject)).collect();
    (world, agent, tasks)
}

/// Runs `portero` on a terminal: says `answer` to the question about waiting calls if there is one to say, does
/// `meanwhile`, and types the passphrase. Gives what was shown before it and after it.
fn widen(
    world: &TestHome,
    words: &[&str],
    answer: Option<&str>,
    meanwhile: impl FnOnce(),
) -> (String, String) {
    let mut terminal = spawn_on_terminal(world, words);
    let mut shown = String::new();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if let Some(answer) = answer {
        let asked = terminal.expect("[y/N]").unwrap();
        shown.push_str(&text(asked.before()));
        terminal.send_line(answer).unwrap();
    }
    let asked = terminal.expect("Passphrase, to ").unwrap();
    shown.push_str(&text(asked.before()));
    terminal.expect(": ").unwrap();
    // The terminal echoes until the prompt's reader turned that off.
    std::thread::sleep(Duration::from_millis(50));
    meanwhile();
    terminal.send_line(PASSPHRASE).unwrap();
    let end = terminal.expect(Eof).unwrap();
    (shown, text(end.get(0).unwrap_or_default()))
}

fn state(world: &TestHome, task: &str) -> Value {
    world.json(&["task", task])["state"].clone()
}

fn wait_for_mails(world: &TestHome, count: usize) {
    eventually("the mails are sent", || (world.received_calls().len() == count).then_some(()));
}

#[test]
fn a_yes_runs_the_waiting_calls_with_the_grant_after_one_confirmation() {
    let (world, _agent, tasks) = home_with_waiting(&["one", "two", "three"]);
    let (shown, said) = widen(&world, &["grant", "office/send_mail", "10m"], Some("y"), || {});
    for subject in ["one", "two", "three"] {
        assert!(shown.contains(&format!("\"subject\": \"{subject}\"")), "each is shown whole: {shown}");
    }
    assert!(shown.contains("3 waiting calls would be allowed, shown above; run them too?"), "{shown}");
    wait_for_mails(&world, 3);
    for task in &tasks {
        assert!(said.contains(&format!("{}: office/send_mail is ", &task[task.len() - 8..])), "{said}");
        eventually("it is completed", || (state(&world, task) == "completed").then_some(()));
    }
    let note = world.json(&["task", &tasks[0]])["note"].to_string();
    assert!(note.contains("run with the others") && note.contains("(grant 1)"), "{note}");
    let logs = world.run(&["logs"]).stdout;
    assert_eq!(logs.matches("approved").count(), 3, "each has its own record: {logs}");
    assert_eq!(world.run(&["logs", "verify"]).code, 0);
}

#[test]
fn anything_but_a_yes_leaves_them_waiting() {
    let (world, mut agent, tasks) = home_with_waiting(&["one"]);
    let (shown, said) = widen(&world, &["allow", "office/send_mail"], Some(""), || {});
    assert!(shown.contains("1 waiting call would be allowed, shown above; run it too?"), "{shown}");
    assert!(said.contains("is allowed") && !said.contains("waits on"), "{said}");
    assert_eq!(state(&world, &tasks[0]), "pending-approval");
    assert!(world.received_calls().is_empty());
    // The agent makes the same call again: it is the one that waits.
    let mail = json!({"to": "a@b.test", "subject": "one", "body": "y"});
    let sent = agent.call_tool("office__send_mail", &mail).to_string();
    assert!(sent.contains("sent to"), "{sent}");
    assert_eq!(state(&world, &tasks[0]), "completed");
    assert_eq!(world.received_calls().len(), 1);
}

#[test]
fn run_waiting_asks_no_question_and_says_which_call_ended_meanwhile() {
    let (world, mut agent, tasks) = home_with_waiting(&["one", "two"]);
    let words = ["grant", "office/*", "10m", "--run-waiting"];
    let (shown, said) = widen(&world, &words, None, || {
        agent.call_tool("portero__cancel_task", &json!({"taskId": tasks[0]}));
    });
    assert!(shown.contains("2 waiting calls would be allowed, shown above. They run too."), "{shown}");
    let short = &tasks[0][tasks[0].len() - 8..];
    assert!(said.contains(&format!("{short}: office/send_mail is cancelled")), "{said}");
    wait_for_mails(&world, 1);
    assert_eq!(world.received_calls()[0]["arguments"]["subject"], "two");

    // Of a grant with one use left for two calls, one runs.
    let more = ["three", "four"].map(|subject| {
        world.run(&["revoke", "--all"]);
        ask_for_mail(&mut agent, subject)
    });
    let words = ["grant", "office/send_mail", "10m", "--uses", "1", "--run-waiting"];
    let (_, said) = widen(&world, &words, None, || {});
    assert!(said.contains("waits on: no use of the grant was left for it"), "{said}");
    wait_for_mails(&world, 2);
    let waiting = more.iter().filter(|task| state(&world, task) == "pending-approval").count();
    assert_eq!(waiting, 1);
}

#[test]
fn what_the_grant_does_not_allow_is_neither_shown_nor_run() {
    let (world, _agent, tasks) = home_with_waiting(&["one"]);
    let elsewhere = world.path("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let project = elsewhere.to_str().unwrap();
    for words in [
        &["grant", "office/delete_mail", "10m", "--run-waiting"][..],
        &["grant", "office/*", "10m", "--run-waiting", "--project", project],
    ] {
        let (shown, _) = widen(&world, words, None, || {});
        assert!(!shown.contains("waiting call"), "{words:?}: {shown}");
    }
    assert_eq!(state(&world, &tasks[0]), "pending-approval");
}
