//! The identity of a daemon's store, and its proof.
//!
//! Every store has an Ed25519 key pair. The private key is derived from the store's random key and never
//! leaves the daemon. The public key is in the seal beside the configuration, and in the confirmed copy. A
//! program that only listens on the socket, or keeps a store of its own, can't sign for the store that a
//! person sealed.

use std::fmt;
use std::path::Path;

use data_encoding::HEXLOWER;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};

/// The length of a store's name, in hex digits.
const STORE_NAME_LENGTH: usize = 32;

/// The identity of a store, as the seal and the confirmed copy record it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreId {
    /// Its name.
    pub name: String,
    /// Its public key, in hex.
    pub key: String,
}

impl StoreId {
    /// Whether this store's daemon signed the transcript.
    #[must_use]
    pub fn verify_signature(&self, transcript: &Transcript, signature: &str) -> bool {
        verify_signature(&self.key, &transcript.0, signature)
    }
}

/// The private key of a store.
pub struct StoreKey {
    id: StoreId,
    key: SigningKey,
}

impl StoreKey {
    /// The key of the store with this random key.
    #[must_use]
    pub fn from_store_key(key: &[u8; 32]) -> Self {
        let name = blake3::keyed_hash(key, b"the store's name").to_hex()[..STORE_NAME_LENGTH].to_owned();
        // Derived, not stored: the store keeps one random key, and each use of it has a context of its own.
        let seed = zeroize::Zeroizing::new(blake3::derive_key("portero 2026-11-29 store identity", key));
        let key = SigningKey::from_bytes(&seed);
        let id = StoreId { name, key: HEXLOWER.encode(key.verifying_key().as_bytes()) };
        Self { id, key }
    }

    /// The public identity.
    #[must_use]
    pub const fn id(&self) -> &StoreId {
        &self.id
    }

    /// Signs a transcript.
    #[must_use]
    pub fn sign(&self, transcript: &Transcript) -> String {
        HEXLOWER.encode(&self.key.sign(&transcript.0).to_bytes())
    }
}

impl fmt::Debug for StoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// 256 random bits, new for each connection.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Nonce(String);

impl Nonce {
    /// A new random nonce.
    #[must_use]
    pub fn fresh() -> Self {
        Self(HEXLOWER.encode(&rand::random::<[u8; 32]>()))
    }
}

/// Everything that both ends of a connection said at its beginning, as one digest. A signature over it fits no
/// other connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transcript([u8; 32]);

/// The contents of a [`Transcript`].
#[derive(Debug, Clone, Copy)]
pub struct Handshake<'a> {
    /// The protocol's version.
    pub protocol: u32,
    /// The client's nonce.
    pub client: &'a Nonce,
    /// The daemon's nonce.
    pub daemon: &'a Nonce,
    /// The daemon's process id. A relayed signature would come from another process.
    pub pid: u32,
    /// The configuration directory that the client named.
    pub config: &'a Path,
    /// The store that the daemon claims to keep.
    pub store: &'a StoreId,
    /// The confirmed configuration, as the daemon claims.
    pub confirmed: &'a str,
}

impl Transcript {
    /// The transcript of one handshake.
    #[must_use]
    pub fn from_handshake(handshake: &Handshake<'_>) -> Self {
        let Handshake { protocol, client, daemon, pid, config, store, confirmed } = handshake;
        Self(digest_parts(
            "portero 2026-11-29 handshake",
            &[
                &protocol.to_be_bytes(),
                client.0.as_bytes(),
                daemon.0.as_bytes(),
                &pid.to_be_bytes(),
                config.as_os_str().as_encoded_bytes(),
                store.name.as_bytes(),
                store.key.as_bytes(),
                confirmed.as_bytes(),
            ],
        ))
    }

    /// The digest to sign for `act` over this connection.
    #[must_use]
    pub fn digest_with_act(&self, act: &[u8]) -> [u8; 32] {
        digest_parts("portero 2026-11-29 act", &[&self.0, act])
    }
}

/// Hashes each part with its length, so that no two lists of parts have the same digest.
fn digest_parts(context: &str, parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key(context);
    for part in parts {
        hasher.update(&(part.len() as u64).to_be_bytes()).update(part);
    }
    *hasher.finalize().as_bytes()
}

/// Whether the key (in hex) made this signature (in hex). Strict: no weak keys, and only one spelling of a
/// signature.
pub(crate) fn verify_signature(key: &str, message: &[u8], signature: &str) -> bool {
    let decoded = |text: &str| HEXLOWER.decode(text.as_bytes()).ok();
    let key = decoded(key).and_then(|key| <[u8; 32]>::try_from(key).ok());
    let signature = decoded(signature).and_then(|signature| <[u8; 64]>::try_from(signature).ok());
    let (Some(key), Some(signature)) = (key, signature) else { return false };
    VerifyingKey::from_bytes(&key)
        .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(&signature)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_fits_its_store_and_its_connection_only() {
        let (store, other) = (StoreKey::from_store_key(&[1; 32]), StoreKey::from_store_key(&[2; 32]));
        let (client, daemon) = (Nonce::fresh(), Nonce::fresh());
        let handshake = Handshake {
            protocol: 4,
            client: &client,
            daemon: &daemon,
            pid: 7,
            config: Path::new("/config"),
            store: store.id(),
            confirmed: "open",
        };
        let transcript = Transcript::from_handshake(&handshake);
        let signature = store.sign(&transcript);
        assert!(store.id().verify_signature(&transcript, &signature));
        assert!(!other.id().verify_signature(&transcript, &signature), "another store");
        let fresh = Nonce::fresh();
        for changed in [
            Handshake { protocol: 5, ..handshake },
            Handshake { client: &fresh, ..handshake },
            Handshake { daemon: &fresh, ..handshake },
            Handshake { pid: 8, ..handshake },
            Handshake { config: Path::new("/other"), ..handshake },
            Handshake { store: other.id(), ..handshake },
            Handshake { confirmed: "unknown", ..handshake },
        ] {
            assert!(
                !store.id().verify_signature(&Transcript::from_handshake(&changed), &signature),
                "{changed:?}"
            );
        }
        for damaged in ["", "00", &signature[2..], &signature.to_uppercase(), &"0".repeat(128)] {
            assert!(!store.id().verify_signature(&transcript, damaged), "{damaged}");
        }
        assert!(
            !StoreId { key: "no key".into(), ..store.id().clone() }.verify_signature(&transcript, &signature)
        );
    }

    #[test]
    fn a_private_key_does_not_print_itself() {
        let shown = format!("{:?}", StoreKey::from_store_key(&[7; 32]));
        assert!(!shown.contains("SigningKey"), "{shown}");
    }
}
