//! Shows one line of a file to people, with everything blanked that could be a value.
//!
//! Structure, `true`, `false`, `null` and quoted keys stay. Everything else becomes `…`, also comments.

use std::fmt::Write as _;

/// The most characters of a snippet. Of a file on one line, only the part around the problem is shown.
const MAX_SNIPPET_CHARS: usize = 100;

/// Blanks one line. `is_key` tells whether the text that begins at this byte of the line is a key. `at` is the
/// byte of the problem.
pub(super) fn blank_values(line: &str, at: usize, is_key: impl Fn(usize, &str) -> bool) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut place = 0;
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let start = line.len() - rest.len();
        // The column must be counted in the shown text, in which values are shorter than in the file.
        if start <= at {
            place = shown.chars().count();
        }
        let length = match first {
            '"' => quoted_length(rest),
            '{' | '}' | '[' | ']' | ':' | ',' => 1,
            c if c.is_whitespace() => c.len_utf8(),
            _ if rest.starts_with('/') => rest.len(),
            _ => rest.find(|c: char| c.is_whitespace() || "{}[]:,\"".contains(c)).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '"' if is_key(start, token) => shown.push_str(&escape_for_display(token)),
            '"' => shown.push_str("\"…\""),
            '{' | '}' | '[' | ']' | ':' | ',' => shown.push(first),
            c if c.is_whitespace() => shown.push(' '),
            _ if matches!(token, "true" | "false" | "null") => shown.push_str(token),
            _ => shown.push('…'),
        }
        rest = after;
    }
    cut_around(shown.trim_end(), place)
}

/// The length of the quoted text at the start, or of the whole rest if the quote isn't closed.
fn quoted_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '\\' if !escaped => escaped = true,
            '"' if !escaped => return at + 1,
            _ => escaped = false,
        }
    }
    text.len()
}

fn cut_around(shown: &str, place: usize) -> String {
    let indent = shown.chars().take_while(|c| *c == ' ').count();
    let length = shown.chars().count();
    if length - indent <= MAX_SNIPPET_CHARS {
        return shown.trim_start().to_owned();
    }
    // Centred on the problem, but never beginning in the indentation or ending beyond the line.
    let from = place.saturating_sub(MAX_SNIPPET_CHARS / 2).max(indent).min(length - MAX_SNIPPET_CHARS);
    let part: String = shown.chars().skip(from).take(MAX_SNIPPET_CHARS).collect();
    let before = if from > indent { "… " } else { "" };
    let after = if from + MAX_SNIPPET_CHARS < length { " …" } else { "" };
    format!("{before}{}{after}", part.trim())
}

/// A key or name for people: control, invisible and bidirectional characters escaped, and cut if very long.
pub(super) fn escape_for_display(text: &str) -> String {
    const MAX_NAME_CHARS: usize = 80;
    let mut shown = String::with_capacity(text.len());
    for c in text.chars().take(MAX_NAME_CHARS) {
        let hidden = c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}');
        if hidden {
            write!(shown, "{}", c.escape_unicode()).expect("a String takes everything");
        } else {
            shown.push(c);
        }
    }
    if text.chars().nth(MAX_NAME_CHARS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_comments_and_numbers_are_blanked() {
        let line = r#"  "real": "John \"D\" Doe", "n": 12345, "b": true } // John"#;
        let keys = ["\"real\"", "\"n\"", "\"b\""];
        assert_eq!(
            blank_values(line, 0, |_, token| keys.contains(&token)),
            r#""real": "…", "n": …, "b": true } …"#
        );
        assert_eq!(blank_values(r#""real": "John"#, 0, |_, _| false), r#""…": "…""#);
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let line = format!("{{{}\"here\": 1{}}}", "\"a\": 1, ".repeat(50), ", \"b\": 2".repeat(50));
        let shown = blank_values(&line, line.find("\"here\"").expect("there"), |_, _| true);
        assert!(shown.contains("\"here\": …") && shown.starts_with("… ") && shown.ends_with(" …"), "{shown}");
    }

    proptest! {
        #[test]
        fn no_value_shows(line in r#"[ {}\[\]:,"\\/a-zA-Zé0-9']{0,60}"#, at in 0..60_usize) {
            let shown = blank_values(&line, at, |_, _| false);
            let words = ["true", "false", "null"];
            for word in shown.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
                prop_assert!(words.contains(&word), "{} of {}", word, line);
            }
        }
    }
}
