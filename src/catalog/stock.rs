//! One server's offer, checked: what the catalog is put together from.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use serde_json::value::RawValue;

use super::mend::{self, Draft, Hopeless, Mended};
use super::uri::{self, Template};
use super::{Complaint, Hints, Remedy, Tool, alias};
use crate::anonymize::Real;
use crate::json::{self, Object, RawJson};
use crate::names::{ServerName, ToolId, ToolName};
use crate::server::{List, Offer};

/// The most entries of one list that are looked at.
const ENTRIES_MOST: usize = 5_000;
const ANY_OBJECT: &str = r#"{"type":"object"}"#;

/// What a server offers, in its order, with the names that it has where no other server's are in the way.
#[derive(Debug, Default)]
pub(super) struct Stock {
    pub(super) instructions: Option<String>,
    pub(super) capabilities: Option<RawJson>,
    pub(super) tools: Vec<Shown<Tool>>,
    pub(super) resources: Vec<Resource>,
    pub(super) templates: Vec<ResourceTemplate>,
    pub(super) prompts: Vec<Shown<Prompt>>,
    pub(super) complaints: Vec<Complaint>,
    fingerprints: [Option<blake3::Hash>; 3],
}

/// Something with a name toward the agent.
#[derive(Debug)]
pub(super) struct Shown<T> {
    pub(super) it: Arc<T>,
    /// How it is listed; none where it is not.
    pub(super) listed: Option<Arc<Listed>>,
}

impl<T> Clone for Shown<T> {
    fn clone(&self) -> Self {
        Self { it: self.it.clone(), listed: self.listed.clone() }
    }
}

/// A list's entry, ready to be put into the list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) whole: RawJson,
    /// Without `outputSchema`, where it has one.
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
pub(super) struct Resource {
    pub(super) uri: String,
    pub(super) listed: RawJson,
}

#[derive(Debug)]
pub(super) struct ResourceTemplate {
    pub(super) template: Template,
    pub(super) listed: RawJson,
}

impl Stock {
    /// Checks an offer. Where `prefix` is false, names that can stand alone do.
    pub(super) fn new(server: &ServerName, prefix: bool, offer: &Offer) -> Self {
        let mut complaints = Complaints { server, all: Vec::new() };
        let fingerprints = [
            fingerprint(&[&offer.tools]),
            fingerprint(&[&offer.resources, &offer.templates]),
            fingerprint(&[&offer.prompts]),
        ];
        let shown_as = |name: &str| {
            if !prefix && alias::stands_alone(name) {
                name.to_owned()
            } else {
                alias::wire_name(server.as_str(), name)
            }
        };
        Self {
            tools: complaints.collect(&offer.tools, mend::tool, |raw, mended| {
                let name =
                    ToolName::from_child(&mended.identity).expect("an entry without a name is hopeless");
                tool(ToolId::new(server.clone(), name), shown_as(&mended.identity), raw, mended)
            }),
            resources: complaints.collect(&offer.resources, mend::resource, |_, mut mended| {
                mended.draft.set("uri", json::raw(&uri::wrap(server, &mended.identity)));
                Resource { listed: mended.draft.to_raw(), uri: mended.identity }
            }),
            templates: complaints.collect(&offer.templates, mend::template, |_, mut mended| {
                mended.draft.set("uriTemplate", json::raw(&uri::wrap(server, &mended.identity)));
                ResourceTemplate { listed: mended.draft.to_raw(), template: Template::new(mended.identity) }
            }),
            prompts: complaints.collect(&offer.prompts, mend::prompt, |raw, mended| {
                prompt(shown_as(&mended.identity), raw, mended)
            }),
            instructions: offer.instructions.clone(),
            capabilities: offer.capabilities.clone(),
            complaints: complaints.all,
            fingerprints,
        }
    }

    /// The lists in which it differs from another.
    pub(super) fn changes_from(&self, other: &Self) -> Vec<List> {
        [List::Tools, List::Resources, List::Prompts]
            .into_iter()
            .zip(self.fingerprints.iter().zip(&other.fingerprints))
            .filter(|(_, (mine, theirs))| mine != theirs)
            .map(|(list, _)| list)
            .collect()
    }

    /// Whether everything in it is as in another.
    pub(super) fn says_the_same_as(&self, other: &Self) -> bool {
        let declared = |stock: &Self| stock.capabilities.as_ref().map(|raw| raw.get().to_owned());
        self.fingerprints == other.fingerprints
            && self.instructions == other.instructions
            && declared(self) == declared(other)
    }
}

impl Shown<Tool> {
    /// The same tool under another name.
    pub(super) fn renamed(&self, alias: &str) -> Self {
        let Ok(mended) = mend::tool(self.it.raw.expose()) else { return self.clone() };
        tool(self.it.id.clone(), alias.to_owned(), self.it.raw.expose(), mended)
    }
}

impl Shown<Prompt> {
    /// The same prompt under another name.
    pub(super) fn renamed(&self, alias: &str) -> Self {
        let Ok(mended) = mend::prompt(&self.it.raw) else { return self.clone() };
        prompt(alias.to_owned(), &self.it.raw, mended)
    }
}

fn tool(id: ToolId, alias: String, raw: &RawValue, mended: Mended<'_>) -> Shown<Tool> {
    let Mended { mut draft, unlisted, identity, .. } = mended;
    let input_schema = match draft.get("inputSchema") {
        Some(schema) if unlisted.is_none() || schema.get().starts_with('{') => schema.to_owned(),
        Some(_) | None => json::parse_raw(ANY_OBJECT.to_owned()).expect("our own text is JSON"),
    };
    let tool = Tool {
        id,
        name: Real::from_server(identity),
        title: draft.text("title").map(Real::from_server),
        description: draft.text("description").map(Real::from_server),
        input_schema: Real::from_server(input_schema),
        raw: Real::from_server(raw.to_owned()),
        hints: hints(&draft),
        has_output_schema: Object::read(raw).is_ok_and(|raw| raw.get("outputSchema").is_some()),
        definition: OnceLock::new(),
        alias,
    };
    let listed = unlisted.is_none().then(|| {
        draft.set("name", json::raw(&tool.alias));
        let whole = draft.to_raw();
        let without_output = draft.get("outputSchema").is_some().then(|| {
            draft.remove("outputSchema");
            draft.to_raw()
        });
        Listed { whole, without_output }.into()
    });
    Shown { it: tool.into(), listed }
}

fn prompt(alias: String, raw: &RawValue, mut mended: Mended<'_>) -> Shown<Prompt> {
    mended.draft.set("name", json::raw(&alias));
    let listed = Listed { whole: mended.draft.to_raw(), without_output: None };
    let prompt = Prompt { name: mended.identity, alias, raw: raw.to_owned() };
    Shown { it: prompt.into(), listed: Some(listed.into()) }
}

fn hints(draft: &Draft<'_>) -> Hints {
    let annotations = draft.get("annotations").and_then(|annotations| Object::read(annotations).ok());
    let hint = |key| match annotations.as_ref()?.get(key)?.get() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    };
    Hints {
        read_only: hint("readOnlyHint"),
        destructive: hint("destructiveHint"),
        idempotent: hint("idempotentHint"),
        open_world: hint("openWorldHint"),
    }
}

/// None for no entries, which is also what an unknown offer has.
fn fingerprint(lists: &[&Vec<RawJson>]) -> Option<blake3::Hash> {
    if lists.iter().all(|list| list.is_empty()) {
        return None;
    }
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

struct Complaints<'a> {
    server: &'a ServerName,
    all: Vec<Complaint>,
}

impl Complaints<'_> {
    fn add(&mut self, subject: &str, problem: String, remedy: Remedy) {
        let subject = Real::from_server(subject.to_owned());
        self.all.push(Complaint { server: self.server.clone(), subject, problem, remedy });
    }

    /// Makes what can be made of a list's entries. Of two with one identity the first counts.
    fn collect<'r, T>(
        &mut self,
        entries: &'r [RawJson],
        mend: fn(&'r RawValue) -> Result<Mended<'r>, Hopeless>,
        make: impl Fn(&'r RawValue, Mended<'r>) -> T,
    ) -> Vec<T> {
        let mut seen = HashSet::new();
        let mut made = Vec::with_capacity(entries.len().min(ENTRIES_MOST));
        if entries.len() > ENTRIES_MOST {
            let problem =
                format!("the list has {} entries; the first {ENTRIES_MOST} are kept", entries.len());
            self.add("*", problem, Remedy::Dropped);
        }
        for raw in entries.iter().take(ENTRIES_MOST) {
            let mut mended = match mend(raw) {
                Ok(mended) => mended,
                Err(Hopeless { subject, problem }) => {
                    self.add(&subject, problem, Remedy::Dropped);
                    continue;
                }
            };
            if !seen.insert(mended.identity.clone()) {
                self.add(
                    &mended.identity,
                    "it is listed twice; the first counts".to_owned(),
                    Remedy::Dropped,
                );
                continue;
            }
            if let Some(problem) = &mended.unlisted {
                self.add(&mended.identity, problem.clone(), Remedy::Unlisted);
            }
            for fault in std::mem::take(&mut mended.faults) {
                self.add(&mended.identity, fault, Remedy::Mended);
            }
            made.push(make(raw, mended));
        }
        made
    }
}
