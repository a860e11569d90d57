//! Finds what was changed, removed, reordered or cut off.
//!
//! Each file is followed from its first line. Then the files of one process are checked against each other:
//! the first record of a continuation says how far the file before it had come.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::chain::{ChainLink, verify_line};
use super::lines::{SegmentLine, SegmentLines, describe_error, open_segment};
use super::reader::list_segments;
use super::{PreviousSegment, SegmentCheckpoint, SegmentStart};

/// The result of [`verify`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct AuditVerification {
    /// Every segment, oldest first.
    pub segments: Vec<SegmentReport>,
}

/// The result for one segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    /// The file's name.
    pub segment: String,
    /// The result in one word.
    pub state: SegmentState,
    /// The number of good lines, from the first on.
    pub good: u64,
    /// The hash of the last good line.
    pub head: String,
    /// The first bad line, if any.
    pub broken: Option<BrokenLine>,
    /// Whether its end was lost in a crash, a power cut or a disk failure: within a line, or where its process
    /// says so.
    pub torn: bool,
    /// The segment that it continues, if any.
    pub continues: Option<String>,
    /// When it was removed for its age, if it was.
    pub removed: Option<Timestamp>,
}

/// The state of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SegmentState {
    /// Its chain holds up to its end.
    Holds,
    /// Its chain holds up to an end that was lost.
    Torn,
    /// Its chain doesn't hold.
    Broken,
    /// The file is missing, and Portero didn't remove it.
    Missing,
    /// Portero removed it because it was older than the audit is kept.
    Removed,
}

/// The first line that doesn't fit into its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BrokenLine {
    /// Its one-based number.
    pub line: u64,
    /// The problem.
    pub problem: String,
}

impl AuditVerification {
    /// Whether every chain holds. Neither a torn end nor a removal for age breaks a chain.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.segments.iter().all(|segment| segment.broken.is_none())
    }
}

/// Follows the chain of every segment in `directory` and reports where one breaks (guarantee U2).
///
/// Whole lines cut off at the end of a process's last segment, or such a segment that is missing, can't be
/// found without checkpoints: see [`verify_with_checkpoints`].
///
/// # Errors
/// If the directory can't be read.
pub fn verify(directory: &Path) -> io::Result<AuditVerification> {
    verify_with_checkpoints(directory, &[])
}

/// Like [`verify`], and every segment must hold at least what its checkpoint says. Fetch the checkpoints
/// first: a segment that is written meanwhile only grows.
///
/// # Errors
/// If the directory can't be read. A segment that can't be read is reported as broken, and the others are
/// verified.
pub fn verify_with_checkpoints(
    directory: &Path,
    heads: &[SegmentCheckpoint],
) -> io::Result<AuditVerification> {
    let heads: HashMap<&str, &SegmentCheckpoint> =
        heads.iter().map(|head| (head.segment.as_str(), head)).collect();
    let mut reports = BTreeMap::new();
    let mut formers = Vec::new();
    for name in list_segments(directory)? {
        let known = heads.get(name.as_str()).copied();
        let report = match open_segment(&directory.join(&name)) {
            // Removed since the directory was read. If it should exist, it is found missing below.
            Err(error) if error.is_missing() => continue,
            // The others are verified all the same.
            Err(error) => SegmentReport::without_records(&name, describe_error(&error)),
            Ok(file) => {
                let (mut report, begin) = verify_segment(&name, file, known).unwrap_or_else(|error| {
                    (
                        SegmentReport::without_records(&name, unreadable_problem(&error)),
                        SegmentStart::Unwritten,
                    )
                });
                if let SegmentStart::Continues(former) = begin
                    // Without one good line, its own claim about the file before it is worth nothing.
                    && report.good > 0
                {
                    report.continues = Some(former.name.clone());
                    formers.push((name.clone(), former));
                }
                report
            }
        };
        reports.insert(name, report);
    }
    // Only after all files were read, because a checkpoint without a report has no file.
    for head in heads.values() {
        reports.entry(head.segment.clone()).or_insert_with(|| absent_report(head));
    }
    for (next, former) in formers {
        verify_continuation(&mut reports, &next, &former);
    }
    Ok(AuditVerification { segments: reports.into_values().collect() })
}

/// The report of a known segment without a file.
fn absent_report(head: &SegmentCheckpoint) -> SegmentReport {
    let mut report = SegmentReport {
        segment: head.segment.clone(),
        state: SegmentState::Removed,
        good: head.seq,
        head: head.hash.clone(),
        broken: None,
        torn: false,
        continues: None,
        removed: head.removed,
    };
    if head.removed.is_none() {
        let problem = head.problem.clone();
        report.good = 0;
        report.head = ChainLink::before_first(&head.segment).hash.to_hex().to_string();
        report.mark_broken(SegmentState::Missing, 1, problem.unwrap_or_else(|| missing_problem(head.seq)));
    }
    report
}

fn missing_problem(records: u64) -> String {
    format!("the file is missing; {records} records were in it")
}

/// Follows one file from its first line, and returns how it begins.
fn verify_segment(
    segment: &str,
    file: impl Read,
    head: Option<&SegmentCheckpoint>,
) -> io::Result<(SegmentReport, SegmentStart)> {
    let mut lines = SegmentLines::new(file);
    let mut link = ChainLink::before_first(segment);
    let mut begin = SegmentStart::Unwritten;
    let mut broken = None;
    let mut torn = false;
    while let Some(line) = lines.next()? {
        let whole = match line {
            SegmentLine::Whole(whole) => whole,
            SegmentLine::Torn => {
                torn = true;
                break;
            }
            SegmentLine::TooLong => {
                let problem = "it is too long for a record".to_owned();
                broken = Some(BrokenLine { line: link.seq + 1, problem });
                break;
            }
        };
        if begin == SegmentStart::Unwritten {
            begin = SegmentStart::from_first_line(whole);
        }
        // The checkpoint's record must be in the chain. A chain that was rewritten as a whole holds in itself,
        // and only this shows it.
        let followed = verify_line(whole, &link).and_then(|next| match head {
            Some(head) if head.seq == next.seq && head.hash != next.hash.to_hex().as_str() => {
                Err("another record was here before: the chain was rewritten")
            }
            _ => Ok(next),
        });
        match followed {
            Ok(next) => link = next,
            Err(problem) => {
                broken = Some(BrokenLine { line: link.seq + 1, problem: problem.to_owned() });
                break;
            }
        }
    }
    let broken = broken.or_else(|| find_cut_off(&link, head?));
    let state = match (&broken, torn) {
        (Some(_), _) => SegmentState::Broken,
        (None, true) => SegmentState::Torn,
        (None, false) => SegmentState::Holds,
    };
    let report = SegmentReport {
        segment: segment.to_owned(),
        state,
        good: link.seq,
        head: link.hash.to_hex().to_string(),
        broken,
        torn,
        continues: None,
        removed: head.and_then(|head| head.removed),
    };
    Ok((report, begin))
}

fn unreadable_problem(error: &io::Error) -> String {
    format!("it could not be read: {error}")
}

/// The problem of a segment whose chain holds up to its end, judged by its checkpoint.
fn find_cut_off(end: &ChainLink, head: &SegmentCheckpoint) -> Option<BrokenLine> {
    let problem = match &head.problem {
        Some(problem) => problem.clone(),
        None if end.seq < head.seq => cut_off_problem(head.seq - end.seq),
        None => return None,
    };
    Some(BrokenLine { line: end.seq.min(head.seq) + 1, problem })
}

fn cut_off_problem(records: u64) -> String {
    format!("it was cut off here: {records} more records were in it")
}

/// Checks that a segment ends where its continuation says.
fn verify_continuation(reports: &mut BTreeMap<String, SegmentReport>, next: &str, former: &PreviousSegment) {
    let report = reports.entry(former.name.clone()).or_insert_with(|| {
        let head = SegmentCheckpoint { removed: None, problem: None, ..former.checkpoint() };
        absent_report(&head)
    });
    if report.broken.is_some() {
        return;
    }
    let good = report.good;
    match good.cmp(&former.seq) {
        // Fewer records after a fault are what the process itself announced, unless Portero removed the file.
        std::cmp::Ordering::Less if former.fault && report.state != SegmentState::Removed => {
            report.torn = true;
            report.state = SegmentState::Torn;
        }
        std::cmp::Ordering::Less => {
            report.mark_broken(SegmentState::Broken, good + 1, cut_off_problem(former.seq - good))
        }
        std::cmp::Ordering::Equal if report.head == former.hash => {}
        std::cmp::Ordering::Equal => {
            let problem = "another record was here before: the chain was rewritten";
            report.mark_broken(SegmentState::Broken, good, problem.to_owned());
        }
        std::cmp::Ordering::Greater => {
            let problem = format!("this was added after it was full and {next} went on");
            report.mark_broken(SegmentState::Broken, former.seq + 1, problem);
        }
    }
}

impl SegmentReport {
    /// The report for a thing that can't be followed.
    fn without_records(segment: &str, problem: String) -> Self {
        Self {
            segment: segment.to_owned(),
            state: SegmentState::Broken,
            good: 0,
            head: ChainLink::before_first(segment).hash.to_hex().to_string(),
            broken: Some(BrokenLine { line: 1, problem }),
            torn: false,
            continues: None,
            removed: None,
        }
    }

    fn mark_broken(&mut self, state: SegmentState, line: u64, problem: String) {
        self.state = state;
        self.broken = Some(BrokenLine { line, problem });
    }
}
