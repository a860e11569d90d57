//! Makes text from outside visible and unambiguous.
//!
//! Invisible characters, characters that a channel drops, and our own marks are spelled out. So two different
//! texts never look the same, and [`EscapedText`] can be read back.

use std::fmt::Write as _;

use portero::json::pretty::{
    StringToken, pretty_print_decoded_with, pretty_print_with, push_new_line, unescape_string,
};
use portero::printable::{is_combining_mark, is_invisible};
use serde_json::value::RawValue;

/// How many combining marks one letter may have; more would cover the neighbouring lines.
const MAX_COMBINING_MARKS: usize = 4;

/// Escaped text from outside. It is used only inside `code` and `pre`.
///
/// It neither begins nor ends with a blank or line break, because a channel may cut those.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EscapedText(pub(super) String);

impl EscapedText {
    /// Escapes text for use within a line; a line break is shown as `⏎`.
    #[must_use]
    pub fn line(text: &str) -> Self {
        Self(escape(text, LineBreaks::Escaped))
    }

    /// Escapes a block of lines. A line break at the very beginning or end is shown as `⏎`.
    #[must_use]
    pub fn block(text: &str) -> Self {
        Self(escape(text, LineBreaks::Kept))
    }

    /// A block of lines, each after the prefix `bar`.
    #[must_use]
    pub fn prefixed(bar: &'static str, text: &str) -> Self {
        let mut shown = Self::default();
        for line in text.split('\n') {
            shown.push_line(bar, line);
        }
        shown
    }

    /// JSON with indentation, in the original order of keys and spelling of numbers. A string of several
    /// lines is shown line by line after a bar, which no other JSON value can imitate.
    #[must_use]
    pub fn json(value: &RawValue) -> Self {
        // Outside of its strings, JSON is ASCII, so only strings need escaping.
        Self(pretty_print_with(value.get(), write_string))
    }

    /// Like [`EscapedText::json`], but a string that holds JSON is shown as that JSON, after words that say so.
    #[must_use]
    pub fn decoded_json(value: &RawValue) -> Self {
        Self(pretty_print_decoded_with(value.get(), write_string))
    }

    /// Adds a line after the prefix `bar`.
    pub fn push_line(&mut self, bar: &'static str, line: &str) {
        if !self.0.is_empty() {
            self.0.push('\n');
        }
        let line = escape(line, LineBreaks::EscapedAfterPrefix);
        // An empty line keeps only the bar, because a channel cuts blanks at a line's end.
        self.0.push_str(if line.is_empty() { bar.trim_end() } else { bar });
        self.0.push_str(&line);
    }

    /// Appends another text.
    pub fn append(&mut self, other: &Self) {
        self.0.push_str(&other.0);
    }

    /// Whether it is empty.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The escaped text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// At most `most` characters, and whether that is the whole text.
    #[must_use]
    pub fn truncated(&self, most: usize) -> (Self, bool) {
        match self.0.char_indices().nth(most) {
            None => (self.clone(), true),
            Some((end, _)) => {
                // The cut may fall after a blank, which a channel would drop.
                let kept = self.0[..end].trim_end_matches([' ', '\n']);
                (Self(kept.to_owned()), false)
            }
        }
    }
}

/// The treatment of line breaks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LineBreaks {
    Kept,
    Escaped,
    /// As `Escaped`, for text after a prefix, where a first blank is visible.
    EscapedAfterPrefix,
}

fn escape(text: &str, breaks: LineBreaks) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    // How many marks the letter before has. It begins at the maximum, because a mark without a letter must be
    // escaped.
    let mut marks = MAX_COMBINING_MARKS;
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        // At an edge a blank or line break would be cut by the channel, so there it is marked.
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

/// Invisible characters, our own marks, and the characters that Telegram silently drops (`U+030A`, `U+0333`
/// and `U+033F`: `clean_input_string` in TDLib).
fn must_escape(character: char) -> bool {
    matches!(character, '⟨' | '⏎' | '⇥' | '␠' | '\u{30a}' | '\u{333}' | '\u{33f}') || is_invisible(character)
}

fn write_string(string: StringToken<'_>, shown: &mut String) {
    let lines = if string.is_key { None } else { multiline_text(string.spelled) };
    let Some(lines) = lines else {
        shown.push_str(EscapedText::line(&unescape_string(string.spelled)).as_str());
        return;
    };
    // The blank or line break before the block is no longer needed.
    shown.truncate(shown.trim_end().len());
    for line in lines.split('\n') {
        push_new_line(shown, string.depth + 1);
        shown.push_str(EscapedText::prefixed("│ ", line).as_str());
    }
}

/// The text of a JSON string with several lines.
fn multiline_text(spelled: &str) -> Option<String> {
    // Without an escape there is no line break, which spares the parsing.
    if !spelled.contains('\\') {
        return None;
    }
    let text: String = serde_json::from_str(spelled).ok()?;
    text.contains('\n').then_some(text)
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
    fn blanks_that_a_channel_would_cut_are_marked() {
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

    fn shown_json(json: &str) -> String {
        let value = RawValue::from_string(json.to_owned()).expect("JSON");
        EscapedText::json(&value).as_str().to_owned()
    }

    #[test]
    fn order_numbers_and_doubles_stay() {
        insta::assert_snapshot!(shown_json(r#"{"z":1.10,"a":12345678901234567890123,"a":[true,null,{}]}"#), @r#"
        {
          "z": 1.10,
          "a": 12345678901234567890123,
          "a": [
            true,
            null,
            {}
          ]
        }
        "#);
    }

    #[test]
    fn json_in_a_text_is_shown_as_json() {
        let value = RawValue::from_string(
            serde_json::json!({"patch": [{"hosts_json": "[\"we\\u00622\",\"a\\nb\"]"}], "x": "JSON in a text: [1]"}).to_string(),
        );
        insta::assert_snapshot!(EscapedText::decoded_json(&value.expect("JSON")).as_str(), @r#"
        {
          "patch": [
            {
              "hosts_json": JSON in a text: [
                "web2",
                  │ a
                  │ b
              ]
            }
          ],
          "x": "JSON in a text: [1]"
        }
        "#);
    }

    #[test]
    fn lines_stand_behind_a_bar_and_forge_no_key() {
        insta::assert_snapshot!(shown_json(r#"{"body":"Hi\n\",\n  \"to\": \"safe\u202e\"\n","k\ney":["x\u000ay"]}"#), @r#"
        {
          "body":
            │ Hi
            │ ",
            │   "to": "safe⟨U+202E⟩"
            │,
          "k\ney": [
              │ x
              │ y
          ]
        }
        "#);
    }
}
