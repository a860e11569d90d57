//! The certificate of the endpoint: from files that are read again when they change, or one that is made here.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use data_encoding::HEXLOWER;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use portero::config::{HttpsEncryption, HttpsSettings};
use portero::files::{self, MAX_CONFIG_FILE_BYTES, SymlinkMode};
use portero::ipc::HttpsCertificate;
use portero::{atomic_file, clock::Moment};
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::certificate_expiry::{certificate_expiry, certificate_start};
use super::client_certificates::client_verifier;

/// What is negotiated (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [HTTP_2, b"http/1.1"];
/// HTTP/2 (RFC 9113, section 3.1).
pub(super) const HTTP_2: &[u8] = b"h2";
/// How long a certificate that is made here is valid: the most that all platforms take from a private authority.
const SELF_SIGNED_DAYS: i32 = 825;
/// One that is made here is replaced before it ends.
const RENEWAL_DAYS: i32 = 30;

/// The endpoint's certificate with its TLS configuration.
pub(super) struct TlsIdentity {
    source: CertificateSource,
    current: Arc<CurrentCertificate>,
    server: Arc<ServerConfig>,
    /// Held while the files are read again, so that it happens once at a time.
    refreshing: tokio::sync::Mutex<()>,
}

/// Where the certificate and its key are read.
#[derive(Debug, Clone)]
struct CertificateSource {
    certificate: PathBuf,
    key: PathBuf,
}

/// What reading the files again found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    /// The same pair.
    Unchanged,
    /// They are being read already.
    Busy,
    /// Another pair, which new connections get.
    Replaced(HttpsCertificate),
    /// A pair that can't be used, for this reason. The former one stays.
    Broken(String),
}

impl TlsIdentity {
    /// Reads or makes the certificate of these settings; none for plain HTTP.
    ///
    /// # Errors
    /// In words, if there is no usable pair.
    pub(super) async fn load(
        settings: &HttpsSettings,
        made: &Path,
        now: &Moment,
    ) -> Result<Option<Self>, String> {
        let source = match &settings.encryption {
            HttpsEncryption::Plain => return Ok(None),
            HttpsEncryption::Files { certificate, key } => {
                CertificateSource { certificate: certificate.clone(), key: key.clone() }
            }
            HttpsEncryption::SelfSigned => {
                let (directory, names, now) = (made.to_owned(), certificate_names(settings), now.wall);
                let written = files::read_off_thread(made, files::READ_TIMEOUT, move || {
                    make_certificate_once(&directory, &names, now)
                });
                let written = written.await.map_err(|error| error.to_string())?;
                written.map_err(|error| format!("a certificate could not be made: {error}"))?
            }
        };
        let pair = source.read().await?;
        let current = Arc::new(CurrentCertificate(ArcSwap::from_pointee(pair)));
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| format!("TLS can't be set up: {error}"))?;
        let server = match &settings.client_certificates {
            Some(known) => server.with_client_cert_verifier(client_verifier(known, provider()).await?),
            None => server.with_no_client_auth(),
        };
        let mut server = server.with_cert_resolver(Arc::clone(&current) as _);
        if settings.client_certificates.is_some() {
            // A resumed session would bring its certificate along without another look at it.
            server.session_storage = Arc::new(NoServerSessionStorage {});
            server.send_tls13_tickets = 0;
        }
        server.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Some(Self { source, current, server: Arc::new(server), refreshing: tokio::sync::Mutex::new(()) }))
    }

    /// The configuration for a handshake.
    pub(super) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// The certificate that new connections get.
    pub(super) fn certificate(&self) -> HttpsCertificate {
        let pair = self.current.0.load();
        self.source.describe(&pair)
    }

    /// Reads the files again, and serves what they hold to new connections if it can be used.
    pub(super) async fn refresh(&self) -> Refresh {
        let Ok(_alone) = self.refreshing.try_lock() else { return Refresh::Busy };
        match self.source.read().await {
            Err(problem) => Refresh::Broken(problem),
            Ok(pair) if pair.cert == self.current.0.load().cert => Refresh::Unchanged,
            Ok(pair) => {
                let described = self.source.describe(&pair);
                self.current.0.store(Arc::new(pair));
                Refresh::Replaced(described)
            }
        }
    }
}

impl CertificateSource {
    /// Reads both files without blocking the runtime.
    async fn read(&self) -> Result<CertifiedKey, String> {
        let source = self.clone();
        let read = files::read_off_thread(&self.certificate, files::READ_TIMEOUT, move || source.read_pair());
        read.await.map_err(|error| error.to_string())?
    }

    fn read_pair(&self) -> Result<CertifiedKey, String> {
        let Self { certificate, key } = self;
        let read = |path: &Path| {
            let bytes = files::read(path, MAX_CONFIG_FILE_BYTES, SymlinkMode::Follow);
            bytes.map(Zeroizing::new).map_err(|error| error.to_string())
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&read(certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|_| format!("`{}` is no PEM", certificate.display()))?;
        if chain.is_empty() {
            return Err(format!("`{}` holds no certificate in PEM", certificate.display()));
        }
        let private = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|_| format!("`{}` holds no private key in PEM", key.display()))?;
        CertifiedKey::from_der(chain, private, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                format!("the key in `{}` is not that of `{}`", key.display(), certificate.display())
            }
            // The error's own text could quote the key.
            _ => format!("`{}` and `{}` can't be used together", certificate.display(), key.display()),
        })
    }

    fn describe(&self, pair: &CertifiedKey) -> HttpsCertificate {
        let leaf = pair.cert.first().map(|leaf| &**leaf).unwrap_or_default();
        HttpsCertificate {
            file: self.certificate.clone(),
            sha256: sha256_fingerprint(leaf),
            issued: certificate_start(leaf),
            expires: certificate_expiry(leaf),
        }
    }
}

/// The pair that new connections get.
#[derive(Debug)]
struct CurrentCertificate(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The digest of a certificate, as `openssl x509 -fingerprint -sha256` prints it.
fn sha256_fingerprint(certificate: &[u8]) -> String {
    let bytes = Sha256::digest(certificate);
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

/// The names that a made certificate is for: loopback's, the address, and the configured ones.
fn certificate_names(settings: &HttpsSettings) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let address = settings.listen.ip();
    let address = (!address.is_unspecified()).then(|| address.to_string());
    let hosts = settings.hosts.iter().map(|host| host.trim_matches(['[', ']']).to_owned());
    for name in address.into_iter().chain(hosts) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The pair for these names, made unless one is there that lasts. Each set of names has its own, so that other
/// names don't change what clients trust already.
fn make_certificate_once(
    directory: &Path,
    names: &[String],
    now: Timestamp,
) -> io::Result<CertificateSource> {
    let digest = blake3::hash(names.join("\n").as_bytes());
    let stem = HEXLOWER.encode(&digest.as_bytes()[..8]);
    let source = CertificateSource {
        certificate: directory.join(format!("{stem}.crt")),
        key: directory.join(format!("{stem}.key")),
    };
    let renewal = now.checked_add((i64::from(RENEWAL_DAYS) * 24).hours()).unwrap_or(now);
    let lasts = source.read_pair().is_ok_and(|pair| {
        pair.cert.first().and_then(|leaf| certificate_expiry(leaf)).is_some_and(|expires| expires > renewal)
    });
    if lasts {
        return Ok(source);
    }
    let (certificate, key) = make_certificate(names, now).map_err(io::Error::other)?;
    create_private_directory(directory)?;
    // The key comes first: a certificate without its key would be taken for a usable one.
    atomic_file::replace(&source.key, key.as_bytes())?;
    atomic_file::replace(&source.certificate, certificate.as_bytes())?;
    Ok(source)
}

/// A certificate for these names and its key, in PEM.
fn make_certificate(names: &[String], now: Timestamp) -> Result<(String, Zeroizing<String>), rcgen::Error> {
    let mut params = CertificateParams::new(names.to_vec())?;
    let today = now.to_zoned(TimeZone::UTC).date();
    // A day earlier, for clients whose clocks are behind.
    let (from, until) = (today.saturating_sub(1.day()), today.saturating_add(SELF_SIGNED_DAYS.days()));
    let part = |number: i8| u8::try_from(number).unwrap_or(1);
    params.not_before = rcgen::date_time_ymd(from.year().into(), part(from.month()), part(from.day()));
    params.not_after = rcgen::date_time_ymd(until.year().into(), part(until.month()), part(until.day()));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Portero");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), Zeroizing::new(key.serialize_pem())))
}

fn create_private_directory(directory: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)
}
