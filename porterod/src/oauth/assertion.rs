//! The JWT by which a client shows who it is, instead of a secret (RFC 7523, 2.2).

use data_encoding::BASE64URL_NOPAD;
use portero::config::{ClientPrivateKey, SigningAlgorithm};
use portero::files::{self, MAX_SMALL_FILE_BYTES, SymlinkMode};
use portero::secret::Secret;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use zeroize::Zeroizing;

use super::error::OAuthError;

/// How long an assertion is valid, in seconds.
const LIFETIME_SECONDS: i64 = 60;

/// The type of the assertion, beside it in the form.
pub(super) const ASSERTION_TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// An assertion for one request, valid from `now`, in seconds since 1970.
///
/// # Errors
/// If the key's file can't be read, or holds no key that fits the algorithm.
pub(super) async fn sign_assertion(
    key: &ClientPrivateKey,
    client_id: &str,
    issuer: &str,
    now: i64,
) -> Result<Secret, OAuthError> {
    let claims = json!({
        "iss": client_id,
        "sub": client_id,
        "aud": issuer,
        "iat": now,
        "exp": now + LIFETIME_SECONDS,
        "jti": BASE64URL_NOPAD.encode(&rand::random::<[u8; 16]>()),
    });
    let header = json!({"alg": key.algorithm.as_str(), "typ": "JWT"});
    let encode = |part: &serde_json::Value| BASE64URL_NOPAD.encode(part.to_string().as_bytes());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = sign(&read_key(key).await?, key.algorithm, signed.as_bytes())
        .ok_or_else(|| unusable(key, "it holds no key for this algorithm"))?;
    Ok(Secret::new(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature))))
}

async fn read_key(key: &ClientPrivateKey) -> Result<PrivateKeyDer<'static>, OAuthError> {
    let path = key.file.clone();
    // The file may be on a drive that hangs.
    let read = files::read_off_thread(&key.file, files::READ_TIMEOUT, move || {
        files::read(&path, MAX_SMALL_FILE_BYTES, SymlinkMode::Follow)
    });
    let read = read.await.map_err(|error| unusable(key, &error.to_string()))?;
    let pem = Zeroizing::new(read.map_err(|error| unusable(key, &error.to_string()))?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|_| unusable(key, "it holds no private key in PEM"))
}

fn sign(key: &PrivateKeyDer<'_>, algorithm: SigningAlgorithm, text: &[u8]) -> Option<Vec<u8>> {
    let random = SystemRandom::new();
    match algorithm {
        SigningAlgorithm::Es256 => {
            let PrivateKeyDer::Pkcs8(key) = key else { return None };
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let key = EcdsaKeyPair::from_pkcs8(algorithm, key.secret_pkcs8_der(), &random).ok()?;
            Some(key.sign(&random, text).ok()?.as_ref().to_vec())
        }
        SigningAlgorithm::Rs256 => {
            let key = match key {
                PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
                PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
                _ => return None,
            };
            let key = key.ok()?;
            let mut signature = vec![0; key.public().modulus_len()];
            key.sign(&RSA_PKCS1_SHA256, &random, text, &mut signature).ok()?;
            Some(signature)
        }
    }
}

fn unusable(key: &ClientPrivateKey, why: &str) -> OAuthError {
    let file = key.file.display();
    OAuthError::Configuration(format!(
        "the private key `{file}` can't be used: {why}; PKCS #8 in PEM always works"
    ))
}
