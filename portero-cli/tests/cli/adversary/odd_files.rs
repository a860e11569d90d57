//! Puts other things in the places of the files that the programs read, while they run and before they start.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::channel;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::agent::Agent;
use crate::terminal::set_passphrase;
use crate::test_support::{CommandOutput, TEST_TIMEOUT, TestHome, eventually};

/// What stands in a file's place.
#[derive(Debug, Clone, Copy)]
enum Odd {
    Pipe,
    Directory,
    /// A link to what has no end.
    Endless,
    /// 10 GB, of which nothing is on the disk.
    Sparse,
}

const ODD: [Odd; 4] = [Odd::Pipe, Odd::Directory, Odd::Endless, Odd::Sparse];

impl Odd {
    fn put(self, place: &Path) {
        remove(place);
        match self {
            Self::Pipe => mknodat(CWD, place, FileType::Fifo, Mode::RWXU, 0).unwrap(),
            Self::Directory => fs::create_dir_all(place.join("below")).unwrap(),
            Self::Endless => symlink("/dev/zero", place).unwrap(),
            Self::Sparse => fs::File::create(place).and_then(|file| file.set_len(10 << 30)).unwrap(),
        }
    }
}

fn remove(place: &Path) {
    let _ = fs::remove_file(place);
    let _ = fs::remove_dir_all(place);
}

/// Runs it to its end, which comes soon, whatever it says.
fn soon(world: &TestHome, words: &[&str]) -> CommandOutput {
    let mut command = world.command(words);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = Pid::from_child(&child);
    let (done, ended) = channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match ended.recv_timeout(TEST_TIMEOUT) {
        Ok(output) => CommandOutput::from_output(output.unwrap()),
        Err(_) => {
            let _ = kill_process(pid, Signal::KILL);
            panic!("{words:?} does not end");
        }
    }
}

/// A world in which everything that the programs keep is there: a passphrase, a task, a session's segment.
fn lived_in() -> (TestHome, Agent, String) {
    let world = TestHome::with_office();
    fs::write(world.path("config/portero.json"), "{}").unwrap();
    fs::write(world.path("config/.env"), "A=1\n").unwrap();
    set_passphrase(&world);
    world.json(&["deny", "office/search_mail"]);
    let mut agent = Agent::connect(&world, &[]);
    let pending =
        agent.call_tool("office__send_mail", &json!({"to": "a@b.test", "subject": "x", "body": "y"}));
    let task = pending["result"]["structuredContent"]["taskId"].as_str().unwrap().to_owned();
    eventually("the copy of what was confirmed is there", || {
        world.path("state/confirmed.json").exists().then_some(())
    });
    (world, agent, task)
}

/// The files of a directory and of those below it.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.is_file() {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The store's files are SQLite's, which has them open while the daemon runs.
fn is_of_the_store(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("portero.db"))
}

/// Puts it in the place of all files but the store's and these.
fn put_all_but(world: &TestHome, odd: Odd, spared: &[&str]) {
    let places = [files(&world.path("config")), files(&world.path("state"))].concat();
    assert!(places.len() >= 10, "{places:?}");
    let is_spared = |place: &Path| spared.iter().any(|name| place.ends_with(name));
    for place in places.iter().filter(|place| !is_of_the_store(place) && !is_spared(place)) {
        odd.put(place);
    }
}

/// Everything that a person must be able to do.
fn narrows(world: &TestHome, odd: Odd, agent: &mut Agent, task: &str) {
    for words in [&["deny", "office/read_mail"][..], &["pause"], &["reject", task]] {
        let said = soon(world, words);
        assert!(said.code == 0 || said.stderr.contains("in force"), "{odd:?}: {words:?}: {}", said.stderr);
    }
    let status = soon(world, &["status"]);
    assert!(
        status.code == 0 && status.stdout.contains("PAUSED"),
        "{odd:?}: {}{}",
        status.stdout,
        status.stderr
    );
    // It reads the files anew within a moment.
    eventually("it is told", || world.run(&["status"]).stdout.contains("NOT VALID").then_some(()));
    // A session that was there answers, and nothing that is denied runs.
    let before = world.received_calls().len();
    agent.call_tool("office__read_mail", &json!({"id": 1}));
    assert_eq!(world.received_calls().len(), before, "{odd:?}");
}

#[test]
fn a_running_daemon_is_denied_paused_rejected_and_ended_whatever_stands_in_the_place_of_its_files() {
    for odd in ODD {
        let (world, mut agent, task) = lived_in();
        let daemon = world.json(&["daemon", "status"])["pid"].as_i64().unwrap();
        put_all_but(&world, odd, &["portero.seal"]);
        narrows(&world, odd, &mut agent, &task);
        kill_process(Pid::from_raw(i32::try_from(daemon).unwrap()).unwrap(), Signal::TERM).unwrap();
        eventually("the daemon ends on SIGTERM", || {
            (!Path::new(&format!("/proc/{daemon}")).exists()).then_some(())
        });
    }
}

/// The copy of what was confirmed names the store too. Where neither can be read, no daemon is believed.
#[test]
fn whatever_stands_in_the_place_of_the_seal_the_daemon_is_known_by_the_copy() {
    for odd in ODD {
        let (world, mut agent, task) = lived_in();
        put_all_but(&world, odd, &["confirmed.json", "files.key"]);
        narrows(&world, odd, &mut agent, &task);
        odd.put(&world.path("state/confirmed.json"));
        let said = soon(&world, &["deny", "office/read_mail"]);
        assert_eq!(said.code, 3, "{odd:?}: {}", said.stdout);
        assert!(said.stderr.contains("in the place of `portero.seal`"), "{odd:?}: {}", said.stderr);
        for name in ["config/portero.seal", "state/confirmed.json"] {
            remove(&world.path(name));
        }
        assert_eq!(soon(&world, &["daemon", "stop"]).code, 0, "{odd:?}: once both are moved away");
    }
}

#[test]
fn a_session_begins_and_answers_whatever_stands_in_the_place_of_any_one_file() {
    let (world, agent, _) = lived_in();
    drop(agent);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    let places = [files(&world.path("config")), files(&world.path("state"))].concat();
    for place in places {
        let kept = fs::read(&place).unwrap();
        for odd in ODD {
            odd.put(&place);
            let mut agent = Agent::connect(&world, &["--no-start"]);
            // What the confirmed policy denies is denied, whatever can be read.
            let before = world.received_calls().len();
            agent.call_tool("office__delete_mail", &json!({"id": 1}));
            assert_eq!(world.received_calls().len(), before, "{odd:?} at {}", place.display());
            agent.close();
        }
        remove(&place);
        fs::write(&place, kept).unwrap();
    }
}

#[test]
fn a_daemon_starts_or_says_why_not_whatever_stands_in_the_place_of_any_one_file() {
    let (world, agent, _) = lived_in();
    drop(agent);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    let state = world.path("state");
    let mut places = [files(&world.path("config")), files(&state)].concat();
    places.retain(|place| place.parent() != Some(&state.join("audit")));
    places.extend(["portero.db-wal", "portero.db-shm", "portero.db-journal"].map(|name| state.join(name)));
    places.push(world.path("run/portero.lock"));
    for place in places {
        let kept = fs::read(&place).ok();
        for odd in ODD {
            odd.put(&place);
            let said = soon(&world, &["daemon", "start"]);
            assert!(
                said.code == 0 || !said.stderr.is_empty(),
                "{odd:?} at {}: {}{}",
                place.display(),
                said.stdout,
                said.stderr
            );
            soon(&world, &["daemon", "stop"]);
        }
        remove(&place);
        if let Some(kept) = kept {
            fs::write(&place, kept).unwrap();
        }
        // None that hangs is left behind.
        let said = soon(&world, &["daemon", "start"]);
        assert_eq!(said.code, 0, "after {}: {}", place.display(), said.stderr);
        assert_eq!(soon(&world, &["daemon", "stop"]).code, 0);
    }
}
