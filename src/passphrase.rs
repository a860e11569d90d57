//! The approval passphrase without the passphrase: how a terminal proves that it was typed, and how the daemon
//! checks that (guarantee A7).
//!
//! The terminal derives an Ed25519 key pair from the passphrase with argon2id, and signs the very act that it
//! requests. The daemon keeps the public key, the salt and the cost. So the passphrase never leaves the
//! terminal, and a signature fits one act on one connection. The stored data, even with recorded signatures,
//! only allows guessing. MariaDB's PARSEC works the same way. With SCRAM (RFC 5802), a stolen verifier and one
//! proof would be enough.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer as _, SigningKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::store_identity::verify_signature;

/// The fewest characters of a passphrase.
pub const MIN_PASSPHRASE_LENGTH: usize = 8;
/// The lowest cost, from OWASP's Password Storage Cheat Sheet for argon2id: 19 MiB, two rounds, one lane.
const MIN_KDF_COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// The highest cost that a terminal computes, whatever it is asked for.
const MAX_KDF_COST: (u32, u32, u32) = (1024 * 1024, 16, 16);
/// The prefix of a stored [`PassphraseVerifier`].
const VERIFIER_PREFIX: &str = "ed25519-argon2id";

/// The parameters of the key derivation: argon2id, version 1.3.
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
    /// A new salt with the present cost.
    #[must_use]
    pub fn fresh() -> Self {
        let (memory, rounds, lanes) = MIN_KDF_COST;
        Self { salt: HEXLOWER.encode(&rand::random::<[u8; 16]>()), memory, rounds, lanes }
    }

    /// Whether the cost is neither too low to protect a passphrase nor absurdly high.
    #[must_use]
    pub fn is_acceptable(&self) -> bool {
        let within = |value, min, max| (min..=max).contains(&value);
        self.salt.len() >= 32
            && within(self.memory, MIN_KDF_COST.0, MAX_KDF_COST.0)
            && within(self.rounds, MIN_KDF_COST.1, MAX_KDF_COST.1)
            && within(self.lanes, MIN_KDF_COST.2, MAX_KDF_COST.2)
    }
}

/// What a daemon stores of a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassphraseVerifier {
    /// How its key is derived.
    pub salted: KdfParams,
    /// The public key, in hex.
    pub key: String,
}

impl PassphraseVerifier {
    /// Whether `proof` was made for this act with the right passphrase.
    #[must_use]
    pub fn verify_proof(&self, act: &[u8; 32], proof: &str) -> bool {
        verify_signature(&self.key, act, proof)
    }

    /// The stored text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let KdfParams { salt, memory, rounds, lanes } = &self.salted;
        format!("{VERIFIER_PREFIX}${memory}${rounds}${lanes}${salt}${}", self.key)
    }

    /// Parses the stored text.
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
        // More parts than expected mean another format, which must not be read as this one.
        next().is_none().then_some(Self { salted: KdfParams { salt, memory, rounds, lanes }, key })
    }
}

/// The keys from a passphrase: one signs acts, the other encrypts the authenticator's secret.
pub struct PassphraseKey {
    key: SigningKey,
    sealing_key: Zeroizing<[u8; 32]>,
}

impl PassphraseKey {
    /// Derives the keys, which takes a while and much memory. `None` if the salt or cost is invalid.
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
        // Two contexts give two independent keys, so that the one that leaves the terminal to decrypt shows
        // nothing about the one that signs.
        let seed = Zeroizing::new(blake3::derive_key("portero 2026-11-29 passphrase proof", hash));
        let opens = blake3::derive_key("portero 2026-11-29 authenticator seal", hash);
        Self { key: SigningKey::from_bytes(&seed), sealing_key: Zeroizing::new(opens) }
    }

    /// The verifier for a daemon. `salted` must be the parameters of this derivation.
    #[must_use]
    pub fn verifier(&self, salted: KdfParams) -> PassphraseVerifier {
        PassphraseVerifier { salted, key: HEXLOWER.encode(self.key.verifying_key().as_bytes()) }
    }

    /// Signs this act, as proof of the passphrase.
    #[must_use]
    pub fn sign_act(&self, act: &[u8; 32]) -> String {
        HEXLOWER.encode(&self.key.sign(act).to_bytes())
    }

    /// The key for what is encrypted under the passphrase, in hex.
    #[must_use]
    pub fn sealing_key(&self) -> Secret {
        Secret::new(HEXLOWER.encode(&*self.sealing_key))
    }
}

/// The keys of a typed passphrase with the parameters of their derivation, to prove several acts with. They are
/// wiped when dropped.
pub struct DerivedPassphrase {
    key: PassphraseKey,
    salted: KdfParams,
}

impl DerivedPassphrase {
    /// Derives the keys, which takes a while and much memory. `None` if the salt or cost is invalid.
    #[must_use]
    pub fn new(passphrase: &Secret, salted: KdfParams) -> Option<Self> {
        PassphraseKey::new(passphrase, &salted).map(|key| Self { key, salted })
    }

    /// The keys, if the daemon still derives with the same parameters. It doesn't once another passphrase was set,
    /// and a proof with the former one would count as a wrong try.
    #[must_use]
    pub fn key_for(&self, salted: &KdfParams) -> Option<&PassphraseKey> {
        (self.salted == *salted).then_some(&self.key)
    }
}

/// A number of three digits for a terminal to show. A person types it in place of a passphrase that their terminal
/// remembers, which shows that what types there also sees the terminal.
#[must_use]
pub fn fresh_terminal_number() -> String {
    rand::random_range(100..1000).to_string()
}

impl std::fmt::Debug for DerivedPassphrase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DerivedPassphrase(…)")
    }
}

impl std::fmt::Debug for PassphraseKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PassphraseKey(…)")
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
    fn kept_keys_are_of_no_use_once_another_passphrase_was_set() {
        let salted = KdfParams::fresh();
        let kept = DerivedPassphrase::new(&Secret::new("correct horse"), salted.clone()).expect("derived");
        let key = kept.key_for(&salted).expect("the same parameters");
        assert!(key.verifier(salted).verify_proof(&ACT, &key.sign_act(&ACT)));
        assert!(kept.key_for(&KdfParams::fresh()).is_none());
        assert_eq!(format!("{kept:?}"), "DerivedPassphrase(…)");
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
