//! Text from outside, made visible.
//!
//! What cannot be seen, what Telegram would drop, and our own marks are spelled out, so that two different texts
//! never look the same: [`EscapedText`] can be read back.

use std::fmt::Write as _;

use portero::printable::{is_combining_mark, is_invisible};

/// How many marks may stand on one letter; more would be drawn over the lines around it.
const MAX_COMBINING_MARKS: usize = 4;

/// Text from outside, made visible. It stands only inside `code` and `pre`.
///
/// It neither begins nor ends with a blank or line break, which Telegram would cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EscapedText(pub(super) String);

impl EscapedText {
    /// Within a line: a line break is shown as `⏎`.
    #[must_use]
    pub fn line(text: &str) -> Self {
        Self(escape(text, LineBreaks::Escaped))
    }

    /// A block of lines. A line break at the very beginning or end is shown as `⏎`.
    #[must_use]
    pub fn block(text: &str) -> Self {
        Self(escape(text, LineBreaks::Kept))
    }

    /// A block of lines, each behind `bar`, which is ours.
    #[must_use]
    pub fn prefixed(bar: &'static str, text: &str) -> Self {
        let mut shown = Self::default();
        for line in text.split('\n') {
            shown.push_line(bar, line);
        }
        shown
    }

    /// Adds a line behind `bar`, which is ours.
    pub fn push_line(&mut self, bar: &'static str, line: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        let line = escape(line, LineBreaks::EscapedAfterPrefix);
        self.0.push_str(if line.is_empty() { bar.trim_end() } else { bar });
        self.0.push_str(&line);
    }

    /// Adds another at the end.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text as it is shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// At most so many characters of it, and whether that is all.
    #[must_use]
    pub fn truncated(&self, most: usize) -> (Self, bool) {
        match self.0.char_indices().nth(most) {
            None => (self.clone(), true),
            Some((end, _)) => {
                let kept = self.0[..end].trim_end_matches([' ', '\n']);
                (Self(kept.to_owned()), false)
            }
        }
    }
}

/// What becomes of line breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineBreaks {
    Kept,
    Escaped,
    /// As marked, and something of ours stands before the text, so that its first blank is seen.
    EscapedAfterPrefix,
}

fn escape(text: &str, breaks: LineBreaks) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    // How many marks stand on the letter before; none may stand where there is no letter.
    let mut marks = MAX_COMBINING_MARKS;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        let first = shown.is_empty() && breaks != LineBreaks::EscapedAfterPrefix;
        let at_edge = first || rest.peek().is_none();
        let marks_before = std::mem::replace(&mut marks, MAX_COMBINING_MARKS);
        match character {
            '\n' if breaks == LineBreaks::Kept && !at_edge => shown.push('\n'),
            '\n' => {
                shown.push('⏎');
                if breaks == LineBreaks::Kept && rest.peek().is_some() {
                    shown.push('\n');
                }
            }
            '\t' => shown.push('⇥'),
            ' ' if at_edge || rest.peek() == Some(&'\n') => shown.push('␠'),
            ' ' => shown.push(' '),
            _ if is_combining_mark(character)
                && !must_escape(character)
                && marks_before < MAX_COMBINING_MARKS =>
            {
                marks = marks_before + 1;
                shown.push(character);
            }
            _ if is_combining_mark(character) || must_escape(character) => {
                let _ = write!(shown, "⟨U+{:04X}⟩", u32::from(character));
            }
            _ => {
                marks = 0;
                shown.push(character);
            }
        }
    }
    shown
}

/// What a reader cannot see; our own marks; and what Telegram silently drops (`U+030A`, `U+0333` and `U+033F`:
/// `clean_input_string` in TDLib, on which the Bot API server is built).
fn must_escape(character: char) -> bool {
    matches!(character, '⟨' | '⏎' | '⇥' | '␠' | '\u{30a}' | '\u{333}' | '\u{33f}') || is_invisible(character)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_any_script_stays_as_it_is() {
        for text in ["send_mail", "Grüße, 世界! שלום مرحبا ไทย हिन्दी", "a  b", "e\u{301}", "🙂🇩🇪"]
        {
            assert_eq!(EscapedText::line(text).as_str(), text);
            assert_eq!(EscapedText::block(text).as_str(), text);
        }
    }

    #[test]
    fn what_hides_or_reorders_is_spelled_out() {
        for (text, shown) in [
            ("a\u{202e}b", "a⟨U+202E⟩b"),
            ("zero\u{200b}width\u{feff}", "zero⟨U+200B⟩width⟨U+FEFF⟩"),
            ("tag\u{e0041}", "tag⟨U+E0041⟩"),
            ("x\u{fe0f}", "x⟨U+FE0F⟩"),
            ("\u{1b}[2J\r", "⟨U+001B⟩[2J⟨U+000D⟩"),
            ("one\u{2028}two\u{85}three\u{b}", "one⟨U+2028⟩two⟨U+0085⟩three⟨U+000B⟩"),
            ("a\u{378}\u{e000}", "a⟨U+0378⟩⟨U+E000⟩"),
            ("a\u{30a}", "a⟨U+030A⟩"),
        ] {
            assert_eq!(EscapedText::line(text).as_str(), shown);
        }
    }

    #[test]
    fn marks_that_would_be_drawn_over_their_neighbours_are_spelled_out() {
        assert_eq!(EscapedText::line("\u{338}a").as_str(), "⟨U+0338⟩a");
        assert_eq!(EscapedText::block("a\n\u{338}b").as_str(), "a\n⟨U+0338⟩b");
        let tower = format!("a{}", "\u{301}".repeat(6));
        assert_eq!(EscapedText::line(&tower).as_str(), format!("a{}⟨U+0301⟩⟨U+0301⟩", "\u{301}".repeat(4)));
    }

    #[test]
    fn blanks_that_telegram_would_cut_are_marked() {
        assert_eq!(EscapedText::line(" a\tb\n").as_str(), "␠a⇥b⏎");
        assert_eq!(EscapedText::block("\na \n  b\n").as_str(), "⏎\na␠\n  b⏎");
        assert_eq!(EscapedText::block("\n").as_str(), "⏎");
        assert_eq!(EscapedText::line("   ").as_str(), "␠ ␠");
    }

    #[test]
    fn our_own_marks_are_not_forged() {
        assert_eq!(EscapedText::line("⟨U+202E⟩⏎⇥␠").as_str(), "⟨U+27E8⟩U+202E⟩⟨U+23CE⟩⟨U+21E5⟩⟨U+2420⟩");
    }

    #[test]
    fn a_bar_stands_before_every_line() {
        assert_eq!(EscapedText::prefixed("│ ", "a\n\n b\u{2028}c\n").as_str(), "│ a\n│\n│  b⟨U+2028⟩c\n│");
    }
}
