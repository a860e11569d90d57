//! The second factors: passphrase, authenticator, and who decides on Telegram.

use serde::{Deserialize, Serialize};

use crate::ipc::{Challenge, DisclosedSecret, PairingCode, Request, Response};
use crate::passphrase::KdfParams;

impl Response for KdfParams {}
impl Response for DisclosedSecret {}
impl Response for PairingCode {}

/// Set the approval passphrase, or change it with the old one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetPassphrase {
    /// The present one, when there is one.
    pub old: Option<Challenge>,
    /// The new one.
    pub new: Challenge,
}

impl Request for SetPassphrase {
    const METHOD: &'static str = "passphrase/set";
    type Response = ();

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        self.old.as_mut()
    }

    fn new_passphrase_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.new)
    }
}

/// How the passphrase is to be derived; none where none is set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetPassphraseSalt;

impl Request for GetPassphraseSalt {
    const METHOD: &'static str = "passphrase/salt";
    type Response = Option<KdfParams>;
}

/// Offer a new secret for an authenticator, to the one who knows the passphrase. The response is the secret in base
/// 32.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OfferTotp {
    /// The passphrase.
    pub challenge: Challenge,
}

impl Request for OfferTotp {
    const METHOD: &'static str = "totp/offer";
    type Response = DisclosedSecret;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

/// Enrol the authenticator that has the secret which was offered. The response is the recovery codes, told this once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrollTotp {
    /// The passphrase, and a first code.
    pub challenge: Challenge,
}

impl Request for EnrollTotp {
    const METHOD: &'static str = "totp/enroll";
    type Response = Vec<DisclosedSecret>;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

/// Remove the authenticator.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveTotp {
    /// The passphrase, and a code.
    pub challenge: Challenge,
}

impl Request for RemoveTotp {
    const METHOD: &'static str = "totp/remove";
    type Response = ();

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}

/// A code with which a person is paired on Telegram. It makes a door that widens: where a passphrase is set it needs
/// the challenge.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PairTelegram {
    /// The second factor, where one is set.
    pub challenge: Option<Challenge>,
}

impl Request for PairTelegram {
    const METHOD: &'static str = "telegram/pair";
    type Response = PairingCode;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        self.challenge.as_mut()
    }
}

/// End the pairing on Telegram. Another person can be paired then, so it widens. The response is whether a person was
/// paired.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UnpairTelegram {
    /// The second factor.
    pub challenge: Challenge,
}

impl Request for UnpairTelegram {
    const METHOD: &'static str = "telegram/unpair";
    type Response = bool;

    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        Some(&mut self.challenge)
    }
}
