//! The credentials that the configuration gives, as far as they were used. What was begun with one ends when it is taken
//! out of the configuration, or changed there.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use portero::config::{CertificateGrant, ClientCertificates, Config, OidcSettings};
use portero::secret::Secret;
use portero::sync::lock;
use tokio_util::sync::CancellationToken;

/// A credential that the configuration gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ConfiguredCredential {
    /// The token of `.env`, by its digest.
    BearerToken([u8; 32]),
    /// A client certificate of an authority.
    Certificate(PathBuf, CertificateGrant),
    /// All tokens of an issuer: its settings say which count, and for what.
    Issuer(Box<OidcSettings>),
}

impl ConfiguredCredential {
    pub(super) fn of_bearer_token(token: &Secret) -> Self {
        Self::BearerToken(*blake3::hash(token.expose().as_bytes()).as_bytes())
    }

    pub(super) fn of_certificate(known: &ClientCertificates, grant: &CertificateGrant) -> Self {
        Self::Certificate(known.ca_file.clone(), grant.clone())
    }

    fn is_given_by(&self, config: &Config) -> bool {
        let Some(settings) = &config.settings.https else { return false };
        match self {
            Self::BearerToken(_) => {
                settings.bearer_token.as_ref().is_some_and(|token| Self::of_bearer_token(token) == *self)
            }
            Self::Certificate(authority, grant) => settings
                .client_certificates
                .as_ref()
                .is_some_and(|known| known.ca_file == *authority && known.clients.contains(grant)),
            Self::Issuer(issuer) => settings.oidc.as_ref() == Some(&**issuer),
        }
    }
}

/// The credentials that were used, each with what is cancelled when it is taken away.
#[derive(Debug, Default)]
pub(super) struct CredentialsInUse(Mutex<Vec<(ConfiguredCredential, CancellationToken)>>);

impl CredentialsInUse {
    /// What is cancelled when this credential is taken away; none if it is already. `in_force` gives the configuration.
    pub(super) fn revocation_of(
        &self,
        credential: ConfiguredCredential,
        in_force: impl FnOnce() -> Arc<Config>,
    ) -> Option<CancellationToken> {
        let mut in_use = lock(&self.0);
        // Read under the lock. So either this sees the edit that took it away, or `revoke_removed` sees this.
        if !credential.is_given_by(&in_force()) {
            return None;
        }
        if let Some((_, revoked)) = in_use.iter().find(|(known, _)| *known == credential) {
            return Some(revoked.clone());
        }
        let revoked = CancellationToken::new();
        in_use.push((credential, revoked.clone()));
        Some(revoked)
    }

    /// Ends what was begun with credentials that the configuration in force doesn't give.
    pub(super) fn revoke_removed(&self, in_force: impl FnOnce() -> Arc<Config>) {
        let mut in_use = lock(&self.0);
        let config = in_force();
        for (_, revoked) in in_use.extract_if(.., |(credential, _)| !credential.is_given_by(&config)) {
            revoked.cancel();
        }
    }
}
