//! Servers, issuers and other programs that try to get at a login.

use super::*;
use crate::http_transport::tests::fake_http::Reply;
use portero::config::{OAuthGrant, TokenEndpointAuthMethod};
use serde_json::json;

async fn begin_error(fixture: &Fixture, server: &OAuthServer) -> String {
    match fixture.oauth.begin_login(server, REDIRECT_URI).await {
        Ok(start) => panic!("a login began: {}", start.authorization_url),
        Err(error) => error.to_string(),
    }
}

fn answer(text: &str) -> LoginAnswer {
    LoginAnswer::parse(text).expect("an answer")
}

#[tokio::test]
async fn an_answer_with_another_state_is_refused_and_the_login_goes_on() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    let right = fixture.issuer.consent(&start.authorization_url);
    for wrong in ["code=evil&state=guess", "code=evil&state=", "error=access_denied&state=guess"] {
        let refused = fixture.oauth.finish_login(answer(wrong)).await;
        assert_eq!(refused, Err(OAuthError::UnknownLogin), "{wrong}");
    }
    assert!(fixture.token_requests("authorization_code").is_empty());
    fixture.oauth.finish_login(right.clone()).await.expect("logged in");
    let again = fixture.oauth.finish_login(right).await;
    assert_eq!(again, Err(OAuthError::UnknownLogin), "each login has one answer");
}

#[tokio::test]
async fn an_answer_of_another_issuer_ends_the_login() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    // Of another issuer, and without the issuer that its metadata promise.
    for issuer in ["&iss=https://evil.example", ""] {
        let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
        let mixed = format!("code=stolen&state={}{issuer}", start.state);
        assert_eq!(fixture.oauth.finish_login(answer(&mixed)).await, Err(OAuthError::OtherIssuer));
        let late = fixture.issuer.consent(&start.authorization_url);
        assert_eq!(fixture.oauth.finish_login(late).await, Err(OAuthError::UnknownLogin));
    }
    assert!(fixture.token_requests("authorization_code").is_empty(), "no code went anywhere");
}

#[tokio::test]
async fn of_two_logins_at_once_the_later_counts() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let first = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    let second = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    assert_ne!(first.state, second.state);
    let early = fixture.issuer.consent(&first.authorization_url);
    assert_eq!(fixture.oauth.finish_login(early).await, Err(OAuthError::UnknownLogin));
    let late = fixture.issuer.consent(&second.authorization_url);
    fixture.oauth.finish_login(late).await.expect("logged in");
}

#[tokio::test]
async fn a_login_waits_five_minutes() {
    let fixture = Fixture::start().await;
    let start = fixture.oauth.begin_login(&fixture.server(), REDIRECT_URI).await.expect("a login");
    fixture.clock.advance(Duration::from_secs(300));
    let late = fixture.issuer.consent(&start.authorization_url);
    assert_eq!(fixture.oauth.finish_login(late).await, Err(OAuthError::UnknownLogin));
}

#[tokio::test]
async fn a_refusal_shows_its_code_and_nothing_that_could_be_secret() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    for (error, shown) in [("access_denied", "access_denied"), ("a b<c>", "without a reason")] {
        let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
        let mut refused = Url::parse(REDIRECT_URI).expect("a URL");
        refused
            .query_pairs_mut()
            .append_pair("error", error)
            .append_pair("error_description", "s3cret")
            .append_pair("state", &start.state)
            .append_pair("iss", &fixture.http.origin);
        let told = fixture.oauth.finish_login(answer(refused.as_str())).await.expect_err("refused");
        assert_eq!(told.to_string(), format!("{} refused: {shown}", fixture.http.origin));
    }
    let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    fixture.issuer.answer_token(issuer::refusal("invalid_grant"));
    let told = fixture.oauth.finish_login(fixture.issuer.consent(&start.authorization_url)).await;
    let told = told.expect_err("refused");
    assert!(!format!("{told} {told:?}").contains("s3cret"));
}

#[tokio::test]
async fn metadata_that_point_inward_are_not_followed() {
    let fixture = Fixture::start().await;
    let port = fixture.http.origin.rsplit(':').next().expect("a port").to_owned();
    // The server's own name is written in the configuration; what it names is not.
    let server = server_at(&format!("http://mcp.example:{port}/mcp"), |_| {});
    for (inward, told) in [
        (format!("https://rebound.example:{port}"), "resolves to an address of this machine's own network"),
        (format!("https://127.0.0.1:{port}"), "points into this machine's own network"),
        ("https://169.254.169.254".to_owned(), "points into this machine's own network"),
        (format!("https://localhost:{port}"), "points into this machine's own network"),
        (format!("http://rebound.example:{port}"), "is not encrypted"),
        ("http://mcp.example:1".to_owned(), "is not encrypted"),
        ("https://mcp.example:1".to_owned(), "resolves to an address of this machine's own network"),
        ("file:///etc/passwd".to_owned(), "is no address of a host"),
    ] {
        fixture.issuer.set_resource("authorization_servers", json!([inward]));
        let error = begin_error(&fixture, &server).await;
        assert!(error.contains(told), "{inward}: {error}");
    }
    let own = json!([format!("http://mcp.example:{port}")]);
    fixture.issuer.set_resource("authorization_servers", own);
    for endpoint in ["authorization_endpoint", "registration_endpoint"] {
        fixture.issuer.set_metadata(endpoint, json!(format!("https://10.0.0.1:{port}/x")));
        let error = begin_error(&fixture, &server).await;
        assert!(error.contains("points into"), "{endpoint}: {error}");
        fixture.issuer.set_metadata(endpoint, json!(format!("http://mcp.example:{port}/register")));
    }
}

#[tokio::test]
async fn metadata_of_another_server_or_issuer_are_refused() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.issuer.set_metadata("issuer", json!("https://public.example"));
    let error = begin_error(&fixture, &server).await;
    assert!(error.contains("are those of another issuer"), "{error}");
    fixture.issuer.set_resource("resource", json!("https://public.example/mcp"));
    let error = begin_error(&fixture, &server).await;
    assert!(error.contains("are those of another server"), "{error}");
    assert!(fixture.http.seen().iter().all(|seen| seen.path != "/register"));
}

#[tokio::test]
async fn an_issuer_without_pkce_is_refused() {
    let fixture = Fixture::start().await;
    for methods in [json!(null), json!(["plain"])] {
        fixture.issuer.set_metadata("code_challenge_methods_supported", methods);
        let error = begin_error(&fixture, &fixture.server()).await;
        assert!(error.contains("PKCE"), "{error}");
    }
}

#[tokio::test]
async fn huge_metadata_are_not_read_whole() {
    let fixture = Fixture::start().await;
    fixture.issuer.set_metadata("service_documentation", json!("x".repeat(1 << 20)));
    let error = begin_error(&fixture, &fixture.server()).await;
    assert!(error.ends_with("answers with more than 256 KiB"), "{error}");
}

#[tokio::test]
async fn credentials_follow_no_redirect() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let elsewhere = FakeHttp::start(|_| Reply::status(200)).await;
    for status in [302, 307, 308] {
        let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
        let location = vec![("location", format!("{}/token", elsewhere.origin))];
        fixture.issuer.answer_token(Reply::Whole(status, location, String::new()));
        let finished = fixture.oauth.finish_login(fixture.issuer.consent(&start.authorization_url)).await;
        assert!(matches!(finished, Err(OAuthError::Refused { .. })), "{status}: {finished:?}");
    }
    assert_eq!(fixture.token_requests("authorization_code").len(), 3, "each redirect was met");
    assert!(elsewhere.seen().is_empty());
}

#[tokio::test]
async fn an_edited_address_gets_no_token_of_the_former() {
    let fixture = Fixture::start().await;
    let token = fixture.log_in(&fixture.server()).await;
    let port = fixture.http.origin.rsplit(':').next().expect("a port").to_owned();
    for other in [
        format!("http://localhost:{port}/mcp"),
        format!("{}/other", fixture.http.origin),
        "https://public.example/mcp".to_owned(),
    ] {
        assert_eq!(fixture.token(&server_at(&other, |_| {})).await, Ok(None), "{other}");
    }
    let client = server_at(&format!("{}/mcp", fixture.http.origin), |settings| {
        settings.client_id = Some("another".to_owned());
    });
    assert_eq!(fixture.token(&client).await, Ok(None), "nor does another client");
    assert_eq!(fixture.token(&fixture.server()).await, Ok(Some(token)));
}

/// A client with a secret of its own, which is shown in this way.
fn client_of(settings: &mut OAuthSettings, grant: OAuthGrant, method: TokenEndpointAuthMethod) {
    settings.grant = grant;
    settings.client_id = Some("mine".to_owned());
    settings.client_secret = Some(Secret::new("client-s3cret"));
    settings.token_endpoint_auth_method = Some(method);
}

/// Whether a request shows a secret of these tests, in its body or encoded in its header.
fn shows_secret(seen: &Seen) -> bool {
    let header = seen.header("authorization").strip_prefix("Basic ").unwrap_or_default();
    let header = data_encoding::BASE64.decode(header.as_bytes()).expect("base64");
    seen.body.contains("s3cret") || String::from_utf8_lossy(&header).contains("s3cret")
}

#[tokio::test]
async fn a_clients_secret_is_not_shown_to_another_issuer_than_before() {
    for method in [TokenEndpointAuthMethod::ClientSecretBasic, TokenEndpointAuthMethod::ClientSecretPost] {
        let fixture = Fixture::start().await;
        let evil = Arc::<Issuer>::default();
        let serving = Arc::clone(&evil);
        let elsewhere = FakeHttp::start(move |seen| serving.answer(seen)).await;
        let person =
            fixture.server_with(|settings| client_of(settings, OAuthGrant::AuthorizationCode, method));
        fixture.log_in(&person).await;
        // A login that began with one issuer goes on with it, also if another one ends first.
        let early = fixture.oauth.begin_login(&person, REDIRECT_URI).await.expect("a login");
        let client =
            fixture.server_with(|settings| client_of(settings, OAuthGrant::ClientCredentials, method));
        fixture.token(&client).await.expect("a token").expect("a token");
        assert!(fixture.http.seen().iter().any(shows_secret), "the issuer from before is shown it");
        let answer = fixture.issuer.consent(&early.authorization_url);
        fixture.oauth.finish_login(answer).await.expect("logged in");

        fixture.issuer.set_resource("authorization_servers", json!([elsewhere.origin]));
        let error = begin_error(&fixture, &person).await;
        assert!(error.contains("portero logout linear"), "{error}");
        fixture.oauth.logout(person.name(), Some(&person)).await.expect("logged out");
        fixture.issuer.set_resource("authorization_servers", json!([fixture.http.origin]));
        fixture.token(&client).await.expect("a token").expect("a token");
        fixture.issuer.set_resource("authorization_servers", json!([elsewhere.origin]));
        fixture.clock.advance(Duration::from_secs(3600));
        let error = fixture.token(&client).await.expect_err("another issuer").to_string();
        assert!(error.contains("portero logout linear"), "{error}");
        assert!(!elsewhere.seen().iter().any(shows_secret), "{:?}", elsewhere.seen());

        // After a logout, which a client's login has too, the person has taken it.
        fixture.oauth.logout(client.name(), Some(&client)).await.expect("logged out");
        fixture.token(&client).await.expect("a token").expect("a token");
        assert!(elsewhere.seen().iter().any(shows_secret));
    }
}

#[tokio::test]
async fn a_logout_shows_the_former_issuer_no_secret_of_the_edited_entry() {
    for method in [TokenEndpointAuthMethod::ClientSecretBasic, TokenEndpointAuthMethod::ClientSecretPost] {
        let fixture = Fixture::start().await;
        let elsewhere = FakeHttp::start(|_| Reply::status(404)).await;
        let former = fixture.server_with(|settings| {
            client_of(settings, OAuthGrant::AuthorizationCode, method);
            settings.client_secret = Some(Secret::new("former"));
        });
        let edited = server_at(&format!("{}/mcp", elsewhere.origin), |settings| {
            client_of(settings, OAuthGrant::AuthorizationCode, method);
        });
        fixture.log_in(&former).await;
        let requests = fixture.http.seen().len();
        let ended = fixture.oauth.logout(former.name(), Some(&edited)).await.expect("logged out");
        let Logout::Forgotten(why) = ended else { panic!("{ended:?}") };
        assert!(why.contains("its entry has changed since"), "{why}");
        let seen = fixture.http.seen().split_off(requests);
        assert!(!seen.iter().any(|seen| shows_secret(seen) || seen.path == "/revoke"), "{seen:?}");
        assert_eq!(elsewhere.seen().len(), 0);
        assert!(lock(&fixture.kept.values).is_empty());
    }
    // A client that registered itself needs nothing of the entry.
    let fixture = Fixture::start().await;
    let elsewhere = FakeHttp::start(|_| Reply::status(404)).await;
    fixture.log_in(&fixture.server()).await;
    let edited = server_at(&format!("{}/mcp", elsewhere.origin), |settings| {
        client_of(settings, OAuthGrant::AuthorizationCode, TokenEndpointAuthMethod::ClientSecretBasic);
    });
    assert_eq!(fixture.oauth.logout(edited.name(), Some(&edited)).await, Ok(Logout::Revoked));
    let revoked = fixture.http.seen().into_iter().find(|seen| seen.path == "/revoke").expect("revoked");
    assert_eq!((&*form(&revoked.body)["client_id"], revoked.header("authorization")), ("registered", ""));
}
