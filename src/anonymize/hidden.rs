//! Which stretches of raw JSON can hold a value in another spelling than its own.
//!
//! A value that is not spelled as it is covers at least one escape that stands for one of its characters, and
//! no byte or escape that stands for none. So the scan visits escapes only, and opens a window around those
//! that matter; everything else needs no decoding. In common text that is nearly everything.

use std::collections::HashSet;
use std::ops::Range;

use super::escape::{Escaped, json_escape, percent_escape};
use super::needle::Needle;

/// The characters that values are made of.
pub(super) struct Alphabet {
    /// Bytes that a value holds, in some spelling.
    held: [bool; 256],
    /// The same, and bytes that escapes are made of.
    spelled: [bool; 256],
    /// Characters beyond ASCII.
    wide: HashSet<char>,
}

impl Alphabet {
    pub(super) fn new(needles: &[Needle]) -> Self {
        let mut held = [false; 256];
        let mut wide = HashSet::new();
        for needle in needles {
            for c in (0..needle.chars().len()).flat_map(|index| needle.spellings(index)) {
                c.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| held[usize::from(byte)] = true);
                if !c.is_ascii() {
                    wide.insert(c);
                }
            }
        }
        let mut spelled = held;
        b"0123456789abcdefABCDEFunrtbf\\/%\"".iter().for_each(|byte| spelled[usize::from(*byte)] = true);
        Self { held, spelled, wide }
    }

    /// The stretches to decode, in order, apart from each other; each within one string.
    pub(super) fn windows(&self, json: &[u8]) -> Vec<Range<usize>> {
        let mut windows: Vec<Range<usize>> = Vec::new();
        // Behind the last escape that can't be part of a value.
        let mut barrier = 0;
        let mut at = 0;
        while let Some(next) = memchr::memchr2(b'\\', b'%', &json[at..]).map(|offset| at + offset) {
            let escape = self.escape(json, next);
            at = next + escape.length;
            if !escape.matters {
                barrier = next + escape.taken;
                continue;
            }
            let start = self.reach_back(json, barrier, next);
            let end = self.reach_on(json, &mut at);
            barrier = barrier.max(end);
            match windows.last_mut() {
                Some(last) if start <= last.end => last.end = end,
                _ => windows.push(start..end),
            }
        }
        windows
    }

    /// The start of the plain bytes before an escape that can belong to a value.
    fn reach_back(&self, json: &[u8], barrier: usize, escape: usize) -> usize {
        let plain = json[barrier..escape].iter().rev().take_while(|byte| self.plain(**byte)).count();
        escape - plain
    }

    /// Goes on over plain bytes and further escapes that matter; returns where the window ends.
    fn reach_on(&self, json: &[u8], at: &mut usize) -> usize {
        while let Some(byte) = json.get(*at) {
            match byte {
                b'\\' | b'%' => {
                    let escape = self.escape(json, *at);
                    if !escape.matters {
                        return *at;
                    }
                    *at += escape.length;
                }
                byte if self.plain(*byte) => *at += 1,
                _ => return *at,
            }
        }
        *at
    }

    /// A byte outside an escape that can belong to a value. An unescaped quote ends the string.
    fn plain(&self, byte: u8) -> bool {
        byte != b'"' && self.spelled[usize::from(byte)]
    }

    fn escape(&self, json: &[u8], at: usize) -> Escape {
        if json[at] == b'%' {
            let held = self.held[usize::from(b'%')];
            return match percent_escape(&json[at..]) {
                Some((Escaped::Byte(byte), length)) if held || self.matters(byte) => {
                    Escape::new(true, length, length)
                }
                // In the text as it is, its digits are digits.
                Some(_) => Escape::new(false, 1, 1),
                // Its digits may be escaped themselves.
                None => {
                    let digits = json.get(at + 1..at + 3).unwrap_or_default();
                    Escape::new(held || digits.iter().any(|byte| matches!(byte, b'\\' | b'%')), 1, 1)
                }
            };
        }
        let run = json[at..].iter().take_while(|byte| **byte == b'\\').count();
        // The escape that all the backslashes come to, should every layer be read.
        let (last, length) = match json_escape(&json[at + run - 1..]) {
            Some((read, length)) => (read, length),
            // An even run, and what follows is no escape: only the backslashes are escaped.
            None => (Escaped::Byte(b'\\'), 1),
        };
        let closes = run % 2 == 0 && json.get(at + run) == Some(&b'"');
        let inner = !closes
            && match last {
                Escaped::Byte(byte) => self.matters(byte) && length > 1,
                Escaped::Char(c) => self.wide.contains(&c),
            };
        let matters = inner || (run > 1 && self.held[usize::from(b'\\')]);
        if run % 2 == 1 {
            Escape::new(matters, run - 1 + length, run - 1 + length)
        } else if closes || !inner {
            Escape::new(matters, run, run)
        } else {
            Escape::new(matters, run - 1 + length, run)
        }
    }

    fn matters(&self, byte: u8) -> bool {
        match byte {
            b'"' | b'/' => self.held[usize::from(byte)],
            b'\\' | b'%' => true,
            _ => self.spelled[usize::from(byte)],
        }
    }
}

/// An escape in raw JSON.
struct Escape {
    matters: bool,
    /// The bytes to go on after.
    length: usize,
    /// The bytes that can't begin a value.
    taken: usize,
}

impl Escape {
    const fn new(matters: bool, length: usize, taken: usize) -> Self {
        Self { matters, length, taken }
    }
}
