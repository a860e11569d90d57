//! Finds the secrets among the values that a server gets: by declaration, by name, or by shape (guarantee N7).

use super::secret_names::is_secret_name;
use super::secret_shapes::{is_credential_header, is_ordinary_value, secrets_by_shape};
use super::variables::ExpandedText;
use crate::secret::Secret;

/// The shortest value that counts as a secret. Shorter ones occur in ordinary text by chance.
pub const MIN_SECRET_LENGTH: usize = 8;

/// The parts of a variable's value that must not come back from the child. `declared` is what `"secret"` says.
///
/// Without a declaration the name tells, the variable's own or that of a variable in its value, and else the shape.
pub(super) fn secrets_in_variable(key: &str, text: &ExpandedText, declared: Option<bool>) -> Vec<Secret> {
    let is_long = |value: &Secret| value.expose().chars().count() >= MIN_SECRET_LENGTH;
    let mut secrets: Vec<Secret> = Vec::new();
    match declared {
        Some(false) => return secrets,
        // With a reference the daemon blanks what that stands for; the rest alone is no secret.
        Some(true) if text.references.is_empty() => secrets.push(text.text.clone()),
        Some(true) | None => {}
    }
    let is_told = |name: &str, value: &Secret| {
        declared == Some(true)
            || ((is_secret_name(key) || is_secret_name(name)) && !is_ordinary_value(value.expose()))
    };
    for (name, value) in &text.sources {
        match is_told(name, value) {
            true if is_long(value) => secrets.push(value.clone()),
            // Alone it is too short to be found.
            true if text.references.is_empty() => secrets.push(text.text.clone()),
            true => {}
            false => secrets.extend(secrets_by_shape(value.expose()).into_iter().map(Secret::new)),
        }
    }
    if text.references.is_empty() {
        // A literal text in the file. Without a variable only the name, or its shape, can tell that it is secret.
        if text.sources.is_empty() && is_told(key, &text.text) {
            secrets.push(text.text.clone());
        }
        secrets.extend(secrets_by_shape(text.text.expose()).into_iter().map(Secret::new));
    }
    let mut seen: Vec<Secret> = Vec::with_capacity(secrets.len());
    secrets.retain(|secret| {
        let is_new = !seen.contains(secret);
        seen.push(secret.clone());
        is_new
    });
    secrets
}

/// The parts of a header's value that must not come back from the server. `name` is in lower case. Of a
/// credential in the file itself, the scheme before it is no secret.
pub(super) fn secrets_in_header(name: &str, text: &ExpandedText) -> Vec<Secret> {
    let is_credential = is_credential_header(name);
    if !text.sources.is_empty() || !text.references.is_empty() || !is_credential {
        return secrets_in_variable(if is_credential { "AUTH" } else { name }, text, None);
    }
    let value = text.text.expose().trim();
    let credential = value.split_once(' ').map_or(value, |(_scheme, credential)| credential.trim());
    // PagerDuty and others write `Token token=…`.
    let credential = credential.strip_prefix("token=").unwrap_or(credential);
    vec![Secret::new(credential)]
}

/// The secrets among a server's arguments that this one shows. `before` is the argument before it.
pub(super) fn secrets_in_argument(before: Option<&str>, arg: &ExpandedText) -> Vec<Secret> {
    let text = arg.text.expose();
    let told = before.is_some_and(is_secret_flag) && !text.starts_with('-') && !is_ordinary_value(text);
    let flagged =
        text.split_once('=').filter(|(flag, value)| is_secret_flag(flag) && !is_ordinary_value(value));
    let whole = if told { Some(text) } else { flagged.map(|(_, value)| value) };
    let named =
        arg.sources.iter().filter(|(name, value)| is_secret_name(name) && !is_ordinary_value(value.expose()));
    let by_shape = secrets_by_shape(text);
    let secrets = named.map(|(_, value)| value.clone()).chain(whole.map(Secret::new));
    secrets.chain(by_shape.into_iter().map(Secret::new)).collect()
}

/// The secrets in the value of an inherited variable.
pub(super) fn secrets_in_inherited(name: &str, value: String) -> Vec<Secret> {
    if is_secret_name(name) && !is_ordinary_value(&value) {
        return vec![Secret::new(value)];
    }
    secrets_by_shape(&value).into_iter().map(Secret::new).collect()
}

/// The value of a query parameter whose name sounds like a secret's.
pub(super) fn secret_in_query(url: &url::Url) -> Vec<Secret> {
    let secret = url.query_pairs().filter(|(name, _)| is_secret_name(name));
    secret.map(|(_, value)| Secret::new(value)).collect()
}

/// Whether an argument such as `--api-key` announces a secret in the next one. `--key-file` does not.
fn is_secret_flag(flag: &str) -> bool {
    flag.starts_with('-') && is_secret_name(flag)
}
