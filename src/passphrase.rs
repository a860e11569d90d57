//! The approval passphrase without the passphrase: how a terminal shows that it was typed there, and how the daemon
//! checks that (guarantee A7).
//!
//! The terminal derives an Ed25519 key pair from the passphrase with argon2id, and signs the very act that it asks for.
//! The daemon keeps the public half, the salt and the cost. So the passphrase leaves the terminal never, a signature
//! fits one act on one connection, and what the store holds, even with signatures seen on their way, only serves to
//! guess. MariaDB's PARSEC works alike; with SCRAM (RFC 5802) a stolen verifier and one proof would do.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::store_identity::verify_signature;

/// The fewest characters of a passphrase.
pub const MIN_PASSPHRASE_LENGTH: usize = 8;
/// OWASP's Password Storage Cheat Sheet, argon2id: 19 MiB, two rounds, one lane. Nobody may ask for less.
const MIN_KDF_COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// What a terminal computes at the most, whatever it is asked for.
const MAX_KDF_COST: (u32, u32, u32) = (1024 * 1024, 16, 16);
/// Names the text in which a [`PassphraseVerifier`] is kept.
const VERIFIER_PREFIX: &str = "ed25519-argon2id";

/// With what a passphrase is derived: argon2id, version 1.3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KdfParams {
    /// The salt, in hex.
    pub salt: String,
    /// Memory in KiB.
    pub memory: u32,
    /// Rounds.
    pub rounds: u32,
    /// Lanes.
    pub lanes: u32,
}

impl KdfParams {
    /// A new salt, at the present cost.
    #[must_use]
    pub fn fresh() -> Self {
        let (memory, rounds, lanes) = MIN_KDF_COST;
        Self { salt: HEXLOWER.encode(&rand::random::<[u8; 16]>()), memory, rounds, lanes }
    }

    /// Whether it is neither cheaper than what protects a passphrase, nor absurdly dear.
    #[must_use]
    pub fn is_acceptable(&self) -> bool {
        let within = |value, min, max| (min..=max).contains(&value);
        self.salt.len() >= 32
            && within(self.memory, MIN_KDF_COST.0, MAX_KDF_COST.0)
            && within(self.rounds, MIN_KDF_COST.1, MAX_KDF_COST.1)
            && within(self.lanes, MIN_KDF_COST.2, MAX_KDF_COST.2)
    }
}

/// What a daemon keeps of a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseVerifier {
    /// How its key is derived.
    pub salted: KdfParams,
    /// The public key, in hex.
    pub key: String,
}

impl PassphraseVerifier {
    /// Whether `proof` was made for this act by a terminal at which the passphrase was typed.
    #[must_use]
    pub fn verify_proof(&self, act: &[u8; 32], proof: &str) -> bool {
        verify_signature(&self.key, act, proof)
    }

    /// The text in which it is kept.
    #[must_use]
    pub fn to_text(&self) -> String {
        let KdfParams { salt, memory, rounds, lanes } = &self.salted;
        format!("{VERIFIER_PREFIX}${memory}${rounds}${lanes}${salt}${}", self.key)
    }

    /// Reads such a text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let mut parts = text.split('$');
        let mut next = || parts.next();
        if next()? != VERIFIER_PREFIX {
            return None;
        }
        let mut number = || next()?.parse().ok();
        let (memory, rounds, lanes) = (number()?, number()?, number()?);
        let (salt, key) = (next()?.to_owned(), next()?.to_owned());
        next().is_none().then_some(Self { salted: KdfParams { salt, memory, rounds, lanes }, key })
    }
}

/// What a passphrase gives: the key that shows it was typed, and the one under which the authenticator is sealed.
pub struct PassphraseKey {
    key: SigningKey,
    sealing_key: Zeroizing<[u8; 32]>,
}

impl PassphraseKey {
    /// Derives it, which takes a while and much memory. None where the salt or cost is none.
    #[must_use]
    pub fn new(passphrase: &Secret, salted: &KdfParams) -> Option<Self> {
        let salt = HEXLOWER.decode(salted.salt.as_bytes()).ok()?;
        let cost = Params::new(salted.memory, salted.rounds, salted.lanes, Some(32)).ok()?;
        let mut hash = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
            .hash_password_into(passphrase.expose().as_bytes(), &salt, &mut *hash)
            .ok()?;
        Some(Self::from_hash(&hash))
    }

    fn from_hash(hash: &[u8; 32]) -> Self {
        let seed = Zeroizing::new(blake3::derive_key("portero 2026-11-29 passphrase proof", hash));
        let opens = blake3::derive_key("portero 2026-11-29 authenticator seal", hash);
        Self { key: SigningKey::from_bytes(&seed), sealing_key: Zeroizing::new(opens) }
    }

    /// What a daemon keeps of it, where it was derived with this salt and cost.
    #[must_use]
    pub fn verifier(&self, salted: KdfParams) -> PassphraseVerifier {
        PassphraseVerifier { salted, key: HEXLOWER.encode(self.key.verifying_key().as_bytes()) }
    }

    /// Shows for this act that the passphrase was typed.
    #[must_use]
    pub fn sign_act(&self, act: &[u8; 32]) -> String {
        HEXLOWER.encode(&self.key.sign(act).to_bytes())
    }

    /// The key of what is sealed under the passphrase, in hex.
    #[must_use]
    pub fn sealing_key(&self) -> Secret {
        Secret::new(HEXLOWER.encode(&*self.sealing_key))
    }
}

impl std::fmt::Debug for PassphraseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Derived(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACT: [u8; 32] = [7; 32];

    fn derive_key(passphrase: &str, salted: &KdfParams) -> PassphraseKey {
        PassphraseKey::new(&Secret::new(passphrase), salted).expect("derived")
    }

    #[test]
    fn a_proof_fits_its_passphrase_salt_and_act_only() {
        let salted = KdfParams::fresh();
        let right = derive_key("correct horse", &salted);
        let (verifier, proof) = (right.verifier(salted.clone()), right.sign_act(&ACT));
        assert!(verifier.verify_proof(&ACT, &proof));
        assert!(!verifier.verify_proof(&[8; 32], &proof), "another act");
        assert!(!verifier.verify_proof(&ACT, &derive_key("wrong horse", &salted).sign_act(&ACT)));
        assert!(
            !verifier.verify_proof(&ACT, &derive_key("correct horse", &KdfParams::fresh()).sign_act(&ACT))
        );
        assert!(!verifier.verify_proof(&ACT, "") && !verifier.verify_proof(&ACT, &"0".repeat(128)));
        assert_eq!(PassphraseVerifier::from_text(&verifier.to_text()), Some(verifier));
    }

    #[test]
    fn nothing_cheaper_than_the_floor_and_nothing_absurd_is_acceptable() {
        let good = KdfParams::fresh();
        assert!(good.is_acceptable());
        for bad in [
            KdfParams { memory: good.memory - 1, ..good.clone() },
            KdfParams { rounds: 1, ..good.clone() },
            KdfParams { lanes: 0, ..good.clone() },
            KdfParams { salt: String::new(), ..good.clone() },
            KdfParams { memory: u32::MAX, ..good.clone() },
            KdfParams { rounds: u32::MAX, ..good.clone() },
        ] {
            assert!(!bad.is_acceptable(), "{bad:?}");
        }
    }
}
