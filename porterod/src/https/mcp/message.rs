//! The messages in a body.

use portero::json::RawObject;
use portero::wire::modern::{DISCOVER_METHOD, RequestMeta};
use portero::wire::{self, IdKey, MalformedMessage, Message, MessageFault, MessageKind, Revision};
use serde_json::value::RawValue;

use super::headers::NamedVersion;
use super::refusal::McpRefusal;
use crate::remote_sessions::RequestKey;

/// The messages of a body: a well-formed one, or a batch.
#[derive(Debug)]
pub(super) struct ClientMessages<'a> {
    body: &'a str,
    kinds: Vec<MessageKind<'a>>,
    is_batch: bool,
    /// The parts of a batch that are no messages, each of which gets an answer.
    malformed: Vec<MalformedMessage>,
}

impl<'a> ClientMessages<'a> {
    /// Reads a body. What is no message is refused in the words of a session on stdio.
    pub(super) fn read(body: &'a [u8]) -> Result<Self, McpRefusal> {
        let body = wire::strip_byte_order_mark(body);
        let refuse = |malformed: MalformedMessage| McpRefusal::malformed(malformed.with_salvaged_id(body));
        let text = std::str::from_utf8(body)
            .map_err(|_| refuse(MalformedMessage { fault: MessageFault::NotUtf8, id: None }))?;
        let kinds = Vec::new();
        let mut read = Self { body: text, kinds, is_batch: false, malformed: Vec::new() };
        match Message::parse(body) {
            Ok(message) => read.kinds.push(message.into_kind()),
            Err(malformed) if malformed.fault == MessageFault::Batch => {
                read.is_batch = true;
                for message in wire::parse_batch(body).unwrap_or_default() {
                    match Message::from_value(message) {
                        Ok(message) => read.kinds.push(message.into_kind()),
                        Err(malformed) => read.malformed.push(malformed),
                    }
                }
            }
            Err(malformed) => return Err(refuse(malformed)),
        }
        Ok(read)
    }

    /// The refusal of a batch in which nothing is a message that a session could answer.
    pub(super) fn refuse_damaged_batch(&self) -> Result<(), McpRefusal> {
        if !self.is_batch || !self.request_keys().is_empty() {
            return Ok(());
        }
        if self.kinds.is_empty() && self.malformed.is_empty() {
            return Err(McpRefusal::malformed(MalformedMessage { fault: MessageFault::Shape, id: None }));
        }
        if self.malformed.is_empty() { Ok(()) } else { Err(McpRefusal::malformed_batch(&self.malformed)) }
    }

    /// The messages.
    pub(super) fn kinds(&self) -> &[MessageKind<'a>] {
        &self.kinds
    }

    /// Refuses a batch, for every revision without batches.
    pub(super) fn refuse_batch(&self) -> Result<(), McpRefusal> {
        match self.is_batch {
            true => {
                let malformed = MalformedMessage { fault: MessageFault::Batch, id: None };
                Err(McpRefusal::malformed(malformed.with_salvaged_id(self.body.as_bytes())))
            }
            false => Ok(()),
        }
    }

    /// Whether these are of 2026-07-28. Its requests say so themselves, and its clients say so in a header.
    pub(super) fn is_modern(&self, named: &NamedVersion) -> bool {
        named.is_modern()
            || matches!(self.kinds(), [MessageKind::Request { method, params, .. }]
                if method == DISCOVER_METHOD || RequestMeta::read(*params).protocol_version().is_some())
    }

    /// The revision of the only request: the one that it names or asks for.
    pub(super) fn revision(&self) -> Revision {
        let [MessageKind::Request { method, params, .. }] = self.kinds() else {
            return Revision::LATEST_LEGACY;
        };
        let named = RequestMeta::read(*params).protocol_version();
        if let Some(named) = named.and_then(|named| named.parse().ok()) {
            return named;
        }
        match method.as_ref() {
            DISCOVER_METHOD => Revision::LATEST,
            _ => {
                let params = params.and_then(|params| RawObject::read(params).ok()).unwrap_or_default();
                Revision::negotiate(&params.get_text("protocolVersion").unwrap_or_default())
            }
        }
    }

    /// The only message, if it is this request.
    pub(super) fn is_request(&self, wanted: &str) -> bool {
        !self.is_batch && matches!(self.kinds(), [MessageKind::Request { method, .. }] if method == wanted)
    }

    /// Whether a request with this method is among them.
    pub(super) fn has_request(&self, wanted: &str) -> bool {
        self.kinds.iter().any(|kind| matches!(kind, MessageKind::Request { method, .. } if method == wanted))
    }

    /// The id of the only request.
    pub(super) fn only_request_id(&self) -> Option<&'a RawValue> {
        match self.kinds() {
            [MessageKind::Request { id, .. }] if !self.is_batch => Some(id),
            _ => None,
        }
    }

    /// The requests that will be answered.
    pub(super) fn request_keys(&self) -> Vec<RequestKey> {
        let keys = self.kinds.iter().filter_map(|kind| match kind {
            MessageKind::Request { id, params, .. } => {
                let progress_token = RequestMeta::read(*params).progress_token().and_then(IdKey::from_raw);
                Some(RequestKey { id: IdKey::from_raw(id)?, progress_token })
            }
            MessageKind::Notification { .. } | MessageKind::Response { .. } => None,
        });
        keys.collect()
    }

    /// The requests that these cancel.
    pub(super) fn cancelled_requests(&self) -> Vec<IdKey> {
        let cancelled = self.kinds.iter().filter_map(|kind| match kind {
            MessageKind::Notification { method, params } if method == "notifications/cancelled" => {
                IdKey::from_raw(RawObject::read((*params)?).ok()?.get("requestId")?)
            }
            MessageKind::Notification { .. } | MessageKind::Request { .. } | MessageKind::Response { .. } => {
                None
            }
        });
        cancelled.collect()
    }

    /// The body as one line, for the session.
    pub(super) fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.body.len() + 1);
        wire::append_single_line(&mut line, self.body);
        line
    }
}
