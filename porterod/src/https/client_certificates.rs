//! The clients that are known by their certificate. Its chain was verified in the TLS handshake.

use std::path::Path;
use std::sync::Arc;

use constant_time_eq::constant_time_eq_32;
use portero::config::{CertificateGrant, CertificateMatch, ClientCertificates};
use portero::files::{self, MAX_CONFIG_FILE_BYTES, SymlinkMode};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::principal::ClientCertificate;

/// The client with this certificate.
pub(super) fn find_principal<'a>(
    known: &'a ClientCertificates,
    certificate: &ClientCertificate,
) -> Option<&'a CertificateGrant> {
    let digest: [u8; 32] = Sha256::digest(certificate.der()).into();
    let common_name = common_name(certificate.der());
    known.clients.iter().find(|grant| match &grant.certificate {
        CertificateMatch::Sha256(known) => constant_time_eq_32(known, &digest),
        CertificateMatch::CommonName(known) => common_name.as_deref() == Some(known.as_str()),
    })
}

/// The common name of a certificate's subject; none if it has several, of which another program might read another.
fn common_name(certificate: &[u8]) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let (Some(name), None) = (names.next(), names.next()) else { return None };
    name.as_str().ok().map(str::to_owned)
}

/// Verifies certificates of these authorities. A client without one is let in too: it may have another credential.
///
/// # Errors
/// In words, if the file holds no usable authority.
pub(super) async fn client_verifier(
    known: &ClientCertificates,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let path = known.ca_file.clone();
    // The file may be on a drive that hangs.
    let read = files::read_off_thread(&known.ca_file, files::READ_TIMEOUT, move || read_authorities(&path));
    let authorities = read.await.map_err(|error| error.to_string())??;
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| format!("`{}` can't verify clients: {error}", known.ca_file.display()))
}

fn read_authorities(path: &Path) -> Result<RootCertStore, String> {
    let pem =
        files::read(path, MAX_CONFIG_FILE_BYTES, SymlinkMode::Follow).map_err(|error| error.to_string())?;
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|_| format!("`{}` is no PEM", path.display()))?;
        authorities
            .add(certificate)
            .map_err(|_| format!("`{}` holds a certificate that is no authority", path.display()))?;
    }
    match authorities.is_empty() {
        true => Err(format!("`{}` holds no certificate in PEM", path.display())),
        false => Ok(authorities),
    }
}
