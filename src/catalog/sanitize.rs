//! Checks the entries of a server's lists and repairs them, so that no client drops a whole list because of
//! one.
//!
//! The rules are those of the clients' own schemas. The official TypeScript and Python packages refuse a list
//! if a known member of one entry has another type than in the specification (2025-11-25, Schema Reference,
//! `Tool`, `Resource`, `ResourceTemplate`, `Prompt`, `Annotations`, `Icon`). Unknown members stay.

use std::borrow::Cow;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::json::{self, RawJson, RawObject};

/// Deeper JSON breaks some parsers (serde_json at 128, CPython near 1,000), and the whole list with it.
const MAX_DEPTH: usize = 100;
/// The longest argument name that model providers accept.
const MAX_ARGUMENT_NAME_LENGTH: usize = 64;
pub(super) const ANY_OBJECT: &str = r#"{"type":"object"}"#;

/// An entry that can be listed.
#[derive(Debug)]
pub(super) struct SanitizedEntry<'a> {
    /// Its name or URI.
    pub(super) identity: String,
    /// Its members.
    pub(super) object: EditedObject<'a>,
    /// The faults that were repaired.
    pub(super) faults: Vec<String>,
    /// Why it can't be listed, although it can be called.
    pub(super) unlisted: Option<String>,
}

/// An entry that can't be repaired.
#[derive(Debug)]
pub(super) struct Rejected {
    /// Its name, as far as it can be read.
    pub(super) subject: String,
    /// The problem.
    pub(super) problem: String,
}

/// Checks a tool.
pub(super) fn sanitize_tool(raw: &RawValue) -> Result<SanitizedEntry<'_>, Rejected> {
    let mut tool = SanitizedEntry::from_raw(raw, "name")?;
    tool.drop_unless_valid("title", is_text, "a string");
    tool.drop_unless_valid("description", is_text, "a string");
    tool.drop_unless_valid("_meta", is_object, "an object");
    tool.drop_unless_valid("icons", is_icons, "a list of icons");
    tool.drop_unless_valid("execution", is_execution, "an object with a known `taskSupport`");
    tool.drop_invalid_members("annotations", |key, value| match key {
        "title" => is_text(value),
        "readOnlyHint" | "destructiveHint" | "idempotentHint" | "openWorldHint" => is_bool(value),
        _ => true,
    });
    match check_object_schema(tool.object.get("inputSchema")) {
        Ok(SchemaCheck::Valid) => {}
        Ok(SchemaCheck::Sanitized(schema, fault)) => {
            tool.faults.push(fault);
            tool.object.set("inputSchema", schema);
        }
        Err(problem) => tool.unlisted = Some(problem),
    }
    // A tool works without `outputSchema`, so a bad one is dropped. A bad `inputSchema` is replaced, or keeps
    // the tool off the list.
    if let Some(schema) = tool.object.get("outputSchema")
        && !matches!(check_object_schema(Some(schema)), Ok(SchemaCheck::Valid))
    {
        tool.drop_member("outputSchema", "a schema of an object");
    }
    if tool.unlisted.is_none() {
        tool.unlisted = find_parser_hazard(raw);
    }
    Ok(tool)
}

/// Checks a resource.
pub(super) fn sanitize_resource(raw: &RawValue) -> Result<SanitizedEntry<'_>, Rejected> {
    let mut resource = sanitize_described(raw, "uri")?;
    resource.drop_unless_valid("size", is_integer, "a whole number");
    Ok(resource)
}

/// Checks a resource template.
pub(super) fn sanitize_template(raw: &RawValue) -> Result<SanitizedEntry<'_>, Rejected> {
    sanitize_described(raw, "uriTemplate")
}

/// Checks a prompt.
pub(super) fn sanitize_prompt(raw: &RawValue) -> Result<SanitizedEntry<'_>, Rejected> {
    let mut prompt = SanitizedEntry::from_raw(raw, "name")?.or_rejected(raw)?;
    prompt.drop_unless_valid("title", is_text, "a string");
    prompt.drop_unless_valid("description", is_text, "a string");
    prompt.drop_unless_valid("_meta", is_object, "an object");
    prompt.drop_unless_valid("icons", is_icons, "a list of icons");
    let Some(arguments) = prompt.object.get("arguments") else { return Ok(prompt) };
    let Some(items) = list_items(arguments) else {
        prompt.drop_member("arguments", "a list");
        return Ok(prompt);
    };
    let good: Vec<&RawValue> = items.iter().copied().filter(|item| is_argument(item)).collect();
    if good.len() < items.len() {
        prompt.faults.push("some of its `arguments` are malformed and were left out".to_owned());
        let good = json::serialize_raw(&good);
        prompt.object.set("arguments", good);
    }
    Ok(prompt)
}

/// The common part of resources and templates.
fn sanitize_described<'a>(raw: &'a RawValue, identity: &'static str) -> Result<SanitizedEntry<'a>, Rejected> {
    let mut entry = SanitizedEntry::from_raw(raw, identity)?.or_rejected(raw)?;
    if !entry.object.get("name").is_some_and(is_text) {
        entry.faults.push("`name` is not a string; its URI stands in".to_owned());
        entry.object.set("name", json::serialize_raw(&entry.identity));
    }
    entry.drop_unless_valid("title", is_text, "a string");
    entry.drop_unless_valid("description", is_text, "a string");
    entry.drop_unless_valid("mimeType", is_text, "a string");
    entry.drop_unless_valid("_meta", is_object, "an object");
    entry.drop_unless_valid("icons", is_icons, "a list of icons");
    entry.drop_invalid_members("annotations", |key, value| match key {
        "audience" => list_items(value).is_some_and(|items| {
            items.iter().all(|item| matches!(json::as_text(item).as_deref(), Some("user" | "assistant")))
        }),
        "priority" => is_number(value) && value.get().parse().is_ok_and(|n: f64| (0.0..=1.0).contains(&n)),
        "lastModified" => json::as_text(value)
            .is_some_and(|time| time.contains('T') && time.parse::<jiff::Timestamp>().is_ok()),
        _ => true,
    });
    Ok(entry)
}

impl<'a> SanitizedEntry<'a> {
    fn from_raw(raw: &'a RawValue, identity: &'static str) -> Result<Self, Rejected> {
        let Ok(object) = RawObject::read(raw) else {
            return Err(Rejected { subject: "?".to_owned(), problem: "it is not an object".to_owned() });
        };
        let Some(name) = object.get_text(identity).filter(|name| !name.is_empty()) else {
            let subject = object.get_text("name").unwrap_or(Cow::Borrowed("?")).into_owned();
            return Err(Rejected { subject, problem: format!("`{identity}` is not a string") });
        };
        let identity = name.into_owned();
        Ok(Self { identity, object: EditedObject::from_object(object), faults: Vec::new(), unlisted: None })
    }

    /// Rejects an entry that can't be listed. Resources and prompts are reached only through their list, so
    /// such an entry is lost.
    fn or_rejected(self, raw: &RawValue) -> Result<Self, Rejected> {
        match find_parser_hazard(raw) {
            Some(problem) => Err(Rejected { subject: self.identity, problem }),
            None => Ok(self),
        }
    }

    /// Drops an optional member unless it is valid.
    fn drop_unless_valid(&mut self, key: &'static str, good: fn(&RawValue) -> bool, what: &str) {
        if self.object.get(key).is_some_and(|value| !good(value)) {
            self.drop_member(key, what);
        }
    }

    fn drop_member(&mut self, key: &'static str, what: &str) {
        self.object.remove(key);
        self.faults.push(format!("`{key}` is not {what} and was left out"));
    }

    /// Drops invalid members of an optional object.
    fn drop_invalid_members(&mut self, key: &'static str, good: impl Fn(&str, &RawValue) -> bool) {
        let Some(value) = self.object.get(key) else { return };
        let Ok(object) = RawObject::read(value) else { return self.drop_member(key, "an object") };
        let bad: Vec<&str> =
            object.iter().filter(|(name, value)| !good(name, value)).map(|(name, _)| name).collect();
        if bad.is_empty() {
            return;
        }
        let fault = format!("in `{key}` {} has the wrong type and was left out", bad.join(", "));
        let sanitized = object.clone().without_members(|name| bad.contains(&name)).to_raw();
        self.faults.push(fault);
        self.object.set(key, sanitized);
    }
}

enum SchemaCheck {
    Valid,
    Sanitized(RawJson, String),
}

/// Checks that a tool's schema is one of an object: `type` is `"object"`, `properties` an object of objects,
/// `required` a list of strings.
fn check_object_schema(schema: Option<&RawValue>) -> Result<SchemaCheck, String> {
    let any = |fault: &str| Ok(SchemaCheck::Sanitized(parse_own(ANY_OBJECT), fault.to_owned()));
    let schema = match schema {
        None => return any("`inputSchema` is missing; any object is taken"),
        Some(schema) if matches!(schema.get(), "null" | "true") => {
            return any("`inputSchema` is not an object; any object is taken");
        }
        Some(schema) => schema,
    };
    let Ok(object) = RawObject::read(schema) else { return Err("`inputSchema` is not an object".to_owned()) };
    let mut draft = EditedObject::from_object(object);
    let mut faults = Vec::new();
    match draft.get("type") {
        Some(kind) if json::as_text(kind).as_deref() == Some("object") => {}
        Some(kind) if !allows_object_type(kind) => return Err("`inputSchema` is not of an object".to_owned()),
        Some(_) | None => {
            draft.set("type", parse_own(r#""object""#));
            faults.push("`type`");
        }
    }
    if let Some(properties) = draft.get("properties") {
        match sanitize_properties(properties)? {
            None => {}
            Some(Some(sanitized)) => {
                draft.set("properties", sanitized);
                faults.push("`properties`");
            }
            Some(None) => {
                draft.remove("properties");
                faults.push("`properties`");
            }
        }
    }
    if draft.get("required").is_some_and(|required| !is_texts(required)) {
        draft.remove("required");
        faults.push("`required`");
    }
    if faults.is_empty() {
        return Ok(SchemaCheck::Valid);
    }
    Ok(SchemaCheck::Sanitized(
        json::serialize_raw(&draft),
        format!("in `inputSchema` {} was corrected", faults.join(", ")),
    ))
}

/// The outer `None` changes nothing. The inner one removes the member.
fn sanitize_properties(properties: &RawValue) -> Result<Option<Option<RawJson>>, String> {
    let Ok(object) = RawObject::read(properties) else { return Ok(Some(None)) };
    if object.iter().any(|(key, _)| !is_argument_name(key)) {
        return Err("an argument's name has characters or a length that models do not take".to_owned());
    }
    if object.iter().all(|(_, value)| is_object(value)) {
        return Ok(None);
    }
    let mut draft = EditedObject::from_object(object.clone());
    for (key, value) in object.iter() {
        if !is_object(value) {
            draft.set(key, parse_own("{}"));
        }
    }
    Ok(Some(Some(json::serialize_raw(&draft))))
}

fn parse_own(text: &str) -> RawJson {
    json::parse_raw(text.to_owned()).expect("our own text is JSON")
}

/// `["object", "null"]`, or a value that isn't meant as a type.
fn allows_object_type(kind: &RawValue) -> bool {
    kind.get() == "null"
        || list_items(kind)
            .is_some_and(|kinds| kinds.iter().any(|kind| json::as_text(kind).as_deref() == Some("object")))
}

fn is_argument_name(key: &str) -> bool {
    (1..=MAX_ARGUMENT_NAME_LENGTH).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
}

fn is_argument(value: &RawValue) -> bool {
    RawObject::read(value).is_ok_and(|argument| {
        argument.get("name").is_some_and(is_text)
            && argument.get("title").is_none_or(is_text)
            && argument.get("description").is_none_or(is_text)
            && argument.get("required").is_none_or(is_bool)
    })
}

fn is_icons(value: &RawValue) -> bool {
    let is_icon = |icon: &&RawValue| {
        RawObject::read(icon).is_ok_and(|icon| {
            icon.get("src").is_some_and(is_text)
                && icon.get("mimeType").is_none_or(is_text)
                && icon.get("sizes").is_none_or(is_texts)
                && icon
                    .get("theme")
                    .is_none_or(|theme| matches!(json::as_text(theme).as_deref(), Some("light" | "dark")))
        })
    };
    list_items(value).is_some_and(|icons| icons.iter().all(is_icon))
}

fn is_execution(value: &RawValue) -> bool {
    RawObject::read(value).is_ok_and(|execution| {
        execution.get("taskSupport").is_none_or(|support| {
            matches!(json::as_text(support).as_deref(), Some("forbidden" | "optional" | "required"))
        })
    })
}

fn list_items(value: &RawValue) -> Option<Vec<&RawValue>> {
    serde_json::from_str(value.get()).ok()
}

fn is_texts(value: &RawValue) -> bool {
    list_items(value).is_some_and(|items| items.iter().all(|item| is_text(item)))
}

fn is_object(value: &RawValue) -> bool {
    value.get().starts_with('{')
}

fn is_bool(value: &RawValue) -> bool {
    matches!(value.get(), "true" | "false")
}

fn is_number(value: &RawValue) -> bool {
    value.get().starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

fn is_integer(value: &RawValue) -> bool {
    value.get().parse::<i64>().is_ok()
}

/// Whether a value is a string of whole characters. Half of a surrogate pair makes model providers refuse the
/// request.
fn is_text(value: &RawValue) -> bool {
    value.get().starts_with('"') && (!value.get().contains("\\u") || json::as_text(value).is_some())
}

/// Why a client's parser might fail on a list with this entry.
fn find_parser_hazard(raw: &RawValue) -> Option<String> {
    if nesting_depth(raw.get()) > MAX_DEPTH {
        return Some(format!("it is nested more than {MAX_DEPTH} deep"));
    }
    // Only escapes from `\ud…` on can be half a pair, and few texts have them, so the full parse is rare.
    let escapes = memchr::memmem::find_iter(raw.get().as_bytes(), b"\\u")
        .any(|at| matches!(raw.get().as_bytes().get(at + 2), Some(b'd' | b'D')));
    (escapes && serde_json::from_str::<serde_json::Value>(raw.get()).is_err())
        .then(|| "it holds half of a character".to_owned())
}

fn nesting_depth(json: &str) -> usize {
    let (mut depth, mut most, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'{' | b'[' => {
                depth += 1;
                most = most.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// The members of an object, some of them replaced. If a key occurs twice, the last counts.
#[derive(Debug)]
pub(super) struct EditedObject<'a> {
    members: Vec<(Cow<'a, str>, Cow<'a, RawValue>)>,
}

impl<'a> EditedObject<'a> {
    fn from_object(object: RawObject<'a>) -> Self {
        let mut members: Vec<(Cow<'a, str>, Cow<'a, RawValue>)> = Vec::new();
        for (key, value) in object.into_members() {
            match members.iter_mut().find(|(name, _)| *name == key) {
                // Keeps the first place and the last value, as most parsers do.
                Some(member) => member.1 = Cow::Borrowed(value),
                None => members.push((key, Cow::Borrowed(value))),
            }
        }
        Self { members }
    }

    pub(super) fn get(&self, key: &str) -> Option<&RawValue> {
        self.members.iter().find(|(name, _)| name == key).map(|(_, value)| &**value)
    }

    pub(super) fn text(&self, key: &str) -> Option<String> {
        self.get(key).and_then(json::as_text).map(Cow::into_owned)
    }

    pub(super) fn set(&mut self, key: &str, value: RawJson) {
        match self.members.iter_mut().find(|(name, _)| name == key) {
            Some(member) => member.1 = Cow::Owned(value),
            None => self.members.push((Cow::Owned(key.to_owned()), Cow::Owned(value))),
        }
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.members.retain(|(name, _)| name != key);
    }

    pub(super) fn to_raw(&self) -> RawJson {
        json::serialize_raw(self)
    }
}

impl Serialize for EditedObject<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map(self.members.iter().map(|(key, value)| (key, value)))
    }
}
