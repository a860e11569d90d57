//! How a server over HTTP is signed in to: `auth` and `oauth` of its entry.

use std::path::PathBuf;

use super::url::HttpUrl;
use crate::secret::Secret;

/// How a server over HTTP is signed in to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerAuth {
    /// By its `headers` and its address alone.
    None,
    /// By a credential that the configuration gives.
    Static(StaticAuth),
    /// By OAuth 2.1. It is also what an entry means that says nothing: then the server is signed in to once it answers
    /// 401.
    OAuth(Box<OAuthSettings>),
}

impl Default for ServerAuth {
    fn default() -> Self {
        Self::OAuth(Box::default())
    }
}

/// A credential, and the place of a request that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticAuth {
    /// Where it is put.
    pub location: CredentialLocation,
    /// Name of the header in lower case, of the query parameter, or of the member of `_meta`.
    pub name: String,
    /// What is made of it.
    pub format: CredentialFormat,
    /// The credential itself.
    pub credential: Secret,
}

impl StaticAuth {
    /// What is sent: the credential in its format.
    #[must_use]
    pub fn value(&self) -> Secret {
        self.format.apply(&self.credential)
    }

    /// What must not come back from the server (guarantee N7): the credential itself, and in the form that is sent.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        let mut secrets = vec![self.credential.clone()];
        if self.format == CredentialFormat::Basic {
            let value = self.value();
            secrets.push(Secret::new(value.expose().strip_prefix("Basic ").unwrap_or_default()));
            let password = self.credential.expose().split_once(':').map(|(_, password)| password);
            secrets.extend(password.map(Secret::new));
        }
        secrets
    }
}

/// The part of a request that carries a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialLocation {
    /// A header of each request.
    Header,
    /// A parameter of the query of each request.
    Query,
    /// A member of `_meta` in the params of each request and notification. Beside `params` the strict readers of
    /// JSON-RPC refuse it; `_meta` is where MCP lets a client add members.
    Body,
}

impl CredentialLocation {
    /// Every place.
    pub const ALL: [Self; 3] = [Self::Header, Self::Query, Self::Body];

    /// As `mcps.json` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Query => "query",
            Self::Body => "body",
        }
    }
}

/// What is made of a credential before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialFormat {
    /// Nothing.
    Raw,
    /// This text is put before it, with its space: `Bearer `.
    Prefix(String),
    /// It is put where this text says `{credential}`.
    Template(String),
    /// `Basic ` and the credential. Where it is `USER:PASSWORD` it is encoded first (RFC 7617, 2); base64 has no colon.
    Basic,
}

/// The place of the credential in a template.
pub(super) const CREDENTIAL_PLACE: &str = "{credential}";

impl CredentialFormat {
    fn apply(&self, credential: &Secret) -> Secret {
        let credential = credential.expose();
        match self {
            Self::Raw => Secret::new(credential),
            Self::Prefix(prefix) => Secret::new(format!("{prefix}{credential}")),
            Self::Template(template) => Secret::new(template.replace(CREDENTIAL_PLACE, credential)),
            Self::Basic if credential.contains(':') => {
                Secret::new(format!("Basic {}", data_encoding::BASE64.encode(credential.as_bytes())))
            }
            Self::Basic => Secret::new(format!("Basic {credential}")),
        }
    }

    /// As a text that tells formats apart, for digests.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Raw => "raw".to_owned(),
            Self::Prefix(prefix) => format!("prefix {prefix:?}"),
            Self::Template(template) => format!("template {template:?}"),
            Self::Basic => "basic".to_owned(),
        }
    }
}

/// What is known of a login by OAuth before it begins. What is missing is discovered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OAuthSettings {
    /// How tokens are obtained.
    pub grant: OAuthGrant,
    /// The client that was registered at the authorization server beforehand.
    pub client_id: Option<String>,
    /// That client's secret.
    pub client_secret: Option<Secret>,
    /// How the client shows at the token endpoint who it is; none means what the server offers.
    pub token_endpoint_auth_method: Option<TokenEndpointAuthMethod>,
    /// The key that signs for the client, for [`TokenEndpointAuthMethod::PrivateKeyJwt`].
    pub private_key: Option<ClientPrivateKey>,
    /// The scopes to ask for; none means those that the server names.
    pub scopes: Option<Vec<String>>,
    /// The port of the redirect URI; none means any free one.
    pub callback_port: Option<u16>,
    /// The authorization server's metadata document (RFC 8414), in place of the one that the server names.
    pub metadata_url: Option<HttpUrl>,
    /// The client's own metadata document, whose address is its client id.
    pub client_metadata_url: Option<HttpUrl>,
}

/// How tokens are obtained (OAuth 2.1, and RFC 8628).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OAuthGrant {
    /// A person logs in with a browser that comes back to this machine.
    #[default]
    AuthorizationCode,
    /// The client is itself the one that is signed in; no person is asked.
    ClientCredentials,
    /// A person logs in on any device, with a code that is shown here.
    DeviceCode,
}

impl OAuthGrant {
    /// Every grant.
    pub const ALL: [Self; 3] = [Self::AuthorizationCode, Self::ClientCredentials, Self::DeviceCode];

    /// As `mcps.json` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AuthorizationCode => "authorization_code",
            Self::ClientCredentials => "client_credentials",
            Self::DeviceCode => "device_code",
        }
    }
}

/// How a client shows at the token endpoint who it is (RFC 7591, 2; OpenID Connect Core, 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenEndpointAuthMethod {
    /// It doesn't: a public client.
    None,
    /// With its secret, as HTTP Basic.
    ClientSecretBasic,
    /// With its secret, in the body.
    ClientSecretPost,
    /// With a JWT that its private key signed (RFC 7523).
    PrivateKeyJwt,
}

impl TokenEndpointAuthMethod {
    /// Every method.
    pub const ALL: [Self; 4] =
        [Self::None, Self::ClientSecretBasic, Self::ClientSecretPost, Self::PrivateKeyJwt];

    /// As the RFC and `mcps.json` spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ClientSecretBasic => "client_secret_basic",
            Self::ClientSecretPost => "client_secret_post",
            Self::PrivateKeyJwt => "private_key_jwt",
        }
    }
}

/// The private key of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientPrivateKey {
    /// Its file, in PEM.
    pub file: PathBuf,
    /// The algorithm that it signs with.
    pub algorithm: SigningAlgorithm,
}

/// An algorithm that signs a client's JWT (RFC 7518, 3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SigningAlgorithm {
    /// RSA with PKCS #1 v1.5 padding.
    Rs256,
    /// ECDSA on the curve P-256.
    #[default]
    Es256,
}

impl SigningAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Rs256, Self::Es256];

    /// As the RFC and `mcps.json` spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
        }
    }
}

/// The certificate that shows a server who its client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The file of the certificate, followed by its chain, in PEM.
    pub cert_file: PathBuf,
    /// The file of its private key, in PEM and without a passphrase.
    pub key_file: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_sent_in_its_format() {
        let sent = |format: CredentialFormat, credential: &str| {
            format.apply(&Secret::new(credential)).expose().to_owned()
        };
        assert_eq!(sent(CredentialFormat::Raw, "k"), "k");
        assert_eq!(sent(CredentialFormat::Prefix("Bearer ".into()), "k"), "Bearer k");
        assert_eq!(
            sent(CredentialFormat::Template("Token token={credential};".into()), "k"),
            "Token token=k;"
        );
        // The example of RFC 7617, 2.
        assert_eq!(
            sent(CredentialFormat::Basic, "Aladdin:open sesame"),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
        assert_eq!(
            sent(CredentialFormat::Basic, "QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
        );
    }

    #[test]
    fn settings_do_not_print_their_secret() {
        let settings =
            OAuthSettings { client_secret: Some(Secret::new("hunter2")), ..OAuthSettings::default() };
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
