//! The hash chain: each line holds the hash of the one before it and its own.
//!
//! `hash` is blake3 over every byte of the line before `,"hash"`, which includes `prev`. The `prev` of a
//! segment's first line is blake3 of the file's name.

use std::io::{self, Write as _};

use serde::Deserialize;

use super::AuditRecord;

const HASH_MEMBER: &str = ",\"hash\":\"";
const HASH_HEX_LENGTH: usize = blake3::OUT_LEN * 2;

/// Where the chain of one segment stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ChainLink {
    pub(super) seq: u64,
    pub(super) hash: blake3::Hash,
}

impl ChainLink {
    /// Before the first line.
    pub(super) fn before_first(file_name: &str) -> Self {
        Self { seq: 0, hash: blake3::hash(file_name.as_bytes()) }
    }

    /// After the record with this number and hash; none when that is no hash.
    pub(super) fn from_hex(seq: u64, hash: &str) -> Option<Self> {
        blake3::Hash::from_hex(hash).ok().map(|hash| Self { seq, hash })
    }
}

/// Puts the next line, with its `\n`, behind what is in `lines`, and tells where the chain stands after it.
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
    if prev != last.hash.to_hex().as_str() {
        return Err("the line before it was removed, added or moved: it follows another hash");
    }
    if seq != last.seq + 1 {
        return Err("its number does not follow");
    }
    Ok(ChainLink { seq, hash })
}
