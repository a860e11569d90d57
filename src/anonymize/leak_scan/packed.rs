//! Base64 and hex within a text: what their bytes say, at any alignment.

use std::ops::Range;

use super::bytes::{bytes_to_text, parse_hex};

/// The fewest characters of base64 or hex that are read in a short text. In a long one it is 15, or a block of eight that
/// begins at a multiple of eight.
const MIN_RUN_IN_SHORT_TEXT: usize = 8;
/// A text that is short enough to look at every run of letters.
const SHORT_TEXT: usize = 4_096;

/// The fewest bytes of text within binary data that count as text. Bytes by chance hardly ever make so many.
const MIN_TEXT_IN_BINARY: usize = 16;
/// A line of base64 that is at least this long may go on in the next line.
const MIN_WRAPPED_LINE: usize = 40;

/// The value of a character of either alphabet of base64; 64 for any other byte.
const SEXTETS: [u8; 256] = {
    let mut table = [64_u8; 256];
    let mut at = 0;
    while at < 26 {
        table[b'A' as usize + at as usize] = at;
        table[b'a' as usize + at as usize] = at + 26;
        at += 1;
    }
    let mut digit = 0;
    while digit < 10 {
        table[b'0' as usize + digit as usize] = digit + 52;
        digit += 1;
    }
    table[b'+' as usize] = 62;
    table[b'-' as usize] = 62;
    table[b'/' as usize] = 63;
    table[b'_' as usize] = 63;
    table
};

/// Whether a byte belongs to base64, in either alphabet.
pub(super) fn is_base64(byte: u8) -> bool {
    SEXTETS[usize::from(byte)] < 64
}

/// Whether a text may hold base64 or hex.
pub(super) fn may_hold_run(text: &[u8]) -> bool {
    if text.len() <= SHORT_TEXT {
        return runs(text).next().is_some();
    }
    text.chunks_exact(8).any(is_base64_block)
}

/// The runs of characters of base64 that are long enough. In a long text only a sample of the bytes is looked at first.
fn runs(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let is_short = text.len() <= SHORT_TEXT;
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let start = if is_short {
                at + text[at..].iter().position(|byte| is_base64(*byte))?
            } else {
                next_long_run(text, at)?
            };
            at = run_end(text, start);
            // A padding shows base64 however short it is.
            if !is_short
                || at - start >= MIN_RUN_IN_SHORT_TEXT
                || (at - start >= 4 && text.get(at) == Some(&b'='))
            {
                return Some(start..at);
            }
        }
        None
    })
}

/// Where the next run begins that holds a whole block of eight, from a place on that is in no run.
fn next_long_run(text: &[u8], from: usize) -> Option<usize> {
    let first = from.next_multiple_of(8);
    let block = text.get(first..)?.chunks_exact(8).position(is_base64_block)?;
    let inside = first + block * 8;
    Some(inside - text[from..inside].iter().rev().take_while(|byte| is_base64(**byte)).count())
}

/// Whether all eight bytes belong to base64.
fn is_base64_block(block: &[u8]) -> bool {
    let word = u64::from_le_bytes(block.try_into().unwrap_or_default());
    // Most blocks of prose have a blank, a quote or another byte below `+`, which this finds in one step: a byte borrows
    // from its highest bit if it is smaller than 0x2B.
    let below = word.wrapping_sub(0x2B2B_2B2B_2B2B_2B2B) & !word & 0x8080_8080_8080_8080;
    below == 0 && block.iter().all(|byte| is_base64(*byte))
}

/// Whether raw JSON may hold base64 in lines, with escaped line ends.
pub(super) fn may_be_wrapped(raw: &[u8]) -> bool {
    memchr::memmem::find_iter(raw, b"\\n").chain(memchr::memmem::find_iter(raw, b"\\r\\n")).any(|at| {
        at >= MIN_WRAPPED_LINE && raw[at - MIN_WRAPPED_LINE..at].iter().all(|byte| is_base64(*byte))
    })
}

/// Half of the window in which a hit's surroundings are judged.
const SURROUNDINGS: usize = 64;
/// Base64 with fewer characters is searched like any text.
const MIN_PACKED: usize = 64;
/// The bytes of a hit that base64 doesn't hold by chance.
const MIN_BYTES_IN_PACKED: usize = 8;

/// Whether a hit is part of base64, where a short value stands by chance, and no reader sees it.
///
/// Base64 of anything has capitals and small letters alike. So words, paths and identifiers aren't taken for it.
pub(super) fn is_in_packed_data(text: &[u8], hit: &Range<usize>) -> bool {
    if hit.len() >= MIN_BYTES_IN_PACKED || !text[hit.clone()].iter().all(|byte| is_base64(*byte)) {
        return false;
    }
    let before =
        text[..hit.start].iter().rev().take(SURROUNDINGS).take_while(|byte| is_base64(**byte)).count();
    let behind = text[hit.end..].iter().take(SURROUNDINGS).take_while(|byte| is_base64(**byte)).count();
    let run = &text[hit.start - before..hit.end + behind];
    let share = |wanted: fn(&u8) -> bool| run.iter().filter(|byte| wanted(byte)).count() * 100 / run.len();
    run.len() >= MIN_PACKED
        && (20..=65).contains(&share(u8::is_ascii_uppercase))
        && (20..=65).contains(&share(u8::is_ascii_lowercase))
        && share(u8::is_ascii_digit) >= 3
}

/// Where a run ends, over the line ends of wrapped base64.
fn run_end(text: &[u8], start: usize) -> usize {
    let mut line = start;
    loop {
        let end = line + text[line..].iter().take_while(|byte| is_base64(**byte)).count();
        let next = match text.get(end..) {
            Some([b'\n', next, ..]) if is_base64(*next) => end + 1,
            Some([b'\r', b'\n', next, ..]) if is_base64(*next) => end + 2,
            _ => return end,
        };
        if end - line < MIN_WRAPPED_LINE {
            return end;
        }
        line = next;
    }
}

/// What the base64 and hex of a text say: the text within the decoded bytes, and the bytes themselves where they are no
/// text.
pub(super) fn unpack(text: &str, mut found: impl FnMut(Unpacked<'_>) -> bool) -> bool {
    let bytes = text.as_bytes();
    runs(bytes).any(|run| {
        let run = &bytes[run];
        // A value may begin at any character of the run: four of them are as many alignments as there are.
        (0..4).any(|skip| judge(&decode_base64(run, skip), &mut found))
            || hex_runs(run)
                .any(|hex| (0..2).any(|skip| judge(&decode_hex(&run[hex.clone()], skip), &mut found)))
    })
}

/// Decoded bytes.
pub(super) enum Unpacked<'a> {
    /// A stretch that is text.
    Text(&'a str),
    /// All of them, where they aren't text as a whole.
    Binary(&'a [u8]),
}

fn judge(bytes: &[u8], found: &mut impl FnMut(Unpacked<'_>) -> bool) -> bool {
    if bytes.len() < 3 {
        return false;
    }
    if let Some(text) = decode_utf16(bytes) {
        return found(Unpacked::Text(&text));
    }
    let least = bytes.len().min(MIN_TEXT_IN_BINARY);
    let mut whole = false;
    let mut texts = std::str::from_utf8(bytes).map_or_else(
        |_| bytes.utf8_chunks().flat_map(|chunk| printable_stretches(chunk.valid())).collect::<Vec<_>>(),
        |text| printable_stretches(text).collect(),
    );
    texts.retain(|text| text.len() >= least);
    if texts.iter().any(|text| {
        whole |= text.len() == bytes.len();
        found(Unpacked::Text(text))
    }) {
        return true;
    }
    if whole {
        return false;
    }
    // Latin-1 text: no control characters, and mostly ASCII.
    let is_control = |byte: &u8| matches!(byte, 0..=8 | 11 | 12 | 14..=0x1F | 0x7F..=0x9F);
    if bytes.len() >= MIN_TEXT_IN_BINARY
        && !bytes.iter().any(is_control)
        && bytes.iter().filter(|byte| byte.is_ascii()).count() * 4 > bytes.len() * 3
        && found(Unpacked::Text(&bytes_to_text(bytes)))
    {
        return true;
    }
    found(Unpacked::Binary(bytes))
}

fn printable_stretches(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t' | '\u{1b}'))
}

/// UTF-16 text: with a byte order mark, or where every other byte is mostly zero.
fn decode_utf16(bytes: &[u8]) -> Option<String> {
    let zeros = |odd: usize| bytes.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count();
    let big = match bytes {
        [0xFE, 0xFF, ..] => true,
        [0xFF, 0xFE, ..] => false,
        _ if zeros(0) * 4 > bytes.len() && zeros(1) * 16 < bytes.len() => true,
        _ if zeros(1) * 4 > bytes.len() && zeros(0) * 16 < bytes.len() => false,
        _ => return None,
    };
    let units = bytes.chunks_exact(2).map(|pair| match big {
        true => u16::from_be_bytes([pair[0], pair[1]]),
        false => u16::from_le_bytes([pair[0], pair[1]]),
    });
    Some(char::decode_utf16(units).map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER)).collect())
}

/// Decodes base64 of either alphabet from a character on, without its last incomplete byte. Other bytes are left out.
pub(super) fn decode_base64(text: &[u8], skip: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for sextet in text.iter().skip(skip).map(|byte| SEXTETS[usize::from(*byte)]).filter(|sextet| *sextet < 64)
    {
        bits = bits << 6 | u32::from(sextet);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count & 0xFF) as u8);
        }
    }
    out
}

fn hex_runs(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < text.len() {
            let start = at + text[at..].iter().position(u8::is_ascii_hexdigit)?;
            at = start + text[start..].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
            if at - start >= MIN_RUN_IN_SHORT_TEXT {
                return Some(start..at);
            }
        }
        None
    })
}

fn decode_hex(text: &[u8], skip: usize) -> Vec<u8> {
    text.get(skip..)
        .unwrap_or_default()
        .chunks_exact(2)
        .filter_map(|pair| u8::try_from(parse_hex(pair)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};

    use super::*;

    fn says(text: &str, wanted: &str) -> bool {
        unpack(text, |unpacked| match unpacked {
            Unpacked::Text(text) => text.contains(wanted),
            Unpacked::Binary(bytes) => bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes()),
        })
    }

    #[test]
    fn base64_and_hex_are_read_at_any_alignment() {
        for before in ["", "x", "xy", "xyz", "/~", "é"] {
            let text = format!("{before}José Müller");
            for packed in [
                BASE64.encode(text.as_bytes()),
                BASE64URL_NOPAD.encode(text.as_bytes()),
                HEXLOWER.encode(text.as_bytes()),
            ] {
                for around in ["", "a", "ab", "abc"] {
                    assert!(says(&format!("{around}{packed}"), "José Müller"), "{around}{packed}");
                }
            }
        }
        assert!(says("TWFyaWE=", "Maria"));
        assert!(!says("Internationalization of src/anonymize/leak_scan/mod.rs", "Maria"));
    }

    #[test]
    fn wrapped_base64_and_utf16_are_read() {
        let text = format!("{}José Müller", "x".repeat(50));
        let packed = BASE64.encode(text.as_bytes());
        assert!(says(&format!("{}\r\n{}", &packed[..76], &packed[76..]), "José Müller"));
        let units: Vec<u8> = "to José Müller".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(says(&BASE64.encode(&units), "José Müller"));
        let units: Vec<u8> = "\u{feff}山田太郎".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(says(&BASE64.encode(&units), "山田太郎"));
    }

    #[test]
    fn a_sample_finds_every_run() {
        let noise = "it is so, or not. ".repeat(300);
        assert!(!may_hold_run(noise.as_bytes()));
        let run = b"abcdefghijklmno";
        for at in 5_000..5_016 {
            let mut text = noise.clone().into_bytes();
            text[at] = b' ';
            text[at + 1..=at + run.len()].copy_from_slice(run);
            assert!(may_hold_run(&text), "{at}");
        }
    }
}
