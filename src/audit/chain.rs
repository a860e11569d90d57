//! The hash chain: each line holds the hash of the one before it and its own.
//!
//! `hash` is blake3 over every byte of the line before `,"hash"`, which includes `prev`. The `prev` of a
//! segment's first line is blake3 of the file's name.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::reader::segments;
use super::{Head, Record};

const HASH_MEMBER: &str = ",\"hash\":\"";
const HEX: usize = blake3::OUT_LEN * 2;

/// Where the chain of one segment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) hash: blake3::Hash,
}

impl Link {
    /// Before the first line.
    pub(super) fn first(file_name: &str) -> Self {
        Self { seq: 0, hash: blake3::hash(file_name.as_bytes()) }
    }

    /// After the record with this number and hash; none when that is no hash.
    pub(super) fn at(seq: u64, hash: &str) -> Option<Self> {
        blake3::Hash::from_hex(hash).ok().map(|hash| Self { seq, hash })
    }
}

/// Makes the next line, with its `\n`, and tells where the chain stands after it.
pub(super) fn write_line(line: &mut Vec<u8>, last: &Link, record: &Record) -> io::Result<Link> {
    line.clear();
    let seq = last.seq + 1;
    write!(line, "{{\"seq\":{seq},\"prev\":\"{}\"", last.hash.to_hex())?;
    let start = line.len();
    serde_json::to_writer(&mut *line, record)?;
    line[start] = b',';
    line.pop();
    let hash = blake3::hash(line);
    line.extend_from_slice(HASH_MEMBER.as_bytes());
    line.extend_from_slice(hash.to_hex().as_bytes());
    line.extend_from_slice(b"\"}\n");
    Ok(Link { seq, hash })
}

/// Checks one line, without its `\n`, against the chain.
pub(super) fn follow_line(line: &[u8], last: &Link) -> Result<Link, &'static str> {
    #[derive(Deserialize)]
    struct Numbers {
        seq: u64,
        prev: String,
    }
    let tail = HASH_MEMBER.len() + HEX + 2;
    let cut = line.len().checked_sub(tail).ok_or("it is too short for a record")?;
    let (body, end) = line.split_at(cut);
    let claimed = end
        .strip_prefix(HASH_MEMBER.as_bytes())
        .and_then(|rest| rest.strip_suffix(b"\"}"))
        .and_then(|hex| blake3::Hash::from_hex(hex).ok())
        .ok_or("it has no hash")?;
    let hash = blake3::hash(body);
    if hash != claimed {
        return Err("it was changed: its hash differs");
    }
    let Numbers { seq, prev } = serde_json::from_slice(line).map_err(|_| "it is no record")?;
    if prev != last.hash.to_hex().as_str() {
        return Err("the line before it was removed, added or moved: it follows another hash");
    }
    if seq != last.seq + 1 {
        return Err("its number does not follow");
    }
    Ok(Link { seq, hash })
}

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
    /// How many lines are good, from the first on.
    pub good: u64,
    /// The hash of the last good line.
    pub head: String,
    /// The first line that is not, if any.
    pub broken: Option<Broken>,
    /// Whether the file ends in the middle of a line, as after a crash or a power cut.
    pub torn: bool,
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
    /// Whether every chain holds. A torn end does not break a chain.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.segments.iter().all(|segment| segment.broken.is_none())
    }
}

/// Follows the chain of every segment in `directory` and tells where one breaks (guarantee U2).
///
/// Lines that were cut off whole at a segment's end, and segments that are gone, cannot be seen without the
/// heads: see [`verify_against`].
///
/// # Errors
/// When a file cannot be read.
pub fn verify(directory: &Path) -> io::Result<Verdict> {
    verify_against(directory, &[])
}

/// As [`verify`], and every segment must hold at least what its head says. Fetch the heads first: a segment
/// that is written meanwhile only grows.
///
/// # Errors
/// When a file cannot be read.
pub fn verify_against(directory: &Path, heads: &[Head]) -> io::Result<Verdict> {
    let mut known: BTreeMap<&str, &Head> = heads.iter().map(|head| (head.segment.as_str(), head)).collect();
    let mut verdict = Verdict::default();
    for name in segments(directory)? {
        let head = known.remove(name.as_str());
        let bytes = fs::read(directory.join(&name))?;
        verdict.segments.push(check(name, &bytes, head));
    }
    verdict.segments.extend(known.into_values().map(missing));
    verdict.segments.sort_by(|one, other| one.segment.cmp(&other.segment));
    Ok(verdict)
}

fn missing(head: &Head) -> Report {
    let problem = head.problem.clone();
    let problem = problem.unwrap_or_else(|| format!("the file is missing; {} records were in it", head.seq));
    let hash = Link::first(&head.segment).hash.to_hex().to_string();
    let broken = Some(Broken { line: 1, problem });
    Report { segment: head.segment.clone(), good: 0, head: hash, broken, torn: false }
}

fn check(segment: String, bytes: &[u8], head: Option<&Head>) -> Report {
    let mut link = Link::first(&segment);
    let mut broken = None;
    let mut torn = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(whole) = line.strip_suffix(b"\n") else {
            torn = true;
            break;
        };
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
    Report { segment, good: link.seq, head: link.hash.to_hex().to_string(), broken, torn }
}

/// What is wrong with a segment whose chain holds up to its end.
fn cut_off(end: &Link, head: &Head) -> Option<Broken> {
    let problem = match &head.problem {
        Some(problem) => problem.clone(),
        None if end.seq < head.seq => {
            format!("it was cut off here: {} more records were in it", head.seq - end.seq)
        }
        None => return None,
    };
    Some(Broken { line: end.seq.min(head.seq) + 1, problem })
}
