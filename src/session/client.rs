//! The client of a session: how it is spoken to, which of its requests are open, and what it listens to.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::client_queue::ClientQueue;
use super::in_flight::InFlight;
use super::protocol::ProtocolState;
use super::subscriptions::{NotificationTarget, Subscriptions};
use crate::anonymize::{Fake, Leak, Real};
use crate::audit::WithheldChannel;
use crate::json::{RawJson, RawObject};
use crate::names::ServerName;
use crate::pipeline::{Pipeline, WithheldMessage};
use crate::server::LogLevel;
use crate::wire::IdKey;
use crate::wire::modern::SubscriptionFilter;

/// The session's side of the connection to its client.
pub(super) struct Client {
    pub(super) queue: ClientQueue,
    pub(super) protocol: ProtocolState,
    pub(super) in_flight: InFlight,
    pub(super) subscriptions: Subscriptions,
    pipeline: Arc<Pipeline>,
}

impl Client {
    pub(super) fn new(pipeline: Arc<Pipeline>) -> Self {
        Self {
            queue: ClientQueue::default(),
            protocol: ProtocolState::default(),
            in_flight: InFlight::default(),
            subscriptions: Subscriptions::default(),
            pipeline,
        }
    }

    /// Conceals JSON that Portero made or the client sent.
    pub(super) fn conceal_own(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.pipeline.anonymizer.load().conceal_local(json)
    }

    /// Conceals the arguments that the client sent for a server.
    pub(super) fn conceal_arguments(&self, json: RawJson) -> Result<Fake<RawJson>, Leak> {
        self.pipeline.anonymizer.load().conceal_arguments(json)
    }

    /// Conceals JSON that this server sent.
    pub(super) fn conceal_from(
        &self,
        server: &ServerName,
        json: Real<RawJson>,
    ) -> Result<Fake<RawJson>, Leak> {
        self.pipeline.anonymizer.load().conceal_from(server, json)
    }

    /// Conceals JSON that some server sent.
    pub(super) fn conceal(&self, json: Real<RawJson>) -> Result<Fake<RawJson>, Leak> {
        self.pipeline.anonymizer.load().conceal(json)
    }

    /// Reports that a message was withheld, so that the daemon raises an alarm.
    pub(super) fn report_withheld(&self, channel: WithheldChannel, server: Option<&ServerName>, leak: &Leak) {
        let message = WithheldMessage { channel, server, tool: None, context: None };
        self.pipeline.report_withheld(&message, leak);
    }

    /// A server's URI, concealed.
    pub(super) fn conceal_uri(&self, uri: &str) -> String {
        self.pipeline.anonymizer.load().conceal_text(uri).into_inner()
    }

    /// Sets the lowest level of log messages that the client wants.
    pub(super) fn set_log_threshold(&self, level: LogLevel) {
        self.protocol.set_level(level);
        self.tell_servers(level);
    }

    /// A modern request wants messages of this level, so the servers must log at least as much.
    pub(super) fn lower_server_threshold(&self, level: LogLevel) {
        if self.protocol.lower_server_level(level) {
            self.tell_servers(level);
        }
    }

    fn tell_servers(&self, level: LogLevel) {
        self.pipeline.servers.set_log_level(level.as_str());
        self.pipeline.shared_servers.set_log_level(level);
    }

    /// Whether the client wants log messages of this level.
    pub(super) fn wants_level(&self, level: LogLevel) -> bool {
        // Notifications can't be addressed to one request, so one open request that wants a level is enough.
        self.protocol.wants_level(level)
            || self.in_flight.lowest_log_level().is_some_and(|wanted| level >= wanted)
    }

    /// Sends a notification to one target.
    pub(super) fn send_notification(
        &self,
        target: NotificationTarget,
        method: &'static str,
        params: Option<&Fake<RawJson>>,
    ) {
        match target {
            NotificationTarget::Connection => self.queue.queue_notification(method, params),
            NotificationTarget::Listener(id) => {
                self.queue.queue_subscription_notification(&id, method, params)
            }
        }
    }

    /// Sends a notification without `params` to the connection, if it is initialized, and to each listener that
    /// wants it.
    pub(super) fn announce(&self, method: &'static str, wants: impl Fn(&SubscriptionFilter) -> bool) {
        let connection = self.protocol.is_initialized().then_some(NotificationTarget::Connection);
        for target in connection.into_iter().chain(self.subscriptions.listeners_wanting(wants)) {
            self.send_notification(target, method, None);
        }
    }

    /// `notifications/cancelled`
    pub(super) fn handle_cancelled(&self, params: Option<&RawValue>) {
        let id = params.and_then(|params| RawObject::read(params).ok()?.get("requestId"));
        if let Some(key) = id.and_then(IdKey::from_raw) {
            self.in_flight.cancel_request(&key);
            self.subscriptions.end_listen(&key);
        }
    }

    /// Ends every listener regularly when the session ends.
    pub(super) fn end_listeners(&self) {
        for (key, id) in self.subscriptions.end_all_listens() {
            // This is the request's answer. The cancellation only ends `keep_listening`, which drops the
            // request.
            self.queue.queue_listen_result(&id);
            self.in_flight.cancel_request(&key);
        }
    }
}
