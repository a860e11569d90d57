//! The hash chain: each line holds the hash of the one before it and its own.
//!
//! `hash` is blake3 over every byte of the line before `,"hash"`, which includes `prev`. The `prev` of a
//! segment's first line is blake3 of the file's name.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::Record;
use super::reader::segments;

const HASH_MEMBER: &str = ",\"hash\":\"";
const HEX: usize = blake3::OUT_LEN * 2;

/// Where the chain of one segment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    seq: u64,
    hash: blake3::Hash,
}

impl Link {
    /// Before the first line.
    pub(super) fn first(file_name: &str) -> Self {
        Self { seq: 0, hash: blake3::hash(file_name.as_bytes()) }
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
/// Lines that were cut off whole at a segment's end cannot be seen from the segment alone.
///
/// # Errors
/// When a file cannot be read.
pub fn verify(directory: &Path) -> io::Result<Verdict> {
    let mut verdict = Verdict::default();
    for name in segments(directory)? {
        let bytes = fs::read(directory.join(&name))?;
        verdict.segments.push(check(name, &bytes));
    }
    Ok(verdict)
}

fn check(segment: String, bytes: &[u8]) -> Report {
    let mut link = Link::first(&segment);
    let mut broken = None;
    let mut torn = false;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let Some(whole) = line.strip_suffix(b"\n") else {
            torn = true;
            break;
        };
        match follow_line(whole, &link) {
            Ok(next) => link = next,
            Err(problem) => {
                broken = Some(Broken { line: link.seq + 1, problem: problem.to_owned() });
                break;
            }
        }
    }
    Report { segment, good: link.seq, head: link.hash.to_hex().to_string(), broken, torn }
}
