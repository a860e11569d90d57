//! Finds what was changed, removed, reordered or cut off.
//!
//! Each file is followed from its first line. Then the files of one process are followed from one to the next:
//! the first record of a file that goes on where another was full says how far that one had come.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::chain::{Link, follow_line};
use super::lines::{Line, SegmentLines, describe, open_segment};
use super::reader::segments;
use super::{Begin, Former, Head};

/// What [`verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Every segment, oldest first.
    pub segments: Vec<Report>,
}

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The file's name.
    pub segment: String,
    /// What is to be said of it in a word.
    pub state: State,
    /// How many lines are good, from the first on.
    pub good: u64,
    /// The hash of the last good line.
    pub head: String,
    /// The first line that is not, if any.
    pub broken: Option<Broken>,
    /// Whether the end was lost in a crash, a power cut or a fault of the disk: in the middle of a line, or
    /// where the process that wrote it says so.
    pub torn: bool,
    /// The segment that it goes on after, if it does.
    pub continues: Option<String>,
    /// When it was removed because it was old, if it was.
    pub removed: Option<Timestamp>,
}

/// What is to be said of a segment in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Its chain holds up to its end.
    Holds,
    /// Its chain holds up to an end that was lost.
    Torn,
    /// Its chain does not hold.
    Broken,
    /// The file is not there, and Portero did not remove it.
    Missing,
    /// Portero removed it because it was older than the audit is kept.
    Removed,
}

/// The first line that does not fit in its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its one-based line.
    pub line: u64,
    /// What is wrong.
    pub problem: String,
}

impl Verdict {
    /// Whether every chain holds. A torn end does not break a chain, and neither does a removal by age.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.segments.iter().all(|segment| segment.broken.is_none())
    }
}

/// Follows the chain of every segment in `directory` and tells where one breaks (guarantee U2).
///
/// Lines that were cut off whole at the end of the last segment of a process, and such segments that are gone,
/// cannot be seen without the heads: see [`verify_against`].
///
/// # Errors
/// When the directory cannot be read.
pub fn verify(directory: &Path) -> io::Result<Verdict> {
    verify_against(directory, &[])
}

/// As [`verify`], and every segment must hold at least what its head says. Fetch the heads first: a segment
/// that is written meanwhile only grows.
///
/// # Errors
/// When the directory cannot be read. A segment that cannot be is broken, and the others are verified.
pub fn verify_against(directory: &Path, heads: &[Head]) -> io::Result<Verdict> {
    let heads: HashMap<&str, &Head> = heads.iter().map(|head| (head.segment.as_str(), head)).collect();
    let mut reports = BTreeMap::new();
    let mut formers = Vec::new();
    for name in segments(directory)? {
        let known = heads.get(name.as_str()).copied();
        let report = match open_segment(&directory.join(&name)) {
            // Removed since the directory was read; what should be there is missed below.
            Err(error) if error.is_missing() => continue,
            // The others are verified all the same.
            Err(error) => Report::without_records(&name, describe(&error)),
            Ok(file) => {
                let (mut report, begin) = check(&name, file, known).unwrap_or_else(|error| {
                    (Report::without_records(&name, unread(&error)), Begin::Unwritten)
                });
                if let Begin::After(former) = begin
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
    for head in heads.values() {
        reports.entry(head.segment.clone()).or_insert_with(|| absent(head));
    }
    for (next, former) in formers {
        join(&mut reports, &next, &former);
    }
    Ok(Verdict { segments: reports.into_values().collect() })
}

/// A segment that is known and not there.
fn absent(head: &Head) -> Report {
    let mut report = Report {
        segment: head.segment.clone(),
        state: State::Removed,
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
        report.head = Link::first(&head.segment).hash.to_hex().to_string();
        report.fault(State::Missing, 1, problem.unwrap_or_else(|| missing(head.seq)));
    }
    report
}

fn missing(records: u64) -> String {
    format!("the file is missing; {records} records were in it")
}

/// Follows one file from its first line, and tells how it begins.
fn check(segment: &str, file: impl Read, head: Option<&Head>) -> io::Result<(Report, Begin)> {
    let mut lines = SegmentLines::new(file);
    let mut link = Link::first(segment);
    let mut begin = Begin::Unwritten;
    let mut broken = None;
    let mut torn = false;
    while let Some(line) = lines.next()? {
        let whole = match line {
            Line::Whole(whole) => whole,
            Line::Torn => {
                torn = true;
                break;
            }
            Line::TooLong => {
                let problem = "it is too long for a record".to_owned();
                broken = Some(Broken { line: link.seq + 1, problem });
                break;
            }
        };
        if begin == Begin::Unwritten {
            begin = Begin::read(whole);
        }
        let followed = follow_line(whole, &link).and_then(|next| match head {
            Some(head) if head.seq == next.seq && head.hash != next.hash.to_hex().as_str() => {
                Err("another record stood here: the chain was written anew")
            }
            _ => Ok(next),
        });
        match followed {
            Ok(next) => link = next,
            Err(problem) => {
                broken = Some(Broken { line: link.seq + 1, problem: problem.to_owned() });
                break;
            }
        }
    }
    let broken = broken.or_else(|| cut_off(&link, head?));
    let state = match (&broken, torn) {
        (Some(_), _) => State::Broken,
        (None, true) => State::Torn,
        (None, false) => State::Holds,
    };
    let report = Report {
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

fn unread(error: &io::Error) -> String {
    format!("it could not be read: {error}")
}

/// What is wrong with a segment whose chain holds up to its end.
fn cut_off(end: &Link, head: &Head) -> Option<Broken> {
    let problem = match &head.problem {
        Some(problem) => problem.clone(),
        None if end.seq < head.seq => cut(head.seq - end.seq),
        None => return None,
    };
    Some(Broken { line: end.seq.min(head.seq) + 1, problem })
}

fn cut(records: u64) -> String {
    format!("it was cut off here: {records} more records were in it")
}

/// Whether a segment ends where the one that goes on after it says.
fn join(reports: &mut BTreeMap<String, Report>, next: &str, former: &Former) {
    let report = reports.entry(former.name.clone()).or_insert_with(|| {
        let head = Head { removed: None, problem: None, ..former.head() };
        absent(&head)
    });
    if report.broken.is_some() {
        return;
    }
    let good = report.good;
    match good.cmp(&former.seq) {
        std::cmp::Ordering::Less if former.fault && report.state != State::Removed => {
            report.torn = true;
            report.state = State::Torn;
        }
        std::cmp::Ordering::Less => report.fault(State::Broken, good + 1, cut(former.seq - good)),
        std::cmp::Ordering::Equal if report.head == former.hash => {}
        std::cmp::Ordering::Equal => {
            let problem = "another record stood here: the chain was written anew";
            report.fault(State::Broken, good, problem.to_owned());
        }
        std::cmp::Ordering::Greater => {
            let problem = format!("this was added after it was full and {next} went on");
            report.fault(State::Broken, former.seq + 1, problem);
        }
    }
}

impl Report {
    /// Nothing in the segment's place can be followed.
    fn without_records(segment: &str, problem: String) -> Self {
        Self {
            segment: segment.to_owned(),
            state: State::Broken,
            good: 0,
            head: Link::first(segment).hash.to_hex().to_string(),
            broken: Some(Broken { line: 1, problem }),
            torn: false,
            continues: None,
            removed: None,
        }
    }

    fn fault(&mut self, state: State, line: u64, problem: String) {
        self.state = state;
        self.broken = Some(Broken { line, problem });
    }
}
