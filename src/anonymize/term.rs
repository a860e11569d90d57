//! One value to search for: its text, how case counts, and whether it occurs at a place.
//!
//! Ignoring case here means Unicode's simple mappings, one character to one. `K` (the Kelvin sign) is `k` and `ẞ`
//! is `ß`. That `ß` is also `ss` is told by [`super::normal_text`].

use std::collections::HashMap;
use std::sync::LazyLock;

/// A value to search for.
pub(super) struct Term {
    /// The position of its rule in the rule set.
    pub(super) rule: usize,
    /// Its characters, folded if case doesn't count.
    chars: Vec<char>,
    text: String,
    /// Where each character begins in the text.
    starts: Vec<usize>,
    folded: bool,
    edges: WordEdges,
}

/// The ends of a value at which it counts only where the word ends too. None for a value that counts anywhere.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WordEdges {
    pub(super) left: bool,
    pub(super) right: bool,
}

impl Term {
    /// A value that counts anywhere.
    pub(super) fn new(rule: usize, text: &str, case_sensitive: bool) -> Self {
        let chars: Vec<char> =
            if case_sensitive { text.chars().collect() } else { text.chars().map(fold_char).collect() };
        let text: String = chars.iter().collect();
        let starts = text.char_indices().map(|(start, _)| start).collect();
        Self { rule, chars, text, starts, folded: !case_sensitive, edges: WordEdges::default() }
    }

    /// The same value, which counts as a word only.
    pub(super) fn with_edges(self, edges: WordEdges) -> Self {
        Self { edges, ..self }
    }

    pub(super) const fn edges(&self) -> WordEdges {
        self.edges
    }

    /// The text, folded if case doesn't count.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) const fn is_folded(&self) -> bool {
        self.folded
    }

    pub(super) fn chars(&self) -> &[char] {
        &self.chars
    }

    /// All spellings of one of its characters.
    pub(super) fn spellings_at(&self, index: usize) -> Vec<char> {
        spellings(self.chars[index], self.folded)
    }

    /// The fewest bytes that an occurrence has.
    pub(super) fn min_length(&self) -> usize {
        (0..self.chars.len())
            .map(|index| self.spellings_at(index).iter().map(|c| c.len_utf8()).min().unwrap_or(1))
            .sum()
    }

    /// Where an occurrence ends that begins at `at`.
    #[cfg(test)]
    pub(super) fn match_end(&self, hay: &[u8], at: usize) -> Option<usize> {
        self.match_end_from(hay, at, 0)
    }

    /// The occurrence whose character number `index` begins at `at`.
    pub(super) fn match_around(&self, hay: &[u8], at: usize, index: usize) -> Option<(usize, usize)> {
        if !self.folded {
            let start = at.checked_sub(self.starts[index])?;
            return hay[start..].starts_with(self.text.as_bytes()).then(|| (start, start + self.text.len()));
        }
        let end = self.match_end_from(hay, at, index)?;
        // Goes back character by character: spellings differ in length, so the start can't be computed.
        let mut start = at;
        for wanted in self.chars[..index].iter().rev() {
            let found = last_char(&hay[..start])?;
            if fold_char(found) != *wanted {
                return None;
            }
            start -= found.len_utf8();
        }
        Some((start, end))
    }

    fn match_end_from(&self, hay: &[u8], at: usize, index: usize) -> Option<usize> {
        if !self.folded {
            return hay[at..].starts_with(self.text.as_bytes()).then(|| at + self.text.len());
        }
        let mut end = at;
        for wanted in &self.chars[index..] {
            let found = first_char(&hay[end..])?;
            if fold_char(found) != *wanted {
                return None;
            }
            end += found.len_utf8();
        }
        Some(end)
    }
}

/// A character without its case.
pub(super) fn fold_char(c: char) -> char {
    if c.is_ascii() {
        c.to_ascii_lowercase()
    } else {
        // Through the capital, so that letters which share one fold alike: `ς` and `σ` both become `σ`.
        map_single(map_single(c, char::to_uppercase), char::to_lowercase)
    }
}

/// A text in capitals. A character whose capital would fold differently stays as it is.
pub(super) fn uppercase_text(text: &str) -> String {
    text.chars()
        .map(|c| {
            Some(map_single(c, char::to_uppercase)).filter(|up| fold_char(*up) == fold_char(c)).unwrap_or(c)
        })
        .collect()
}

/// A text in small letters. A character whose small letter would fold differently stays as it is.
pub(super) fn lowercase_text(text: &str) -> String {
    text.chars()
        .map(|c| {
            Some(map_single(c, char::to_lowercase)).filter(|low| fold_char(*low) == fold_char(c)).unwrap_or(c)
        })
        .collect()
}

/// All characters that count as `c`. With `folded`, `c` must be folded already.
pub(super) fn spellings(c: char, folded: bool) -> Vec<char> {
    if !folded {
        return vec![c];
    }
    SPELLINGS.get(&c).cloned().unwrap_or_else(|| vec![c])
}

/// The Unicode blocks that have cased characters. A test compares them with all of Unicode.
const CASED_RANGES: [(u32, u32); 21] = [
    (0x41, 0x587),
    (0x10A0, 0x10FF),
    (0x13A0, 0x13FF),
    (0x1C80, 0x1CBF),
    (0x1D79, 0x1D8E),
    (0x1E00, 0x1FFF),
    (0x2126, 0x2188),
    (0x24B6, 0x24E9),
    (0x2C00, 0x2D2D),
    (0xA640, 0xA7FF),
    (0xAB53, 0xABBF),
    (0xFF21, 0xFF5A),
    (0x10400, 0x104FF),
    (0x10570, 0x105BC),
    (0x10C80, 0x10CF2),
    (0x10D50, 0x10D8F),
    (0x118A0, 0x118DF),
    (0x16E40, 0x16E7F),
    (0x16EA0, 0x16EDF),
    (0x1E900, 0x1E943),
    (0xFB00, 0xFB17),
];

/// Folded characters that have more than one spelling, with all of them.
static SPELLINGS: LazyLock<HashMap<char, Vec<char>>> = LazyLock::new(|| {
    let mut all: HashMap<char, Vec<char>> = HashMap::new();
    for c in CASED_RANGES.iter().flat_map(|&(from, to)| from..=to).filter_map(char::from_u32) {
        all.entry(fold_char(c)).or_default().push(c);
    }
    all.retain(|folded, spellings| {
        if !spellings.contains(folded) {
            spellings.push(*folded);
        }
        spellings.len() > 1
    });
    all
});

/// The mapped character, or `c` itself if the mapping yields several.
fn map_single<I: Iterator<Item = char>>(c: char, map: impl Fn(char) -> I) -> char {
    let mut mapped = map(c);
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => c,
    }
}

/// The character that bytes begin with. None if there is none, or no whole one.
pub(super) fn first_char(bytes: &[u8]) -> Option<char> {
    let first = *bytes.first()?;
    if first < 0x80 {
        return Some(char::from(first));
    }
    let length = match first {
        0xC2..=0xDF => 2,
        0xE0..=0xEF => 3,
        0xF0..=0xF4 => 4,
        _ => return None,
    };
    std::str::from_utf8(bytes.get(..length)?).ok()?.chars().next()
}

/// The character that bytes end with. None if there is none, or no whole one.
pub(super) fn last_char(bytes: &[u8]) -> Option<char> {
    let start = (1..=4.min(bytes.len())).find(|back| bytes[bytes.len() - back] & 0xC0 != 0x80)?;
    let found = first_char(&bytes[bytes.len() - start..])?;
    // A continuation byte may end a longer, damaged sequence; then this is no character.
    (found.len_utf8() == start).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_character_is_among_the_spellings_of_its_fold() {
        for c in ('\0'..=char::MAX).filter(|c| fold_char(*c) != *c) {
            assert!(spellings(fold_char(c), true).contains(&c), "{c:?} U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn folding_twice_changes_nothing() {
        for c in '\0'..=char::MAX {
            assert_eq!(fold_char(fold_char(c)), fold_char(c), "{c:?} U+{:04X}", u32::from(c));
        }
    }

    #[test]
    fn spellings_of_another_length_are_found() {
        let term = Term::new(0, "kelvin", false);
        let hay = "x\u{212A}ELVIN".as_bytes();
        assert_eq!(term.match_end(hay, 1), Some(9));
        assert_eq!(term.match_around(hay, 4, 1), Some((1, 9)));
        assert_eq!(term.min_length(), 6);
    }
}
