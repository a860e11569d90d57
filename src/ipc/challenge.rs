//! What a person gives to widen, and what is shown to a person once. Neither prints itself, and both are wiped when
//! dropped.

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::passphrase::PassphraseVerifier;
use crate::secret::Secret;

/// What lets a person's terminal widen: a second factor that the agent does not have.
///
/// The passphrase stays in the process in which it was typed. [`Client::request`](super::IpcClient::request) puts a proof in its
/// place, which is made for the one act that is asked for, on this connection.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Challenge {
    /// The passphrase as typed. No message holds it.
    #[serde(skip)]
    typed: Option<Secret>,
    /// For which act a proof must be made, as the one that received it knows.
    #[serde(skip)]
    act: Option<[u8; 32]>,
    /// Shows that the passphrase was typed. Left out where none was: a daemon that knows of no other factor does not
    /// take that for a wrong try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
    /// Opens what is sealed under the passphrase, where the act needs that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opens: Option<DisclosedSecret>,
    /// What the daemon keeps of a passphrase that is to be set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verifier: Option<PassphraseVerifier>,
    /// A code of the authenticator, or a recovery code, for an act of [high risk](super::Risk::High).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether the person is asked on Telegram instead. This widens nothing by itself: the daemon makes up a number,
    /// tells it to the terminal ([`Push::Number`](super::PushMessage::Number)), and goes on once it was tapped there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub telegram: bool,
}

/// What a terminal gave in the passphrase's place.
#[derive(Debug, Clone, Default)]
pub struct GivenProof {
    /// For which act it must be.
    pub act: Option<[u8; 32]>,
    /// The proof for that act, if one was given.
    pub proof: Option<String>,
    /// The key of what is sealed under the passphrase, where it was needed.
    pub opens: Option<Secret>,
}

/// A passphrase that is to be set, without the passphrase.
#[derive(Debug, Clone)]
pub struct NewPassphrase {
    /// What is kept.
    pub verifier: PassphraseVerifier,
    /// The key under which an authenticator is sealed from then on.
    pub opens: Secret,
}

impl Challenge {
    /// The passphrase alone.
    pub fn new(passphrase: impl Into<String>) -> Self {
        let mut challenge = Self::default();
        challenge.typed = Some(Secret::new(passphrase));
        challenge
    }

    /// Nothing typed: the person is asked on Telegram.
    #[must_use]
    pub fn on_telegram() -> Self {
        let mut challenge = Self::default();
        challenge.telegram = true;
        challenge
    }

    /// What was given: in the passphrase's place, and the code.
    #[must_use]
    pub fn into_given(mut self) -> (GivenProof, Option<Secret>) {
        let code = self.code.take().map(Secret::new);
        let opens = self.opens.take().map(|opens| Secret::new(opens.expose()));
        (GivenProof { act: self.act, proof: self.proof.take(), opens }, code)
    }

    /// The passphrase that is to be set, where this is one.
    #[must_use]
    pub fn into_new_passphrase(mut self) -> Option<NewPassphrase> {
        let opens = Secret::new(self.opens.take()?.expose());
        Some(NewPassphrase { verifier: self.verifier.take()?, opens })
    }

    pub(super) fn typed_passphrase(&self) -> Option<Secret> {
        self.typed.clone()
    }

    pub(super) fn set_proof(&mut self, proof: String, opens: Option<Secret>) {
        (self.proof, self.opens) = (Some(proof), opens.map(Into::into));
    }

    pub(super) fn set_verifier(&mut self, verifier: PassphraseVerifier, opens: Secret) {
        (self.verifier, self.opens) = (Some(verifier), Some(opens.into()));
    }

    pub(super) fn bind_act(&mut self, act: [u8; 32]) {
        self.act = Some(act);
    }

    /// Without what is made for the act: what the proof is made over.
    pub(super) fn clear_proof(&mut self) {
        (self.typed, self.proof, self.opens) = (None, None, None);
    }
}

impl Drop for Challenge {
    fn drop(&mut self) {
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
pub struct DisclosedSecret(String);

impl DisclosedSecret {
    /// The text itself, for the terminal device and nothing else.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Secret> for DisclosedSecret {
    fn from(secret: Secret) -> Self {
        Self(secret.expose().to_owned())
    }
}

impl Drop for DisclosedSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for DisclosedSecret {
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
        assert_eq!(sent, serde_json::json!({ "telegram": true }), "its `proof` is missing, not empty");
        let typed = serde_json::to_value(Challenge::new("correct horse")).unwrap();
        assert_eq!(typed, serde_json::json!({}), "what was typed is in no message");
    }

    #[test]
    fn neither_prints_itself() {
        let shown =
            format!("{:?} {:?}", Challenge::new("correct horse"), DisclosedSecret::from(Secret::new("47")));
        assert_eq!(shown, "Challenge(…) Disclosed(…)");
    }
}
