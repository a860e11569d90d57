//! A server's own log: its stderr, and lines on its stdout that are no messages.
//!
//! Every line is concealed before it is written or kept. The log consists of two files of half the limit each,
//! the older one named `.1`, so a chatty server can't fill the disk.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::io::AsyncRead;
use tokio::time::Instant;

use crate::anonymize::Anonymizer;
use crate::clock::Clock;
use crate::files;
use crate::names::ServerName;
use crate::printable::escape_controls;
use crate::sync::lock;
use crate::wire::{LineError, LineReader};

/// The longest line that is kept.
const MAX_LINE_BYTES: usize = 64 << 10;
/// How many bytes of a server's output are kept per second. The rest is read and dropped, because a server
/// that waits for room in its pipe couldn't answer.
const MAX_BYTES_PER_SECOND: usize = 1 << 20;
/// How much of the last line a failure's reason quotes.
const MAX_REASON_CHARS: usize = 300;
/// The time limit for opening the log.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
/// How many of the last lines are kept for a reason.
const MAX_LAST_LINES: usize = 16;

/// A server's log. Clones share it.
#[derive(Clone)]
pub(super) struct ServerLog {
    server: ServerName,
    anonymizer: Arc<ArcSwap<Anonymizer>>,
    clock: Arc<dyn Clock>,
    inner: Arc<Mutex<LogFile>>,
}

struct LogFile {
    path: PathBuf,
    file: Option<File>,
    max_bytes: u64,
    /// The last lines, concealed.
    last_lines: VecDeque<String>,
    junk_limit: RateLimit,
}

impl ServerLog {
    pub(super) fn new(
        directory: &Path,
        server: &ServerName,
        most: u64,
        anonymizer: Arc<ArcSwap<Anonymizer>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let inner = LogFile {
            path: directory.join(format!("{server}.log")),
            file: None,
            max_bytes: most,
            last_lines: VecDeque::new(),
            junk_limit: RateLimit::per_second(50),
        };
        Self { server: server.clone(), anonymizer, clock, inner: Arc::new(Mutex::new(inner)) }
    }

    /// Reads stderr to its end, always as fast as it comes.
    pub(super) async fn read_stderr(self, stderr: impl AsyncRead + Unpin) {
        let mut lines = LineReader::new(stderr, MAX_LINE_BYTES);
        let mut interval = LogInterval::start();
        loop {
            let next = tokio::select! {
                // The report comes first, so that it precedes the lines of the next second.
                biased;
                () = tokio::time::sleep_until(interval.end()), if interval.left_out > 0 => None,
                line = lines.next_line() => Some(line),
            };
            if interval.end() <= Instant::now() || next.is_none() {
                self.write_left_out(std::mem::replace(&mut interval, LogInterval::start()));
            }
            match next {
                None => {}
                Some(Ok(Some(line))) if interval.count_line(line) => {
                    self.write_line(&String::from_utf8_lossy(line));
                }
                Some(Ok(Some(_))) => {}
                Some(Err(LineError::TooLong { limit, .. })) => {
                    let words = format!("(a line of more than {limit} bytes was left out)");
                    if interval.count_line(words.as_bytes()) {
                        self.write_line(&words);
                    }
                }
                Some(Ok(None) | Err(LineError::Read(_))) => return self.write_left_out(interval),
            }
        }
    }

    /// Writes how much was left out, and the last line of it, which may say why the server ended.
    fn write_left_out(&self, interval: LogInterval) {
        let LogInterval { left_out, bytes_left_out, last, .. } = interval;
        if left_out > 0 {
            self.write_line(&format!(
                "({left_out} lines, {bytes_left_out} bytes, were left out; the last one:)"
            ));
            self.write_line(&String::from_utf8_lossy(&last));
        }
    }

    /// Forgets the last lines of an earlier process.
    pub(super) fn forget_last_lines(&self) {
        self.lock_file().last_lines.clear();
    }

    /// Logs a line about the conversation. A flood is cut short.
    pub(super) fn log_line(&self, line: &str) {
        if self.lock_file().junk_limit.try_acquire() {
            self.write_line(line);
        }
    }

    /// Logs a line of stdout that was no message. A flood is cut short.
    pub(super) fn log_junk(&self, line: &[u8], why: &dyn std::fmt::Display) {
        if !self.lock_file().junk_limit.try_acquire() {
            return;
        }
        // A long line is left out as a whole. A cut might go through a value, and half a value isn't
        // recognized.
        if line.len() > MAX_LINE_BYTES {
            self.write_line(&format!("(on stdout: {why}; {} bytes are left out)", line.len()));
        } else {
            self.write_line(&format!("(on stdout: {why}) {}", String::from_utf8_lossy(line)));
        }
    }

    /// The last line that isn't blank, concealed and cut short.
    pub(super) fn last_line(&self) -> Option<String> {
        let inner = self.lock_file();
        let line = inner.last_lines.iter().rev().find(|line| !line.trim().is_empty())?.trim();
        Some(line.chars().take(MAX_REASON_CHARS).collect())
    }

    fn write_line(&self, line: &str) {
        // Concealed before controls are escaped, because an escape inside a value would hide it.
        let concealed = self.anonymizer.load().conceal_text_from(&self.server, line).into_inner();
        let mut text = String::with_capacity(concealed.len() + 32);
        let _ = write!(text, "{:.3} ", self.clock.now().wall);
        let from = text.len();
        text.push_str(&escape_controls(&concealed));
        let mut inner = self.lock_file();
        if inner.last_lines.len() == MAX_LAST_LINES {
            inner.last_lines.pop_front();
        }
        inner.last_lines.push_back(text[from..].chars().take(MAX_REASON_CHARS).collect());
        text.push('\n');
        if let Err(error) = inner.append_bytes(text.as_bytes()) {
            tracing::debug!(path = %inner.path.display(), %error, "cannot write a server's log");
        }
    }

    fn lock_file(&self) -> std::sync::MutexGuard<'_, LogFile> {
        lock(&self.inner)
    }
}

/// A server's output within one second.
struct LogInterval {
    since: Instant,
    kept_bytes: usize,
    left_out: u64,
    bytes_left_out: u64,
    /// The last line that was left out.
    last: Vec<u8>,
}

impl LogInterval {
    fn start() -> Self {
        Self { since: Instant::now(), kept_bytes: 0, left_out: 0, bytes_left_out: 0, last: Vec::new() }
    }

    fn end(&self) -> Instant {
        self.since + Duration::from_secs(1)
    }

    /// Returns true if a line is to be kept. Otherwise it is counted.
    fn count_line(&mut self, line: &[u8]) -> bool {
        if self.kept_bytes < MAX_BYTES_PER_SECOND {
            self.kept_bytes += line.len() + 1;
            return true;
        }
        self.left_out += 1;
        self.bytes_left_out += line.len() as u64 + 1;
        self.last.clear();
        self.last.extend_from_slice(line);
        false
    }
}

impl LogFile {
    fn append_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Taken out, and put back only after the write: after an error the next line opens the file again.
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open_log(&self.path)?,
        };
        if file.metadata()?.len() + bytes.len() as u64 > self.max_bytes / 2 {
            // Another session may write the same log, and may have moved it already. Only the file at the path
            // counts.
            if fs::metadata(&self.path).is_ok_and(|now| now.len() + bytes.len() as u64 > self.max_bytes / 2) {
                fs::rename(&self.path, self.path.with_extension("log.1"))?;
            }
            file = open_log(&self.path)?;
        }
        file.write_all(bytes)?;
        self.file = Some(file);
        Ok(())
    }
}

/// Opens the log within a time limit, since a log isn't worth waiting for a drive that hangs.
fn open_log(path: &Path) -> io::Result<File> {
    let log = path.to_owned();
    let opened = files::read_with_timeout(path, OPEN_TIMEOUT, move || {
        if let Some(directory) = log.parent() {
            create_private_directory(directory)?;
        }
        io::Result::Ok(files::open_for_append(&log)?)
    });
    opened?
}

fn create_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}

/// How often something may happen per second.
#[derive(Debug)]
pub(super) struct RateLimit {
    limit: u32,
    left: u32,
    since: Instant,
}

impl RateLimit {
    pub(super) fn per_second(most: u32) -> Self {
        Self { limit: most, left: most, since: Instant::now() }
    }

    /// Whether it may happen once more in this second.
    pub(super) fn try_acquire(&mut self) -> bool {
        if self.since.elapsed() >= Duration::from_secs(1) {
            (self.left, self.since) = (self.limit, Instant::now());
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
    use futures_util::FutureExt as _;

    use super::*;
    use crate::anonymize::{Direction, ReplacementRule};
    use crate::clock::TestClock;
    use crate::secret::Secret;

    fn log(directory: &Path, most: u64) -> ServerLog {
        let rule = ReplacementRule {
            fake: "Jane Roe".to_owned(),
            real: Secret::new("Erika Mustermann"),
            direction: Direction::Both,
            case_sensitive: true,
            matching: None,
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
        log.clone().read_stderr(&b"hello Erika Mustermann\n\x1b[2Jcleared\n\n"[..]).await;
        log.log_junk(b"junk of Erika Mustermann", &"no message");
        let path = directory.path().join("a.log");
        assert_eq!(
            fs::read_to_string(&path).expect("a log"),
            "1970-01-01T00:00:00.000Z hello Jane Roe\n\
             1970-01-01T00:00:00.000Z \\u{1b}[2Jcleared\n\
             1970-01-01T00:00:00.000Z (on stdout: no message) junk of Jane Roe\n"
        );
        assert_eq!(log.last_line().as_deref(), Some("(on stdout: no message) junk of Jane Roe"));
        let mut long = "x".repeat(MAX_LINE_BYTES - 5).into_bytes();
        long.extend_from_slice(b"Erika Mustermann");
        log.log_junk(&long, &"no message");
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
        let read = tokio::task::unconstrained(log.clone().read_stderr(&flood[..]));
        assert!(read.now_or_never().is_some(), "it waited for the next second");
        let seconds = begin.elapsed().as_secs() + 1;
        assert_eq!(log.last_line().as_deref(), Some("the end of Jane Roe"));
        let text = fs::read_to_string(directory.path().join("a.log")).expect("a log");
        let kept = text.lines().filter(|line| line.ends_with('x')).count() as u64;
        let left_out: u64 = text
            .lines()
            .filter_map(|line| line.split_once(" (")?.1.split_once(" lines, ")?.0.parse::<u64>().ok())
            .sum();
        let most = seconds * ((MAX_BYTES_PER_SECOND >> 10) as u64 + 1);
        assert!(kept <= most, "{kept} kept in {seconds} s");
        // The last one of each second is told as well.
        let told = text.matches("were left out").count() as u64;
        let all = (20 << 10)..=(20 << 10) + 1 + told;
        assert!(all.contains(&(kept + left_out)), "{kept} kept, {left_out} left out, {told} times");
    }

    #[tokio::test]
    async fn a_chatty_server_does_not_fill_the_disk() {
        const MAX_LOG_BYTES: u64 = 10_000;
        let directory = tempfile::tempdir().expect("a directory");
        let log = log(directory.path(), MAX_LOG_BYTES);
        let text: String = (0..5_000).map(|number| format!("line {number}\n")).collect();
        log.clone().read_stderr(text.as_bytes()).await;
        let size = |name: &str| fs::metadata(directory.path().join(name)).expect("a log").len();
        assert!(size("a.log") <= MAX_LOG_BYTES / 2 && size("a.log.1") <= MAX_LOG_BYTES / 2);
        assert_eq!(log.last_line().as_deref(), Some("line 4999"));
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 2);
    }
}
