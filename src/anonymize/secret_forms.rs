//! The texts by which a secret is recognised: whole, trimmed, by line, and in base64 (guarantee N7).
//!
//! A program seldom repeats a key as it was given. It trims it, indents it, ends its lines otherwise, logs it line by
//! line, or encodes it.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD};

use super::rule_proof::MIN_INJECTED_LENGTH;

/// A line of a secret that is shorter occurs in other texts too.
const MIN_LINE_CHARS: usize = 16;
/// The fewest bytes that are searched for in base64. Fewer leave too few letters that the text around can't change.
const MIN_ENCODED_BYTES: usize = 8;
/// A longer secret is searched for in pieces, because a long text is often cut short where it is shown.
const MAX_WHOLE_BYTES: usize = 2 << 10;
/// The length of such a piece.
const PIECE_BYTES: usize = 512;

/// All texts to search for. The first is the secret itself, unless it is too long.
pub(super) fn secret_forms(secret: &str) -> Vec<String> {
    let mut forms = SecretForms::default();
    let lines = text_lines(secret);
    forms.push_whole(secret);
    if secret.trim().chars().count() >= MIN_INJECTED_LENGTH {
        forms.push_whole(secret.trim());
    }
    if lines.len() > 1 {
        for line_end in ["\n", "\r\n", "\\n"] {
            forms.push_whole(&lines.join(line_end));
        }
    }
    let long_lines = || lines.iter().filter(|line| lines.len() > 1 && is_telling_line(line));
    for line in long_lines() {
        forms.push_whole(line);
    }
    for line_end in ["\n", "\r\n"] {
        forms.push_encoded(&lines.join(line_end));
    }
    forms.push_encoded(secret.trim());
    for line in long_lines() {
        forms.push_encoded(line);
    }
    forms.0
}

/// The lines of a text, without blank ones and without blanks around them. `\n` in two characters counts too: keys are
/// often kept in one line that way.
fn text_lines(text: &str) -> Vec<&str> {
    text.split(['\n', '\r'])
        .flat_map(|line| line.split("\\n"))
        .map(|line| line.trim().trim_end_matches("\\r"))
        .filter(|line| !line.is_empty())
        .collect()
}

/// Whether a line alone gives something of the secret away. Every PEM file has the same first and last line.
fn is_telling_line(line: &str) -> bool {
    line.chars().count() >= MIN_LINE_CHARS && !(line.starts_with("-----") && line.ends_with("-----"))
}

#[derive(Default)]
struct SecretForms(Vec<String>);

impl SecretForms {
    fn push(&mut self, form: &str) {
        if !form.is_empty() && self.0.iter().all(|known| known != form) {
            self.0.push(form.to_owned());
        }
    }

    fn push_whole(&mut self, text: &str) {
        for piece in pieces(text) {
            self.push(piece);
        }
    }

    /// The letters of its base64 that don't depend on the text around it, for each of the three places at which it may
    /// begin in a group of three bytes.
    fn push_encoded(&mut self, text: &str) {
        for piece in pieces(text).into_iter().filter(|piece| piece.len() >= MIN_ENCODED_BYTES) {
            for before in 0..3 {
                let bytes = [&[0; 2][..before], piece.as_bytes()].concat();
                // Each letter holds six bits. The first and the last one may share theirs with a neighbour.
                let (start, end) = ((before * 8).div_ceil(6), bytes.len() * 8 / 6);
                for alphabet in [BASE64_NOPAD, BASE64URL_NOPAD] {
                    self.push(&alphabet.encode(&bytes)[start..end]);
                }
            }
        }
    }
}

/// The text itself, or its pieces if it is long.
fn pieces(text: &str) -> Vec<&str> {
    if text.len() <= MAX_WHOLE_BYTES {
        return vec![text];
    }
    let mut pieces = Vec::new();
    let mut rest = text;
    // The last piece takes what is left, so that none is too short to be told from other text.
    while rest.len() >= 2 * PIECE_BYTES {
        // A character has at most four bytes.
        let end = (PIECE_BYTES - 3..=PIECE_BYTES).rev().find(|end| rest.is_char_boundary(*end));
        let (piece, after) = rest.split_at(end.unwrap_or(PIECE_BYTES));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}

#[cfg(test)]
mod tests {
    use data_encoding::{BASE64, BASE64_MIME, BASE64URL};

    use super::*;

    const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASCBKcwggSjAgEAAoIBAQ+/\nshort==\n\
                       -----END PRIVATE KEY-----\n";

    fn is_found(secret: &str, text: &str) -> bool {
        secret_forms(secret).iter().any(|form| text.contains(form.as_str()))
    }

    #[test]
    fn a_key_is_recognised_line_by_line_and_without_the_blanks_around_it() {
        let forms = secret_forms(KEY);
        assert_eq!(forms[0], KEY);
        for form in [KEY.trim(), &KEY.trim().replace('\n', "\r\n"), "MIIEvQIBADANBgkqhkiG9w0BAQ"] {
            assert!(forms.iter().any(|known| known == form), "{form}");
        }
        assert!(!is_found(KEY, "-----BEGIN PRIVATE KEY-----"), "every key begins like that");
        assert!(!is_found(KEY, "short=="), "a short line alone tells little");
        assert!(is_found(&KEY.replace('\n', "\\n"), "x EFAASCBKcwggSjAgEAAoIBAQ+/ y"));
        assert_eq!(secret_forms(" paddedToken123 ")[1], "paddedToken123");
        assert!(is_found("tok-1234\r", "tok-1234"));
    }

    #[test]
    fn base64_is_recognised_wherever_it_begins_and_whatever_surrounds_it() {
        for secret in ["hunter2-and-more>>??", KEY, "12345678"] {
            for before in ["", "x", "yz", "abc", "1234"] {
                for after in ["", "!", "more"] {
                    let text = format!("{before}{secret}{after}");
                    for encoded in [BASE64.encode(text.as_bytes()), BASE64URL.encode(text.as_bytes())] {
                        assert!(is_found(secret, &encoded), "{before:?} {after:?}");
                    }
                }
            }
        }
        let windows = KEY.replace('\n', "\r\n");
        assert!(is_found(KEY, &BASE64.encode(windows.as_bytes())));
        assert!(!is_found("12345678", &BASE64_MIME.encode(b"something else")));
    }

    #[test]
    fn a_long_secret_is_searched_for_in_pieces() {
        let long: String = (0..60_000_u64)
            .map(|number| char::from(b"abcdefghijklmnopqrstuvw"[(number * number % 23) as usize]))
            .collect();
        let forms = secret_forms(&long);
        let longest = forms.iter().map(String::len).max().unwrap_or_default();
        assert!(longest <= MAX_WHOLE_BYTES && forms.len() < 2_000, "{longest} {}", forms.len());
        for start in [0, 700, 30_000, 58_900] {
            assert!(is_found(&long, &long[start..start + 1_100]), "{start}");
        }
        let umlauts = "ü".repeat(3_000);
        assert!(is_found(&umlauts, &umlauts), "no letter is cut in two");
    }
}
