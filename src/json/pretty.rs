//! JSON for people: indented, in its own order, and complete.
//!
//! It is read token by token, never into a model. So nothing is lost or misread: no duplicate key, no spelling
//! of a number, no half character.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::{MAX_EMBEDDED_DEPTH, RawJson, parse_embedded};
use crate::printable::is_invisible;

/// A JSON string at its place in the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StringToken<'a> {
    /// The string with its quotes, as it came.
    pub spelled: &'a str,
    /// How many objects and arrays enclose it.
    pub depth: usize,
    /// Whether it is an object's key.
    pub is_key: bool,
}

/// JSON for people: indented, in its own order, numbers as spelled, strings without needless escapes.
#[must_use]
pub fn pretty_print(text: &str) -> String {
    pretty_print_with(text, |string, shown| shown.push_str(&unescape_string(string.spelled)))
}

/// Like [`pretty_print`], but `string` writes the strings.
#[must_use]
pub fn pretty_print_with(text: &str, mut string: impl FnMut(StringToken<'_>, &mut String)) -> String {
    print_at(text, 0, &mut string)
}

/// The words before JSON that was decoded from a string. JSON has no such words outside of its strings, so no string
/// can imitate them.
const EMBEDDED_MARK: &str = "JSON in a text: ";

/// Like [`pretty_print`], but a string that holds an object or a list is written as that, after words that say so.
#[must_use]
pub fn pretty_print_decoded(text: &str) -> String {
    pretty_print_decoded_with(text, |string, shown| shown.push_str(&unescape_string(string.spelled)))
}

/// Like [`pretty_print_decoded`], but `string` writes all other strings.
#[must_use]
pub fn pretty_print_decoded_with(text: &str, mut string: impl FnMut(StringToken<'_>, &mut String)) -> String {
    print_decoded(text, 0, MAX_EMBEDDED_DEPTH, &mut string)
}

/// The object or list that a text holds as JSON. An empty one is left as the text that it is.
#[must_use]
pub fn decode_embedded(text: &str) -> Option<RawJson> {
    let trimmed = text.trim();
    let is_container = trimmed.starts_with(['{', '[']) && !matches!(trimmed, "{}" | "[]");
    if is_container { parse_embedded(text) } else { None }
}

fn print_decoded(
    text: &str,
    depth: usize,
    texts_left: usize,
    string: &mut dyn FnMut(StringToken<'_>, &mut String),
) -> String {
    print_at(text, depth, &mut |token, shown| {
        let is_decoded = !token.is_key && texts_left > 0;
        let words = if is_decoded { serde_json::from_str::<String>(token.spelled).ok() } else { None };
        match words.and_then(|words| decode_embedded(&words)) {
            Some(json) => {
                shown.push_str(EMBEDDED_MARK);
                shown.push_str(&print_decoded(json.get(), token.depth, texts_left - 1, string));
            }
            None => string(token, shown),
        }
    })
}

fn print_at(text: &str, depth: usize, string: &mut dyn FnMut(StringToken<'_>, &mut String)) -> String {
    let mut shown = String::with_capacity(text.len() * 2);
    let mut depth = depth;
    let mut rest = text.trim();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '{' | '[' | '}' | ']' | ',' | ':' => 1,
            _ => rest.find(['"', '{', '[', '}', ']', ',', ':', ' ', '\n', '\t', '\r']).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        rest = after.trim_start();
        match first {
            '"' => {
                string(StringToken { spelled: token, depth, is_key: rest.starts_with(':') }, &mut shown);
            }
            // An empty object or list stays on one line.
            '{' | '[' if rest.starts_with(['}', ']']) => {
                shown.push_str(token);
                shown.push_str(&rest[..1]);
                rest = rest[1..].trim_start();
            }
            '{' | '[' => {
                depth += 1;
                shown.push_str(token);
                push_new_line(&mut shown, depth);
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                push_new_line(&mut shown, depth);
                shown.push_str(token);
            }
            ',' => {
                shown.push_str(token);
                push_new_line(&mut shown, depth);
            }
            ':' => shown.push_str(": "),
            _ => shown.push_str(token),
        }
    }
    shown
}

/// Starts a new line with the indentation for this depth. Beyond a line's width it isn't indented further.
pub fn push_new_line(shown: &mut String, depth: usize) {
    const MAX_INDENT: usize = 40;
    shown.push('\n');
    shown.extend(std::iter::repeat_n("  ", depth.min(MAX_INDENT)));
}

/// The length of the JSON string at the beginning of a text, with its quotes.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A JSON string without needless escapes. Half a character keeps its spelling.
#[must_use]
pub fn unescape_string(string: &str) -> Cow<'_, str> {
    let text = serde_json::from_str::<String>(string);
    text.and_then(|text| serde_json::to_string(&text)).map_or(Cow::Borrowed(string), Cow::Owned)
}

/// The same JSON with every character escaped that a terminal might obey or a reader can't see. Such
/// characters occur only in strings. Line breaks between tokens come from the printer and stay.
#[must_use]
pub fn escape_invisible(json: &str) -> Cow<'_, str> {
    let tame = |character: char| character == '\n' || !is_invisible(character);
    if json.chars().all(tame) {
        return Cow::Borrowed(json);
    }
    let mut shown = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if tame(character) {
            shown.push(character);
        } else {
            // As JSON escapes, so that the shown text is still the same JSON.
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readable_json_shows_what_is_there_and_nothing_else() {
        for (json, shown) in [
            (r#"{"to":"a","to":"b"}"#, "{\n  \"to\": \"a\",\n  \"to\": \"b\"\n}"),
            (
                r#"{"to":{"$serde_json::private::RawValue":"\"friend\""}}"#,
                "{\n  \"to\": {\n    \"$serde_json::private::RawValue\": \"\\\"friend\\\"\"\n  }\n}",
            ),
            (
                r#"{"n":{"$serde_json::private::Number":"5"}}"#,
                "{\n  \"n\": {\n    \"$serde_json::private::Number\": \"5\"\n  }\n}",
            ),
            (
                r#"["\ud800","\u0041",[],{ } , "}{,:\\"]"#,
                "[\n  \"\\ud800\",\n  \"A\",\n  [],\n  {},\n  \"}{,:\\\\\"\n]",
            ),
        ] {
            assert_eq!(pretty_print(json), shown);
        }
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(pretty_print(&deep).chars().filter(|letter| *letter == '[').count(), 100_000);
    }

    #[test]
    fn json_in_a_text_is_decoded_and_said_to_be() {
        let text = serde_json::json!({
            "patch": r#"{"host":"we\u00622","n":1.10,"deep":"[\"a\"]"}"#, "plain": "[bug]", "twice": r#"{"a":1,"a":2}"#,
            "{\"key\":1}": "{}", "mark": "JSON in a text: [1]",
        });
        insta::assert_snapshot!(pretty_print_decoded(&text.to_string()), @r#"
        {
          "patch": JSON in a text: {
            "host": "web2",
            "n": 1.10,
            "deep": JSON in a text: [
              "a"
            ]
          },
          "plain": "[bug]",
          "twice": "{\"a\":1,\"a\":2}",
          "{\"key\":1}": "{}",
          "mark": "JSON in a text: [1]"
        }
        "#);
    }

    #[test]
    fn readable_json_keeps_order_and_numbers() {
        assert_eq!(
            pretty_print(r#"{"z":1.10,"a":12345678901234567890123}"#),
            "{\n  \"z\": 1.10,\n  \"a\": 12345678901234567890123\n}"
        );
    }

    #[test]
    fn json_steers_no_terminal_and_stays_the_same() {
        let value = serde_json::json!({"a\u{202e}": "b\u{9b}31m\u{7f}\u{e0041}\n ü"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = escape_invisible(&text);
        assert_eq!(shown, "{\n  \"a\\u202e\": \"b\\u009b31m\\u007f\\udb40\\udc41\\n ü\"\n}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
