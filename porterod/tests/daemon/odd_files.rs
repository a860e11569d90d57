//! What stands in a file's place, or what a drive does, holds up nothing but the file itself.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use portero::files::faults::{FileFault, InjectedFault, inject_fault};
use portero::ipc::requests::approvals::RejectTask;
use portero::ipc::requests::daemon::{GetStatus, StopDaemon};
use portero::ipc::requests::overrides::Pause;
use portero::ipc::requests::sessions::ForwardCall;
use portero::ipc::{DaemonStatus, FailureKind};
use portero::policy::Action;
use portero::task::Task;
use porterod::app::App;
use serde_json::json;

use crate::support::{Home, TEST_TIMEOUT, Terminal, call, is_kind, wait_until};

impl Terminal {
    async fn get_status(&self) -> Box<DaemonStatus> {
        match self.request(GetStatus).await {
            Ok(status) => status,
            other => panic!("{other:?}"),
        }
    }

    async fn is_denied(&self, tool: &str) -> bool {
        self.why(tool).await.decision.action == Action::Deny
    }
}

/// Fails to read while it is set.
struct FailingFault(AtomicBool);

impl FileFault for FailingFault {
    fn before_read(&self, _: &Path) -> io::Result<()> {
        if self.0.load(Ordering::Relaxed) { Err(io::Error::other("the disk is tired")) } else { Ok(()) }
    }
}

#[tokio::test]
async fn not_valid_goes_away_when_the_same_bytes_can_be_read_again() {
    let home = Home::new();
    let app = home.start().await;
    let person = home.terminal().await;
    assert!(person.get_status().await.config_valid);
    let fails = Arc::new(FailingFault(AtomicBool::new(true)));
    let _fault = inject_fault(&home.path_of("config/policies.json"), Arc::clone(&fails) as _);
    // The same bytes: only the time of the file changes.
    let text = std::fs::read(home.path_of("config/policies.json")).unwrap();
    std::fs::write(home.path_of("config/policies.json"), &text).unwrap();
    wait_until("it is told", async || !person.get_status().await.config_valid).await;
    let problems = person.get_status().await.config_problems.clone();
    assert!(
        problems[0].contains("policies.json") && problems[0].contains("the disk is tired"),
        "{problems:?}"
    );
    fails.0.store(false, Ordering::Relaxed);
    wait_until("it is well again", async || person.get_status().await.config_valid).await;
    assert!(person.get_status().await.config_problems.is_empty());
    app.shutdown().await;
}

#[cfg(unix)]
#[tokio::test]
async fn an_edit_behind_links_is_in_force_at_once() {
    use std::os::unix::fs::symlink;
    let home = Home::new();
    for directory in ["dotfiles/portero", "vault", "other"] {
        std::fs::create_dir_all(home.path_of(directory)).unwrap();
    }
    // The directory is a link, and the file in it is a link too.
    std::fs::rename(home.path_of("config"), home.path_of("dotfiles/portero")).unwrap();
    symlink(home.path_of("dotfiles/portero"), home.path_of("config")).unwrap();
    std::fs::rename(home.path_of("dotfiles/portero/policies.json"), home.path_of("vault/policies.json"))
        .unwrap();
    symlink("../../vault/policies.json", home.path_of("dotfiles/portero/policies.json")).unwrap();
    let app = home.start().await;
    let person = home.terminal().await;
    let deny = |file: &str, tool: &str| {
        std::fs::write(
            home.path_of(file),
            json!({"policies": {"notes/*": "allow", tool: "deny"}}).to_string(),
        )
        .unwrap();
    };
    // Each is sooner than the next look would be, which comes after 30 seconds; `until` waits for 20.
    assert!(!person.is_denied("notes/one").await);
    deny("vault/policies.json", "notes/one");
    wait_until("the target was edited", async || person.is_denied("notes/one").await).await;
    deny("other/policies.json", "notes/two");
    std::fs::remove_file(home.path_of("dotfiles/portero/policies.json")).unwrap();
    symlink(home.path_of("other/policies.json"), home.path_of("dotfiles/portero/policies.json")).unwrap();
    wait_until("the link leads elsewhere", async || person.is_denied("notes/two").await).await;
    deny("other/policies.json", "notes/three");
    wait_until("its new target was edited", async || person.is_denied("notes/three").await).await;
    std::fs::create_dir(home.path_of("swapped")).unwrap();
    deny("swapped/policies.json", "notes/four");
    symlink(home.path_of("swapped"), home.path_of("link")).unwrap();
    std::fs::rename(home.path_of("link"), home.path_of("config")).unwrap();
    wait_until("the directory was swapped", async || person.is_denied("notes/four").await).await;
    deny("swapped/policies.json", "notes/five");
    wait_until("a file in the new directory was edited", async || person.is_denied("notes/five").await).await;
    app.shutdown().await;
}

/// Hangs until it is let go, or for longer than anything here may take.
#[derive(Default)]
struct HangingFault(Mutex<bool>, Condvar);

impl HangingFault {
    fn release(&self) {
        *self.0.lock().unwrap() = true;
        self.1.notify_all();
    }
}

impl FileFault for HangingFault {
    fn before_open(&self, _: &Path) -> io::Result<()> {
        let held = self.0.lock().unwrap();
        drop(self.1.wait_timeout_while(held, 6 * TEST_TIMEOUT, |gone| !*gone).unwrap());
        Ok(())
    }
}

/// Everything that a person must be able to do whatever stands in a file's place.
async fn assert_narrowing_works(home: &Home, app: App) {
    let (person, session) = (home.terminal().await, home.session("project").await);
    let task = session.submit("notes/send", "x").await.unwrap();
    rejects_and_stops(&person, &task, app).await;
}

/// As [`narrows`], with a task that waits already.
async fn rejects_and_stops(person: &Terminal, task: &Task, app: App) {
    let begun = Instant::now();
    person.rule("notes/read", Action::Deny).await.unwrap();
    assert!(person.is_denied("notes/read").await);
    person.request(RejectTask { task: task.id, reason: None, for_now: false }).await.unwrap();
    person.request(Pause).await.unwrap();
    let status = person.get_status().await;
    assert!(status.standing.paused.is_some());
    person.request(StopDaemon).await.unwrap();
    tokio::time::timeout(TEST_TIMEOUT, app.wait_for_stop()).await.unwrap();
    app.shutdown().await;
    assert!(begun.elapsed() < 3 * TEST_TIMEOUT, "{:?}", begun.elapsed());
}

/// The files of the configuration and of the state that the daemon reads or writes.
fn file_paths(home: &Home) -> Vec<PathBuf> {
    let paths = home.paths();
    let config = portero::config::CONFIG_FILES.map(|name| paths.config.join(name));
    let audit = paths.audit();
    let state = [
        paths.seal(),
        paths.offline_denies(),
        paths.offline_denies().with_extension("json.new"),
        paths.rejections(),
        paths.updates(1),
        paths.approved_config(),
        paths.approved_config().with_extension("next.json"),
        paths.audit_key(),
        paths.state.join("files.key"),
        paths.catalog().join("server-common.cache"),
        paths.catalog().join("files.key"),
        audit.join("20200101T000000.000000Z-1-x.jsonl"),
        audit.join("zzz.jsonl"),
        paths.server_logs().join("notes.log"),
        paths.server_logs().join("porterod.log"),
    ];
    config.into_iter().chain(state).collect()
}

/// Makes a named pipe by the system's own program, since macOS has no `mknodat`.
#[cfg(unix)]
fn make_pipe(place: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(place).status().unwrap().success());
}

#[cfg(unix)]
#[tokio::test]
async fn a_pipe_in_the_place_of_any_file_holds_up_no_deny_pause_reject_or_stop() {
    let home = Home::new();
    let app = home.start().await;
    for place in file_paths(&home) {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&place);
        make_pipe(&place);
    }
    let person = home.terminal().await;
    wait_until("it is told", async || !person.get_status().await.config_valid).await;
    let problems = person.get_status().await.config_problems.join("\n");
    for name in ["mcps.json", "replacements.json", "policies.json", "portero.json"] {
        assert!(problems.contains(&format!("{name}` is a named pipe, not a file")), "{problems}");
    }
    assert!(problems.contains(".env` is a named pipe, and no program wrote to it"), "{problems}");
    assert_narrowing_works(&home, app).await;
}

#[cfg(unix)]
#[tokio::test]
async fn a_daemon_starts_where_other_things_stand_in_the_places_of_what_it_kept() {
    let home = Home::new();
    home.start().await.shutdown().await;
    let paths = home.paths();
    for place in file_paths(&home).into_iter().filter(|place| place.starts_with(&paths.state)) {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&place);
        make_pipe(&place);
    }
    // Without its key the copy cannot be written, so a daemon says so and does not start.
    let refused = App::start(home.app_deps()).await.err().unwrap();
    assert!(refused.to_string().contains("is a named pipe, not a file"), "{refused}");
    for key in [paths.state.join("files.key"), paths.approved_config().with_extension("next.json")] {
        std::fs::remove_file(key).unwrap();
    }
    assert_narrowing_works(&home, home.start().await).await;
    let verdict = portero::audit::verify(&paths.audit()).unwrap();
    let broken: Vec<_> = verdict.segments.iter().filter(|segment| segment.broken.is_some()).collect();
    assert_eq!(broken.len(), 2, "{broken:?}");
    assert!(verdict.segments.len() > 3, "the others are verified");
}

#[tokio::test]
async fn a_drive_that_hangs_holds_up_no_deny_pause_reject_or_stop() {
    let home = Home::new();
    let app = home.start().await;
    let hangs = Arc::new(HangingFault::default());
    let paths = home.paths();
    let kept = [paths.config.clone(), paths.offline_denies(), paths.approved_config(), paths.catalog()];
    let _faults = kept.map(|path| inject_fault(&path, Arc::clone(&hangs) as _));
    home.write_policies("deny");
    let person = home.terminal().await;
    wait_until("it is told", async || !person.get_status().await.config_valid).await;
    let problems = person.get_status().await.config_problems.join("\n");
    assert!(problems.contains("does not answer"), "{problems}");
    assert_narrowing_works(&home, app).await;
    hangs.release();
}

/// What stands in a file's place.
#[cfg(unix)]
#[derive(Debug, Clone, Copy)]
enum Odd {
    Pipe,
    Directory,
    /// A link to what has no end.
    Endless,
    /// A link that leads nowhere.
    Nowhere,
    /// 10 GB, of which nothing is on the disk.
    Sparse,
}

#[cfg(unix)]
impl Odd {
    const ALL: [Self; 5] = [Self::Pipe, Self::Directory, Self::Endless, Self::Nowhere, Self::Sparse];

    /// Puts it there. A running daemon may write the file anew between its removal and that.
    fn put(self, place: &Path) {
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        let put = (0..1000).find_map(|_| {
            let _ = std::fs::remove_file(place);
            match self.try_put(place) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                put => Some(put),
            }
        });
        put.expect("the place is free for a moment").unwrap();
    }

    fn try_put(self, place: &Path) -> io::Result<()> {
        use std::os::unix::fs::symlink;

        match self {
            Self::Pipe => match std::process::Command::new("mkfifo").arg(place).status()?.success() {
                true => Ok(()),
                false => Err(io::ErrorKind::AlreadyExists.into()),
            },
            // In a directory nothing takes the place of something else by being renamed.
            Self::Directory => std::fs::create_dir_all(place.join("below")),
            Self::Endless => symlink("/dev/zero", place),
            Self::Nowhere => symlink("nowhere/at/all", place),
            Self::Sparse => std::fs::File::create(place).and_then(|file| file.set_len(10 << 30)),
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn whatever_stands_in_the_place_of_every_file_a_person_denies_pauses_rejects_and_stops() {
    for odd in Odd::ALL {
        let home = Home::new();
        let app = home.start().await;
        let (person, session) = (home.terminal().await, home.session("project").await);
        let task = session.submit("notes/send", "x").await.unwrap();
        for place in file_paths(&home) {
            odd.put(&place);
        }
        wait_until(&format!("{odd:?} is told"), async || !person.get_status().await.config_valid).await;
        let begun = Instant::now();
        // What cannot be saved is in force all the same, and said to be unsaved.
        let denied = person.rule("notes/read", Action::Deny).await;
        assert!(denied.is_ok() || is_kind(&denied, FailureKind::Unsaved), "{odd:?}: {denied:?}");
        let reject = RejectTask { task: task.id, reason: None, for_now: false };
        let rejected = person.request(reject).await;
        assert!(rejected.is_ok() || is_kind(&rejected, FailureKind::Unsaved), "{odd:?}: {rejected:?}");
        let paused = person.request(Pause).await;
        assert!(paused.is_ok() || is_kind(&paused, FailureKind::Unsaved), "{odd:?}: {paused:?}");
        assert!(person.is_denied("notes/read").await, "{odd:?}");
        assert!(person.get_status().await.standing.paused.is_some(), "{odd:?}");
        person.request(StopDaemon).await.unwrap();
        tokio::time::timeout(TEST_TIMEOUT, app.wait_for_stop()).await.unwrap();
        app.shutdown().await;
        assert!(begun.elapsed() < 3 * TEST_TIMEOUT, "{odd:?}: {:?}", begun.elapsed());
    }
}

/// What a file does when it is read.
#[derive(Debug, Clone, Copy)]
enum Restless {
    Slow,
    GoesAway,
    Grows,
    Fails,
}

impl FileFault for Restless {
    fn before_read(&self, path: &Path) -> io::Result<()> {
        // SQLite reads the store by itself; `a_drive_that_hangs_while_the_store_is_written…` is about that.
        if path.extension().is_some_and(|extension| extension == "db") {
            return Ok(());
        }
        match self {
            Self::Slow => std::thread::sleep(Duration::from_millis(50)),
            Self::GoesAway => drop(std::fs::remove_file(path)),
            Self::Grows => {
                let mut file = std::fs::OpenOptions::new().append(true).open(path)?;
                file.write_all(b" ")?;
            }
            Self::Fails => return Err(io::Error::other("input/output error")),
        }
        Ok(())
    }
}

#[tokio::test]
async fn files_that_are_slow_or_go_or_change_in_mid_read_hold_up_no_deny_pause_reject_or_stop() {
    for restless in [Restless::Slow, Restless::GoesAway, Restless::Grows, Restless::Fails] {
        let home = Home::new();
        let app = home.start().await;
        let (person, session) = (home.terminal().await, home.session("project").await);
        let task = session.submit("notes/send", "x").await.unwrap();
        let paths = home.paths();
        let _faults = [paths.config, paths.state].map(|below| inject_fault(&below, Arc::new(restless)));
        // It is read anew.
        home.write_policies("deny");
        rejects_and_stops(&person, &task, app).await;
    }
}

/// Notes what is opened.
#[derive(Default)]
struct Opened(Mutex<BTreeSet<PathBuf>>);

impl FileFault for Opened {
    fn before_open(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().insert(path.to_owned());
        Ok(())
    }
}

/// So that a new file cannot be forgotten in `places`.
#[tokio::test]
async fn every_file_that_a_daemon_opens_is_among_those_that_are_tried() {
    let home = Home::new();
    let opened = Arc::new(Opened::default());
    let _noted = inject_fault(&home.path_of(""), Arc::clone(&opened) as _);
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    for tool in ["notes/send", "common/send"] {
        let task = session.submit(tool, "x").await.unwrap();
        person.approve(&task).await.unwrap();
        session.finished(&task).await;
    }
    person.rule("notes/read", Action::Deny).await.unwrap();
    home.write("policies.json", &json!({"defaultPolicy": "allow"}));
    wait_until("the edit waits", async || person.get_status().await.config_waits > 0).await;
    app.shutdown().await;
    home.start().await.shutdown().await;

    let paths = home.paths();
    let tried = file_paths(&home);
    // At a place of these no daemon starts: `portero-cli/tests/cli/adversary/odd_files.rs` tries them.
    let of_the_store = ["db", "db.lock", "db.new", "db-journal", "db-wal", "db-shm"];
    let mut before_a_start = of_the_store.map(|of| paths.store().with_extension(of)).to_vec();
    before_a_start.push(paths.runtime_lock());
    let folders = [paths.audit(), paths.catalog(), paths.server_logs()];
    let opened = opened.0.lock().unwrap();
    for path in &*opened {
        let is_tried = tried.contains(path) || folders.iter().any(|folder| path.parent() == Some(folder));
        assert!(is_tried || before_a_start.contains(path), "{} is not tried", path.display());
    }
    for path in
        [paths.approved_config(), paths.seal(), paths.offline_denies(), paths.audit_key(), paths.store()]
    {
        assert!(opened.contains(&path), "{} is not opened any more", path.display());
    }
}

/// What was counted is told, and what hangs is told as such: never a zero that is none.
#[tokio::test]
async fn status_tells_what_is_counted_so_far_while_the_audits_drive_hangs() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let forward = || {
        let (call, client) = call("common/read", "hello");
        ForwardCall { call, client, progress: false, log_level: None }
    };
    session.request(forward()).await.unwrap();
    let before = person.get_status().await;
    assert_eq!((before.counts.done, &before.counts_lack), (1, &None));

    let hangs = Arc::new(HangingFault::default());
    let fault = inject_fault(&home.paths().audit(), Arc::clone(&hangs) as _);
    session.request(forward()).await.unwrap();
    let begun = Instant::now();
    let meanwhile = person.get_status().await;
    assert!(begun.elapsed() < TEST_TIMEOUT, "{:?}", begun.elapsed());
    assert_eq!((meanwhile.counts.done, meanwhile.counts_lack.as_deref()), (1, Some("still counting")));
    let audit = meanwhile.audit.as_ref().unwrap();
    assert!(audit.unread.as_ref().is_some_and(|why| why.contains("does not answer")), "{audit:?}");

    drop(fault);
    hangs.release();
    wait_until("all is counted", async || person.get_status().await.counts_lack.is_none()).await;
    let after = person.get_status().await;
    assert_eq!((after.counts.done, &after.audit.as_ref().unwrap().unread), (2, &None));
    app.shutdown().await;
}

/// Reading them hangs, and so does what is to be on the disk.
impl HangingFault {
    fn everywhere(home: &Home) -> (Arc<Self>, Vec<InjectedFault>) {
        let (hangs, paths) = (Arc::new(Self::default()), home.paths());
        let places = [
            paths.audit(),
            paths.server_logs(),
            paths.catalog(),
            paths.offline_denies(),
            paths.approved_config(),
        ];
        let faults = places.map(|path| inject_fault(&path, Arc::clone(&hangs) as _));
        (hangs, faults.into())
    }
}

#[tokio::test]
async fn a_drive_that_hangs_under_audit_and_logs_holds_up_no_deny_pause_reject_or_stop() {
    let home = Home::new();
    let app = home.start().await;
    let (hangs, _faults) = HangingFault::everywhere(&home);
    assert_narrowing_works(&home, app).await;
    hangs.release();
}

/// Hangs when something is to be on the disk.
struct HangsAtSync(HangingFault);

impl FileFault for HangsAtSync {
    fn before_sync(&self, path: &Path) -> io::Result<()> {
        self.0.before_open(path)
    }
}

/// Nothing can be stored, so what narrows is in force and said to be unsaved.
#[tokio::test]
async fn a_drive_that_hangs_while_the_store_is_written_holds_up_no_deny_pause_or_reject() {
    let home = Home::new();
    let app = home.start().await;
    let (person, session) = (home.terminal().await, home.session("project").await);
    let task = session.submit("notes/send", "x").await.unwrap();
    let hangs = Arc::new(HangsAtSync(HangingFault::default()));
    let fault = inject_fault(&home.paths().store(), Arc::clone(&hangs) as _);
    let denying = home.terminal().await;
    let denying = tokio::spawn(async move { denying.rule("notes/read", Action::Deny).await });
    wait_until("it is denied", async || person.is_denied("notes/read").await).await;
    let rejected = person.request(RejectTask { task: task.id, reason: None, for_now: false }).await;
    assert!(is_kind(&rejected, FailureKind::Unsaved), "{rejected:?}");
    assert!(is_kind(&denying.await.unwrap(), FailureKind::Unsaved));
    let paused = person.request(Pause).await;
    assert!(is_kind(&paused, FailureKind::Unsaved), "{paused:?}");
    assert_eq!(person.get_status().await.unsaved.as_ref().unwrap().tasks, [task.id]);

    drop(fault);
    hangs.0.release();
    wait_until("all of it is saved", async || person.get_status().await.unsaved.is_none()).await;
    person.request(StopDaemon).await.unwrap();
    tokio::time::timeout(TEST_TIMEOUT, app.wait_for_stop()).await.unwrap();
    app.shutdown().await;
}

/// The text, and what is long enough of it to be found wherever it begins in base64.
fn spellings(text: &str) -> Vec<Vec<u8>> {
    let mut found = vec![text.as_bytes().to_vec()];
    for shift in 0..3 {
        let shifted = [&vec![b' '; shift][..], text.as_bytes()].concat();
        let coded = data_encoding::BASE64.encode(&shifted);
        // The first and the last group also hold bits of what stands beside it.
        found.push(coded.as_bytes()[4..coded.len() - 4].to_vec());
    }
    found
}

#[tokio::test]
async fn nothing_in_the_state_directory_holds_a_private_value_or_a_secret_in_clear() {
    const TOKEN: &str = "123456:the-token-of-a-bot-9f1c";
    const SECRET: &str = "the-secret-of-a-server-77ab3e";
    let home = Home::new();
    std::fs::write(home.path_of("config/.env"), format!("TELEGRAM_BOT_TOKEN={TOKEN}\nAPI_KEY={SECRET}\n"))
        .unwrap();
    let mut mcps: serde_json::Value =
        serde_json::from_slice(&std::fs::read(home.path_of("config/mcps.json")).unwrap()).unwrap();
    for server in mcps["mcps"].as_array_mut().unwrap() {
        server["env"]["API_KEY"] = json!("${API_KEY}");
    }
    home.write("mcps.json", &mcps);
    let app = home.start().await;
    let (person, session) = (home.terminal_with_passphrase().await, home.session("project").await);
    for tool in ["notes/send", "common/send"] {
        let task = session.submit(tool, &format!("for John Doe, {SECRET}")).await.unwrap();
        person.approve(&task).await.unwrap();
        session.finished(&task).await;
    }
    // What waits is kept beside what was confirmed.
    home.write("policies.json", &json!({"defaultPolicy": "allow"}));
    wait_until("the edit waits", async || person.get_status().await.config_waits > 0).await;
    app.shutdown().await;

    let mut looked = Vec::new();
    let mut folders = vec![home.paths().state];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            // A secret that the agent itself wrote into a call is kept with it, so that the server gets what was meant.
            let is_store = path.file_name().unwrap().to_string_lossy().starts_with("portero.db");
            let of_call = |value: &&str| is_store && *value == SECRET;
            for value in ["Jane Roe", TOKEN, SECRET].into_iter().filter(|value| !of_call(value)) {
                for spelling in spellings(value) {
                    let holds = bytes.windows(spelling.len()).any(|part| part == spelling);
                    assert!(!holds, "{} holds {value}", path.display());
                }
            }
            looked.push(path);
        }
    }
    for kept in [home.paths().approved_config(), home.paths().store(), home.paths().offline_denies()] {
        assert!(looked.contains(&kept), "{} is not there", kept.display());
    }
    let caches = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "cache");
    assert!(looked.iter().any(caches), "{looked:?}");
}
