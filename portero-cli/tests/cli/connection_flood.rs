//! Processes of the same user that open all the connections they can do not lock a person out.

#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::test_support::{TEST_TIMEOUT, TestHome, eventually};

/// Opens connections and holds them; what is closed is opened again. A connection says nothing at all, or one byte of
/// a long message from time to time. Says `ready` when it has tried all of them once.
const FLOOD_SCRIPT: &str = r#"
import os, socket, sys, time
path, processes, each, drip = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "drip"
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    try:
        s.connect(path)
        if drip: s.send(b"\0")
        s.setblocking(False)
        return s
    except OSError:
        return None
def closed(s):
    try: return s is None or s.recv(65536) == b""
    except BlockingIOError: return False
    except OSError: return True
def hold(first):
    held = [connect() for _ in range(each)]
    if first: print("ready", flush=True)
    while os.getppid() != 1:
        time.sleep(0.2)
        for n, s in enumerate(held):
            if closed(s):
                if s: s.close()
                held[n] = connect()
            elif drip:
                try: s.send(b"\0")
                except OSError: pass
for _ in range(processes - 1):
    if os.fork() == 0:
        hold(False)
        os._exit(0)
hold(True)
"#;

/// The processes that crowd in; all end with this.
struct ConnectionFlood(Child);

impl ConnectionFlood {
    fn start(world: &TestHome, processes: usize, each: usize, how: &str) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", FLOOD_SCRIPT])
            .arg(world.path("run/portero.sock"))
            .args([&processes.to_string(), &each.to_string(), how])
            .stdout(Stdio::piped())
            .own_process_group()
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for ConnectionFlood {
    fn drop(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
        let _ = self.0.wait();
    }
}

trait CommandGroupExt {
    fn own_process_group(&mut self) -> &mut Self;
}

impl CommandGroupExt for Command {
    fn own_process_group(&mut self) -> &mut Self {
        std::os::unix::process::CommandExt::process_group(self, 0)
    }
}

/// Runs what a person needs first, and gives how long the slowest of it took.
fn time_restrictive_commands(world: &TestHome) -> Duration {
    let commands: [&[&str]; 5] =
        [&["status"], &["deny", "office/read_mail"], &["pause"], &["revoke", "--all"], &["rules"]];
    let times = commands.map(|words| {
        let begun = Instant::now();
        let said = world.run(words);
        assert_eq!(said.code, 0, "{words:?}: {}", said.stderr);
        begun.elapsed()
    });
    times.into_iter().max().unwrap()
}

#[test]
fn idle_connections_of_one_process_or_of_many_lock_nobody_out() {
    let world = TestHome::with_office();
    let alone = time_restrictive_commands(&world);
    let crowds: [&[(usize, usize, &str)]; 4] = [
        &[(1, 400, "silent")],
        &[(150, 2, "silent")],
        &[(1, 60, "drip"), (60, 1, "drip")],
        &[(1, 300, "silent"), (100, 2, "silent"), (40, 2, "drip")],
    ];
    for crowd in crowds {
        let held: Vec<_> = crowd
            .iter()
            .map(|(processes, each, how)| ConnectionFlood::start(&world, *processes, *each, how))
            .collect();
        let crowded = time_restrictive_commands(&world);
        assert!(crowded < (8 * alone).max(TEST_TIMEOUT / 6), "{crowd:?}: {crowded:?} instead of {alone:?}");
        drop(held);
    }
}

#[test]
fn a_process_that_holds_most_is_named_to_the_one_that_is_turned_away() {
    let world = TestHome::with_office();
    assert_eq!(world.run(&["status"]).code, 0);
    let turned_away = r#"
import select, socket, sys, time
held = []
for _ in range(40):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    held.append(s)
end = time.monotonic() + 20
while len(held) > 32 and time.monotonic() < end:
    for s in select.select(held, [], [], 1)[0]:
        sys.stdout.write(s.recv(65536)[4:].decode() + "\n")
        held.remove(s)
"#;
    let said = eventually("one is turned away", || {
        let output =
            Command::new("python3").args(["-c", turned_away]).arg(world.path("run/portero.sock")).output();
        Some(String::from_utf8(output.unwrap().stdout).unwrap()).filter(|said| !said.is_empty())
    });
    assert!(said.contains("python") && said.contains("32 connections open already"), "{said}");
    assert_eq!(said.lines().count(), 8, "the others have their places: {said}");
}
