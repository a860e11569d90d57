//! Texts that look alike become the same text: compositions and decompositions of a character (NFC and NFD), full-width
//! and other compatibility forms, blanks of any width, and invisible characters inside. Where case doesn't count, full
//! case folding too: `ß` is `ss`, and `İ` is `i`.
//!
//! Most characters are the same before and after, and most text has no other. So only the places around the others,
//! the odd ones, are searched in this form.

use std::sync::LazyLock;

use icu_normalizer::ComposingNormalizerBorrowed;
use icu_normalizer::properties::CanonicalCombiningClassMapBorrowed;

use super::term::fold_char;

/// A normalized text that knows where its bytes came from.
pub(super) struct NormalText {
    pub(super) bytes: Vec<u8>,
    /// For each byte, the stretch of the original text that it belongs to.
    sources: Vec<(u32, u32)>,
}

impl NormalText {
    /// Normalizes a text, and folds its case if asked. Bytes that are no UTF-8 stay.
    pub(super) fn new(text: &[u8], fold: bool) -> Self {
        let mut normal = Self { bytes: Vec::with_capacity(text.len()), sources: Vec::new() };
        let mut at = 0;
        for chunk in text.utf8_chunks() {
            normal.push_text(chunk.valid(), at, fold);
            at += chunk.valid().len();
            for byte in chunk.invalid() {
                normal.push(&[*byte], at, at + 1);
                at += 1;
            }
        }
        normal
    }

    /// The stretch of the original text that a stretch of this one came from. `None` if either end is inside a
    /// character of it: half of an `ß` is no value.
    pub(super) fn source_span(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let (first, last) = (*self.sources.get(start)?, *self.sources.get(end.checked_sub(1)?)?);
        let begins = start == 0 || self.sources[start - 1] != first;
        let ends = self.sources.get(end).is_none_or(|next| *next != last);
        (begins && ends).then_some((first.0 as usize, last.1 as usize))
    }

    fn push_text(&mut self, text: &str, base: usize, fold: bool) {
        let mut rest = text;
        let mut normalized = String::new();
        while let Some(first) = rest.chars().next() {
            // A character and what combines with it become one.
            let others = rest.char_indices().skip(1);
            let end = others.take_while(|(_, c)| combines_backwards(*c)).last();
            let end = end.map_or(first.len_utf8(), |(at, c)| at + c.len_utf8());
            let start = base + text.len() - rest.len();
            normalized.clear();
            if first.is_ascii() && end == 1 {
                normalized.push(if fold { first.to_ascii_lowercase() } else { first });
            } else {
                push_normalized(&rest[..end], fold, &mut normalized);
            }
            self.push(normalized.as_bytes(), start, start + end);
            rest = &rest[end..];
        }
    }

    fn push(&mut self, bytes: &[u8], start: usize, end: usize) {
        let source = [start, end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
        self.bytes.extend_from_slice(bytes);
        self.sources.resize(self.bytes.len(), source.into());
    }
}

/// The normalized form of a value.
pub(super) fn normalize(text: &str, fold: bool) -> String {
    String::from_utf8(NormalText::new(text.as_bytes(), fold).bytes).unwrap_or_else(|_| text.to_owned())
}

/// Where the odd characters of a text are: those that another form of the same text may have. Each with its length.
pub(super) fn find_odd_chars(text: &[u8]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let end = text.len().min(at + 64);
        if text[at..end].is_ascii() {
            at = end;
            continue;
        }
        while at < end {
            let length = match text[at] {
                0xC2..=0xDF => 2,
                0xE0..=0xEF => 3,
                0xF0..=0xF4 => 4,
                _ => 1,
            };
            if length > 1
                && let Some(c) = text.get(at..at + length).and_then(|c| std::str::from_utf8(c).ok())
                && c.chars().any(is_odd_char)
            {
                found.push((at, length));
            }
            at += length;
        }
    }
    found
}

/// Whether a text with this character may be another form of a text without it.
pub(super) fn is_odd_char(c: char) -> bool {
    let code = u32::from(c);
    match ODD_CHARS.get(code as usize / 64) {
        Some(word) => word >> (code % 64) & 1 != 0,
        None => changes(c),
    }
}

/// Those of the Basic Multilingual Plane, one bit each.
static ODD_CHARS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut bits = vec![0; 0x1_0000 / 64];
    for c in ('\u{80}'..='\u{FFFF}').filter(|c| changes(*c)) {
        bits[c as usize / 64] |= 1 << (c as usize % 64);
    }
    bits
});

fn changes(c: char) -> bool {
    if combines_backwards(c) {
        return true;
    }
    let mut plain = String::new();
    push_normalized(c.encode_utf8(&mut [0; 4]), false, &mut plain);
    if plain.chars().ne([c]) {
        return true;
    }
    // What the search without case finds by itself is not odd.
    let mut folded = String::new();
    push_normalized(c.encode_utf8(&mut [0; 4]), true, &mut folded);
    folded.chars().ne([fold_char(c)])
}

fn push_normalized(text: &str, fold: bool, out: &mut String) {
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(text);
    for c in composed.chars().filter(|c| !is_invisible(*c)) {
        if c.is_whitespace() {
            out.push(' ');
        } else if fold {
            // Small, so that `ẞ` is `ß`, then capital, which makes that `SS`, and small again.
            let folded = c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
            for c in folded {
                // `İ` is `i` and a dot above, which `i` has anyway.
                if !(c == '\u{307}' && out.ends_with('i')) {
                    out.push(c);
                }
            }
        } else {
            out.push(c);
        }
    }
}

/// Characters that a reader doesn't see: soft hyphen, zero-width and direction marks, variation selectors.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}')
}

/// Whether a character may become one with the character before it: marks, and the vowels and finals of Hangul.
fn combines_backwards(c: char) -> bool {
    !c.is_ascii()
        && (CanonicalCombiningClassMapBorrowed::new().get_u8(c) != 0
            || matches!(c, '\u{1161}'..='\u{1175}' | '\u{11A8}'..='\u{11C2}'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_look_alike_become_the_same() {
        for (text, same) in [
            ("Jose\u{301} Mu\u{308}ller", "José Müller"),
            ("Ｍａｘ　Ｍｕｓｔｅｒ", "Max Muster"),
            ("Max\u{A0}Muster", "Max Muster"),
            ("Ma\u{AD}x\u{200B} Muster\u{FEFF}", "Max Muster"),
            ("\u{1112}\u{1161}\u{11AB}", "한"),
            ("straße", "straße"),
        ] {
            assert_eq!(normalize(text, false), normalize(same, false), "{text}");
        }
        for (text, folded) in [
            ("WEISSMANN", "weissmann"),
            ("Weißmann", "weissmann"),
            ("WEIẞMANN", "weissmann"),
            ("İnci", "inci"),
            ("I\u{307}NCI\u{307}", "inci"),
            ("ΣΟΦΊΑΣ", "σοφίασ"),
            ("ﬁne", "fine"),
        ] {
            assert_eq!(normalize(text, true), folded, "{text}");
        }
    }

    #[test]
    fn a_stretch_leads_back_to_whole_characters() {
        let normal = NormalText::new("aßb\u{AD}c".as_bytes(), true);
        assert_eq!(normal.bytes, b"assbc");
        assert_eq!(normal.source_span(1, 3), Some((1, 3)));
        assert_eq!(normal.source_span(2, 4), None, "half of a character");
        assert_eq!(normal.source_span(3, 5), Some((3, 7)));
        assert_eq!(normal.source_span(0, 1), Some((0, 1)));
    }

    #[test]
    fn most_characters_are_not_odd() {
        assert!("Jose Müller Ñandú 山田 Иван".chars().all(|c| !is_odd_char(c)));
        assert!("\u{301}\u{A0}\u{AD}ßẞİＡﬁ\u{3000}\u{1D400}".chars().all(is_odd_char));
        let text = format!("{}é\u{A0}é{}ß", "x".repeat(63), "y".repeat(100));
        assert_eq!(find_odd_chars(text.as_bytes()), [(65, 2), (169, 2)]);
    }
}
