//! What a request to the daemon is: a type with its method and the type of its response.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroize as _;

use super::challenge::Challenge;
use super::failure::FailureKind;
use crate::json::RawJson;
use crate::store_identity::Transcript;

/// A request to the daemon. One struct a request; its response is what `Response` says, and nothing else compiles.
pub trait Request: Serialize + DeserializeOwned + Clone + Debug + Send + Sync + 'static {
    /// Its name on the socket, unique among all requests.
    const METHOD: &'static str;

    /// What the daemon answers.
    type Response: Response;

    /// What a person confirms it with, where it is such a request.
    fn challenge_mut(&mut self) -> Option<&mut Challenge> {
        None
    }

    /// The passphrase that it sets, where it sets one.
    fn new_passphrase_mut(&mut self) -> Option<&mut Challenge> {
        None
    }
}

/// What the daemon answers to a [`Request`].
pub trait Response: Serialize + DeserializeOwned + Debug + Send + Sync + 'static {
    /// What is told in place of a response that can't be sent, as for its length: it must say that the act was done.
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

/// Whether what is sealed under the passphrase must be opened for this request.
pub(super) fn opens_authenticator<R: Request>(request: &mut R) -> bool {
    request.new_passphrase_mut().is_some()
        || request.challenge_mut().is_some_and(|challenge| challenge.code.is_some())
}

/// What the proof of a passphrase is made over: the method and the params without the proof, on this connection.
///
/// # Errors
/// When the params can't be said in JSON.
pub(super) fn proof_input<R: Request>(
    request: &R,
    transcript: &Transcript,
) -> Result<[u8; 32], serde_json::Error> {
    let mut plain = request.clone();
    if let Some(challenge) = plain.challenge_mut() {
        challenge.clear_proof();
    }
    Ok(transcript.digest_with_act(&serde_json::to_vec(&(R::METHOD, &plain))?))
}

/// A request as it came from a peer.
#[derive(Debug, Serialize, Deserialize)]
pub struct RawRequest {
    /// [`Request::METHOD`].
    pub method: String,
    /// The request itself.
    pub params: WipedJson,
}

impl RawRequest {
    /// The request as its type, bound to this connection: its proof counts for this very act and no other.
    ///
    /// # Errors
    /// When the params are not what the method takes.
    pub fn parse<R: Request>(&self, transcript: &Transcript) -> Result<R, serde_json::Error> {
        let mut request: R = serde_json::from_str(self.params.get())?;
        let act = proof_input(&request, transcript)?;
        if let Some(challenge) = request.challenge_mut() {
            challenge.bind_act(act);
        }
        Ok(request)
    }
}

/// JSON that may hold a secret: it doesn't print itself, and is wiped when dropped.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
pub struct WipedJson(RawJson);

impl WipedJson {
    /// A value as JSON.
    ///
    /// # Errors
    /// When it can't be said in JSON, such as a path that is not UTF-8.
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
        let json = std::mem::replace(&mut self.0, RawValue::NULL.to_owned());
        Box::<str>::from(json).zeroize();
    }
}

impl Debug for WipedJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("WipedJson(…)")
    }
}
