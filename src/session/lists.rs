//! The lists of what all servers offer together, as this agent may see it.
//!
//! A list is given with what is known once the wait for listings is over. A later answer of a server reaches the
//! client as a changed list.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex};

use serde_json::value::RawValue;

use super::agent::Agent;
use super::background::Background;
use super::builtin_tools;
use super::client::Client;
use super::listing_requests::ListingRequests;
use super::request::{ClientRequest, params_object};
use crate::anonymize::{Fake, Leak, Real};
use crate::audit::WithheldChannel;
use crate::catalog::CatalogView;
use crate::json::{self, RawJson};
use crate::names::ToolId;
use crate::sync::lock;
use crate::wire::codes;
use crate::wire::modern::SubscriptionFilter;

/// How many tools count as recently used.
const MAX_RECENT_TOOLS: usize = 20;

/// One of the four lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ClientList {
    Tools,
    Resources,
    Templates,
    Prompts,
}

/// The lists that the client may ask for, and those that it has.
pub(super) struct ClientLists {
    client: Arc<Client>,
    agent: Arc<Agent>,
    listings: Arc<ListingRequests>,
    background: Arc<Background>,
    pub(super) recent: RecentTools,
    pub(super) reported: ReportedLists,
}

/// Hashes of the lists that the client was last given.
#[derive(Debug, Default)]
pub(super) struct ReportedLists(Mutex<HashMap<ClientList, u64>>);

/// The tools that were used recently. They are listed beside the pinned ones.
#[derive(Debug, Default)]
pub(super) struct RecentTools(Mutex<VecDeque<ToolId>>);

impl ClientList {
    const ALL: [Self; 4] = [Self::Tools, Self::Resources, Self::Templates, Self::Prompts];

    /// The list that a request asks for.
    pub(super) fn from_method(method: &str) -> Option<Self> {
        match method {
            "tools/list" => Some(Self::Tools),
            "resources/list" => Some(Self::Resources),
            "resources/templates/list" => Some(Self::Templates),
            "prompts/list" => Some(Self::Prompts),
            _ => None,
        }
    }

    const fn member_name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::Templates => "resourceTemplates",
            Self::Prompts => "prompts",
        }
    }
}

impl ClientLists {
    pub(super) fn new(
        client: Arc<Client>,
        agent: Arc<Agent>,
        listings: Arc<ListingRequests>,
        background: Arc<Background>,
    ) -> Self {
        Self {
            client,
            agent,
            listings,
            background,
            recent: RecentTools::default(),
            reported: ReportedLists::default(),
        }
    }

    /// Answers the request for a list, with one page.
    pub(super) async fn answer_request(
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
            () = self.listings.wait_for_listings() => {}
            () = request.cancel_token().cancelled() => return,
        }
        match self.compose_list(which) {
            Ok(list) => {
                self.reported.record_list(which, &list);
                request.answer_list_result(&list);
            }
            Err(leak) => request.answer_withheld(&leak),
        }
    }

    /// Records that a tool was used, so that it is listed beside the pinned ones.
    pub(super) fn record_use(self: &Arc<Self>, tool: &ToolId) {
        // A pinned tool is listed anyway, so it takes no place among the recent ones.
        if !self.agent.pipeline.catalog.is_pinned(tool) && self.recent.record_use(tool) {
            // In the background, because composing the lists must not delay this answer.
            let lists = Arc::clone(self);
            self.background.spawn(async move { lists.notify_changes() });
        }
    }

    /// Notifies the client of each list that differs from what it got. A list that it never asked for can't be
    /// outdated.
    pub(super) fn notify_changes(&self) {
        let changed: Vec<ClientList> = ClientList::ALL
            .into_iter()
            .filter(|which| self.reported.contains(*which))
            .filter(|which| {
                // Recorded here already, so that the next change compares with what the client will fetch now.
                self.compose_list(*which).is_ok_and(|list| self.reported.record_list(*which, &list))
            })
            .collect();
        self.announce_changed(&changed);
    }

    /// Takes the present lists for those that the client has.
    pub(super) fn record_present(&self) {
        for which in ClientList::ALL {
            if let Ok(list) = self.compose_list(which) {
                self.reported.record_list(which, &list);
            }
        }
    }

    /// Notifies the client that these lists differ from those it got.
    fn announce_changed(&self, changed: &[ClientList]) {
        // One notification covers both lists in MCP.
        let resources = changed.contains(&ClientList::Resources) || changed.contains(&ClientList::Templates);
        let has = |list| changed.contains(&list);
        type Wants = fn(&SubscriptionFilter) -> bool;
        let lists: [(bool, Wants, _); 3] = [
            (has(ClientList::Tools), |filter| filter.tools_list_changed, "notifications/tools/list_changed"),
            (resources, |filter| filter.resources_list_changed, "notifications/resources/list_changed"),
            (
                has(ClientList::Prompts),
                |filter| filter.prompts_list_changed,
                "notifications/prompts/list_changed",
            ),
        ];
        for (_, wants, method) in lists.into_iter().filter(|(is_changed, ..)| *is_changed) {
            self.client.announce(method, wants);
        }
    }

    /// One list as the client gets it, concealed.
    fn compose_list(&self, which: ClientList) -> Result<Fake<RawJson>, Leak> {
        self.agent.pipeline.policy_source.refresh_policy();
        let action = |tool: &_| self.agent.tool_action(tool);
        let recent = self.recent.tools();
        let anonymizer = self.agent.pipeline.anonymizer.load();
        let is_private = |name: &str| anonymizer.is_private(name);
        let view = CatalogView { action: &action, recent: &recent, is_private: &is_private };
        let catalog = &self.agent.pipeline.catalog;
        let listed = match which {
            ClientList::Tools => catalog.list_tools(&view),
            ClientList::Resources => catalog.list_resources(&view),
            ClientList::Templates => catalog.list_templates(&view),
            ClientList::Prompts => catalog.list_prompts(&view),
        };
        let own = match which {
            ClientList::Tools => {
                builtin_tools::definitions_json(|tool| self.agent.pipeline.builtin_denial(tool).is_none())
            }
            ClientList::Resources | ClientList::Templates | ClientList::Prompts => String::new(),
        };
        let conceal = |listed: &RawValue| {
            anonymizer.conceal(Real::from_server(list_result(which.member_name(), &own, listed)))
        };
        conceal(listed.expose()).or_else(|leak| {
            // One entry that can't be concealed must not cost the client all the others.
            let entries: Vec<&RawValue> = serde_json::from_str(listed.expose().get()).unwrap_or_default();
            // Each entry alone, then once more all of them together: a value may also arise where two entries
            // meet.
            let good = |entry: &&RawValue| anonymizer.conceal(Real::from_server((*entry).to_owned())).is_ok();
            let entries: Vec<&RawValue> = entries.into_iter().filter(good).collect();
            self.client.report_withheld(WithheldChannel::Listing, None, &leak);
            conceal(&json::serialize_raw(&entries))
        })
    }
}

impl ReportedLists {
    /// Records a list that the client is given. Returns true if it differs from the last one.
    fn record_list(&self, which: ClientList, list: &Fake<RawJson>) -> bool {
        let mut hasher = DefaultHasher::new();
        list.get().get().hash(&mut hasher);
        let hash = hasher.finish();
        lock(&self.0).insert(which, hash) != Some(hash)
    }

    /// Marks all lists as outdated: the client may hold lists that this session knows nothing of.
    pub(super) fn invalidate_all(&self) {
        // Hash 0 differs from that of any list, except for a chance of 2^−64 that costs one notification.
        let mut told = lock(&self.0);
        told.extend(ClientList::ALL.map(|which| (which, 0)));
    }

    /// Whether the client was given this list.
    fn contains(&self, which: ClientList) -> bool {
        lock(&self.0).contains_key(&which)
    }
}

impl RecentTools {
    /// Records a tool's use and forgets the least recently used one if there are too many. Returns true if the
    /// tool wasn't among the recent ones.
    fn record_use(&self, tool: &ToolId) -> bool {
        let mut tools = lock(&self.0);
        if let Some(at) = tools.iter().position(|recent| recent == tool) {
            // It moves to the end, so that a tool in constant use never drops out.
            tools.remove(at);
            tools.push_back(tool.clone());
            return false;
        }
        if tools.len() == MAX_RECENT_TOOLS {
            tools.pop_front();
        }
        tools.push_back(tool.clone());
        true
    }

    /// The recently used tools.
    pub(super) fn tools(&self) -> HashSet<ToolId> {
        lock(&self.0).iter().cloned().collect()
    }
}

/// `{"key":[first…,rest…]}`, where `first` is members of an array and `rest` an array.
fn list_result(key: &str, first: &str, rest: &RawValue) -> RawJson {
    let inside = rest.get().trim().strip_prefix('[').unwrap_or("]");
    let comma = if first.is_empty() || inside.trim_start().starts_with(']') { "" } else { "," };
    json::parse_raw(format!("{{\"{key}\":[{first}{comma}{inside}}}")).expect("arrays of JSON make JSON")
}
