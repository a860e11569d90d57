//! Routes each message of the client to its handler.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::client_queue::{AnswerBatch, AnswerTarget};
use super::event_loop::RequestFutures;
use super::lists::ClientList;
use super::request::ClientRequest;
use super::state::SessionState;
use crate::json::{self, RawJson};
use crate::wire::{self, MalformedMessage, Message, MessageFault, MessageKind, Revision, codes, modern};

/// Adds the id of a damaged request if it can still be read, so that the client isn't left waiting.
fn with_salvaged_id(malformed: MalformedMessage, line: &[u8]) -> MalformedMessage {
    let read = || match wire::salvage_messages(line).as_slice() {
        [request] if !request.is_response => request.id(),
        _ => None,
    };
    MalformedMessage { id: malformed.id.or_else(read), ..malformed }
}

impl SessionState {
    /// Handles one line of the client.
    pub(super) fn receive_line(self: &Arc<Self>, line: &[u8], work: &mut RequestFutures) {
        match Message::parse(line) {
            Ok(message) => self.dispatch_message(message.into_kind(), &AnswerTarget::Line, work),
            Err(MalformedMessage { fault: MessageFault::Batch, .. }) if self.protocol.accepts_batches() => {
                match wire::parse_batch(line) {
                    Some(messages) => self.receive_batch(&messages, work),
                    None => {
                        let malformed = MalformedMessage { fault: MessageFault::Shape, id: None };
                        self.client_queue.queue_malformed(&AnswerTarget::Line, &malformed);
                    }
                }
            }
            Err(malformed) => {
                self.client_queue.queue_malformed(&AnswerTarget::Line, &with_salvaged_id(malformed, line))
            }
        }
    }

    /// Handles the messages of a batch. Their answers go out together.
    fn receive_batch(self: &Arc<Self>, messages: &[&RawValue], work: &mut RequestFutures) {
        let batch = Arc::new(AnswerBatch::default());
        let to = AnswerTarget::Batch(Arc::clone(&batch));
        // One extra answer that no message settles. Without it the batch would go out as soon as its first
        // request is answered, before the others are dispatched.
        batch.expect_answer();
        for message in messages {
            match Message::from_value(message) {
                Ok(message) => self.dispatch_message(message.into_kind(), &to, work),
                Err(malformed) => self.client_queue.queue_malformed(&to, &malformed),
            }
        }
        if batch.settle_answer() {
            self.client_queue.queue_batch(&batch);
        }
    }

    fn dispatch_message(
        self: &Arc<Self>,
        kind: MessageKind<'_>,
        to: &AnswerTarget,
        work: &mut RequestFutures,
    ) {
        match kind {
            MessageKind::Request { id, method, params } => {
                self.dispatch_request(id, &method, params, to, work)
            }
            MessageKind::Notification { method, params } => {
                if method == "notifications/cancelled" {
                    self.handle_cancelled(params);
                }
            }
            // Portero sends the client no requests, so there is nothing that it could answer.
            MessageKind::Response { .. } => {}
        }
    }

    fn dispatch_request(
        self: &Arc<Self>,
        id: &RawValue,
        method: &str,
        params: Option<&RawValue>,
        to: &AnswerTarget,
        work: &mut RequestFutures,
    ) {
        if let AnswerTarget::Batch(batch) = to {
            batch.expect_answer();
        }
        let meta = modern::RequestMeta::read(params);
        let version = meta.protocol_version();
        let revision = version.as_deref().map(str::parse::<Revision>);
        let is_modern = method == modern::DISCOVER_METHOD || matches!(revision, Some(Ok(Revision::LATEST)));
        // Opened before any check, so that each refusal below is an answer with this id, in its batch.
        let Ok(request) = ClientRequest::open(self, id, is_modern, &meta, to.clone()) else { return };
        if let (Some(version), Some(Err(_))) = (version.as_deref(), revision)
            // `initialize` negotiates a version, so an unknown one is no error there.
            && method != "initialize"
        {
            match self.conceal_own(modern::unsupported_version_error(version)) {
                Ok(error) => request.answer_error_object(&error),
                Err(_) => request.answer_withheld(),
            }
            return;
        }
        if is_modern && !self.protocol.is_introduced() {
            self.set_client_from(meta.client_info());
        }
        self.route_request(request, method, params, work);
    }

    fn route_request(
        self: &Arc<Self>,
        request: ClientRequest,
        method: &str,
        params: Option<&RawValue>,
        work: &mut RequestFutures,
    ) {
        let shared = Arc::clone(self);
        let owned: Option<RawJson> = match method {
            // These need no server and are answered in the same step. The others become futures that the event
            // loop polls.
            "ping" => return request.answer_own_result(json::serialize_raw(&serde_json::Map::new())),
            "initialize" => return self.initialize(request, params, work),
            modern::DISCOVER_METHOD => return self.discover(request, work),
            modern::LISTEN_METHOD => return self.start_listen(request, params, work),
            "logging/setLevel" if !request.is_modern() => return self.set_log_level(request, params),
            _ => params.map(ToOwned::to_owned),
        };
        match method {
            "tools/call" => work.push(Box::pin(shared.call_tool(request, owned))),
            "tools/list" => work.push(Box::pin(shared.answer_list(request, ClientList::Tools, owned))),
            "resources/list" => {
                work.push(Box::pin(shared.answer_list(request, ClientList::Resources, owned)))
            }
            "resources/templates/list" => {
                work.push(Box::pin(shared.answer_list(request, ClientList::Templates, owned)))
            }
            "prompts/list" => work.push(Box::pin(shared.answer_list(request, ClientList::Prompts, owned))),
            "resources/read" => work.push(Box::pin(shared.read_resource(request, owned))),
            "prompts/get" => work.push(Box::pin(shared.get_prompt(request, owned))),
            "completion/complete" => work.push(Box::pin(shared.complete_argument(request, owned))),
            "resources/subscribe" if !request.is_modern() => {
                work.push(Box::pin(shared.subscribe(request, owned)));
            }
            "resources/unsubscribe" if !request.is_modern() => {
                work.push(Box::pin(shared.unsubscribe(request, owned)));
            }
            _ => {
                let words = format!("there is no method `{method}`");
                request.answer_error(codes::METHOD_NOT_FOUND, &words, None);
            }
        }
    }
}
