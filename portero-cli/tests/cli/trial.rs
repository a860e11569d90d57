//! `portero try`.

use std::path::PathBuf;

use crate::porterod::porterod_program;
use crate::test_support::TestHome;

/// Where the trial says that everything happens.
fn trial_directory(line: &str) -> Option<PathBuf> {
    let place = line.strip_prefix("Everything happens in ")?;
    place.split_whitespace().next().map(PathBuf::from)
}

#[test]
fn the_trial_runs_unattended_and_every_check_holds() {
    porterod_program();
    let world = TestHome::empty();
    let said = world.run(&["try", "--yes"]);
    assert_eq!(said.code, 0, "{}\n{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("no real value reached the agent"), "{}", said.stdout);
    assert!(!said.stdout.contains("FAILED"), "{}", said.stdout);
    assert!(said.stdout.contains("claude mcp add -s user portero -- portero mcp"));
    // Nothing of it stays, and nothing of the person's own was touched.
    assert!(!world.path("state").exists() && !world.path("run").exists());
    let place = said.stdout.lines().find_map(trial_directory).unwrap();
    assert!(!place.exists(), "{} stays", place.display());
}

#[test]
fn without_a_terminal_the_trial_asks_for_yes() {
    let said = TestHome::empty().run(&["try"]);
    assert_eq!(said.code, 2, "{}", said.stdout);
    assert!(said.stderr.contains("--yes"), "{}", said.stderr);
}

/// Starts the trial, has it killed by `signal` as soon as there is something to clean up, and tells where it was.
#[cfg(target_os = "linux")]
fn interrupt_trial(world: &TestHome, signal: rustix::process::Signal) -> PathBuf {
    use std::io::{BufRead as _, BufReader};
    let mut child = world.command(&["try", "--yes"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let place = lines.find_map(|line| trial_directory(&line)).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
    lines.for_each(drop);
    child.wait().unwrap();
    place
}

/// The processes whose command line names `place`.
#[cfg(target_os = "linux")]
fn processes_naming(place: &std::path::Path) -> Vec<String> {
    let commands = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        entry.file_name().to_str()?.parse::<u32>().ok()?;
        let command = std::fs::read(entry.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&command).replace('\0', " "))
    });
    commands.filter(|command| command.contains(place.to_str().unwrap())).collect()
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_trial_cleans_up() {
    use rustix::process::Signal;
    porterod_program();
    let world = TestHome::empty();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let place = interrupt_trial(&world, signal);
        assert!(!place.exists(), "{signal:?}: {} stays", place.display());
        assert_eq!(processes_naming(&place), [""; 0], "{signal:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_outlives_a_killed_trial() {
    porterod_program();
    let place = interrupt_trial(&TestHome::empty(), rustix::process::Signal::KILL);
    crate::test_support::eventually("no process is left", || {
        processes_naming(&place).is_empty().then_some(())
    });
    let _ = std::fs::remove_dir_all(place);
}
