//! Whether a name sounds like a secret's.

/// Whether a variable's name sounds like a secret's: `API_KEY`, `PGPASSWORD`, `clientSecret`. Where its last word is about
/// something beside the secret, as in `KEY_FILE` and `TOKEN_URL`, it does not.
pub(super) fn is_secret_name(name: &str) -> bool {
    const SECRET_WORDS: [&str; 18] = [
        "TOKEN",
        "KEY",
        "APIKEY",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASS",
        "PASSPHRASE",
        "PAT",
        "PW",
        "PSK",
        "AUTH",
        "JWT",
        "BEARER",
        "COOKIE",
        "CREDS",
        "CREDENTIAL",
        "CREDENTIALS",
    ];
    // Many names have no separator: `PGPASSWORD`, `ACCESSTOKEN`.
    const ENDINGS: [&str; 11] = [
        "TOKEN",
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASSPHRASE",
        "APIKEY",
        "ACCESSKEY",
        "SECRETKEY",
        "PRIVATEKEY",
        "AUTHKEY",
        "CREDENTIALS",
    ];
    const OTHER_SUBJECTS: [&str; 34] = [
        "URL",
        "URI",
        "ENDPOINT",
        "HOST",
        "PORT",
        "DOMAIN",
        "ISSUER",
        "AUDIENCE",
        "SCOPE",
        "SCOPES",
        "FILE",
        "PATH",
        "DIR",
        "NAME",
        "USER",
        "USERNAME",
        "ID",
        "TYPE",
        "METHOD",
        "MODE",
        "PROVIDER",
        "SOURCE",
        "REGION",
        "HEADER",
        "PREFIX",
        "ALGORITHM",
        "TTL",
        "EXPIRY",
        "TIMEOUT",
        "LENGTH",
        "LIMIT",
        "SIZE",
        "COUNT",
        "ENABLED",
    ];
    let words = name_words(name);
    if words.last().is_some_and(|word| OTHER_SUBJECTS.contains(&word.as_str())) {
        return false;
    }
    // `PWD` alone is the working directory.
    let is_pwd = |word: &str| word == "PWD" && words.len() > 1;
    let is_secret = |word: &str| {
        SECRET_WORDS.contains(&word) || is_pwd(word) || ENDINGS.iter().any(|ending| word.ends_with(ending))
    };
    words.iter().any(|word| is_secret(word))
}

/// The words of a name in capitals: split at separators, and where a capital begins a word.
fn name_words(name: &str) -> Vec<String> {
    let letters: Vec<char> = name.chars().collect();
    let mut words = vec![String::new()];
    for (at, letter) in letters.iter().enumerate() {
        if !letter.is_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after = letters.get(at + 1);
        // `clientSecret`, and `APIKey`, where the last capital belongs to the next word.
        let begins = letter.is_uppercase()
            && (before.is_some_and(char::is_lowercase)
                || (before.is_some_and(char::is_uppercase)
                    && after.is_some_and(|after| after.is_lowercase())));
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_uppercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_recognised_in_every_spelling() {
        for name in [
            "TOKEN",
            "API_KEY",
            "api-key",
            "clientSecret",
            "APIKey",
            "ACCESSTOKEN",
            "PGPASSWORD",
            "MYSQL_PWD",
            "GITHUB_PAT",
            "DB.PASS",
            "AWS_SECRET_ACCESS_KEY",
            "--db-password",
            "SSHPASS_PASSPHRASE",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in [
            "PWD",
            "PGHOST",
            "NODE_ENV",
            "KEYBOARD",
            "MONKEY",
            "TOKENIZER",
            "MAX_TOKENS",
            "KEY_FILE",
            "--key-file",
            "TOKEN_URL",
            "clientSecretName",
            "AUTHOR",
            "PATH",
            "COMPASS",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
