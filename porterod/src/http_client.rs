//! How the daemon reaches the network: the proxy, and a server's own certificate authorities.

use std::path::Path;

use portero::files::{self, MAX_CONFIG_FILE_BYTES, SymlinkMode};
use portero::secret::Secret;
use reqwest::{Certificate, ClientBuilder, NoProxy, Proxy};
use zeroize::Zeroizing;

/// How the network is reached, from the daemon's environment.
#[derive(Debug, Clone, Default)]
pub struct ProxySettings {
    /// The proxy for `https` addresses, which may name a user and a password.
    pub https: Option<Secret>,
    /// The hosts that are reached without it, as in `NO_PROXY`.
    pub except: Option<String>,
}

impl ProxySettings {
    /// Reads the settings that other programs know, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    #[must_use]
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let first =
            |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        Self {
            https: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]).map(Secret::new),
            except: first(&["NO_PROXY", "no_proxy"]),
        }
    }

    /// A client that goes through this proxy, and through no other that the environment names.
    ///
    /// # Errors
    /// In words, if the proxy is no address.
    pub(crate) fn apply(&self, client: ClientBuilder) -> Result<ClientBuilder, String> {
        let client = client.no_proxy();
        let Some(https) = &self.https else { return Ok(client) };
        // Only for `https`, where the proxy passes on what it can't read.
        let https = Proxy::https(https.expose()).map_err(|_| "HTTPS_PROXY is no address".to_owned())?;
        let except = self.except.as_deref().and_then(NoProxy::from_string);
        Ok(client.proxy(https.no_proxy(except)))
    }
}

/// Adds the certificate authorities of a server's `caFile`.
///
/// # Errors
/// In words, if the file can't be read or holds none.
pub(crate) async fn trust_authorities(client: ClientBuilder, file: &Path) -> Result<ClientBuilder, String> {
    let pem = read_pem("caFile", file).await?;
    let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
    if certificates.is_empty() {
        return Err(unusable("caFile", &"it holds no certificates in PEM"));
    }
    Ok(certificates.into_iter().fold(client, ClientBuilder::add_root_certificate))
}

/// Reads the file that a server's entry names in this field.
///
/// # Errors
/// In words, if it can't be read.
pub(crate) async fn read_pem(field: &str, file: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let path = file.to_owned();
    // The file may be on a drive that hangs.
    let read = files::read_off_thread(file, files::READ_TIMEOUT, move || {
        files::read(&path, MAX_CONFIG_FILE_BYTES, SymlinkMode::Follow)
    });
    let pem = read.await.map_err(|error| unusable(field, &error))?;
    pem.map(Zeroizing::new).map_err(|error| unusable(field, &error))
}

/// Says that what a field of a server's entry names can't be used.
pub(crate) fn unusable(field: &str, why: &dyn std::fmt::Display) -> String {
    format!("its `{field}` can't be used: {why}")
}
