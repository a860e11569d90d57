//! Tokens are renewed ahead of their end, one request for all calls, and never lost.

use super::issuer::refusal;
use super::*;
use crate::http_transport::tests::fake_http::Reply;
use crate::oauth::BearerChallenge;
use futures_util::future::join_all;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

const NEARLY_AN_HOUR: Duration = Duration::from_secs(3600 - 30);

#[tokio::test]
async fn concurrent_calls_share_one_renewal_ahead_of_the_end() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let first = fixture.log_in(&server).await;
    fixture.clock.advance(Duration::from_secs(3500));
    assert_eq!(fixture.token(&server).await, Ok(Some(first.clone())), "there is time yet");
    fixture.clock.advance(Duration::from_secs(70));
    let tokens = join_all((0..8).map(|_| fixture.token(&server))).await;
    for token in tokens {
        assert_eq!(token, Ok(Some("an-access-s3cret-2".to_owned())));
    }
    let renewals = fixture.token_requests("refresh_token");
    assert_eq!(renewals.len(), 1);
    assert_eq!(form(&renewals[0])["resource"], format!("{}/mcp", fixture.http.origin));
}

#[tokio::test]
async fn a_rotated_refresh_token_is_on_disk_before_its_access_token_is_used() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.log_in(&server).await;
    fixture.clock.advance(Duration::from_secs(3600));
    fixture.kept.is_full.store(true, Ordering::Relaxed);
    assert!(matches!(fixture.token(&server).await, Err(OAuthError::Storage(_))));
    assert!(matches!(fixture.token(&server).await, Err(OAuthError::Storage(_))), "not even later");
    fixture.kept.is_full.store(false, Ordering::Relaxed);
    assert_eq!(fixture.token(&server).await, Ok(Some("an-access-s3cret-2".to_owned())));
    assert_eq!(fixture.token_requests("refresh_token").len(), 1, "it was not lost");
    let after_restart = open_oauth(&fixture.kept, &fixture.clock);
    fixture.clock.advance(Duration::from_secs(3600));
    let next = after_restart.access_token(&server).await.expect("renewed").expect("a token");
    assert_eq!(next.expose(), "an-access-s3cret-3", "the kept refresh token is the newest");
}

#[tokio::test]
async fn a_call_that_is_cancelled_does_not_lose_the_new_tokens() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.log_in(&server).await;
    fixture.clock.advance(NEARLY_AN_HOUR);
    let (oauth, asked) = (Arc::clone(&fixture.oauth), server.clone());
    let call = tokio::spawn(async move { oauth.access_token(&asked).await });
    let renewing = async {
        while fixture.token_requests("refresh_token").is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), renewing).await.expect("it is renewed");
    call.abort();
    assert_eq!(fixture.token(&server).await, Ok(Some("an-access-s3cret-2".to_owned())));
    assert_eq!(fixture.token_requests("refresh_token").len(), 1);
}

#[tokio::test]
async fn an_issuer_that_is_away_costs_no_login() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let first = fixture.log_in(&server).await;
    fixture.clock.advance(NEARLY_AN_HOUR);
    fixture.issuer.answer_token(Reply::status(503));
    assert_eq!(fixture.token(&server).await, Ok(Some(first)), "the token has 30 s left");
    fixture.clock.advance(Duration::from_secs(40));
    fixture.issuer.answer_token(Reply::status(503));
    let away = fixture.token(&server).await.expect_err("it has ended");
    assert!(matches!(away, OAuthError::Unavailable(_)), "{away}");
    let asked = fixture.token_requests("refresh_token").len();
    assert_eq!(fixture.token(&server).await, Err(away), "it isn't asked again at once");
    assert_eq!(fixture.token_requests("refresh_token").len(), asked);
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(fixture.token(&server).await, Ok(Some("an-access-s3cret-2".to_owned())));
}

#[tokio::test]
async fn a_refused_refresh_token_ends_the_login() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.log_in(&server).await;
    fixture.clock.advance(Duration::from_secs(3600));
    fixture.issuer.answer_token(refusal("invalid_grant"));
    for _ in 0..2 {
        let ended = fixture.token(&server).await.expect_err("ended");
        assert_eq!(ended.to_string(), "its login has ended: run `portero login linear`");
        fixture.clock.advance(Duration::from_secs(60));
    }
    assert_eq!(fixture.token_requests("refresh_token").len(), 1);
    fixture.log_in(&server).await;
}

#[tokio::test]
async fn an_issuer_whose_tokens_end_at_once_is_asked_only_every_few_seconds() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let tokens = |number: usize| {
        Reply::json(format!(
            r#"{{"access_token":"an-access-s3cret-{number}","refresh_token":"a-refresh-s3cret-{number}","token_type":"Bearer","expires_in":0}}"#
        ))
    };
    for number in 0..3 {
        fixture.issuer.answer_token(tokens(number));
    }
    assert_eq!(fixture.log_in(&server).await, "an-access-s3cret-1");
    for _ in 0..20 {
        assert_eq!(fixture.token(&server).await, Ok(Some("an-access-s3cret-1".to_owned())));
    }
    assert_eq!(fixture.token_requests("refresh_token").len(), 1);
    fixture.clock.advance(Duration::from_secs(5));
    assert_eq!(fixture.token(&server).await, Ok(Some("an-access-s3cret-2".to_owned())));
}

#[tokio::test]
async fn a_configured_client_that_is_refused_costs_no_login() {
    let fixture = Fixture::start().await;
    let server = fixture.server_with(|settings| {
        settings.client_id = Some("mine".to_owned());
        settings.client_secret = Some(Secret::new("mistyped"));
    });
    fixture.log_in(&server).await;
    for code in ["invalid_client", "unauthorized_client"] {
        fixture.clock.advance(Duration::from_secs(3600));
        fixture.issuer.answer_token(refusal(code));
        let refused = fixture.token(&server).await.expect_err("refused");
        assert!(refused.to_string().contains("check `clientId` and `clientSecret`"), "{refused}");
        fixture.clock.advance(Duration::from_secs(5));
        fixture.token(&server).await.expect("the login is still there").expect("a token");
    }
    // One that registered itself is forgotten for good.
    let registered = fixture.server();
    fixture.log_in(&registered).await;
    fixture.clock.advance(Duration::from_secs(3600));
    fixture.issuer.answer_token(refusal("invalid_client"));
    let ended = fixture.token(&registered).await.expect_err("ended");
    assert_eq!(ended.to_string(), "its login has ended: run `portero login linear`");
    let registrations = || fixture.http.seen().iter().filter(|seen| seen.path == "/register").count();
    let before = registrations();
    fixture.log_in(&registered).await;
    assert_eq!(registrations(), before + 1);
}

#[tokio::test]
async fn a_request_from_before_a_login_is_sent_again_with_its_token() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let token = fixture.log_in(&server).await;
    let refused = fixture.oauth.take_refusal(&server, None, StatusCode::UNAUTHORIZED, None).await;
    assert_eq!(refused, Ok(()), "nobody needs to sign in again");
    assert_eq!(fixture.token(&server).await, Ok(Some(token)));
    assert!(fixture.token_requests("refresh_token").is_empty());
}

/// A refusal by the server, with this challenge.
pub(super) async fn refuse(
    fixture: &Fixture,
    server: &OAuthServer,
    status: u16,
    challenge: &str,
) -> Result<(), OAuthError> {
    let used = fixture.oauth.access_token(server).await.expect("a token");
    let mut headers = HeaderMap::new();
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_str(challenge).expect("a header"));
    let status = StatusCode::from_u16(status).expect("a status");
    fixture.oauth.take_refusal(server, used.as_ref(), status, BearerChallenge::read(&headers)).await
}

#[tokio::test]
async fn a_server_that_refuses_every_token_costs_one_renewal_a_minute() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.log_in(&server).await;
    assert_eq!(refuse(&fixture, &server, 401, "Bearer").await, Ok(()), "renewed");
    for _ in 0..20 {
        let refused = refuse(&fixture, &server, 401, "Bearer").await.expect_err("no other token");
        assert_eq!(refused.to_string(), "run `portero login linear`");
    }
    assert_eq!(fixture.token_requests("refresh_token").len(), 1);
    fixture.clock.advance(Duration::from_secs(60));
    assert_eq!(refuse(&fixture, &server, 401, "Bearer").await, Ok(()));
}

#[tokio::test]
async fn the_refusal_of_an_older_token_renews_nothing() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let older = Secret::new(fixture.log_in(&server).await);
    assert_eq!(refuse(&fixture, &server, 401, "Bearer").await, Ok(()));
    let again = fixture.oauth.take_refusal(&server, Some(&older), StatusCode::UNAUTHORIZED, None).await;
    assert_eq!(again, Ok(()), "there is a newer one already");
    assert_eq!(fixture.token_requests("refresh_token").len(), 1);
}

#[tokio::test]
async fn a_missing_scope_is_asked_for_beside_the_others_and_only_once() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.log_in(&server).await;
    let lacking = r#"Bearer error="insufficient_scope", scope="write""#;
    let refused = refuse(&fixture, &server, 403, lacking).await.expect_err("a login");
    assert_eq!(refused.to_string(), "this takes the scope `write`: run `portero login linear`");
    let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    assert_eq!(query(&start.authorization_url)["scope"], "read write");
    fixture.oauth.finish_login(fixture.issuer.consent(&start.authorization_url)).await.expect("logged in");
    let refused = refuse(&fixture, &server, 403, lacking).await.expect_err("refused");
    assert!(!refused.to_string().contains("portero login"), "another login changes nothing: {refused}");
}
