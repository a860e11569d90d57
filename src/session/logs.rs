//! Log messages of the servers, at the levels that the client wants.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::request::{ClientRequest, params_object};
use super::state::SessionState;
use crate::anonymize::{Leak, Real};
use crate::json::{self, RawJson, RawObject};
use crate::names::ServerName;
pub(super) use crate::server::LogLevel as Level;
use crate::wire::codes;

/// The error for a client that names an unknown level.
pub const UNKNOWN_LEVEL_MESSAGE: &str =
    "`level` must be debug, info, notice, warning, error, critical, alert or emergency";

impl SessionState {
    /// `logging/setLevel`
    pub(super) fn set_log_level(&self, request: ClientRequest, params: Option<&RawValue>) {
        let level = params_object(params).get_text("level").and_then(|level| level.parse::<Level>().ok());
        let Some(level) = level else {
            request.answer_fixed_error(codes::INVALID_PARAMS, UNKNOWN_LEVEL_MESSAGE);
            return;
        };
        self.set_log_threshold(level);
        request.answer_own_result(json::serialize_raw(&serde_json::Map::new()));
    }

    /// Sets the lowest level of log messages that the client wants.
    pub(super) fn set_log_threshold(&self, level: Level) {
        self.protocol.set_level(level);
        self.tell_servers(level);
    }

    /// A modern request wants messages of this level, so the servers must log at least as much.
    pub(super) fn lower_server_threshold(&self, level: Level) {
        if self.protocol.lower_server_level(level) {
            self.tell_servers(level);
        }
    }

    fn tell_servers(&self, level: Level) {
        self.pipeline.servers.set_log_level(level.as_str());
        self.pipeline.shared_servers.set_log_level(level);
    }

    /// Passes on a server's log message. `params` are those of its `notifications/message`.
    pub(super) fn forward_log(self: &Arc<Self>, server: &ServerName, params: Real<RawJson>) {
        let Some(params) = self.with_logger_name(server, &params) else { return };
        match self.pipeline.anonymizer.load().conceal(params) {
            Ok(params) => {
                if !self.client_queue.queue_log(&params) {
                    self.count_left_out_log();
                }
            }
            Err(Leak) => tracing::error!(%server, "a log message was withheld: a private value stood in it"),
        }
    }

    /// Reports log messages that a server's rate limit left out.
    pub(super) fn report_left_out_logs(self: &Arc<Self>, server: &ServerName, count: u64) {
        self.log_own_message(
            Level::Warning,
            &format!(
                "{count} messages of {server} were left out: it sent more than are passed on in a second"
            ),
        );
    }

    /// Sends the client a log message of Portero's own.
    pub(super) fn log_own_message(self: &Arc<Self>, level: Level, words: &str) {
        if !self.wants_level(level) {
            return;
        }
        let params = serde_json::json!({ "level": level.as_str(), "logger": "portero", "data": words });
        if let Ok(params) = self.conceal_own(json::serialize_raw(&params))
            && !self.client_queue.queue_log(&params)
        {
            self.count_left_out_log();
        }
    }

    /// The message with its server's name in it, or `None` if the client doesn't want it.
    fn with_logger_name(&self, server: &ServerName, params: &Real<RawJson>) -> Option<Real<RawJson>> {
        let object = RawObject::read(params.expose()).ok()?;
        let level = object.get_text("level")?.parse().ok()?;
        if !self.wants_level(level) {
            return None;
        }
        let logger = match object.get_text("logger") {
            Some(logger) if !logger.is_empty() => json::serialize_raw(&format!("{server}/{logger}")),
            Some(_) | None => json::serialize_raw(server.as_str()),
        };
        Some(Real::from_server(object.with_member("logger", &logger).to_raw()))
    }

    fn wants_level(&self, level: Level) -> bool {
        // Notifications can't be addressed to one request, so one open request that wants a level is enough.
        self.protocol.wants_level(level)
            || self.in_flight.lowest_log_level().is_some_and(|wanted| level >= wanted)
    }
}
