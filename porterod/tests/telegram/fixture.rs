//! A daemon in this process whose bot is the fake Telegram's, and the terminal beside it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::audit::{self, AuditEvent, RecordFilter};
use portero::clock::TestClock;
use portero::ipc::requests::auth::{PairTelegram, SetPassphrase, UnpairTelegram};
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{
    Challenge, DaemonFailure, FailureKind, Hello, IpcClient, PROTOCOL_VERSION, PairingCode, PeerRole,
    Request, RequestError, TelegramState, TelegramStatus,
};
use portero::paths::Paths;
use portero::store_identity::Nonce;
use porterod::app::{App, AppDeps};
use porterod::telegram::sender::SendTiming;
use porterod::telegram::supervisor::TelegramTiming;
use porterod::telegram::updates::PollTiming;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fake_telegram::{FakeTelegram, TOKEN};

pub(crate) const JANE: i64 = 501;
pub(crate) const ADA: i64 = 502;
pub(crate) const BOB: i64 = 503;
pub(crate) const CLEO: i64 = 504;
pub(crate) const MALLORY: i64 = 666;
/// The group in which Jane and Ada decide.
pub(crate) const GROUP: i64 = -1_001_000;
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
/// The shortest pause after a failure.
pub(crate) const MIN_BACKOFF: Duration = Duration::from_millis(20);
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

/// Directories, Telegram and a running daemon.
pub(crate) struct TelegramFixture {
    directory: TempDir,
    pub(crate) telegram: FakeTelegram,
    pub(crate) clock: Arc<TestClock>,
    environment: Vec<(OsString, OsString)>,
    /// The first pause before a bot that Telegram does not know is tried again.
    pub(crate) initial_unknown_bot_backoff: Duration,
    /// The longest.
    pub(crate) max_unknown_bot_backoff: Duration,
    /// The first pause before a chat that the bot may not write to is tried again, and the longest.
    pub(crate) chat_backoff: Duration,
    app: Option<App>,
}

/// A child that another test starts at this moment may still hold the former daemon's lock.
async fn start_app(parts: impl Fn() -> AppDeps) -> App {
    let starting = async {
        loop {
            match App::start(parts()).await {
                Err(failure) if failure.kind == FailureKind::Refused => tokio::time::sleep(MIN_BACKOFF).await,
                started => return started.unwrap(),
            }
        }
    };
    tokio::time::timeout(WAIT_TIMEOUT, starting).await.expect("in time")
}

impl TelegramFixture {
    /// A daemon whose configuration names the fake Telegram's bot.
    pub(crate) async fn new() -> Self {
        let world = Self::without_bot().await;
        world.write_telegram_config(&json!({"token": TOKEN, "apiUrl": world.telegram.api_url()}));
        world.start().await
    }

    /// One that names Jane, too.
    pub(crate) async fn with_jane() -> Self {
        let world = Self::without_bot().await;
        world.write_telegram_config(
            &json!({"token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE}),
        );
        world.telegram.send_text(JANE, "/start");
        let world = world.start().await;
        world.wait_until_serving().await;
        world
    }

    /// No daemon yet, and no bot.
    pub(crate) async fn without_bot() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["config", "home"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let clock = Arc::new(TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()));
        let telegram = FakeTelegram::start().await;
        let long = Duration::from_secs(3600);
        Self {
            directory,
            telegram,
            clock,
            environment: Vec::new(),
            initial_unknown_bot_backoff: long,
            max_unknown_bot_backoff: long,
            chat_backoff: long,
            app: None,
        }
    }

    pub(crate) fn with_environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) async fn start(mut self) -> Self {
        self.app = Some(start_app(|| self.app_parts()).await);
        self
    }

    /// Ends the daemon and starts another in its place.
    pub(crate) async fn restart(mut self) -> Self {
        self.shut_down().await;
        self.start().await
    }

    pub(crate) async fn shut_down(&mut self) {
        if let Some(app) = self.app.take() {
            app.shutdown().await;
        }
    }

    /// Writes the `telegram` section.
    pub(crate) fn write_telegram_config(&self, telegram: &Value) {
        self.write_config("portero.json", &json!({"telegram": telegram}).to_string());
    }

    pub(crate) fn write_config(&self, name: &str, text: &str) {
        let beside = self.path_of("beside");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.path_of("config").join(name)).unwrap();
    }

    pub(crate) async fn request<R: Request>(&self, request: R) -> Result<R::Response, DaemonFailure> {
        let (build, config) = ("test".to_owned(), self.path_of("config"));
        let hello = Hello {
            protocol: PROTOCOL_VERSION,
            build,
            config,
            peer: PeerRole::Terminal,
            nonce: Nonce::default(),
        };
        let (client, _pushes, _) = IpcClient::connect(&self.paths().socket(), hello, None).await.unwrap();
        match tokio::time::timeout(WAIT_TIMEOUT, client.request(request)).await.expect("in time") {
            Ok(response) => Ok(response),
            Err(RequestError::Refused(failure)) => Err(failure),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn status(&self) -> TelegramStatus {
        self.request(GetStatus).await.unwrap().telegram
    }

    /// Waits until the status is so.
    pub(crate) async fn wait_for_status(
        &self,
        what: &str,
        so: impl Fn(&TelegramStatus) -> bool,
    ) -> TelegramStatus {
        let waiting = async {
            loop {
                let status = self.status().await;
                if so(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        match tokio::time::timeout(WAIT_TIMEOUT, waiting).await {
            Ok(status) => status,
            Err(_) => panic!("not in time: {what}; {:?}", self.status().await),
        }
    }

    pub(crate) async fn wait_for_state(&self, state: TelegramState) -> TelegramStatus {
        self.wait_for_status(&state.to_string(), |status| status.state == state).await
    }

    /// Waits until it listens.
    pub(crate) async fn wait_until_serving(&self) -> TelegramStatus {
        let serves =
            |status: &TelegramStatus| status.state == TelegramState::Serving && status.last_poll.is_some();
        self.wait_for_status("a good poll", serves).await
    }

    pub(crate) async fn set_passphrase(&self) {
        let new = Challenge::new(PASSPHRASE);
        self.request(SetPassphrase { old: None, new }).await.unwrap();
    }

    /// Confirms the edit of the configuration that waits, once it does.
    pub(crate) async fn confirm_config(&self) {
        let waiting = async {
            loop {
                let waiting = self.request(GetConfigChanges).await.unwrap();
                if waiting.changes.has_pending() {
                    return waiting.shown;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        let shown = tokio::time::timeout(WAIT_TIMEOUT, waiting).await.expect("in time");
        let challenge = Challenge::new(PASSPHRASE);
        self.request(ConfirmConfig { shown, challenge }).await.unwrap();
    }

    pub(crate) async fn new_pairing_code(&self) -> PairingCode {
        self.request_pairing_code(None).await
    }

    /// A code that a passphrase was given for.
    pub(crate) async fn new_pairing_code_with(&self, passphrase: &str) -> String {
        self.request_pairing_code(Some(Challenge::new(passphrase))).await.code
    }

    async fn request_pairing_code(&self, challenge: Option<Challenge>) -> PairingCode {
        self.request(PairTelegram { challenge }).await.unwrap()
    }

    pub(crate) async fn unpair(&self, passphrase: &str) -> Result<bool, DaemonFailure> {
        self.request(UnpairTelegram { challenge: Challenge::new(passphrase) }).await
    }

    /// Pairs Jane, and waits until she is told.
    pub(crate) async fn pair_jane(&self) {
        let code = self.new_pairing_code().await.code;
        self.telegram.send_text(JANE, &format!("/pair {code}"));
        self.wait_for_message(JANE, "Paired.").await;
    }

    /// Waits for a message of the bot that begins so.
    pub(crate) async fn wait_for_message(&self, person: i64, words: &str) -> String {
        let found = |it: &FakeTelegram| {
            it.bot_messages(person).into_iter().find(|shown| shown.text.starts_with(words))
        };
        self.telegram.wait_until(words, found).await.text
    }

    /// Waits until the bot has answered so many of a person's words.
    pub(crate) async fn wait_for_answers(&self, person: i64, count: usize) {
        let answers = |it: &FakeTelegram| (it.bot_messages(person).len() >= count).then_some(());
        self.telegram.wait_until("answers", answers).await;
    }

    /// How often a configuration was put in force.
    pub(crate) fn config_reload_count(&self) -> usize {
        let log = audit::read_log(&self.paths().audit(), &RecordFilter::default()).unwrap();
        let valid = |event: &AuditEvent| matches!(event, AuditEvent::Config { valid: true, .. });
        log.entries.iter().filter(|entry| valid(&entry.record.event)).count()
    }

    /// The acts in the audit.
    pub(crate) fn audited_acts(&self) -> Vec<String> {
        let log = audit::read_log(&self.paths().audit(), &RecordFilter::default()).unwrap();
        let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            AuditEvent::Act { act, about, done, .. } => Some(format!("{act}: {about}: {done}")),
            _ => None,
        });
        acts.collect()
    }

    /// Every file that the daemon wrote, as one text.
    pub(crate) fn all_files(&self) -> String {
        fn read(directory: &Path, all: &mut String) {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    read(&path, all);
                } else if let Ok(bytes) = std::fs::read(&path) {
                    all.push_str(&String::from_utf8_lossy(&bytes));
                }
            }
        }
        let mut all = String::new();
        read(&self.path_of("state"), &mut all);
        all
    }

    pub(crate) fn path_of(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths { config: self.path_of("config"), state: self.path_of("state"), runtime: self.path_of("run") }
    }

    fn app_parts(&self) -> AppDeps {
        let pace = SendTiming {
            chat_interval: Duration::from_millis(1),
            max_group_per_minute: 1_000,
            initial_backoff: MIN_BACKOFF,
            max_backoff: 4 * MIN_BACKOFF,
            initial_chat_backoff: self.chat_backoff,
            max_chat_backoff: self.chat_backoff,
            ..SendTiming::default()
        };
        let listening = PollTiming {
            poll_timeout: Duration::from_secs(20),
            initial_backoff: MIN_BACKOFF,
            max_backoff: 4 * MIN_BACKOFF,
            conflict_backoff: 4 * MIN_BACKOFF,
            initial_unknown_bot_backoff: self.initial_unknown_bot_backoff,
            max_unknown_bot_backoff: self.max_unknown_bot_backoff,
            whoami_interval: Duration::ZERO,
        };
        AppDeps {
            paths: self.paths(),
            home: self.path_of("home"),
            environment: self.environment.clone(),
            clock: Arc::clone(&self.clock) as _,
            disk: Arc::new(audit::SystemDisk),
            boot_id: "boot".to_owned(),
            guard: None,
            build: "test".to_owned(),
            telegram: TelegramTiming {
                sending: pace,
                polling: listening,
                request_timeout: Duration::from_secs(10),
                zone: TimeZone::UTC,
                audit_head_interval: Duration::from_millis(10),
                news_window: Duration::from_millis(10),
            },
            keyring: Arc::new(porterod::keyring::NoKeyring),
        }
    }
}
