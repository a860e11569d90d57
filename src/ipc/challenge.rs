//! What a person types to widen, and what is shown to a person once. Neither prints itself, and both are
//! wiped when dropped.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::secret::Secret;

/// What lets a person's terminal widen: a second factor that the agent does not have.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Challenge {
    /// The approval passphrase, as typed at the terminal. Left out where there is none: a daemon that knows of no
    /// other factor does not take that for a wrong try.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub passphrase: String,
    /// A code of the authenticator, or a recovery code, for what is [wide](super::Width::Wide).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether the person is asked on Telegram instead. This widens nothing by itself: the daemon makes up a number,
    /// tells it to the terminal ([`Push::Number`](super::Push::Number)), and goes on once it was tapped there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub telegram: bool,
}

impl Challenge {
    /// The passphrase alone.
    pub fn new(passphrase: impl Into<String>) -> Self {
        Self { passphrase: passphrase.into(), code: None, telegram: false }
    }

    /// Nothing typed: the person is asked on Telegram.
    #[must_use]
    pub fn on_telegram() -> Self {
        Self { passphrase: String::new(), code: None, telegram: true }
    }

    /// What was typed, so that it stays wiped wherever it goes: the passphrase, and the code.
    #[must_use]
    pub fn take(mut self) -> (Secret, Option<Secret>) {
        let code = self.code.take().map(Secret::new);
        (Secret::new(std::mem::take(&mut self.passphrase)), code)
    }
}

impl Drop for Challenge {
    fn drop(&mut self) {
        self.passphrase.zeroize();
        self.code.zeroize();
    }
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenge(…)")
    }
}

/// A secret on its way to the terminal device, where a person reads it once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Disclosed(String);

impl Disclosed {
    /// The text itself, for the terminal device and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Secret> for Disclosed {
    fn from(secret: Secret) -> Self {
        Self(secret.expose().to_owned())
    }
}

impl Drop for Disclosed {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Disclosed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disclosed(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_that_knows_the_passphrase_only_does_not_take_a_question_on_telegram_for_a_wrong_one() {
        let sent = serde_json::to_value(Challenge::on_telegram()).unwrap();
        assert_eq!(sent, serde_json::json!({ "telegram": true }), "its `passphrase` is missing, not empty");
        let typed = serde_json::to_value(Challenge::new("correct horse")).unwrap();
        assert_eq!(typed, serde_json::json!({ "passphrase": "correct horse" }), "as ever");
    }

    #[test]
    fn neither_prints_itself() {
        let shown = format!("{:?} {:?}", Challenge::new("correct horse"), Disclosed::from(Secret::new("47")));
        assert_eq!(shown, "Challenge(…) Disclosed(…)");
    }
}
