//! Requests with the token of a login.

use reqwest::Url;

use super::*;
use crate::oauth::OAuthServer;
use crate::oauth::tests::issuer::REDIRECT_URI;

/// A server that takes one token, with its issuer beside it, and a client that is logged in there.
async fn logged_in(
    on_call: impl Fn(&Seen) -> Reply + Send + Sync + 'static,
) -> (Fixture, crate::oauth::tests::Fixture) {
    let login = crate::oauth::tests::Fixture::start_with(move |seen| {
        (seen.path == "/mcp").then(|| match seen.header("authorization") {
            "" => challenge(401, "Bearer"),
            _ => usual(seen, &on_call),
        })
    });
    let login = login.await;
    let url = format!("{}/mcp", login.http.origin);
    let fixture = Fixture::with_oauth(&url, Arc::clone(&login.oauth), |server| {
        server.headers.clear();
        server.auth = ServerAuth::default();
    });
    (fixture, login)
}

fn challenge(status: u16, challenge: &str) -> Reply {
    Reply::Whole(status, vec![("www-authenticate", challenge.to_owned())], String::new())
}

async fn log_in(login: &crate::oauth::tests::Fixture) {
    let http = HttpServer {
        url: HttpUrl::parse(&format!("{}/mcp", login.http.origin)).expect("a URL"),
        is_sse: false,
        headers: BTreeMap::new(),
        auth: ServerAuth::default(),
        max_concurrent: HttpServer::DEFAULT_MAX_CONCURRENT,
        ca_file: None,
        client_certificate: None,
    };
    let server = OAuthServer::new(&"linear".parse().expect("a name"), &http).expect("a login");
    let start = login.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    let answer = login.issuer.consent(&start.authorization_url);
    login.oauth.finish_login(answer).await.expect("logged in");
}

/// The tokens that calls came with.
fn tokens_of_calls(login: &crate::oauth::tests::Fixture) -> Vec<String> {
    let calls = login.http.seen().into_iter().filter(|seen| seen.rpc_method() == "tools/call");
    calls.map(|seen| seen.header("authorization").to_owned()).collect()
}

#[tokio::test]
async fn a_server_that_wants_a_login_says_so_and_then_gets_the_token() {
    let (fixture, login) = logged_in(|seen| Reply::json(seen.result("{}"))).await;
    let refused = fixture.list().await.expect_err("no login yet").to_string();
    assert!(refused.contains("wants a login: run `portero login linear`"), "{refused}");
    log_in(&login).await;
    fixture.upstreams.replace_servers(Vec::new());
    let url = format!("{}/mcp", login.http.origin);
    let fixture = Fixture::with_oauth(&url, Arc::clone(&login.oauth), |server| {
        server.headers.clear();
        server.auth = ServerAuth::default();
    });
    fixture.list().await.expect("listed");
    assert_eq!(fixture.call("read").await.expect("answered"), "{}");
    assert_eq!(tokens_of_calls(&login), ["Bearer an-access-s3cret-1"]);
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_call_sent_once_more() {
    let (fixture, login) = logged_in(|seen| match seen.header("authorization") {
        "Bearer an-access-s3cret-1" => challenge(401, r#"Bearer error="invalid_token""#),
        _ => Reply::json(seen.result("{}")),
    })
    .await;
    log_in(&login).await;
    fixture.list().await.expect("listed");
    assert_eq!(fixture.call("read").await.expect("answered"), "{}");
    assert_eq!(tokens_of_calls(&login), ["Bearer an-access-s3cret-1", "Bearer an-access-s3cret-2"]);
}

#[tokio::test]
async fn a_server_that_refuses_every_token_gets_each_call_twice_at_most() {
    let (fixture, login) = logged_in(|_| challenge(401, "Bearer")).await;
    log_in(&login).await;
    fixture.list().await.expect("listed");
    for _ in 0..3 {
        let refused = words(fixture.call("read").await);
        assert!(refused.contains("run `portero login linear`; the call did not run"), "{refused}");
    }
    assert_eq!(tokens_of_calls(&login).len(), 4, "one renewal, and no loop");
}

#[tokio::test]
async fn a_missing_scope_is_told_and_the_call_is_not_repeated() {
    let lacking = r#"Bearer error="insufficient_scope", scope="write""#;
    let (fixture, login) = logged_in(move |_| challenge(403, lacking)).await;
    log_in(&login).await;
    fixture.list().await.expect("listed");
    let refused = words(fixture.call("read").await);
    assert!(refused.contains("this takes the scope `write`: run `portero login linear`"), "{refused}");
    assert_eq!(tokens_of_calls(&login).len(), 1);
}

#[tokio::test]
async fn another_refusal_is_no_matter_of_the_login() {
    let (fixture, login) = logged_in(|_| Reply::status(403)).await;
    log_in(&login).await;
    fixture.list().await.expect("listed");
    let refused = words(fixture.call("read").await);
    assert!(refused.contains("it refused the request (403)"), "{refused}");
}

#[tokio::test]
async fn a_redirect_to_another_origin_gets_no_token() {
    let elsewhere = FakeHttp::start(|seen| Reply::json(seen.result("{}"))).await;
    let target = format!("{}/mcp", elsewhere.origin);
    let (fixture, login) =
        logged_in(move |_| Reply::Whole(307, vec![("location", target.clone())], String::new())).await;
    log_in(&login).await;
    fixture.list().await.expect("listed");
    let refused = words(fixture.call("read").await);
    let moved: Url = elsewhere.origin.parse().expect("a URL");
    assert!(refused.contains(&moved.origin().ascii_serialization()), "{refused}");
    assert!(elsewhere.seen().is_empty());
}
