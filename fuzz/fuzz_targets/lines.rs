//! However a stream comes in pieces, its lines are the same: none longer than the limit, none lost after
//! one that is.

#![no_main]

use std::pin::Pin;
use std::task::{Context, Poll};

use libfuzzer_sys::fuzz_target;
use portero::wire::{LineError, LineReader};
use tokio::io::{AsyncRead, ReadBuf};

/// Hands out a few bytes at a time.
struct Pieces<'a> {
    rest: &'a [u8],
    size: usize,
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        to: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let (piece, rest) = self.rest.split_at(self.rest.len().min(self.size).min(to.remaining()));
        to.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// Without a byte-order mark.
fn unmarked(line: &[u8]) -> &[u8] {
    line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line)
}

fuzz_target!(|input: (u8, u8, Vec<u8>)| {
    let (size, limit, bytes) = (usize::from(input.0) + 1, usize::from(input.1) + 1, input.2);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let mut found = Vec::new();
    runtime.block_on(async {
        let mut lines = LineReader::new(Pieces { rest: &bytes, size }, limit);
        loop {
            match lines.next_line().await {
                Ok(Some(line)) => found.push(Some(line.to_vec())),
                Ok(None) => break,
                Err(LineError::TooLong { .. }) => found.push(None),
                Err(LineError::Read(error)) => panic!("{error}"),
            }
        }
    });
    let expected: Vec<_> = bytes
        .split(|byte| *byte == b'\n')
        .map(|line| (line.len() <= limit).then(|| unmarked(line).trim_ascii_end().to_vec()))
        .filter(|line| line.as_ref().is_none_or(|line| !line.trim_ascii().is_empty()))
        .collect();
    assert_eq!(found, expected);
});
