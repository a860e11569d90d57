//! Who is let in by the HTTPS endpoint: access tokens, tokens of an issuer, client certificates.

use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use portero::access::AccessScope;
use portero::clock::Clock as _;
use portero::ipc::requests::tokens::{CreateToken, RevokeToken};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::https::{ClientIdentity, Endpoint, authorization, status_of, write_https};
use crate::support::{Home, challenge};

const AUDIENCE: &str = "portero";

async fn ready(endpoint: &Endpoint, token: &str) -> String {
    endpoint.ask("GET /ready", &[&format!("Authorization: Bearer {token}")]).await
}

fn header<'a>(response: &'a str, name: &str) -> &'a str {
    let found =
        response.lines().find_map(|line| line.split_once(": ").filter(|(n, _)| n.eq_ignore_ascii_case(name)));
    found.map_or("", |(_, value)| value)
}

fn body(response: &str) -> Value {
    serde_json::from_str(response.split_once("\r\n\r\n").expect("a body").1).expect("JSON")
}

#[tokio::test]
async fn an_access_token_counts_until_it_is_revoked_or_over() {
    let endpoint = Endpoint::start(json!({"plainHttp": true, "listen": "127.0.0.1:0"})).await;
    let person = endpoint.home.terminal_with_passphrase().await;
    let make = async |name: &str, millis| {
        let (name, scope) = (name.parse().unwrap(), AccessScope::everything());
        let created =
            person.request(CreateToken { name, scope, millis, challenge: challenge() }).await.unwrap();
        created.secret.expose().to_owned()
    };
    let (kept, short) = (make("kept", None).await, make("short", Some(60_000)).await);
    assert_eq!(status_of(&ready(&endpoint, &kept).await), "200");
    assert_eq!(status_of(&ready(&endpoint, &short).await), "200");
    let missing = endpoint.ask("GET /ready", &[]).await;
    assert_eq!((status_of(&missing), header(&missing, "www-authenticate")), ("401", "Bearer"));
    let changed = format!("{}{}", &kept[..kept.len() - 1], if kept.ends_with('0') { '1' } else { '0' });
    let two = [format!("Authorization: Bearer {kept}"), format!("Authorization: Bearer {kept}")];
    for wrong in [
        ready(&endpoint, &changed).await,
        ready(&endpoint, "portero_").await,
        ready(&endpoint, &kept[..40]).await,
        endpoint.ask("GET /ready", &[&format!("Authorization: Basic {kept}")]).await,
        endpoint.ask("GET /ready", &[&two[0], &two[1]]).await,
        endpoint.ask(&format!("GET /ready?access_token={kept}"), &["Authorization: Bearer x"]).await,
    ] {
        assert_eq!(
            (status_of(&wrong), header(&wrong, "www-authenticate")),
            ("401", "Bearer error=\"invalid_token\"")
        );
    }
    let in_query = endpoint.ask(&format!("GET /ready?access_token={kept}"), &[]).await;
    assert_eq!(status_of(&in_query), "401", "a token in an address would be in every log");
    endpoint.home.clock.advance(Duration::from_secs(60));
    assert_eq!(status_of(&ready(&endpoint, &short).await), "401");
    assert_eq!(status_of(&ready(&endpoint, &kept).await), "200");
    person.request(RevokeToken { name: "kept".parse().unwrap() }).await.unwrap();
    assert_eq!(status_of(&ready(&endpoint, &kept).await), "401");
    // Without an issuer there is nowhere to get a token.
    let metadata = endpoint.ask("GET /.well-known/oauth-protected-resource", &[]).await;
    assert_eq!(status_of(&metadata), "404");
    endpoint.stop().await;
}

/// An issuer on loopback with one key.
struct FakeIssuer {
    url: String,
    key: Ed25519KeyPair,
    serving: JoinHandle<()>,
}

impl Drop for FakeIssuer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl FakeIssuer {
    async fn start() -> Self {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", socket.local_addr().unwrap());
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let key = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
        let x = BASE64URL_NOPAD.encode(key.public_key().as_ref());
        let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x}]}).to_string();
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string();
        let routes = Router::new()
            .route("/.well-known/openid-configuration", get(move || async move { discovery }))
            .route("/keys", get(move || async move { keys }));
        let serving = tokio::spawn(async move { axum::serve(socket, routes).await.unwrap() });
        Self { url, key, serving }
    }

    fn settings(&self) -> Value {
        json!({
            "issuer": self.url,
            "audience": AUDIENCE,
            "algorithms": ["EdDSA"],
            "claims": {
                "scope": {"portero:notes": {"servers": ["notes"]}},
                "realm_access.roles": {"admin": {"servers": ["*"]}},
            },
        })
    }

    fn token(&self, home: &Home, changes: Value) -> String {
        let now = home.clock.now().wall.as_second();
        let mut claims = json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "jane", "exp": now + 300, "scope": "openid portero:notes",
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let part = |value: Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let signed = format!("{}.{}", part(json!({"alg": "EdDSA", "kid": "one"})), part(claims));
        let signature = BASE64URL_NOPAD.encode(self.key.sign(signed.as_bytes()).as_ref());
        format!("{signed}.{signature}")
    }
}

#[tokio::test]
async fn a_token_of_the_issuer_counts_and_a_client_learns_where_to_get_one() {
    let issuer = FakeIssuer::start().await;
    let https = json!({"plainHttp": true, "listen": "127.0.0.1:0", "oidc": issuer.settings()});
    let endpoint = Endpoint::start(https).await;
    let home = &endpoint.home;
    let now = home.clock.now().wall.as_second();
    let metadata_url = "http://localhost/.well-known/oauth-protected-resource";
    for (changes, expected, error) in [
        (json!({}), "200", ""),
        (json!({"scope": "", "realm_access": {"roles": ["admin"]}}), "200", ""),
        (json!({"scope": "openid"}), "403", "error=\"insufficient_scope\", "),
        (json!({"exp": now - 31}), "401", "error=\"invalid_token\", "),
        (json!({"nbf": now + 60}), "401", "error=\"invalid_token\", "),
        (json!({"aud": "other"}), "401", "error=\"invalid_token\", "),
        (json!({"iss": "http://other"}), "401", "error=\"invalid_token\", "),
    ] {
        let answer = ready(&endpoint, &issuer.token(home, changes.clone())).await;
        assert_eq!(status_of(&answer), expected, "{changes}");
        if expected != "200" {
            let told = format!("Bearer {error}scope=\"portero:notes\", resource_metadata=\"{metadata_url}\"");
            assert_eq!(header(&answer, "www-authenticate"), told, "{changes}");
        }
    }
    let missing = endpoint.ask("GET /mcp", &[]).await;
    let told = format!("Bearer scope=\"portero:notes\", resource_metadata=\"{metadata_url}/mcp\"");
    assert_eq!((status_of(&missing), header(&missing, "www-authenticate")), ("401", told.as_str()));
    for (path, resource) in [("", "http://localhost"), ("/mcp", "http://localhost/mcp")] {
        let answer = endpoint.ask(&format!("GET /.well-known/oauth-protected-resource{path}"), &[]).await;
        assert_eq!((status_of(&answer), header(&answer, "content-type")), ("200", "application/json"));
        let expected = json!({
            "resource": resource, "resource_name": "Portero", "authorization_servers": [issuer.url],
            "scopes_supported": ["portero:notes"], "bearer_methods_supported": ["header"],
        });
        assert_eq!(body(&answer), expected);
    }
    let elsewhere = endpoint.ask("GET /.well-known/oauth-protected-resource/other", &[]).await;
    assert_eq!(status_of(&elsewhere), "404");
    endpoint.stop().await;
}

/// An authority that issues client certificates.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(directory: &Path, name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let file = directory.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    fn issue(&self, common_names: &[&str]) -> ClientIdentity {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in common_names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.not_after = rcgen::date_time_ymd(2060, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        ClientIdentity { certificate: certificate.der().clone(), key: key.serialize_der() }
    }
}

fn fingerprint(identity: &ClientIdentity) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &identity.certificate);
    data_encoding::HEXUPPER.encode(digest.as_ref())
}

#[tokio::test]
async fn a_client_certificate_counts_if_it_is_named_and_of_the_authority() {
    let home = Home::new();
    let (ours, other) =
        (Authority::new(&home.path_of("home"), "ours"), Authority::new(&home.path_of("home"), "other"));
    let (laptop, ci, unknown) =
        (ours.issue(&["laptop.example"]), ours.issue(&["ci"]), ours.issue(&["stranger"]));
    let clients = json!({
        "laptop": {"commonName": "laptop.example", "servers": ["*"]},
        "ci": {"sha256": fingerprint(&ci), "tools": ["notes/read"]},
    });
    let https = json!({
        "selfSigned": true, "listen": "127.0.0.1:0",
        "clientCertificates": {"caFile": ours.file, "clients": clients},
    });
    let endpoint = Endpoint::start_in(home, https).await;
    for (who, identity, expected) in [
        ("the common name", Some(&laptop), "200"),
        ("the fingerprint", Some(&ci), "200"),
        ("one that is not named", Some(&unknown), "401"),
        ("none", None, "401"),
    ] {
        let answer = endpoint.ask_tls("GET /ready", &[], identity).await;
        assert_eq!(answer.as_deref().map(status_of), Some(expected), "{who}");
    }
    let forged = other.issue(&["laptop.example"]);
    assert_eq!(endpoint.ask_tls("GET /ready", &[], Some(&forged)).await, None, "another authority's");
    // A header counts alone, so a wrong one isn't made good by the certificate.
    let wrong = endpoint.ask_tls("GET /ready", &["Authorization: Bearer wrong"], Some(&laptop)).await;
    assert_eq!(wrong.as_deref().map(status_of), Some("401"));
    // The handshake goes by the machine's clock, the endpoint by the daemon's.
    endpoint.home.clock.advance(Duration::from_secs(40 * 366 * 86_400));
    let late = endpoint.ask_tls("GET /ready", &[], Some(&laptop)).await.expect("the handshake succeeds");
    assert!(status_of(&late) == "401" && late.contains("the client certificate has expired"), "{late}");
    endpoint.stop().await;
}

#[tokio::test]
async fn another_token_in_the_configuration_ends_the_sessions_of_the_former_one() {
    let https = json!({"plainHttp": true, "listen": "127.0.0.1:0"});
    let endpoint = Endpoint::start(https).await;
    let person = endpoint.home.terminal_with_passphrase().await;
    let name = "kept".parse().unwrap();
    let kept = CreateToken { name, scope: AccessScope::everything(), millis: None, challenge: challenge() };
    let kept = person.request(kept).await.unwrap().secret;
    let of_token = format!("Authorization: Bearer {}", kept.expose());
    for header in [&*authorization(), &*of_token] {
        assert_eq!(status_of(&endpoint.begin_session(&[header], None).await), "200");
    }
    endpoint.wait_for_sessions(2).await;
    let file = endpoint.home.path_of("config").join(".env");
    std::fs::write(file, "BEARER_TOKEN=ff0d1b2c3e4f5a6978879695a4b3c2d1e0f90817263544536271809fadbccbda\n")
        .unwrap();
    endpoint.wait_for_sessions(1).await;
    endpoint.stop().await;
}

#[tokio::test]
async fn a_client_that_is_no_longer_named_in_the_configuration_loses_its_sessions() {
    let home = Home::new();
    let ours = Authority::new(&home.path_of("home"), "ours");
    let (laptop, ci) = (ours.issue(&["laptop"]), ours.issue(&["ci"]));
    let settings = |clients: Value| {
        json!({
            "selfSigned": true, "listen": "127.0.0.1:0",
            "clientCertificates": {"caFile": ours.file, "clients": clients},
        })
    };
    let (of_laptop, of_ci) = (
        json!({"commonName": "laptop", "servers": ["*"]}),
        json!({"commonName": "ci", "tools": ["notes/read"]}),
    );
    let endpoint =
        Endpoint::start_in(home, settings(json!({"laptop": of_laptop, "ci": of_ci.clone()}))).await;
    for identity in [&laptop, &laptop, &ci] {
        let begun = endpoint.begin_session(&[], Some(identity)).await;
        assert_eq!(status_of(&begun), "200", "{begun}");
    }
    endpoint.wait_for_sessions(3).await;
    write_https(&endpoint.home, settings(json!({"ci": of_ci})));
    endpoint.wait_for_sessions(1).await;
    endpoint.stop().await;
}
