//! A client certificate, against a server that asks for one.

use std::path::Path;

use portero::config::ClientCertificate;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::*;

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

/// A certificate for a name, and its key.
fn certificate(authority: &CertifiedIssuer<'static, KeyPair>, name: &str) -> (rcgen::Certificate, KeyPair) {
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
    (params.signed_by(&key, authority).expect("a certificate"), key)
}

/// Puts TLS before a server. It takes only clients with a certificate of the authority.
async fn serve_tls(behind: &FakeHttp, authority: &CertifiedIssuer<'static, KeyPair>) -> String {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.der().clone()).expect("an authority");
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let (certificate, key) = certificate(authority, "localhost");
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_client_cert_verifier(verifier.build().expect("a verifier"))
        .with_single_cert(vec![certificate.der().clone()], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let behind = behind.origin.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, behind) = (acceptor.clone(), behind.clone());
            tokio::spawn(async move {
                let Ok(mut front) = acceptor.accept(stream).await else { return };
                let mut back = TcpStream::connect(behind).await.expect("it listens");
                // Either side may end it.
                let _ = tokio::io::copy_bidirectional(&mut front, &mut back).await;
            });
        }
    });
    format!("https://localhost:{port}/mcp")
}

fn write(directory: &Path, name: &str, text: &str) -> std::path::PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, text).expect("written");
    path
}

#[tokio::test]
async fn a_server_that_wants_a_certificate_is_shown_the_one_of_its_entry() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = FakeHttp::start(|seen| usual(seen, |seen| Reply::json(seen.result("{}")))).await;
    let authority = authority();
    let url = serve_tls(&server, &authority).await;
    let ca_file = write(directory.path(), "ca.pem", &authority.pem());
    let (certificate, key) = certificate(&authority, "portero");
    let cert_file = write(directory.path(), "client.pem", &certificate.pem());
    let key_file = write(directory.path(), "client.key", &key.serialize_pem());

    let fixture = Fixture::new(&url, |server| {
        server.ca_file = Some(ca_file.clone());
        server.client_certificate = Some(ClientCertificate { cert_file: cert_file.clone(), key_file });
    });
    assert_eq!(fixture.call("read").await.expect("the server knows the client"), "{}");

    let unknown = Fixture::new(&url, |server| server.ca_file = Some(ca_file));
    unknown.list().await.expect_err("it wants a certificate");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_told() {
    let directory = tempfile::tempdir().expect("a directory");
    let (certificate, _) = certificate(&authority(), "portero");
    let cert_file = write(directory.path(), "client.pem", &certificate.pem());
    let empty = write(directory.path(), "empty.pem", "");
    for (cert_file, key_file, told) in [
        (directory.path().join("gone.pem"), empty.clone(), "`certFile` can't be used"),
        (empty.clone(), empty.clone(), "`certFile` can't be used: it holds no certificates"),
        (cert_file, empty, "`keyFile` can't be used: it holds no private key"),
    ] {
        let fixture = Fixture::new("https://localhost:1/", |server| {
            server.client_certificate = Some(ClientCertificate { cert_file, key_file });
        });
        let error = fixture.list().await.expect_err("unusable");
        assert!(error.to_string().contains(told), "{error}");
    }
}
