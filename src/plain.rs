//! Text that steers no terminal and forges no line, for logs.
//!
//! What is written down may hold an agent's or a server's words. A log is read in a terminal, line by line, so
//! nothing in those words may end a line, move the cursor, or turn the direction of writing.

use std::borrow::Cow;
use std::io::{self, Write};

/// The text with every such character spelled out, as in `\u{1b}`. Tabs stay.
#[must_use]
pub fn plain(text: &str) -> Cow<'_, str> {
    if !text.chars().any(steers) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        if steers(letter) {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    Cow::Owned(shown)
}

/// Controls, line and paragraph separators, and what embeds or overrides the direction of writing.
const fn steers(letter: char) -> bool {
    matches!(letter,
        '\0'..='\x08' | '\n'..='\x1f' | '\x7f'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A log whose every write is one line, whatever stands in it.
#[derive(Debug)]
pub struct OneLine<W>(pub W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line));
        self.0.write_all(format!("{}\n", plain(&text)).as_bytes())?;
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
        let mut log = OneLine(Vec::new());
        log.write_all("WARN x error=a\n2026 INFO approved\x1b[2J\u{202e}\u{9b}\r\tGrüße\n".as_bytes())
            .expect("memory");
        log.write_all(b"next\n").expect("memory");
        assert_eq!(
            String::from_utf8(log.0).expect("text"),
            "WARN x error=a\\n2026 INFO approved\\u{1b}[2J\\u{202e}\\u{9b}\\r\tGrüße\nnext\n"
        );
        assert!(matches!(plain("plain text"), Cow::Borrowed(_)));
    }
}
