//! Secrets of an issuer that read like ordinary text.

use portero::secret::Secret;

/// A shorter one may stand in any text, in bytes.
const MIN_SECRET_BYTES: usize = 16;
/// A text without digits and with fewer consonants in a row than this is made of words.
const MIN_UNPRONOUNCEABLE: usize = 5;

/// Whether a secret could stand in what servers say anyway, as a name, a word or an address does. Redacting it would
/// damage their answers, and with a token like `properties` an issuer could blank parts of other servers' definitions. A
/// random text of 128 bits is taken for words once in some thousand times.
pub(super) fn is_common_text(secret: &Secret) -> bool {
    let text = secret.expose();
    let is_vowel = |letter: char| "aeiouy".contains(letter.to_ascii_lowercase());
    let longest_without_vowel =
        text.split(|letter: char| !letter.is_ascii_alphabetic() || is_vowel(letter)).map(str::len).max();
    let is_words = !text.contains(|letter: char| letter.is_ascii_digit())
        && longest_without_vowel.is_none_or(|length| length < MIN_UNPRONOUNCEABLE);
    text.len() < MIN_SECRET_BYTES || text.contains("://") || is_words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_stand_in_any_text_is_common() {
        for common in [
            "properties",
            "inputSchema",
            "structuredContent",
            "additionalProperties",
            "create_pull_request_review",
            "io.modelcontextprotocol/related-task",
            "https://json-schema.org/draft/2020-12/schema",
            "application/json",
            "8xLOxBtZp8",
        ] {
            assert!(is_common_text(&Secret::new(common)), "{common}");
        }
        for secret in [
            "SlxlOBeZQQYbYS6WxSbIA",
            "gho_16C7e42F292c6912E7710c838347Ae178B4a",
            "0123456789abcdef",
            "mF_9.B5f-4.1JqM.mF_9",
            "d4c3b2a1-0000-4000-8000-000000000000",
            "xkcdWrtZpLmQvBnHsGfT",
        ] {
            assert!(!is_common_text(&Secret::new(secret)), "{secret}");
        }
    }
}
