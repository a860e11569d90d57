//! The server leg, against `/mcp` of a whole daemon, behind which stands a server with all that the suite calls.
//!
//! The suite can't send a token, so a relay on loopback adds it. Everything else reaches the endpoint as the suite sent
//! it, hosts and origins too.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use portero::clock::SystemClock;
use portero::ipc::HttpsStatus;
use portero::paths::Paths;
use portero::server::GuardCommand;
use porterod::app::{App, AppDeps};
use porterod::telegram::supervisor::TelegramTiming;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::check_results;
use crate::suite::{self, Release};

const TOKEN: &str = "2f7c1b9e0d4a86553c1f0e9b7a2d4c68e1f3a5b7c9d0e2f4061728394a5b6c7d";
const START_TIMEOUT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn the_server_leg_passes_but_for_the_failures_that_are_listed_with_a_reason() {
    let endpoint = Endpoint::start("legacy").await;
    let results = suite::run_server(Release::Stable, &endpoint.url(), &["--suite", "all"]).await;
    endpoint.stop().await;
    check_results("stable server", 32, &results);
}

#[tokio::test]
async fn the_server_leg_of_the_next_suite_in_2025_11_25_passes_but_for_the_listed_failures() {
    let endpoint = Endpoint::start("legacy").await;
    let args = ["--suite", "all", "--spec-version", "2025-11-25"];
    let results = suite::run_server(Release::Next, &endpoint.url(), &args).await;
    endpoint.stop().await;
    check_results("next server 2025-11-25", 33, &results);
}

/// With the scenarios of extensions, too.
#[tokio::test]
async fn the_server_leg_of_the_next_suite_in_2026_07_28_passes_but_for_the_listed_failures() {
    let endpoint = Endpoint::start("modern").await;
    let args = ["--requirements", "2026-07-28"];
    let results = suite::run_server(Release::Next, &endpoint.url(), &args).await;
    endpoint.stop().await;
    check_results("next server 2026-07-28", 47, &results);
}

/// A daemon whose endpoint the suite reaches by a relay.
struct Endpoint {
    app: App,
    relay: SocketAddr,
    relaying: JoinHandle<()>,
    _home: TempDir,
}

impl Endpoint {
    /// One in front of a server of this era.
    async fn start(era: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        write_config(home.path(), era);
        let of = |name: &str| home.path().join(name);
        let app = App::start(AppDeps {
            paths: Paths { config: of("config"), state: of("state"), runtime: of("run") },
            home: of("home"),
            environment: std::env::vars_os().collect(),
            clock: Arc::new(SystemClock),
            disk: Arc::new(portero::audit::SystemDisk),
            boot_id: "boot".to_owned(),
            guard: Some(GuardCommand {
                program: env!("CARGO_BIN_EXE_porterod").into(),
                args: vec!["guard".into()],
            }),
            build: "test".to_owned(),
            telegram: TelegramTiming::default(),
            keyring: Arc::new(porterod::keyring::NoKeyring),
        });
        let app = app.await.unwrap();
        let served = async {
            loop {
                match app.daemon().https.status() {
                    HttpsStatus::Serving { address, .. } => return address,
                    _ => tokio::time::sleep(Duration::from_millis(10)).await,
                }
            }
        };
        let address = tokio::time::timeout(START_TIMEOUT, served).await.expect("the endpoint opens");
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let relay = listener.local_addr().unwrap();
        let relaying = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    // One that broke off shows in the suite.
                    let _ = relay_request(client, address).await;
                });
            }
        });
        Self { app, relay, relaying, _home: home }
    }

    fn url(&self) -> String {
        format!("http://{}/mcp", self.relay)
    }

    async fn stop(self) {
        self.relaying.abort();
        self.app.shutdown().await;
    }
}

fn write_config(home: &Path, era: &str) {
    for name in ["config", "home"] {
        fs::create_dir(home.join(name)).unwrap();
    }
    let write = |name: &str, text: String| fs::write(home.join("config").join(name), text).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/everything.mjs");
    let server = json!({
        "name": "everything", "command": "node", "args": [script], "env": {"MCP_ERA": era}, "prefix": false,
    });
    let limits = json!({"requestsPerMinute": 100_000, "requestsPerMinuteOfAddress": 100_000});
    let https = json!({"plainHttp": true, "listen": "127.0.0.1:0", "limits": limits});
    write("mcps.json", json!({"mcps": [server]}).to_string());
    write("policies.json", json!({"policies": {"*": "allow"}}).to_string());
    write("portero.json", json!({"https": https}).to_string());
    write(".env", format!("BEARER_TOKEN={TOKEN}\n"));
}

/// Carries one request and its response, and adds the token. The next request comes on a connection of its own, so that
/// only heads are looked at.
async fn relay_request(mut client: TcpStream, endpoint: SocketAddr) -> std::io::Result<()> {
    const END_OF_HEAD: &[u8] = b"\r\n\r\n";
    let mut head = Vec::new();
    let end = loop {
        if let Some(end) = head.windows(END_OF_HEAD.len()).position(|bytes| bytes == END_OF_HEAD) {
            break end;
        }
        if client.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    };
    let mut server = TcpStream::connect(endpoint).await?;
    server.write_all(&head[..end]).await?;
    let added = format!("\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close");
    server.write_all(added.as_bytes()).await?;
    server.write_all(&head[end..]).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
