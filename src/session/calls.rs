//! Calls that go to a server: tools, resources, prompts and completions, all through the pipeline.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;

use super::agent::Agent;
use super::client::Client;
use super::hold::HeldCalls;
use super::instructions::Instructions;
use super::listing_requests::{ListingRequests, folded_server_name};
use super::lists::ClientLists;
use super::request::params_object;
use crate::anonymize::Leak;
use crate::audit::WithheldChannel;
use crate::call::{Call, Method};
use crate::catalog::alias;
use crate::json::{self, RawJson, RawObject};
use crate::names::{Operation, ServerName, ToolId};
use crate::pipeline::{CallReply, MERGED_KEYS, Refusal, WithheldMessage};
use crate::server::CallOptions;
use crate::server::param_headers::check_param_headers;
use crate::wire::modern;

/// Finds the server that a request means, builds the call, and runs it.
pub(super) struct ServerCalls {
    pub(super) client: Arc<Client>,
    pub(super) agent: Arc<Agent>,
    pub(super) held: Arc<HeldCalls>,
    pub(super) listings: Arc<ListingRequests>,
    pub(super) lists: Arc<ClientLists>,
    pub(super) instructions: Arc<Instructions>,
    /// The headers `Mcp-Param-*` that came with the session's one request; none over stdio.
    pub(super) param_headers: Option<HashMap<String, String>>,
}

impl ServerCalls {
    /// Runs a tool's call and records that the tool was used.
    pub(super) async fn run_tool_call(&self, call: Call, options: CallOptions) -> CallReply {
        let tool = call.tool.clone();
        let reply = self.held.run_call(call, options).await;
        if matches!(reply, CallReply::Result(_) | CallReply::PendingApproval(_)) {
            self.lists.record_use(&tool);
        }
        reply
    }

    /// The tool that a name means. If no known listing has it, servers without a listing are waited for.
    /// Those that the name may begin with have as long as they need to start, the others as long as a list
    /// waits.
    pub(super) async fn resolve_tool(&self, name: &str) -> Result<ToolId, Refusal> {
        let catalog = &self.agent.pipeline.catalog;
        if let Some(tool) = catalog.resolve_tool(name) {
            return Ok(tool);
        }
        if let Ok(tool) = name.parse::<ToolId>()
            && catalog.servers().contains(&tool.server)
        {
            // The pipeline fetches this one server's listing itself.
            return Ok(tool);
        }
        self.listings.fetch_likely_servers(name).await;
        if let Some(tool) = catalog.resolve_tool(name) {
            return Ok(tool);
        }
        self.listings.wait_for_listings().await;
        catalog.resolve_tool(name).ok_or_else(|| self.missing_tool_refusal(name))
    }

    /// Checks that the headers of a request over HTTP say what the call says, by the tool's definition as the agent
    /// sees it.
    ///
    /// # Errors
    /// In words, for a `HeaderMismatch` (2026-07-28).
    pub(super) async fn check_param_headers(
        &self,
        tool: &ToolId,
        params: Option<&RawValue>,
    ) -> Result<(), String> {
        let Some(given) = &self.param_headers else { return Ok(()) };
        let pipeline = &self.agent.pipeline;
        if pipeline.catalog.tool(tool).is_none() {
            // The call itself tells what failed.
            let _ = pipeline.fetch_listing(&tool.server).await;
        }
        let known = pipeline.catalog.tool(tool);
        let definition = known.and_then(|known| known.concealed_definition(&pipeline.anonymizer.load()));
        definition.map_or(Ok(()), |definition| check_param_headers(&definition, params, given))
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
        match self.instructions.unavailable_servers().into_iter().find(|(server, _)| begins(server)) {
            Some((server, reason)) => {
                Refusal::ServerUnavailable(format!("the server `{server}` is not available: {reason}"))
            }
            None => Refusal::Unknown(name.to_owned()),
        }
    }

    /// The server's own name for a tool. Without a listing it is the name as given, which the pipeline then
    /// refuses.
    pub(super) fn server_tool_name(&self, tool: &ToolId) -> String {
        match self.agent.pipeline.catalog.tool(tool) {
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

    /// The call of a method about one resource, and the URI as the client wrote it.
    pub(super) async fn build_resource_call(
        &self,
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

    async fn resolve_resource(&self, uri: &str) -> Result<(ServerName, String), Refusal> {
        let catalog = &self.agent.pipeline.catalog;
        if let Some(found) = catalog.resolve_resource(uri, None) {
            return Ok(found);
        }
        self.listings.wait_for_listings().await;
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

    async fn resolve_prompt(&self, name: &str) -> Result<(ServerName, String), Refusal> {
        let catalog = &self.agent.pipeline.catalog;
        if let Some(found) = catalog.resolve_prompt(name) {
            return Ok(found);
        }
        self.listings.fetch_likely_servers(name).await;
        if let Some(found) = catalog.resolve_prompt(name) {
            return Ok(found);
        }
        self.listings.wait_for_listings().await;
        catalog.resolve_prompt(name).ok_or_else(|| Refusal::Unknown(name.to_owned()))
    }

    /// The call of `prompts/get`.
    pub(super) async fn build_prompt_call(&self, params: Option<&RawValue>) -> Result<Call, Refusal> {
        let object = params_object(params);
        let name =
            object.get_text("name").ok_or_else(|| Refusal::Invalid("`name` must be a text".to_owned()))?;
        let (server, name) = self.resolve_prompt(&name).await?;
        let meta = modern::RequestMeta::read(params).without_connection_keys();
        let (tool, name) = (ToolId::new(server, Operation::GetPrompt), json::serialize_raw(&name));
        self.build_call(tool, Method::GetPrompt, object, ("name", &name), meta)
    }

    /// The call of `completion/complete`.
    pub(super) async fn build_completion_call(&self, params: Option<&RawValue>) -> Result<Call, Refusal> {
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
        let conceal =
            |json| self.client.conceal_arguments(json).map_err(|leak| self.refuse_arguments(&tool, &leak));
        let params = params.without_members(|key| key == "_meta").with_member(key, own).to_raw();
        let (params, meta) = (conceal(params)?, meta.map(conceal).transpose()?);
        Ok(Call { tool, method, params, meta })
    }

    /// Reports and refuses a call whose arguments can't be concealed: it could not be stored, nor shown to a person.
    fn refuse_arguments(&self, tool: &ToolId, leak: &Leak) -> Refusal {
        if leak.merges_keys() {
            return Refusal::Invalid(MERGED_KEYS.to_owned());
        }
        let context = self.agent.call_context();
        let message = WithheldMessage {
            channel: WithheldChannel::Arguments,
            server: None,
            tool: Some(tool),
            context: Some(&context),
        };
        self.agent.pipeline.report_withheld(&message, leak);
        Refusal::Invalid(
            "the arguments hold a private value in a form that can't be replaced, so the call did not run. Write it as \
             you were shown it, or tell your user"
                .to_owned(),
        )
    }
}
