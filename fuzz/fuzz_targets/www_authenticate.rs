//! `WWW-Authenticate` of any server: it is read or left out, and a lack of scopes is seen only where one is told.

#![no_main]

use libfuzzer_sys::fuzz_target;
use porterod::oauth::BearerChallenge;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

fuzz_target!(|bytes: &[u8]| {
    let mut headers = HeaderMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            headers.append(WWW_AUTHENTICATE, value);
        }
    }
    let Some(challenge) = BearerChallenge::read(&headers) else { return };
    let text = String::from_utf8_lossy(bytes).to_lowercase();
    assert!(text.contains("bearer"));
    assert!(!challenge.lacks_scope() || text.contains("error"));
});
