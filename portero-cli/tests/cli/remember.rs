//! `approvals.remember`: a typed passphrase serves further calls of the same process, with a number that it shows.

#![cfg(unix)]

use std::time::Instant;

use expectrl::session::OsSession;
use expectrl::{Expect as _, Regex};
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::approve::{answer, ask, interrupt, shell_home_with, type_passphrase};
use crate::pending_watch::{open_view, wait_for_word};
use crate::terminal::{PASSPHRASE, spawn_on_terminal};
use crate::test_support::{TEST_TIMEOUT, TestHome, eventually};

fn remembering_home() -> TestHome {
    shell_home_with(&json!({"approvals": {"remember": "10m"}}))
}

/// The number that the terminal shows.
fn read_number(terminal: &mut OsSession, after: &str) -> String {
    terminal.expect("Type ").unwrap();
    let number = terminal.expect(after).unwrap();
    let number = String::from_utf8_lossy(number.before()).into_owned();
    assert!(number.len() == 3 && number.bytes().all(|digit| digit.is_ascii_digit()), "{number:?}");
    number
}

/// The number in the view, which draws a cursor's move for each space. Another size has it drawn whole.
fn read_number_in_view(view: &mut OsSession) -> String {
    let begin = Instant::now();
    for width in [120, 121].into_iter().cycle() {
        view.get_process_mut().set_window_size(width, 40).unwrap();
        if let Ok(found) = view.expect(Regex("Type\u{1b}\\[[0-9;]+H([0-9]{3})")) {
            return String::from_utf8(found.get(1).unwrap().to_vec()).unwrap();
        }
        assert!(begin.elapsed() < TEST_TIMEOUT, "no number is on the screen");
    }
    unreachable!("the widths never end")
}

fn states(home: &TestHome, ids: &[String]) -> Vec<Value> {
    ids.iter().map(|id| home.json(&["task", id])["state"].clone()).collect()
}

/// Approves the first call with the passphrase; gives what was shown after it.
fn approve_first(terminal: &mut OsSession) -> String {
    answer(terminal, "y");
    type_passphrase(terminal, PASSPHRASE);
    let shown = terminal.expect("shell/act is completed").unwrap();
    String::from_utf8_lossy(shown.before()).into_owned()
}

#[test]
fn the_next_calls_take_the_number_that_is_shown_and_a_wrong_one_forgets() {
    let home = remembering_home();
    let mut agent = Agent::connect(&home, &[]);
    let ids = ["Alder", "Birch", "Cedar"].map(|label| ask(&mut agent, "shell__act", label));
    let mut terminal = spawn_on_terminal(&home, &["approve"]);
    let shown = approve_first(&mut terminal);
    assert!(shown.contains("The passphrase is remembered for 10m, by this process alone."), "{shown}");
    answer(&mut terminal, "y");
    let number = read_number(&mut terminal, " to run shell/act, exactly this call (");
    terminal.expect("the passphrase is remembered for 9m").unwrap();
    terminal.expect(": ").unwrap();
    terminal.send_line(&number).unwrap();
    terminal.expect("shell/act is completed").unwrap();

    // A `y` that another process typed, or a former number, is not the number.
    answer(&mut terminal, "y");
    assert_ne!(read_number(&mut terminal, " to run "), number, "each call has its own, nearly always");
    terminal.expect(": ").unwrap();
    terminal.send_line("y").unwrap();
    terminal
        .expect("That is not the number, so nothing was approved and the passphrase is forgotten.")
        .unwrap();
    answer(&mut terminal, "y");
    terminal.expect("Passphrase, to run shell/act").unwrap();
    interrupt(&mut terminal);
    assert_eq!(states(&home, &ids), ["completed", "completed", "pending-approval"]);
}

#[test]
fn no_other_process_knows_it_and_it_is_off_unless_it_is_configured() {
    let home = remembering_home();
    let mut agent = Agent::connect(&home, &[]);
    for label in ["Alder", "Birch"] {
        ask(&mut agent, "shell__act", label);
    }
    let mut first = spawn_on_terminal(&home, &["approve"]);
    approve_first(&mut first);
    answer(&mut first, "y");
    read_number(&mut first, " to run ");
    let mut second = spawn_on_terminal(&home, &["approve"]);
    answer(&mut second, "y");
    second.expect("Passphrase, to run shell/act").unwrap();
    drop((first, second));

    let home = shell_home_with(&json!({}));
    let mut agent = Agent::connect(&home, &[]);
    for label in ["Alder", "Birch"] {
        ask(&mut agent, "shell__act", label);
    }
    let mut terminal = spawn_on_terminal(&home, &["approve"]);
    assert!(!approve_first(&mut terminal).contains("remembered"));
    answer(&mut terminal, "y");
    terminal.expect("Passphrase, to run shell/act").unwrap();
}

#[test]
fn nothing_is_remembered_where_other_processes_type_into_the_terminal() {
    let mut home = remembering_home();
    let mut agent = Agent::connect(&home, &[]);
    for label in ["Alder", "Birch"] {
        ask(&mut agent, "shell__act", label);
    }
    home.variables = vec![("TMUX", "/tmp/tmux-0/default,1,0")];
    let mut terminal = spawn_on_terminal(&home, &["approve"]);
    let shown = approve_first(&mut terminal);
    assert!(
        shown.contains("not remembered: through tmux other processes can type into this terminal"),
        "{shown}"
    );
    answer(&mut terminal, "y");
    terminal.expect("Passphrase, to run shell/act").unwrap();
}

#[test]
fn a_longer_time_waits_for_the_person_to_confirm_it() {
    let home = shell_home_with(&json!({}));
    home.write("portero.json", &json!({"approvals": {"remember": "10m"}}));
    eventually("it waits", || (home.json(&["status"])["config_waits"] == 1).then_some(()));
    assert_eq!(home.json(&["status"])["remember"], 0);
    let shown = home.run(&["config", "diff"]).stdout;
    assert!(shown.contains("approvals.remember 0s → 10m"), "{shown}");
}

#[test]
fn the_view_takes_the_number_too() {
    let home = remembering_home();
    let mut agent = Agent::connect(&home, &[]);
    let ids = ["Alder", "Birch"].map(|label| ask(&mut agent, "shell__act", label));
    let mut view = open_view(&home);
    wait_for_word(&mut view, "Alder");
    view.send("a").unwrap();
    wait_for_word(&mut view, "Passphrase");
    view.send(format!("{PASSPHRASE}\r")).unwrap();
    eventually("the first is completed", || (states(&home, &ids)[0] == "completed").then_some(()));
    view.send("j").unwrap();
    wait_for_word(&mut view, "Birch");
    view.send("a").unwrap();
    let number = read_number_in_view(&mut view);
    view.send(format!("{number}\r")).unwrap();
    eventually("the second is completed", || (states(&home, &ids)[1] == "completed").then_some(()));
}
