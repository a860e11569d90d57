//! The authenticator's secrets, sealed under the passphrase with XChaCha20-Poly1305. The terminal derives the
//! salted key, and the daemon holds it only during one request. A reader of the store can therefore make no
//! codes.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use constant_time_eq::constant_time_eq;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use jiff::Timestamp;
use portero::secret::Secret;
use zeroize::Zeroizing;

use super::totp::{CODE_DIGITS, SECRET_LENGTH, matching_step};
use crate::store::authenticator::{AuthenticatorRow, SealedTotp};

/// The beginning of every sealed text. An earlier build, which derived the key in another way, wrote none.
const WAY: &[u8] = b"portero totp 2\0";
/// How many recovery codes there are at first.
const RECOVERY_CODE_COUNT: usize = 8;
/// The characters of one recovery code: fifty bits.
const RECOVERY_CODE_LENGTH: usize = 10;

/// The secret of an authenticator and the recovery codes that are left.
#[derive(Clone)]
pub(super) struct TotpContents {
    secret: Zeroizing<[u8; SECRET_LENGTH]>,
    recovery_codes: Vec<Secret>,
}

/// The kind of a typed code.
pub(super) enum CodeMatch {
    /// The code of this step.
    Step(u64),
    /// A recovery code; the contents no longer hold it.
    RecoveryCode,
    /// Neither.
    NoMatch,
}

impl TotpContents {
    /// Makes a new secret and new recovery codes.
    pub(super) fn generate() -> Self {
        let recovery = std::iter::repeat_with(|| {
            let mut code = BASE32_NOPAD.encode(&rand::random::<[u8; 7]>());
            code.make_ascii_lowercase();
            code.truncate(RECOVERY_CODE_LENGTH);
            Secret::new(code)
        });
        Self {
            secret: Zeroizing::new(rand::random()),
            recovery_codes: recovery.take(RECOVERY_CODE_COUNT).collect(),
        }
    }

    /// The secret as authenticator apps spell it.
    pub(super) fn secret(&self) -> Secret {
        Secret::new(BASE32_NOPAD.encode(&*self.secret))
    }

    /// The recovery codes that are left, as a person sees them.
    pub(super) fn recovery_codes(&self) -> Vec<Secret> {
        let shown = |code: &Secret| {
            let (first, second) = code.expose().split_at(RECOVERY_CODE_LENGTH / 2);
            Secret::new(format!("{first}-{second}"))
        };
        self.recovery_codes.iter().map(shown).collect()
    }

    /// How many recovery codes are left.
    pub(super) fn recovery_left(&self) -> u32 {
        u32::try_from(self.recovery_codes.len()).unwrap_or(u32::MAX)
    }

    /// Identifies a typed code, and takes a recovery code out. Spaces, hyphens and case do not matter.
    pub(super) fn match_code(&mut self, typed: &Secret, now: Timestamp) -> CodeMatch {
        let mut plain = Zeroizing::new(typed.expose().replace([' ', '-'], ""));
        plain.make_ascii_lowercase();
        // The length tells the two kinds apart, so a recovery code is never taken for a code of a step.
        if plain.len() == CODE_DIGITS {
            return matching_step(&plain, &self.secret, now).map_or(CodeMatch::NoMatch, CodeMatch::Step);
        }
        let before = self.recovery_codes.len();
        // Every code is compared, and each in constant time, so the time tells nothing about a match.
        self.recovery_codes.retain(|code| !constant_time_eq(code.expose().as_bytes(), plain.as_bytes()));
        if self.recovery_codes.len() < before { CodeMatch::RecoveryCode } else { CodeMatch::NoMatch }
    }

    /// Seals the contents under the passphrase that gives this key, bound to this enrolment.
    pub(super) fn seal(&self, opens: &Secret, about: &EnrollmentContext) -> Option<SealedTotp> {
        let (salt, nonce) = (rand::random(), rand::random::<[u8; 24]>());
        let mut plain = Zeroizing::new(self.secret.to_vec());
        plain.extend(self.recovery_codes.iter().flat_map(|code| code.expose().bytes()));
        let aad = about.to_aad();
        let sealed =
            derive_cipher(opens, &salt)?.encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad }).ok()?;
        Some(SealedTotp { salt, nonce, text: [WAY, &sealed].concat() })
    }

    /// Whether an earlier build sealed this. The text says so itself, because a key that does not open it
    /// proves nothing: a terminal may send a wrong one.
    pub(super) fn is_outdated(sealed: &SealedTotp) -> bool {
        !sealed.text.starts_with(WAY)
    }

    /// Opens the sealed contents; `None` if they were sealed under another passphrase, or changed since.
    pub(super) fn open(row: &AuthenticatorRow, opens: &Secret) -> Option<Self> {
        let SealedTotp { salt, nonce, text } = &row.sealed;
        let aad = EnrollmentContext::from_row(row).to_aad();
        let msg = text.strip_prefix(WAY)?;
        let plain = derive_cipher(opens, salt)?.decrypt(nonce.into(), Payload { msg, aad: &aad });
        let plain = Zeroizing::new(plain.ok()?);
        let (secret, recovery) = plain.split_first_chunk::<SECRET_LENGTH>()?;
        // A store that was changed by hand can hold any length, so each code is checked.
        let recovery = recovery.chunks(RECOVERY_CODE_LENGTH).map(std::str::from_utf8).map(|code| {
            let code = code.ok().filter(|code| code.len() == RECOVERY_CODE_LENGTH);
            code.map(Secret::new)
        });
        Some(Self { secret: Zeroizing::new(*secret), recovery_codes: recovery.collect::<Option<_>>()? })
    }
}

/// The plain facts beside the sealed contents, which the seal authenticates: when it was enrolled, and by
/// which process.
#[derive(Clone)]
pub(super) struct EnrollmentContext {
    pub(super) enrolled: Timestamp,
    pub(super) by: String,
}

impl EnrollmentContext {
    pub(super) fn from_row(row: &AuthenticatorRow) -> Self {
        Self { enrolled: row.enrolled, by: row.by.clone() }
    }

    fn to_aad(&self) -> Vec<u8> {
        let mut bytes = b"portero authenticator 1\0".to_vec();
        // The plain columns are authenticated too: a changed one makes the contents unreadable.
        bytes.extend(self.enrolled.as_nanosecond().to_be_bytes());
        bytes.extend(self.by.as_bytes());
        bytes
    }
}

fn derive_cipher(opens: &Secret, salt: &[u8; 16]) -> Option<XChaCha20Poly1305> {
    let opens = Zeroizing::new(HEXLOWER.decode(opens.expose().as_bytes()).ok()?);
    // A new salt for each seal gives a new key, so a nonce never repeats under one key.
    let key = blake3::keyed_hash(<&[u8; 32]>::try_from(opens.as_slice()).ok()?, salt);
    Some(XChaCha20Poly1305::new(key.as_bytes().into()))
}
