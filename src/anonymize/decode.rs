//! Finds the stretches of raw JSON that can hold a value in an escaped spelling, or with odd characters.
//!
//! An escaped occurrence covers at least one escape of one of the value's characters. It covers no byte and no
//! escape of any other character. So the scan visits escapes only, and opens a window around those that
//! matter. Most text has none and needs no decoding.

use std::collections::HashSet;
use std::ops::Range;

use super::escape::{EscapeValue, read_json_escape, read_percent_escape};
use super::normal_text::{find_odd_chars, is_odd_char};
use super::term::Term;

/// The characters that values are made of.
pub(super) struct TermAlphabet {
    /// Bytes that occur in a value, in some spelling.
    term_bytes: [bool; 256],
    /// Those, and the bytes that escapes are made of.
    spelling_bytes: [bool; 256],
    /// Characters beyond ASCII.
    non_ascii: HashSet<char>,
}

impl TermAlphabet {
    pub(super) fn new(terms: &[Term]) -> Self {
        let mut term_bytes = [false; 256];
        let mut non_ascii = HashSet::new();
        for term in terms {
            for c in (0..term.chars().len()).flat_map(|index| term.spellings_at(index)) {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| term_bytes[usize::from(byte)] = true);
                if !c.is_ascii() {
                    non_ascii.insert(c);
                }
            }
        }
        let mut spelling_bytes = term_bytes;
        // Digits, hex letters and escape letters belong to a window, because an inner layer may spell its
        // escapes with them.
        b"0123456789abcdefABCDEFunrtbf\\/%\""
            .iter()
            .for_each(|byte| spelling_bytes[usize::from(*byte)] = true);
        // Any character beyond ASCII may be a form of one in a value.
        spelling_bytes[0x80..].fill(true);
        Self { term_bytes, spelling_bytes, non_ascii }
    }

    /// Returns the stretches to decode, in order and disjoint. Each lies within one string.
    pub(super) fn decode_windows(&self, json: &[u8]) -> Vec<Range<usize>> {
        let mut windows: Vec<Range<usize>> = Vec::new();
        // Behind the last escape that can't be part of a value.
        let mut barrier = 0;
        let mut at = 0;
        let find_escape = |at: usize| memchr::memchr2(b'\\', b'%', &json[at..]).map(|offset| at + offset);
        let mut next_escape = find_escape(0);
        let mut odd_chars = find_odd_chars(json).into_iter().peekable();
        loop {
            while odd_chars.next_if(|(odd, _)| *odd < at).is_some() {}
            if next_escape.is_some_and(|next| next < at) {
                next_escape = find_escape(at);
            }
            let (next, escape) = match (next_escape, odd_chars.peek()) {
                (escape, Some(&(odd, length))) if escape.is_none_or(|escape| odd < escape) => {
                    (odd, EscapeSpan::new(true, length, length))
                }
                (Some(next), _) => (next, self.read_escape(json, next)),
                (None, _) => break,
            };
            at = next + escape.length;
            if !escape.relevant {
                // No value reaches over it, so no window may begin before its end.
                barrier = next + escape.consumed;
                continue;
            }
            let start = self.window_start(json, barrier, next);
            let end = self.extend_window(json, &mut at);
            barrier = barrier.max(end);
            match windows.last_mut() {
                // They touch: a value may cross from one into the other.
                Some(last) if start <= last.end => last.end = end,
                _ => windows.push(start..end),
            }
        }
        windows
    }

    /// Where the plain bytes before a relevant escape begin.
    fn window_start(&self, json: &[u8], barrier: usize, escape: usize) -> usize {
        let plain = json[barrier..escape].iter().rev().take_while(|byte| self.is_plain_byte(**byte)).count();
        escape - plain
    }

    /// Extends the window over plain bytes and relevant escapes, moves `at` there, and returns the window's
    /// end.
    fn extend_window(&self, json: &[u8], at: &mut usize) -> usize {
        while let Some(byte) = json.get(*at) {
            match byte {
                b'\\' | b'%' => {
                    let escape = self.read_escape(json, *at);
                    if !escape.relevant {
                        return *at;
                    }
                    *at += escape.length;
                }
                byte if self.is_plain_byte(*byte) => *at += 1,
                _ => return *at,
            }
        }
        *at
    }

    /// A byte outside an escape that can belong to a value. An unescaped quote ends the string.
    fn is_plain_byte(&self, byte: u8) -> bool {
        byte != b'"' && self.spelling_bytes[usize::from(byte)]
    }

    fn read_escape(&self, json: &[u8], at: usize) -> EscapeSpan {
        if json[at] == b'%' {
            let percent_is_relevant = self.term_bytes[usize::from(b'%')];
            return match read_percent_escape(&json[at..]) {
                Some((EscapeValue::Byte(byte), length)) if percent_is_relevant || self.is_relevant(byte) => {
                    EscapeSpan::new(true, length, length)
                }
                // In the text as it is, its digits are digits.
                Some(_) => EscapeSpan::new(false, 1, 1),
                // Its digits may be escaped themselves.
                None => {
                    let digits = json.get(at + 1..at + 3).unwrap_or_default();
                    EscapeSpan::new(
                        percent_is_relevant || digits.iter().any(|byte| matches!(byte, b'\\' | b'%')),
                        1,
                        1,
                    )
                }
            };
        }
        // A run of backslashes is read as a whole, whatever layer each of them belongs to.
        let run = json[at..].iter().take_while(|byte| **byte == b'\\').count();
        // The escape that all the backslashes come to, should every layer be read.
        let (last, length) = match read_json_escape(&json[at + run - 1..]) {
            Some((read, length)) => (read, length),
            // An even run, and what follows is no escape: only the backslashes are escaped.
            None => (EscapeValue::Byte(b'\\'), 1),
        };
        // After an even run the quote itself is bare, so the string ends there.
        let closes = run % 2 == 0 && json.get(at + run) == Some(&b'"');
        let inner = !closes
            && match last {
                EscapeValue::Byte(byte) => self.is_relevant(byte) && length > 1,
                EscapeValue::Char(c) => self.non_ascii.contains(&c) || is_odd_char(c),
            };
        let matters = inner || (run > 1 && self.term_bytes[usize::from(b'\\')]);
        // An odd run ends with an escape of the outermost layer, which takes its letter along. An even one takes it
        // only where inner layers may read it so, and then a value may still begin with that letter.
        if run % 2 == 1 {
            EscapeSpan::new(matters, run - 1 + length, run - 1 + length)
        } else if closes || !inner {
            EscapeSpan::new(matters, run, run)
        } else {
            EscapeSpan::new(matters, run - 1 + length, run)
        }
    }

    fn is_relevant(&self, byte: u8) -> bool {
        // Where values hold no quote or slash, an escaped one can't be part of an occurrence. A backslash or
        // `%` always may begin an inner escape, whatever the values hold.
        match byte {
            b'"' | b'/' => self.term_bytes[usize::from(byte)],
            b'\\' | b'%' => true,
            _ => self.spelling_bytes[usize::from(byte)],
        }
    }
}

/// An escape in raw JSON.
struct EscapeSpan {
    relevant: bool,
    /// How many bytes the scan skips.
    length: usize,
    /// How many bytes can't begin a value.
    consumed: usize,
}

impl EscapeSpan {
    const fn new(matters: bool, length: usize, taken: usize) -> Self {
        Self { relevant: matters, length, consumed: taken }
    }
}
