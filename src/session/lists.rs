//! The lists of what all servers offer together, as this agent may see it.
//!
//! A server with a cached listing is listed at once and asked in the background. A server without one is
//! waited for, but only by the first list and no longer than the limit. A later answer reaches the client as a
//! changed list.

use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::builtin_tools;
use super::request::{ClientRequest, params_object};
use super::state::SessionState;
use crate::anonymize::{Fake, Leak, Real};
use crate::catalog::CatalogView;
use crate::json::{self, RawJson};
use crate::names::ServerName;
use crate::wire::codes;

/// One of the four lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ClientList {
    Tools,
    Resources,
    Templates,
    Prompts,
}

/// How long the start of a server with a cached listing is put off, so that it doesn't slow the first answers.
const CACHED_FETCH_DELAY: Duration = Duration::from_millis(200);
/// The first and the longest interval between automatic retries. A server whose program is missing must not
/// cost much.
const MIN_RETRY_INTERVAL: Duration = Duration::from_secs(1);
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(5 * 60);

impl ClientList {
    pub(super) const ALL: [Self; 4] = [Self::Tools, Self::Resources, Self::Templates, Self::Prompts];

    const fn member_name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }
}

impl SessionState {
    /// `tools/list`, `resources/list`, `resources/templates/list`, `prompts/list`: one page.
    pub(super) async fn answer_list(
        self: Arc<Self>,
        request: ClientRequest,
        which: ClientList,
        params: Option<RawJson>,
    ) {
        let cursor = params_object(params.as_deref()).get("cursor").map(RawValue::get);
        if cursor.is_some_and(|cursor| cursor != "null") {
            request
                .answer_fixed_error(codes::INVALID_PARAMS, "this cursor is unknown: the list has one page");
            return;
        }
        tokio::select! {
            () = self.wait_for_listings() => {}
            () = request.cancel_token().cancelled() => return,
        }
        match self.compose_list(which) {
            Ok(list) => {
                self.reported_lists.record_list(which, &list);
                request.answer_list_result(&list);
            }
            Err(Leak) => request.answer_withheld(),
        }
    }

    /// Waits until the listings of all servers are known, up to the limit.
    pub(super) async fn wait_for_listings(self: &Arc<Self>) {
        // Subscribed before the check, so that a listing that arrives in between isn't missed.
        let mut settled = self.pipeline.listing_fetches.subscribe();
        self.fetch_stale_listings();
        let until = self.listing_requests.wait_deadline(self.limits.list_timeout);
        while self.listing_requests.is_any_running(&self.pipeline.catalog.unanswered_servers()) {
            tokio::select! {
                changed = settled.changed() => if changed.is_err() { return },
                () = tokio::time::sleep_until(until) => return,
            }
        }
    }

    /// Starts to ask every server without a listing. Those that failed recently are left out.
    pub(super) fn fetch_unknown_listings(self: &Arc<Self>) {
        let catalog = &self.pipeline.catalog;
        for server in catalog.servers() {
            if !catalog.is_known(&server) {
                self.spawn_fetch(server);
            }
        }
    }

    /// Starts to ask every server that hasn't answered in this process.
    pub(super) fn fetch_stale_listings(self: &Arc<Self>) {
        for server in self.pipeline.catalog.servers() {
            if !self.pipeline.listing_fetches.is_fresh(&server) {
                self.spawn_fetch(server);
            }
        }
    }

    fn spawn_fetch(self: &Arc<Self>, server: ServerName) {
        if !self.listing_requests.try_start(&server) {
            return;
        }
        let shared = Arc::clone(self);
        let is_cached = shared.pipeline.catalog.is_known(&server);
        self.spawn_background(async move {
            if is_cached {
                tokio::time::sleep(CACHED_FETCH_DELAY).await;
            }
            let fetched = shared.pipeline.fetch_listing(&server).await;
            shared.listing_requests.finish(&server);
            if fetched.is_err() {
                shared.retry_fetch(&server).await;
            }
        });
    }

    /// Asks a failed server again, at growing intervals, until it answers or is no longer configured. The
    /// client is notified of changes.
    pub(super) async fn retry_fetch(&self, server: &ServerName) {
        if !self.listing_requests.begin_retry(server) {
            return;
        }
        let mut interval = MIN_RETRY_INTERVAL;
        loop {
            tokio::time::sleep(interval).await;
            let is_configured = self.pipeline.catalog.servers().contains(server);
            // A call may have asked it in the meantime.
            if !is_configured || self.pipeline.listing_fetches.is_fresh(server) {
                break;
            }
            if self.pipeline.fetch_listing(server).await.is_ok() {
                break;
            }
            interval = (interval * 2).min(MAX_RETRY_INTERVAL);
        }
        self.listing_requests.end_retry(server);
    }

    /// One list as the client gets it, concealed.
    pub(super) fn compose_list(&self, which: ClientList) -> Result<Fake<RawJson>, Leak> {
        self.pipeline.policy_source.refresh_policy();
        let action = |tool: &_| self.tool_action(tool);
        let recent = self.recent_tools.tools();
        let anonymizer = self.pipeline.anonymizer.load();
        let is_private = |name: &str| anonymizer.is_private(name);
        let view = CatalogView { action: &action, recent: &recent, is_private: &is_private };
        let catalog = &self.pipeline.catalog;
        let listed = match which {
            ClientList::Tools => catalog.list_tools(&view),
            ClientList::Resources => catalog.list_resources(&view),
            ClientList::Templates => catalog.list_templates(&view),
            ClientList::Prompts => catalog.list_prompts(&view),
        };
        let own = match which {
            ClientList::Tools => {
                builtin_tools::definitions_json(|tool| self.pipeline.builtin_denial(tool).is_none())
            }
            ClientList::Resources | ClientList::Templates | ClientList::Prompts => String::new(),
        };
        let conceal = |listed: &RawValue| {
            anonymizer.conceal(Real::from_server(list_result(which.member_name(), &own, listed)))
        };
        conceal(listed.expose()).or_else(|Leak| {
            // One entry that can't be concealed must not cost the client all the others.
            let entries: Vec<&RawValue> = serde_json::from_str(listed.expose().get()).unwrap_or_default();
            let all = entries.len();
            // Each entry alone, then once more all of them together: a value may also arise where two entries
            // meet.
            let good = |entry: &&RawValue| anonymizer.conceal(Real::from_server((*entry).to_owned())).is_ok();
            let entries: Vec<&RawValue> = entries.into_iter().filter(good).collect();
            let withheld = all - entries.len();
            tracing::error!(
                list = which.member_name(),
                withheld,
                "entries were withheld: they could not be concealed"
            );
            conceal(&json::serialize_raw(&entries))
        })
    }

    /// Notifies the client of each list that differs from what it got. A list that it never asked for can't be
    /// outdated.
    pub(super) fn notify_list_changes(self: &Arc<Self>) {
        let changed: Vec<ClientList> = ClientList::ALL
            .into_iter()
            .filter(|which| self.reported_lists.contains(*which))
            .filter(|which| {
                // Recorded here already, so that the next change compares with what the client will fetch now.
                self.compose_list(*which).is_ok_and(|list| self.reported_lists.record_list(*which, &list))
            })
            .collect();
        self.notify_changed_lists(&changed);
    }
}

/// `{"key":[first…,rest…]}`, where `first` is members of an array and `rest` an array.
fn list_result(key: &str, first: &str, rest: &RawValue) -> RawJson {
    let inside = rest.get().trim().strip_prefix('[').unwrap_or("]");
    let comma = if first.is_empty() || inside.trim_start().starts_with(']') { "" } else { "," };
    json::parse_raw(format!("{{\"{key}\":[{first}{comma}{inside}}}")).expect("arrays of JSON make JSON")
}
