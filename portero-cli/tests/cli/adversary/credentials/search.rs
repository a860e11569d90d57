//! Finds a credential in whatever Portero says or keeps: as itself, encoded, or as a digest that confirms a guess.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// How much of a digest is looked for, in bytes: what is shown of one may be cut.
const DIGEST_BYTES: usize = 8;

/// A credential that must be nowhere.
pub(super) struct Credential {
    /// What it is, for a failed test.
    pub(super) what: &'static str,
    pub(super) value: String,
    /// It is random as a whole, so that its digest confirms no guess.
    pub(super) is_random: bool,
}

impl Credential {
    /// One that a person chose, so that a digest would confirm a guess.
    pub(super) fn chosen(what: &'static str, value: &str) -> Self {
        Self { what, value: value.to_owned(), is_random: false }
    }
}

/// Searches for several credentials at once.
pub(super) struct CredentialSearch {
    forms: Vec<String>,
    automaton: AhoCorasick,
}

impl CredentialSearch {
    pub(super) fn new(credentials: &[Credential]) -> Self {
        let mut forms = Vec::new();
        let mut patterns = Vec::new();
        for credential in credentials {
            for (form, pattern) in encoded_forms(credential.value.as_bytes()) {
                forms.push(format!("{} {form}", credential.what));
                patterns.push(pattern);
            }
            if !credential.is_random {
                for (form, pattern) in digests(credential.value.as_bytes()) {
                    forms.push(format!("{} as {form}", credential.what));
                    patterns.push(pattern);
                }
            }
        }
        Self { forms, automaton: AhoCorasick::new(patterns).expect("a few short patterns") }
    }

    /// What is found in these bytes.
    pub(super) fn traces(&self, bytes: impl AsRef<[u8]>) -> BTreeSet<&str> {
        let found = self.automaton.find_overlapping_iter(bytes.as_ref());
        found.map(|found| self.forms[found.pattern().as_usize()].as_str()).collect()
    }

    /// Fails if a credential is found.
    pub(super) fn assert_none(&self, place: &str, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        let Some(first) = self.automaton.find(bytes) else { return };
        let around = &bytes[first.start().saturating_sub(300)..(first.end() + 40).min(bytes.len())];
        let around = String::from_utf8_lossy(around);
        panic!("{place} shows {:?}, first in {around}", self.traces(bytes));
    }
}

/// The value as itself and in the usual encodings, wherever it stands in a longer text.
fn encoded_forms(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut forms = vec![
        ("as itself".to_owned(), value.to_vec()),
        ("reversed".to_owned(), value.iter().rev().copied().collect()),
        ("in hexadecimal".to_owned(), HEXLOWER.encode(value).into_bytes()),
        ("in large hexadecimal".to_owned(), HEXUPPER.encode(value).into_bytes()),
    ];
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
    if !value.iter().all(is_plain) {
        let escape = |byte: &u8| match is_plain(byte) {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        forms.push(("percent-encoded".to_owned(), value.iter().map(escape).collect::<String>().into_bytes()));
    }
    for before in 0..3 {
        // Only the characters that no byte beside the value takes part in.
        let padded = [&vec![0; before][..], value].concat();
        let (first, end) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        for (name, alphabet) in [("base64", &BASE64_NOPAD), ("base64url", &BASE64URL_NOPAD)] {
            let form = alphabet.encode(&padded)[first..end].to_owned();
            forms.push((format!("in {name} after {before} bytes"), form.into_bytes()));
        }
    }
    forms
}

/// The beginnings of unkeyed digests of the value, in bytes and as text.
fn digests(value: &[u8]) -> Vec<(String, Vec<u8>)> {
    let all = [
        ("SHA-1", Sha1::digest(value).to_vec()),
        ("SHA-256", Sha256::digest(value).to_vec()),
        ("BLAKE3", blake3::hash(value).as_bytes().to_vec()),
    ];
    let mut forms = Vec::new();
    for (name, digest) in all {
        let start = &digest[..DIGEST_BYTES];
        forms.push((name.to_owned(), start.to_vec()));
        forms.push((format!("{name} in hexadecimal"), HEXLOWER.encode(start).into_bytes()));
        forms.push((format!("{name} in large hexadecimal"), HEXUPPER.encode(start).into_bytes()));
        let text = BASE64_NOPAD.encode(&digest)[..DIGEST_BYTES].to_owned();
        forms.push((format!("{name} in base64"), text.into_bytes()));
    }
    forms
}

#[test]
fn a_credential_is_found_in_every_form() {
    let value = "s3cret:of-the-test/1";
    let credentials = [
        Credential::chosen("the key", value),
        Credential { what: "the token", value: "random-0123456789".to_owned(), is_random: true },
    ];
    let search = CredentialSearch::new(&credentials);
    for before in ["", "a", "ab", "abc"] {
        let text = format!("{before}{value}xyz");
        for encoded in [
            text.clone(),
            BASE64_NOPAD.encode(text.as_bytes()),
            BASE64URL_NOPAD.encode(text.as_bytes()),
            HEXLOWER.encode(text.as_bytes()),
            "key=s3cret%3Aof-the-test%2F1&".to_owned(),
            HEXLOWER.encode(blake3::hash(value.as_bytes()).as_bytes()),
            BASE64_NOPAD.encode(&Sha256::digest(value.as_bytes())),
        ] {
            assert!(!search.traces(&encoded).is_empty(), "{encoded}");
        }
    }
    assert!(!search.traces(Sha1::digest(value.as_bytes())).is_empty());
    assert!(!search.traces("Bearer random-0123456789").is_empty());
    let digest = HEXLOWER.encode(blake3::hash(b"random-0123456789").as_bytes());
    assert!(search.traces(digest).is_empty() && search.traces("s3cret:of-another").is_empty());
}
