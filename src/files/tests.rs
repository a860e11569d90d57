use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use super::faults::{FileFault, inject_fault};
use super::read_timeout::ReaderPool;
use super::*;

/// Longer than anything here takes on a busy machine, and shorter than a person would wait.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

fn read_config(path: &Path) -> Result<String, FileError> {
    read_text(path, 1000, SymlinkMode::Follow, PipeMode::Refuse)
}

fn error_text(path: &Path) -> String {
    let error = read_config(path).expect_err("it is no file to read");
    assert!(!error.hint().is_empty());
    error.to_string()
}

#[test]
fn a_regular_file_is_read_and_a_missing_one_is_told_from_a_link_that_leads_nowhere() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.json");
    assert!(read_config(&path).expect_err("missing").is_missing());
    fs::write(&path, "{}").expect("written");
    assert_eq!(read_config(&path).expect("read"), "{}");
    fs::write(&path, [0xff, 0xfe, 0x7b]).expect("written");
    assert!(error_text(&path).ends_with("is not UTF-8 text"));
}

#[cfg(unix)]
#[test]
fn links_are_followed_only_where_a_person_may_have_made_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::write(at("target"), "x").expect("written");
    std::os::unix::fs::symlink("target", at("link")).expect("linked");
    std::os::unix::fs::symlink("nowhere/vault", at("dead")).expect("linked");
    assert_eq!(read_config(&at("link")).expect("read"), "x");
    let refused = read(&at("link"), 10, SymlinkMode::Refuse).expect_err("a link");
    assert!(refused.is_not_a_file() && refused.to_string().ends_with("is a link, not a file"), "{refused}");
    for below in [at("dead"), at("dead").join("a.json"), at("dead").join("deep/a.json")] {
        assert!(error_text(&below).contains("leads nowhere: `nowhere/vault`"), "{}", error_text(&below));
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_refused_at_once_and_never_read() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    mknodat(CWD, at("pipe"), FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    fs::create_dir(at("directory")).expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).expect("bound");
    std::os::unix::fs::symlink("/dev/zero", at("device")).expect("linked");
    let begun = Instant::now();
    for (name, kind) in
        [("pipe", "named pipe"), ("directory", "directory"), ("socket", "socket"), ("device", "device")]
    {
        let expected = format!("is a {kind}, not a file");
        assert!(error_text(&at(name)).ends_with(&expected), "{}", error_text(&at(name)));
        for error in [
            open_for_append(&at(name)).err(),
            open_lock_file(&at(name)).err(),
            open_for_sync(&at(name)).err(),
        ] {
            assert!(error.expect("refused").is_not_a_file(), "{name}");
        }
    }
    assert!(begun.elapsed() < TEST_TIMEOUT);
}

#[test]
fn a_file_that_is_too_large_is_refused_without_reading_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("large");
    File::create(&path).and_then(|file| file.set_len(10 << 30)).expect("a sparse file");
    assert!(error_text(&path).contains("larger than 1000 bytes"), "{}", error_text(&path));
    File::create(&path).and_then(|file| file.set_len(1000)).expect("as large as it may be");
    assert_eq!(read(&path, 1000, SymlinkMode::Refuse).expect("read").len(), 1000);
}

/// Does something before each read.
struct BeforeRead<F>(F);

impl<F: Fn(&Path) -> io::Result<()> + Send + Sync> FileFault for BeforeRead<F> {
    fn before_read(&self, path: &Path) -> io::Result<()> {
        (self.0)(path)
    }
}

#[test]
fn a_file_that_grows_while_it_is_read_is_read_up_to_its_limit_only() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("growing");
    fs::write(&path, "x").expect("written");
    let grow = |path: &Path| {
        let mut file = OpenOptions::new().append(true).open(path)?;
        file.write_all(&[b'x'; 400])
    };
    let _fault = inject_fault(&path, Arc::new(BeforeRead(grow)));
    assert!(error_text(&path).contains("larger than 1000 bytes"), "{}", error_text(&path));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("changing");
    fs::write(&path, "old").expect("written");
    let reads = Arc::new(AtomicUsize::new(0));
    let changes_once = {
        let reads = Arc::clone(&reads);
        move |path: &Path| {
            if reads.fetch_add(1, Ordering::Relaxed) == 1 { fs::write(path, "newer") } else { Ok(()) }
        }
    };
    {
        let _fault = inject_fault(&path, Arc::new(BeforeRead(changes_once)));
        assert_eq!(read_config(&path).expect("read"), "newer");
    }
    let number = AtomicUsize::new(0);
    let always = move |path: &Path| fs::write(path, "y".repeat(number.fetch_add(1, Ordering::Relaxed) % 900));
    let _fault = inject_fault(&path, Arc::new(BeforeRead(always)));
    assert!(error_text(&path).contains("changed each time"), "{}", error_text(&path));
}

#[test]
fn a_file_that_is_removed_while_it_is_read_is_read_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("going");
    fs::write(&path, "whole").expect("written");
    let remove = |path: &Path| {
        let _ = fs::remove_file(path);
        Ok(())
    };
    let _fault = inject_fault(&path, Arc::new(BeforeRead(remove)));
    assert_eq!(read_config(&path).expect("read"), "whole");
}

/// Hangs until it is let go.
#[derive(Default)]
struct HangingFault(std::sync::Mutex<bool>, std::sync::Condvar);

impl HangingFault {
    fn release(&self) {
        *self.0.lock().expect("not poisoned") = true;
        self.1.notify_all();
    }
}

impl FileFault for HangingFault {
    fn before_open(&self, _: &Path) -> io::Result<()> {
        let held = self.0.lock().expect("not poisoned");
        drop(self.1.wait_while(held, |gone| !*gone).expect("not poisoned"));
        Ok(())
    }
}

#[tokio::test]
async fn a_reader_that_panics_does_not_bar_its_path() {
    static READERS: LazyLock<ReaderPool> = LazyLock::new(|| ReaderPool::new(1));
    let path = Path::new("panics");
    let panics = || panic!("a fault of the reader's");
    for _ in 0..2 {
        let error = READERS.read_with_timeout::<()>(path, TEST_TIMEOUT, panics).expect_err("it panics");
        assert!(matches!(error.problem(), FileProblem::System(_)), "{error}");
        let error = READERS.read_off_thread::<()>(path, TEST_TIMEOUT, panics).await.expect_err("it panics");
        assert!(matches!(error.problem(), FileProblem::System(_)), "{error}");
    }
    assert_eq!(READERS.read_with_timeout(path, TEST_TIMEOUT, || 1).expect("it is read"), 1);
}

#[tokio::test]
async fn a_read_waits_for_a_free_place_within_its_timeout() {
    static READERS: LazyLock<ReaderPool> = LazyLock::new(|| ReaderPool::new(1));
    let (begun, has_begun) = std::sync::mpsc::channel();
    let slow = std::thread::spawn(move || {
        let takes_long = move || {
            begun.send(()).expect("the test waits");
            std::thread::sleep(Duration::from_millis(100));
        };
        READERS.read_with_timeout(Path::new("slow"), TEST_TIMEOUT, takes_long)
    });
    has_begun.recv().expect("it begins");
    assert_eq!(READERS.read_with_timeout(Path::new("other"), TEST_TIMEOUT, || 1).expect("it waits"), 1);
    slow.join().expect("it ends").expect("it is read");
}

#[tokio::test]
async fn a_read_within_a_read_shares_its_place() {
    static READERS: LazyLock<ReaderPool> = LazyLock::new(|| ReaderPool::new(1));
    let inner = || READERS.read_with_timeout(Path::new("inner"), TEST_TIMEOUT, || 1).expect("it has a place");
    let outer = READERS.read_off_thread(Path::new("outer"), TEST_TIMEOUT, inner).await;
    assert_eq!(outer.expect("it is read"), 1);
    assert_eq!(READERS.read_with_timeout(Path::new("outer"), TEST_TIMEOUT, inner).expect("it is read"), 1);
}

#[tokio::test]
async fn a_drive_that_hangs_is_given_up_on_and_not_asked_without_end() {
    const TIMEOUT: Duration = Duration::from_millis(50);
    const MAX_READS: usize = 3;
    static READERS: LazyLock<ReaderPool> = LazyLock::new(|| ReaderPool::new(MAX_READS));
    let directory = tempfile::tempdir().expect("a directory");
    let hangs = Arc::new(HangingFault::default());
    let _fault = inject_fault(directory.path(), Arc::clone(&hangs) as _);
    let file = |name: &str| {
        let path = directory.path().join(name);
        fs::write(&path, "x").expect("written");
        (path.clone(), move || read_config(&path))
    };
    let problem = |error: FileError| format!("{:?}", error.problem());
    let (far, read) = file("far");
    assert_eq!(
        problem(READERS.read_with_timeout(&far, TIMEOUT, read.clone()).expect_err("it hangs")),
        "TimedOut(50ms)"
    );
    assert_eq!(
        problem(READERS.read_with_timeout(&far, TEST_TIMEOUT, read.clone()).expect_err("at once")),
        "StillHangs"
    );
    assert_eq!(
        problem(READERS.read_off_thread(&far, TEST_TIMEOUT, read.clone()).await.expect_err("at once")),
        "StillHangs"
    );
    for name in ["other", "third"] {
        let (path, read) = file(name);
        let error = READERS.read_off_thread(&path, TIMEOUT, read).await.expect_err("it hangs");
        assert_eq!(problem(error), "TimedOut(50ms)");
    }
    let (path, fourth) = file("fourth");
    assert_eq!(
        problem(READERS.read_with_timeout(&path, TIMEOUT, fourth.clone()).expect_err("no thread")),
        "TooManyHang(3)"
    );
    let error = READERS.read_off_thread(&path, TIMEOUT, fourth).await.expect_err("no thread");
    assert_eq!(problem(error), "TooManyHang(3)");
    hangs.release();
    let begun = Instant::now();
    while !READERS.read_off_thread(&far, TEST_TIMEOUT, read.clone()).await.is_ok_and(|read| read.is_ok()) {
        assert!(begun.elapsed() < TEST_TIMEOUT, "it is read once the drive is back");
        tokio::task::yield_now().await;
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_read_where_a_program_serves_it_and_given_up_on_where_none_does() {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join(".env");
    mknodat(CWD, &path, FileType::Fifo, Mode::RWXU, 0).expect("a pipe");
    let read = |limit| read_text(&path, limit, SymlinkMode::Follow, PipeMode::Read);
    let error = read(1000).expect_err("nobody serves it");
    assert!(error.to_string().contains("no program wrote to it"), "{error}");
    let serve = |text: String| {
        let path = path.clone();
        // The opening waits for the reader. A reader that goes first is no failure of this test.
        std::thread::spawn(move || {
            drop(
                OpenOptions::new()
                    .write(true)
                    .open(path)
                    .and_then(|mut pipe| pipe.write_all(text.as_bytes())),
            )
        })
    };
    let text = "A=1\n".repeat(50_000);
    let server = serve(text.clone());
    assert_eq!(read(1 << 20).expect("served"), text);
    server.join().expect("it ended");
    let server = serve(text);
    assert!(read(1000).expect_err("too much").to_string().contains("larger than 1000"));
    server.join().expect("it ended");
}

#[cfg(unix)]
#[test]
fn every_link_on_the_way_to_a_file_is_watched_with_what_it_leads_to() {
    use std::os::unix::fs::symlink;
    let base = tempfile::tempdir().expect("a directory");
    let base = base.path().canonicalize().expect("a path");
    let at = |name: &str| base.join(name);
    for directory in ["home", "dotfiles/portero", "vault"] {
        fs::create_dir_all(at(directory)).expect("made");
    }
    symlink("../dotfiles/portero", at("home/config")).expect("linked");
    symlink(at("vault/policies"), at("dotfiles/portero/policies.json")).expect("linked");
    fs::write(at("vault/policies"), "{}").expect("written");
    symlink("absent/mcps.json", at("dotfiles/portero/mcps.json")).expect("linked");
    let found = watch_targets(&at("home/config"), &["policies.json", "mcps.json", ".env"]);
    let found: Vec<_> = found
        .iter()
        .map(|WatchTarget { directory, name }| {
            let below = directory.strip_prefix(&base).expect("below");
            format!("{}: {}", below.display(), name.display())
        })
        .collect();
    assert_eq!(
        found,
        [
            "dotfiles: portero",
            "dotfiles/portero: .env",
            "dotfiles/portero: absent",
            "dotfiles/portero: mcps.json",
            "dotfiles/portero: policies.json",
            "home: config",
            "vault: policies",
        ]
    );
    symlink("loop", at("loop")).expect("linked");
    assert!(watch_targets(&at("loop"), &["a"]).len() <= 40);
}
