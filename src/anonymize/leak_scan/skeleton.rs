//! The skeleton of a text: what is left of it when differences are gone that a reader hardly sees.
//!
//! Compatibility forms and compositions become one (NFKC). Characters without a shape and the colours of terminals go.
//! All blanks become spaces and all quotes plain quotes, of several in a row one stays. Without case, letters beyond ASCII
//! are folded in full, so `ß` is `ss`. ASCII letters keep their case, which tells base64 from words.

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// The skeleton of a text.
pub(super) fn skeleton(text: &str, folded: bool) -> String {
    if text.is_ascii() {
        let mut out = String::with_capacity(text.len());
        let mut last = '\0';
        let mut rest = text.as_bytes();
        while let Some((byte, behind)) = rest.split_first() {
            rest = behind;
            match byte {
                0x1B => rest = skip_colour(rest),
                b' ' | b'\'' | b'"' if char::from(*byte) == last => {}
                _ => {
                    last = char::from(*byte);
                    out.push(last);
                }
            }
        }
        return out;
    }
    let visible: Cow<'_, str> = if text.contains(is_invisible) {
        Cow::Owned(text.chars().filter(|c| !is_invisible(*c)).collect())
    } else {
        Cow::Borrowed(text)
    };
    let composed = ComposingNormalizerBorrowed::new_nfkc().normalize(&visible);
    let mut out = String::with_capacity(composed.len());
    let mut last = '\0';
    let mut rest = composed.as_ref();
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match plain(c) {
            '\u{1B}' => rest = &rest[rest.len() - skip_colour(rest.as_bytes()).len()..],
            same @ (' ' | '\'' | '"') if same == last => {}
            c if folded && !c.is_ascii() => {
                // Through the capital, because letters that share one are the same: `ς` and `σ`. Before that through the
                // small letter, because only that of `ẞ` has the capitals of `ß`.
                let folded = c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
                // `İ` becomes `i` and a dot above it.
                out.extend(folded.filter(|c| *c != '\u{307}'));
                last = c;
            }
            c => {
                out.push(c);
                last = c;
            }
        }
    }
    out
}

/// Whether the skeleton of a text may differ from the text in more than case.
pub(super) fn may_differ(text: &[u8]) -> bool {
    !text.is_ascii() && text.iter().any(|byte| !is_plain_lead(*byte))
}

/// Bytes of ASCII, and those that begin or continue a letter of a common script: Latin, Greek, Cyrillic, or a Chinese
/// character. NFKC leaves these as they are, but for a few that are no letters of names.
const fn is_plain_lead(byte: u8) -> bool {
    matches!(byte, 0..=0xBF | 0xC3..=0xC9 | 0xCE..=0xD3 | 0xE4..=0xE9)
}

/// A blank or a quote as its plain form; else the character.
fn plain(c: char) -> char {
    match c {
        '‘' | '’' | '‚' | '‛' | '′' | 'ʼ' | '´' | '`' => '\'',
        '“' | '”' | '„' | '‟' | '″' => '"',
        // NFKC has made spaces of most blanks already, and of the acute accent a space with an accent.
        c if c != '\n' && c != '\r' && c != '\t' && c.is_whitespace() => ' ',
        c => c,
    }
}

/// Characters without a shape of their own: soft hyphen, zero-width and bidirectional marks, variation selectors, tags.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{E0000}'..='\u{E0FFF}')
}

/// What follows the colour that a terminal's escape sets: `[1;31m`, or `[K`, which clears a line.
fn skip_colour(behind_escape: &[u8]) -> &[u8] {
    let Some(parameters) = behind_escape.strip_prefix(b"[") else { return behind_escape };
    let length = parameters.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    match parameters.get(length) {
        Some(b'm' | b'K') => &parameters[length + 1..],
        _ => behind_escape,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_hardly_sees_makes_no_difference() {
        for text in [
            "José  O'Neil",
            "Jose\u{301} O’Neil",
            "Jo\u{AD}s\u{200B}é\u{A0}O''Neil",
            "\u{1b}[01;31m\u{1b}[KJosé\u{1b}[m O'Neil",
            "Ｊｏｓé\u{2003}O'Neil",
        ] {
            assert_eq!(skeleton(text, false), "José O'Neil", "{text}");
        }
        assert_eq!(skeleton("a  b''c\u{1b}[31md\"\"", false), "a b'cd\"");
    }

    #[test]
    fn case_is_folded_in_full() {
        for (one, two) in [
            ("Weißmann", "WEISSMANN"),
            ("WEIẞMANN", "weissmann"),
            ("İnci", "inci"),
            ("İnci", "INCI"),
            ("Σοφίας", "ΣΟΦΊΑΣ"),
            ("ﬁn", "FIN"),
            ("ſK", "SK"),
        ] {
            let [one, two] = [one, two].map(|text| [false, true].map(|folded| skeleton(text, folded)));
            assert!(one[1].eq_ignore_ascii_case(&two[1]), "{one:?} {two:?}");
            assert_ne!(one[0], two[0]);
        }
    }

    #[test]
    fn a_text_that_may_not_differ_is_its_own_skeleton() {
        let letters = ('\0'..=char::MAX).filter(|c| !may_differ(c.encode_utf8(&mut [0; 4]).as_bytes()));
        // `ŀ` with its dot, the apostrophe of `ŉ`, `Ǆ` and their like, Greek's own marks, Cyrillic's combining ones: no
        // names are written with them in a way that this could hide.
        let changed: Vec<char> = letters
            .filter(|c| {
                *c != '\u{1b}'
                    && *c != '`'
                    && !(c.is_whitespace())
                    && skeleton(&c.to_string(), false) != c.to_string()
            })
            .collect();
        assert!(changed.len() < 60, "{changed:?}");
    }
}
