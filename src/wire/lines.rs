//! Splits a byte stream into lines, and decodes their text whatever its encoding.

use std::borrow::Cow;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// The size of one read, and of the initial buffer.
const READ_CHUNK_BYTES: usize = 64 << 10;
/// How much of an over-long line's beginning and end its error holds.
const EXCERPT_BYTES: usize = 256;
/// Some programs on Windows write this before their first message, or before each.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
/// A buffer that one long line grew beyond this is released after it.
const MAX_RETAINED_BYTES: usize = 4 << 20;

/// A line or a message without the byte-order mark before it.
#[must_use]
pub fn strip_byte_order_mark(line: &[u8]) -> &[u8] {
    line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(line)
}

/// Reads lines into one reused buffer. One read often yields many lines.
///
/// Lines of white space are skipped, and so is a byte-order mark before a line. The last line may lack its
/// end.
#[derive(Debug)]
pub struct LineReader<R> {
    reader: R,
    buffer: Vec<u8>,
    /// Where the next line begins.
    line_start: usize,
    /// The bytes before this hold no further line break.
    scanned: usize,
    limit: usize,
    /// The over-long line whose rest is still to come.
    overlong: Option<OverlongLine>,
    ended: bool,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line is longer than the limit. It was skipped, and the next call returns the line after it.
    #[error("a message is longer than {limit} bytes")]
    TooLong {
        /// The limit in bytes.
        limit: usize,
        /// The line's beginning, which usually shows the id.
        head: Box<[u8]>,
        /// The line's end, for senders that write the id last.
        tail: Box<[u8]>,
    },
    /// Reading failed.
    #[error("reading failed")]
    Read(#[from] io::Error),
}

/// The parts that are kept of an over-long line.
#[derive(Debug)]
struct OverlongLine {
    head: Box<[u8]>,
    tail: Vec<u8>,
}

impl OverlongLine {
    fn start(bytes: &[u8]) -> Self {
        let mut skipped = Self { head: bytes[..bytes.len().min(EXCERPT_BYTES)].into(), tail: Vec::new() };
        skipped.append_bytes(bytes);
        skipped
    }

    fn append_bytes(&mut self, bytes: &[u8]) {
        self.tail.extend_from_slice(&bytes[bytes.len().saturating_sub(EXCERPT_BYTES)..]);
        // A sliding window over the line's end: each piece pushes older bytes out.
        self.tail.drain(..self.tail.len().saturating_sub(EXCERPT_BYTES));
    }

    fn into_error(self, limit: usize) -> LineError {
        LineError::TooLong { limit, head: self.head, tail: self.tail.into() }
    }
}

impl<R: AsyncRead + Unpin> LineReader<R> {
    /// Reads lines of at most `limit` bytes.
    pub fn new(reader: R, limit: usize) -> Self {
        Self {
            reader,
            buffer: Vec::with_capacity(READ_CHUNK_BYTES),
            line_start: 0,
            scanned: 0,
            limit,
            overlong: None,
            ended: false,
        }
    }

    /// The next line without its end; `None` at the end of the stream. Dropping the future loses nothing.
    ///
    /// # Errors
    /// If the line is too long, or reading fails.
    pub async fn next_line(&mut self) -> Result<Option<&[u8]>, LineError> {
        loop {
            if let Some((from, to)) = self.take_buffered_line()? {
                return Ok(Some(&self.buffer[from..to]));
            }
            if self.ended {
                return match self.overlong.take() {
                    Some(skipped) => Err(skipped.into_error(self.limit)),
                    None => Ok(self.take_last_line()),
                };
            }
            self.fill_buffer().await?;
        }
    }

    /// The next line if it was already read completely.
    ///
    /// # Errors
    /// If the line is too long.
    pub fn next_buffered_line(&mut self) -> Result<Option<&[u8]>, LineError> {
        Ok(self.take_buffered_line()?.map(|(from, to)| &self.buffer[from..to]))
    }

    /// The reader.
    pub const fn reader(&self) -> &R {
        &self.reader
    }

    /// The reader, and the bytes that were read but not returned. The beginning of an over-long line stays, so
    /// that its rest isn't taken for a line.
    #[must_use]
    pub fn into_parts(mut self) -> (R, Vec<u8>) {
        let rest = self.buffer.split_off(self.line_start);
        let head = self.overlong.map(|skipped| skipped.head.into_vec()).unwrap_or_default();
        (self.reader, [head, rest].concat())
    }

    /// Takes the next line that isn't blank, and returns its range without the line end.
    fn take_buffered_line(&mut self) -> Result<Option<(usize, usize)>, LineError> {
        while let Some((from, to)) = self.take_whole_line() {
            let line = &self.buffer[from..to];
            // This is the end of a line whose beginning was dropped.
            if let Some(mut skipped) = self.overlong.take() {
                skipped.append_bytes(line);
                return Err(skipped.into_error(self.limit));
            }
            if line.len() > self.limit {
                return Err(OverlongLine::start(line).into_error(self.limit));
            }
            if let Some(found) = self.text_range(from, to) {
                return Ok(Some(found));
            }
        }
        // No whole line is left. An over-long one is dropped piece by piece, so it never fills the memory.
        let rest = &self.buffer[self.line_start..];
        match &mut self.overlong {
            Some(skipped) => skipped.append_bytes(rest),
            None if rest.len() > self.limit => self.overlong = Some(OverlongLine::start(rest)),
            None => return Ok(None),
        }
        self.line_start = self.buffer.len();
        Ok(None)
    }

    /// Takes the next whole line, and returns its range.
    fn take_whole_line(&mut self) -> Option<(usize, usize)> {
        let from = self.line_start;
        // The part that earlier calls searched isn't searched again. Otherwise a long line in many reads would
        // cost quadratic time.
        let search = self.scanned.max(from);
        match memchr::memchr(b'\n', &self.buffer[search..]) {
            Some(at) => {
                self.line_start = search + at + 1;
                self.scanned = self.line_start;
                Some((from, search + at))
            }
            None => {
                self.scanned = self.buffer.len();
                None
            }
        }
    }

    /// The range of a line's text, unless it is blank.
    fn text_range(&self, from: usize, to: usize) -> Option<(usize, usize)> {
        let line = &self.buffer[from..to];
        let mark = if line.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let line = line[mark..].trim_ascii_end();
        (!line.trim_ascii_start().is_empty()).then_some((from + mark, from + mark + line.len()))
    }

    fn take_last_line(&mut self) -> Option<&[u8]> {
        // The stream ended without a final line break.
        let rest = self.line_start..self.buffer.len();
        self.line_start = rest.end;
        let (from, to) = self.text_range(rest.start, rest.end)?;
        Some(&self.buffer[from..to])
    }

    async fn fill_buffer(&mut self) -> io::Result<()> {
        let rest = self.buffer.len() - self.line_start;
        if self.line_start > 0 {
            // Only here, before a read, so that ranges returned earlier stay valid until the next call.
            self.buffer.copy_within(self.line_start.., 0);
            self.buffer.truncate(rest);
            self.scanned -= self.line_start.min(self.scanned);
            self.line_start = 0;
            if self.buffer.capacity() > MAX_RETAINED_BYTES && rest < READ_CHUNK_BYTES {
                self.buffer.shrink_to(READ_CHUNK_BYTES);
            }
        }
        if self.buffer.capacity() - rest < READ_CHUNK_BYTES / 4 {
            // Doubling copies a long line only a few times, and the limit bounds it.
            self.buffer.reserve_exact(rest.clamp(READ_CHUNK_BYTES, self.limit.max(READ_CHUNK_BYTES)));
        }
        // Dropping the future here loses nothing: `read_buf` appends its bytes or does nothing.
        self.ended = self.reader.read_buf(&mut self.buffer).await? == 0;
        Ok(())
    }
}

/// The bytes 0x80 to 0x9F in Windows-1252. Unassigned ones are control characters, as in Latin-1.
const WINDOWS_1252: [char; 32] = [
    '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
    '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}',
    '\u{2019}', '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}',
    '\u{203a}', '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
];

/// Decodes UTF-8, and every invalid byte as Windows-1252, which includes Latin-1.
///
/// A replacement character, as some clients use, would hide a private name from the anonymizer.
#[must_use]
pub fn decode_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + bytes.len() / 8);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|byte| match byte {
            0x80..=0x9f => WINDOWS_1252[usize::from(byte - 0x80)],
            _ => char::from(*byte),
        }));
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use proptest::prelude::*;
    use tokio::io::ReadBuf;

    use super::*;

    /// Hands out its pieces one read at a time.
    struct ChunkedReader(VecDeque<Vec<u8>>);

    impl AsyncRead for ChunkedReader {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            to: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(mut piece) = self.0.pop_front() {
                let rest = piece.split_off(piece.len().min(to.remaining()));
                to.put_slice(&piece);
                if !rest.is_empty() {
                    self.0.push_front(rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    /// Every line, `!` for an over-long one.
    fn read_lines(pieces: &[&[u8]], limit: usize) -> Vec<String> {
        let pieces = pieces.iter().filter(|piece| !piece.is_empty()).map(|piece| piece.to_vec()).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut lines = LineReader::new(ChunkedReader(pieces), limit);
            let mut all = Vec::new();
            loop {
                match lines.next_line().await {
                    Ok(Some(line)) => all.push(String::from_utf8_lossy(line).into_owned()),
                    Ok(None) => return all,
                    Err(LineError::TooLong { limit: told, head, tail }) => {
                        assert!(head.len() > limit && tail.len() > limit);
                        assert_eq!(told, limit);
                        all.push("!".to_owned());
                    }
                    Err(LineError::Read(error)) => panic!("{error}"),
                }
            }
        })
    }

    #[test]
    fn lines_come_whole_however_the_bytes_arrive() {
        assert_eq!(read_lines(&[b"one\ntwo\r\n\n  \nthree"], 100), ["one", "two", "three"]);
        assert_eq!(
            read_lines(&[b"o", b"ne", b"\n", b"t", b"wo\nth", b"ree\n"], 100),
            ["one", "two", "three"]
        );
        assert_eq!(read_lines(&[], 100), Vec::<String>::new());
        assert_eq!(read_lines(&[b"\n\n"], 100), Vec::<String>::new());
    }

    #[test]
    fn after_an_over_long_line_the_next_one_is_read() {
        for pieces in
            [&[&b"12345678\nok\n"[..]][..], &[b"1234", b"5678", b"9\nok", b"\n"], &[b"1234567\n", b"ok"]]
        {
            assert_eq!(read_lines(pieces, 5), ["!", "ok"]);
        }
        assert_eq!(read_lines(&[b"12345\n123456\n\n1234567"], 5), ["12345", "!", "!"]);
    }

    #[test]
    fn a_byte_order_mark_before_a_line_is_skipped() {
        let mark = "\u{feff}";
        assert_eq!(read_lines(&[format!("{mark}one\n{mark}two\n{mark}\n").as_bytes()], 100), ["one", "two"]);
        assert_eq!(read_lines(&[b"\xef", b"\xbb", b"\xbfone"], 100), ["one"]);
        assert_eq!(read_lines(&[mark.as_bytes()], 100), Vec::<String>::new());
    }

    #[test]
    fn the_beginning_and_the_end_of_an_over_long_line_are_told() {
        let long = format!("begin{}end", "x".repeat(200_000));
        for piece in [7, 4096, 300_000] {
            let mut pieces: VecDeque<Vec<u8>> = long.as_bytes().chunks(piece).map(<[u8]>::to_vec).collect();
            pieces.push_back(b"\nok\n".to_vec());
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            runtime.block_on(async {
                let mut lines = LineReader::new(ChunkedReader(pieces), 1000);
                let Err(LineError::TooLong { head, tail, .. }) = lines.next_line().await else {
                    panic!("too long")
                };
                assert!(head.starts_with(b"begin") && head.len() <= EXCERPT_BYTES);
                assert!(tail.ends_with(b"end") && tail.len() <= EXCERPT_BYTES);
                assert_eq!(lines.next_line().await.expect("read"), Some(&b"ok"[..]));
            });
        }
    }

    #[test]
    fn a_long_line_is_read_and_its_memory_given_back() {
        let long = vec![b'x'; 5 << 20];
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut input = long.clone();
            input.extend_from_slice(b"\nshort\nlast\n");
            let mut lines = LineReader::new(&input[..], 6 << 20);
            assert_eq!(lines.next_line().await.expect("read").expect("a line").len(), long.len());
            assert_eq!(lines.next_line().await.expect("read"), Some(&b"short"[..]));
            assert_eq!(lines.next_line().await.expect("read"), Some(&b"last"[..]));
            assert_eq!(lines.next_line().await.expect("read"), None);
            assert!(lines.buffer.capacity() <= MAX_RETAINED_BYTES, "{}", lines.buffer.capacity());
        });
    }

    #[test]
    fn what_came_in_one_read_needs_no_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let mut lines = LineReader::new(&b"a\n \nb\n1234567\nc"[..], 5);
            assert_eq!(lines.next_buffered_line().expect("read"), None);
            assert_eq!(lines.next_line().await.expect("read"), Some(&b"a"[..]));
            assert_eq!(lines.next_buffered_line().expect("read"), Some(&b"b"[..]));
            assert!(lines.next_buffered_line().is_err(), "it is too long");
            assert_eq!(lines.next_buffered_line().expect("read"), None);
            assert_eq!(lines.next_line().await.expect("read"), Some(&b"c"[..]));
        });
    }

    proptest! {
        #[test]
        fn the_split_into_reads_never_matters(text in "[a-c \n]{0,60}", cuts in prop::collection::vec(0_usize..60, 0..8), limit in 1_usize..12) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|pair| &text.as_bytes()[pair[0]..pair[1]]).collect();
            let whole: Vec<String> = text.split('\n').filter_map(|line| {
                if line.len() > limit { Some("!".to_owned()) }
                else if line.trim_ascii().is_empty() { None }
                else { Some(line.trim_ascii_end().to_owned()) }
            }).collect();
            prop_assert_eq!(read_lines(&pieces, limit), whole);
        }
    }

    #[test]
    fn each_part_is_read_in_its_own_encoding() {
        assert_eq!(decode_text("café".as_bytes()), "café");
        assert_eq!(decode_text(b"caf\xe9 and caf\xc3\xa9"), "café and café");
        assert_eq!(decode_text(b"\x93M\xfcller\x94 \x80 5"), "“Müller” € 5");
        assert_eq!(decode_text(b"\xff\xfe"), "ÿþ");
    }
}
