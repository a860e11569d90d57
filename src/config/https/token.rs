//! Which texts are no token: what an example file holds, and what could be guessed.

use std::collections::BTreeSet;

/// How a token is made.
pub(super) const MAKE_TOKEN: &str =
    "make one with `openssl rand -hex 32`, and write what it prints into .env: BEARER_TOKEN=…";

/// The shortest token: 128 bits in hexadecimal digits.
const MIN_TOKEN_LENGTH: usize = 32;
/// The longest token, which fits into a header.
const MAX_TOKEN_LENGTH: usize = 4096;
/// A random token of the shortest length has fewer different characters once in millions.
const MIN_DISTINCT_CHARACTERS: usize = 7;
/// What examples and their users write in place of a token, in lower case.
const PLACEHOLDER_WORDS: [&str; 10] = [
    "your-",
    "your_",
    "yourtoken",
    "changeme",
    "change-me",
    "change_me",
    "replace",
    "placeholder",
    "example",
    "token-here",
];

/// What is wrong with a token, after "the token …"; none if nothing is.
pub(super) fn find_token_problem(token: &str) -> Option<&'static str> {
    let lower = token.to_lowercase();
    if token.contains("$(") || token.contains("${") || token.contains('`') {
        return Some("is a command that was not run");
    }
    if PLACEHOLDER_WORDS.iter().any(|word| lower.contains(word)) || token.starts_with('<') {
        return Some("is a placeholder, not a token");
    }
    // RFC 6750, section 2.1: `b64token`.
    let is_token_character = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if !token.chars().all(is_token_character) {
        return Some("has characters that a bearer token can't have");
    }
    if token.len() < MIN_TOKEN_LENGTH {
        return Some("is too short: it could be guessed");
    }
    if token.len() > MAX_TOKEN_LENGTH {
        return Some("is too long: no header could carry it");
    }
    if token.chars().collect::<BTreeSet<_>>().len() < MIN_DISTINCT_CHARACTERS {
        return Some("repeats a few characters: it could be guessed");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_example_holds_is_no_token() {
        for token in [
            "your-bearer-token-here",
            "$(openssl rand -hex 32)",
            "${BEARER_TOKEN_OF_PRODUCTION_0123456789}",
            "<put a token of thirty-two characters here>",
            "CHANGEME-CHANGEME-CHANGEME-CHANGEME",
            "secret",
            "0000000000000000000000000000000000000000",
            "a token with spaces in it is no bearer token",
        ] {
            assert!(find_token_problem(token).is_some(), "{token}");
        }
    }

    #[test]
    fn what_openssl_prints_is_a_token() {
        for token in [
            "2f7c1b9e0d4a86553c1f0e9b7a2d4c68e1f3a5b7c9d0e2f4061728394a5b6c7d",
            "q0mTm8VfSx7m1D2oH5tWc3bRk9Zp4LqJ6yXeUuNgAaE=",
        ] {
            assert_eq!(find_token_problem(token), None, "{token}");
        }
    }
}
