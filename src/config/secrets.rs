//! Which of the values that a server is given are secrets, as far as names and places tell (guarantee N7).

use std::path::Path;

use super::variables::Expanded;
use crate::secret::Secret;

/// The shortest value that is taken for a secret: shorter ones stand in ordinary text by chance.
pub(super) const SECRET_LEAST: usize = 8;

/// Variables that tell about the user's session, not secrets.
const ORDINARY: [&str; 14] = [
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
pub(super) fn secrets_of(key: &str, text: &Expanded) -> Vec<Secret> {
    let ordinary = |name: &str, value: &Secret| {
        !sounds_secret(key)
            && !sounds_secret(name)
            && (ORDINARY.contains(&name)
                || name.starts_with("XDG_")
                || Path::new(value.expose()).is_absolute())
    };
    if text.from.is_empty() {
        let whole = sounds_secret(key).then(|| text.text.clone());
        return whole.or_else(|| secret_in(text.text.expose())).into_iter().collect();
    }
    let secret = text.from.iter().filter(|(name, value)| !ordinary(name, value));
    secret
        .map(|(_, value)| {
            let long = value.expose().chars().count() >= SECRET_LEAST;
            if long { value.clone() } else { text.text.clone() }
        })
        .collect()
}

/// Whether an argument such as `--api-key` says that the next one is a secret; `--key-file` does not.
pub(super) fn names_secret(flag: &str) -> bool {
    flag.starts_with('-') && flag.rsplit('-').next().is_some_and(sounds_secret)
}

/// The secret in an argument such as `--token=…`, or the password in a URL.
pub(super) fn secret_in(text: &str) -> Option<Secret> {
    let flagged = text.split_once('=').filter(|(flag, _)| names_secret(flag)).map(|(_, value)| value);
    let password = || {
        let (_, after) = text.split_once("://")?;
        let (user, _) = after.split(['/', '?', '#']).next()?.rsplit_once('@')?;
        Some(user.split_once(':')?.1)
    };
    flagged.or_else(password).map(Secret::new)
}

/// Whether a variable of this name holds a secret, as far as names tell.
pub(super) fn sounds_secret(name: &str) -> bool {
    const WORDS: [&str; 12] = [
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
    name.to_ascii_uppercase().split(['_', '-', '.']).any(|word| WORDS.contains(&word))
}
