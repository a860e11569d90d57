//! Which message is for whom.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::lists::Listed;
use super::outbox::Batch;
use super::request::{Request, To};
use super::run::Work;
use super::state::Shared;
use crate::json::{self, RawJson};
use crate::wire::{self, Fault, Kind, Malformed, Message, Revision, codes, modern};

/// Adds the id that can still be read of a damaged request, so that its sender does not wait for ever.
fn with_id(malformed: Malformed, line: &[u8]) -> Malformed {
    let read = || match wire::salvage(line).as_slice() {
        [request] if !request.is_response => request.id(),
        _ => None,
    };
    Malformed { id: malformed.id.or_else(read), ..malformed }
}

impl Shared {
    /// Takes one line of the client.
    pub(super) fn receive(self: &Arc<Self>, line: &[u8], work: &mut Work) {
        match Message::parse(line) {
            Ok(message) => self.take(message.into_kind(), &To::Line, work),
            Err(Malformed { fault: Fault::Batch, .. }) if self.takes_batches() => match wire::batch(line) {
                Some(messages) => self.receive_batch(&messages, work),
                None => self.out.malformed(&Malformed { fault: Fault::Shape, id: None }),
            },
            Err(malformed) => self.out.malformed(&with_id(malformed, line)),
        }
    }

    fn takes_batches(&self) -> bool {
        self.speech.revision().is_none_or(Revision::has_batches)
    }

    /// Takes the messages of a batch; their answers go out together.
    fn receive_batch(self: &Arc<Self>, messages: &[&RawValue], work: &mut Work) {
        let batch = Arc::new(Batch::default());
        batch.expect();
        for message in messages {
            match Message::of(message) {
                Ok(message) => self.take(message.into_kind(), &To::Batch(Arc::clone(&batch)), work),
                Err(malformed) => batch.malformed(&malformed),
            }
        }
        if batch.settle() {
            self.out.batch(&batch);
        }
    }

    fn take(self: &Arc<Self>, kind: Kind<'_>, to: &To, work: &mut Work) {
        match kind {
            Kind::Request { id, method, params } => self.request(id, &method, params, to, work),
            Kind::Notification { method, params } => {
                if method == "notifications/cancelled" {
                    self.cancelled(params);
                }
            }
            // Portero asks the client nothing, so nothing can be answered.
            Kind::Response { .. } => {}
        }
    }

    fn request(
        self: &Arc<Self>,
        id: &RawValue,
        method: &str,
        params: Option<&RawValue>,
        to: &To,
        work: &mut Work,
    ) {
        if let To::Batch(batch) = to {
            batch.expect();
        }
        let meta = modern::RequestMeta::read(params);
        let version = meta.protocol_version();
        let revision = version.as_deref().map(str::parse::<Revision>);
        let is_modern = method == modern::DISCOVER || matches!(revision, Some(Ok(Revision::LATEST)));
        let Ok(request) = Request::open(self, id, is_modern, &meta, to.clone()) else { return };
        if let (Some(version), Some(Err(_))) = (version.as_deref(), revision)
            && method != "initialize"
        {
            match self.conceal_own(modern::unsupported_version(version)) {
                Ok(error) => request.error_object(&error),
                Err(_) => request.withheld(),
            }
            return;
        }
        if is_modern && !self.speech.is_introduced() {
            self.client_is(meta.client_info());
        }
        self.answer(request, method, params, work);
    }

    fn answer(self: &Arc<Self>, request: Request, method: &str, params: Option<&RawValue>, work: &mut Work) {
        let shared = Arc::clone(self);
        let owned: Option<RawJson> = match method {
            "ping" => return request.own_result(json::raw(&serde_json::Map::new())),
            "initialize" => return self.initialize(request, params, work),
            modern::DISCOVER => return self.discover(request, work),
            modern::LISTEN => return self.listen(request, params, work),
            "logging/setLevel" if !request.is_modern() => return self.set_level(request, params),
            _ => params.map(ToOwned::to_owned),
        };
        match method {
            "tools/call" => work.push(Box::pin(shared.call_tool(request, owned))),
            "tools/list" => work.push(Box::pin(shared.list(request, Listed::Tools, owned))),
            "resources/list" => work.push(Box::pin(shared.list(request, Listed::Resources, owned))),
            "resources/templates/list" => work.push(Box::pin(shared.list(request, Listed::Templates, owned))),
            "prompts/list" => work.push(Box::pin(shared.list(request, Listed::Prompts, owned))),
            "resources/read" => work.push(Box::pin(shared.read_resource(request, owned))),
            "prompts/get" => work.push(Box::pin(shared.get_prompt(request, owned))),
            "completion/complete" => work.push(Box::pin(shared.complete(request, owned))),
            "resources/subscribe" if !request.is_modern() => {
                work.push(Box::pin(shared.subscribe(request, owned)));
            }
            "resources/unsubscribe" if !request.is_modern() => {
                work.push(Box::pin(shared.unsubscribe(request, owned)));
            }
            _ => {
                let words = format!("there is no method `{method}`");
                request.error(codes::METHOD_NOT_FOUND, &words, None);
            }
        }
    }
}
