//! A process of another user of the machine, who may come as far as the directories' permissions let it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::Command;

use super::forking_impostor::ForkingImpostor;
use crate::agent::Agent;
use crate::terminal::set_passphrase;
use crate::test_support::TestHome;

const NOBODY: u32 = 65_534;

/// Does to the files of the first argument what another program of the same user could do, and says what was possible.
const ATTACK: &str = r#"
import os, socket, sys
world = sys.argv[1]
def attempt(what, do):
    try: do()
    except OSError: return
    print(what, flush=True)
def connect():
    socket.socket(socket.AF_UNIX).connect(world + "/run/portero.sock")
attempt("connected", connect)
for place in ["state/x", "state/audit/zzz.jsonl", "run/portero.new", "state/catalog/x.cache", "state/logs/x.log"]:
    attempt("made a pipe at " + place, lambda: os.mkfifo(world + "/" + place))
for place in ["state/portero.db", "state/files.key", "state/audit.key", "state/confirmed.json", "state/denies.json"]:
    attempt("read " + place, lambda: open(world + "/" + place).close())
for place in ["state", "state/audit", "run"]:
    attempt("listed " + place, lambda: os.listdir(world + "/" + place))
print("done", flush=True)
"#;

fn as_nobody(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    let user = format!("{NOBODY}");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", program]);
    command
}

/// Lets everyone come to the world's directories, which only Portero's own permissions protect then.
fn open_up(world: &TestHome) {
    for path in [world.path(""), world.path("config")] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let seal = world.path("config/portero.seal");
    if seal.exists() {
        fs::set_permissions(seal, fs::Permissions::from_mode(0o644)).unwrap();
    }
}

#[test]
fn another_user_connects_to_nothing_reads_nothing_and_makes_nothing() {
    let world = TestHome::with_office();
    open_up(&world);
    set_passphrase(&world);
    world.json(&["deny", "office/search_mail"]);
    let agent = Agent::connect(&world, &[]);
    for name in ["state", "run", "state/audit", "state/portero.db", "state/files.key", "state/confirmed.json"]
    {
        let mode = fs::metadata(world.path(name)).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{name} is for its user alone: {mode:o}");
    }
    // Only root can act as somebody else; for other testers the permissions are all that can be looked at.
    if rustix::process::geteuid().is_root() {
        let tried = as_nobody("/usr/bin/python3").args(["-c", ATTACK]).arg(world.path("")).output().unwrap();
        let said = String::from_utf8_lossy(&tried.stdout);
        assert_eq!(said, "done\n", "{}", String::from_utf8_lossy(&tried.stderr));
    }
    drop(agent);
}

#[test]
fn a_listener_of_another_user_in_a_directory_of_its_own_is_not_believed() {
    if !rustix::process::geteuid().is_root() {
        // A directory of another user's cannot be made; that of the same user is tried in `in_place`.
        return;
    }
    let mut world = TestHome::with_office();
    set_passphrase(&world);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    open_up(&world);
    let (foreign, programs) = (world.path("foreign"), world.path("programs"));
    for directory in [&foreign, &programs] {
        fs::create_dir(directory).unwrap();
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let porterod = programs.join("porterod");
    fs::copy(world.porterod(), &porterod).unwrap();
    std::os::unix::fs::chown(&foreign, Some(NOBODY), Some(NOBODY)).unwrap();
    let run: &'static str = Box::leak(foreign.display().to_string().into_boxed_str());
    world.variables.push(("PORTERO_RUNTIME_DIR", run));
    let command =
        as_nobody(if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" });
    let impostor = ForkingImpostor::begin_as(&world, command, &foreign, &porterod, None);
    let said = world.run(&["status"]);
    assert_ne!(said.code, 0, "{}", said.stdout);
    assert!(said.stderr.contains("belongs to another user; nothing was sent"), "{}", said.stderr);
    super::forking_impostor::assert_session_disbelieves(&world, &impostor);
}
