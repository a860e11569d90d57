//! Requests to the daemon: each is a type with its method and the type of its response.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroize as _;

use super::challenge::Challenge;
use super::failure::FailureKind;
use crate::json::RawJson;
use crate::store_identity::Transcript;

/// A request to the daemon. Each is one struct, and only its own `Response` compiles as an answer.
pub trait Request: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// Its name on the socket, unique among all requests.
    const METHOD: &'static str;

    /// The daemon's answer.
    type Response: Response;

    /// The challenge of the request, if a person must confirm it.
    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        None
    }

    /// The passphrase that it sets, if it sets one.
    fn new_passphrase_mut(&mut self) -> Option<&mut Challenge> {
        None
    }
}

/// The daemon's answer to a [`Request`].
pub trait Response: Serialize + DeserializeOwned + Debug + Send + Sync + 'static {
    /// The failure that replaces a response that can't be sent, for example because it is too long. It must
    /// say that the act was done.
    fn describe_lost(&self) -> (FailureKind, String) {
        (FailureKind::Internal, "it was done, but the answer could not be sent".to_owned())
    }
}

impl Response for () {}
impl Response for bool {}
impl Response for u64 {}
impl Response for RawJson {}
impl<T: Response> Response for Vec<T> {}
impl<T: Response> Response for Option<T> {}

impl<T: Response> Response for Box<T> {
    fn describe_lost(&self) -> (FailureKind, String) {
        (**self).describe_lost()
    }
}

/// Whether this request needs the key of what is encrypted under the passphrase.
pub(super) fn opens_authenticator<R: Request>(request: &mut R) -> bool {
    request.new_passphrase_mut().is_some()
        || request.challenge_mut().is_some_and(|challenge| challenge.code.is_some())
}

/// The input of a passphrase's proof: the method and the params without the proof, on this connection.
///
/// # Errors
/// If the params can't be expressed in JSON.
pub(super) fn proof_input<R: Request>(
    request: &R,
    transcript: &Transcript,
) -> Result<[u8; 32], serde_json::Error> {
    let mut plain = request.clone();
    if let Some(challenge) = plain.challenge_mut() {
        challenge.clear_proof();
    }
    // The request may hold a secret.
    let text = zeroize::Zeroizing::new(serde_json::to_vec(&(R::METHOD, &plain))?);
    Ok(transcript.digest_with_act(&text))
}

/// A request as received from a peer.
#[derive(Debug, Serialize, Deserialize)]
pub struct RawRequest {
    /// [`Request::METHOD`].
    pub method: String,
    /// The request itself.
    pub params: WipedJson,
}

impl RawRequest {
    /// Parses the request and binds it to this connection, so that its proof counts for this very act only.
    ///
    /// # Errors
    /// If the params don't fit the method.
    pub fn parse<R: Request>(&self, transcript: &Transcript) -> Result<R, serde_json::Error> {
        let mut request: R = serde_json::from_str(self.params.get())?;
        // From the parsed request, not from the received bytes: both sides then serialize the same type, so
        // spelling can't matter.
        let act = proof_input(&request, transcript)?;
        if let Some(challenge) = request.challenge_mut() {
            challenge.bind_act(act);
        }
        Ok(request)
    }
}

/// JSON that may hold a secret. It doesn't print itself, and is wiped when dropped.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct WipedJson(RawJson);

impl WipedJson {
    /// Serializes a value.
    ///
    /// # Errors
    /// If it can't be expressed in JSON, such as a path that isn't UTF-8.
    pub fn new<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(value).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn get(&self) -> &str {
        self.0.get()
    }
}

impl Drop for WipedJson {
    fn drop(&mut self) {
        // A `RawValue` can't be wiped in place, so its text is taken out first.
        let json = std::mem::replace(&mut self.0, RawValue::NULL.to_owned());
        Box::<str>::from(json).zeroize();
    }
}

impl Debug for WipedJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WipedJson(…)")
    }
}
