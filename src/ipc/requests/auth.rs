//! The second factors: passphrase, authenticator, and the people on Telegram.

use serde::{Deserialize, Serialize};

use crate::ipc::{Challenge, DisclosedSecret, PairingCode, Request, Response};
use crate::passphrase::KdfParams;

impl Response for KdfParams {}
impl Response for DisclosedSecret {}
impl Response for PairingCode {}

/// Set the approval passphrase, or change it with the old one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SetPassphrase {
    /// The present one, if one is set.
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

/// Get the parameters for deriving the passphrase; none if none is set.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GetPassphraseSalt;

impl Request for GetPassphraseSalt {
    const METHOD: &'static str = "passphrase/salt";
    type Response = Option<KdfParams>;
}

/// Offer a new secret for an authenticator. Needs the passphrase. The response is the secret in base 32.
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

/// Enrol the authenticator with the offered secret. The response is the recovery codes, which are shown only
/// once.
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

/// Get a code that pairs a person on Telegram. That person can then widen, so the challenge is needed if a
/// passphrase is set.
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

/// End the pairing on Telegram. Another person can be paired then, so it widens. The response says whether a
/// person was paired.
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
