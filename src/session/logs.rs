//! Log messages of the servers, in the levels that the client asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use serde_json::value::RawValue;

use super::request::{Request, object};
use super::state::Shared;
use crate::anonymize::{Fake, Leak, Real};
use crate::json::{self, Object, RawJson};
use crate::names::ServerName;
pub(super) use crate::server::LogLevel as Level;
use crate::wire::codes;

/// What a client is told that names no level.
pub const UNKNOWN_LEVEL: &str =
    "`level` must be debug, info, notice, warning, error, critical, alert or emergency";

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
            request.fixed_error(codes::INVALID_PARAMS, UNKNOWN_LEVEL);
            return;
        };
        self.log_from(level);
        request.own_result(json::raw(&serde_json::Map::new()));
    }

    /// The client wants log messages from this level on.
    pub(super) fn log_from(&self, level: Level) {
        self.logs.client.store(level as u8, Ordering::Relaxed);
        self.logs.servers.store(level as u8, Ordering::Relaxed);
        self.tell_servers(level);
    }

    /// A modern request wants log messages from this level on: the servers must speak at least so much.
    pub(super) fn wants_logs(&self, level: Level) {
        if (level as u8) < self.logs.servers.fetch_min(level as u8, Ordering::Relaxed) {
            self.tell_servers(level);
        }
    }

    fn tell_servers(&self, level: Level) {
        self.pipeline.fleet.set_log_level(level.as_str());
        self.pipeline.desk.set_log_level(level);
    }

    /// A server logged something: `params` of its `notifications/message`.
    pub(super) fn log(self: &Arc<Self>, server: &ServerName, params: Real<RawJson>) {
        let Some(params) = self.named(server, &params) else { return };
        match self.pipeline.anonymizer.load().conceal(params) {
            Ok(params) => {
                if !self.out.log(&params) {
                    self.count_left_out();
                }
            }
            Err(Leak) => tracing::error!(%server, "a log message was withheld: a private value stood in it"),
        }
    }

    /// Log messages of a server were left out, since it sent too many.
    pub(super) fn tell_left_out(self: &Arc<Self>, server: &ServerName, count: u64) {
        self.say(
            Level::Warning,
            &format!(
                "{count} messages of {server} were left out: it sent more than are passed on in a second"
            ),
        );
    }

    /// A shared server logged something; the daemon concealed it.
    pub(super) fn forwarded_log(self: &Arc<Self>, server: &ServerName, params: Fake<RawJson>) {
        self.log(server, Real::from_server(params.into_inner()));
    }

    /// Tells the client something of Portero's own.
    pub(super) fn say(self: &Arc<Self>, level: Level, words: &str) {
        if !self.hears(level) {
            return;
        }
        let params = serde_json::json!({ "level": level.as_str(), "logger": "portero", "data": words });
        if let Ok(params) = self.conceal_own(json::raw(&params))
            && !self.out.log(&params)
        {
            self.count_left_out();
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

    /// From which level on a request of this client wants log messages: a modern one says so itself.
    pub(super) fn log_level_of(&self, own: Option<Level>, is_modern: bool) -> Option<Level> {
        if is_modern || !self.speech.is_initialized() {
            return own;
        }
        let wanted = self.logs.client.load(Ordering::Relaxed);
        Level::ALL.into_iter().find(|level| *level as u8 == wanted)
    }

    fn hears(&self, level: Level) -> bool {
        let legacy = self.speech.is_initialized() && level as u8 >= self.logs.client.load(Ordering::Relaxed);
        legacy || self.flights.log_level().is_some_and(|wanted| level >= wanted)
    }
}
