//! Which of the values that a server is given are secrets, as far as names and places tell (guarantee N7).

use std::path::Path;

use super::variables::ExpandedText;
use crate::secret::Secret;

/// The shortest value that is taken for a secret: shorter ones stand in ordinary text by chance.
pub(super) const MIN_SECRET_LENGTH: usize = 8;

/// Variables that tell about the user's session, not secrets.
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

/// What of a variable's value must not come back from the child: each value that was put in, or where one of
/// them is too short to be looked for, the whole. A text that was written out counts when its name sounds
/// like a secret's.
pub(super) fn secrets_in_variable(key: &str, text: &ExpandedText) -> Vec<Secret> {
    let ordinary = |name: &str, value: &Secret| {
        !is_secret_name(key)
            && !is_secret_name(name)
            && (NON_SECRET_VARIABLES.contains(&name)
                || name.starts_with("XDG_")
                || Path::new(value.expose()).is_absolute())
    };
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

/// Whether an argument such as `--api-key` says that the next one is a secret; `--key-file` does not.
pub(super) fn is_secret_flag(flag: &str) -> bool {
    flag.starts_with('-') && flag.rsplit('-').next().is_some_and(is_secret_name)
}

/// The secret in an argument such as `--token=…`, or the password in a URL.
pub(super) fn secret_in_argument(text: &str) -> Option<Secret> {
    let flagged = text.split_once('=').filter(|(flag, _)| is_secret_flag(flag)).map(|(_, value)| value);
    let password = || {
        let (_, after) = text.split_once("://")?;
        let (user, _) = after.split(['/', '?', '#']).next()?.rsplit_once('@')?;
        Some(user.split_once(':')?.1)
    };
    flagged.or_else(password).map(Secret::new)
}

/// Whether a variable of this name holds a secret, as far as names tell.
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
