//! Whether a value stands as a word of its own, where it counts only so.
//!
//! The scan looks at the letters beside it in each reading of a text. An escape that begins behind it may stand for a
//! letter, which goes on the word in the next reading. So may HTML's reference before it. Any other escape before it ends
//! in a letter or digit already. Only letters beyond ASCII count so, because no writer escapes others.

use std::ops::Range;

use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

use super::super::term::WordEdges;
use super::decoders::{Kinds, decode_layer};

/// A letter that no value has. It stands for what was left out of a text, so that what was cut in two is no word.
pub(super) const CUT: char = '\u{A66E}';

/// Whether a value at this place ends a word at each of its edges. Bytes that are no UTF-8 end every word.
pub(super) fn is_word(text: &[u8], hit: &Range<usize>, edges: WordEdges) -> bool {
    let (before, behind) = (&text[..hit.start], &text[hit.end..]);
    // The digits behind a point are another number.
    let is_fraction = matches!(before, [.., first, b'.'] if first.is_ascii_digit())
        && text.get(hit.start).is_some_and(u8::is_ascii_digit);
    (!edges.left || !(is_fraction || last_letter(before) || is_letter_reference_last(before)))
        && (!edges.right || !(first_letter(behind) || is_escaped_letter_first(behind)))
}

/// The bytes of the longest escape for one character: four of UTF-8 in octal.
const MAX_ESCAPE: usize = 16;

/// Whether a text begins with an escape that stands for a letter, under any number of backslashes.
fn is_escaped_letter_first(text: &[u8]) -> bool {
    let kind = match text.first() {
        Some(b'\\') => Kinds::BACKSLASH,
        Some(b'%') => Kinds::PERCENT,
        Some(b'&') => Kinds::HTML,
        Some(_) | None => return false,
    };
    let backslashes = text.iter().take_while(|byte| **byte == b'\\').count();
    let text = &text[backslashes.saturating_sub(1)..];
    let near = &text[..text.len().min(MAX_ESCAPE)];
    let near = near.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    decode_layer(near, kind)
        .is_some_and(|read| !read.as_bytes()[0].is_ascii() && first_letter(read.as_bytes()))
}

/// Whether a text ends in HTML's reference to a letter.
fn is_letter_reference_last(text: &[u8]) -> bool {
    let near = &text[text.len().saturating_sub(MAX_ESCAPE)..];
    let reference = memchr::memrchr(b'&', near).map(|at| &near[at..]).filter(|last| last.ends_with(b";"));
    let reference = reference.and_then(|reference| std::str::from_utf8(reference).ok());
    let read = reference.and_then(|reference| decode_layer(reference, Kinds::HTML)).unwrap_or_default();
    !read.is_ascii() && last_letter(read.as_bytes())
}

/// Whether a text ends in a letter, a digit, or a mark on one.
fn last_letter(text: &[u8]) -> bool {
    match text.last() {
        Some(byte) if byte.is_ascii() => byte.is_ascii_alphanumeric(),
        Some(_) => {
            let near = &text[text.len().saturating_sub(4)..];
            (0..near.len()).rev().find_map(|at| std::str::from_utf8(&near[at..]).ok()).is_some_and(joins)
        }
        None => false,
    }
}

fn first_letter(text: &[u8]) -> bool {
    match text.first() {
        Some(byte) if byte.is_ascii() => byte.is_ascii_alphanumeric(),
        Some(_) => (2..=4).find_map(|end| std::str::from_utf8(text.get(..end)?).ok()).is_some_and(joins),
        None => false,
    }
}

/// Whether a character joins with the letters of a word. Those of scripts without blanks between words don't.
fn joins(character: &str) -> bool {
    character.chars().all(|c| {
        let code = u32::from(c);
        let has_blanks = !matches!(code,
            0x0E00..=0x109F | 0x1100..=0x11FF | 0x1780..=0x17FF | 0x2E80..=0x31FF | 0x3400..=0x4DBF | 0x4E00..=0x9FFF
            | 0xA960..=0xA97F | 0xAC00..=0xD7FF | 0xF900..=0xFAFF | 0xFF66..=0xFFDC | 0x20000..=0x323AF);
        has_blanks && (c.is_alphanumeric() || CanonicalCombiningClassMapBorrowed::new().get_u8(c) > 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_word_where_no_letter_goes_on() {
        let edges = WordEdges { left: true, right: true };
        for (text, expected) in [
            ("Ann", true),
            ("by Ann's", true),
            ("_Ann_", true),
            ("Annさん", true),
            ("山Ann", true),
            ("—Ann…", true),
            ("Annual", false),
            ("JoAnn", false),
            ("Ann2", false),
            ("éAnn", false),
            ("Ann\u{301}", false),
            ("𝒜Ann", false),
            (r"Ann\n", true),
            (r"\Ann\101", true),
            (r"Ann\u00e9e", false),
            (r"Ann\\\u00e9e", false),
            (r"Ann\303\251e", false),
            ("Ann%C3%A9e", false),
            ("Ann%20e", true),
            ("Ann&eacute;e", false),
            ("Ann&amp;e", true),
            ("&Eacute;Ann", false),
            ("&nbsp;Ann", true),
            ("Ann=41", true),
        ] {
            let start = text.find("Ann").expect("the value");
            assert_eq!(is_word(text.as_bytes(), &(start..start + 3), edges), expected, "{text}");
        }
        assert!(is_word(b"\xC3Ann\x80", &(1..4), edges));
        assert!(is_word(b"xAnn", &(1..4), WordEdges { left: false, right: true }));
        assert!(joins(&CUT.to_string()));
    }
}
