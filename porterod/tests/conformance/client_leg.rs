//! The client leg, against the side of Portero that faces servers: the daemon's configuration, logins, transport and
//! upstreams.
//!
//! The suite starts a client for each scenario. Here that client is a relay, which hands the scenario to this test.
//! A browser isn't needed, because the suite's issuers consent by themselves.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::BoxFuture;
use portero::anonymize::Anonymizer;
use portero::call::{Call, Method};
use portero::clock::{Clock as _, SystemClock};
use portero::config::{ConfigFiles, ServerConfig, ServerLimits, read_config};
use portero::permit::{Admission, CallDefinition, admit_call};
use portero::policy::{Action, ConfigPolicy, Overrides, Policy};
use portero::secret::Secret;
use portero::server::{CallOptions, LaunchOptions, ServerAnswer, Upstreams};
use porterod::http_client::ProxySettings;
use porterod::http_transport::HttpClients;
use porterod::oauth::{LoginAnswer, OAuth, OAuthDeps, OAuthServer, SystemLookup};
use porterod::secrets::kept::{CredentialName, KeepError, KeptCredential, KeptCredentials};
use porterod::secrets::redaction::Redactions;
use serde_json::{Value, json};

use crate::check_results;
use crate::suite::{self, Release, Results, Scenario};

/// A person gives up after so many logins for one call.
const MAX_LOGINS: usize = 4;
/// The scenarios run side by side, beside other tests, so each has much time.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// Any address here does: the suite's issuers answer with a redirect, which the test reads itself.
const REDIRECT_URI: &str = "http://127.0.0.1:8912/callback";

#[tokio::test]
async fn the_client_leg_passes_but_for_the_failures_that_are_listed_with_a_reason() {
    check_results("stable client", 26, &run_clients(Release::Stable).await);
}

#[tokio::test]
async fn the_client_leg_of_the_next_suite_passes_but_for_the_failures_that_are_listed_with_a_reason() {
    check_results("next client", 48, &run_clients(Release::Next).await);
}

async fn run_clients(release: Release) -> Results {
    suite::run_clients(release, |scenario| Box::pin(play(scenario))).await
}

/// Plays a client: lists the server, calls its first tool, and logs in when that is wanted.
#[expect(clippy::print_stderr, reason = "it shows beside a scenario that fails")]
async fn play(scenario: Scenario) {
    let directory = tempfile::tempdir().unwrap();
    let config = write_config(directory.path(), &scenario);
    let server = OAuthServer::new(&config.name, config.as_http().unwrap()).unwrap();
    let anonymizer = Arc::new(ArcSwap::from_pointee(Anonymizer::empty()));
    let oauth = OAuth::new(OAuthDeps {
        kept: Arc::<MemoryKept>::default(),
        clock: Arc::new(SystemClock),
        proxy: ProxySettings::default(),
        lookup: Arc::new(SystemLookup),
        redactions: Arc::new(Redactions::new(Arc::clone(&anonymizer), Vec::new())),
    });
    for _ in 0..=MAX_LOGINS {
        let launch = LaunchOptions {
            guard: None,
            directory: directory.path().to_owned(),
            environment: Vec::new(),
            logs: directory.path().join("logs"),
            limits: ServerLimits {
                start_timeout: REQUEST_TIMEOUT,
                request_timeout: REQUEST_TIMEOUT,
                list_timeout: REQUEST_TIMEOUT,
                ..ServerLimits::default()
            },
            anonymizer: Arc::clone(&anonymizer),
            client: ("portero".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            clock: Arc::new(SystemClock),
            http: Some(Arc::new(HttpClients::new(ProxySettings::default(), Arc::clone(&oauth)))),
            references: None,
        };
        let (upstreams, _changes) = Upstreams::new(vec![config.clone()], launch);
        let ended = list_and_call(&upstreams, &config, &scenario.context).await;
        upstreams.close().await;
        match ended {
            Err(error) if error.contains("portero login") => {
                // What fails here shows in the suite's own checks.
                if let Err(error) = log_in(&oauth, &server).await {
                    eprintln!("{}: {error}", scenario.name);
                    return;
                }
            }
            Ok(()) => return,
            Err(error) => {
                eprintln!("{}: {error}", scenario.name);
                return;
            }
        }
    }
}

/// The server's entry, as a person writes it for what the suite says beforehand.
fn write_config(directory: &std::path::Path, scenario: &Scenario) -> ServerConfig {
    let context = &scenario.context;
    let mut oauth = json!({});
    for (field, known) in [("clientId", "client_id"), ("clientSecret", "client_secret")] {
        if let Some(text) = context[known].as_str() {
            oauth[field] = json!(text);
        }
    }
    if let Some(pem) = context["private_key_pem"].as_str() {
        let file = directory.join("key.pem");
        fs::write(&file, pem).unwrap();
        oauth["privateKeyFile"] = json!(file);
        oauth["privateKeyAlgorithm"] = context["signing_algorithm"].clone();
        oauth["tokenEndpointAuthMethod"] = json!("private_key_jwt");
    }
    if scenario.name.contains("client-credentials") {
        oauth["grant"] = json!("client_credentials");
    }
    if scenario.name == "auth/basic-cimd" {
        oauth["clientMetadataUrl"] = json!("https://conformance-test.local/client-metadata.json");
    }
    let entry = json!({"mcpServers": {"suite": {"type": "http", "url": scenario.url, "oauth": oauth}}});
    fs::write(directory.join("mcps.json"), entry.to_string()).unwrap();
    let (config, problems) = read_config(&ConfigFiles::load(directory).unwrap(), &|_| None);
    let config = config.unwrap_or_else(|| panic!("{}: {problems:?}", scenario.name));
    config.servers.into_iter().next().unwrap()
}

/// Lists the server and calls its tools: those that the scenario names, or the first one.
async fn list_and_call(upstreams: &Upstreams, config: &ServerConfig, context: &Value) -> Result<(), String> {
    let listing = upstreams.fetch_listing(&config.name).await.map_err(|error| error.to_string())?;
    let tools: Vec<Value> =
        listing.tools.iter().map(|tool| serde_json::from_str(tool.get()).unwrap()).collect();
    if let Some(calls) = context["toolCalls"].as_array() {
        for named in calls {
            call_tool(upstreams, config, &named["name"], &named["arguments"]).await?;
        }
        return Ok(());
    }
    if let Some(echo) = tools.iter().find(|tool| tool["name"] == "json_schema_echo") {
        let shown = tools.iter().find(|tool| *tool != echo).unwrap();
        return call_tool(upstreams, config, &echo["name"], &json!({"schema": shown["inputSchema"]})).await;
    }
    let Some(tool) = tools.first() else { return Ok(()) };
    let arguments = if tool["name"] == "add_numbers" { json!({"a": 5, "b": 3}) } else { json!({}) };
    call_tool(upstreams, config, &tool["name"], &arguments).await
}

async fn call_tool(
    upstreams: &Upstreams,
    config: &ServerConfig,
    name: &Value,
    arguments: &Value,
) -> Result<(), String> {
    let name = name.as_str().unwrap();
    let call = Call {
        tool: format!("{}/{name}", config.name).parse().unwrap(),
        method: Method::CallTool,
        params: serde_json::from_value(json!({"name": name, "arguments": arguments})).unwrap(),
        meta: None,
    };
    let policy = ConfigPolicy { default: Action::Allow, ..ConfigPolicy::default() };
    let policy = Policy::new(policy, Overrides::default());
    let admitted = admit_call(&policy, call, None, CallDefinition::default(), SystemClock.now());
    let Admission::Allowed(permitted) = admitted else { panic!("{admitted:?}") };
    let outgoing = permitted.reveal(&Anonymizer::empty());
    match upstreams.call(outgoing, CallOptions::default()).await {
        Ok(ServerAnswer::Result(_)) => Ok(()),
        Ok(ServerAnswer::Error(error)) => Err(error.expose().get().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Logs in, and plays the browser: it follows the issuer's redirect to what it brings back.
async fn log_in(oauth: &Arc<OAuth>, server: &OAuthServer) -> Result<(), String> {
    let told = |error: &dyn std::fmt::Display| error.to_string();
    let start = oauth.begin_login(server, REDIRECT_URI).await.map_err(|error| told(&error))?;
    let browser = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build();
    let browser = browser.map_err(|error| told(&error))?;
    let page = browser.get(start.authorization_url).timeout(Duration::from_secs(60)).send().await;
    let page = page.map_err(|error| told(&error))?;
    let back = page.headers().get("location").and_then(|location| location.to_str().ok());
    let answer = back.and_then(LoginAnswer::parse).ok_or("the issuer's page is no redirect")?;
    oauth.finish_login(answer).await.map_err(|error| told(&error))?;
    Ok(())
}

/// Credentials in memory.
#[derive(Default)]
struct MemoryKept(Mutex<BTreeMap<CredentialName, Secret>>);

impl KeptCredentials for MemoryKept {
    fn load<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<Option<Secret>, KeepError>> {
        Box::pin(async move { Ok(self.0.lock().unwrap().get(name).cloned()) })
    }

    fn save<'a>(
        &'a self,
        name: &'a CredentialName,
        value: &'a Secret,
    ) -> BoxFuture<'a, Result<(), KeepError>> {
        Box::pin(async move {
            self.0.lock().unwrap().insert(name.clone(), value.clone());
            Ok(())
        })
    }

    fn forget<'a>(&'a self, name: &'a CredentialName) -> BoxFuture<'a, Result<bool, KeepError>> {
        Box::pin(async move { Ok(self.0.lock().unwrap().remove(name).is_some()) })
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<KeptCredential>, KeepError>> {
        Box::pin(async move { Ok(Vec::new()) })
    }
}
