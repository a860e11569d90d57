//! The verifier against a real HTTP server on loopback that plays the issuer.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use data_encoding::BASE64URL_NOPAD;
use portero::clock::TestClock;
use portero::config::{ClaimGrant, JwtAlgorithm};
use portero::sync::lock;
use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PSS_SHA256, RsaKeyPair, RsaPublicKeyComponents,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::jws::VerificationKey;
use super::keys::{MAX_KEY_AGE, MIN_FETCH_INTERVAL, REFRESH_INTERVAL};
use super::*;

const RSA_KEY: &[u8] = include_bytes!("../../tests/data/test-issuer-rsa.pk8");
const AUDIENCE: &str = "portero";
/// The clock of the tests, in seconds since 1970.
const NOW: i64 = 1_795_910_400;

/// What the issuer publishes, and how often it was asked.
#[derive(Default)]
struct Published {
    discovery: Mutex<Value>,
    keys: Mutex<Value>,
    fetches: AtomicUsize,
    is_down: AtomicBool,
}

struct FakeIssuer {
    url: String,
    published: Arc<Published>,
    clock: Arc<TestClock>,
    rsa: RsaKeyPair,
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
        let url = format!("http://{}/realms/test", socket.local_addr().unwrap());
        let published = Arc::<Published>::default();
        *lock(&published.discovery) = json!({ "issuer": url, "jwks_uri": format!("{url}/keys") });
        let answer = |published: Arc<Published>, value: Value| async move {
            match published.is_down.load(Ordering::SeqCst) {
                true => Err(StatusCode::BAD_GATEWAY),
                false => Ok(value.to_string()),
            }
        };
        let routes = Router::new()
            .route(
                "/realms/test/.well-known/openid-configuration",
                get(move |State(published): State<Arc<Published>>| {
                    let value = lock(&published.discovery).clone();
                    answer(published, value)
                }),
            )
            .route(
                "/realms/test/keys",
                get(move |State(published): State<Arc<Published>>| {
                    published.fetches.fetch_add(1, Ordering::SeqCst);
                    let value = lock(&published.keys).clone();
                    answer(published, value)
                }),
            )
            .with_state(Arc::clone(&published));
        let serving = tokio::spawn(async move { axum::serve(socket, routes).await.unwrap() });
        let clock = Arc::new(TestClock::at(Timestamp::from_second(NOW).unwrap()));
        let rsa = RsaKeyPair::from_pkcs8(RSA_KEY).unwrap();
        let issuer = Self { url, published, clock, rsa, serving };
        issuer.publish(&[issuer.rsa_jwk("one")]);
        issuer
    }

    fn publish(&self, keys: &[Value]) {
        *lock(&self.published.keys) = json!({ "keys": keys });
    }

    fn fetches(&self) -> usize {
        self.published.fetches.load(Ordering::SeqCst)
    }

    fn rsa_jwk(&self, id: &str) -> Value {
        let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(self.rsa.public());
        let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        json!({ "kty": "RSA", "use": "sig", "kid": id, "n": number(&n), "e": number(&e) })
    }

    fn settings(&self) -> OidcSettings {
        let grant = |path: &str, value: &str, servers: &[&str]| ClaimGrant {
            path: path.to_owned(),
            value: value.to_owned(),
            scope: scope(servers),
        };
        OidcSettings {
            issuer: self.url.clone(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec![JwtAlgorithm::Rs256],
            jwks_url: None,
            ca_file: None,
            claims: vec![
                grant("scope", "mail:use", &["mail"]),
                grant("realm_access.roles", "admin", &["*"]),
                grant("https://example.com/groups", "Site Admins", &["notes"]),
            ],
        }
    }

    fn verifier(&self) -> OidcVerifier {
        self.verifier_with(self.settings())
    }

    fn verifier_with(&self, settings: OidcSettings) -> OidcVerifier {
        OidcVerifier::new(settings, ProxySettings::default(), Arc::clone(&self.clock) as _)
    }

    fn header(&self) -> Value {
        json!({ "alg": "RS256", "kid": "one", "typ": "at+jwt" })
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.url, "aud": AUDIENCE, "sub": "jane", "iat": NOW, "nbf": NOW, "exp": NOW + 300,
            "scope": "openid mail:use",
        })
    }

    /// A token with these changes of header and claims; `null` removes a member.
    fn token(&self, header: Value, claims: Value) -> String {
        let changed = |base: Value, changes: Value| {
            let Value::Object(mut members) = base else { panic!("an object") };
            for (name, value) in changes.as_object().unwrap() {
                match value {
                    Value::Null => drop(members.remove(name)),
                    value => drop(members.insert(name.clone(), value.clone())),
                }
            }
            Value::Object(members)
        };
        self.sign_rsa(&changed(self.header(), header), &changed(self.claims(), claims))
    }

    fn sign_rsa(&self, header: &Value, claims: &Value) -> String {
        sign(header, claims, |message| {
            let mut signature = vec![0; self.rsa.public().modulus_len()];
            self.rsa.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
            signature
        })
    }
}

fn scope(servers: &[&str]) -> AccessScope {
    let servers: Vec<String> = servers.iter().map(|server| (*server).to_owned()).collect();
    AccessScope::of_servers_and_tools(&servers, Vec::new()).unwrap()
}

fn encode(value: &Value) -> String {
    BASE64URL_NOPAD.encode(value.to_string().as_bytes())
}

fn sign(header: &Value, claims: &Value, signature: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let signed = format!("{}.{}", encode(header), encode(claims));
    let signature = BASE64URL_NOPAD.encode(&signature(signed.as_bytes()));
    format!("{signed}.{signature}")
}

#[tokio::test]
async fn a_valid_token_permits_what_the_table_says() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let subject = verifier.verify(&issuer.token(json!({}), json!({}))).await.unwrap();
    assert_eq!((subject.subject.as_str(), subject.expires.as_second()), ("jane", NOW + 300));
    assert_eq!(subject.scope, scope(&["mail"]));
    for (claims, permitted) in [
        (json!({ "aud": ["account", AUDIENCE] }), Some(scope(&["mail"]))),
        (json!({ "scope": ["mail:use"] }), Some(scope(&["mail"]))),
        (json!({ "scope": "a", "realm_access": { "roles": ["user", "admin"] } }), Some(scope(&["*"]))),
        (json!({ "https://example.com/groups": "Site Admins" }), Some(scope(&["mail", "notes"]))),
        (json!({ "scope": "a", "https://example.com/groups": ["Site Admins"] }), Some(scope(&["notes"]))),
        (json!({ "scope": "a", "https://example.com/groups": "Admins Site" }), None),
        (json!({ "scope": "mail:user mail" }), None),
        (json!({ "scope": null }), None),
        (json!({ "scope": true, "realm_access": "admin" }), None),
    ] {
        let verified = verifier.verify(&issuer.token(json!({}), claims.clone())).await;
        assert_eq!(verified.map(|subject| subject.scope), permitted.ok_or(OidcRefusal::NoAccess), "{claims}");
    }
    assert_eq!(issuer.fetches(), 1, "the keys are kept");
}

#[tokio::test]
async fn every_fault_of_a_token_is_refused() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    for (header, claims, why) in [
        (json!({ "alg": "none" }), json!({}), "algorithm"),
        (json!({ "alg": "NONE" }), json!({}), "algorithm"),
        (json!({ "alg": "RS512" }), json!({}), "algorithm"),
        (json!({ "alg": null }), json!({}), "algorithm"),
        (json!({ "alg": ["RS256"] }), json!({}), "algorithm"),
        (json!({ "kid": null }), json!({}), "name its key"),
        (json!({ "kid": "" }), json!({}), "name its key"),
        (json!({ "kid": 1 }), json!({}), "name its key"),
        (json!({ "kid": "two" }), json!({}), "not one of"),
        (json!({ "crit": ["exp"], "exp": 1 }), json!({}), "critical"),
        (json!({ "crit": [] }), json!({}), "critical"),
        (json!({ "typ": "logout+jwt" }), json!({}), "type"),
        (json!({ "typ": 1 }), json!({}), "type"),
        (json!({}), json!({ "iss": "https://evil.example" }), "another issuer"),
        (json!({}), json!({ "iss": format!("{}/", issuer.url) }), "another issuer"),
        (json!({}), json!({ "iss": [issuer.url] }), "another issuer"),
        (json!({}), json!({ "iss": null }), "another issuer"),
        (json!({}), json!({ "aud": "other" }), "another audience"),
        (json!({}), json!({ "aud": "Portero" }), "another audience"),
        (json!({}), json!({ "aud": [] }), "another audience"),
        (json!({}), json!({ "aud": { "portero": true } }), "another audience"),
        (json!({}), json!({ "aud": null }), "another audience"),
        (json!({}), json!({ "exp": NOW - 30 }), "expired"),
        (json!({}), json!({ "exp": null }), "when it ends"),
        (json!({}), json!({ "exp": (NOW + 300).to_string() }), "when it ends"),
        (json!({}), json!({ "nbf": NOW + 31 }), "not valid yet"),
        (json!({}), json!({ "nbf": "0" }), "not valid yet"),
        (json!({}), json!({ "iat": NOW + 31 }), "in the future"),
        (json!({}), json!({ "sub": null }), "subject"),
        (json!({}), json!({ "sub": "" }), "subject"),
        (json!({}), json!({ "sub": "jane\u{202e}" }), "subject"),
        (json!({}), json!({ "sub": "x".repeat(256) }), "subject"),
        (json!({}), json!({ "typ": "ID" }), "no access token"),
        (json!({}), json!({ "typ": "Refresh" }), "no access token"),
        (json!({}), json!({ "pad": "x".repeat(16 << 10) }), "too long"),
    ] {
        let token = issuer.token(header.clone(), claims.clone());
        match verifier.verify(&token).await {
            Err(OidcRefusal::Invalid(words)) => assert!(words.contains(why), "{header} {claims}: {words}"),
            other => panic!("{header} {claims}: {other:?}"),
        }
    }
    for (header, claims) in [
        (json!({ "typ": null }), json!({ "nbf": null, "iat": null })),
        (json!({ "typ": "JWT" }), json!({ "exp": NOW - 29, "nbf": NOW + 30 })),
        (json!({ "jku": "http://evil.example/keys", "jwk": {} }), json!({ "exp": 1e300 })),
    ] {
        let verified = verifier.verify(&issuer.token(header.clone(), claims.clone())).await;
        assert!(verified.is_ok(), "{header} {claims}: {verified:?}");
    }
}

#[tokio::test]
async fn a_signature_of_another_kind_or_over_other_claims_is_refused() {
    let issuer = FakeIssuer::start().await;
    let verifier =
        issuer.verifier_with(OidcSettings { algorithms: JwtAlgorithm::ALL.to_vec(), ..issuer.settings() });
    let good = issuer.token(json!({}), json!({}));
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = signed.split_once('.').unwrap();
    let admin = encode(
        &json!({ "iss": issuer.url, "aud": AUDIENCE, "sub": "jane", "exp": NOW + 300, "scope": "mail:use" }),
    );
    // A MAC whose key is the public key, in each form in which a careless verifier would read it.
    let mac = |alg: &str, key: &[u8]| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
        sign(&json!({ "alg": alg, "kid": "one" }), &issuer.claims(), |message| {
            ring::hmac::sign(&key, message).as_ref().to_vec()
        })
    };
    let modulus = RsaPublicKeyComponents::<Vec<u8>>::from(issuer.rsa.public()).n;
    let jwk = issuer.rsa_jwk("one").to_string();
    let pss_under_pkcs1 = sign(&issuer.header(), &issuer.claims(), |message| {
        let mut signature = vec![0; issuer.rsa.public().modulus_len()];
        issuer.rsa.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    });
    let with_es256 = sign(&json!({ "alg": "ES256", "kid": "one" }), &issuer.claims(), |_| vec![0; 64]);
    for forged in [
        format!("{header}.{admin}.{signature}"),
        format!("{signed}."),
        signed.to_owned(),
        format!("{good}="),
        format!("{good}.{signature}"),
        format!("{signed}.{}", &signature[..signature.len() - 4]),
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&[0; 256])),
        mac("HS256", &modulus),
        mac("HS256", jwk.as_bytes()),
        mac("RS256", &modulus),
        pss_under_pkcs1,
        with_es256,
        String::new(),
        "..".to_owned(),
        "a.b.c".to_owned(),
    ] {
        let refused = verifier.verify(&forged).await;
        assert!(matches!(refused, Err(OidcRefusal::Invalid(_))), "{forged}: {refused:?}");
    }
    assert!(verifier.verify(&good).await.is_ok());
}

#[tokio::test]
async fn each_kind_of_key_signs_with_its_own_algorithms_only() {
    let issuer = FakeIssuer::start().await;
    let random = SystemRandom::new();
    let ec = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let ec = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, ec.as_ref(), &random).unwrap();
    let ed = Ed25519KeyPair::from_pkcs8(Ed25519KeyPair::generate_pkcs8(&random).unwrap().as_ref()).unwrap();
    let point = ec.public_key().as_ref();
    let part = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let only_rs512 = {
        let mut key = issuer.rsa_jwk("only-rs512");
        key["alg"] = "RS512".into();
        key
    };
    let for_encryption = {
        let mut key = issuer.rsa_jwk("enc");
        key["use"] = "enc".into();
        key
    };
    issuer.publish(&[
        json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": part(&point[1..33]), "y": part(&point[33..]) }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": part(ed.public_key().as_ref()) }),
        json!({ "kty": "oct", "kid": "shared", "k": "AAAA" }),
        only_rs512,
        for_encryption,
        json!("nonsense"),
        issuer.rsa_jwk("one"),
    ]);
    let algorithms = JwtAlgorithm::ALL.to_vec();
    let verifier = issuer.verifier_with(OidcSettings { algorithms, ..issuer.settings() });
    let with_ec = |alg: &str, id: &str| {
        sign(&json!({ "alg": alg, "kid": id }), &issuer.claims(), |message| {
            ec.sign(&random, message).unwrap().as_ref().to_vec()
        })
    };
    let with_ed = sign(&json!({ "alg": "EdDSA", "kid": "ed" }), &issuer.claims(), |message| {
        ed.sign(message).as_ref().to_vec()
    });
    let with_pss = sign(&json!({ "alg": "PS256", "kid": "one" }), &issuer.claims(), |message| {
        let mut signature = vec![0; issuer.rsa.public().modulus_len()];
        issuer.rsa.sign(&RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    });
    for good in [with_ec("ES256", "ec"), with_ed, with_pss, issuer.token(json!({}), json!({}))] {
        assert!(verifier.verify(&good).await.is_ok());
    }
    for bad in [
        with_ec("ES384", "ec"),
        with_ec("ES256", "ed"),
        with_ec("ES256", "shared"),
        issuer.token(json!({ "kid": "only-rs512" }), json!({})),
        issuer.token(json!({ "kid": "enc" }), json!({})),
        issuer.token(json!({ "kid": "ec" }), json!({})),
    ] {
        assert!(matches!(verifier.verify(&bad).await, Err(OidcRefusal::Invalid(_))), "{bad}");
    }
}

#[tokio::test]
async fn a_rotated_key_is_fetched_and_a_withdrawn_one_counts_no_more() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let (old, new) = (issuer.token(json!({}), json!({})), issuer.token(json!({ "kid": "two" }), json!({})));
    assert!(verifier.verify(&old).await.is_ok());
    issuer.publish(&[issuer.rsa_jwk("two")]);
    issuer.clock.advance(MIN_FETCH_INTERVAL);
    assert!(verifier.verify(&old).await.is_ok(), "until the keys are fetched again");
    assert!(verifier.verify(&new).await.is_ok());
    assert!(verifier.verify(&old).await.is_err(), "it was withdrawn");
    // A key is found withdrawn after a while even if no token names another one.
    issuer.publish(&[issuer.rsa_jwk("three")]);
    issuer.clock.advance(REFRESH_INTERVAL);
    let new = issuer.token(json!({ "kid": "two" }), json!({ "exp": NOW + 3600 }));
    assert!(verifier.verify(&new).await.is_err());
    assert_eq!(issuer.fetches(), 3);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_asks_the_issuer_once_in_a_while() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let storm = || async {
        let tokens: Vec<String> =
            (0..50).map(|id| issuer.token(json!({ "kid": format!("unknown-{id}") }), json!({}))).collect();
        let refused = futures_util::future::join_all(tokens.iter().map(|token| verifier.verify(token))).await;
        assert!(refused.iter().all(|refused| matches!(refused, Err(OidcRefusal::Invalid(_)))), "{refused:?}");
    };
    storm().await;
    assert_eq!(issuer.fetches(), 1);
    storm().await;
    assert_eq!(issuer.fetches(), 1);
    assert!(verifier.verify(&issuer.token(json!({}), json!({}))).await.is_ok(), "known keys count meanwhile");
    issuer.clock.advance(MIN_FETCH_INTERVAL);
    storm().await;
    assert_eq!(issuer.fetches(), 2);
}

#[tokio::test]
async fn the_first_tokens_that_come_at_once_wait_for_one_fetch_and_count() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(json!({}), json!({}));
    let verified = futures_util::future::join_all((0..50).map(|_| verifier.verify(&token))).await;
    assert!(verified.iter().all(Result::is_ok), "{verified:?}");
    assert_eq!(issuer.fetches(), 1);
}

#[tokio::test]
async fn while_the_issuer_is_down_its_last_keys_count_for_a_bounded_time() {
    let issuer = FakeIssuer::start().await;
    let verifier = issuer.verifier();
    let token = issuer.token(json!({}), json!({ "exp": NOW + 86_400 }));
    issuer.published.is_down.store(true, Ordering::SeqCst);
    assert_eq!(verifier.verify(&token).await, Err(OidcRefusal::Unavailable));
    issuer.published.is_down.store(false, Ordering::SeqCst);
    assert_eq!(verifier.verify(&token).await, Err(OidcRefusal::Unavailable), "it was asked a moment ago");
    issuer.clock.advance(MIN_FETCH_INTERVAL);
    assert!(verifier.verify(&token).await.is_ok());
    issuer.published.is_down.store(true, Ordering::SeqCst);
    issuer.clock.advance(MAX_KEY_AGE - Duration::from_secs(1));
    assert!(verifier.verify(&token).await.is_ok());
    issuer.clock.advance(Duration::from_secs(1));
    assert_eq!(verifier.verify(&token).await, Err(OidcRefusal::Unavailable));
    issuer.published.is_down.store(false, Ordering::SeqCst);
    issuer.clock.advance(MIN_FETCH_INTERVAL);
    assert!(verifier.verify(&token).await.is_ok());
}

#[tokio::test]
async fn documents_that_lead_elsewhere_or_hold_no_keys_are_not_taken() {
    let issuer = FakeIssuer::start().await;
    let token = issuer.token(json!({}), json!({}));
    let keys = format!("{}/keys", issuer.url);
    for discovery in [
        json!({ "issuer": "https://evil.example", "jwks_uri": keys }),
        json!({ "issuer": issuer.url }),
        json!({ "issuer": issuer.url, "jwks_uri": "http://keys.example/keys" }),
        json!({ "issuer": issuer.url, "jwks_uri": "file:///etc/passwd" }),
        json!({ "issuer": issuer.url, "jwks_uri": keys, "pad": "x".repeat(300 << 10) }),
        json!([]),
    ] {
        *lock(&issuer.published.discovery) = discovery.clone();
        let refused = issuer.verifier().verify(&token).await;
        assert_eq!(
            refused,
            Err(OidcRefusal::Unavailable),
            "{}",
            &discovery.to_string()[..20.min(discovery.to_string().len())]
        );
    }
    assert_eq!(issuer.fetches(), 0);
    *lock(&issuer.published.discovery) = json!({ "issuer": issuer.url, "jwks_uri": keys });
    for bad in
        [json!({}), json!({ "keys": [] }), json!({ "keys": [{ "kty": "oct", "kid": "one", "k": "AA" }] })]
    {
        *lock(&issuer.published.keys) = bad;
        assert_eq!(issuer.verifier().verify(&token).await, Err(OidcRefusal::Unavailable));
    }
}

fn example_key() -> (RsaKeyPair, VerificationKey) {
    let pair = RsaKeyPair::from_pkcs8(RSA_KEY).unwrap();
    let RsaPublicKeyComponents { n, e } = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public());
    let number = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let key =
        VerificationKey::from_jwk(&json!({ "kty": "RSA", "kid": "one", "n": number(&n), "e": number(&e) }));
    (pair, key.unwrap())
}

fn verify_signature(token: &str, key: &VerificationKey) -> Result<Vec<u8>, OidcRefusal> {
    CompactJws::parse(token, &JwtAlgorithm::ALL)?.verify(key)
}

static SIGNED: std::sync::LazyLock<(String, VerificationKey)> = std::sync::LazyLock::new(|| {
    let (pair, key) = example_key();
    let token = sign(&json!({ "alg": "RS256", "kid": "one" }), &json!({ "sub": "jane" }), |message| {
        let mut signature = vec![0; pair.public().modulus_len()];
        pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature).unwrap();
        signature
    });
    (token, key)
});

proptest! {
    #[test]
    fn no_change_of_a_signed_token_passes(at in 0_usize..10_000, with in "[A-Za-z0-9_.=-]") {
        let (token, key) = &*SIGNED;
        prop_assert!(verify_signature(token, key).is_ok());
        let at = at % token.len();
        let changed = format!("{}{with}{}", &token[..at], &token[at + 1..]);
        let inserted = format!("{}{with}{}", &token[..at], &token[at..]);
        prop_assert!(changed == *token || verify_signature(&changed, key).is_err());
        prop_assert!(verify_signature(&inserted, key).is_err());
        prop_assert!(verify_signature(&token[..at], key).is_err());
    }

    #[test]
    fn any_header_and_any_claims_are_read_or_refused(header in "\\PC{0,60}", claims in "\\PC{0,60}", text in "\\PC{0,60}") {
        let (_, key) = &*SIGNED;
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let unsigned = format!("{}.{}.", part(&header), part(&claims));
        prop_assert!(verify_signature(&text, key).is_err());
        prop_assert!(verify_signature(&unsigned, key).is_err());
        let settings = OidcSettings {
            issuer: "https://id.example.com".to_owned(),
            audiences: vec![AUDIENCE.to_owned()],
            algorithms: vec![JwtAlgorithm::Rs256],
            jwks_url: None,
            ca_file: None,
            claims: Vec::new(),
        };
        prop_assert!(claims::check(claims.as_bytes(), &settings, Timestamp::UNIX_EPOCH).is_err());
    }
}

#[tokio::test]
async fn a_key_set_at_hand_decides_as_one_that_is_fetched() {
    let issuer = FakeIssuer::start().await;
    let (settings, keys) = (issuer.settings(), json!({ "keys": [issuer.rsa_jwk("one")] }));
    let now = Timestamp::from_second(NOW).unwrap();
    for token in [
        issuer.token(json!({}), json!({})),
        issuer.token(json!({}), json!({ "aud": "another" })),
        issuer.token(json!({ "kid": "two" }), json!({})),
    ] {
        assert_eq!(check_token(&token, &settings, &keys, now), issuer.verifier().verify(&token).await);
    }
    assert_eq!(issuer.fetches(), 3);
    let token = issuer.token(json!({}), json!({}));
    assert!(check_token(&token, &settings, &json!({}), now).is_err());
}

#[test]
fn every_seed_of_the_fuzzer_is_refused() {
    let (_, key) = &*SIGNED;
    let seeds = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/jwt");
    let seeds: Vec<_> = std::fs::read_dir(seeds).unwrap().map(|seed| seed.unwrap().path()).collect();
    assert!(seeds.len() > 10);
    for seed in seeds {
        let token = std::fs::read_to_string(&seed).unwrap();
        assert!(verify_signature(&token, key).is_err(), "{}", seed.display());
    }
}

mod private_authority;
