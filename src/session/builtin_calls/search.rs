//! `portero/search_tools`

use serde::Serialize;
use serde_json::value::RawValue;

use super::super::answers;
use super::super::builtin_tools::BuiltinArguments;
use super::super::state::SessionState;
use crate::anonymize::Real;
use crate::audit::WithheldChannel;
use crate::catalog::CatalogView;
use crate::json;
use crate::names::ServerName;
use crate::pipeline::{CallReply, Refusal};
use crate::policy::Action;

/// The most tools that one search returns.
const MAX_HITS: usize = 10;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FoundTool<'a> {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    policy: &'static str,
    input_schema: &'a RawValue,
}

impl SessionState {
    /// Searches the tools of all servers, except those that policy denies.
    pub(super) async fn search_tools(&self, arguments: &BuiltinArguments<'_>) -> Result<CallReply, Refusal> {
        let query = arguments.optional_text("query")?.unwrap_or_default();
        let category = arguments.optional_text("category")?;
        self.listings.wait_for_listings().await;
        self.agent.pipeline.policy_source.refresh_policy();
        let action = |tool: &_| self.agent.tool_action(tool);
        let recent = self.lists.recent.tools();
        let paused = self.agent.pipeline.policy.load().overrides().paused.is_some();
        let anonymizer = self.agent.pipeline.anonymizer.load_full();
        let is_private = |name: &str| anonymizer.is_private(name);
        let view = CatalogView { action: &action, recent: &recent, is_private: &is_private };
        let catalog = &self.agent.pipeline.catalog;
        let hits = catalog.search_tools(&query, category.as_deref(), MAX_HITS, &view, &anonymizer);
        let mut tools: Vec<FoundTool<'_>> = hits
            .iter()
            .map(|hit| FoundTool {
                name: hit.tool.id.to_string(),
                description: hit.tool.description.as_ref().map(|text| text.expose().as_str()),
                policy: match self.agent.tool_action(&hit.tool.id) {
                    Action::Allow | Action::RequireApproval if paused => "paused by a person, for now",
                    Action::Allow => "allowed",
                    Action::RequireApproval => "needs a person's approval",
                    Action::Deny => "denied",
                },
                input_schema: hit.tool.input_schema.expose(),
            })
            .collect();
        let waiting = self.agent.pipeline.catalog.unanswered_servers();
        let conceal = |tools: &[FoundTool<'_>]| {
            let text = if tools.is_empty() {
                nothing_found_message(category.is_some(), &waiting)
            } else {
                found_tools_json(tools, &waiting)
            };
            // Descriptions and schemas come from the servers, so they are real until concealed.
            anonymizer.conceal(Real::from_server(answers::text_result(&text)))
        };
        let concealed = conceal(&tools).or_else(|leak| {
            self.client.report_withheld(WithheldChannel::Listing, None, &leak);
            // One tool that can't be concealed must not hide the others.
            tools.retain(|tool| conceal(std::slice::from_ref(tool)).is_ok());
            conceal(&tools)
        });
        concealed.map(CallReply::Result).map_err(Refusal::Withheld)
    }
}

fn found_tools_json(tools: &[FoundTool<'_>], waiting: &[ServerName]) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct SearchResult<'a> {
        tools: &'a [FoundTool<'a>],
        /// Servers whose listings aren't known yet.
        #[serde(skip_serializing_if = "<[_]>::is_empty")]
        not_yet_known: &'a [ServerName],
    }
    json::serialize_raw(&SearchResult { tools, not_yet_known: waiting }).get().to_owned()
}

fn nothing_found_message(in_category: bool, waiting: &[ServerName]) -> String {
    let hint = if in_category { " Leave `category` out to search all servers." } else { "" };
    let waiting: Vec<&str> = waiting.iter().map(ServerName::as_str).collect();
    let later = match waiting.as_slice() {
        [] => String::new(),
        some => {
            format!(" Not known yet, perhaps still starting: {}; search again in a moment.", some.join(", "))
        }
    };
    format!("No tool was found. Use other words, or an empty query to see everything.{hint}{later}")
}
