//! Calls without an outcome, in the segments of processes that are gone.
//!
//! A killed process leaves intents whose outcomes it would have recorded. A process is gone once it no longer
//! holds the last file of its chain. A process that only lost its connection still holds it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::Path;

use super::disk::is_held;
use super::lines::{SegmentLine, SegmentLines, open_segment};
use super::reader::{list_segments, parse_record};
use super::{AuditEvent, AuditRecord, SegmentStart};
use crate::names::{Principal, SessionId, TaskId, ToolId};

/// How the daemon calls itself in the first record of its segments. Its build follows.
const DAEMON: &str = "porterod";

/// An intent without an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnfinishedCall {
    /// The segment of the intent.
    pub segment: String,
    /// The intent's number there.
    pub call: u64,
    /// The tool.
    pub tool: ToolId,
    /// The session.
    pub session: Option<SessionId>,
    /// The project.
    pub principal: Option<Principal>,
    /// The address that it asked from.
    pub address: Option<IpAddr>,
    /// The task that a person had approved, if one did.
    pub task: Option<TaskId>,
}

/// What ended processes left behind.
#[derive(Debug, Default)]
pub struct EndedProcesses {
    /// All their segments.
    pub segments: Vec<String>,
    /// Their intents without an outcome, in the order of writing. Intents that an [`AuditEvent::Interrupted`]
    /// closes are left out.
    pub open: Vec<UnfinishedCall>,
}

/// Finds what ended processes left in the segments that aren't `settled`. `own` is the caller's segment, in
/// which it may already have closed intents without knowing it.
///
/// A daemon that closes intents settles their segments in the same change. If it is killed in between, its
/// own segment stays unsettled. The calls that it had closed are then found here, so none is closed twice.
///
/// # Errors
/// If the directory or a segment can't be read.
pub fn find_ended_processes(
    directory: &Path,
    settled: &HashSet<String>,
    own: Option<&str>,
) -> io::Result<EndedProcesses> {
    let unsettled = || -> io::Result<Vec<String>> {
        Ok(list_segments(directory)?.into_iter().filter(|name| !settled.contains(name)).collect())
    };
    // A process locks its file before it writes the first record. A file without a record may therefore be a
    // live process's that is about to lock it. A file with a record and without a lock belongs to a process
    // that is gone or continued elsewhere.
    let mut released = HashSet::new();
    for name in unsettled()?.into_iter().filter(|name| has_begun(directory, name)) {
        match is_held(&directory.join(&name)) {
            Ok(false) => drop(released.insert(name)),
            Ok(true) => {}
            Err(error) => tracing::debug!(segment = name, %error, "whether its process is gone is not known"),
        }
    }
    // Listed again only now. The next file of a chain is made before the former is released, so a process that
    // continued in between isn't taken for gone.
    let mut found = EndedProcesses::default();
    let (mut open, mut closed) = (Vec::new(), HashSet::new());
    for chain in group_chains(directory, &unsettled()?) {
        // Every file must be released: the last of the chain is the one that a live process holds.
        let is_gone = chain.iter().all(|name| released.contains(name));
        if !is_gone && !chain.iter().any(|name| Some(name.as_str()) == own) {
            continue;
        }
        // Only the daemon closes other processes' calls. A session that claimed to could hide another's
        // missing outcome.
        let is_daemon = chain.first().is_some_and(|first| is_of_daemon(directory, first));
        let left = scan_chain(directory, &chain, is_daemon.then_some(&mut closed))?;
        if is_gone {
            open.extend(left);
            found.segments.extend(chain);
        }
    }
    open.retain(|left| !closed.contains(&(left.segment.clone(), left.call)));
    found.open = open;
    Ok(found)
}

/// The first line of a segment, if it is whole.
fn first_line<T>(directory: &Path, name: &str, look: impl FnOnce(&SegmentLine<'_>) -> T) -> Option<T> {
    let mut lines = SegmentLines::new(open_segment(&directory.join(name)).ok()?);
    match lines.next().ok()?? {
        SegmentLine::Torn => None,
        line @ (SegmentLine::Whole(_) | SegmentLine::TooLong) => Some(look(&line)),
    }
}

/// Whether its process wrote a first record, of whatever kind.
fn has_begun(directory: &Path, name: &str) -> bool {
    first_line(directory, name, |_| ()).is_some()
}

/// Whether a segment says that a daemon began it.
fn is_of_daemon(directory: &Path, name: &str) -> bool {
    let is_daemon = |line: &SegmentLine<'_>| match line {
        SegmentLine::Whole(line) => {
            serde_json::from_slice::<AuditRecord>(line).is_ok_and(|record| match record.event {
                AuditEvent::Process { program, .. } => program.split(' ').next() == Some(DAEMON),
                _ => false,
            })
        }
        SegmentLine::Torn | SegmentLine::TooLong => false,
    };
    first_line(directory, name, is_daemon).unwrap_or(false)
}

/// The files of each process, in the order of its chain.
fn group_chains(directory: &Path, names: &[String]) -> Vec<Vec<String>> {
    let mut chains: Vec<Vec<String>> = Vec::new();
    let mut place_of_end: HashMap<String, usize> = HashMap::new();
    // Names follow the order of time, so a file comes after the one that it continues.
    for name in names {
        let former = match SegmentStart::read_start(directory, name) {
            Ok(SegmentStart::Continues(former)) => Some(former.name),
            Ok(SegmentStart::Standalone | SegmentStart::Unwritten) => None,
            // A thing that is no segment, or can't be read now, must not keep the others open.
            Err(error) => {
                tracing::debug!(segment = name, %error, "whether its calls have an outcome is not known");
                continue;
            }
        };
        let place = match former.and_then(|former| place_of_end.remove(&former)) {
            Some(place) => place,
            None => {
                chains.push(Vec::new());
                chains.len() - 1
            }
        };
        chains[place].push(name.clone());
        place_of_end.insert(name.clone(), place);
    }
    chains
}

/// The intents of one chain without an outcome. Adds those that it closes for other processes to `closed`, if
/// given.
fn scan_chain(
    directory: &Path,
    chain: &[String],
    mut closed: Option<&mut HashSet<(String, u64)>>,
) -> io::Result<Vec<UnfinishedCall>> {
    let mut open = BTreeMap::new();
    for name in chain {
        let mut lines = SegmentLines::new(open_segment(&directory.join(name)).map_err(io::Error::other)?);
        // A torn line is no record, and reading ends at a line that is too long. Later bytes in a file that
        // Portero didn't write say nothing about its calls.
        while let Some(line) = lines.next()? {
            let SegmentLine::Whole(line) = line else { continue };
            if let Some(entry) = parse_record(name, line) {
                let AuditRecord { session, principal, address, event, .. } = entry.record;
                match event {
                    AuditEvent::Intent { call, tool, task, .. } => {
                        let segment = name.clone();
                        open.insert(
                            call,
                            UnfinishedCall { segment, call, tool, session, principal, address, task },
                        );
                    }
                    AuditEvent::Outcome { call, .. } => drop(open.remove(&call)),
                    AuditEvent::Interrupted { segment, call, .. } => {
                        if let Some(closed) = &mut closed {
                            closed.insert((segment, call));
                        }
                    }
                    AuditEvent::Refused { .. }
                    | AuditEvent::Withheld { .. }
                    | AuditEvent::Restored { .. }
                    | AuditEvent::Task { .. }
                    | AuditEvent::Act { .. }
                    | AuditEvent::Config { .. }
                    | AuditEvent::Continued { .. }
                    | AuditEvent::Removed { .. }
                    | AuditEvent::Process { .. } => {}
                }
            }
        }
    }
    Ok(open.into_values().collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::lines::MAX_LINE_BYTES;
    use super::super::segment::tests::{outcome_record, start_moment};
    use super::super::{AuditWriter, Disk, SegmentFile, SystemDisk};
    use super::*;
    use crate::files;

    fn intent(call: u64) -> AuditRecord {
        let tool = "mail/send".parse().unwrap();
        let event = AuditEvent::Intent { call, tool, reason: "rule".to_owned(), task: None, arguments: None };
        AuditRecord { at: start_moment().wall, session: None, principal: None, address: None, event }
    }

    fn done(call: u64) -> AuditRecord {
        outcome_record("2026-11-20T08:00:01Z", "mail/send", call)
    }

    fn calls(ended: &EndedProcesses) -> Vec<u64> {
        ended.open.iter().map(|left| left.call).collect()
    }

    #[test]
    fn only_a_process_that_is_gone_leaves_calls_open_and_a_chain_counts_as_a_whole() {
        let directory = tempfile::tempdir().unwrap();
        let look = |settled: &HashSet<String>| find_ended_processes(directory.path(), settled, None).unwrap();
        let segment = AuditWriter::open(directory.path(), "session", start_moment()).unwrap();
        segment.set_max_segment_bytes(1_000);
        for call in 1..=40 {
            segment.append(&intent(call)).unwrap();
            if call % 10 != 0 {
                segment.append(&done(call)).unwrap();
            }
        }
        segment.append(&done(10)).unwrap();
        assert!(list_segments(directory.path()).unwrap().len() > 5);
        assert!(look(&HashSet::new()).segments.is_empty(), "its process lives");
        segment.sync().unwrap();
        drop(segment);
        let left = look(&HashSet::new());
        assert_eq!(calls(&left), [20, 30, 40]);
        assert_eq!(left.segments, list_segments(directory.path()).unwrap());
        let settled = left.segments.into_iter().collect();
        assert!(look(&settled).segments.is_empty(), "what is settled is not read again");
    }

    #[test]
    fn what_a_killed_daemon_closed_already_is_not_open() {
        let directory = tempfile::tempdir().unwrap();
        let session = AuditWriter::open(directory.path(), "session", start_moment()).unwrap();
        let name = session.checkpoint().segment;
        (1..=3).for_each(|call| session.append(&intent(call)).unwrap());
        let daemon = AuditWriter::open(directory.path(), "porterod", start_moment()).unwrap();
        let tool = "mail/send".parse().unwrap();
        let event = AuditEvent::Interrupted { segment: name, call: 2, tool, task: None };
        daemon.append(&AuditRecord { event, ..intent(0) }).unwrap();
        daemon.append(&intent(1)).unwrap();
        drop(session);
        let own = daemon.checkpoint().segment;
        let look = |own: Option<&str>| find_ended_processes(directory.path(), &HashSet::new(), own).unwrap();
        assert_eq!(calls(&look(None)), [1, 2, 3], "the daemon lives and knows what it closed");
        assert_eq!(calls(&look(Some(&own))), [1, 3]);
        assert_eq!(look(Some(&own)).segments.len(), 1);
        drop(daemon);
        let mut left = calls(&look(None));
        left.sort_unstable();
        assert_eq!(left, [1, 1, 3], "call 1 of each");
    }

    #[test]
    fn only_a_daemon_closes_the_calls_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let killed = AuditWriter::open(directory.path(), "portero", start_moment()).unwrap();
        killed.append(&intent(1)).unwrap();
        let segment = killed.checkpoint().segment;
        drop(killed);
        let interrupted = || {
            let tool = "mail/send".parse().unwrap();
            let event = AuditEvent::Interrupted { segment: segment.clone(), call: 1, tool, task: None };
            AuditRecord { event, ..intent(0) }
        };
        let look = || calls(&find_ended_processes(directory.path(), &HashSet::new(), None).unwrap());
        for program in ["portero", "porteroded", "a porterod"] {
            AuditWriter::open(directory.path(), program, start_moment())
                .unwrap()
                .append(&interrupted())
                .unwrap();
            assert_eq!(look(), [1], "{program} is no daemon");
        }
        let daemon = AuditWriter::open(directory.path(), "porterod 1.0.0", start_moment()).unwrap();
        daemon.append(&interrupted()).unwrap();
        drop(daemon);
        assert_eq!(look(), [0; 0]);
    }

    #[test]
    fn nothing_is_read_after_a_line_that_is_too_long_for_a_record() {
        use std::io::Write as _;
        let directory = tempfile::tempdir().unwrap();
        let segment = AuditWriter::open(directory.path(), "session", start_moment()).unwrap();
        segment.append(&intent(1)).unwrap();
        let path = segment.path();
        drop(segment);
        let record = std::fs::read_to_string(&path)
            .unwrap()
            .lines()
            .last()
            .unwrap()
            .replace("\"call\":1", "\"call\":2");
        let too_long = " ".repeat(usize::try_from(MAX_LINE_BYTES).unwrap() + 1);
        writeln!(files::open_for_append(&path).unwrap(), "{too_long}\n{record}").unwrap();
        let ended = find_ended_processes(directory.path(), &HashSet::new(), None).unwrap();
        assert_eq!(calls(&ended), [1]);
    }

    /// Looks for ended processes while a process has made its file and not locked it yet.
    #[derive(Debug)]
    struct LooksBeforeTheLock;

    impl Disk for LooksBeforeTheLock {
        fn create(&self, path: &Path) -> io::Result<Box<dyn SegmentFile>> {
            let file = files::create_new(path)?;
            let found = find_ended_processes(path.parent().unwrap(), &HashSet::new(), None)?;
            assert!(found.segments.is_empty(), "settled for good, although its process lives: {found:?}");
            super::super::disk::hold(path, &file);
            Ok(Box::new(file))
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            SystemDisk.remove(path)
        }

        fn sync_name(&self, path: &Path) -> io::Result<()> {
            SystemDisk.sync_name(path)
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_live_segment_is_not_settled_between_its_making_and_its_lock() {
        let directory = tempfile::tempdir().unwrap();
        let segment =
            AuditWriter::open_on(Arc::new(LooksBeforeTheLock), directory.path(), "portero", start_moment());
        let segment = segment.unwrap();
        segment.append(&intent(1)).unwrap();
        let look = || find_ended_processes(directory.path(), &HashSet::new(), None).unwrap();
        assert!(look().segments.is_empty());
        drop(segment);
        assert_eq!(calls(&look()), [1]);
    }

    #[test]
    fn a_segment_is_held_although_it_is_looked_at_while_it_begins() {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let looker = std::thread::spawn({
            let (directory, stop) = (Arc::clone(&directory), Arc::clone(&stop));
            move || {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    let _ = find_ended_processes(directory.path(), &HashSet::new(), None);
                }
            }
        });
        for _ in 0..50 {
            let segment = AuditWriter::open(directory.path(), "session", start_moment()).unwrap();
            assert!(is_held(&segment.path()).unwrap_or(true));
            segment.append(&intent(1)).unwrap();
            std::fs::remove_file(segment.path()).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        looker.join().unwrap();
    }
}
