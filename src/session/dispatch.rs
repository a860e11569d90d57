//! Routes each message of the client to its handler.

use std::sync::Arc;

use futures_util::FutureExt as _;
use serde_json::value::RawValue;

use super::answers;
use super::builtin_tools::BuiltinTool;
use super::client_queue::{AnswerBatch, AnswerTarget};
use super::lists::ClientList;
use super::protocol::UNKNOWN_LEVEL_MESSAGE;
use super::request::{ClientRequest, RequestFutures, params_object};
use super::state::SessionState;
use crate::call::Method;
use crate::json::{self, RawJson};
use crate::pipeline::CallReply;
use crate::server::LogLevel;
use crate::wire::{self, MalformedMessage, Message, MessageFault, MessageKind, Revision, codes, modern};

impl SessionState {
    /// Handles one line of the client.
    pub(super) fn receive_line(self: &Arc<Self>, line: &[u8], work: &mut RequestFutures) {
        match Message::parse(line) {
            Ok(message) => self.dispatch_message(message.into_kind(), &AnswerTarget::Line, work),
            Err(MalformedMessage { fault: MessageFault::Batch, .. })
                if self.client.protocol.accepts_batches() =>
            {
                match wire::parse_batch(line) {
                    Some(messages) => self.receive_batch(&messages, work),
                    None => {
                        let malformed = MalformedMessage { fault: MessageFault::Shape, id: None };
                        self.client.queue.queue_malformed(&AnswerTarget::Line, &malformed);
                    }
                }
            }
            Err(malformed) => {
                self.client.queue.queue_malformed(&AnswerTarget::Line, &malformed.with_salvaged_id(line))
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
                Err(malformed) => self.client.queue.queue_malformed(&to, &malformed),
            }
        }
        if batch.settle_answer() {
            self.client.queue.queue_batch(&batch);
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
                    self.client.handle_cancelled(params);
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
        let Ok(request) = ClientRequest::open(&self.client, id, is_modern, &meta, to.clone()) else { return };
        if let (Some(version), Some(Err(_))) = (version.as_deref(), revision)
            // `initialize` negotiates a version, so an unknown one is no error there.
            && method != "initialize"
        {
            return self.answer_own_error(request, modern::unsupported_version_error(version));
        }
        if is_modern && let Some(key) = meta.missing_key() {
            return self.answer_own_error(request, modern::missing_key_error(key));
        }
        if is_modern && meta.log_level().is_some_and(|level| level.parse::<LogLevel>().is_err()) {
            return request.answer_fixed_error(codes::INVALID_PARAMS, UNKNOWN_LEVEL_MESSAGE);
        }
        if is_modern && !self.client.protocol.is_introduced() {
            self.set_client_from(meta.client_info());
        }
        self.route_request(request, method, params, work);
    }

    fn answer_own_error(&self, request: ClientRequest, error: RawJson) {
        match self.client.conceal_own(error) {
            Ok(error) => request.answer_error_object(&error),
            Err(leak) => request.answer_withheld(&leak),
        }
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
            // 2026-07-28 removed the methods that a session of its own needs.
            "ping" if !request.is_modern() => {
                return request.answer_own_result(json::serialize_raw(&serde_json::Map::new()));
            }
            "initialize" if !request.is_modern() => return self.initialize(request, params, work),
            modern::DISCOVER_METHOD => return self.discover(request, work),
            modern::LISTEN_METHOD => return self.start_listen(request, params, work),
            "logging/setLevel" if !request.is_modern() => return self.set_log_level(request, params),
            _ => params.map(ToOwned::to_owned),
        };
        match method {
            "tools/call" => work.push(Box::pin(shared.call_tool(request, owned))),
            "resources/read" => work.push(Box::pin(shared.read_resource(request, owned))),
            "prompts/get" => work.push(Box::pin(shared.get_prompt(request, owned))),
            "completion/complete" => work.push(Box::pin(shared.complete_argument(request, owned))),
            "resources/subscribe" if !request.is_modern() => {
                work.push(Box::pin(shared.subscribe(request, owned)));
            }
            "resources/unsubscribe" if !request.is_modern() => {
                work.push(Box::pin(shared.unsubscribe(request, owned)));
            }
            _ => match ClientList::from_method(method) {
                Some(list) => {
                    work.push(Box::pin(Arc::clone(&self.lists).answer_request(request, list, owned)));
                }
                None => {
                    let words = format!("there is no method `{method}`");
                    request.answer_error(codes::METHOD_NOT_FOUND, &words, None);
                }
            },
        }
    }

    /// `logging/setLevel`
    fn set_log_level(&self, request: ClientRequest, params: Option<&RawValue>) {
        let level = params_object(params).get_text("level").and_then(|level| level.parse::<LogLevel>().ok());
        let Some(level) = level else {
            request.answer_fixed_error(codes::INVALID_PARAMS, UNKNOWN_LEVEL_MESSAGE);
            return;
        };
        self.client.set_log_threshold(level);
        request.answer_own_result(json::serialize_raw(&serde_json::Map::new()));
    }

    /// `tools/call`
    async fn call_tool(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let object = params_object(params.as_deref());
        let Some(name) = object.get_text("name") else {
            request.answer_fixed_error(codes::INVALID_PARAMS, "`name` must be the name of a tool");
            return;
        };
        let meta = modern::RequestMeta::read(params.as_deref()).without_connection_keys();
        // Portero's own tools have no `outputSchema`, so their results are never checked against one.
        let mut is_checked = false;
        let reply = match BuiltinTool::from_name(&name) {
            Some(own) => self.run_builtin_tool(own, &object, meta, &request).await,
            None => {
                let tool = request.unless_cancelled(self.calls.resolve_tool(&name)).await;
                if let Ok(tool) = &tool {
                    let check = self.calls.check_param_headers(tool, params.as_deref());
                    let checked = request.unless_cancelled(check.map(Ok)).await;
                    if let Ok(Err(mismatch)) = checked {
                        return request.answer_error(codes::HEADER_MISMATCH, &mismatch, None);
                    }
                }
                let call = tool.and_then(|tool| self.calls.build_tool_call(tool, object, meta));
                match call {
                    Ok(call) => {
                        let tool = call.tool.clone();
                        let reply = self.calls.run_tool_call(call, request.call_options()).await;
                        is_checked = matches!(reply, CallReply::PendingApproval(_))
                            && self.agent.pipeline.catalog.may_have_output_schema(&tool);
                        reply
                    }
                    Err(refusal) => CallReply::Refused(refusal),
                }
            }
        };
        self.news.claim_ended_tasks().await;
        answers::answer_tool_call(request, reply, is_checked, &self.news);
    }

    /// `resources/read`
    async fn read_resource(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let call = request
            .unless_cancelled(self.calls.build_resource_call(Method::ReadResource, params.as_deref()))
            .await;
        let reply = match call {
            Ok((call, _)) => self.held.run_call(call, request.call_options()).await,
            Err(refusal) => CallReply::Refused(refusal),
        };
        answers::answer_read(request, reply);
    }

    /// `prompts/get`
    async fn get_prompt(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let reply = match request.unless_cancelled(self.calls.build_prompt_call(params.as_deref())).await {
            Ok(call) => self.held.run_call(call, request.call_options()).await,
            Err(refusal) => CallReply::Refused(refusal),
        };
        answers::answer_request(request, reply);
    }

    /// `completion/complete`
    async fn complete_argument(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let reply = match request.unless_cancelled(self.calls.build_completion_call(params.as_deref())).await
        {
            Ok(call) => self.agent.run_call(call, request.call_options()).await,
            Err(refusal) => CallReply::Refused(refusal),
        };
        answers::answer_request(request, reply);
    }
}
