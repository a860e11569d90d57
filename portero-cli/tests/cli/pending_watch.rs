//! Watching what waits: in a view on a terminal, and as a stream for programs.

#![cfg(unix)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use expectrl::session::OsSession;
use expectrl::{Eof, Expect as _};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::terminal::{PASSPHRASE, set_passphrase, spawn_on_terminal};
use crate::test_support::{TEST_TIMEOUT, TestHome, eventually};

/// The agent asks to send a mail with this subject.
fn ask_to_send(agent: &mut Agent, subject: &str) {
    agent.call_tool(
        "office__send_mail",
        &json!({"to": "jane@example.com", "subject": subject, "body": "Hello"}),
    );
}

/// The state of the task with this subject.
fn task_state(world: &TestHome, subject: &str) -> String {
    let tasks = world.json(&["tasks"]);
    let task =
        tasks.as_array().unwrap().iter().find(|task| task.to_string().contains(subject)).unwrap().clone();
    task["state"].as_str().unwrap().to_owned()
}

pub(crate) fn open_view(world: &TestHome) -> OsSession {
    let mut view = spawn_on_terminal(world, &["pending", "--watch"]);
    view.set_expect_timeout(Some(Duration::from_secs(1)));
    view
}

/// Waits until a word is on the screen. Only letters that change are drawn, so the window changes its size until
/// the word is drawn whole.
pub(crate) fn wait_for_word(view: &mut OsSession, word: &str) {
    let begin = Instant::now();
    for width in [100, 101].into_iter().cycle() {
        view.get_process_mut().set_window_size(width, 40).unwrap();
        if view.expect(word).is_ok() {
            return;
        }
        assert!(begin.elapsed() < TEST_TIMEOUT, "`{word}` is never on the screen");
    }
}

/// Presses `q` until the screen is left; gives what was shown since. The view takes no key while an answer is on its way.
fn leave_view(view: &mut OsSession) -> String {
    let (begin, mut shown) = (Instant::now(), String::new());
    loop {
        view.send("q").unwrap();
        if let Ok(end) = view.expect("\u{1b}[?1049l") {
            shown.push_str(&String::from_utf8_lossy(end.before()));
            break;
        }
        assert!(begin.elapsed() < TEST_TIMEOUT, "the view is never left");
    }
    view.set_expect_timeout(Some(TEST_TIMEOUT));
    view.expect(Eof).unwrap();
    shown
}

/// Waits until the screen is left and the program has ended; gives what was shown since.
fn wait_for_end(view: &mut OsSession) -> String {
    view.set_expect_timeout(Some(TEST_TIMEOUT));
    let end = view.expect("\u{1b}[?1049l").unwrap();
    let shown = String::from_utf8_lossy(end.before()).into_owned();
    view.expect(Eof).unwrap();
    shown
}

#[test]
fn a_person_approves_one_call_and_rejects_another_in_the_view() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    ask_to_send(&mut agent, "Lunch");
    ask_to_send(&mut agent, "Picnic");
    let mut view = open_view(&world);
    wait_for_word(&mut view, "Lunch");

    // The first one is selected: a wrong passphrase, then the right one.
    view.send("a").unwrap();
    wait_for_word(&mut view, "Passphrase");
    view.send("not the one\r").unwrap();
    wait_for_word(&mut view, "tries");
    assert_eq!(task_state(&world, "Lunch"), "pending-approval");
    view.send(format!("{PASSPHRASE}\r")).unwrap();
    eventually("the first is completed", || (task_state(&world, "Lunch") == "completed").then_some(()));
    assert_eq!(task_state(&world, "Picnic"), "pending-approval");

    view.send("j").unwrap();
    wait_for_word(&mut view, "Picnic");
    view.send("r").unwrap();
    wait_for_word(&mut view, "reason");
    view.send("ask me on Monday\r").unwrap();
    eventually("the second is denied", || (task_state(&world, "Picnic") == "denied").then_some(()));
    assert_eq!(world.received_calls().len(), 1);

    assert!(!leave_view(&mut view).contains(PASSPHRASE));
}

#[test]
fn the_view_waits_for_a_daemon_that_went_away_and_shows_what_came_meanwhile() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &[]);
    ask_to_send(&mut agent, "Lunch");
    let mut view = open_view(&world);
    wait_for_word(&mut view, "Lunch");
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    wait_for_word(&mut view, "DAEMON");
    assert_eq!(world.run(&["daemon", "start"]).code, 0);
    wait_for_word(&mut view, "back");
    let id = world.json(&["pending"])[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.run(&["reject", &id]).code, 0);
    wait_for_word(&mut view, "LONGER");
    view.send("\u{3}").unwrap();
    wait_for_end(&mut view);
}

#[test]
fn the_terminal_is_given_back_on_a_signal() {
    let world = TestHome::with_office();
    let mut view = open_view(&world);
    wait_for_word(&mut view, "nothing");
    let pid = rustix::process::Pid::from_raw(view.get_process().pid().as_raw()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    wait_for_end(&mut view);
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_terminal_the_view_says_so_and_what_to_do() {
    let world = TestHome::with_office();
    let said = crate::terminal::run_without_terminal(&world, &["pending", "--watch"], "a\ny\n");
    assert_eq!(said.code, 1, "{}{}", said.stdout, said.stderr);
    assert!(said.stderr.contains("no terminal here") && said.stderr.contains("--json"), "{}", said.stderr);
    let mut dumb = world.command(&["pending", "--watch"]);
    dumb.env("TERM", "dumb");
    let mut session = expectrl::Session::spawn(dumb).unwrap();
    session.set_expect_timeout(Some(TEST_TIMEOUT));
    session.expect("cannot show a view").unwrap();
    session.expect(Eof).unwrap();
}

/// A stream of events, ended with the test.
struct PendingStream {
    child: Child,
    lines: Receiver<String>,
}

impl PendingStream {
    fn start(world: &TestHome) -> Self {
        let mut command = world.command(&["pending", "--watch", "--json"]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (to, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines() {
                if line.is_err() || to.send(line.unwrap()).is_err() {
                    return;
                }
            }
        });
        Self { child, lines }
    }

    /// The next event of this kind.
    fn next_event(&self, kind: &str) -> Value {
        loop {
            let line = self.lines.recv_timeout(TEST_TIMEOUT).unwrap_or_else(|_| panic!("no `{kind}` came"));
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == kind {
                return event;
            }
        }
    }
}

impl Drop for PendingStream {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_program_gets_one_json_object_a_line() {
    let world = TestHome::with_office();
    let mut agent = Agent::connect(&world, &[]);
    ask_to_send(&mut agent, "Lunch");
    let stream = PendingStream::start(&world);
    let anew = stream.next_event("anew");
    let task = stream.next_event("task");
    assert_eq!(anew["waiting"], json!([task["task"]["id"]]));
    assert_eq!(task["task"]["call"]["params"]["arguments"]["subject"], "Lunch");
    ask_to_send(&mut agent, "Picnic");
    assert_eq!(stream.next_event("notice")["notice"]["task"]["state"], "pending-approval");
    assert_eq!(stream.next_event("task")["task"]["call"]["params"]["arguments"]["subject"], "Picnic");
    let id = task["task"]["id"].as_str().unwrap();
    assert_eq!(world.run(&["reject", id, "--reason", "no"]).code, 0);
    let notice = stream.next_event("notice");
    assert_eq!(
        (&notice["notice"]["task"]["state"], &notice["notice"]["task"]["note"]),
        (&json!("denied"), &json!("no"))
    );
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    assert!(stream.next_event("lost")["why"].is_string());
    assert_eq!(world.run(&["daemon", "start"]).code, 0);
    stream.next_event("connected");
    assert_eq!(stream.next_event("anew")["waiting"].as_array().unwrap().len(), 1);
}
