//! Words: which values count as words only, and whether one stands alone at a place (guarantee N8).
//!
//! A word ends where no letter, digit or mark goes on. So `Ann` is in `Ann's`, `ann_smith` and `(Ann)`, and not in
//! `Annual`, `AnnSmith` or `Ann2`. A script that writes no blanks between words, such as Han or Thai, ends every other
//! word beside it, and its own values count anywhere.
//!
//! Beside a value may be an escape. Then the character counts that it stands for: `\nAnn` and `%20Ann` hold the word, and
//! `Ann\u00e9e` and `Ann&eacute;e` don't.

use std::ops::Range;

use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

use super::term::{WordEdges, first_char, last_char};
use super::{Direction, ReplacementRule};

/// Where a rule's values are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MatchMode {
    /// As words of their own.
    Word,
    /// Anywhere, also within a word.
    Substring,
}

/// A longer number stands in no other number by chance.
const MAX_WORD_DIGITS: usize = 8;

impl ReplacementRule {
    /// Where the rule's values are found: as it says, else by its real value. A word or a short number may be part of
    /// another one by chance. Anything else is found anywhere, and so is a secret, of which no part may show.
    #[must_use]
    pub fn match_mode(&self) -> MatchMode {
        let by_value = || match self.direction {
            Direction::Both => default_match_mode(self.real.expose()),
            Direction::OneWay { .. } | Direction::Injected => MatchMode::Substring,
        };
        self.matching.unwrap_or_else(by_value)
    }

    /// At which ends the rule's values must end a word. Those of the real value are the fake's as well: where the one is
    /// concealed, the other is revealed.
    pub(super) fn word_edges(&self) -> WordEdges {
        match self.match_mode() {
            MatchMode::Substring => WordEdges::default(),
            MatchMode::Word => {
                let mut chars = self.real.expose().chars();
                let left = chars.next().is_some_and(is_word_char);
                WordEdges { left, right: chars.next_back().map_or(left, is_word_char) }
            }
        }
    }
}

fn default_match_mode(real: &str) -> MatchMode {
    let is_letter = |c: char| is_word_char(c) && !c.is_numeric();
    let is_number = real.chars().all(char::is_numeric) && real.chars().count() <= MAX_WORD_DIGITS;
    if is_number || real.chars().all(is_letter) { MatchMode::Word } else { MatchMode::Substring }
}

/// Whether a character goes on the word beside it.
pub(super) fn is_word_char(c: char) -> bool {
    (c.is_alphanumeric() || is_mark(c)) && !is_unspaced(c)
}

fn is_mark(c: char) -> bool {
    !c.is_ascii() && CanonicalCombiningClassMapBorrowed::new().get_u8(c) != 0
}

/// The scripts that write no blanks between words: Thai, Lao, Tibetan, Myanmar, Khmer, Han, kana. And Hangul, which ends
/// nouns with particles.
const fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{E00}'..='\u{109F}' | '\u{1100}'..='\u{11FF}' | '\u{1780}'..='\u{17FF}' | '\u{2E80}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{A960}'..='\u{A97F}' | '\u{AC00}'..='\u{D7FF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{FF66}'..='\u{FFDC}' | '\u{20000}'..='\u{323AF}')
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// JSON, whose own escapes can't be read as anything else.
    RawJson,
    /// What a string says.
    Text,
}

/// Whether a value is a word at this place, as far as its edges ask for it.
pub(super) fn stands_alone(text: &[u8], at: Range<usize>, edges: WordEdges, reading: Reading) -> bool {
    let before = &text[..at.start];
    let is_left_free = || ends_word(before) && !is_in_fraction(before, text.get(at.start));
    (!edges.left || is_left_free()) && (!edges.right || begins_no_word(&text[at.end..], reading))
}

/// Whether a digit behind this text is one of a fraction: `0.4711` is another number than `4711`.
fn is_in_fraction(before: &[u8], next: Option<&u8>) -> bool {
    matches!(before, [.., digit, b'.'] if digit.is_ascii_digit()) && next.is_some_and(u8::is_ascii_digit)
}

/// Whether a word may begin behind this text: it ends in no letter, or in an escape that stands for none.
fn ends_word(before: &[u8]) -> bool {
    match last_char(before) {
        Some(';') => !ends_in_letter_reference(before),
        Some(c) if is_word_char(c) => {
            ends_in_colour(before) || last_escaped_char(before).is_some_and(|c| !is_word_char(c))
        }
        Some(_) | None => true,
    }
}

/// Whether no word goes on with this text: it begins with no letter, nor with an escape that stands for one.
fn begins_no_word(behind: &[u8], reading: Reading) -> bool {
    // No writer escapes ASCII letters. What reads as one is text: `C:\Users\Ann\101` is a path.
    let is_letter = |c: char| !c.is_ascii() && is_word_char(c);
    match first_char(behind) {
        Some('\\') => {
            // Each layer of JSON doubles the backslashes of the one below it.
            let run = behind.iter().take_while(|byte| **byte == b'\\').count();
            let escaped = first_escaped_char(&behind[run - 1..]);
            let is_certain = reading == Reading::RawJson && run == 1;
            !escaped.is_some_and(|c| if is_certain { is_word_char(c) } else { is_letter(c) })
        }
        Some('%') => !first_escaped_char(behind).is_some_and(is_letter),
        Some('&') => !begins_with_letter_reference(behind),
        first => first.is_none_or(|c| !is_word_char(c)),
    }
}

/// The character of the escape that a text begins with. Quoted-printable isn't among them: `Ann=E9` may be an assignment.
fn first_escaped_char(text: &[u8]) -> Option<char> {
    let unit = [b"\\u".as_slice(), b"%u"].into_iter().find_map(|sign| {
        let code = read_hex(text.strip_prefix(sign)?.get(..4)?)?;
        // Half a surrogate pair belongs to a sign more often than to a letter.
        Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    });
    unit.or_else(|| first_byte_run(text, b"\\x", 2, 16))
        .or_else(|| first_byte_run(text, b"%", 2, 16))
        .or_else(|| first_byte_run(text, b"\\", 3, 8))
}

/// The first character of a run of escaped bytes, each a sign and some digits.
fn first_byte_run(text: &[u8], sign: &[u8], digits: usize, radix: u32) -> Option<char> {
    let mut bytes = Vec::new();
    let mut rest = text;
    // A character has at most four bytes.
    while bytes.len() < 4 {
        // Each layer of JSON doubles the backslash of an escape.
        let more = rest.windows(2).take_while(|pair| **pair == *b"\\\\").count();
        let Some(behind) = rest[more..].strip_prefix(sign) else { break };
        let Some(byte) = behind.get(..digits).and_then(|written| read_byte(written, radix)) else { break };
        bytes.push(byte);
        rest = &behind[digits..];
    }
    // What is no UTF-8 is Latin-1. Nobody writes that in octal.
    first_char(&bytes).or_else(|| bytes.first().filter(|_| radix == 16).map(|byte| char::from(*byte)))
}

/// The most characters of a reference to a letter.
const MAX_REFERENCE: usize = 10;

/// Whether a text ends in HTML's reference to a letter: `&eacute;`, `&#233;`.
fn ends_in_letter_reference(text: &[u8]) -> bool {
    let near = &text[text.len().saturating_sub(MAX_REFERENCE)..];
    memchr::memrchr(b'&', near).is_some_and(|at| begins_with_letter_reference(&near[at..]))
}

/// The same at its beginning. ASCII letters aren't referred to.
fn begins_with_letter_reference(text: &[u8]) -> bool {
    let Some(end) = text.iter().take(MAX_REFERENCE).position(|byte| *byte == b';') else { return false };
    let Some(name) = text.get(1..end).and_then(|name| std::str::from_utf8(name).ok()) else { return false };
    let code = match name.strip_prefix("#x").or_else(|| name.strip_prefix("#X")) {
        Some(hex) => u32::from_str_radix(hex, 16).ok(),
        None => name.strip_prefix('#').and_then(|decimal| decimal.parse().ok()),
    };
    // A letter's name is the plain letter and what is added to it.
    const ADDED: [&str; 10] =
        ["acute", "grave", "circ", "uml", "tilde", "cedil", "ring", "slash", "caron", "lig"];
    match code {
        Some(code) => char::from_u32(code).is_some_and(|c| !c.is_ascii() && is_word_char(c)),
        None => ADDED
            .iter()
            .any(|added| name.strip_suffix(added).is_some_and(|letter| matches!(letter.len(), 1 | 2))),
    }
}

/// Whether a text ends in the colour that a terminal's escape sets: `ESC [1;31m`, or `ESC [K`. The escape itself may be
/// escaped.
fn ends_in_colour(text: &[u8]) -> bool {
    let Some((b'm' | b'K', before)) = text.split_last() else { return false };
    let digits = before.iter().rev().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    let Some(before) = before[..before.len() - digits].strip_suffix(b"[") else { return false };
    ["\u{1b}", "1b", "1B", "\\033", "\\e"].iter().any(|escape| before.ends_with(escape.as_bytes()))
}

/// The character of the escape that a text ends in: of JSON, of a programming language, percent-encoded, or
/// quoted-printable. None if it ends in no escape, or in half a character.
fn last_escaped_char(text: &[u8]) -> Option<char> {
    let hex = |sign: &[u8], digits: usize| {
        let at = text.len().checked_sub(digits)?;
        let code = text[..at].ends_with(sign).then(|| read_hex(&text[at..]))??;
        // Half a surrogate pair belongs to a sign more often than to a letter.
        Some(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    };
    if let [.., b'\\', b'n' | b't' | b'r' | b'b' | b'f' | b'v' | b'a' | b'e'] = text {
        return Some('\n');
    }
    let unit = hex(b"\\u", 4).or_else(|| hex(b"%u", 4)).or_else(|| hex(b"\\U", 8));
    unit.or_else(|| {
        [b"\\x".as_slice(), b"%", b"="].into_iter().find_map(|sign| last_byte_run(text, sign, 2, 16))
    })
    .or_else(|| last_byte_run(text, b"\\", 3, 8))
}

/// The last character of a run of escaped bytes, each a sign and some digits.
fn last_byte_run(text: &[u8], sign: &[u8], digits: usize, radix: u32) -> Option<char> {
    let mut rest = text;
    let mut bytes = Vec::new();
    // A character has at most four bytes.
    while bytes.len() < 4 {
        let Some(at) = rest.len().checked_sub(digits) else { break };
        let written = Some(&rest[at..]).filter(|_| rest[..at].ends_with(sign));
        let Some(byte) = written.and_then(|digits| read_byte(digits, radix)) else { break };
        bytes.insert(0, byte);
        rest = &rest[..at - sign.len()];
        // Each layer of JSON doubles the backslash of an escape.
        while let (true, Some((b'\\', before))) = (sign.starts_with(b"\\"), rest.split_last()) {
            rest = before;
        }
    }
    // What is no UTF-8 is Latin-1.
    last_char(&bytes).or_else(|| bytes.last().map(|byte| char::from(*byte)))
}

fn read_byte(digits: &[u8], radix: u32) -> Option<u8> {
    let is_number = digits.iter().all(|digit| char::from(*digit).is_digit(radix));
    u8::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_number)?, radix).ok()
}

fn read_hex(digits: &[u8]) -> Option<u32> {
    let is_hex = !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit);
    u32::from_str_radix(std::str::from_utf8(digits).ok().filter(|_| is_hex)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_short_numbers_count_as_words_and_all_else_anywhere() {
        for (real, mode) in [
            ("Ann", MatchMode::Word),
            ("Núñez", MatchMode::Word),
            ("Jose\u{301}", MatchMode::Word),
            ("Иван", MatchMode::Word),
            ("4711", MatchMode::Word),
            ("20261201", MatchMode::Word),
            ("4155550100", MatchMode::Substring),
            ("José Núñez", MatchMode::Substring),
            ("O'Neil", MatchMode::Substring),
            ("ann@corp.test", MatchMode::Substring),
            ("/home/ann", MatchMode::Substring),
            ("sk1234", MatchMode::Substring),
            ("山田", MatchMode::Substring),
            ("민수", MatchMode::Substring),
            ("สมชาย", MatchMode::Substring),
        ] {
            assert_eq!(default_match_mode(real), mode, "{real}");
        }
    }

    /// Texts that hold `Ann` as a word, in both readings.
    const WORDS: &[&str] = &[
        "Ann",
        "by Ann.",
        "Ann's",
        "(Ann)",
        "ann_Ann_x",
        "a-Ann-b",
        "/Ann/",
        "Annさん",
        "4円Ann",
        r"\nAnn",
        r"\\tAnn",
        "%20Ann",
        "%2520%20Ann%20",
        "=20Ann",
        r"\x20Ann",
        r"\040Ann",
        r"\u0020Ann",
        r"\u2014Ann",
        "%E2%80%94Ann",
        r"\342\200\224Ann",
        "%u2014Ann",
        r"\U0001F600Ann",
        "\u{1b}[01;31mAnn\u{1b}[m",
        r"\u001b[31mAnn",
        r"\033[KAnn",
        "😀Ann😀",
        "\u{200B}Ann\u{AD}",
        r"Ann\n",
        r"Ann\\n",
        "Ann%20",
        "Ann&nbsp;",
        "Ann&amp;",
        "&amp;Ann",
        "&#32;Ann",
        "Ann=E9",
        "Ann%",
        "Ann&x",
        ";Ann",
        r"\\Ann\\101",
        r"\\Ann\\u0041",
    ];
    /// Texts that hold it as a part of a word.
    const PARTS_OF_WORDS: &[&str] = &[
        "Annual",
        "JoAnn",
        "annAnn",
        "Ann2",
        "2Ann",
        "AnnSmith",
        "Ann\u{301}",
        "éAnn",
        "Annа",
        r"\u00e9Ann",
        "%C3%A9Ann",
        r"\xc3\xa9Ann",
        r"\\303\\251Ann",
        "=E9Ann",
        "[31mAnn",
        "xnAnn",
        "20Ann",
        "²Ann",
        r"Ann\u00e9e",
        r"Ann\\u00e9e",
        "Ann%C3%A9e",
        "Ann%E9e",
        r"Ann\\303\\251e",
        "Ann&eacute;e",
        "Ann&#233;e",
        "Ann&#xE9;e",
        "&Eacute;Ann",
        "&#233;Ann",
    ];

    #[test]
    fn a_word_ends_where_no_letter_digit_or_mark_goes_on() {
        let both = WordEdges { left: true, right: true };
        let is_word = |text: &str, reading: Reading| {
            let start = text.find("Ann").expect("the value");
            stands_alone(text.as_bytes(), start..start + 3, both, reading)
        };
        for (texts, expected) in [(WORDS, true), (PARTS_OF_WORDS, false)] {
            for (text, reading) in
                texts.iter().flat_map(|text| [(text, Reading::RawJson), (text, Reading::Text)])
            {
                assert_eq!(is_word(text, reading), expected, "{text}");
            }
        }
        for (text, expected) in
            [("0.4711", false), ("-4711.50", true), ("v.4711", true), ("4711", true), ("14711", false)]
        {
            let start = text.find("4711").expect("the value");
            let found = stands_alone(text.as_bytes(), start..start + 4, both, Reading::RawJson);
            assert_eq!(found, expected, "{text}");
        }
        assert!(!is_word(r"Ann\u0075al", Reading::RawJson), "JSON's own escape can't be anything else");
    }
}
