//! Through the loader, and into a program's memory.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::json;

use crate::agent::{Agent, result_text};
use crate::test_support::TestHome;

/// Writes the process into which the loader brings it into a file.
const LIBRARY: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>
__attribute__((constructor)) static void is_loaded(void) {
    char line[32];
    int length = snprintf(line, sizeof line, "%d\n", (int)getpid());
    int record = open(RECORD, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (record >= 0) {
        (void)!write(record, line, (size_t)length);
        close(record);
    }
}
"#;

/// The library, and the file that it writes.
struct Preloaded {
    library: PathBuf,
    record: PathBuf,
}

impl Preloaded {
    fn build(world: &TestHome) -> Self {
        let (source, library, record) =
            (world.path("loaded.c"), world.path("loaded.so"), world.path("loaded"));
        fs::write(&source, LIBRARY).unwrap();
        let record_macro = format!("-DRECORD={:?}", record.to_str().unwrap());
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", &record_macro, "-o"]).arg(&library).arg(&source);
        assert!(compiler.status().unwrap().success());
        Self { library, record }
    }

    /// How often it was brought into this process.
    fn times(&self, pid: u32) -> usize {
        let text = fs::read_to_string(&self.record).unwrap_or_default();
        text.lines().filter(|line| *line == pid.to_string()).count()
    }

    /// In that process it was, once, before the program started itself anew; no trace of it is left there.
    fn is_gone_from(&self, pid: u32) {
        assert_eq!(self.times(pid), 1, "it was loaded by the first start alone");
        let Some([maps, environment]) = own(pid) else { return };
        assert!(!maps.contains(self.library.to_str().unwrap()), "{maps}");
        assert!(!environment.split('\0').any(|variable| variable.starts_with("LD_")), "{environment}");
    }
}

/// What a process has mapped and its variables; none where only root may see that and this is another user.
fn own(pid: u32) -> Option<[String; 2]> {
    let read = |name: &str| fs::read(format!("/proc/{pid}/{name}"));
    let (Ok(maps), Ok(environment)) = (read("maps"), read("environ")) else {
        assert!(!rustix::process::geteuid().is_root(), "root sees it");
        return None;
    };
    Some([maps, environment].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// A daemon that is killed with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_preloaded_library_is_gone_from_a_session_before_it_does_anything_and_never_in_its_servers() {
    let mut world = TestHome::with_office();
    let preloaded = Preloaded::build(&world);
    let library: &'static str = Box::leak(preloaded.library.display().to_string().into_boxed_str());
    world.variables =
        vec![("LD_PRELOAD", library), ("LD_LIBRARY_PATH", "/nowhere"), ("GCONV_PATH", "/nowhere")];
    let mut agent = Agent::connect(&world, &["--no-start"]);
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    preloaded.is_gone_from(agent.child.id());
    let loaded = fs::read_to_string(&preloaded.record).unwrap();
    assert_eq!(loaded.lines().count(), 1, "neither its guard nor its server had it: {loaded}");
}

#[test]
fn a_preloaded_library_is_gone_from_the_daemon_too() {
    let world = TestHome::with_office();
    let preloaded = Preloaded::build(&world);
    let plain = world.command(&[]);
    let mut command = world.command_as_user(&world.porterod());
    command.env_clear();
    for (name, value) in plain.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.env("LD_PRELOAD", &preloaded.library).env("LD_AUDIT", "/nowhere.so");
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut daemon = Daemon(child);
    let mut word = String::new();
    BufReader::new(daemon.0.stdout.as_mut().unwrap()).read_line(&mut word).unwrap();
    assert_eq!(word, "ready\n");
    preloaded.is_gone_from(daemon.0.id());
}

/// Reads a file of another process, as a process of the user of this world.
fn read_as_its_user(world: &TestHome, pid: u64, name: &str) -> Output {
    let mut command = world.command_as_user(Path::new("/bin/cat"));
    command.arg(format!("/proc/{pid}/{name}")).env_clear().output().unwrap()
}

#[test]
fn no_process_of_the_same_user_looks_into_a_session() {
    let world = TestHome::with_office_of_another_user();
    let mut agent = Agent::connect(&world, &[]);
    agent.call_tool("portero__list_tasks", &json!({}));
    let session = u64::from(agent.child.id());
    for name in ["environ", "mem", "maps", "auxv"] {
        let looked = read_as_its_user(&world, session, name);
        let said = String::from_utf8_lossy(&looked.stderr);
        assert!(!looked.status.success() && looked.stdout.is_empty(), "{name} can be read");
        assert!(said.contains("Permission denied"), "{name}: {said}");
    }
    // The daemon can be looked into, as the documentation says: so this is no accident of the machine.
    let daemon = world.json(&["daemon", "status"])["pid"].as_u64().unwrap();
    let looked = read_as_its_user(&world, daemon, "environ");
    assert!(looked.status.success() && !looked.stdout.is_empty());
}
