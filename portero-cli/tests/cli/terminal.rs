//! What widens asks for the passphrase on the terminal itself.

#![cfg(unix)]

use std::time::Duration;

use expectrl::session::OsSession;
use expectrl::{Any, Eof, Expect as _, Session};

use crate::agent::Agent;
#[cfg(target_os = "linux")]
use crate::test_support::CommandOutput;
use crate::test_support::{TEST_TIMEOUT, TestHome};
use serde_json::json;

/// The passphrase of these tests.
pub(crate) const PASSPHRASE: &str = "correct horse battery";

/// Runs `portero` on a terminal of its own.
pub(crate) fn spawn_on_terminal(world: &TestHome, words: &[&str]) -> OsSession {
    let mut session = Session::spawn(world.command(words)).unwrap();
    session.set_expect_timeout(Some(TEST_TIMEOUT));
    session
}

/// Sets the passphrase as a person does.
pub(crate) fn set_passphrase(world: &TestHome) {
    let mut terminal = spawn_on_terminal(world, &["passphrase", "set"]);
    terminal.expect("New passphrase: ").unwrap();
    terminal.send_line(PASSPHRASE).unwrap();
    terminal.expect("The same again: ").unwrap();
    terminal.send_line(PASSPHRASE).unwrap();
    terminal.expect("the passphrase is set").unwrap();
    terminal.expect(Eof).unwrap();
}

/// Types the passphrase where it is asked for, and expects `outcome`; gives all that was shown. Waiting calls that would be
/// allowed are left waiting.
pub(crate) fn confirm_with_passphrase(world: &TestHome, words: &[&str], outcome: &str) -> String {
    let mut terminal = spawn_on_terminal(world, words);
    let mut shown = String::new();
    loop {
        let asked =
            terminal.expect(Any::boxed(vec![Box::new("[y/N]"), Box::new("Passphrase, to ")])).unwrap();
        shown.push_str(&String::from_utf8_lossy(asked.before()));
        if asked.get(0).is_some_and(|asked| asked.starts_with(b"Passphrase")) {
            break;
        }
        terminal.send_line("n").unwrap();
    }
    terminal.expect(": ").unwrap();
    // The terminal echoes until the prompt's reader turned that off.
    std::thread::sleep(Duration::from_millis(50));
    terminal.send_line(PASSPHRASE).unwrap();
    let end = terminal.expect(outcome).unwrap();
    shown.push_str(&String::from_utf8_lossy(end.before()));
    terminal.expect(Eof).unwrap();
    shown
}

/// Runs `portero` in a session without a terminal, whatever the test itself was started from.
#[cfg(target_os = "linux")]
pub(crate) fn run_without_terminal(world: &TestHome, words: &[&str], stdin: &str) -> CommandOutput {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let inner = world.command(words);
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(inner.get_program()).args(inner.get_args()).env_clear();
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap());
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It may have ended before it read anything.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    CommandOutput::from_output(child.wait_with_output().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn what_widens_is_refused_without_a_terminal_whatever_stdin_says() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let typed = format!("{PASSPHRASE}\n");
    for words in [
        &["allow", "office/*"][..],
        &["grant", "office/send_mail", "1h"],
        &["passphrase", "set"],
        &["again", "7c1d"],
    ] {
        let said = run_without_terminal(&world, words, &typed);
        assert_eq!(said.code, 1, "{words:?}: {}{}", said.stdout, said.stderr);
        assert!(said.stderr.contains("no terminal here"), "{}", said.stderr);
    }
    assert_eq!(world.json(&["rules"])["rules"], json!([]));
    assert_eq!(world.json(&["rules"])["grants"], json!([]));
}

#[test]
fn nothing_is_widened_before_a_passphrase_is_set() {
    let world = TestHome::with_office();
    let mut terminal = spawn_on_terminal(&world, &["allow", "office/*"]);
    terminal.expect("portero passphrase set").unwrap();
    terminal.expect(Eof).unwrap();
    assert_eq!(world.json(&["rules"])["rules"], json!([]));
}

#[test]
fn a_grant_shows_what_it_changes_and_takes_the_passphrase() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    // The tools are known once somebody asked for them.
    let mut agent = Agent::connect(&world, &[]);
    agent.request("tools/list", &json!({}));
    let shown = confirm_with_passphrase(
        &world,
        &["grant", "office/*", "30m"],
        "grant 1: `office/*` runs unasked for 30m",
    );
    assert!(shown.contains("office/*"), "{shown}");
    assert!(!shown.contains(PASSPHRASE), "the passphrase is on the screen: {shown}");
    assert_eq!(world.json(&["rules"])["grants"][0]["pattern"], "office/*");
    for command in ["rules", "status"] {
        let told = world.run(&[command]).stdout;
        assert!(told.contains("for 30m, 29m") && told.contains(" left"), "{command}: {told}");
    }
    assert_eq!(world.json(&["revoke", "--all"])["revoked"], 1);
}

#[test]
fn a_wrong_passphrase_changes_nothing() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut terminal = spawn_on_terminal(&world, &["allow", "office/send_mail"]);
    terminal.expect("Passphrase, to allow this for good: ").unwrap();
    terminal.send_line("not the one").unwrap();
    terminal.expect("error: ").unwrap();
    terminal.expect(Eof).unwrap();
    assert_eq!(world.json(&["rules"])["rules"], json!([]));
}

#[test]
fn removing_a_deny_takes_the_passphrase_and_removing_an_allow_does_not() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let deny = world.json(&["deny", "office/read_mail"])["id"].to_string();
    confirm_with_passphrase(&world, &["unrule", &deny], "is removed");
    confirm_with_passphrase(&world, &["allow", "office/write_note"], "is allowed");
    let allow = world.json(&["rules"])["rules"][0]["id"].to_string();
    assert_eq!(world.run(&["unrule", &allow]).code, 0);
    assert_eq!(world.json(&["rules"])["rules"], json!([]));
}

#[test]
fn a_rule_that_asks_is_made_at_once_and_ended_with_the_passphrase() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    agent.request("tools/list", &json!({}));
    let waits = |agent: &mut Agent| {
        let answer = agent.call_tool("office__read_mail", &json!({"id": 1}));
        answer["result"]["structuredContent"]["taskId"].is_string()
    };
    assert!(!waits(&mut agent), "the files allow it");
    let rule = world.json(&["require-approval", "office/read_*"]);
    assert_eq!((&rule["id"], &rule["action"]), (&json!(1), &json!("require-approval")));
    assert!(waits(&mut agent), "it holds in sessions that are there");
    assert_eq!(
        world.json(&["why", "office/delete_mail"])["decision"]["action"],
        "deny",
        "it loosens nothing"
    );

    confirm_with_passphrase(&world, &["grant", "office/read_mail", "30m"], "grant 2");
    assert!(!waits(&mut agent), "a grant of after holds");
    let said = world.run(&["ask", "office/*"]);
    assert!(
        said.stdout.contains("rule 3") && said.stdout.contains("`portero unrule 3` ends it"),
        "{}",
        said.stdout
    );
    assert!(waits(&mut agent), "a grant of before does not");
    let why = world.run(&["why", "office/read_mail"]).stdout;
    for told in ["because needs approval by `office/*` (rule 3)", "(grant 2), made before that rule"] {
        assert!(why.contains(told), "{told} in {why}");
    }
    for command in ["rules", "status"] {
        let told = world.run(&[command]).stdout;
        assert!(told.contains("not where rule 3 asks") && !told.contains("rule 1,"), "{command}: {told}");
    }

    #[cfg(target_os = "linux")]
    for id in ["3", "1"] {
        let said = run_without_terminal(&world, &["unrule", id], PASSPHRASE);
        assert!(said.stderr.contains("no terminal here"), "{}", said.stderr);
    }
    let shown = confirm_with_passphrase(&world, &["unrule", "3"], "is removed");
    assert!(shown.contains("would no longer be asked for by this rule"), "{shown}");
    assert!(!waits(&mut agent), "the grant counts again");
    let acts = world.run(&["logs"]).stdout;
    for act in ["ask office/read_*", "ask office/*", "unrule require-approval office/*"] {
        assert!(acts.contains(act), "{act} in {acts}");
    }

    // Without the daemon it holds as a deny does: such a call cannot be asked about then.
    assert_eq!(world.json(&["revoke", "--all"])["revoked"], 1);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    assert_eq!(world.json(&["why", "office/read_mail"])["decision"]["action"], "require-approval");
    let replay = world.run(&["policy", "replay"]).stdout;
    assert!(replay.contains("office/read_mail") && replay.contains("require-approval"), "{replay}");
}

#[test]
fn an_allow_takes_the_place_of_the_rule_that_asks_for_the_same() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    world.json(&["ask", "office/send_mail"]);
    world.json(&["ask", "office/*"]);
    confirm_with_passphrase(&world, &["allow", "office/send_mail"], "is allowed");
    let rules = world.json(&["rules"]);
    let said: Vec<_> = rules["rules"].as_array().unwrap().iter().map(|rule| &rule["action"]).collect();
    assert_eq!(said, ["require-approval", "allow"], "{rules}");
    assert_eq!(world.json(&["why", "office/send_mail"])["decision"]["source"], json!({"rule": 3}));
    assert!(world.run(&["logs"]).stdout.contains("office/send_mail, in place of rule 1"));
}

#[test]
fn a_passphrase_is_typed_twice_and_changed_with_the_old_one() {
    let world = TestHome::with_office();
    let mut terminal = spawn_on_terminal(&world, &["passphrase", "set"]);
    terminal.expect("New passphrase: ").unwrap();
    terminal.send_line("short").unwrap();
    terminal.expect("at least 8 characters").unwrap();
    terminal.expect(Eof).unwrap();
    set_passphrase(&world);
    let mut terminal = spawn_on_terminal(&world, &["passphrase", "set"]);
    terminal.expect("Current passphrase: ").unwrap();
    terminal.send_line(PASSPHRASE).unwrap();
    terminal.expect("New passphrase: ").unwrap();
    terminal.send_line("another good one").unwrap();
    terminal.expect("The same again: ").unwrap();
    terminal.send_line("not the same").unwrap();
    terminal.expect("not the same").unwrap();
    terminal.expect(Eof).unwrap();
}

#[test]
fn the_trial_waits_for_the_person_at_the_keyboard() {
    crate::porterod::porterod_program();
    for (typed, outcome) in [("y", "exactly one mail was sent"), ("n", "no mail was sent")] {
        let world = TestHome::empty();
        let mut terminal = spawn_on_terminal(&world, &["try"]);
        terminal.expect("Run exactly this, once? [y/n] ").unwrap();
        terminal.send_line(typed).unwrap();
        let checked = terminal.expect(outcome).unwrap();
        assert!(!String::from_utf8_lossy(checked.before()).contains("FAILED"), "{typed}");
        let rest = terminal.expect(Eof).unwrap();
        assert!(!String::from_utf8_lossy(rest.as_bytes()).contains("FAILED"), "{typed}");
    }
}

#[test]
fn the_trial_ends_at_once_when_it_is_interrupted_at_the_keyboard() {
    crate::porterod::porterod_program();
    let world = TestHome::empty();
    let mut terminal = spawn_on_terminal(&world, &["try"]);
    terminal.expect("Run exactly this, once? [y/n] ").unwrap();
    terminal.send("\u{3}").unwrap();
    terminal.expect("the trial was interrupted").unwrap();
    terminal.expect(Eof).unwrap();
}

#[test]
fn real_values_are_shown_on_the_terminal_to_who_knows_the_passphrase_and_nowhere_else() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    let mail = json!({"to": "jane@example.com", "subject": "x", "body": "Jane Doe here"});
    agent.call_tool("office/send_mail", &mail);
    let id = world.json(&["pending"])[0]["id"].as_str().unwrap().to_owned();
    let shown = confirm_with_passphrase(&world, &["task", &id, "--real"], "marta.lindqvist@northwind.test");
    assert!(
        shown.contains("jane@example.com") && shown.contains("REAL VALUES, as office sees them"),
        "{shown}"
    );
    #[cfg(target_os = "linux")]
    {
        let said = run_without_terminal(&world, &["task", &id, "--real"], &format!("{PASSPHRASE}\n"));
        assert_eq!((said.code, said.stdout.as_str()), (1, ""), "{}", said.stderr);
    }
    let mut terminal = spawn_on_terminal(&world, &["task", &id, "--real"]);
    terminal.expect("Passphrase, to ").unwrap();
    terminal.expect(": ").unwrap();
    terminal.send_line("not the one").unwrap();
    let end = terminal.expect(Eof).unwrap();
    assert!(!String::from_utf8_lossy(end.as_bytes()).contains("lindqvist"));
    let logs = world.run(&["logs"]).stdout;
    assert!(logs.contains(&format!("task real task {id}")), "{logs}");
    assert!(logs.contains("REFUSED"), "{logs}");
    assert!(!world.run(&["task", &id]).stdout.contains("lindqvist"));
}

#[test]
fn real_values_go_past_a_redirected_stdout() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    agent.call_tool("office/send_mail", &json!({"to": "jane@example.com", "subject": "x", "body": "y"}));
    let id = world.json(&["pending"])[0]["id"].as_str().unwrap().to_owned();
    let out = world.path("out");
    let portero = world.command(&["task", &id, "--real", "--json"]);
    let mut shell = std::process::Command::new("sh");
    let line = r#"out=$1; shift; "$@" > "$out""#;
    shell.args(["-c", line, "sh"]).arg(&out).arg(portero.get_program()).args(portero.get_args()).env_clear();
    for (name, value) in portero.get_envs() {
        shell.env(name, value.unwrap());
    }
    let mut terminal: OsSession = Session::spawn(shell).unwrap();
    terminal.set_expect_timeout(Some(TEST_TIMEOUT));
    terminal.expect("Passphrase, to ").unwrap();
    terminal.expect(": ").unwrap();
    std::thread::sleep(Duration::from_millis(50));
    terminal.send_line(PASSPHRASE).unwrap();
    terminal.expect("marta.lindqvist@northwind.test").unwrap();
    terminal.expect(Eof).unwrap();
    assert_eq!(std::fs::read_to_string(out).unwrap(), "");
}

#[test]
fn what_was_denied_a_moment_ago_is_asked_again_with_the_passphrase() {
    let world = TestHome::with_office();
    set_passphrase(&world);
    let mut agent = Agent::connect(&world, &[]);
    agent.call_tool("office/send_mail", &json!({"to": "jane@example.com", "subject": "x", "body": "y"}));
    let task = world.json(&["pending"])[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.run(&["reject", &task]).code, 0);
    let mut terminal = spawn_on_terminal(&world, &["again", &task]);
    terminal.expect("you said no to exactly this call").unwrap();
    terminal.expect("Passphrase, to be asked again now: ").unwrap();
    terminal.send_line("not the one").unwrap();
    terminal.expect(Eof).unwrap();
    assert_eq!(world.json(&["pending"]), json!([]));
    confirm_with_passphrase(&world, &["again", &task], "waits for you again");
    assert_eq!(world.json(&["pending"])[0]["repeats"], json!(task));
}
