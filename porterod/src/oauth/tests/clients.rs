//! Who Portero is at an issuer, and the issuers of older revisions.

use super::renewal::refuse;
use super::*;
use crate::oauth::BearerChallenge;
use portero::config::{ClientPrivateKey, OAuthGrant, SigningAlgorithm, TokenEndpointAuthMethod};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, UnparsedPublicKey,
};
use serde_json::{Value, json};

#[tokio::test]
async fn a_client_of_the_configuration_comes_before_registration() {
    let fixture = Fixture::start().await;
    let server = fixture.server_with(|settings| {
        settings.client_id = Some("mine".to_owned());
        settings.client_secret = Some(Secret::new("client s3cret"));
        settings.scopes = Some(vec!["one".to_owned(), "two".to_owned()]);
    });
    let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    let asked = query(&start.authorization_url);
    assert_eq!((&*asked["client_id"], &*asked["scope"]), ("mine", "one two"));
    fixture.oauth.finish_login(fixture.issuer.consent(&start.authorization_url)).await.expect("logged in");
    let seen = fixture.http.seen();
    assert!(seen.iter().all(|seen| seen.path != "/register"));
    let token = seen.iter().find(|seen| seen.path == "/token").expect("a request");
    assert_eq!(token.header("authorization"), "Basic bWluZTpjbGllbnQrczNjcmV0");
    assert!(!token.body.contains("s3cret"));

    // The record holds no copy of the configuration's secret, so a new one counts at once.
    let rotated = fixture.server_with(|settings| {
        settings.client_id = Some("mine".to_owned());
        settings.client_secret = Some(Secret::new("other"));
    });
    fixture.clock.advance(Duration::from_secs(3600));
    fixture.token(&rotated).await.expect("renewed").expect("a token");
    let token = fixture.http.seen().pop().expect("a request");
    assert_eq!(token.header("authorization"), "Basic bWluZTpvdGhlcg==");
}

#[tokio::test]
async fn a_clients_own_document_comes_before_registration_where_it_is_known() {
    let fixture = Fixture::start().await;
    let document = "https://client.example/portero.json";
    let server = fixture.server_with(|settings| {
        settings.client_metadata_url = Some(HttpUrl::parse(document).expect("a URL"));
    });
    let client = |start: super::super::LoginStart| query(&start.authorization_url)["client_id"].clone();
    let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    assert_eq!(client(start), "registered", "the issuer doesn't know such documents");
    fixture.issuer.set_metadata("client_id_metadata_document_supported", json!(true));
    let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    assert_eq!(client(start), document);
}

#[tokio::test]
async fn a_registration_is_used_again_for_the_same_redirect_uri() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.log_in(&server).await;
    fixture.log_in(&server).await;
    let registrations = || fixture.http.seen().iter().filter(|seen| seen.path == "/register").count();
    assert_eq!(registrations(), 1);
    fixture.oauth.begin_login(&server, "http://127.0.0.1:9/callback").await.expect("a login");
    assert_eq!(registrations(), 2);
}

#[tokio::test]
async fn an_issuer_that_registers_nobody_is_told_with_the_remedy() {
    let fixture = Fixture::start().await;
    fixture.issuer.set_metadata("registration_endpoint", Value::Null);
    let refused = fixture.oauth.begin_login(&fixture.server(), REDIRECT_URI).await;
    let error = refused.expect_err("no client").to_string();
    assert!(error.contains("write its `clientId` into the entry"), "{error}");
}

#[tokio::test]
async fn a_client_gets_its_own_tokens_and_the_scopes_that_a_call_lacks() {
    let fixture = Fixture::start().await;
    let server = fixture.server_with(|settings| {
        settings.grant = OAuthGrant::ClientCredentials;
        settings.client_id = Some("mine".to_owned());
        settings.client_secret = Some(Secret::new("client-s3cret"));
        settings.token_endpoint_auth_method = Some(TokenEndpointAuthMethod::ClientSecretPost);
    });
    assert_eq!(fixture.token(&server).await, Ok(Some("an-access-s3cret-1".to_owned())));
    assert_eq!(fixture.token(&server).await, Ok(Some("an-access-s3cret-1".to_owned())));
    let asked = form(&fixture.token_requests("client_credentials")[0]);
    assert_eq!((&*asked["client_id"], &*asked["client_secret"]), ("mine", "client-s3cret"));
    assert_eq!((&*asked["scope"], &*asked["resource"]), ("read", &*format!("{}/mcp", fixture.http.origin)));

    let used = fixture.oauth.access_token(&server).await.expect("a token");
    let mut headers = reqwest::header::HeaderMap::new();
    let challenge = r#"Bearer error="insufficient_scope", scope="write""#.parse().expect("a header");
    headers.insert("www-authenticate", challenge);
    let challenge = BearerChallenge::read(&headers);
    let status = reqwest::StatusCode::FORBIDDEN;
    let taken = fixture.oauth.take_refusal(&server, used.as_ref(), status, challenge.clone()).await;
    assert_eq!(taken, Ok(()), "no person is needed");
    assert_eq!(form(&fixture.token_requests("client_credentials")[1])["scope"], "read write");
    let used = fixture.oauth.access_token(&server).await.expect("a token");
    let taken = fixture.oauth.take_refusal(&server, used.as_ref(), status, challenge).await;
    assert!(taken.is_err(), "it has that scope already");

    fixture.clock.advance(Duration::from_secs(3600));
    assert_eq!(fixture.token(&server).await, Ok(Some("an-access-s3cret-3".to_owned())));
    assert_eq!(form(&fixture.token_requests("client_credentials")[2])["scope"], "read write");
}

/// A server that is signed in to by its client, with these scopes in its entry.
fn client_server(fixture: &Fixture, scopes: Option<&[&str]>) -> OAuthServer {
    fixture.server_with(|settings| {
        settings.grant = OAuthGrant::ClientCredentials;
        settings.client_id = Some("mine".to_owned());
        settings.client_secret = Some(Secret::new("client-s3cret"));
        settings.scopes = scopes.map(|scopes| scopes.iter().map(|scope| (*scope).to_owned()).collect());
    })
}

/// The scopes that the client asked for, one text for each request.
fn asked_scopes(fixture: &Fixture) -> Vec<String> {
    let requests = fixture.token_requests("client_credentials");
    requests.iter().map(|body| form(body)["scope"].clone()).collect()
}

#[tokio::test]
async fn a_client_asks_for_the_scopes_of_its_entry_and_for_no_other() {
    let fixture = Fixture::start().await;
    fixture.token(&client_server(&fixture, Some(&["read", "write"]))).await.expect("a token");
    fixture.clock.advance(Duration::from_secs(3600));
    let narrowed = client_server(&fixture, Some(&["read"]));
    fixture.token(&narrowed).await.expect("a token");
    assert_eq!(asked_scopes(&fixture), ["read write", "read"], "an edit counts");
    let lacking = r#"Bearer error="insufficient_scope", scope="admin""#;
    let refused = refuse(&fixture, &narrowed, 403, lacking).await.expect_err("a person decides that");
    assert!(refused.to_string().contains("`admin`, which the `scopes` of its entry"), "{refused}");
    let widened = client_server(&fixture, Some(&["read", "admin"]));
    assert_eq!(refuse(&fixture, &widened, 403, lacking).await, Ok(()));
    fixture.clock.advance(Duration::from_secs(3600));
    fixture.token(&narrowed).await.expect("a token");
    assert_eq!(asked_scopes(&fixture)[2..], ["read admin", "read"]);
}

#[tokio::test]
async fn a_server_that_names_another_scope_at_each_call_costs_one_request_a_minute() {
    let fixture = Fixture::start().await;
    let server = client_server(&fixture, None);
    fixture.token(&server).await.expect("a token");
    let lacking = |number: usize| format!(r#"Bearer error="insufficient_scope", scope="s{number}""#);
    assert_eq!(refuse(&fixture, &server, 403, &lacking(0)).await, Ok(()));
    for number in 1..20 {
        let refused = refuse(&fixture, &server, 403, &lacking(number)).await.expect_err("too soon");
        assert!(refused.to_string().contains(&format!("`s{number}`")), "{refused}");
    }
    assert_eq!(asked_scopes(&fixture), ["read", "read s0"]);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(refuse(&fixture, &server, 403, &lacking(1)).await, Ok(()));
    assert_eq!(asked_scopes(&fixture).last().map(String::as_str), Some("read s0 s1"));
}

#[tokio::test]
async fn a_client_shows_itself_by_a_signed_assertion() {
    let fixture = Fixture::start().await;
    let random = ring::rand::SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let encoded = data_encoding::BASE64.encode(document.as_ref());
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("key.pem");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{encoded}\n-----END PRIVATE KEY-----\n");
    std::fs::write(&file, pem).expect("written");
    let server = fixture.server_with(|settings| {
        settings.grant = OAuthGrant::ClientCredentials;
        settings.client_id = Some("mine".to_owned());
        settings.private_key =
            Some(ClientPrivateKey { file: file.clone(), algorithm: SigningAlgorithm::Es256 });
    });
    fixture.token(&server).await.expect("a token").expect("a token");
    let asked = form(&fixture.token_requests("client_credentials")[0]);
    assert_eq!(asked["client_assertion_type"], "urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let (signed, signature) = asked["client_assertion"].rsplit_once('.').expect("a JWT");
    let decode = |part: &str| data_encoding::BASE64URL_NOPAD.decode(part.as_bytes()).expect("base64url");
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random);
    let public = key.expect("a key").public_key().as_ref().to_vec();
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, public);
    public.verify(signed.as_bytes(), &decode(signature)).expect("its signature");
    let (header, claims) = signed.split_once('.').expect("two parts");
    let header: Value = serde_json::from_slice(&decode(header)).expect("JSON");
    assert_eq!(header, json!({"alg": "ES256", "typ": "JWT"}));
    let claims: Value = serde_json::from_slice(&decode(claims)).expect("JSON");
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("mine"), &json!("mine")));
    assert_eq!(claims["aud"], json!(fixture.http.origin));
    assert_eq!(claims["exp"].as_i64().zip(claims["iat"].as_i64()).map(|(exp, iat)| exp - iat), Some(60));

    let server = fixture.server_with(|settings| {
        settings.grant = OAuthGrant::ClientCredentials;
        settings.client_id = Some("mine".to_owned());
        settings.private_key = Some(ClientPrivateKey { file, algorithm: SigningAlgorithm::Rs256 });
    });
    fixture.clock.advance(Duration::from_secs(3600));
    let error = fixture.token(&server).await.expect_err("another kind of key");
    assert!(matches!(error, OAuthError::Configuration(_)), "{error}");
}

#[tokio::test]
async fn a_server_of_the_first_revision_issues_its_own_tokens() {
    let fixture = Fixture::start().await;
    for path in ["/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource"] {
        fixture.issuer.remove(path);
    }
    fixture.log_in(&fixture.server()).await;
    let server = fixture.server();
    fixture.oauth.logout(server.name(), Some(&server)).await.expect("logged out");
    // Without any metadata, at the default addresses.
    fixture.issuer.remove("/.well-known/oauth-authorization-server");
    fixture.log_in(&fixture.server()).await;
}

#[tokio::test]
async fn offline_access_is_asked_for_where_it_is_offered() {
    let fixture = Fixture::start().await;
    fixture.issuer.set_metadata("scopes_supported", json!(["read", "offline_access"]));
    let start = fixture.oauth.begin_login(&fixture.server(), REDIRECT_URI).await.expect("a login");
    assert_eq!(query(&start.authorization_url)["scope"], "read offline_access");
}

#[tokio::test]
async fn scopes_that_a_person_asks_for_lose_no_offline_access() {
    let fixture = Fixture::start().await;
    fixture.issuer.set_metadata("scopes_supported", json!(["read", "write", "offline_access"]));
    let listed = |scopes: &[&str]| Some(scopes.iter().map(|scope| (*scope).to_owned()).collect());
    for (of_entry, asked) in [
        (None, "write offline_access"),
        (listed(&["read", "offline_access"]), "write offline_access"),
        // The entry leaves it out.
        (listed(&["read"]), "write"),
    ] {
        let server = fixture.server_with(|settings| settings.scopes = of_entry);
        let server = server.with_scopes(vec!["write".to_owned()]);
        let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
        assert_eq!(query(&start.authorization_url)["scope"], asked);
    }
}

#[tokio::test]
async fn metadata_are_found_beside_an_address_that_answers_oddly() {
    let odd = Arc::new(Mutex::new(0));
    let (answering, beside) = (Arc::clone(&odd), Arc::new(AtomicBool::new(true)));
    let is_beside = Arc::clone(&beside);
    let fixture = Fixture::start_with(move |seen| match &*seen.path {
        "/.well-known/oauth-authorization-server" => Some(match *lock(&answering) {
            0 => Reply::status(503),
            1 => Reply::status(429),
            2 => Reply::Whole(302, vec![("location", "https://login.example/".to_owned())], String::new()),
            _ => Reply::json(format!(r#"{{"filler":"{}"}}"#, "x".repeat(1 << 20))),
        }),
        "/.well-known/openid-configuration" if is_beside.load(Ordering::Relaxed) => {
            let metadata = issuer::issuer_metadata(&format!("http://{}", seen.header("host")));
            Some(Reply::json(metadata.to_string()))
        }
        _ => None,
    })
    .await;
    let told = ["status 503", "status 429", "sends us to another host", "more than 256 KiB"];
    for (number, told) in told.into_iter().enumerate() {
        *lock(&odd) = number;
        beside.store(true, Ordering::Relaxed);
        fixture.log_in(&fixture.server()).await;
        // Found nowhere, the first fault says most.
        beside.store(false, Ordering::Relaxed);
        let error = fixture.oauth.begin_login(&fixture.server(), REDIRECT_URI).await.expect_err("none");
        assert!(error.to_string().contains(told), "{error}");
    }
}

#[tokio::test]
async fn a_server_whose_own_metadata_fail_just_now_is_no_server_without() {
    let odd = Arc::new(AtomicBool::new(true));
    let is_odd = Arc::clone(&odd);
    let fixture = Fixture::start_with(move |seen| {
        let is_own = seen.path.starts_with("/.well-known/oauth-protected-resource");
        (is_own && is_odd.load(Ordering::Relaxed)).then(|| Reply::status(503))
    })
    .await;
    let error = fixture.oauth.begin_login(&fixture.server(), REDIRECT_URI).await.expect_err("not now");
    assert!(matches!(error, OAuthError::Unavailable(_)), "{error}");
    odd.store(false, Ordering::Relaxed);
    fixture.log_in(&fixture.server()).await;
}
