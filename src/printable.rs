//! Makes text safe for logs and terminals, and tells which characters a reader can't see.
//!
//! Logs may hold text of an agent or server, and people read them in a terminal, line by line. So nothing in
//! that text may end a line, move the cursor or change the writing direction.

use std::borrow::Cow;
use std::io::{self, Write};

use unicode_general_category::{GeneralCategory, get_general_category};

/// The text with every such character escaped, as in `\u{1b}`. Tabs stay.
#[must_use]
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers_terminal) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if steers_terminal(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// Controls, line and paragraph separators, and characters that embed or override the writing direction.
const fn steers_terminal(letter: char) -> bool {
    matches!(letter,
        '\0'..='\x08' | '\n'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whether a reader can't see this character, or it changes how others look. Foreign text must be shown to
/// people with such characters escaped.
///
/// These are the controls (Cc), the format characters (Cf) and `Default_Ignorable_Code_Point` of Unicode 17,
/// which include the zero-width, bidirectional and tag characters, variation selectors and the byte order
/// mark. Also line and paragraph separators, private use (which fonts draw as they like), blanks other than
/// the plain space, and unassigned characters.
#[must_use]
pub fn is_invisible(character: char) -> bool {
    // Nearly all characters end here, before the table look-up.
    if matches!(character, ' '..='~') {
        return false;
    }
    is_listed_invisible(character) || get_general_category(character) == GeneralCategory::Unassigned
}

const fn is_listed_invisible(character: char) -> bool {
    matches!(character,
        '\0'..='\x1f' | '\x7f'..='\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}'
        | '\u{6dd}' | '\u{70f}' | '\u{890}' | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{1680}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}'
        | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}' | '\u{2800}' | '\u{3000}' | '\u{3164}'
        | '\u{e000}'..='\u{f8ff}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffc}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1345f}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{10ffff}')
}

/// Whether this character is drawn onto the one before it (general category M: accents, vowel signs, enclosing
/// marks).
#[must_use]
pub fn is_combining_mark(character: char) -> bool {
    use GeneralCategory::{EnclosingMark, NonspacingMark, SpacingMark};
    character > '~' && matches!(get_general_category(character), EnclosingMark | NonspacingMark | SpacingMark)
}

/// A writer for logs that turns every write into one line.
#[derive(Debug)]
pub struct OneLineWriter<W>(pub W);

impl<W: Write> Write for OneLineWriter<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        self.0.write_all(format!("{}\n", escape_controls(&text)).as_bytes())?;
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_line_ends_it_or_steers_the_terminal() {
        let mut log = OneLineWriter(Vec::new());
        log.write_all("WARN x error=a\n2026 INFO approved\x1b[2J\u{202e}\u{9b}\r\tGrüße\n".as_bytes())
            .expect("memory");
        log.write_all(b"next\n").expect("memory");
        assert_eq!(
            String::from_utf8(log.0).expect("text"),
            "WARN x error=a\\n2026 INFO approved\\u{1b}[2J\\u{202e}\\u{9b}\\r\tGrüße\nnext\n"
        );
        assert!(matches!(escape_controls("plain text"), Cow::Borrowed(_)));
    }

    #[test]
    fn what_a_reader_cannot_see_is_known() {
        for hidden in [
            '\0',
            '\t',
            '\n',
            '\u{7f}',
            '\u{a0}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2066}',
            '\u{2028}',
            '\u{fe0f}',
            '\u{feff}',
            '\u{fffc}',
            '\u{3164}',
            '\u{378}',
            '\u{e000}',
            '\u{e0041}',
            '\u{e0100}',
            '\u{10fffd}',
            '\u{ffff}',
        ] {
            assert!(is_invisible(hidden), "{}", hidden.escape_unicode());
        }
        for seen in [' ', 'a', '~', 'é', '世', 'ש', '🙂', '\u{301}', '\u{fffd}', '⏎'] {
            assert!(!is_invisible(seen), "{seen}");
        }
        assert!(
            is_combining_mark('\u{301}')
                && is_combining_mark('\u{20dd}')
                && !is_combining_mark('a')
                && !is_combining_mark('é')
        );
    }
}
