//! Tokens of an issuer: none that wasn't signed with its key passes, whatever header and claims it has.
//!
//! The key's other half is nowhere, so every token must be refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portero::config::{JwtAlgorithm, OidcSettings};
use porterod::oidc::check_token;
use serde_json::json;

fuzz_target!(|token: &str| {
    let settings = OidcSettings {
        issuer: "https://id.example.com".to_owned(),
        audiences: vec!["portero".to_owned()],
        algorithms: JwtAlgorithm::ALL.to_vec(),
        jwks_url: None,
        ca_file: None,
        claims: Vec::new(),
    };
    // The point of RFC 7515, appendix A.3, and the key of RFC 8037, appendix A.2.
    let keys = json!({"keys": [
        {
            "kty": "EC", "crv": "P-256", "kid": "one",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        },
        {"kty": "OKP", "crv": "Ed25519", "kid": "two", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"},
    ]});
    assert!(check_token(token, &settings, &keys, jiff::Timestamp::UNIX_EPOCH).is_err());
});
