//! Requests that go to a server: tools, resources, prompts and completions, all through the pipeline.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::future::join_all;
use serde_json::value::RawValue;

use super::answers;
use super::builtin_tools;
use super::request::{ClientRequest, params_object};
use super::state::SessionState;
use crate::call::{Call, Method};
use crate::catalog::alias;
use crate::json::{self, RawJson, RawObject};
use crate::names::{Operation, ServerName, ToolId};
use crate::pipeline::{CallReply, Refusal};
use crate::server::CallOptions;
use crate::sync::lock;
use crate::wire::{IdKey, codes, modern};

impl SessionState {
    /// `tools/call`
    pub(super) async fn call_tool(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let object = params_object(params.as_deref());
        let Some(name) = object.get_text("name") else {
            request.answer_fixed_error(codes::INVALID_PARAMS, "`name` must be the name of a tool");
            return;
        };
        let meta = modern::RequestMeta::read(params.as_deref()).without_connection_keys();
        // Portero's own tools have no `outputSchema`, so their results are never checked against one.
        let mut is_checked = false;
        let reply = match builtin_tools::BuiltinTool::from_name(&name) {
            Some(own) => self.run_builtin_tool(own, &object, meta, &request).await,
            None => {
                let tool = request.unless_cancelled(self.resolve_tool(&name)).await;
                let call = tool.and_then(|tool| self.build_tool_call(tool, object, meta));
                match call {
                    Ok(call) => {
                        let tool = call.tool.clone();
                        let reply = self.run_tool_call(call, request.call_options()).await;
                        is_checked = matches!(reply, CallReply::PendingApproval(_))
                            && self.pipeline.catalog.may_have_output_schema(&tool);
                        reply
                    }
                    Err(refusal) => CallReply::Refused(refusal),
                }
            }
        };
        answers::answer_tool_call(request, reply, is_checked);
    }

    /// Runs a tool's call and records that the tool was used.
    pub(super) async fn run_tool_call(self: &Arc<Self>, call: Call, follow: CallOptions) -> CallReply {
        let tool = call.tool.clone();
        let context = self.context.load_full();
        let reply = self.pipeline.handle_call(call, &context, follow).await;
        // A pinned tool is listed anyway, so it takes no place among the recent ones.
        if matches!(reply, CallReply::Result(_) | CallReply::PendingApproval(_))
            && !self.pipeline.catalog.is_pinned(&tool)
            && self.recent_tools.record_use(&tool)
        {
            // In the background, because composing the lists must not delay this answer.
            let shared = Arc::clone(self);
            self.spawn_background(async move { shared.notify_list_changes() });
        }
        reply
    }

    /// The tool that a name means. If no known listing has it, servers without a listing are waited for.
    /// Those that the name may begin with have as long as they need to start, the others as long as a list
    /// waits.
    pub(super) async fn resolve_tool(self: &Arc<Self>, name: &str) -> Result<ToolId, Refusal> {
        let catalog = &self.pipeline.catalog;
        if let Some(tool) = catalog.resolve_tool(name) {
            return Ok(tool);
        }
        if let Ok(tool) = name.parse::<ToolId>()
            && catalog.servers().contains(&tool.server)
        {
            // The pipeline fetches this one server's listing itself.
            return Ok(tool);
        }
        self.fetch_likely_servers(name).await;
        if let Some(tool) = catalog.resolve_tool(name) {
            return Ok(tool);
        }
        self.wait_for_listings().await;
        catalog.resolve_tool(name).ok_or_else(|| self.missing_tool_refusal(name))
    }

    /// Waits for the listings of servers that the name may begin with. Failed ones don't list the tool.
    async fn fetch_likely_servers(&self, name: &str) {
        let missing = self.pipeline.catalog.unanswered_servers().into_iter();
        let meant = missing.filter(|server| may_begin_with_server(name, server));
        join_all(meant.map(|server| async move { self.pipeline.fetch_listing(&server).await.is_ok() })).await;
    }

    /// Why no server offers a tool: its server is unavailable, or the name is unknown.
    fn missing_tool_refusal(&self, name: &str) -> Refusal {
        let begins = |server: &ServerName| {
            let meant = name.split('/').next() == Some(server.as_str());
            meant
                || name
                    .split_once(alias::SEPARATOR)
                    .is_some_and(|(begin, _)| begin == folded_server_name(server))
        };
        let skipped = lock(&self.skipped);
        let skipped = skipped.iter().map(|skipped| (skipped.server.clone(), skipped.reason.clone()));
        let mut absent = skipped.chain(self.pipeline.catalog.failures());
        match absent.find(|(server, _)| begins(server)) {
            Some((server, reason)) => {
                Refusal::ServerUnavailable(format!("the server `{server}` is not available: {reason}"))
            }
            None => Refusal::Unknown(name.to_owned()),
        }
    }

    /// The server's own name for a tool. Without a listing it is the name as given, which the pipeline then
    /// refuses.
    pub(super) fn server_tool_name(&self, tool: &ToolId) -> String {
        match self.pipeline.catalog.tool(tool) {
            Some(known) => known.name.expose().clone(),
            None => tool.tool.original().map_or_else(|| tool.tool.to_string(), Cow::into_owned),
        }
    }

    /// A tool's call: the client's members, with the server's own name for the tool.
    pub(super) fn build_tool_call(
        &self,
        tool: ToolId,
        params: RawObject<'_>,
        meta: Option<RawJson>,
    ) -> Result<Call, Refusal> {
        let name = self.server_tool_name(&tool);
        self.build_call(tool, Method::CallTool, params, ("name", &json::serialize_raw(&name)), meta)
    }

    /// `resources/read`
    pub(super) async fn read_resource(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let call =
            request.unless_cancelled(self.build_resource_call(Method::ReadResource, params.as_deref())).await;
        let reply = match call {
            Ok((call, _)) => self.run_call(call, request.call_options()).await,
            Err(refusal) => CallReply::Refused(refusal),
        };
        answers::answer_read(request, reply);
    }

    /// `prompts/get`
    pub(super) async fn get_prompt(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let reply = match request.unless_cancelled(self.build_prompt_call(params.as_deref())).await {
            Ok(call) => self.run_call(call, request.call_options()).await,
            Err(refusal) => CallReply::Refused(refusal),
        };
        answers::answer_request(request, reply);
    }

    /// `completion/complete`
    pub(super) async fn complete_argument(self: Arc<Self>, request: ClientRequest, params: Option<RawJson>) {
        let reply = match request.unless_cancelled(self.build_completion_call(params.as_deref())).await {
            Ok(call) => self.run_call(call, request.call_options()).await,
            Err(refusal) => CallReply::Refused(refusal),
        };
        answers::answer_request(request, reply);
    }

    /// Runs a call that isn't a tool's.
    pub(super) async fn run_call(&self, call: Call, follow: CallOptions) -> CallReply {
        let context = self.context.load_full();
        self.pipeline.handle_call(call, &context, follow).await
    }

    /// The call of a method about one resource, and the URI as the client wrote it.
    pub(super) async fn build_resource_call(
        self: &Arc<Self>,
        method: Method,
        params: Option<&RawValue>,
    ) -> Result<(Call, String), Refusal> {
        let object = params_object(params);
        let spelled =
            object.get_text("uri").ok_or_else(|| Refusal::Invalid("`uri` must be a text".to_owned()))?;
        let (server, uri) = self.resolve_resource(&spelled).await?;
        let operation = match method {
            Method::SubscribeResource | Method::UnsubscribeResource => Operation::SubscribeResource,
            Method::ReadResource | Method::CallTool | Method::GetPrompt | Method::Complete => {
                Operation::ReadResource
            }
        };
        let meta = modern::RequestMeta::read(params).without_connection_keys();
        let (tool, uri) = (ToolId::new(server, operation), json::serialize_raw(&uri));
        let call = self.build_call(tool, method, object.clone(), ("uri", &uri), meta)?;
        Ok((call, spelled.into_owned()))
    }

    async fn resolve_resource(self: &Arc<Self>, uri: &str) -> Result<(ServerName, String), Refusal> {
        let catalog = &self.pipeline.catalog;
        if let Some(found) = catalog.resolve_resource(uri, None) {
            return Ok(found);
        }
        self.wait_for_listings().await;
        catalog.resolve_resource(uri, None).ok_or_else(|| match catalog.first_unknown_server() {
            // An unwrapped URI may belong to a server that hasn't answered yet. "Unknown" would be wrong then,
            // so the answer says how to address it.
            Some(server) if !catalog.is_wrapped(uri) => Refusal::Invalid(format!(
                "which server `{uri}` is on cannot be told before `{server}` said what it offers; read it under \
                 the URI that resources/list shows, portero://SERVER/…"
            )),
            Some(_) | None => Refusal::Unknown(uri.to_owned()),
        })
    }

    async fn resolve_prompt(self: &Arc<Self>, name: &str) -> Result<(ServerName, String), Refusal> {
        let catalog = &self.pipeline.catalog;
        if let Some(found) = catalog.resolve_prompt(name) {
            return Ok(found);
        }
        self.fetch_likely_servers(name).await;
        if let Some(found) = catalog.resolve_prompt(name) {
            return Ok(found);
        }
        self.wait_for_listings().await;
        catalog.resolve_prompt(name).ok_or_else(|| Refusal::Unknown(name.to_owned()))
    }

    async fn build_prompt_call(self: &Arc<Self>, params: Option<&RawValue>) -> Result<Call, Refusal> {
        let object = params_object(params);
        let name =
            object.get_text("name").ok_or_else(|| Refusal::Invalid("`name` must be a text".to_owned()))?;
        let (server, name) = self.resolve_prompt(&name).await?;
        let meta = modern::RequestMeta::read(params).without_connection_keys();
        let (tool, name) = (ToolId::new(server, Operation::GetPrompt), json::serialize_raw(&name));
        self.build_call(tool, Method::GetPrompt, object, ("name", &name), meta)
    }

    async fn build_completion_call(self: &Arc<Self>, params: Option<&RawValue>) -> Result<Call, Refusal> {
        let wrong = || Refusal::Invalid("`ref` must be a ref/prompt or a ref/resource".to_owned());
        let whole = params_object(params);
        let about = whole.get("ref").and_then(|about| RawObject::read(about).ok()).ok_or_else(wrong)?;
        let (key, (server, there)) = match about.get_text("type").as_deref() {
            Some("ref/prompt") => {
                ("name", self.resolve_prompt(&about.get_text("name").ok_or_else(wrong)?).await?)
            }
            Some("ref/resource") => {
                ("uri", self.resolve_resource(&about.get_text("uri").ok_or_else(wrong)?).await?)
            }
            Some(_) | None => return Err(wrong()),
        };
        let there = json::serialize_raw(&there);
        let about = about.with_member(key, &there).to_raw();
        let meta = modern::RequestMeta::read(params).without_connection_keys();
        let tool = ToolId::new(server, Operation::Complete);
        self.build_call(tool, Method::Complete, whole, ("ref", &about), meta)
    }

    /// Builds a call from the client's members, with one of them replaced by the server's own. It is
    /// concealed, because the client may send a real value too, which must not be stored.
    fn build_call(
        &self,
        tool: ToolId,
        method: Method,
        params: RawObject<'_>,
        (key, own): (&str, &RawValue),
        meta: Option<RawJson>,
    ) -> Result<Call, Refusal> {
        let conceal = |json| self.conceal_own(json).map_err(Refusal::Withheld);
        let params = params.without_members(|key| key == "_meta").with_member(key, own).to_raw();
        Ok(Call { tool, method, params: conceal(params)?, meta: meta.map(conceal).transpose()? })
    }

    /// `notifications/cancelled`
    pub(super) fn handle_cancelled(self: &Arc<Self>, params: Option<&RawValue>) {
        let object = params_object(params);
        let Some(id) = object.get("requestId") else { return };
        if let Some(key) = IdKey::from_raw(id) {
            self.in_flight.cancel_request(&key);
            self.subscriptions.end_listen(&key);
        }
    }
}

/// Whether a tool's name toward the agent may begin with this server's name. A long name may be cut within it.
fn may_begin_with_server(name: &str, server: &ServerName) -> bool {
    let begins = name.split(alias::SEPARATOR).next().unwrap_or_default();
    let is_canonical = name.split_once('/').is_some_and(|(begins, _)| begins == server.as_str());
    is_canonical || !begins.is_empty() && folded_server_name(server).starts_with(begins)
}

/// A server's name as it begins the names of its tools toward the agent.
fn folded_server_name(server: &ServerName) -> String {
    server.as_str().replace('.', "_")
}
