//! An issuer that only a proxy reaches, with a certificate of a private authority.

use std::convert::Infallible;
use std::path::Path;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use portero::secret::Secret;
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::*;

const ISSUER: &str = "https://id.example/realms/test";

/// A proxy that is asked for the issuer's host, and answers as the issuer.
struct IssuerBehindProxy {
    url: String,
    certificate: String,
    /// The hosts that it was asked for.
    asked: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Drop for IssuerBehindProxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl IssuerBehindProxy {
    async fn start(keys: Value) -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let made = rcgen::generate_simple_self_signed(vec!["id.example".to_owned()]).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()).into();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                tokio::spawn(serve(stream, acceptor.clone(), Arc::clone(&seen), keys.clone()));
            }
        });
        Self { url, certificate: made.cert.pem(), asked, serving }
    }

    fn proxy(&self) -> ProxySettings {
        ProxySettings { https: Some(Secret::new(self.url.as_str())), except: None }
    }
}

/// Takes a `CONNECT`, and goes on as the host that it names. A client that distrusts the certificate goes.
async fn serve(
    mut stream: TcpStream,
    acceptor: TlsAcceptor,
    asked: Arc<Mutex<Vec<String>>>,
    keys: Value,
) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    lock(&asked).push(head.split_whitespace().nth(1)?.to_owned());
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.ok()?;
    let stream = acceptor.accept(stream).await.ok()?;
    let respond = service_fn(move |request: Request<Incoming>| {
        let body = match request.uri().path().ends_with("/keys") {
            true => keys.clone(),
            false => json!({"issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys")}),
        };
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body.to_string())))) }
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), respond).await.ok()
}

#[tokio::test]
async fn its_keys_are_fetched_by_the_proxy_and_with_its_own_authority_only() {
    let issuer = FakeIssuer::start().await;
    let behind = IssuerBehindProxy::start(json!({"keys": [issuer.rsa_jwk("one")]})).await;
    let directory = tempfile::tempdir().unwrap();
    let verifier = |ca_file: Option<&Path>| {
        let settings = OidcSettings {
            issuer: ISSUER.to_owned(),
            ca_file: ca_file.map(Path::to_owned),
            ..issuer.settings()
        };
        OidcVerifier::new(settings, behind.proxy(), Arc::clone(&issuer.clock) as _)
    };
    let token = issuer.token(json!({}), json!({ "iss": ISSUER }));
    assert_eq!(verifier(None).verify(&token).await, Err(OidcRefusal::Unavailable), "an unknown authority");
    assert_eq!(*lock(&behind.asked), ["id.example:443"]);

    let file = directory.path().join("ca.pem");
    let known = verifier(Some(&file));
    assert_eq!(known.verify(&token).await, Err(OidcRefusal::Unavailable), "the file isn't there yet");
    std::fs::write(&file, &behind.certificate).unwrap();
    issuer.clock.advance(MIN_FETCH_INTERVAL);
    assert!(known.verify(&token).await.is_ok());
    assert!(lock(&behind.asked).iter().all(|host| host == "id.example:443"));
}
