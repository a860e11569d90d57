//! Logins against a small issuer, which serves the metadata of the MCP server too.

mod attacks;
mod clients;
pub(crate) mod issuer;
mod renewal;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use portero::anonymize::Anonymizer;
use portero::clock::TestClock;
use portero::config::url::HttpUrl;
use portero::config::{HttpServer, OAuthSettings, ServerAuth};
use portero::ipc::CredentialPlace;
use portero::secret::Secret;
use portero::sync::lock;
use reqwest::Url;

use self::issuer::{Issuer, REDIRECT_URI};
use super::{HostLookup, LoginAnswer, Logout, OAuth, OAuthDeps, OAuthError, OAuthServer, ProxySettings};
use crate::http_transport::tests::fake_http::{FakeHttp, Reply, Seen};
use crate::secrets::kept::{CredentialName, KeepError, KeptCredential, KeptCredentials};
use crate::secrets::redaction::Redactions;

/// Credentials in memory, which a test can make unwritable.
pub(crate) struct MemoryKept {
    values: Mutex<BTreeMap<CredentialName, Secret>>,
    pub(crate) is_full: AtomicBool,
    /// Whether nothing can be removed.
    pub(crate) is_stuck: AtomicBool,
    /// Whether nothing can be listed.
    pub(crate) is_unlisted: AtomicBool,
    /// What blanks them.
    anonymizer: Arc<ArcSwap<Anonymizer>>,
}

impl Default for MemoryKept {
    fn default() -> Self {
        let anonymizer = Arc::new(ArcSwap::from_pointee(Anonymizer::empty()));
        let [is_full, is_stuck, is_unlisted] = [(); 3].map(|()| AtomicBool::default());
        Self { values: Mutex::default(), is_full, is_stuck, is_unlisted, anonymizer }
    }
}

impl KeptCredentials for MemoryKept {
    fn load<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<Option<Secret>, KeepError>> {
        Box::pin(async move { Ok(lock(&self.values).get(name).cloned()) })
    }

    fn save<'a>(
        &'a self,
        name: &'a CredentialName,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeepError>> {
        Box::pin(async move {
            if self.is_full.load(Ordering::Relaxed) {
                return Err(KeepError::TooMany);
            }
            lock(&self.values).insert(name.clone(), value.clone());
            Ok(())
        })
    }

    fn forget<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<bool, KeepError>> {
        Box::pin(async move {
            if self.is_stuck.load(Ordering::Relaxed) {
                return Err(KeepError::TooMany);
            }
            Ok(lock(&self.values).remove(name).is_some())
        })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<KeptCredential>, KeepError>> {
        let since = "2026-11-20T08:00:00Z".parse().expect("a time");
        let names: Vec<CredentialName> = lock(&self.values).keys().cloned().collect();
        let is_unlisted = self.is_unlisted.load(Ordering::Relaxed);
        let kept = move |name| KeptCredential { name, since, place: CredentialPlace::Store, trouble: None };
        Box::pin(async move {
            if is_unlisted {
                return Err(KeepError::TooMany);
            }
            Ok(names.into_iter().map(kept).collect())
        })
    }
}

/// Every host is this machine, except for `public.example`, which is elsewhere and never reached.
struct FakeLookup;

impl HostLookup for FakeLookup {
    fn lookup(&self, host: String) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let address = match &*host {
            "public.example" => IpAddr::from([8, 8, 8, 8]),
            _ => IpAddr::from([127, 0, 0, 1]),
        };
        Box::pin(async move { Ok(vec![SocketAddr::new(address, 0)]) })
    }
}

/// An issuer, and a daemon's logins.
pub(crate) struct Fixture {
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) http: FakeHttp,
    pub(crate) oauth: Arc<OAuth>,
    pub(crate) kept: Arc<MemoryKept>,
    pub(crate) clock: Arc<TestClock>,
}

impl Fixture {
    async fn start() -> Self {
        Self::start_with(|_| None).await
    }

    /// With answers of the MCP server, which come before those of the issuer.
    pub(crate) async fn start_with(mcp: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let issuer = Arc::<Issuer>::default();
        let serving = Arc::clone(&issuer);
        let http = FakeHttp::start(move |seen| mcp(seen).unwrap_or_else(|| serving.answer(seen))).await;
        let kept = Arc::<MemoryKept>::default();
        let clock = Arc::new(TestClock::at("2026-11-20T08:00:00Z".parse().expect("a time")));
        let oauth = open_oauth(&kept, &clock);
        Self { issuer, http, oauth, kept, clock }
    }

    /// The MCP server as it is configured.
    fn server(&self) -> OAuthServer {
        self.server_with(|_| {})
    }

    fn server_with(&self, change: impl FnOnce(&mut OAuthSettings)) -> OAuthServer {
        server_at(&format!("{}/mcp", self.http.origin), change)
    }

    /// Logs in as a person does, and returns the token.
    async fn log_in(&self, server: &OAuthServer) -> String {
        let start = self.oauth.begin_login(server, REDIRECT_URI).await.expect("a login");
        let answer = self.issuer.consent(&start.authorization_url);
        let finished = self.oauth.finish_login(answer).await.expect("logged in");
        assert_eq!(finished, *server.name());
        self.token(server).await.expect("a token").expect("logged in")
    }

    async fn token(&self, server: &OAuthServer) -> Result<Option<String>, OAuthError> {
        let token = self.oauth.access_token(server).await?;
        Ok(token.map(|token| token.expose().to_owned()))
    }

    /// The bodies that the token endpoint got for a grant.
    fn token_requests(&self, grant: &str) -> Vec<String> {
        let is_grant = |body: &String| form(body).get("grant_type").is_some_and(|found| found == grant);
        let seen = self.http.seen().into_iter().filter(|seen| seen.path == "/token");
        seen.map(|seen| seen.body).filter(is_grant).collect()
    }
}

pub(crate) fn open_oauth(kept: &Arc<MemoryKept>, clock: &Arc<TestClock>) -> Arc<OAuth> {
    OAuth::new(OAuthDeps {
        kept: Arc::clone(kept) as _,
        clock: Arc::clone(clock) as _,
        proxy: ProxySettings::default(),
        lookup: Arc::new(FakeLookup),
        redactions: Arc::new(Redactions::new(Arc::clone(&kept.anonymizer), Vec::new())),
    })
}

fn server_at(url: &str, change: impl FnOnce(&mut OAuthSettings)) -> OAuthServer {
    let mut settings = OAuthSettings::default();
    change(&mut settings);
    let http = HttpServer {
        url: HttpUrl::parse(url).expect("a URL"),
        is_sse: false,
        headers: BTreeMap::new(),
        auth: ServerAuth::OAuth(Box::new(settings)),
        max_concurrent: HttpServer::DEFAULT_MAX_CONCURRENT,
        ca_file: None,
        client_certificate: None,
    };
    OAuthServer::new(&"linear".parse().expect("a name"), &http).expect("a server with a login")
}

/// The parameters of a form or query.
fn form(text: &str) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

fn query(url: &Url) -> BTreeMap<String, String> {
    form(url.query().unwrap_or_default())
}

#[tokio::test]
async fn a_person_logs_in_once_and_the_token_outlives_the_daemon() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    assert_eq!(fixture.token(&server).await, Ok(None), "a server may need none");
    let start = fixture.oauth.begin_login(&server, REDIRECT_URI).await.expect("a login");
    let asked = query(&start.authorization_url);
    assert_eq!(asked["response_type"], "code");
    assert_eq!(asked["code_challenge_method"], "S256");
    assert_eq!(asked["resource"], format!("{}/mcp", fixture.http.origin));
    assert_eq!(asked["scope"], "read");
    assert_eq!(asked["state"], start.state);
    // The issuer checks the verifier, the redirect URI and the client.
    let answer = fixture.issuer.consent(&start.authorization_url);
    fixture.oauth.finish_login(answer).await.expect("logged in");
    let token = fixture.token(&server).await.expect("a token").expect("logged in");
    let request = &fixture.token_requests("authorization_code")[0];
    assert_eq!(form(request)["resource"], format!("{}/mcp", fixture.http.origin));

    let after_restart = open_oauth(&fixture.kept, &fixture.clock);
    let again = after_restart.access_token(&server).await.expect("a token").expect("still logged in");
    assert_eq!(again.expose(), token);
}

#[tokio::test]
async fn every_token_is_blanked_in_what_the_server_says() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.log_in(&server).await;
    fixture.clock.advance(Duration::from_secs(3600));
    fixture.token(&server).await.expect("renewed");
    let said = "an-access-s3cret-1 a-refresh-s3cret-1 an-access-s3cret-2 a-refresh-s3cret-2";
    let shown = fixture.kept.anonymizer.load().conceal_text(said).into_inner();
    assert!(!shown.contains("s3cret"), "{shown}");
}

#[tokio::test]
async fn a_logout_revokes_and_forgets() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    assert_eq!(fixture.oauth.logout(server.name(), Some(&server)).await, Ok(Logout::NotLoggedIn));
    fixture.log_in(&server).await;
    assert_eq!(fixture.oauth.logout(server.name(), Some(&server)).await, Ok(Logout::Revoked));
    let revoked: Vec<String> = fixture
        .http
        .seen()
        .into_iter()
        .filter(|seen| seen.path == "/revoke")
        .map(|seen| form(&seen.body)["token_type_hint"].clone())
        .collect();
    assert_eq!(revoked, ["refresh_token", "access_token"]);
    assert_eq!(fixture.token(&server).await, Ok(None));
    assert!(lock(&fixture.kept.values).is_empty());
}

#[tokio::test]
async fn a_logout_forgets_also_where_nothing_is_revoked() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.issuer.set_metadata("revocation_endpoint", serde_json::Value::Null);
    fixture.log_in(&server).await;
    assert!(matches!(fixture.oauth.logout(server.name(), Some(&server)).await, Ok(Logout::Forgotten(_))));
    assert!(lock(&fixture.kept.values).is_empty());
}

#[tokio::test]
async fn a_login_whose_entry_is_gone_is_listed_and_can_be_ended() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let kept = async || Vec::from_iter(fixture.oauth.kept_logins().await.expect("listed").into_keys());
    assert_eq!(kept().await, []);
    fixture.log_in(&server).await;
    assert_eq!(kept().await, [server.name().clone()]);
    assert_eq!(fixture.oauth.logout(server.name(), None).await, Ok(Logout::Revoked));
    assert_eq!(kept().await, []);
    let revoked = fixture.http.seen().into_iter().find(|seen| seen.path == "/revoke").expect("revoked");
    assert_eq!(form(&revoked.body)["client_id"], "registered");
}

#[tokio::test]
async fn a_logout_that_cannot_forget_revokes_all_the_same() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    fixture.log_in(&server).await;
    fixture.kept.is_stuck.store(true, Ordering::Relaxed);
    let failed = fixture.oauth.logout(server.name(), Some(&server)).await;
    assert!(matches!(failed, Err(OAuthError::Storage(_))), "{failed:?}");
    assert!(fixture.http.seen().iter().any(|seen| seen.path == "/revoke"));
}

#[tokio::test]
async fn a_device_login_that_is_given_up_in_mid_request_keeps_the_tokens_that_it_brings() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let start = fixture.oauth.begin_device(&server).await.expect("a login");
    let asked = || fixture.token_requests("urn:ietf:params:oauth:grant-type:device_code").len();
    // The second request brings the tokens, and is under way by then.
    let given_up = async {
        let asking = async {
            while asked() < 2 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), asking).await.expect("it is asked twice");
        OAuthError::UnknownLogin
    };
    let finished = fixture.oauth.finish_device(start.login, given_up).await;
    assert_eq!(finished, Ok(server.name().clone()));
    assert!(fixture.token(&server).await.expect("a token").is_some());

    fixture.oauth.logout(server.name(), Some(&server)).await.expect("logged out");
    let start = fixture.oauth.begin_device(&server).await.expect("a login");
    let before = asked();
    let finished = fixture.oauth.finish_device(start.login, async { OAuthError::UnknownLogin }).await;
    assert_eq!((finished, asked()), (Err(OAuthError::UnknownLogin), before), "a pause is ended at once");
    assert_eq!(fixture.token(&server).await, Ok(None));
}

#[tokio::test]
async fn a_login_that_waits_for_slow_metadata_holds_up_no_call() {
    const METADATA: &str = "/.well-known/oauth-protected-resource/mcp";
    let hangs = Arc::new(AtomicBool::new(false));
    let is_hanging = Arc::clone(&hangs);
    let fixture = Fixture::start_with(move |seen| {
        (seen.path == METADATA && is_hanging.load(Ordering::Relaxed)).then_some(Reply::Never)
    })
    .await;
    let server = fixture.server();
    let token = fixture.log_in(&server).await;
    hangs.store(true, Ordering::Relaxed);
    let (oauth, of) = (Arc::clone(&fixture.oauth), server.clone());
    let begun = tokio::spawn(async move { oauth.begin_login(&of, REDIRECT_URI).await.map(|_| ()) });
    let asking = async {
        while fixture.http.seen().iter().filter(|seen| seen.path == METADATA).count() < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), asking).await.expect("the metadata are asked for");
    let called = tokio::time::timeout(Duration::from_secs(20), fixture.token(&server)).await;
    assert_eq!(called.expect("the call doesn't wait"), Ok(Some(token)));
    begun.abort();
}

#[tokio::test]
async fn a_person_logs_in_on_another_device() {
    let fixture = Fixture::start().await;
    let server = fixture.server();
    let start = fixture.oauth.begin_device(&server).await.expect("a login");
    assert_eq!((&*start.user_code, start.expires_in), ("WDJB-MJHT", Duration::from_secs(600)));
    assert_eq!(start.verification_uri.as_str(), format!("{}/device", fixture.http.origin));
    let name = fixture.oauth.finish_device(start.login, std::future::pending::<OAuthError>()).await;
    let name = name.expect("logged in");
    assert_eq!(name, *server.name());
    let asked = fixture.token_requests("urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!(asked.len(), 2, "the first one was told to wait");
    assert!(fixture.token(&server).await.expect("a token").is_some());
}

#[test]
fn an_answer_is_read_from_a_query_or_a_whole_address() {
    let read = |text: &str| LoginAnswer::parse(text).map(|answer| answer.state().to_owned());
    assert_eq!(read("code=c&state=s"), Some("s".to_owned()));
    assert_eq!(read("http://127.0.0.1:1/callback?state=s&error=access_denied#x\n"), Some("s".to_owned()));
    for none in ["", "code=c", "state=s", "code=c&state=s&state=t", "code=c&code=d&state=s"] {
        assert_eq!(read(none), None, "{none}");
    }
    assert!(!format!("{:?}", LoginAnswer::parse("code=s3cret&state=s")).contains("s3cret"));
}
