//! A daemon in this process whose bot is the stand-in's, and the terminal beside it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use portero::audit::{self, Event, Filter};
use portero::clock::TestClock;
use portero::identity::Nonce;
use portero::ipc::requests::auth::{PairTelegram, SetPassphrase, UnpairTelegram};
use portero::ipc::requests::config::{ConfirmConfig, GetConfigChanges};
use portero::ipc::requests::daemon::GetStatus;
use portero::ipc::{
    AskError, Challenge, Client, Failure, FailureKind, Hello, PROTOCOL, PairingCode, Peer, Request,
    TelegramState, TelegramStatus,
};
use portero::paths::Paths;
use porterod::app::{App, Parts};
use porterod::channels::telegram::courier::Pace;
use porterod::channels::telegram::ear::Listening;
use porterod::channels::telegram::link::Tuning;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::standin::{StandIn, TOKEN};

pub(crate) const JANE: i64 = 501;
pub(crate) const ADA: i64 = 502;
pub(crate) const BOB: i64 = 503;
pub(crate) const CLEO: i64 = 504;
pub(crate) const MALLORY: i64 = 666;
/// The group in which Jane and Ada decide.
pub(crate) const GROUP: i64 = -1_001_000;
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
/// The shortest pause after a failure.
pub(crate) const PAUSE: Duration = Duration::from_millis(20);
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// Directories, Telegram and a running daemon.
pub(crate) struct World {
    directory: TempDir,
    pub(crate) telegram: StandIn,
    pub(crate) clock: Arc<TestClock>,
    environment: Vec<(OsString, OsString)>,
    /// The first pause before a bot that Telegram does not know is tried again.
    pub(crate) first_unknown_pause: Duration,
    /// The longest.
    pub(crate) unknown_pause: Duration,
    /// The first pause before a chat that the bot may not write to is tried again, and the longest.
    pub(crate) chat_pause: Duration,
    app: Option<App>,
}

/// A child that another test starts at this moment may still hold the former daemon's lock.
async fn start(parts: impl Fn() -> Parts) -> App {
    let starting = async {
        loop {
            match App::start(parts()).await {
                Err(failure) if failure.kind == FailureKind::Refused => tokio::time::sleep(PAUSE).await,
                started => return started.unwrap(),
            }
        }
    };
    tokio::time::timeout(SOON, starting).await.expect("in time")
}

impl World {
    /// A daemon whose configuration names the stand-in's bot.
    pub(crate) async fn new() -> Self {
        let world = Self::without_bot().await;
        world.configure(&json!({"token": TOKEN, "apiUrl": world.telegram.api_url()}));
        world.started().await
    }

    /// One that names Jane, too.
    pub(crate) async fn of_jane() -> Self {
        let world = Self::without_bot().await;
        world.configure(&json!({"token": TOKEN, "apiUrl": world.telegram.api_url(), "admin": JANE}));
        world.telegram.say(JANE, "/start");
        let world = world.started().await;
        world.serves().await;
        world
    }

    /// No daemon yet, and no bot.
    pub(crate) async fn without_bot() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["config", "home"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
        }
        let clock = Arc::new(TestClock::at("2026-11-20T12:00:00Z".parse().unwrap()));
        let telegram = StandIn::start().await;
        let long = Duration::from_secs(3600);
        Self {
            directory,
            telegram,
            clock,
            environment: Vec::new(),
            first_unknown_pause: long,
            unknown_pause: long,
            chat_pause: long,
            app: None,
        }
    }

    pub(crate) fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) async fn started(mut self) -> Self {
        self.app = Some(start(|| self.parts()).await);
        self
    }

    /// Ends the daemon and starts another in its place.
    pub(crate) async fn restarted(mut self) -> Self {
        self.end().await;
        self.started().await
    }

    pub(crate) async fn end(&mut self) {
        if let Some(app) = self.app.take() {
            app.shutdown().await;
        }
    }

    /// Writes the `telegram` section.
    pub(crate) fn configure(&self, telegram: &Value) {
        self.write("portero.json", &json!({"telegram": telegram}).to_string());
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let beside = self.at("beside");
        std::fs::write(&beside, text).unwrap();
        std::fs::rename(beside, self.at("config").join(name)).unwrap();
    }

    pub(crate) async fn request<R: Request>(&self, request: R) -> Result<R::Response, Failure> {
        let (build, config) = ("test".to_owned(), self.at("config"));
        let hello =
            Hello { protocol: PROTOCOL, build, config, peer: Peer::Terminal, nonce: Nonce::default() };
        let (client, _pushes, _) = Client::connect(&self.paths().socket(), hello, None).await.unwrap();
        match tokio::time::timeout(SOON, client.request(request)).await.expect("in time") {
            Ok(response) => Ok(response),
            Err(AskError::Refused(failure)) => Err(failure),
            Err(other) => panic!("{other}"),
        }
    }

    pub(crate) async fn status(&self) -> TelegramStatus {
        self.request(GetStatus).await.unwrap().telegram
    }

    /// Waits until the status is so.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&TelegramStatus) -> bool) -> TelegramStatus {
        let waiting = async {
            loop {
                let status = self.status().await;
                if so(&status) {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        match tokio::time::timeout(SOON, waiting).await {
            Ok(status) => status,
            Err(_) => panic!("not in time: {what}; {:?}", self.status().await),
        }
    }

    pub(crate) async fn is(&self, state: TelegramState) -> TelegramStatus {
        self.until(&state.to_string(), |status| status.state == state).await
    }

    /// Waits until it listens.
    pub(crate) async fn serves(&self) -> TelegramStatus {
        let serves =
            |status: &TelegramStatus| status.state == TelegramState::Serving && status.last_poll.is_some();
        self.until("a good poll", serves).await
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
                if waiting.changes.waits() {
                    return waiting.shown;
                }
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        };
        let shown = tokio::time::timeout(SOON, waiting).await.expect("in time");
        let challenge = Challenge::new(PASSPHRASE);
        self.request(ConfirmConfig { shown, challenge }).await.unwrap();
    }

    pub(crate) async fn code(&self) -> PairingCode {
        self.pairing_code(None).await
    }

    /// A code that a passphrase was given for.
    pub(crate) async fn code_with(&self, passphrase: &str) -> String {
        self.pairing_code(Some(Challenge::new(passphrase))).await.code
    }

    async fn pairing_code(&self, challenge: Option<Challenge>) -> PairingCode {
        self.request(PairTelegram { challenge }).await.unwrap()
    }

    pub(crate) async fn unpair(&self, passphrase: &str) -> Result<bool, Failure> {
        self.request(UnpairTelegram { challenge: Challenge::new(passphrase) }).await
    }

    /// Pairs Jane, and waits until she is told.
    pub(crate) async fn pair_jane(&self) {
        let code = self.code().await.code;
        self.telegram.say(JANE, &format!("/pair {code}"));
        self.hears(JANE, "Paired.").await;
    }

    /// Waits for a message of the bot that begins so.
    pub(crate) async fn hears(&self, person: i64, words: &str) -> String {
        let found = |it: &StandIn| it.by_bot(person).into_iter().find(|shown| shown.text.starts_with(words));
        self.telegram.until(words, found).await.text
    }

    /// Waits until the bot has answered so many of a person's words.
    pub(crate) async fn answered(&self, person: i64, count: usize) {
        let answers = |it: &StandIn| (it.by_bot(person).len() >= count).then_some(());
        self.telegram.until("answers", answers).await;
    }

    /// How often a configuration was put in force.
    pub(crate) fn configured(&self) -> usize {
        let log = audit::read(&self.paths().audit(), &Filter::default()).unwrap();
        let valid = |event: &Event| matches!(event, Event::Config { valid: true, .. });
        log.entries.iter().filter(|entry| valid(&entry.record.event)).count()
    }

    /// The acts in the audit.
    pub(crate) fn acts(&self) -> Vec<String> {
        let log = audit::read(&self.paths().audit(), &Filter::default()).unwrap();
        let acts = log.entries.into_iter().filter_map(|entry| match entry.record.event {
            Event::Act { act, about, done, .. } => Some(format!("{act}: {about}: {done}")),
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
        read(&self.at("state"), &mut all);
        all
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn paths(&self) -> Paths {
        Paths { config: self.at("config"), state: self.at("state"), runtime: self.at("run") }
    }

    fn parts(&self) -> Parts {
        let pace = Pace {
            gap: Duration::from_millis(1),
            group_minute: 1_000,
            first_pause: PAUSE,
            longest_pause: 4 * PAUSE,
            first_chat_pause: self.chat_pause,
            longest_chat_pause: self.chat_pause,
            ..Pace::default()
        };
        let listening = Listening {
            wait: Duration::from_secs(20),
            first_pause: PAUSE,
            longest_pause: 4 * PAUSE,
            conflict_pause: 4 * PAUSE,
            first_unknown_pause: self.first_unknown_pause,
            unknown_pause: self.unknown_pause,
            whoami_gap: Duration::ZERO,
        };
        Parts {
            paths: self.paths(),
            home: self.at("home"),
            environment: self.environment.clone(),
            clock: Arc::clone(&self.clock) as _,
            disk: Arc::new(audit::RealDisk),
            boot_id: "boot".to_owned(),
            guard: None,
            build: "test".to_owned(),
            telegram: Tuning {
                pace,
                listening,
                patience: Duration::from_secs(10),
                zone: TimeZone::UTC,
                head_look: Duration::from_millis(10),
                gather: Duration::from_millis(10),
            },
        }
    }
}
