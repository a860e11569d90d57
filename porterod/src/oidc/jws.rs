//! The signature of a token: JWS in the compact form (RFC 7515), checked with *ring*.
//!
//! Only asymmetric algorithms exist here, so neither `none` nor a MAC under a public key can be spelled.

use data_encoding::BASE64URL_NOPAD;
use portero::config::JwtAlgorithm;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm};
use serde_json::{Map, Value};

use super::OidcRefusal;

/// The longest token, in bytes.
pub(super) const MAX_TOKEN_BYTES: usize = 16 << 10;
/// The longest `kid`.
const MAX_KEY_ID_LENGTH: usize = 256;
/// The types of an access token: RFC 9068, section 2.1, and what issuers wrote before it.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// A token whose signature isn't checked yet. Its claims can't be read before that.
pub(super) struct CompactJws<'a> {
    pub(super) key_id: String,
    pub(super) algorithm: JwtAlgorithm,
    signed: &'a str,
    payload: &'a str,
    signature: Vec<u8>,
}

impl<'a> CompactJws<'a> {
    /// Reads the header of a token, whose algorithm must be one of these.
    pub(super) fn parse(token: &'a str, algorithms: &[JwtAlgorithm]) -> Result<Self, OidcRefusal> {
        const NO_JWT: OidcRefusal = OidcRefusal::Invalid("the token is no signed JWT");
        if token.len() > MAX_TOKEN_BYTES {
            return Err(OidcRefusal::Invalid("the token is too long"));
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(NO_JWT)?;
        let (header, payload) = signed.split_once('.').ok_or(NO_JWT)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| NO_JWT);
        let header: Map<String, Value> = serde_json::from_slice(&decode(header)?).map_err(|_| NO_JWT)?;
        let text = |name: &str| header.get(name).and_then(Value::as_str);
        // The algorithms are the configuration's: the token only says which of them it is (RFC 8725, section 3.1).
        let algorithm = text("alg").and_then(|name| algorithms.iter().find(|known| known.name() == name));
        let algorithm = *algorithm.ok_or(OidcRefusal::Invalid("the token's algorithm is not accepted"))?;
        // Nothing critical is known here, so such a token must be refused (RFC 7515, section 4.1.11).
        if header.contains_key("crit") {
            return Err(OidcRefusal::Invalid("the token has critical parameters"));
        }
        if let Some(kind) = header.get("typ") {
            let is_known =
                kind.as_str().is_some_and(|kind| TYPES.contains(&kind.to_ascii_lowercase().as_str()));
            if !is_known {
                return Err(OidcRefusal::Invalid("the token is of another type"));
            }
        }
        let key_id = text("kid").filter(|id| !id.is_empty() && id.len() <= MAX_KEY_ID_LENGTH);
        let key_id = key_id.ok_or(OidcRefusal::Invalid("the token does not name its key"))?.to_owned();
        Ok(Self { key_id, algorithm, signed, payload, signature: decode(signature)? })
    }

    /// The payload, if the signature is right.
    pub(super) fn verify(&self, key: &VerificationKey) -> Result<Vec<u8>, OidcRefusal> {
        if !key.verify(self.algorithm, self.signed.as_bytes(), &self.signature) {
            return Err(OidcRefusal::Invalid("the token's signature is wrong"));
        }
        let payload = BASE64URL_NOPAD.decode(self.payload.as_bytes());
        payload.map_err(|_| OidcRefusal::Invalid("the token is no signed JWT"))
    }
}

/// A public key of the issuer (RFC 7517).
#[derive(Debug, Clone)]
pub(super) struct VerificationKey {
    pub(super) id: String,
    /// The one algorithm that it is for, where the issuer names it.
    algorithm: Option<String>,
    material: KeyMaterial,
}

#[derive(Debug, Clone)]
enum KeyMaterial {
    Rsa { modulus: Vec<u8>, exponent: Vec<u8> },
    P256(Vec<u8>),
    P384(Vec<u8>),
    Ed25519(Vec<u8>),
}

impl VerificationKey {
    /// The key of one entry of `keys`; none for an entry that can't sign a token here.
    pub(super) fn from_jwk(entry: &Value) -> Option<Self> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str);
        let bytes = |name: &str| BASE64URL_NOPAD.decode(text(name)?.as_bytes()).ok();
        if text("use").is_some_and(|purpose| purpose != "sig") {
            return None;
        }
        if let Some(operations) = entry.get("key_ops").and_then(Value::as_array)
            && !operations.iter().any(|operation| operation == "verify")
        {
            return None;
        }
        // An uncompressed point (SEC 1, section 2.3.3).
        let point = |length: usize| {
            let (x, y) = (bytes("x")?, bytes("y")?);
            (x.len() == length && y.len() == length).then(|| [&[4], x.as_slice(), y.as_slice()].concat())
        };
        let material = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                KeyMaterial::Rsa { modulus: unpadded(bytes("n")?), exponent: unpadded(bytes("e")?) }
            }
            ("EC", Some("P-256")) => KeyMaterial::P256(point(32)?),
            ("EC", Some("P-384")) => KeyMaterial::P384(point(48)?),
            ("OKP", Some("Ed25519")) => KeyMaterial::Ed25519(bytes("x")?),
            _ => return None,
        };
        let id = text("kid").filter(|id| id.len() <= MAX_KEY_ID_LENGTH)?.to_owned();
        Some(Self { id, algorithm: text("alg").map(str::to_owned), material })
    }

    /// Whether it may have signed a token with this algorithm.
    pub(super) fn fits(&self, algorithm: JwtAlgorithm) -> bool {
        use JwtAlgorithm::{EdDsa, Es256, Es384, Ps256, Ps384, Ps512, Rs256, Rs384, Rs512};
        let is_kind = match (&self.material, algorithm) {
            (KeyMaterial::Rsa { .. }, Rs256 | Rs384 | Rs512 | Ps256 | Ps384 | Ps512)
            | (KeyMaterial::P256(_), Es256)
            | (KeyMaterial::P384(_), Es384)
            | (KeyMaterial::Ed25519(_), EdDsa) => true,
            (
                KeyMaterial::Rsa { .. }
                | KeyMaterial::P256(_)
                | KeyMaterial::P384(_)
                | KeyMaterial::Ed25519(_),
                _,
            ) => false,
        };
        is_kind && self.algorithm.as_deref().is_none_or(|only| only == algorithm.name())
    }

    fn verify(&self, algorithm: JwtAlgorithm, message: &[u8], signed: &[u8]) -> bool {
        if !self.fits(algorithm) {
            return false;
        }
        let plain = |how: &'static dyn VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(how, key).verify(message, signed).is_ok()
        };
        match &self.material {
            KeyMaterial::P256(point) => plain(&signature::ECDSA_P256_SHA256_FIXED, point),
            KeyMaterial::P384(point) => plain(&signature::ECDSA_P384_SHA384_FIXED, point),
            KeyMaterial::Ed25519(key) => plain(&signature::ED25519, key),
            KeyMaterial::Rsa { modulus, exponent } => {
                let Some(how) = rsa_parameters(algorithm) else { return false };
                RsaPublicKeyComponents { n: modulus, e: exponent }.verify(how, message, signed).is_ok()
            }
        }
    }
}

/// How an RSA signature of this algorithm is checked; keys below 2048 bits are refused (RFC 7518, section 3.3).
const fn rsa_parameters(algorithm: JwtAlgorithm) -> Option<&'static signature::RsaParameters> {
    Some(match algorithm {
        JwtAlgorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
        JwtAlgorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
        JwtAlgorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
        JwtAlgorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
        JwtAlgorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
        JwtAlgorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
        JwtAlgorithm::Es256 | JwtAlgorithm::Es384 | JwtAlgorithm::EdDsa => return None,
    })
}

/// A number without leading zeros, as *ring* takes it.
fn unpadded(mut number: Vec<u8>) -> Vec<u8> {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.drain(..zeros);
    number
}
