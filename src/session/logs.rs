//! Log messages of the servers, in the levels that the client asked for.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::value::RawValue;

use super::request::{Request, object};
use super::state::Shared;
use crate::anonymize::{Fake, Leak, Real};
use crate::json::{self, Object, RawJson};
use crate::names::ServerName;
use crate::wire::codes;

/// The levels of MCP's log messages, which are syslog's (RFC 5424, section 6.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Level {
    Debug,
    Info,
    Notice,
    Warning,
    Error,
    Critical,
    Alert,
    Emergency,
}

impl Level {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Debug, "debug"),
        (Self::Info, "info"),
        (Self::Notice, "notice"),
        (Self::Warning, "warning"),
        (Self::Error, "error"),
        (Self::Critical, "critical"),
        (Self::Alert, "alert"),
        (Self::Emergency, "emergency"),
    ];

    fn as_str(self) -> &'static str {
        Self::ALL[self as usize].1
    }
}

/// A text names no level.
#[derive(Debug)]
pub(super) struct UnknownLevel;

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, UnknownLevel> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(level, _)| *level).ok_or(UnknownLevel)
    }
}

/// From which level on the client wants to hear, and from which the servers were told to speak.
#[derive(Debug)]
pub(super) struct Logs {
    client: AtomicU8,
    servers: AtomicU8,
}

impl Default for Logs {
    /// A client that says nothing gets what a person might need to know.
    fn default() -> Self {
        Self { client: AtomicU8::new(Level::Info as u8), servers: AtomicU8::new(u8::MAX) }
    }
}

impl Shared {
    /// `logging/setLevel`
    pub(super) fn set_level(&self, request: Request, params: Option<&RawValue>) {
        let level = object(params).text("level").and_then(|level| level.parse::<Level>().ok());
        let Some(level) = level else {
            request.fixed_error(
                codes::INVALID_PARAMS,
                "`level` must be debug, info, notice, warning, error, critical, alert or emergency",
            );
            return;
        };
        self.logs.client.store(level as u8, Ordering::Relaxed);
        self.logs.servers.store(level as u8, Ordering::Relaxed);
        self.pipeline.fleet.set_log_level(level.as_str());
        request.own_result(json::raw(&serde_json::Map::new()));
    }

    /// A modern request wants log messages from this level on: the servers must speak at least so much.
    pub(super) fn wants_logs(&self, level: Level) {
        if (level as u8) < self.logs.servers.fetch_min(level as u8, Ordering::Relaxed) {
            self.pipeline.fleet.set_log_level(level.as_str());
        }
    }

    /// A server logged something: `params` of its `notifications/message`.
    pub(super) fn log(&self, server: &ServerName, params: Real<RawJson>) {
        let Some(params) = self.named(server, &params) else { return };
        match self.pipeline.anonymizer.load().conceal(params) {
            Ok(params) => self.out.log(&params),
            Err(Leak) => tracing::error!(%server, "a log message was withheld: a private value stood in it"),
        }
    }

    /// A shared server logged something; the daemon concealed it.
    pub(super) fn forwarded_log(&self, server: &ServerName, params: Fake<RawJson>) {
        self.log(server, Real::from_server(params.into_inner()));
    }

    /// Tells the client something of Portero's own.
    pub(super) fn say(self: &Arc<Self>, level: Level, words: &str) {
        if !self.hears(level) {
            return;
        }
        let params = serde_json::json!({ "level": level.as_str(), "logger": "portero", "data": words });
        if let Ok(params) = self.conceal_own(json::raw(&params)) {
            self.out.log(&params);
        }
    }

    /// The message with its server's name in it, unless the client does not want to hear it.
    fn named(&self, server: &ServerName, params: &Real<RawJson>) -> Option<Real<RawJson>> {
        let object = Object::read(params.expose()).ok()?;
        let level = object.text("level")?.parse().ok()?;
        if !self.hears(level) {
            return None;
        }
        let logger = match object.text("logger") {
            Some(logger) if !logger.is_empty() => json::raw(&format!("{server}/{logger}")),
            Some(_) | None => json::raw(server.as_str()),
        };
        Some(Real::from_server(object.with("logger", &logger).to_raw()))
    }

    fn hears(&self, level: Level) -> bool {
        let legacy = self.speech.is_initialized() && level as u8 >= self.logs.client.load(Ordering::Relaxed);
        legacy || self.flights.log_level().is_some_and(|wanted| level >= wanted)
    }
}
