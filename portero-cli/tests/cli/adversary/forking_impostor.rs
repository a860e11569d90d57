//! The impostor that looks like the daemon's program: it listens, forks, and executes the real `porterod` in the process
//! that listened, while its child holds the socket and answers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use expectrl::{Eof, Expect as _};
use serde_json::json;

use crate::agent::{Agent, result_text};
use crate::terminal::{PASSPHRASE, confirm_with_passphrase, set_passphrase, spawn_on_terminal};
use crate::test_support::{TestHome, eventually};

pub(super) struct ForkingImpostor {
    child: Child,
    record: PathBuf,
}

impl ForkingImpostor {
    /// Takes the daemon's place; with `real`, it passes everything on to the socket there.
    fn start(world: &TestHome, real: Option<&Path>) -> Self {
        let python =
            ["/usr/bin/python3", "/usr/local/bin/python3"].into_iter().find(|path| Path::new(path).exists());
        let command = world.command_as_user(Path::new(python.unwrap_or("python3")));
        Self::begin_as(world, command, &world.path("run"), &world.porterod(), real)
    }

    /// As that command's user, on a socket in `runtime`, with this copy of the daemon's program.
    pub(super) fn begin_as(
        world: &TestHome,
        mut command: Command,
        runtime: &Path,
        program: &Path,
        real: Option<&Path>,
    ) -> Self {
        let (socket, record) = (runtime.join("portero.sock"), runtime.join("impostor.record"));
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/listen_in_place.py");
        command.arg(world.copy_readable(&script)).arg(&socket).arg(program);
        command.arg(world.path("config/portero.seal")).arg(&record).args(real);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let link = format!("/proc/{}/exe", child.id());
        eventually("the listener runs the daemon's program", || {
            let runs = fs::read_link(&link).is_ok_and(|found| found.ends_with("porterod"));
            (runs && socket.exists()).then_some(())
        });
        Self { child, record }
    }

    fn received_text(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.record).unwrap_or_default()).into_owned()
    }
}

impl Drop for ForkingImpostor {
    fn drop(&mut self) {
        // The guard ends all that is below it.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}

/// A person set it up; a task waits, and the daemon is stopped.
fn set_up_waiting_task(world: &TestHome) -> String {
    set_passphrase(world);
    let mut agent = Agent::connect(world, &[]);
    let mail = json!({"to": "a@b.test", "subject": "x", "body": "y"});
    let pending = agent.call_tool("office__send_mail", &mail);
    pending["result"]["structuredContent"]["taskId"]
        .as_str()
        .unwrap_or_else(|| panic!("{pending}"))
        .to_owned()
}

/// A terminal asks for no passphrase and tells the person; nothing that could serve anyone was sent.
fn assert_terminal_gives_nothing(world: &TestHome, impostor: &ForkingImpostor, task: &str) {
    for words in [&["approve", task][..], &["allow", "office/*"], &["passphrase", "set"]] {
        let mut terminal = spawn_on_terminal(world, words);
        let end = terminal.expect("is not the daemon").unwrap();
        let shown = String::from_utf8_lossy(end.before()).into_owned();
        assert!(!shown.contains("assphrase"), "{words:?}: {shown}");
        terminal.expect(Eof).unwrap();
    }
    let said = world.run(&["status"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(said.stderr.contains("type no passphrase"), "{}", said.stderr);
    let heard = impostor.received_text();
    assert!(!heard.contains(PASSPHRASE) && !heard.contains("proof"), "{heard}");
    assert!(!heard.contains("\"ask\""), "it was asked nothing: {heard}");
}

/// A session goes on without it: what the files allow works, what they deny does not run.
pub(super) fn assert_session_disbelieves(world: &TestHome, impostor: &ForkingImpostor) {
    let before = world.received_calls().len();
    let mut agent = Agent::connect(world, &[]);
    // What asks the daemon waits for it, so a rule of its would be in force after.
    agent.call_tool("portero__list_tasks", &json!({}));
    for (tool, arguments) in [
        ("office__delete_mail", json!({"id": 1})),
        ("office__send_mail", json!({"to": "thief@b.test", "subject": "x", "body": "y"})),
    ] {
        let answer = agent.call_tool(tool, &arguments);
        assert!(answer["result"]["isError"] == true || answer.get("error").is_some(), "{answer}");
    }
    assert_eq!(world.received_calls().len(), before, "nothing ran");
    result_text(&agent.call_tool("office__read_mail", &json!({"id": 1})));
    assert!(!impostor.received_text().contains("subscribe"), "it was not even asked for rules");
}

fn check_forking_impostor(world: &TestHome) {
    let task = set_up_waiting_task(world);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    let impostor = ForkingImpostor::start(world, None);
    assert_terminal_gives_nothing(world, &impostor, &task);
    assert_session_disbelieves(world, &impostor);
}

#[test]
fn a_listener_that_forked_and_became_the_daemon_s_program_gets_and_decides_nothing() {
    check_forking_impostor(&TestHome::with_office());
}

#[test]
fn the_same_holds_for_a_user_without_any_privilege_and_its_daemon_serves_it_as_ever() {
    let world = TestHome::with_office_of_another_user();
    check_forking_impostor(&world);
    fs::remove_file(world.path("run/portero.sock")).unwrap();
    confirm_with_passphrase(&world, &["allow", "office/delete_mail"], "is allowed");
    let mut agent = Agent::connect(&world, &[]);
    agent.call_tool("portero__list_tasks", &json!({}));
    result_text(&agent.call_tool("office__delete_mail", &json!({"id": 1})));
}

#[test]
fn one_that_passes_everything_on_to_the_real_daemon_gets_nothing_either() {
    let world = TestHome::with_office();
    let task = set_up_waiting_task(&world);
    let (socket, real) = (world.path("run/portero.sock"), world.path("run/real.sock"));
    fs::rename(&socket, &real).unwrap();
    let impostor = ForkingImpostor::start(&world, Some(&real));
    assert_terminal_gives_nothing(&world, &impostor, &task);
    assert_session_disbelieves(&world, &impostor);
    drop(impostor);
    fs::rename(&real, &socket).unwrap();
    assert_eq!(world.json(&["rules"])["rules"], json!([]));
}

#[test]
fn a_daemon_with_the_agent_s_own_store_is_not_believed_where_the_configuration_is_sealed() {
    let mut world = TestHome::with_office();
    set_up_waiting_task(&world);
    assert_eq!(world.run(&["daemon", "stop"]).code, 0);
    let seal = fs::read(world.path("config/portero.seal")).unwrap();
    // Without the seal a store of its own begins, in which it sets a passphrase and allows everything.
    fs::remove_file(world.path("config/portero.seal")).unwrap();
    for (variable, directory) in [("PORTERO_STATE_DIR", "own-state"), ("PORTERO_RUNTIME_DIR", "own-run")] {
        let directory: &'static str = Box::leak(world.path(directory).display().to_string().into_boxed_str());
        world.variables.push((variable, directory));
    }
    set_passphrase(&world);
    confirm_with_passphrase(&world, &["allow", "office/*"], "is allowed");
    let own = world.json(&["daemon", "status"])["pid"].to_string();
    fs::write(world.path("config/portero.seal"), seal).unwrap();
    let said = world.run(&["status"]);
    assert_eq!(said.code, 3, "{}", said.stdout);
    assert!(said.stderr.contains("is not the daemon of this configuration"), "{}", said.stderr);
    let mut terminal = spawn_on_terminal(&world, &["resume"]);
    let end = terminal.expect("is not the daemon of this configuration").unwrap();
    assert!(!String::from_utf8_lossy(end.before()).contains("assphrase"));
    let before = world.received_calls().len();
    let mut agent = Agent::connect(&world, &[]);
    let listed = agent.call_tool("portero__list_tasks", &json!({}));
    assert!(
        listed.to_string().contains("cannot show that it keeps the store"),
        "the agent is told: {listed}"
    );
    for tool in ["office__delete_mail", "office__send_mail"] {
        let answer = agent.call_tool(tool, &json!({"id": 1, "to": "a@b.test", "subject": "x", "body": "y"}));
        assert!(answer["result"]["isError"] == true || answer.get("error").is_some(), "{answer}");
    }
    assert_eq!(world.received_calls().len(), before, "nothing ran");
    assert!(Command::new("kill").arg(own).status().unwrap().success());
}
