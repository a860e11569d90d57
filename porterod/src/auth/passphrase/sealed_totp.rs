//! What is kept of an authenticator, sealed under the passphrase: XChaCha20-Poly1305 with the key that the terminal
//! derives from it, salted. The daemon has that key only while it does what the key was sent for. Whoever reads the store can make no codes from it.

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use constant_time_eq::constant_time_eq;
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use jiff::Timestamp;
use portero::secret::Secret;
use zeroize::Zeroizing;

use super::totp::{CODE_DIGITS, SECRET_LENGTH, matching_step};
use crate::store::authenticator::{AuthenticatorRow, SealedTotp};

/// What begins all that is sealed in this way. An earlier build, which took the key from another derivation, wrote nothing
/// before.
const WAY: &[u8] = b"portero totp 2\0";
/// How many recovery codes there are at first.
const RECOVERY_CODE_COUNT: usize = 8;
/// The characters of one: fifty bits.
const RECOVERY_CODE_LENGTH: usize = 10;

/// The secret of an authenticator and the recovery codes that are left.
#[derive(Clone)]
pub(super) struct TotpContents {
    secret: Zeroizing<[u8; SECRET_LENGTH]>,
    recovery_codes: Vec<Secret>,
}

/// What a typed code is.
pub(super) enum CodeMatch {
    /// The code of this step.
    Step(u64),
    /// A recovery code; the contents no longer hold it.
    RecoveryCode,
    /// Neither.
    NoMatch,
}

impl TotpContents {
    /// A new secret and new recovery codes.
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

    /// The secret in the spelling of authenticator apps.
    pub(super) fn secret(&self) -> Secret {
        Secret::new(BASE32_NOPAD.encode(&*self.secret))
    }

    /// The recovery codes that are left, as they are shown.
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

    /// Finds out what was typed, and takes a recovery code out. Spaces, hyphens and the case do not matter.
    pub(super) fn match_code(&mut self, typed: &Secret, now: Timestamp) -> CodeMatch {
        let mut plain = Zeroizing::new(typed.expose().replace([' ', '-'], ""));
        plain.make_ascii_lowercase();
        if plain.len() == CODE_DIGITS {
            return matching_step(&plain, &self.secret, now).map_or(CodeMatch::NoMatch, CodeMatch::Step);
        }
        let before = self.recovery_codes.len();
        self.recovery_codes.retain(|code| !constant_time_eq(code.expose().as_bytes(), plain.as_bytes()));
        if self.recovery_codes.len() < before { CodeMatch::RecoveryCode } else { CodeMatch::NoMatch }
    }

    /// Seals them under the passphrase that gives this key, for the enrolment of `about`.
    pub(super) fn seal(&self, opens: &Secret, about: &EnrollmentContext) -> Option<SealedTotp> {
        let (salt, nonce) = (rand::random(), rand::random::<[u8; 24]>());
        let mut plain = Zeroizing::new(self.secret.to_vec());
        plain.extend(self.recovery_codes.iter().flat_map(|code| code.expose().bytes()));
        let aad = about.to_aad();
        let sealed =
            derive_cipher(opens, &salt)?.encrypt(&nonce.into(), Payload { msg: &plain, aad: &aad }).ok()?;
        Some(SealedTotp { salt, nonce, text: [WAY, &sealed].concat() })
    }

    /// Whether an earlier build sealed this. It says so by itself: that a given key does not open it shows nothing, since
    /// any terminal may give a wrong one.
    pub(super) fn is_outdated(sealed: &SealedTotp) -> bool {
        !sealed.text.starts_with(WAY)
    }

    /// Opens what is kept; none when it was not sealed under this passphrase, or was changed since.
    pub(super) fn open(row: &AuthenticatorRow, opens: &Secret) -> Option<Self> {
        let SealedTotp { salt, nonce, text } = &row.sealed;
        let aad = EnrollmentContext::from_row(row).to_aad();
        let msg = text.strip_prefix(WAY)?;
        let plain = derive_cipher(opens, salt)?.decrypt(nonce.into(), Payload { msg, aad: &aad });
        let plain = Zeroizing::new(plain.ok()?);
        let (secret, recovery) = plain.split_first_chunk::<SECRET_LENGTH>()?;
        let recovery = recovery.chunks(RECOVERY_CODE_LENGTH).map(std::str::from_utf8).map(|code| {
            let code = code.ok().filter(|code| code.len() == RECOVERY_CODE_LENGTH);
            code.map(Secret::new)
        });
        Some(Self { secret: Zeroizing::new(*secret), recovery_codes: recovery.collect::<Option<_>>()? })
    }
}

/// What stands openly beside what is sealed, and is bound to it: when it was enrolled, and by which process.
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
        bytes.extend(self.enrolled.as_nanosecond().to_be_bytes());
        bytes.extend(self.by.as_bytes());
        bytes
    }
}

fn derive_cipher(opens: &Secret, salt: &[u8; 16]) -> Option<XChaCha20Poly1305> {
    let opens = Zeroizing::new(HEXLOWER.decode(opens.expose().as_bytes()).ok()?);
    let key = blake3::keyed_hash(<&[u8; 32]>::try_from(opens.as_slice()).ok()?, salt);
    Some(XChaCha20Poly1305::new(key.as_bytes().into()))
}
