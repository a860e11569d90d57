//! The hash chain: each line holds its own hash and that of the line before it.
//!
//! `hash` is blake3 over every byte of the line before `,"hash"`, which includes `prev`. The `prev` of a
//! segment's first line is blake3 of the file's name.

use std::io::{self, Write as _};

use serde::Deserialize;

use super::AuditRecord;

const HASH_MEMBER: &str = ",\"hash\":\"";
const HASH_HEX_LENGTH: usize = blake3::OUT_LEN * 2;

/// The last link of a segment's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainLink {
    pub(super) seq: u64,
    pub(super) hash: blake3::Hash,
}

impl ChainLink {
    /// The state before the first line. It binds the chain to the file's name, so a renamed segment doesn't
    /// verify.
    pub(super) fn before_first(file_name: &str) -> Self {
        Self { seq: 0, hash: blake3::hash(file_name.as_bytes()) }
    }

    /// The state after the record with this number and hash. `None` if `hash` is no hash.
    pub(super) fn from_hex(seq: u64, hash: &str) -> Option<Self> {
        blake3::Hash::from_hex(hash).ok().map(|hash| Self { seq, hash })
    }
}

/// Appends the next line, with its `\n`, to `lines`. Returns the chain's state after it.
pub(super) fn write_chained_line(
    lines: &mut Vec<u8>,
    last: &ChainLink,
    record: &AuditRecord,
) -> io::Result<ChainLink> {
    let begin = lines.len();
    let seq = last.seq + 1;
    write!(lines, "{{\"seq\":{seq},\"prev\":\"{}\"", last.hash.to_hex())?;
    let start = lines.len();
    serde_json::to_writer(&mut *lines, record)?;
    // The record is an object of its own. Its `{` becomes a comma and its `}` goes, so that its members
    // continue the line's object.
    lines[start] = b',';
    lines.pop();
    let hash = blake3::hash(&lines[begin..]);
    lines.extend_from_slice(HASH_MEMBER.as_bytes());
    lines.extend_from_slice(hash.to_hex().as_bytes());
    lines.extend_from_slice(b"\"}\n");
    Ok(ChainLink { seq, hash })
}

/// Checks one line, without its `\n`, against the chain.
pub(super) fn verify_line(line: &[u8], last: &ChainLink) -> Result<ChainLink, &'static str> {
    #[derive(Deserialize)]
    struct ChainFields {
        seq: u64,
        prev: String,
    }
    // The hash is cut off by length, not found by parsing, so that every byte before it is covered.
    let tail = HASH_MEMBER.len() + HASH_HEX_LENGTH + 2;
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
    let ChainFields { seq, prev } = serde_json::from_slice(line).map_err(|_| "it is no record")?;
    // `prev` before the number: a line that was removed, added or moved shows as such, and not as a wrong
    // number.
    if prev != last.hash.to_hex().as_str() {
        return Err("the line before it was removed, added or moved: it follows another hash");
    }
    if seq != last.seq + 1 {
        return Err("its number does not follow");
    }
    Ok(ChainLink { seq, hash })
}
