//! `portero try`.

use std::path::PathBuf;

use crate::porterod::porterod;
use crate::world::World;

/// Where the trial says that everything happens.
fn place(line: &str) -> Option<PathBuf> {
    let place = line.strip_prefix("Everything happens in ")?;
    place.split_whitespace().next().map(PathBuf::from)
}

#[test]
fn the_trial_runs_unattended_and_every_check_holds() {
    porterod();
    let world = World::empty();
    let said = world.run(&["try", "--yes"]);
    assert_eq!(said.code, 0, "{}\n{}", said.out, said.err);
    assert!(said.out.contains("no real value reached the agent"), "{}", said.out);
    assert!(!said.out.contains("FAILED"), "{}", said.out);
    assert!(said.out.contains("claude mcp add portero -- portero mcp"));
    // Nothing of it stays, and nothing of the person's own was touched.
    assert!(!world.path("state").exists() && !world.path("run").exists());
    let place = said.out.lines().find_map(place).unwrap();
    assert!(!place.exists(), "{} stays", place.display());
}

#[test]
fn without_a_terminal_the_trial_asks_for_yes() {
    let said = World::empty().run(&["try"]);
    assert_eq!(said.code, 2, "{}", said.out);
    assert!(said.err.contains("--yes"), "{}", said.err);
}

/// Starts the trial, has it killed by `signal` as soon as there is something to clean up, and tells where it was.
#[cfg(target_os = "linux")]
fn interrupted(world: &World, signal: rustix::process::Signal) -> PathBuf {
    use std::io::{BufRead as _, BufReader};
    let mut child = world.command(&["try", "--yes"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let place = lines.find_map(|line| place(&line)).unwrap();
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
    lines.for_each(drop);
    child.wait().unwrap();
    place
}

/// The processes whose command line names `place`.
#[cfg(target_os = "linux")]
fn processes_of(place: &std::path::Path) -> Vec<String> {
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
    porterod();
    let world = World::empty();
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        let place = interrupted(&world, signal);
        assert!(!place.exists(), "{signal:?}: {} stays", place.display());
        assert_eq!(processes_of(&place), [""; 0], "{signal:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_outlives_a_killed_trial() {
    porterod();
    let place = interrupted(&World::empty(), rustix::process::Signal::KILL);
    crate::world::eventually("no process is left", || processes_of(&place).is_empty().then_some(()));
    let _ = std::fs::remove_dir_all(place);
}
