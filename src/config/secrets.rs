//! Finds the secrets among the values that a server gets, by names and places (guarantee N7).

use std::path::Path;

use super::variables::ExpandedText;
use crate::secret::Secret;

/// The shortest value that counts as a secret. Shorter ones occur in ordinary text by chance.
pub(super) const MIN_SECRET_LENGTH: usize = 8;

/// Variables about the user's session, which aren't secrets.
const NON_SECRET_VARIABLES: [&str; 14] = [
    "HOME",
    "USER",
    "LOGNAME",
    "USERNAME",
    "USERPROFILE",
    "PATH",
    "SHELL",
    "PWD",
    "LANG",
    "TMPDIR",
    "TEMP",
    "TMP",
    "HOSTNAME",
    "EDITOR",
];

/// The parts of a variable's value that must not come back from the child: each inserted value, or the whole
/// text if such a value is too short to search for. A literal text counts if the variable's name sounds like a
/// secret's.
pub(super) fn secrets_in_variable(key: &str, text: &ExpandedText) -> Vec<Secret> {
    let ordinary = |name: &str, value: &Secret| {
        !is_secret_name(key)
            && !is_secret_name(name)
            && (NON_SECRET_VARIABLES.contains(&name)
                || name.starts_with("XDG_")
                || Path::new(value.expose()).is_absolute())
    };
    // A literal text in the file. Without a variable only the name, or its shape, can tell that it is secret.
    if text.sources.is_empty() {
        let whole = is_secret_name(key).then(|| text.text.clone());
        return whole.or_else(|| secret_in_argument(text.text.expose())).into_iter().collect();
    }
    let secret = text.sources.iter().filter(|(name, value)| !ordinary(name, value));
    secret
        .map(|(_, value)| {
            let long = value.expose().chars().count() >= MIN_SECRET_LENGTH;
            if long { value.clone() } else { text.text.clone() }
        })
        .collect()
}

/// Whether an argument such as `--api-key` announces a secret in the next one. `--key-file` does not.
pub(super) fn is_secret_flag(flag: &str) -> bool {
    flag.starts_with('-') && flag.rsplit('-').next().is_some_and(is_secret_name)
}

/// The secret in an argument such as `--token=…`, or a URL's password.
pub(super) fn secret_in_argument(text: &str) -> Option<Secret> {
    let flagged = text.split_once('=').filter(|(flag, _)| is_secret_flag(flag)).map(|(_, value)| value);
    let password = || {
        let (_, after) = text.split_once("://")?;
        // From the right, because a password may contain an unescaped `@`.
        let (user, _) = after.split(['/', '?', '#']).next()?.rsplit_once('@')?;
        Some(user.split_once(':')?.1)
    };
    flagged.or_else(password).map(Secret::new)
}

/// Whether a variable's name sounds like a secret's.
pub(super) fn is_secret_name(name: &str) -> bool {
    const SECRET_WORDS: [&str; 12] = [
        "TOKEN",
        "KEY",
        "APIKEY",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASS",
        "PASSPHRASE",
        "PAT",
        "AUTH",
        "CREDENTIAL",
        "CREDENTIALS",
    ];
    name.to_ascii_uppercase().split(['_', '-', '.']).any(|word| SECRET_WORDS.contains(&word))
}
