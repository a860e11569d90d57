//! Help and usage.

use crate::test_support::TestHome;

const COMMANDS: &[&str] = &[
    "status",
    "tasks",
    "task",
    "pending",
    "approve",
    "reject",
    "grant",
    "revoke",
    "allow",
    "ask",
    "deny",
    "rules",
    "unrule",
    "login",
    "logout",
    "logs",
    "why",
    "policy",
    "anonymize",
    "replacements",
    "check",
    "doctor",
    "daemon",
    "https",
    "passphrase",
    "secret",
    "mcp",
    "connect",
    "try",
    "help",
    "daemon start",
];

#[test]
fn every_command_has_help_with_an_example() {
    let world = TestHome::empty();
    let top = world.run(&["--help"]);
    assert_eq!(top.code, 0);
    for command in COMMANDS.iter().filter(|command| !command.contains(' ')) {
        assert!(top.stdout.contains(command), "{command} is not in the help");
    }
    for command in COMMANDS.iter().filter(|command| !command.contains(' ') && **command != "help") {
        let said = world.run(&[command, "--help"]);
        assert_eq!(said.code, 0, "{command}");
        assert!(said.stdout.contains("Example"), "{command} has no example:\n{}", said.stdout);
        assert!(said.stdout.contains("--json") && said.stdout.contains("--config"), "{command}");
    }
}

#[test]
fn hidden_commands_are_not_in_the_help() {
    let said = TestHome::empty().run(&["--help"]);
    for hidden in ["sample-server", "guard", "generate"] {
        assert!(!said.stdout.contains(hidden), "{hidden}");
    }
}

#[test]
fn wrong_usage_ends_with_code_2() {
    let world = TestHome::empty();
    let wrong: [&[&str]; 8] = [
        &[],
        &["aprove", "x"],
        &["grant", "github/*"],
        &["grant", "github/*", "soon"],
        &["why", "no-slash"],
        &["revoke"],
        &["revoke", "1", "--all"],
        &["tasks", "--state", "lost"],
    ];
    for words in wrong {
        let said = world.run(words);
        assert_eq!(said.code, 2, "{words:?}: {}{}", said.stdout, said.stderr);
        assert!(said.stdout.is_empty(), "{words:?}");
    }
}

#[test]
fn a_mistyped_command_gets_the_nearest_one() {
    let world = TestHome::empty();
    for (words, hint) in [
        (&["aprove", "x"][..], "approve"),
        (&["unrule", "office/*"], "`portero rules` lists them"),
        (&["revoke"], "portero revoke --all"),
        (&["tasks", "--status", "pending"], "pending-approval"),
        (&["allow", "github"], "did you mean `github/*`"),
        (&["grant", "github/*", "30"], "as in 30m"),
    ] {
        let said = world.run(words);
        assert!(said.stderr.contains(hint), "{words:?}: {}", said.stderr);
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_failure() {
    use std::process::Stdio;
    let world = TestHome::with_office();
    world.json(&["deny", "office/read_note"]);
    for words in
        [&["check"][..], &["logs"], &["logs", "--follow"], &["status"], &["rules", "--json"], &["--help"]]
    {
        let mut child = world.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert!(!err.contains("panicked") && !err.contains("error"), "{words:?}: {err}");
        assert_eq!(output.status.code(), Some(0), "{words:?}");
    }
}
