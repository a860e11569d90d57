//! A drive that hangs in mid-work: a signal ends the daemon all the same, and what narrows is heard where it can be.

use portero::ipc::requests::overrides::CreateRule;
use std::io;

use portero::files::faults::{FileFault, InjectedFault, inject_fault};
use portero::policy::Action;

use super::*;
use crate::signals::SignalGraces;

/// The place whose drive hangs as long as [`FLAG`] is there.
pub(super) const HANGS: &str = "PORTERO_TEST_HANGS";
const FLAG: &str = "hang";
/// Longer than any test here takes.
const MAX_HANG: Duration = Duration::from_secs(120);
/// How long an end may take here.
pub(super) const GRACES: SignalGraces =
    SignalGraces { hear: Duration::from_secs(2), end: Duration::from_secs(10) };

struct HangsWhile(PathBuf);

impl HangsWhile {
    fn wait(&self) -> io::Result<()> {
        let since = Instant::now();
        while self.0.exists() && since.elapsed() < MAX_HANG {
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }
}

impl FileFault for HangsWhile {
    fn before_open(&self, _: &Path) -> io::Result<()> {
        self.wait()
    }

    fn before_read(&self, _: &Path) -> io::Result<()> {
        self.wait()
    }

    fn before_sync(&self, _: &Path) -> io::Result<()> {
        self.wait()
    }
}

/// In the daemon: lets its drive hang, if the test wants that.
pub(super) fn hang(home: &Path) -> Option<InjectedFault> {
    let place = std::env::var_os(HANGS)?;
    Some(inject_fault(Path::new(&place), Arc::new(HangsWhile(home.join(FLAG)))))
}

fn terminate(daemon: &Daemon) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(daemon.0.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
}

#[tokio::test]
async fn whichever_drive_hangs_a_signal_ends_the_daemon_and_denies_are_in_force_before() {
    for place in ["state/audit", "state/logs", "state/portero.db"] {
        let home = Home::new();
        let mut daemon = home.hanging(place);
        let person = home.connect(PeerRole::Terminal).await;
        std::fs::write(home.path_of(FLAG), "").unwrap();
        let pattern = "notes/erase".parse().unwrap();
        let denied = person.request(CreateRule {
            pattern,
            action: Action::Deny,
            run_waiting: Vec::new(),
            challenge: None,
        });
        let denied = tokio::time::timeout(TEST_TIMEOUT, denied).await.expect(place);
        let in_force = match &denied {
            Ok(_) => true,
            Err(RequestError::Refused(failure)) => failure.message.starts_with("it is in force"),
            Err(RequestError::Closed(_) | RequestError::Unsent(_) | RequestError::Unreadable { .. }) => false,
        };
        assert!(in_force, "{place}: {denied:?}");
        let file = std::fs::read_to_string(paths(home.0.path()).offline_denies()).unwrap();
        assert!(file.contains("notes/erase"), "{place}: {file}");
        terminate(&daemon);
        daemon.wait_for_exit();
    }
}

impl Home {
    fn hanging(&self, place: &str) -> Daemon {
        let mut command = self.command();
        command.env(HANGS, self.path_of(place));
        Daemon(command.spawn().unwrap())
    }
}
