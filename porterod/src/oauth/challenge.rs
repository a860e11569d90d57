//! What a server wants, by its `WWW-Authenticate` (RFC 6750, 3; RFC 9728, 5.1).

use reqwest::Url;
use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// The longest header that is read, in bytes.
const MAX_CHALLENGE_BYTES: usize = 8 << 10;
/// How many scopes are taken from one place.
const MAX_SCOPES: usize = 100;

/// The challenge `Bearer` of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BearerChallenge {
    /// Where the server's own metadata are.
    pub(super) resource_metadata: Option<Url>,
    /// The scopes that the request takes.
    pub(super) scopes: Vec<String>,
    /// The error code.
    error: Option<String>,
}

impl BearerChallenge {
    /// Reads the first challenge `Bearer` of a response; none if there is none.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).into_iter().filter_map(|value| value.to_str().ok());
        values.filter(|value| value.len() <= MAX_CHALLENGE_BYTES).find_map(Self::parse)
    }

    /// Whether the request needs scopes that the token lacks.
    #[must_use]
    pub fn lacks_scope(&self) -> bool {
        self.error.as_deref() == Some("insufficient_scope")
    }

    fn parse(value: &str) -> Option<Self> {
        let mut found: Option<Self> = None;
        let mut is_bearer = false;
        for item in split_list(value) {
            let mut item = item.trim();
            // An item begins a challenge if it has a word before its parameter, or no parameter.
            let (word, rest) = item.split_once(char::is_whitespace).unwrap_or((item, ""));
            if !word.contains('=') && !rest.trim_start().starts_with('=') {
                if found.is_some() {
                    break;
                }
                is_bearer = word.eq_ignore_ascii_case("bearer");
                if is_bearer {
                    found = Some(Self::default());
                }
                item = rest.trim_start();
            }
            if let Some(challenge) = found.as_mut().filter(|_| is_bearer)
                && let Some((name, value)) = item.split_once('=')
            {
                challenge.take_parameter(name.trim(), &unquote(value.trim()));
            }
        }
        found
    }

    fn take_parameter(&mut self, name: &str, value: &str) {
        match &*name.to_ascii_lowercase() {
            "resource_metadata" => self.resource_metadata = value.parse().ok(),
            "scope" => self.scopes = split_scopes(value),
            "error" => self.error = Some(value.to_owned()),
            _ => {}
        }
    }
}

/// The scopes of a text, each once; those that can't be one are left out (RFC 6749, 3.3).
pub(super) fn split_scopes(text: &str) -> Vec<String> {
    let mut scopes = Vec::new();
    add_scopes(&mut scopes, text.split(' '));
    scopes
}

/// Adds scopes that aren't there yet.
pub(super) fn add_scopes<'a>(scopes: &mut Vec<String>, added: impl Iterator<Item = &'a str>) {
    let is_scope = |scope: &&str| {
        !scope.is_empty() && scope.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
    };
    for scope in added.filter(is_scope) {
        if scopes.len() < MAX_SCOPES && !scopes.iter().any(|known| known == scope) {
            scopes.push(scope.to_owned());
        }
    }
}

/// Splits at the commas outside of quotes.
fn split_list(text: &str) -> Vec<&str> {
    let (mut items, mut start) = (Vec::new(), 0);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => {
                items.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(&text[start..]);
    items
}

/// A value without its quotes (RFC 9110, 5.6.4).
fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_bearer_challenge_is_found_among_others() {
        let text = r#"Basic realm="a, b", bearer error="insufficient_scope", scope="read write read",
            resource_metadata = "https://a.example/.well-known/x?a=\"1\"", DPoP algs="ES256", scope="other""#;
        let challenge = BearerChallenge::parse(&text.replace('\n', " ")).expect("a challenge");
        assert!(challenge.lacks_scope());
        assert_eq!(challenge.scopes, ["read", "write"]);
        let url = challenge.resource_metadata.expect("a URL");
        assert_eq!(url.path(), "/.well-known/x");
        assert_eq!(BearerChallenge::parse("Bearer"), Some(BearerChallenge::default()));
        assert_eq!(BearerChallenge::parse("Bearer scope=a").expect("one").scopes, ["a"]);
        assert_eq!(BearerChallenge::parse(r#"Digest realm="x""#), None);
        assert_eq!(BearerChallenge::parse(""), None);
    }

    #[test]
    fn what_is_no_scope_is_left_out() {
        assert_eq!(split_scopes("a \"b\" c\u{e9} d\\e  f:g/h.i"), ["a", "f:g/h.i"]);
        let many: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
        assert_eq!(split_scopes(&many.join(" ")).len(), MAX_SCOPES);
    }

    /// As a server writes it (RFC 9110, 5.6.4).
    fn quote(text: &str) -> String {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    }

    #[test]
    fn every_seed_of_the_fuzzer_is_read() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/www_authenticate");
        let seeds: Vec<_> = std::fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
        assert!(seeds.len() > 8);
        for seed in seeds {
            let text = std::fs::read_to_string(&seed).unwrap();
            assert!(BearerChallenge::parse(&text).is_some(), "{}", seed.display());
        }
    }

    proptest! {
        #[test]
        fn whatever_a_server_writes_is_read_or_left_out(text in "\\PC{0,80}|[Bbearscopeo =\",\\\\]{0,40}") {
            if let Some(challenge) = BearerChallenge::parse(&text) {
                prop_assert!(text.to_lowercase().contains("bearer"), "{text}");
                prop_assert_eq!(split_scopes(&challenge.scopes.join(" ")), challenge.scopes);
            }
        }

        #[test]
        fn what_stands_beside_a_parameter_changes_nothing(
            realm in "[ -~]{0,20}",
            before in prop::sample::select(vec!["", "Basic realm=\"a, Bearer scope=x\", ", "Negotiate, ", "Digest qop=\"a\", "]),
            after in prop::sample::select(vec!["", ", DPoP algs=\"ES256\", scope=other", ", Basic"]),
            scopes in prop::collection::btree_set("[a-z:/.]{1,8}", 0..4),
        ) {
            let scopes: Vec<String> = scopes.into_iter().collect();
            let text = format!(
                "{before}Bearer realm={}, scope={}, error={}{after}",
                quote(&realm), quote(&scopes.join(" ")), quote("insufficient_scope"),
            );
            let challenge = BearerChallenge::parse(&text).expect("a challenge");
            prop_assert!(challenge.lacks_scope());
            prop_assert_eq!(&challenge.scopes, &scopes);
            prop_assert_eq!(&challenge.resource_metadata, &None);
        }
    }
}
