//! References to secrets: what stands in the configuration in place of a value that only the daemon looks up.
//!
//! A [`Secret`] can hold references between its other text. There each is written between two NUL characters,
//! which no configured text can hold otherwise. A text whose references were not resolved can therefore be
//! sent neither as a header nor as a variable: both refuse the character.

use std::fmt;

use super::Secret;
use crate::names::{NameError, SecretName};

/// What marks a reference within a text.
const MARK: char = '\0';
/// The longest reference, in bytes.
const MAX_REFERENCE_BYTES: usize = 4096;

/// Where a secret is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SecretReference {
    /// The first line of this file: `${file:PATH}`. A relative path starts at the configuration directory, and
    /// `~/` at the user's own.
    File(String),
    /// What this program prints, with its arguments: `${exec:COMMAND ARGS}`. There is at least the program.
    Exec(Vec<String>),
    /// An entry of the system's keyring: `${keyring:SERVICE/ACCOUNT}`.
    Keyring {
        /// The service that it belongs to.
        service: String,
        /// The account at that service.
        account: String,
    },
    /// What a person set with `portero secret set`: `${secret:NAME}`.
    Secret(SecretName),
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The path is missing.
    #[error("`file:` needs a path")]
    NoPath,
    /// The command is missing.
    #[error("`exec:` needs a command")]
    NoCommand,
    /// A quote of the command isn't closed.
    #[error("the command of `exec:` has a quote that is not closed")]
    Quote,
    /// The keyring's entry is incomplete.
    #[error("`keyring:` needs a service and an account, as SERVICE/ACCOUNT")]
    Keyring,
    /// The name of the secret is none.
    #[error("`secret:`: {0}")]
    Name(#[from] NameError),
    /// It is too long.
    #[error("a reference has at most {MAX_REFERENCE_BYTES} bytes")]
    TooLong,
    /// It holds another reference, or a character that can't be typed.
    #[error("a reference holds no `${{` and no control character")]
    Character,
}

impl SecretReference {
    /// Parses the text between `${` and `}`. None if it doesn't begin with one of the four kinds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Result<Self, ReferenceError>> {
        let (kind, place) = text.split_once(':')?;
        // `${file:-x}` is the variable `file` with a default.
        if place.starts_with('-') || !["file", "exec", "keyring", "secret"].contains(&kind) {
            return None;
        }
        Some(Self::parse_kind(kind, place))
    }

    /// Parses `file://PATH` and the like, the spelling of `credential_ref`.
    #[must_use]
    pub fn parse_url(text: &str) -> Option<Result<Self, ReferenceError>> {
        let (kind, place) = text.split_once("://")?;
        ["file", "exec", "keyring", "secret"].contains(&kind).then(|| Self::parse_kind(kind, place))
    }

    /// What [`marked`](Self::marked) wrote. Between two marks a `-` after the colon is no default, since what a
    /// reference names may begin with one: `file://-key`.
    fn parse_marked(text: &str) -> Option<Self> {
        let (kind, place) = text.split_once(':')?;
        Self::parse_kind(kind, place).ok()
    }

    fn parse_kind(kind: &str, place: &str) -> Result<Self, ReferenceError> {
        if place.len() > MAX_REFERENCE_BYTES {
            return Err(ReferenceError::TooLong);
        }
        if place.contains("${") || place.chars().any(char::is_control) {
            return Err(ReferenceError::Character);
        }
        match kind {
            "file" if place.trim().is_empty() => Err(ReferenceError::NoPath),
            "file" => Ok(Self::File(place.to_owned())),
            "exec" => {
                let words = shlex::split(place).ok_or(ReferenceError::Quote)?;
                match words.first() {
                    Some(program) if !program.is_empty() => Ok(Self::Exec(words)),
                    Some(_) | None => Err(ReferenceError::NoCommand),
                }
            }
            "keyring" => match place.rsplit_once('/') {
                Some((service, account)) if !service.is_empty() && !account.is_empty() => {
                    Ok(Self::Keyring { service: service.to_owned(), account: account.to_owned() })
                }
                Some(_) | None => Err(ReferenceError::Keyring),
            },
            _ => Ok(Self::Secret(place.parse()?)),
        }
    }

    /// A text that is this reference and nothing else.
    #[must_use]
    pub fn to_secret(&self) -> Secret {
        Secret::new(self.marked())
    }

    /// The reference as it stands within a [`Secret`].
    #[must_use]
    pub fn marked(&self) -> String {
        let spelled = self.to_string();
        let inner = spelled.strip_prefix("${").and_then(|text| text.strip_suffix('}')).unwrap_or_default();
        format!("{MARK}{inner}{MARK}")
    }
}

/// As the configuration spells it. It names a place, never a value.
impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "${{file:{path}}}"),
            Self::Exec(words) => {
                // Words of a parsed command hold no NUL, the only thing that can't be quoted.
                let words = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
                write!(f, "${{exec:{words}}}")
            }
            Self::Keyring { service, account } => write!(f, "${{keyring:{service}/{account}}}"),
            Self::Secret(name) => write!(f, "${{secret:{name}}}"),
        }
    }
}

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum SecretPart<'a> {
    /// Plain text.
    Text(&'a str),
    /// What a reference stands for.
    Reference(SecretReference),
}

impl Secret {
    /// Whether something in it must be looked up before it is used.
    #[must_use]
    pub fn has_references(&self) -> bool {
        self.expose().contains(MARK)
    }

    /// Its references, in order.
    pub fn references(&self) -> impl Iterator<Item = SecretReference> {
        self.parts().filter_map(|part| match part {
            SecretPart::Text(_) => None,
            SecretPart::Reference(reference) => Some(reference),
        })
    }

    /// Its text and references, in order.
    pub fn parts(&self) -> impl Iterator<Item = SecretPart<'_>> {
        self.expose().split(MARK).enumerate().filter_map(|(place, part)| {
            // Marks come in pairs, so every second part is a reference.
            if place % 2 == 0 {
                return (!part.is_empty()).then_some(SecretPart::Text(part));
            }
            SecretReference::parse_marked(part).map(SecretPart::Reference)
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> SecretReference {
        SecretReference::parse(text).expect("a kind").expect("a reference")
    }

    #[test]
    fn each_kind_is_read_and_spelled_again() {
        for (text, reference) in [
            ("file:/run/secrets/key", SecretReference::File("/run/secrets/key".into())),
            (
                "exec:op read 'op://Personal/my key'",
                SecretReference::Exec(vec!["op".into(), "read".into(), "op://Personal/my key".into()]),
            ),
            (
                "keyring:https://a.example/maria",
                SecretReference::Keyring { service: "https://a.example".into(), account: "maria".into() },
            ),
            ("secret:github.token", SecretReference::Secret("github.token".parse().expect("a name"))),
        ] {
            assert_eq!(parse(text), reference);
            assert_eq!(reference.to_string(), format!("${{{text}}}"));
            let url = text.replacen(':', "://", 1);
            assert_eq!(SecretReference::parse_url(&url), Some(Ok(reference.clone())));
            let parts = Secret::new(format!("Bearer {}!", reference.marked()));
            let expected =
                [SecretPart::Text("Bearer "), SecretPart::Reference(reference), SecretPart::Text("!")];
            assert_eq!(parts.parts().collect::<Vec<_>>(), expected);
            assert!(parts.has_references() && !Secret::new("Bearer key").has_references());
        }
    }

    #[test]
    fn a_variable_is_no_reference() {
        for text in ["NAME", "file", "file:-x", "secret:-a:b", "other:x", "FILE:/x"] {
            assert_eq!(SecretReference::parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_incomplete_says_what_is_missing() {
        for (text, error) in [
            ("file:", ReferenceError::NoPath),
            ("exec:", ReferenceError::NoCommand),
            ("exec:''", ReferenceError::NoCommand),
            ("exec:op 'read", ReferenceError::Quote),
            ("keyring:service", ReferenceError::Keyring),
            ("keyring:/account", ReferenceError::Keyring),
            ("file:/a\0b", ReferenceError::Character),
            ("file:${HOME", ReferenceError::Character),
        ] {
            assert_eq!(SecretReference::parse(text), Some(Err(error)), "{text}");
        }
        assert!(matches!(SecretReference::parse("secret:a b"), Some(Err(ReferenceError::Name(_)))));
        let long = format!("file:{}", "x".repeat(MAX_REFERENCE_BYTES + 1));
        assert_eq!(SecretReference::parse(&long), Some(Err(ReferenceError::TooLong)));
    }

    #[test]
    fn what_begins_with_a_dash_is_still_a_reference() {
        for url in ["file://-key", "exec://-run", "exec://'-run' -x", "keyring://-service/-account"] {
            let reference = SecretReference::parse_url(url).expect("a kind").expect("a reference");
            assert_eq!(reference.to_secret().references().collect::<Vec<_>>(), [reference], "{url}");
        }
        assert_eq!(parse("exec:\\-").to_secret().references().count(), 1);
    }

    #[test]
    fn the_seeds_of_the_fuzz_target_are_refused_or_read_the_same() {
        let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds/references");
        let mut read = 0;
        for seed in std::fs::read_dir(seeds).expect("the seeds") {
            let text = std::fs::read_to_string(seed.expect("a seed").path()).expect("text");
            for reference in [SecretReference::parse(&text), SecretReference::parse_url(&text)]
                .into_iter()
                .flatten()
                .flatten()
            {
                let within = reference.to_secret();
                assert_eq!(within.references().collect::<Vec<_>>(), [reference], "{text}");
                read += 1;
            }
        }
        assert!(read > 6, "{read} seeds are references");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]

        #[test]
        fn what_is_read_is_spelled_so_that_it_reads_the_same(
            text in "(file|exec|keyring|secret):(//)?[a-z'\" /\\\\$.}é-]{0,30}",
        ) {
            for reference in [SecretReference::parse(&text), SecretReference::parse_url(&text)].into_iter().flatten().flatten() {
                let within = reference.to_secret();
                prop_assert_eq!(within.references().collect::<Vec<_>>(), vec![reference]);
            }
        }
    }
}
