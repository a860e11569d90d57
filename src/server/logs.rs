//! A server's own log: what it says on stderr, and what it says on stdout that is no message.
//!
//! Every line is concealed before it is written or kept. The log is two files of half the limit each, the
//! older one named `.1`, so that a chatty server cannot fill the disk.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::AsyncRead;
use tokio::time::Instant;

use crate::anonymize::Anonymizer;
use crate::clock::Clock;
use crate::files;
use crate::names::ServerName;
use crate::plain::plain;
use crate::wire::{LineError, Lines};

/// The longest line that is kept.
const LINE_MOST: usize = 64 << 10;
/// How many bytes a second of a server's talk are kept. The rest is read and left out: a server that waits for
/// room in its pipe would not answer.
const BYTES_A_SECOND: usize = 1 << 20;
/// How much of its last line a failure's reason tells.
const LAST_MOST: usize = 300;
/// How long the opening of the log may take.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
/// How many of the last lines are kept for a reason.
const LAST_LINES: usize = 16;

/// A server's log. Cloning it gives another handle.
#[derive(Clone)]
pub(super) struct ServerLog {
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    path: PathBuf,
    file: Option<File>,
    most: u64,
    /// The last lines, concealed.
    last: VecDeque<String>,
    junk: Allowance,
}

impl ServerLog {
    pub(super) fn new(
        directory: &Path,
        server: &ServerName,
        most: u64,
        anonymizer: Arc<ArcSwap<Anonymizer>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let inner = Inner {
            path: directory.join(format!("{server}.log")),
            file: None,
            most,
            last: VecDeque::new(),
            junk: Allowance::a_second(50),
        };
        Self { anonymizer, clock, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Reads stderr to its end, always as fast as it comes.
    pub(super) async fn follow(self, stderr: impl AsyncRead + Unpin) {
        let mut lines = Lines::new(stderr, LINE_MOST);
        let mut interval = LogInterval::begin();
        loop {
            let next = tokio::select! {
                biased;
                () = tokio::time::sleep_until(interval.end()), if interval.left_out > 0 => None,
                line = lines.next() => Some(line),
            };
            if interval.end() <= Instant::now() || next.is_none() {
                self.tell_left_out(std::mem::replace(&mut interval, LogInterval::begin()));
            }
            match next {
                None => {}
                Some(Ok(Some(line))) if interval.has_room(line) => {
                    self.take(&String::from_utf8_lossy(line));
                }
                Some(Ok(Some(_))) => {}
                Some(Err(LineError::TooLong { limit, .. })) => {
                    let words = format!("(a line of more than {limit} bytes was left out)");
                    if interval.has_room(words.as_bytes()) {
                        self.take(&words);
                    }
                }
                Some(Ok(None) | Err(LineError::Read(_))) => return self.tell_left_out(interval),
            }
        }
    }

    /// Says how much was left out; the last line of it may be why the server ended.
    fn tell_left_out(&self, interval: LogInterval) {
        let LogInterval { left_out, bytes_left_out, last, .. } = interval;
        if left_out > 0 {
            self.take(&format!("({left_out} lines, {bytes_left_out} bytes, were left out; the last one:)"));
            self.take(&String::from_utf8_lossy(&last));
        }
    }

    /// Forgets what an earlier process said last.
    pub(super) fn begin(&self) {
        self.lock().last.clear();
    }

    /// Notes what stood on stdout and was no message; a flood is cut short.
    pub(super) fn junk(&self, line: &[u8], why: &dyn std::fmt::Display) {
        if !self.lock().junk.take() {
            return;
        }
        // A cut might go through a value, whose half would not be recognized.
        if line.len() > LINE_MOST {
            self.take(&format!("(on stdout: {why}; {} bytes are left out)", line.len()));
        } else {
            self.take(&format!("(on stdout: {why}) {}", String::from_utf8_lossy(line)));
        }
    }

    /// The last line that says something, concealed and cut short.
    pub(super) fn last(&self) -> Option<String> {
        let inner = self.lock();
        let line = inner.last.iter().rev().find(|line| !line.trim().is_empty())?.trim();
        Some(line.chars().take(LAST_MOST).collect())
    }

    fn take(&self, line: &str) {
        let concealed = self.anonymizer.load().conceal_text(line).into_inner();
        let mut text = String::with_capacity(concealed.len() + 32);
        let _ = write!(text, "{:.3} ", self.clock.now().wall);
        let from = text.len();
        text.push_str(&plain(&concealed));
        let mut inner = self.lock();
        if inner.last.len() == LAST_LINES {
            inner.last.pop_front();
        }
        inner.last.push_back(text[from..].chars().take(LAST_MOST).collect());
        text.push('\n');
        if let Err(error) = inner.append(text.as_bytes()) {
            tracing::debug!(path = %inner.path.display(), %error, "cannot write a server's log");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a server said within a second.
struct LogInterval {
    since: Instant,
    kept: usize,
    left_out: u64,
    bytes_left_out: u64,
    /// The last line that was left out.
    last: Vec<u8>,
}

impl LogInterval {
    fn begin() -> Self {
        Self { since: Instant::now(), kept: 0, left_out: 0, bytes_left_out: 0, last: Vec::new() }
    }

    fn end(&self) -> Instant {
        self.since + Duration::from_secs(1)
    }

    /// Whether a line is kept; else it is counted.
    fn has_room(&mut self, line: &[u8]) -> bool {
        if self.kept < BYTES_A_SECOND {
            self.kept += line.len() + 1;
            return true;
        }
        self.left_out += 1;
        self.bytes_left_out += line.len() as u64 + 1;
        self.last.clear();
        self.last.extend_from_slice(line);
        false
    }
}

impl Inner {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&self.path)?,
        };
        if file.metadata()?.len() + bytes.len() as u64 > self.most / 2 {
            // Another session may write the same log, and may have moved it already.
            if fs::metadata(&self.path).is_ok_and(|now| now.len() + bytes.len() as u64 > self.most / 2) {
                fs::rename(&self.path, self.path.with_extension("log.1"))?;
            }
            file = open(&self.path)?;
        }
        file.write_all(bytes)?;
        self.file = Some(file);
        Ok(())
    }
}

/// A log is not worth waiting for a drive that hangs.
fn open(path: &Path) -> io::Result<File> {
    let log = path.to_owned();
    let opened = files::within(path, OPEN_TIMEOUT, move || {
        if let Some(directory) = log.parent() {
            make_private(directory)?;
        }
        io::Result::Ok(files::append(&log)?)
    });
    opened?
}

fn make_private(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// How often something may happen within a second; what comes beyond that is left out.
#[derive(Debug)]
pub(super) struct Allowance {
    most: u32,
    left: u32,
    since: Instant,
}

impl Allowance {
    pub(super) fn a_second(most: u32) -> Self {
        Self { most, left: most, since: Instant::now() }
    }

    /// Whether it may happen once more.
    pub(super) fn take(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.left, self.since) = (self.most, Instant::now());
        }
        self.left = match self.left.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anonymize::{Direction, Rule};
    use crate::clock::TestClock;
    use crate::secret::Secret;

    fn log(directory: &Path, most: u64) -> ServerLog {
        let rule = Rule {
            fake: "Jane Roe".to_owned(),
            real: Secret::new("Erika Mustermann"),
            direction: Direction::Both,
            case_sensitive: true,
            label: None,
            servers: None,
        };
        let anonymizer = Anonymizer::new(&[rule]).expect("a rule set");
        let clock = TestClock::at(jiff::Timestamp::UNIX_EPOCH);
        let server = "a".parse().expect("a name");
        ServerLog::new(directory, &server, most, Arc::new(ArcSwap::from_pointee(anonymizer)), Arc::new(clock))
    }

    #[tokio::test]
    async fn every_line_is_concealed_and_steers_no_terminal() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = log(directory.path(), 1 << 20);
        log.clone().follow(&b"hello Erika Mustermann\n\x1b[2Jcleared\n\n"[..]).await;
        log.junk(b"junk of Erika Mustermann", &"no message");
        let path = directory.path().join("a.log");
        assert_eq!(
            fs::read_to_string(&path).expect("a log"),
            "1970-01-01T00:00:00.000Z hello Jane Roe\n\
             1970-01-01T00:00:00.000Z \\u{1b}[2Jcleared\n\
             1970-01-01T00:00:00.000Z (on stdout: no message) junk of Jane Roe\n"
        );
        assert_eq!(log.last().as_deref(), Some("(on stdout: no message) junk of Jane Roe"));
        let mut long = "x".repeat(LINE_MOST - 5).into_bytes();
        long.extend_from_slice(b"Erika Mustermann");
        log.junk(&long, &"no message");
        assert!(!fs::read_to_string(&path).expect("a log").contains("Erika"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).expect("a log").permissions().mode() & 0o777, 0o600);
        }
    }

    #[tokio::test]
    async fn a_flood_is_read_at_once_and_what_was_left_out_is_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = log(directory.path(), 64 << 20);
        let line = format!("{}\n", "x".repeat(1023));
        let mut flood = line.repeat(20 << 10).into_bytes();
        flood.extend_from_slice(b"the end of Erika Mustermann");
        let begin = Instant::now();
        log.clone().follow(&flood[..]).await;
        // A megabyte a second would take twenty.
        assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
        assert_eq!(log.last().as_deref(), Some("the end of Jane Roe"));
        let text = fs::read_to_string(directory.path().join("a.log")).expect("a log");
        let kept = text.lines().filter(|line| line.ends_with('x')).count() as u64;
        let left_out: u64 = text
            .lines()
            .filter_map(|line| line.split_once(" (")?.1.split_once(" lines, ")?.0.parse::<u64>().ok())
            .sum();
        assert!(left_out > 0, "nothing was left out");
        // The last one of each second is told as well.
        let told = text.matches("were left out").count() as u64;
        let all = (20 << 10)..=(20 << 10) + 1 + told;
        assert!(all.contains(&(kept + left_out)), "{kept} kept, {left_out} left out, {told} times");
    }

    #[tokio::test]
    async fn a_chatty_server_does_not_fill_the_disk() {
        const MOST: u64 = 10_000;
        let directory = tempfile::tempdir().expect("a directory");
        let log = log(directory.path(), MOST);
        let text: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
        log.clone().follow(text.as_bytes()).await;
        let size = |name: &str| fs::metadata(directory.path().join(name)).expect("a log").len();
        assert!(size("a.log") <= MOST / 2 && size("a.log.1") <= MOST / 2);
        assert_eq!(log.last().as_deref(), Some("line 4999"));
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 2);
    }
}
