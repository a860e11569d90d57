//! The factors that a person gives for widening, and secrets that are shown to a person once. Neither prints
//! itself, and both are wiped when dropped.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::passphrase::{DerivedPassphrase, PassphraseVerifier};
use crate::secret::Secret;

/// A second factor that the agent doesn't have, with which a person's terminal widens.
///
/// The passphrase stays in the process where it was typed. [`Client::request`](super::IpcClient::request)
/// replaces it by a proof for the one act that is requested, on this connection.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Challenge {
    /// The passphrase as this process has it. No message holds it.
    #[serde(skip)]
    passphrase: Option<GivenPassphrase>,
    /// The act for which the proof must be made, as its receiver computes it.
    #[serde(skip)]
    act: Option<[u8; 32]>,
    /// The proof that the passphrase was typed. Absent if none was, so that a daemon doesn't count it as a
    /// wrong try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
    /// The key for what is encrypted under the passphrase, if the act needs it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opens: Option<DisclosedSecret>,
    /// The verifier of a passphrase that is being set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verifier: Option<PassphraseVerifier>,
    /// A code of the authenticator, or a recovery code, for an act of [high risk](super::Risk::High).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whether the person is asked on Telegram instead. This alone widens nothing. The daemon invents a
    /// number, sends it to the terminal ([`Push::Number`](super::PushMessage::Number)), and continues once the
    /// person has tapped that number.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub telegram: bool,
}

/// The passphrase in the process where it was typed.
#[derive(Clone)]
pub(super) enum GivenPassphrase {
    /// As it was typed; the key is derived for one act.
    Typed(Secret),
    /// The key that was derived from it, for several acts.
    Derived(Arc<DerivedPassphrase>),
}

/// What a terminal gave in place of the passphrase.
#[derive(Debug, Clone, Default)]
pub struct GivenProof {
    /// The act that the proof must be for.
    pub act: Option<[u8; 32]>,
    /// The proof, if one was given.
    pub proof: Option<String>,
    /// The key for what is encrypted under the passphrase, if it was needed.
    pub opens: Option<Secret>,
}

/// A passphrase that is being set, without the passphrase.
#[derive(Debug, Clone)]
pub struct NewPassphrase {
    /// The verifier to store.
    pub verifier: PassphraseVerifier,
    /// The key under which an authenticator's secret is encrypted from now on.
    pub opens: Secret,
}

impl Challenge {
    /// A challenge with the passphrase alone.
    pub fn new(passphrase: impl Into<String>) -> Self {
        let mut challenge = Self::default();
        challenge.passphrase = Some(GivenPassphrase::Typed(Secret::new(passphrase)));
        challenge
    }

    /// A challenge with the key of a typed passphrase, which proves several acts of this process one by one.
    /// [`IpcClient::derive_challenge`](super::IpcClient::derive_challenge) makes it.
    pub(super) fn with_derived(passphrase: Arc<DerivedPassphrase>) -> Self {
        let mut challenge = Self::default();
        challenge.passphrase = Some(GivenPassphrase::Derived(passphrase));
        challenge
    }

    /// A challenge without anything typed: the person is asked on Telegram.
    #[must_use]
    pub fn on_telegram() -> Self {
        let mut challenge = Self::default();
        challenge.telegram = true;
        challenge
    }

    /// Takes the given factors: what replaces the passphrase, and the code.
    #[must_use]
    pub fn into_given(mut self) -> (GivenProof, Option<Secret>) {
        let code = self.code.take().map(Secret::new);
        let opens = self.opens.take().map(|opens| Secret::new(opens.expose()));
        (GivenProof { act: self.act, proof: self.proof.take(), opens }, code)
    }

    /// Takes the passphrase that is being set, if this is one.
    #[must_use]
    pub fn into_new_passphrase(mut self) -> Option<NewPassphrase> {
        let opens = Secret::new(self.opens.take()?.expose());
        Some(NewPassphrase { verifier: self.verifier.take()?, opens })
    }

    pub(super) fn given_passphrase(&self) -> Option<GivenPassphrase> {
        self.passphrase.clone()
    }

    /// The passphrase as it was typed; none where only its key is known.
    pub(super) fn typed_passphrase(&self) -> Option<Secret> {
        match &self.passphrase {
            Some(GivenPassphrase::Typed(typed)) => Some(typed.clone()),
            Some(GivenPassphrase::Derived(_)) | None => None,
        }
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

    /// Removes everything that is made for the act. The proof is made over the rest.
    pub(super) fn clear_proof(&mut self) {
        (self.passphrase, self.proof, self.opens) = (None, None, None);
    }
}

impl Drop for Challenge {
    fn drop(&mut self) {
        // The other secrets wipe themselves.
        self.code.zeroize();
    }
}

impl std::fmt::Debug for Challenge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Challenge(…)")
    }
}

/// A secret that a person reads once, on the terminal device.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DisclosedSecret(String);

impl DisclosedSecret {
    /// The text, only for the terminal device.
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
        f.write_str("DisclosedSecret(…)")
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
        assert_eq!(shown, "Challenge(…) DisclosedSecret(…)");
    }
}
