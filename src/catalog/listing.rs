//! One server's listing, checked, as the catalog's raw material.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock};

use serde_json::value::RawValue;

use super::sanitize::{self, Rejected, SanitizedEntry};
use super::uri::{self, UriTemplate};
use super::{ListingProblem, Remedy, Tool, ToolHints, alias};
use crate::anonymize::Real;
use crate::json::{self, RawJson, RawObject};
use crate::names::{ServerName, ToolId, ToolName};
use crate::server::{ListKind, ServerListing};

/// The most entries of one list that are read.
const MAX_ENTRIES: usize = 5_000;

/// A server's listing in its own order, with the aliases that it would have alone.
#[derive(Debug, Default)]
pub(super) struct CheckedListing {
    pub(super) instructions: Option<String>,
    pub(super) capabilities: Option<RawJson>,
    pub(super) tools: Vec<ListingEntry<Tool>>,
    pub(super) resources: Vec<ListedResource>,
    pub(super) templates: Vec<ResourceTemplate>,
    pub(super) prompts: Vec<ListingEntry<Prompt>>,
    pub(super) complaints: Vec<ListingProblem>,
    fingerprints: [Option<blake3::Hash>; 3],
}

/// An entry with a name toward the agent.
#[derive(Debug)]
pub(super) struct ListingEntry<T> {
    pub(super) item: Arc<T>,
    /// How it is listed; none if it isn't.
    pub(super) listed: Option<Arc<ListedJson>>,
}

impl<T> Clone for ListingEntry<T> {
    fn clone(&self) -> Self {
        Self { item: self.item.clone(), listed: self.listed.clone() }
    }
}

/// A list's entry, ready for the list.
#[derive(Debug)]
pub(super) struct ListedJson {
    pub(super) whole: RawJson,
    /// Without `outputSchema`, if it has one.
    pub(super) without_output: Option<RawJson>,
}

#[derive(Debug)]
pub(super) struct Prompt {
    /// The server's own name for it.
    pub(super) name: String,
    pub(super) alias: String,
    raw: RawJson,
}

#[derive(Debug)]
pub(super) struct ListedResource {
    pub(super) uri: String,
    pub(super) listed: RawJson,
}

#[derive(Debug)]
pub(super) struct ResourceTemplate {
    pub(super) template: UriTemplate,
    pub(super) listed: RawJson,
}

impl Prompt {
    /// The whole definition, as it came.
    pub(super) fn raw(&self) -> &RawValue {
        &self.raw
    }
}

impl CheckedListing {
    /// Checks a listing. If `prefix` is false, names that need no prefix get none.
    pub(super) fn new(server: &ServerName, prefix: bool, offer: &ServerListing) -> Self {
        let mut complaints = ProblemCollector { server, all: Vec::new() };
        // Over the raw lists, not the sanitized ones, so that a change in a part that was repaired is noticed
        // too.
        let fingerprints = [
            fingerprint_lists(&[&offer.tools]),
            fingerprint_lists(&[&offer.resources, &offer.templates]),
            fingerprint_lists(&[&offer.prompts]),
        ];
        let shown_as = |name: &str| {
            if !prefix && alias::can_be_unprefixed(name) {
                name.to_owned()
            } else {
                alias::wire_name(server.as_str(), name)
            }
        };
        Self {
            tools: complaints.sanitize_entries(&offer.tools, sanitize::sanitize_tool, |raw, sanitized| {
                let name =
                    ToolName::from_child(&sanitized.identity).expect("an entry without a name is rejected");
                tool_entry(ToolId::new(server.clone(), name), shown_as(&sanitized.identity), raw, sanitized)
            }),
            resources: complaints.sanitize_entries(
                &offer.resources,
                sanitize::sanitize_resource,
                |_, mut sanitized| {
                    sanitized
                        .object
                        .set("uri", json::serialize_raw(&uri::wrap_uri(server, &sanitized.identity)));
                    ListedResource { listed: sanitized.object.to_raw(), uri: sanitized.identity }
                },
            ),
            templates: complaints.sanitize_entries(
                &offer.templates,
                sanitize::sanitize_template,
                |_, mut sanitized| {
                    sanitized
                        .object
                        .set("uriTemplate", json::serialize_raw(&uri::wrap_uri(server, &sanitized.identity)));
                    ResourceTemplate {
                        listed: sanitized.object.to_raw(),
                        template: UriTemplate::new(sanitized.identity),
                    }
                },
            ),
            prompts: complaints.sanitize_entries(
                &offer.prompts,
                sanitize::sanitize_prompt,
                |raw, sanitized| prompt_entry(shown_as(&sanitized.identity), raw, sanitized),
            ),
            instructions: offer.instructions.clone(),
            capabilities: offer.capabilities.clone(),
            complaints: complaints.all,
            fingerprints,
        }
    }

    /// The lists that differ from another listing's.
    pub(super) fn changed_lists(&self, other: &Self) -> Vec<ListKind> {
        [ListKind::Tools, ListKind::Resources, ListKind::Prompts]
            .into_iter()
            .zip(self.fingerprints.iter().zip(&other.fingerprints))
            .filter(|(_, (mine, theirs))| mine != theirs)
            .map(|(list, _)| list)
            .collect()
    }

    /// Whether all of it equals another listing.
    pub(super) fn has_same_content(&self, other: &Self) -> bool {
        let declared = |listing: &Self| listing.capabilities.as_ref().map(|raw| raw.get().to_owned());
        self.fingerprints == other.fingerprints
            && self.instructions == other.instructions
            && declared(self) == declared(other)
    }
}

impl ListingEntry<Tool> {
    /// The same tool under another alias.
    pub(super) fn renamed(&self, alias: &str) -> Self {
        let Ok(sanitized) = sanitize::sanitize_tool(self.item.raw.expose()) else { return self.clone() };
        tool_entry(self.item.id.clone(), alias.to_owned(), self.item.raw.expose(), sanitized)
    }
}

impl ListingEntry<Prompt> {
    /// The same prompt under another alias.
    pub(super) fn renamed(&self, alias: &str) -> Self {
        let Ok(sanitized) = sanitize::sanitize_prompt(&self.item.raw) else { return self.clone() };
        prompt_entry(alias.to_owned(), &self.item.raw, sanitized)
    }
}

fn tool_entry(
    id: ToolId,
    alias: String,
    raw: &RawValue,
    sanitized: SanitizedEntry<'_>,
) -> ListingEntry<Tool> {
    let SanitizedEntry { mut object, unlisted, identity, .. } = sanitized;
    let input_schema = match object.get("inputSchema") {
        // An unlisted tool can still be called, so any schema of an object shape is better for search than
        // none.
        Some(schema) if unlisted.is_none() || schema.get().starts_with('{') => schema.to_owned(),
        Some(_) | None => json::parse_raw(sanitize::ANY_OBJECT.to_owned()).expect("our own text is JSON"),
    };
    let tool = Tool {
        id,
        name: Real::from_server(identity),
        title: object.text("title").map(Real::from_server),
        description: object.text("description").map(Real::from_server),
        input_schema: Real::from_server(input_schema),
        raw: Real::from_server(raw.to_owned()),
        hints: ToolHints::of_annotations(object.get("annotations")),
        has_output_schema: RawObject::read(raw).is_ok_and(|raw| raw.get("outputSchema").is_some()),
        definition: OnceLock::new(),
        pin_digest: Mutex::default(),
        compiled_schema: OnceLock::new(),
        alias,
    };
    let listed = unlisted.is_none().then(|| {
        object.set("name", json::serialize_raw(&tool.alias));
        let whole = object.to_raw();
        // Without `outputSchema` as well, for tools that need approval: their pending answer doesn't follow
        // it.
        let without_output = object.get("outputSchema").is_some().then(|| {
            object.remove("outputSchema");
            object.to_raw()
        });
        ListedJson { whole, without_output }.into()
    });
    ListingEntry { item: tool.into(), listed }
}

fn prompt_entry(alias: String, raw: &RawValue, mut sanitized: SanitizedEntry<'_>) -> ListingEntry<Prompt> {
    sanitized.object.set("name", json::serialize_raw(&alias));
    let listed = ListedJson { whole: sanitized.object.to_raw(), without_output: None };
    let prompt = Prompt { name: sanitized.identity, alias, raw: raw.to_owned() };
    ListingEntry { item: prompt.into(), listed: Some(listed.into()) }
}

/// `None` for lists without entries, like that of an unknown server. So a server that turns out to be empty
/// changes nothing.
fn fingerprint_lists(lists: &[&Vec<RawJson>]) -> Option<blake3::Hash> {
    if lists.iter().all(|list| list.is_empty()) {
        return None;
    }
    // Lengths before contents, so that entries can't run into each other.
    let mut hasher = blake3::Hasher::new();
    for list in lists {
        hasher.update(&(list.len() as u64).to_le_bytes());
        for entry in *list {
            hasher.update(&(entry.get().len() as u64).to_le_bytes());
            hasher.update(entry.get().as_bytes());
        }
    }
    Some(hasher.finalize())
}

struct ProblemCollector<'a> {
    server: &'a ServerName,
    all: Vec<ListingProblem>,
}

impl ProblemCollector<'_> {
    fn report_problem(&mut self, subject: &str, problem: String, remedy: Remedy) {
        let subject = Real::from_server(subject.to_owned());
        self.all.push(ListingProblem { server: self.server.clone(), subject, problem, remedy });
    }

    /// Sanitizes a list's entries. Of two with the same identity the first counts.
    fn sanitize_entries<'r, T>(
        &mut self,
        entries: &'r [RawJson],
        sanitize: fn(&'r RawValue) -> Result<SanitizedEntry<'r>, Rejected>,
        make: impl Fn(&'r RawValue, SanitizedEntry<'r>) -> T,
    ) -> Vec<T> {
        let mut seen = HashSet::new();
        let mut made = Vec::with_capacity(entries.len().min(MAX_ENTRIES));
        if entries.len() > MAX_ENTRIES {
            let problem = format!("the list has {} entries; the first {MAX_ENTRIES} are kept", entries.len());
            self.report_problem("*", problem, Remedy::Dropped);
        }
        for raw in entries.iter().take(MAX_ENTRIES) {
            let mut sanitized = match sanitize(raw) {
                Ok(sanitized) => sanitized,
                Err(Rejected { subject, problem }) => {
                    self.report_problem(&subject, problem, Remedy::Dropped);
                    continue;
                }
            };
            // Every client would pick one of the two in its own way; the first is as good as any, and the
            // choice is reported.
            if !seen.insert(sanitized.identity.clone()) {
                self.report_problem(
                    &sanitized.identity,
                    "it is listed twice; the first counts".to_owned(),
                    Remedy::Dropped,
                );
                continue;
            }
            if let Some(problem) = &sanitized.unlisted {
                self.report_problem(&sanitized.identity, problem.clone(), Remedy::Unlisted);
            }
            for fault in std::mem::take(&mut sanitized.faults) {
                self.report_problem(&sanitized.identity, fault, Remedy::Sanitized);
            }
            made.push(make(raw, sanitized));
        }
        made
    }
}
