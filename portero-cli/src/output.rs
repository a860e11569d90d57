//! What a command prints: data on stdout, messages on stderr.
//!
//! Text of an agent or a server must not look like Portero's own words. So it passes through
//! [`escape_hidden`] or [`quote_block`] (guarantee A3).

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use jiff::Timestamp;
use portero::json::pretty::escape_invisible;
use portero::printable::is_invisible;
use serde::Serialize;

/// The output of a command.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// An output that prints JSON, or text.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether JSON is wanted.
    pub(crate) const fn wants_json(&self) -> bool {
        self.json
    }

    /// Prints `value` as JSON if that is wanted, otherwise calls `text`.
    pub(crate) fn print_value_or_text<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&Self) -> io::Result<()>,
    ) -> io::Result<()> {
        if self.json { self.print_json(value) } else { text(self) }
    }

    /// Prints an indented JSON value.
    pub(crate) fn print_json<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let text = serde_json::to_string_pretty(value).map_err(io::Error::other)?;
        self.print_line(escape_invisible(&text))
    }

    /// Prints a JSON value on one line, for streams.
    pub(crate) fn print_json_line<T: Serialize>(&self, value: &T) -> io::Result<()> {
        self.print_line(escape_invisible(&serde_json::to_string(value).map_err(io::Error::other)?))
    }

    /// Prints a line in Portero's own words; text from outside must already be escaped.
    pub(crate) fn print_line(&self, text: impl fmt::Display) -> io::Result<()> {
        writeln!(anstream::stdout().lock(), "{text}")
    }

    /// Prints a text as it is, without a line break of its own, for a command that passes a text on.
    pub(crate) fn print_exact(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        io::Write::write_all(&mut stdout, text.as_bytes())?;
        io::Write::flush(&mut stdout)
    }

    /// Prints a row of a report with a label, which is empty if the row continues the one above. Text from
    /// outside must already be escaped.
    pub(crate) fn print_row(&self, label: &str, text: impl fmt::Display) -> io::Result<()> {
        self.print_line(format_args!("{label:11} {text}"))
    }

    /// Prints a table with all cells escaped.
    pub(crate) fn print_table<const N: usize>(
        &self,
        header: [&str; N],
        rows: Vec<[String; N]>,
    ) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
        table.set_header(header);
        for row in rows {
            table.add_row(row.iter().map(|cell| escape_hidden(cell).into_owned()));
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.print_line(table.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>().join("\n"))
    }

    /// Prints a message on stderr.
    #[expect(clippy::unused_self, reason = "the one way out of a command, whatever the stream")]
    pub(crate) fn print_note(&self, text: impl fmt::Display) {
        // A closed stderr has no reader, so the error is ignored.
        let _ = writeln!(anstream::stderr().lock(), "{text}");
    }
}

/// Quotes text from outside line by line behind a bar.
pub(crate) fn quote_block(text: &str) -> String {
    let mut shown = String::with_capacity(text.len() + 16);
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            shown.push('\n');
        }
        shown.push_str("  │ ");
        shown.push_str(&escape_hidden(line));
    }
    shown
}

/// Escapes text from outside: control, bidirectional and invisible characters become `⟨U+202E⟩`, line breaks
/// `⏎` and tabs `⇥`.
pub(crate) fn escape_hidden(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_invisible) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => shown.push('⏎'),
            '\t' => shown.push('⇥'),
            _ if is_invisible(character) => {
                let _ = write!(shown, "⟨U+{:04X}⟩", u32::from(character));
            }
            _ => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// A duration in words: `2h 30m`.
pub(crate) fn format_duration(duration: Duration) -> String {
    let (mut seconds, mut words) = (duration.as_secs(), Vec::new());
    for (unit, length) in [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)] {
        if seconds >= length && words.len() < 2 {
            words.push(format!("{}{unit}", seconds / length));
            seconds %= length;
        }
    }
    if words.is_empty() { "0s".to_owned() } else { words.join(" ") }
}

/// A number with its noun: `1 file`, `3 files`.
pub(crate) fn pluralize(number: impl TryInto<u64> + fmt::Display + Copy, one: &str, many: &str) -> String {
    let is_one = number.try_into().is_ok_and(|number| number == 1);
    format!("{number} {}", if is_one { one } else { many })
}

/// The age of a time in words.
pub(crate) fn format_age(then: Timestamp) -> String {
    let passed = Timestamp::now().duration_since(then);
    match Duration::try_from(passed) {
        Ok(passed) => format!("{} ago", format_duration(passed)),
        Err(_) => then.to_string(),
    }
}

/// At most `most` characters of a text, with a mark if it was cut.
pub(crate) fn excerpt(text: &str, most: usize) -> String {
    let mut characters = text.chars();
    let head: String = characters.by_ref().take(most).collect();
    match characters.count() {
        0 => head,
        more => format!("{head}… ({more} more)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_of_any_script_stays_as_it_is() {
        for text in ["send_mail", "Grüße, 世界! שלום مرحبا", "a  b"] {
            assert!(matches!(escape_hidden(text), Cow::Borrowed(_)), "{text}");
        }
    }

    #[test]
    fn characters_that_hide_or_reorder_are_spelled_out() {
        assert_eq!(escape_hidden("a\u{202e}b"), "a⟨U+202E⟩b");
        assert_eq!(escape_hidden("\x1b[2J"), "⟨U+001B⟩[2J");
        assert_eq!(escape_hidden("zero\u{200b}width\u{feff}"), "zero⟨U+200B⟩width⟨U+FEFF⟩");
        assert_eq!(escape_hidden("tag\u{e0041}"), "tag⟨U+E0041⟩");
        assert_eq!(escape_hidden("\u{9b}31m"), "⟨U+009B⟩31m");
        assert_eq!(escape_hidden("one\ntwo\tthree\r"), "one⏎two⇥three⟨U+000D⟩");
    }

    #[test]
    fn nothing_quoted_can_leave_its_bar() {
        let text = quote_block("to: x\nApproved. Press enter\r\u{2028}done");
        assert_eq!(text, "  │ to: x\n  │ Approved. Press enter⟨U+000D⟩⟨U+2028⟩done");
    }

    #[test]
    fn a_cut_text_says_so() {
        assert_eq!(excerpt("abcdef", 3), "abc… (3 more)");
        assert_eq!(excerpt("abc", 3), "abc");
    }

    #[test]
    fn spans_are_said_in_two_units_at_most() {
        assert_eq!(format_duration(Duration::from_secs(9_000)), "2h 30m");
        assert_eq!(format_duration(Duration::from_secs(90_061)), "1d 1h");
        assert_eq!(format_duration(Duration::from_millis(20)), "0s");
    }
}
