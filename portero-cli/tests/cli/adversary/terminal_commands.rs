//! Through the terminal's commands: without a terminal, and on a pseudo-terminal.

use expectrl::{Eof, Expect as _};

use super::{AttackFixture, assert_still_reads};
use crate::terminal::{run_without_terminal, spawn_on_terminal};

/// Every command, from the program's own help, so that a new one is tried too.
fn all_commands(siege: &AttackFixture) -> Vec<String> {
    let help = siege.home.run(&["--help"]).stdout;
    let list = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

/// Words that make sense to one command or another.
fn argument_lists(siege: &AttackFixture) -> Vec<Vec<String>> {
    let task = siege.task.as_str();
    let words: [&[&str]; 12] = [
        &[],
        &[task],
        &["office/send_mail"],
        &["office/send_mail", "30m"],
        &["office/*", "24h"],
        &["**", "30m"],
        &["1"],
        &["set"],
        &["confirm"],
        &["enroll"],
        &["remove"],
        &["pair"],
    ];
    words.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect()
}

/// Standard input that answers yes, or guesses, to whatever is asked.
const STDIN_ANSWERS: [&str; 2] = ["y\nyes\n", "password\npassword\npassword\n"];

#[test]
fn no_command_without_a_terminal_gets_a_call_through() {
    let mut siege = AttackFixture::new();
    let commands = all_commands(&siege);
    assert!(commands.iter().any(|command| command == "approve") && commands.len() > 15, "{commands:?}");
    // These run until they are ended, or act in a place of their own.
    let elsewhere = ["mcp", "try", "help"];
    for command in commands.iter().filter(|command| !elsewhere.contains(&command.as_str())) {
        for (words, answers) in argument_lists(&siege).into_iter().zip(STDIN_ANSWERS.into_iter().cycle()) {
            let line: Vec<&str> =
                [command.as_str()].into_iter().chain(words.iter().map(String::as_str)).collect();
            if line == ["daemon"] || is_endless(&line) {
                continue;
            }
            run_without_terminal(&siege.home, &line, answers);
        }
        siege.assert_held(command);
    }
    siege.attack_and_assert_held("after every command");
}

/// What follows or watches goes on for ever.
fn is_endless(line: &[&str]) -> bool {
    line.iter().any(|word| ["--follow", "--watch"].contains(word))
}

#[test]
fn no_flag_and_no_variable_stands_for_the_passphrase() {
    let mut siege = AttackFixture::new();
    let task = siege.task.clone();
    for flag in ["--yes", "-y", "--force", "--passphrase=password", "--stdin", "--no-confirm", "--json"] {
        run_without_terminal(&siege.home, &["approve", &task, flag], "password\n");
        siege.assert_held(flag);
    }
    siege.home.variables = vec![
        ("PORTERO_PASSPHRASE", "password"),
        ("PORTERO_YES", "1"),
        ("PORTERO_TTY", "/dev/stdin"),
        ("SUDO_ASKPASS", "/bin/true"),
        ("CI", "true"),
        ("PORTERO_LOG", "trace"),
    ];
    run_without_terminal(&siege.home, &["approve", &task], "password\n");
    run_without_terminal(&siege.home, &["allow", "office/*"], "password\n");
    siege.assert_held("variables");
    siege.home.variables.clear();
    siege.attack_and_assert_held("after flags and variables");
}

#[test]
fn a_pseudo_terminal_gets_few_guesses_and_then_has_to_wait() {
    let mut siege = AttackFixture::new();
    let task = siege.task.clone();
    let mut paused = false;
    for guess in ["password", "12345678", "correct horse", "letmein!", "yes", "portero!", "y"] {
        let mut terminal = spawn_on_terminal(&siege.home, &["approve", &task]);
        terminal.expect("Passphrase, to ").unwrap();
        terminal.expect(": ").unwrap();
        terminal.send_line(guess).unwrap();
        let told = terminal.expect(Eof).unwrap();
        paused |= String::from_utf8_lossy(told.as_bytes()).contains("too many wrong tries");
        siege.assert_held(guess);
    }
    assert!(paused, "guessing is never stopped");
    // Each was written down, and what was allowed goes on.
    let logs = siege.home.run(&["logs"]).stdout;
    assert!(logs.matches("approve").count() >= 7, "{logs}");
    assert_still_reads(&mut siege.agent);
    siege.attack_and_assert_held("after guessing");
}

#[test]
fn another_passphrase_cannot_be_set_over_the_first() {
    let mut siege = AttackFixture::new();
    let mut terminal = spawn_on_terminal(&siege.home, &["passphrase", "set"]);
    terminal.expect("Current passphrase: ").unwrap();
    terminal.send_line("password").unwrap();
    terminal.expect("New passphrase: ").unwrap();
    terminal.send_line("a passphrase of mine").unwrap();
    terminal.expect("The same again: ").unwrap();
    terminal.send_line("a passphrase of mine").unwrap();
    terminal.expect("error: ").unwrap();
    terminal.expect(Eof).unwrap();
    let mut terminal = spawn_on_terminal(&siege.home, &["approve", &siege.task]);
    terminal.expect("Passphrase, to ").unwrap();
    terminal.expect(": ").unwrap();
    terminal.send_line("a passphrase of mine").unwrap();
    terminal.expect("error: ").unwrap();
    terminal.expect(Eof).unwrap();
    siege.attack_and_assert_held("after a passphrase of its own");
}
